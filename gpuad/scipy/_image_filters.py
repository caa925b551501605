"""Linear filters of `scipy.ndimage`: correlations with weights that lie over each element."""

import operator
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError
from gpuad.numpy._dispatch import implements, normalize_axis
from gpuad.primitives.convolution import correlate_valid
from gpuad.scipy import _images as images
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply

FEW = 17
"""Up to so many weights that are known, shifted images are added, which compiled programs do in
one sweep; more of them are a direct correlation."""


def is_complex(x: Any) -> bool:
    return np.dtype(x.dtype).kind == "c"


def line(x: Any, weights: Any, axis: int, dtype: np.dtype, mode: str, cval: Any,
          origin: Any, name: str) -> Any:  # fmt: skip
    """Σ_k w[k] x[i + k − size // 2 − origin] along an axis, in the dtype of the result."""
    (size,) = weights.shape
    if images.is_empty(x):
        return images.cast(x, dtype)
    inner = images.working(x, dtype, weights)
    widths = [(0, 0)] * x.ndim
    widths[axis] = images.reach(name, size, origin)
    modes = ["constant"] * x.ndim
    modes[axis] = mode
    whole = images.padded(images.cast(x, inner), widths, modes, cval)
    weights = images.cast(weights, inner)
    if size <= FEW and not isinstance(weights, Tracer):
        n = x.shape[axis]
        parts = [images.piece(whole, axis, k, n) for k in range(size)]
        total = images.summed([w * p for w, p in zip(weights.tolist(), parts, strict=True)])
    else:
        shape = [1] * x.ndim
        shape[axis] = size
        kernel = gnp.reshape(images.beside(weights, x), tuple(shape))
        total = apply(lambda v, w: correlate_valid(v, w, batch=0), whole, kernel)
    return images.truncated(total, dtype)


def _weights_of(name: str, weights: Any) -> Any:
    weights = weights if isinstance(weights, Tracer) else np.asarray(weights)
    if weights.ndim != 1 or not weights.shape[0]:
        raise ArgumentError(f"{name}: weights have shape {weights.shape}; give a vector of some.")
    return weights


def _one_axis(name: str, input: Any, weights: Any, axis: int, output: Any, mode: Any, cval: Any,
              origin: Any) -> Any:  # fmt: skip
    x = images.lifted(input, weights, cval)
    place = normalize_axis(axis, x.ndim, name)
    dtype = images.target(name, output, x, is_complex(x) or is_complex(weights))
    mode = images.checked_mode(name, mode)
    return images.delivered(name, line(x, weights, place, dtype, mode, cval, origin, name), output)


@implements(name="scipy.ndimage.correlate1d")
def correlate1d(
    input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """Sums along an axis of elements times `weights`, whose middle lies over the element.

    Beyond the boundary `mode` continues the image: "reflect" (or "grid-mirror"), "mirror",
    "nearest", "wrap" (or "grid-wrap"), or "constant" (or "grid-constant") with `cval`. All
    functions of this module take `output` as a dtype; integers are computed in double precision.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> total = lambda w: (ad.scipy.ndimage.correlate1d(x, w) ** 2).sum()
    >>> ad.grad(total)(np.array([-1.0, 0.0, 1.0]))
    array([16., 30., 44.])
    """
    weights = _weights_of("correlate1d", weights)
    if is_complex(weights):
        weights = gnp.conj(weights)
    return _one_axis("correlate1d", input, weights, axis, output, mode, cval, origin)


@implements(name="scipy.ndimage.convolve1d")
def convolve1d(
    input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """The same as `correlate1d` with the weights backwards.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> ad.grad(lambda x: ad.scipy.ndimage.convolve1d(x, [1, 2, 3])[1])(x)
    array([3., 2., 1.])
    """
    weights = _weights_of("convolve1d", weights)[::-1]
    origin = -operator.index(origin) - (weights.shape[0] % 2 == 0)
    return _one_axis("convolve1d", input, weights, axis, output, mode, cval, origin)


# Weights over several axes


def _over_axes(name: str, input: Any, weights: Any, output: Any, mode: Any, cval: Any,
               origin: Any, axes: Any, backwards: bool) -> Any:  # fmt: skip
    weights = weights if isinstance(weights, Tracer) else np.asarray(weights)
    x = images.lifted(input, weights, cval)
    places = images.axes_of(name, axes, x.ndim)
    origins = images.each(name, "origin", origin, len(places))
    if weights.ndim != len(places) or 0 in weights.shape:
        raise ArgumentError(
            f"{name}: weights have shape {weights.shape} for {len(places)} axes of the image; "
            "give weights with as many axes, or name axes."
        )
    mode = images.checked_mode(name, mode)
    dtype = images.target(name, output, x, is_complex(x) or is_complex(weights))
    if len(places) < x.ndim:  # SciPy sorts the axes: the weights lie along them in that order
        origins = [o for _, o in sorted(zip(places, origins, strict=True))]
    places = tuple(sorted(places))
    if backwards:
        origins = [-o - (n % 2 == 0) for o, n in zip(origins, weights.shape, strict=True)]
        weights = gnp.flip(weights)
    elif is_complex(weights):
        weights = gnp.conj(weights)
    widths = [(0, 0)] * x.ndim
    for place, n, o in zip(places, weights.shape, origins, strict=True):
        widths[place] = images.reach(name, n, o)
    if images.is_empty(x):
        return images.delivered(name, images.cast(x, dtype), output)
    inner = images.working(x, dtype, weights)
    whole = images.padded(images.cast(x, inner), widths, [mode] * x.ndim, cval)
    total = _correlated(whole, images.cast(weights, inner), places)
    return images.delivered(name, images.truncated(total, dtype), output)


def _correlated(whole: Any, weights: Any, places: Any) -> Any:
    """The sums where the weights lie inside of the image."""
    if weights.size <= FEW and not isinstance(weights, Tracer):
        counts = [n - k + 1 for n, k in zip([whole.shape[i] for i in places], weights.shape,
                                            strict=True)]  # fmt: skip
        parts = []
        for at in np.ndindex(weights.shape):
            part = whole
            for place, start, count in zip(places, at, counts, strict=True):
                part = images.piece(part, place, start, count)
            parts.append(weights[at].item() * part)
        return images.summed(parts)
    weights = images.beside(weights, whole)
    kernel = gnp.expand_dims(weights, tuple([i for i in range(whole.ndim) if i not in places]))
    return apply(lambda v, w: correlate_valid(v, w, batch=0), whole, kernel)


@implements(name="scipy.ndimage.correlate")
def correlate(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """Sums of elements times `weights` that lie over all axes (or `axes`) of the image; see
    `correlate1d` for the boundary. Complex weights are conjugated.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.eye(3)
    >>> ad.grad(lambda w: ad.scipy.ndimage.correlate(x, w)[1, 1])(np.ones((3, 3)))
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    return _over_axes("correlate", input, weights, output, mode, cval, origin, axes, False)


@implements(name="scipy.ndimage.convolve")
def convolve(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The same as `correlate` with the weights backwards along all axes, and not conjugated.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, k = np.ones((3, 3)), np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> ad.grad(lambda x: ad.scipy.ndimage.convolve(x, k, mode="constant")[1, 1])(x)
    array([[0., 0., 0.],
           [0., 3., 2.],
           [0., 1., 0.]])
    """
    return _over_axes("convolve", input, weights, output, mode, cval, origin, axes, True)


# Uniform weights


def _uniform_line(name: str, x: Any, size: int, axis: int, dtype: np.dtype, mode: str, cval: Any,
                  origin: Any) -> Any:  # fmt: skip
    if images.is_empty(x):
        return images.cast(x, dtype)
    widths = [(0, 0)] * x.ndim
    widths[axis] = images.reach(name, size, origin)
    whole = images.padded(images.cast(x, images.working(x, dtype)), widths, [mode] * x.ndim, cval)
    return images.truncated(images.window_sum(whole, axis, size) / size, dtype)


def _size_of(name: str, size: Any) -> int:
    size = operator.index(images.known(name, "size", size, "It counts the elements of a window."))
    if size < 1:
        raise ArgumentError(f"{name}: size {size}; give 1 or more.")
    return size


@implements(name="scipy.ndimage.uniform_filter1d")
def uniform_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """The mean of `size` elements along an axis.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: ad.scipy.ndimage.uniform_filter1d(x, 2)[1])(np.zeros(3))
    array([0.5, 0.5, 0. ])
    """
    name = "uniform_filter1d"
    x = images.lifted(input, cval)
    place, size = normalize_axis(axis, x.ndim, name), _size_of(name, size)
    dtype = images.target(name, output, x, is_complex(x))
    mode = images.checked_mode(name, mode)
    result = _uniform_line(name, x, size, place, dtype, mode, cval, origin)
    return images.delivered(name, result, output)


@implements(name="scipy.ndimage.uniform_filter")
def uniform_filter(
    input: Any, size: Any = 3, output: Any = None, mode: Any = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The mean of windows; `size`, `mode` and `origin` are for all axes or one for each.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: 9 * ad.scipy.ndimage.uniform_filter(x)[0, 0])(np.zeros((3, 3))).round(12)
    array([[4., 2., 0.],
           [2., 1., 0.],
           [0., 0., 0.]])
    """
    name = "uniform_filter"
    x = images.lifted(input, cval)
    places = images.axes_of(name, axes, x.ndim)
    dtype = images.target(name, output, x, is_complex(x))
    given = [images.each(name, k, v, len(places))
             for k, v in (("size", size), ("mode", mode), ("origin", origin))]  # fmt: skip
    for place, n, m, o in zip(places, *given, strict=True):
        if n > 1:
            m = images.checked_mode(name, m)
            x = _uniform_line(name, x, _size_of(name, int(n)), place, dtype, m, cval, o)
    return images.delivered(name, images.cast(x, dtype), output)
