"""Filters of `scipy.ndimage` with Gaussian weights, and those that take differences."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError
from gpuad.numpy._dispatch import implements, normalize_axis
from gpuad.scipy import _images as images
from gpuad.scipy._image_filters import is_complex, line
from gpuad.tracing import Tracer


def _gaussian_weights(sigma: Any, order: int, radius: int) -> Any:
    """exp(−x²/2σ²) over its sum, times the polynomial of its derivative of this order: from q to
    the next order it is q′ − q x/σ²."""
    if order < 0:
        raise ArgumentError(f"gaussian_filter: order {order}; give 0 or more.")
    x = images.beside(np.arange(-radius, radius + 1), sigma)
    variance = sigma * sigma
    phi = gnp.exp(-0.5 / variance * x**2)
    phi = phi / gnp.sum(phi)
    q: list[Any] = [1.0]
    for _ in range(order):
        slope = [*[k * c for k, c in enumerate(q)][1:], 0.0, 0.0]
        lower = [0.0, *[-c / variance for c in q]]
        q = [s + t for s, t in zip(slope, lower, strict=True)]
    if not order:
        return phi
    return sum(c * x**k for k, c in enumerate(q)) * phi


def _gaussian_line(name: str, x: Any, sigma: Any, axis: int, order: Any, dtype: np.dtype,
                   options: tuple[str, Any, Any, Any]) -> Any:  # fmt: skip
    mode, cval, truncate, radius = options
    if radius is None:
        why = "It decides how many weights there are: give radius=, and sigma may be traced."
        sigma = float(images.known(name, "sigma", sigma, why))
        truncate = images.known(name, "truncate", truncate, why)
        radius = int(truncate * sigma + 0.5)
    if not hasattr(radius, "__index__") or radius < 0:
        raise ArgumentError(f"{name}: radius {radius!r}; give an integer from 0.")
    if not isinstance(sigma, Tracer):
        sigma = float(sigma)
    weights = _gaussian_weights(sigma, operator.index(order), operator.index(radius))[::-1]
    return line(x, weights, axis, dtype, images.checked_mode(name, mode), cval, 0, name)


@implements(name="scipy.ndimage.gaussian_filter1d")
def gaussian_filter1d(
    input: Any, sigma: Any, axis: int = -1, order: int = 0, output: Any = None,
    mode: str = "reflect", cval: Any = 0.0, truncate: float = 4.0, *, radius: Any = None,
) -> Any:  # fmt: skip
    """Smooths along an axis with a Gaussian of standard deviation `sigma`, or with its derivative
    of this `order`. With the number of weights given by `radius`, `sigma` may be traced.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    >>> ad.grad(lambda s: ad.scipy.ndimage.gaussian_filter1d(x, s, radius=2)[2])(1.0).round(6)
    np.float64(-0.372147)
    """
    name = "gaussian_filter1d"
    x = images.lifted(input, sigma, cval)
    place = normalize_axis(axis, x.ndim, name)
    dtype = images.target(name, output, x, is_complex(x))
    options = mode, cval, truncate, radius
    result = _gaussian_line(name, x, sigma, place, order, dtype, options)
    return images.delivered(name, result, output)


def _smoothed(name: str, x: Any, sigma: Any, order: Any, dtype: np.dtype, mode: Any, cval: Any,
              truncate: Any, radius: Any, axes: Any) -> Any:  # fmt: skip
    places = images.axes_of(name, axes, x.ndim)
    given = [
        images.each(name, k, v, len(places))
        for k, v in (("sigma", sigma), ("order", order), ("mode", mode), ("radius", radius))
    ]
    for place, s, o, m, r in zip(places, *given, strict=True):
        if isinstance(s, Tracer) or s > 1e-15:
            x = _gaussian_line(name, x, s, place, o, dtype, (m, cval, truncate, r))
    return images.cast(x, dtype)


@implements(name="scipy.ndimage.gaussian_filter")
def gaussian_filter(
    input: Any, sigma: Any, order: Any = 0, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, truncate: float = 4.0, *, radius: Any = None, axes: Any = None,
) -> Any:  # fmt: skip
    """Smooths along all axes (or `axes`) with Gaussians; `sigma`, `order`, `mode` and `radius` are
    for all axes or one for each. See `gaussian_filter1d`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.zeros((3, 3))
    >>> ad.grad(lambda x: ad.scipy.ndimage.gaussian_filter(x, 0.5)[1, 1])(x).round(4)
    array([[0.0114, 0.0839, 0.0114],
           [0.0839, 0.6187, 0.0839],
           [0.0114, 0.0839, 0.0114]])
    """
    name = "gaussian_filter"
    sigmas = sigma if isinstance(sigma, list | tuple) else (sigma,)
    x = images.lifted(input, *sigmas, cval)
    dtype = images.target(name, output, x, is_complex(x))
    result = _smoothed(name, x, sigma, order, dtype, mode, cval, truncate, radius, axes)
    return images.delivered(name, result, output)


# Differences


def _differences(name: str, input: Any, axis: int, output: Any, mode: Any, cval: Any,
                 across: list[int]) -> Any:  # fmt: skip
    """The difference of the neighbours along an axis, summed with weights along the others."""
    x = images.lifted(input, cval)
    place = normalize_axis(axis, x.ndim, name)
    dtype = images.target(name, output, x, False)
    modes = [images.checked_mode(name, m) for m in images.each(name, "mode", mode, x.ndim)]
    for i in (place, *[i for i in range(x.ndim) if i != place]):
        weights = np.array([-1, 0, 1] if i == place else across)
        x = line(x, weights, i, dtype, modes[i], cval, 0, name)
    return images.delivered(name, x, output)


@implements(name="scipy.ndimage.prewitt")
def prewitt(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Any:
    """The Prewitt filter: weights −1, 0, 1 along an axis, and 1, 1, 1 along the others."""
    return _differences("prewitt", input, axis, output, mode, cval, [1, 1, 1])


@implements(name="scipy.ndimage.sobel")
def sobel(
    input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
) -> Any:
    """The Sobel filter: weights −1, 0, 1 along an axis, and 1, 2, 1 along the others.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: ad.scipy.ndimage.sobel(x)[1, 1])(np.zeros((3, 3)))
    array([[-1.,  0.,  1.],
           [-2.,  0.,  2.],
           [-1.,  0.,  1.]])
    """
    return _differences("sobel", input, axis, output, mode, cval, [1, 2, 1])


def _of_each_axis(name: str, x: Any, axes: Any, mode: Any,
                  function: Callable[[int, str], Any]) -> list[Any]:  # fmt: skip
    places = images.axes_of(name, axes, x.ndim)
    modes = images.each(name, "mode", mode, len(places))
    return [function(i, images.checked_mode(name, m)) for i, m in zip(places, modes, strict=True)]


@implements(name="scipy.ndimage.laplace")
def laplace(
    input: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *, axes: Any = None
) -> Any:
    """The sum of the second differences along all axes (or `axes`).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: ad.scipy.ndimage.laplace(x)[1, 1])(np.zeros((3, 3)))
    array([[ 0.,  1.,  0.],
           [ 1., -4.,  1.],
           [ 0.,  1.,  0.]])
    """
    x = images.lifted(input, cval)
    dtype = images.target("laplace", output, x, is_complex(x))
    weights = np.array([1, -2, 1])
    parts = _of_each_axis(
        "laplace", x, axes, mode,
        lambda i, m: line(x, weights, i, dtype, m, cval, 0, "laplace"),
    )  # fmt: skip
    result = images.summed(parts) if parts else images.cast(x, dtype)
    return images.delivered("laplace", result, output)


def _gaussian_parts(name: str, x: Any, sigma: Any, order: int, dtype: np.dtype, mode: Any,
                    cval: Any, axes: Any, options: dict) -> list[Any]:  # fmt: skip
    """Along each of the axes the derivative of this order of the smoothed image."""
    unknown = set(options) - {"truncate", "radius"}
    if unknown:
        raise ArgumentError(f"{name} has no argument {', '.join(sorted(unknown))}; leave it out.")
    truncate, radius = options.get("truncate", 4.0), options.get("radius")

    def along(axis: int, mode: str) -> Any:
        orders = [order if i == axis else 0 for i in range(x.ndim)]
        return _smoothed(name, x, sigma, orders, dtype, mode, cval, truncate, radius, None)

    return _of_each_axis(name, x, axes, mode, along)


@implements(name="scipy.ndimage.gaussian_laplace")
def gaussian_laplace(
    input: Any, sigma: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *,
    axes: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """The Laplacian of the image smoothed by Gaussians (`truncate` and `radius` as those of
    `gaussian_filter`).

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = lambda x: ad.scipy.ndimage.gaussian_laplace(x, 1.0)[2]
    >>> ad.grad(f)(np.zeros(5)).round(3)
    array([ 0.197,  0.002, -0.399,  0.002,  0.197])
    """
    name = "gaussian_laplace"
    x = images.lifted(input, *(sigma if isinstance(sigma, list | tuple) else (sigma,)), cval)
    dtype = images.target(name, output, x, is_complex(x))
    places = images.axes_of(name, axes, x.ndim)
    sigmas: list[Any] = [0] * x.ndim
    for place, s in zip(places, images.each(name, "sigma", sigma, len(places)), strict=True):
        sigmas[place] = s
    parts = _gaussian_parts(name, x, sigmas, 2, dtype, mode, cval, axes, kwargs)
    result = images.summed(parts) if parts else images.cast(x, dtype)
    return images.delivered(name, result, output)


@implements(name="scipy.ndimage.gaussian_gradient_magnitude")
def gaussian_gradient_magnitude(
    input: Any, sigma: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *,
    axes: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """The length of the gradient of the image smoothed by Gaussians; its derivative is 0 where the
    gradient vanishes. The gradient has components along `axes`; smoothed is along all of them, as
    SciPy does.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> f = lambda x: ad.scipy.ndimage.gaussian_gradient_magnitude(x, 1.0)[1]
    >>> ad.grad(f)(np.array([0.0, 1.0, 3.0])).round(3)
    array([-0.349,  0.   ,  0.349])
    """
    name = "gaussian_gradient_magnitude"
    x = images.lifted(input, *(sigma if isinstance(sigma, list | tuple) else (sigma,)), cval)
    dtype = images.target(name, output, x, is_complex(x))
    parts = _gaussian_parts(name, x, sigma, 1, dtype, mode, cval, axes, kwargs)
    if not parts:
        result = images.cast(x, dtype)
    elif dtype.kind == "f":
        result = gnp.linalg.norm(gnp.stack(parts), axis=0)
    else:
        result = images.cast(gnp.sqrt(sum(p * p for p in parts)), dtype)
    return images.delivered(name, result, output)
