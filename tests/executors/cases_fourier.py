"""Cases of the Fourier transforms, of the cosine and sine transforms."""

import numpy as np
import scipy.fft

from executors.case import Case
from gpuad.primitives import cosine_transforms as c
from gpuad.primitives import fourier as f

_draw = np.random.default_rng(11)


def _real(*shape):
    return _draw.normal(size=shape)


def _complex(*shape):
    return _draw.normal(size=shape) + 1j * _draw.normal(size=shape)


def _fft(name, x, axes, inverse=False, norm="backward"):
    library = np.fft.ifftn if inverse else np.fft.fftn
    return Case(
        f.fft, (x,), {"axes": axes, "inverse": inverse, "norm": norm},
        lambda x: library(x, axes=axes, norm=norm), f"fft-{name}",
    )  # fmt: skip


def _rfft(name, x, axes, norm="backward"):
    return Case(
        f.rfft, (x,), {"axes": axes, "norm": norm},
        lambda x: np.fft.rfftn(x, axes=axes, norm=norm), f"rfft-{name}",
    )  # fmt: skip


def _irfft(name, x, axes, n, norm="backward"):
    lengths = [*[x.shape[a] for a in axes[:-1]], n]
    return Case(
        f.irfft, (x,), {"axes": axes, "n": n, "norm": norm},
        lambda x: np.fft.irfftn(x, lengths, axes, norm), f"irfft-{name}",
    )  # fmt: skip


def _cosine(primitive, type, x, axes, norm="backward", ortho=False):
    transform = scipy.fft.dctn if primitive is c.dct else scipy.fft.dstn

    def expected(x):
        f = lambda x: transform(x, type, axes=axes, norm=norm, orthogonalize=ortho)  # noqa: E731
        return f(x.real) + 1j * f(x.imag) if x.dtype.kind == "c" else f(x)

    return Case(
        primitive, (x,), {"type": type, "axes": axes, "norm": norm, "ortho": ortho}, expected,
        f"{primitive}-{type}-{x.ndim}{x.dtype.kind}-{norm}-{'ortho' if ortho else 'plain'}",
    )  # fmt: skip


CASES = [
    _fft("line", _complex(8), (0,)),
    _fft("odd", _complex(3, 5), (1,), True),
    _fft("plane", _complex(4, 3), (0, 1), norm="ortho"),
    _fft("batch", _complex(4, 3, 2), (0, 1), True, "forward"),
    _fft("apart", _complex(4, 2, 3), (2, 0)),
    _fft("one", _complex(1, 2), (0,)),
    _fft("strided", _complex(4, 12)[:, ::3].T, (1,)),
    Case(
        f.fft, (_complex(0, 3),), {"axes": (1,), "inverse": False, "norm": "backward"},
        lambda x: x, "fft-empty",
    ),
    _rfft("even", _real(8), (0,)),
    _rfft("odd", _real(2, 5), (1,), "ortho"),
    _rfft("two", _real(2), (0,)),
    _rfft("one", _real(1, 3), (0,)),
    _rfft("plane", _real(4, 6), (0, 1), "forward"),
    _rfft("apart", _real(4, 2, 3), (2, 0)),
    Case(
        f.rfft, (_real(0, 4),), {"axes": (1,), "norm": "backward"},
        lambda x: np.zeros((0, 3), complex), "rfft-empty",
    ),
    _irfft("even", _complex(5), (0,), 8),
    _irfft("odd", _complex(2, 3), (1,), 5, "ortho"),
    _irfft("two", _complex(2), (0,), 2),
    _irfft("one", _complex(1, 3), (0,), 1),
    _irfft("plane", _complex(4, 4), (0, 1), 6, "forward"),
    _irfft("apart", _complex(3, 2, 3), (2, 0), 5),
    Case(
        f.irfft, (_complex(0, 3),), {"axes": (1,), "n": 4, "norm": "backward"},
        lambda x: np.zeros((0, 4)), "irfft-empty",
    ),
    *[
        _cosine(primitive, type, x, axes, norm, ortho)
        for primitive in (c.dct, c.dst)
        for type in (1, 2, 3, 4)
        for x, axes, norm, ortho in [
            (_real(6), (0,), "backward", False),
            (_real(2, 5), (1,), "ortho", True),
            (_real(3, 2, 4), (2, 0), "forward", True),
            (_complex(3, 4), (0, 1), "ortho", False),
        ]
    ],
    _cosine(c.dct, 2, _real(1, 3, 2, 2), (0,)),
    _cosine(c.dst, 3, _real(1, 3, 2, 2), (0,)),
]  # fmt: skip
