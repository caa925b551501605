"""Fourier, cosine and sine transforms under the names of `scipy.fft`.

``overwrite_x`` and ``workers`` may be given: the first only permits something, and the second is a
number of threads, which a recorded transform takes from `scipy.fft.set_workers` when it runs.
"""

import operator
from typing import TYPE_CHECKING, Any

from gpuad.errors import ArgumentError, UnsupportedError
from gpuad.ir.graph import Atom
from gpuad.numpy import fft as numpys
from gpuad.numpy._arguments import alias, refuse, shape_of
from gpuad.numpy._dispatch import implements, normalize_axes
from gpuad.numpy._fourier import (
    conjugate,
    floating,
    norm_of,
    one_axis,
    resized,
    several_axes,
)
from gpuad.numpy._missing import only
from gpuad.primitives import cosine_transforms
from gpuad.primitives.fourier import INVERSE
from gpuad.tracing.record import apply


def _given(x: Any, name: str, plan: Any, axes: Any = None) -> Any:
    """The array in the precision in which SciPy transforms it, if the other arguments are right."""
    refuse(name, plan=plan)
    if axes is not None:
        normalize_axes(axes, len(shape_of(x)), name)
    return apply(floating, x)


# Fourier transforms along one axis


@implements(name="scipy.fft.fft")
def fft(
    x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The Fourier transform along an axis: ``y[k] = Σ_j x[j] exp(−2πi jk/n)``.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> power = lambda x: (abs(ad.scipy.fft.fft(x)) ** 2).sum()
    >>> ad.grad(power)(np.array([1.0, 2.0, 3.0, 4.0]))  # Parseval: 2 n x
    array([ 8., 16., 24., 32.])
    """
    return numpys.fft(_given(x, "fft", plan), n, axis, norm)


@implements(name="scipy.fft.ifft")
def ifft(
    x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `fft`."""
    return numpys.ifft(_given(x, "ifft", plan), n, axis, norm)


@implements(name="scipy.fft.rfft")
def rfft(
    x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The first half of the transform of real values."""
    return numpys.rfft(_given(x, "rfft", plan), n, axis, norm)


@implements(name="scipy.fft.irfft")
def irfft(
    x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `rfft`: n real values (by default an even number of them)."""
    return numpys.irfft(_given(x, "irfft", plan), n, axis, norm)


@implements(name="scipy.fft.hfft")
def hfft(
    x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The real spectrum of a signal that is its own conjugate backwards, from its first half."""
    return numpys.hfft(_given(x, "hfft", plan), n, axis, norm)


@implements(name="scipy.fft.ihfft")
def ihfft(
    x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `hfft`."""
    return numpys.ihfft(_given(x, "ihfft", plan), n, axis, norm)


# Along several axes


@implements(name="scipy.fft.fftn")
def fftn(
    x: Any, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The Fourier transform along several axes (all by default)."""
    return numpys.fftn(_given(x, "fftn", plan, axes), s, axes, norm)


@implements(name="scipy.fft.ifftn")
def ifftn(
    x: Any, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `fftn`."""
    return numpys.ifftn(_given(x, "ifftn", plan, axes), s, axes, norm)


@implements(name="scipy.fft.rfftn")
def rfftn(
    x: Any, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The transform of real values along several axes: half of it along the last one."""
    return numpys.rfftn(_given(x, "rfftn", plan, axes), s, axes, norm)


@implements(name="scipy.fft.irfftn")
def irfftn(
    x: Any, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `rfftn`."""
    return numpys.irfftn(_given(x, "irfftn", plan, axes), s, axes, norm)


@implements(name="scipy.fft.fft2")
def fft2(
    x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The Fourier transform along the last two axes."""
    return numpys.fft2(_given(x, "fft2", plan, axes), s, axes, norm)


@implements(name="scipy.fft.ifft2")
def ifft2(
    x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `fft2`."""
    return numpys.ifft2(_given(x, "ifft2", plan, axes), s, axes, norm)


@implements(name="scipy.fft.rfft2")
def rfft2(
    x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The transform of real values along the last two axes."""
    return numpys.rfft2(_given(x, "rfft2", plan, axes), s, axes, norm)


@implements(name="scipy.fft.irfft2")
def irfft2(
    x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `rfft2`."""
    return numpys.irfft2(_given(x, "irfft2", plan, axes), s, axes, norm)


@implements(name="scipy.fft.hfftn")
def hfftn(
    x: Any, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """`hfft` along several axes: half of the signal is given along the last one."""
    norm = INVERSE[norm_of(norm, "hfftn")]
    return numpys.irfftn(apply(conjugate, _given(x, "hfftn", plan, axes)), s, axes, norm)


@implements(name="scipy.fft.ihfftn")
def ihfftn(
    x: Any, s: Any = None, axes: Any = None, norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `hfftn`."""
    norm = INVERSE[norm_of(norm, "ihfftn")]
    return apply(conjugate, numpys.rfftn(_given(x, "ihfftn", plan, axes), s, axes, norm))


@implements(name="scipy.fft.hfft2")
def hfft2(
    x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """`hfftn` along the last two axes."""
    return hfftn(x, s, axes, norm, overwrite_x, workers, plan=plan)


@implements(name="scipy.fft.ihfft2")
def ihfft2(
    x: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, overwrite_x: bool = False,
    workers: Any = None, *, plan: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `hfft2`."""
    return ihfftn(x, s, axes, norm, overwrite_x, workers, plan=plan)


# Cosine and sine transforms


def _real_transform(name: str, x: Any, type: Any, axes: Any, norm: Any, orthogonalize: Any) -> Any:
    """A transform named in SciPy's way, along axes with lengths."""
    places, lengths = axes
    norm = norm_of(norm, name)
    ortho = norm == "ortho" if orthogonalize is None else bool(orthogonalize)
    if type not in cosine_transforms.TRANSPOSED:
        raise ArgumentError(f"{name}: type={type!r}; give 1, 2, 3 or 4.")
    plain = norm == "ortho"
    kind = name.removeprefix("i")[:3]
    if name.startswith("i"):
        type, norm = cosine_transforms.TRANSPOSED[type], INVERSE[norm]
    primitive = cosine_transforms.dct if kind == "dct" else cosine_transforms.dst

    def record(v: Atom) -> Atom:
        if not places:
            return v
        v = floating(v)
        if v.aval.dtype.kind == "c" and ortho != plain:
            raise UnsupportedError(
                f"{name}(orthogonalize={orthogonalize}) of complex values, where SciPy ignores it; "
                "leave it out, or transform x.real and x.imag."
            )
        v = resized(v, places, lengths)
        return primitive(v, type=type, axes=places, norm=norm, ortho=ortho)

    return apply(record, x)


def _distinct(shape: Any, s: Any, axes: Any, name: str) -> Any:
    if axes is not None:
        normalize_axes(axes, len(shape), name)
    return several_axes(shape, s, axes, name)


@implements(name="scipy.fft.dct")
def dct(
    x: Any, type: int = 2, n: Any = None, axis: Any = -1, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The cosine transform along an axis, of type 1, 2, 3 or 4.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> power = lambda x: (ad.scipy.fft.dct(x, norm="ortho") ** 2).sum()
    >>> ad.grad(power)(np.array([1.0, 2.0, 3.0])).round(12)  # an orthogonal matrix: 2 x
    array([2., 4., 6.])
    """
    axes = one_axis(shape_of(x), n, axis, "dct")
    return _real_transform("dct", x, type, axes, norm, orthogonalize)


@implements(name="scipy.fft.idct")
def idct(
    x: Any, type: int = 2, n: Any = None, axis: Any = -1, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `dct`."""
    axes = one_axis(shape_of(x), n, axis, "idct")
    return _real_transform("idct", x, type, axes, norm, orthogonalize)


@implements(name="scipy.fft.dst")
def dst(
    x: Any, type: int = 2, n: Any = None, axis: Any = -1, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The sine transform along an axis, of type 1, 2, 3 or 4."""
    axes = one_axis(shape_of(x), n, axis, "dst")
    return _real_transform("dst", x, type, axes, norm, orthogonalize)


@implements(name="scipy.fft.idst")
def idst(
    x: Any, type: int = 2, n: Any = None, axis: Any = -1, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `dst`."""
    axes = one_axis(shape_of(x), n, axis, "idst")
    return _real_transform("idst", x, type, axes, norm, orthogonalize)


@implements(name="scipy.fft.dctn")
def dctn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, *, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The cosine transform along several axes (all by default)."""
    places = _distinct(shape_of(x), s, axes, "dctn")
    return _real_transform("dctn", x, type, places, norm, orthogonalize)


@implements(name="scipy.fft.idctn")
def idctn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, *, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `dctn`."""
    places = _distinct(shape_of(x), s, axes, "idctn")
    return _real_transform("idctn", x, type, places, norm, orthogonalize)


@implements(name="scipy.fft.dstn")
def dstn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, *, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The sine transform along several axes (all by default)."""
    places = _distinct(shape_of(x), s, axes, "dstn")
    return _real_transform("dstn", x, type, places, norm, orthogonalize)


@implements(name="scipy.fft.idstn")
def idstn(
    x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: Any = None,
    overwrite_x: bool = False, workers: Any = None, *, orthogonalize: Any = None,
) -> Any:  # fmt: skip
    """The inverse of `dstn`."""
    places = _distinct(shape_of(x), s, axes, "idstn")
    return _real_transform("idstn", x, type, places, norm, orthogonalize)


# Frequencies and lengths

fftshift = alias("scipy.fft.fftshift", numpys.fftshift)
ifftshift = alias("scipy.fft.ifftshift", numpys.ifftshift)


@implements(name="scipy.fft.fftfreq")
def fftfreq(n: Any, d: Any = 1.0, *, xp: Any = None, device: Any = None) -> Any:
    """The frequencies of a transform of n samples at distances d (which may be traced)."""
    refuse("fftfreq", xp=xp, device=device)
    return numpys.fftfreq(n, d)


@implements(name="scipy.fft.rfftfreq")
def rfftfreq(n: Any, d: Any = 1.0, *, xp: Any = None, device: Any = None) -> Any:
    """The first n // 2 + 1 frequencies, those of `rfft`."""
    refuse("rfftfreq", xp=xp, device=device)
    return numpys.rfftfreq(n, d)


@implements(name="scipy.fft.next_fast_len")
def next_fast_len(target: Any, real: bool = False) -> int:
    """The smallest length from `target` for which a transform is fast."""
    import scipy.fft

    return scipy.fft.next_fast_len(operator.index(target), real)


@implements(name="scipy.fft.prev_fast_len")
def prev_fast_len(target: Any, real: bool = False) -> int:
    """The largest length up to `target` for which a transform is fast."""
    import scipy.fft

    return scipy.fft.prev_fast_len(operator.index(target), real)


__all__ = [
    "dct", "dctn", "dst", "dstn", "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2",
    "hfftn", "idct", "idctn", "idst", "idstn", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft",
    "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "next_fast_len", "prev_fast_len", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)
