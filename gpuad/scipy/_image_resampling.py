"""Images read between their elements: coordinates, shifts, zooms and affine maps."""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.graph import Atom
from gpuad.numpy._arguments import shape_of
from gpuad.numpy._dispatch import broadcast_to_shape, implements
from gpuad.primitives.indexing import gather
from gpuad.scipy import _images as images
from gpuad.scipy._image_splines import checked_order, coefficients, taps
from gpuad.tracing import Tracer
from gpuad.tracing.record import apply

AROUND = 12
"""How many elements SciPy puts around images whose continuation no filter starts with."""


class Resampling:
    """The arguments that all functions here share, checked, and the image prepared, which is read
    along its first axes (`count`, or all)."""

    def __init__(self, name: str, input: Any, output: Any, order: Any, mode: Any, cval: Any,
                 prefilter: Any, others: Sequence[Any] = (), count: int | None = None):  # fmt: skip
        x = images.lifted(input, *others, cval)
        if not x.ndim:
            raise ArgumentError(f"{name}: input is a number; give an array with an axis.")
        self.order, self.mode = checked_order(name, order), images.checked_mode(name, mode)
        self.dtype = images.target(name, output, x, x.dtype.kind == "c")
        self.shape = x.shape[:count]
        self.around, count = 0, len(self.shape)
        if prefilter and self.order > 1:
            if self.mode in ("nearest", "grid-constant"):
                self.around = AROUND
                widths = [(AROUND, AROUND) if i < count else (0, 0) for i in range(x.ndim)]
                x = images.padded(x, widths, [self.mode] * x.ndim, images.like(cval, x.dtype))
        x = images.cast(x, images.working(x, self.dtype))
        if prefilter:
            for axis in range(count):
                x = coefficients(x, self.order, axis, self.mode)
        self.x, self.cval = x, cval

    def coordinate(self, c: Any) -> Any:
        """Coordinates in the precision in which they are computed."""
        single = self.x.dtype.name in ("float32", "complex64") and c.dtype == np.float32
        return images.cast(c, np.dtype(np.float32 if single else np.float64)) + self.around

    def taps(self, c: Any, axis: int) -> Any:
        """See `taps`, with weights in the precision of the image."""
        n = self.x.shape[axis]
        elements, weights, *inside = taps(c, n, self.order, self.mode)
        real = np.dtype(self.x.real.dtype)
        return elements, [images.cast(w, real) for w in weights], *inside

    def done(self, result: Any, inside: Sequence[Any]) -> Any:
        """The result where all coordinates lie inside, else `cval`, in the dtype asked for."""
        if inside:
            here = images.summed(inside, operator.and_)
            result = gnp.where(here, result, images.like(self.cval, result.dtype))
        return images.rounded(result, self.dtype)

    def empty(self, shape: tuple[int, ...]) -> Any:
        """The result if the image or the result has no elements."""
        value = images.cast(gnp.sum(self.x) * 0 + self.cval, self.x.dtype)
        return self.done(gnp.broadcast_to(value, shape), [])

    def at(self, coordinates: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """The image at coordinates, one array for each axis, of shapes that broadcast."""
        count = len(self.shape)
        sizes, others = self.x.shape[:count], self.x.shape[count:]
        if images.is_empty(self.x) or not math.prod(shape):
            return self.empty((*shape, *others))
        found = [self.taps(self.coordinate(c), i) for i, c in enumerate(coordinates)]
        strides = np.cumprod([1, *sizes[:0:-1]])[::-1].tolist()
        flat = gnp.reshape(self.x, (math.prod(sizes), *others))

        def ahead(v: Any) -> Any:
            return gnp.reshape(v, (*v.shape, *[1] * len(others))) if others else v

        parts = []
        for choice in itertools.product(range(self.order + 1), repeat=len(found)):
            index = sum(f[0][k] * s for f, k, s in zip(found, choice, strides, strict=True))
            part = apply(lambda v, i: _read(v, i, shape), flat, index)
            present = [f[2][k] for f, k in zip(found, choice, strict=True) if f[2]]
            if present:
                here = ahead(images.summed(present, operator.and_))
                part = gnp.where(here, part, images.like(self.cval, part.dtype))
            weights = [ahead(f[1][k]) for f, k in zip(found, choice, strict=True) if f[1]]
            parts.append(images.summed([*weights, part], operator.mul))
        inside = [ahead(f[3]) for f in found if f[3] is not None]
        return self.done(images.summed(parts), inside)

    def along_axes(self, coordinates: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """The same with a vector of coordinates for each axis: one axis after the other."""
        if images.is_empty(self.x) or not math.prod(shape):
            return self.empty(shape)
        x, inside = self.x, []
        for axis, c in enumerate(coordinates):
            elements, weights, present, within = self.taps(self.coordinate(c), axis)
            ahead = [1] * len(shape)
            ahead[axis] = -1
            parts = []
            for k, element in enumerate(elements):
                part = gnp.moveaxis(_rows(gnp.moveaxis(x, axis, 0), element), 0, axis)
                if present:
                    here = gnp.reshape(present[k], ahead)
                    part = gnp.where(here, part, images.like(self.cval, part.dtype))
                parts.append(gnp.reshape(weights[k], ahead) * part if weights else part)
            x = images.summed(parts)
            if within is not None:
                inside.append(gnp.reshape(within, ahead))
        return self.done(x, inside)


def _read(v: Atom, index: Atom, shape: tuple[int, ...]) -> Atom:
    return gather(v, broadcast_to_shape(index, shape), batch=0)


def _rows(x: Any, places: Any) -> Any:
    return apply(lambda v, i: gather(v, i, batch=0), x, places)


@implements(name="scipy.ndimage.map_coordinates")
def map_coordinates(
    input: Any, coordinates: Any, output: Any = None, order: int = 3, mode: str = "constant",
    cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """The image at `coordinates` (an array for each axis), by B-splines of this order, 0 to 5.

    Derivatives by the image and by the coordinates are those of the spline. At an element, where a
    spline of order 1 has a kink, it is that of the piece behind it; of order 0 it is 0. Where
    `mode` is "constant", the value outside is `cval`, and its derivative 0.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([0.0, 1.0, 4.0, 9.0])
    >>> at = lambda c: ad.scipy.ndimage.map_coordinates(x, c, order=1).sum()
    >>> ad.grad(at)(np.array([[0.5, 1.5, 7.0]]))
    array([[ 1.,  3., -0.]])
    """
    name = "map_coordinates"
    coordinates = images.lifted(coordinates, input, cval)
    r = Resampling(name, input, output, order, mode, cval, prefilter, (coordinates,))
    if coordinates.dtype.kind == "c":
        raise DTypeError(f"{name}: coordinates are {coordinates.dtype}; give real ones.")
    if coordinates.ndim < 2 or coordinates.shape[0] != len(r.shape):
        raise ArgumentError(
            f"{name}: coordinates have shape {coordinates.shape}; give ({len(r.shape)}, ...), an "
            "array for each axis of the image."
        )
    found = r.at([coordinates[i] for i in range(len(r.shape))], coordinates.shape[1:])
    return images.delivered(name, found, output)


@implements(name="scipy.ndimage.shift")
def shift(
    input: Any, shift: Any, output: Any = None, order: int = 3, mode: str = "constant",
    cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """The image moved by `shift` elements, for all axes or one for each; see `map_coordinates`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([0.0, 1.0, 4.0, 9.0])
    >>> moved = lambda s: ad.scipy.ndimage.shift(x, s, order=1, mode="nearest").sum()
    >>> ad.grad(moved)(0.25)
    np.float64(-9.0)
    """
    ndim = len(shape_of(input))
    shifts = images.each("shift", "shift", shift, ndim)
    r = Resampling("shift", input, output, order, mode, cval, prefilter, shifts)
    coordinates = [images.beside(np.arange(float(n)), r.x) - s
                   for n, s in zip(r.shape, shifts, strict=True)]  # fmt: skip
    return images.delivered("shift", r.along_axes(coordinates, r.shape), output)


@implements(name="scipy.ndimage.zoom")
def zoom(
    input: Any, zoom: Any, output: Any = None, order: int = 3, mode: str = "constant",
    cval: Any = 0.0, prefilter: bool = True, *, grid_mode: bool = False,
) -> Any:  # fmt: skip
    """The image made larger by a factor, for all axes or one for each; see `map_coordinates`.

    With `grid_mode` the edges of the first and last elements stay in place, not their centres.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> ad.grad(lambda x: ad.scipy.ndimage.zoom(x, 2, order=1)[1])(np.zeros(3)).round(12)
    array([0.6, 0.4, 0. ])
    """
    why = "The shape of the result depends on it; map_coordinates takes traced coordinates."
    zoom = images.known("zoom", "zoom", zoom, why)
    ndim = len(shape_of(input))
    factors = images.each("zoom", "zoom", zoom, ndim)
    shape = tuple([round(n * float(z)) for n, z in zip(shape_of(input), factors, strict=True)])
    if prefilter and all(z == 1 for z in factors):
        x = images.lifted(input, cval)
        result = images.cast(x, images.target("zoom", output, x, x.dtype.kind == "c"))
        return images.delivered("zoom", result, output)
    r = Resampling("zoom", input, output, order, mode, cval, prefilter)
    coordinates = []
    for n, m in zip(r.shape, shape, strict=True):
        n, m, half = (n, m, 0.5) if grid_mode else (n - 1, m - 1, 0.0)
        step = n / m if m else 1.0
        places = (np.arange(float(m if grid_mode else m + 1)) + half) * step - half
        coordinates.append(images.beside(places, r.x))
    return images.delivered("zoom", r.along_axes(coordinates, shape), output)


# Affine maps


def _homogeneous(matrix: Any, offset: Any, ndim: int) -> tuple[Any, Any]:
    """A matrix of homogeneous coordinates as a matrix and an offset."""
    shape = shape_of(matrix)
    if len(shape) == 2 and shape[1] == ndim + 1 and shape[0] in (ndim, ndim + 1):
        if shape[0] == ndim + 1 and not isinstance(matrix, Tracer):
            below = [0] * ndim + [1]
            if not np.array_equal(np.asarray(matrix)[ndim], below):
                raise ArgumentError(f"affine_transform: the last row of matrix must be {below}.")
        return matrix[:ndim, :ndim], matrix[:ndim, ndim]
    return matrix, offset


@implements(name="scipy.ndimage.affine_transform")
def affine_transform(
    input: Any, matrix: Any, offset: Any = 0.0, output_shape: Any = None, output: Any = None,
    order: int = 3, mode: str = "constant", cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """The image at ``matrix @ o + offset`` for the indices o of the result; see `map_coordinates`.

    A vector `matrix` is a diagonal one; one with a column more holds the offset, too. The last row
    of a homogeneous matrix must be 0, ..., 0, 1; that of a traced one is not looked at.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.arange(9.0).reshape(3, 3) ** 2
    >>> turned = lambda m: ad.scipy.ndimage.affine_transform(x, m, 0.25, order=1)[1, 1]
    >>> ad.grad(turned)(np.eye(2))
    array([[34.5, 34.5],
           [10.5, 10.5]])
    """
    name = "affine_transform"
    matrix = matrix if isinstance(matrix, Tracer) else np.asarray(matrix, float)
    offsets = list(offset) if images.is_sequence(offset) else [offset]
    r = Resampling(name, input, output, order, mode, cval, prefilter, (matrix, *offsets))
    ndim = len(r.shape)
    matrix, offset = _homogeneous(matrix, offset, ndim)
    offset = offset.tolist() if isinstance(offset, np.ndarray) else offset
    offsets = images.each(name, "offset", offset, ndim)
    if output_shape is None:
        shape = getattr(output, "shape", None) if not isinstance(output, type) else None
        output_shape = shape if isinstance(shape, tuple) and shape else r.shape
    shape = tuple([operator.index(n) for n in output_shape])
    rows = (ndim,) if matrix.ndim == 1 else (ndim, len(shape))
    if tuple(matrix.shape) != rows:
        raise ArgumentError(
            f"{name}: matrix has shape {matrix.shape}; give ({ndim}, {len(shape)}), a row for each "
            "axis of the image and a column for each of the result."
        )
    matrix = images.beside(matrix, r.x)
    steps = [images.beside(np.arange(float(n)), r.x) for n in shape]
    if matrix.ndim == 1:
        places = [matrix[i] * s + o for i, (s, o) in enumerate(zip(steps, offsets, strict=True))]
        return images.delivered(name, r.along_axes(places, shape), output)
    steps = [gnp.reshape(s, [-1 if i == k else 1 for i in range(len(shape))])
             for k, s in enumerate(steps)]  # fmt: skip
    places = [sum(matrix[i, k] * s for k, s in enumerate(steps)) + offsets[i] for i in range(ndim)]
    return images.delivered(name, r.at(places, shape), output)


@implements(name="scipy.ndimage.rotate")
def rotate(
    input: Any, angle: Any, axes: Any = (1, 0), reshape: bool = True, output: Any = None,
    order: int = 3, mode: str = "constant", cval: Any = 0.0, prefilter: bool = True,
) -> Any:  # fmt: skip
    """The image turned by an angle in degrees in the plane of two axes; see `map_coordinates`.

    A traced angle takes ``reshape=False``, for the shape of the result would depend on it.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([[0.0, 1.0, 0.0], [0.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    >>> turned = lambda a: ad.scipy.ndimage.rotate(x, a, reshape=False, order=1)[1, 2]
    >>> ad.grad(turned)(0.0).round(6)
    np.float64(-0.069813)
    """
    shape = shape_of(input)
    if len(shape) < 2:
        raise ArgumentError(f"rotate: input has shape {shape}; give at least two axes.")
    first, second = sorted(images.axes_of("rotate", tuple(axes), len(shape)))
    if reshape:
        angle = images.known(
            "rotate", "angle", angle, "Its result has another shape: write reshape=False."
        )
    cos, sin = _turn(angle)
    sizes = np.array([shape[first], shape[second]])
    plane = sizes
    if reshape:
        corners = np.array([[0, 0, sizes[0], sizes[0]], [0, sizes[1], 0, sizes[1]]])
        bounds = np.array([[cos, sin], [-sin, cos]]) @ corners
        plane = (np.ptp(bounds, axis=1) + 0.5).astype(int)
    x = gnp.moveaxis(images.lifted(input, angle, cval), (first, second), (0, 1))
    dtype = images.target("rotate", output, x, x.dtype.kind == "c")
    r = Resampling("rotate", x, dtype, order, mode, cval, prefilter, (), 2)
    turned = r.at(_rotated(r, sizes, plane, cos, sin), tuple(plane.tolist()))
    turned = gnp.moveaxis(turned, (0, 1), (first, second))
    return images.delivered("rotate", turned, output)


def _turn(angle: Any) -> tuple[Any, Any]:
    """The cosine and the sine of degrees, exact at right angles."""
    if not isinstance(angle, Tracer):
        import scipy.special

        return scipy.special.cosdg(angle), scipy.special.sindg(angle)
    quarter: Any = gnp.round(gnp.divide(angle, 90))
    rest = gnp.subtract(angle, 90 * quarter) * (math.pi / 180)
    cos, sin = gnp.cos(rest), gnp.sin(rest)
    turns = gnp.remainder(quarter, 4)
    odd, sign = turns % 2 == 1, gnp.where(turns >= 2, -1.0, 1.0)
    return sign * gnp.where(odd, -sin, cos), sign * gnp.where(odd, cos, sin)


def _rotated(r: Resampling, sizes: Any, plane: Any, cos: Any, sin: Any) -> list[Any]:
    """The coordinates of the elements of a plane that is turned about its middle."""
    rows, columns = [images.beside(np.arange(float(n)), r.x) for n in plane]
    rows = gnp.expand_dims(rows, 1)
    middle = (plane - 1) / 2
    places = []
    for k, (a, b) in enumerate([(cos, sin), (-sin, cos)]):
        offset = (sizes[k] - 1) / 2 - (a * middle[0] + b * middle[1])
        places.append(a * rows + b * columns + offset)
    return places
