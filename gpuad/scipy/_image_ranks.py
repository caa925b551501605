"""Extremes and ranks of windows, of `scipy.ndimage`: filters that choose an element."""

import operator
import warnings
from typing import Any

import numpy as np

import gpuad.numpy as gnp
from gpuad.errors import ArgumentError, DTypeError
from gpuad.numpy._dispatch import implements, normalize_axis
from gpuad.scipy import _images as images
from gpuad.tracing import Tracer

AT_ONCE = 64
"""Larger windows are taken apart: an axis after the other, if all of their elements count."""


class Window:
    """The elements of a window over some axes, checked: its footprint, origins and modes."""

    def __init__(self, name: str, x: Any, size: Any, footprint: Any, mode: Any, origin: Any,
                 axes: Any):  # fmt: skip
        if x.dtype.kind == "c":
            raise DTypeError(f"{name}: input is {x.dtype}, which has no order; give real values.")
        if size is None and footprint is None:
            raise ArgumentError(f"{name}: neither size nor footprint is given; give one of them.")
        if size is not None and footprint is not None:
            warnings.warn("ignoring size because footprint is set", UserWarning, stacklevel=6)
        self.name, self.places = name, list(images.axes_of(name, axes, x.ndim))
        count = len(self.places)
        self.modes = [images.checked_mode(name, m) for m in images.each(name, "mode", mode, count)]
        self.origins = images.each(name, "origin", origin, count)
        if footprint is None:
            sizes = images.each(name, "size", images.known(name, "size", size, ""), count)
            footprint = np.ones([int(n) for n in sizes], bool)
        elif count < x.ndim:  # SciPy sorts the axes: the footprint lies along them in that order
            named = sorted(zip(self.places, self.modes, self.origins, strict=True))
            self.places, self.modes, self.origins = map(list, zip(*named, strict=True))
        else:
            self.places = list(range(count))
        self.footprint = np.asarray(footprint, bool)
        if self.footprint.ndim != count or not self.footprint.any():
            raise ArgumentError(
                f"{name}: a window of shape {self.footprint.shape} over {count} axes; give as many "
                "axes, with something in it."
            )

    def elements(self, x: Any, cval: Any) -> list[Any]:
        """The image moved to each place of the footprint."""
        widths, modes = [(0, 0)] * x.ndim, ["constant"] * x.ndim
        shape = self.footprint.shape
        for place, n, m, o in zip(self.places, shape, self.modes, self.origins, strict=True):
            widths[place], modes[place] = images.reach(self.name, n, o), m
        whole = images.padded(x, widths, modes, cval)
        found = []
        for at in np.argwhere(self.footprint):
            part = whole
            for place, start in zip(self.places, at.tolist(), strict=True):
                part = images.piece(part, place, start, x.shape[place])
            found.append(part)
        return found

    def lines(self) -> list[tuple[int, int, str, Any]]:
        """The axis, size, mode and origin of each, if the window is full and large."""
        if not self.footprint.all() or self.footprint.size <= AT_ONCE:
            return []
        return list(zip(self.places, self.footprint.shape, self.modes, self.origins, strict=True))


def _largest(x: Any, window: Window, cval: Any, structure: Any, is_max: bool) -> Any:
    if images.is_empty(x):
        return x
    for axis, size, mode, origin in window.lines() if structure is None else []:
        line = Window(window.name, x, size, None, mode, origin, axis)
        parts = line.elements(x, images.like(cval, x.dtype))
        x = _extreme(parts, is_max)
    if structure is None and window.lines():
        return x
    parts = window.elements(x, images.like(cval, x.dtype))
    if structure is not None:
        places = np.argwhere(window.footprint).tolist()
        heights = [structure[tuple(at)] if is_max else -structure[tuple(at)] for at in places]
        parts = [_raised(p, h, k > 0) for k, (p, h) in enumerate(zip(parts, heights, strict=True))]
    return _extreme(parts, is_max)


def _raised(part: Any, height: Any, is_later: bool) -> Any:
    """An element plus one of the structure, of which SciPy takes whole numbers to integers, but for
    the first one."""
    dtype = part.dtype
    if dtype.kind not in "f" and is_later:
        height = gnp.trunc(height)
    return images.truncated(images.cast(part, height.dtype) + height, dtype)


def _extreme(parts: list[Any], is_max: bool) -> Any:
    return (gnp.max if is_max else gnp.min)(gnp.stack(parts), axis=0)


def _extreme_filter(name: str, input: Any, size: Any, footprint: Any, output: Any, mode: Any,
                    cval: Any, origin: Any, axes: Any, is_max: bool, structure: Any = None,
                    ) -> Any:  # fmt: skip
    x = images.lifted(input, cval, structure)
    if structure is not None:
        structure = structure if isinstance(structure, Tracer) else np.asarray(structure, float)
        footprint = np.ones(structure.shape, bool) if footprint is None else footprint
        size = None
    dtype = images.target(name, output, x, False)
    window = Window(name, x, size, footprint, mode, origin, axes)
    if structure is not None:
        if structure.shape != window.footprint.shape:
            raise ArgumentError(
                f"{name}: structure has shape {structure.shape}, the footprint "
                f"{window.footprint.shape}; make them alike."
            )
        structure = images.cast(structure, images.working(x, x.dtype))
    result = images.truncated(_largest(x, window, cval, structure, is_max), dtype)
    return images.delivered(name, result, output)


@implements(name="scipy.ndimage.maximum_filter")
def maximum_filter(
    input: Any, size: Any = None, footprint: Any = None, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The largest element of each window, of some `size` or where `footprint` is true.

    Elements that are equally large share the derivative. All elements of windows are held at once,
    if they are not fused; of windows with more than 64 elements those along one axis after the
    other.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([1.0, 3.0, 2.0, 5.0])
    >>> ad.grad(lambda x: ad.scipy.ndimage.maximum_filter(x, 3).sum())(x)
    array([0., 2., 0., 2.])
    """
    return _extreme_filter(
        "maximum_filter", input, size, footprint, output, mode, cval, origin, axes, True
    )


@implements(name="scipy.ndimage.minimum_filter")
def minimum_filter(
    input: Any, size: Any = None, footprint: Any = None, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The smallest element of each window; see `maximum_filter`."""
    return _extreme_filter(
        "minimum_filter", input, size, footprint, output, mode, cval, origin, axes, False
    )


def _of_lines(name: str, input: Any, size: int, axis: int, output: Any, mode: str, cval: Any,
              origin: int, is_max: bool) -> Any:  # fmt: skip
    ndim = images.lifted(input, cval).ndim
    place = normalize_axis(axis, ndim, name)
    return _extreme_filter(name, input, size, None, output, mode, cval, origin, place, is_max)


@implements(name="scipy.ndimage.maximum_filter1d")
def maximum_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """The largest of `size` elements along an axis; see `maximum_filter`."""
    return _of_lines("maximum_filter1d", input, size, axis, output, mode, cval, origin, True)


@implements(name="scipy.ndimage.minimum_filter1d")
def minimum_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """The smallest of `size` elements along an axis; see `maximum_filter`."""
    return _of_lines("minimum_filter1d", input, size, axis, output, mode, cval, origin, False)


# Ranks


def _ranked(name: str, input: Any, rank_of: Any, size: Any, footprint: Any, output: Any, mode: Any,
            cval: Any, origin: Any, axes: Any) -> Any:  # fmt: skip
    x = images.lifted(input, cval)
    dtype = images.target(name, output, x, False)
    window = Window(name, x, size, footprint, mode, origin, axes)
    count = int(window.footprint.sum())
    rank = operator.index(rank_of(count))
    if not -count <= rank < count:
        raise ArgumentError(f"{name}: rank {rank} of {count} elements; give less than {count}.")
    if images.is_empty(x):
        result = x
    elif rank % count in (0, count - 1):
        result = _largest(x, window, cval, None, rank % count > 0)
    else:
        parts = window.elements(x, images.like(cval, x.dtype))
        result = gnp.sort(gnp.stack(parts), axis=0)[rank]
    return images.delivered(name, images.truncated(result, dtype), output)


@implements(name="scipy.ndimage.rank_filter")
def rank_filter(
    input: Any, rank: int, size: Any = None, footprint: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The element of this rank of each window, from 0 for the smallest one; see `maximum_filter`.

    Of elements that are equal the derivative goes to one.
    """
    images.known("rank_filter", "rank", rank, "")
    return _ranked(
        "rank_filter", input, lambda count: rank, size, footprint, output, mode, cval, origin, axes
    )


@implements(name="scipy.ndimage.median_filter")
def median_filter(
    input: Any, size: Any = None, footprint: Any = None, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The median of each window, of an even number of elements the larger one; see `rank_filter`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x = np.array([1.0, 9.0, 3.0, 4.0])
    >>> ad.grad(lambda x: ad.scipy.ndimage.median_filter(x, 3).sum())(x)
    array([1., 0., 1., 2.])
    """
    return _ranked(
        "median_filter", input, lambda count: count // 2, size, footprint, output, mode, cval,
        origin, axes,
    )  # fmt: skip


@implements(name="scipy.ndimage.percentile_filter")
def percentile_filter(
    input: Any, percentile: Any, size: Any = None, footprint: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The element of each window below which this percentage of them lies; see `rank_filter`."""
    name = "percentile_filter"
    share = float(images.known(name, "percentile", percentile, ""))
    share = share + 100 if share < 0 else share
    if not 0 <= share <= 100:
        raise ArgumentError(f"{name}: percentile={percentile}; give a number from -100 to 100.")

    def rank_of(count: int) -> int:
        return count - 1 if share == 100 else int(count * share / 100)

    return _ranked(name, input, rank_of, size, footprint, output, mode, cval, origin, axes)


# Grey morphology


@implements(name="scipy.ndimage.grey_erosion")
def grey_erosion(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The smallest element of each window, less `structure`; see `maximum_filter`."""
    return _extreme_filter(
        "grey_erosion", input, size, footprint, output, mode, cval, origin, axes, False, structure
    )


@implements(name="scipy.ndimage.grey_dilation")
def grey_dilation(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """The largest element of each window that is turned round, plus `structure`.

    Examples
    --------
    >>> import numpy as np, gpuad as ad
    >>> x, dilated = np.array([0.0, 4.0, 1.0]), ad.scipy.ndimage.grey_dilation
    >>> ad.grad(lambda s: dilated(x, structure=s).sum())(np.zeros(3))
    array([1., 1., 1.])
    """
    ndim = images.lifted(input, cval, structure).ndim
    count = len(images.axes_of("grey_dilation", axes, ndim))
    if structure is not None:
        structure = gnp.flip(structure if isinstance(structure, Tracer) else np.asarray(structure))
    if footprint is not None:
        footprint = np.flip(np.asarray(footprint))
    window = footprint if footprint is not None else structure
    if window is None:
        sizes = images.each("grey_dilation", "size", size, count)
    else:
        sizes = window.shape
    origins = images.each("grey_dilation", "origin", origin, count)
    origins = [-o - (n is not None and n % 2 == 0) for o, n in zip(origins, sizes, strict=True)]
    return _extreme_filter(
        "grey_dilation", input, size, footprint, output, mode, cval, origins, axes, True, structure
    )


@implements(name="scipy.ndimage.grey_opening")
def grey_opening(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """`grey_erosion` and then `grey_dilation`."""
    low = grey_erosion(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    return grey_dilation(low, size, footprint, structure, output, mode, cval, origin, axes=axes)


@implements(name="scipy.ndimage.grey_closing")
def grey_closing(
    input: Any, size: Any = None, footprint: Any = None, structure: Any = None, output: Any = None,
    mode: Any = "reflect", cval: Any = 0.0, origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """`grey_dilation` and then `grey_erosion`."""
    high = grey_dilation(input, size, footprint, structure, None, mode, cval, origin, axes=axes)
    return grey_erosion(high, size, footprint, structure, output, mode, cval, origin, axes=axes)
