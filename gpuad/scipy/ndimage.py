"""Images filtered and resampled, under the names of `scipy.ndimage`."""

from typing import TYPE_CHECKING

from gpuad.numpy._missing import only
from gpuad.scipy._image_filters import (
    convolve,
    convolve1d,
    correlate,
    correlate1d,
    uniform_filter,
    uniform_filter1d,
)
from gpuad.scipy._image_ranks import (
    grey_closing,
    grey_dilation,
    grey_erosion,
    grey_opening,
    maximum_filter,
    maximum_filter1d,
    median_filter,
    minimum_filter,
    minimum_filter1d,
    percentile_filter,
    rank_filter,
)
from gpuad.scipy._image_resampling import (
    affine_transform,
    map_coordinates,
    rotate,
    shift,
    zoom,
)
from gpuad.scipy._image_smoothing import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
    laplace,
    prewitt,
    sobel,
)
from gpuad.scipy._image_splines import spline_filter, spline_filter1d

__all__ = [
    "affine_transform", "convolve", "convolve1d", "correlate", "correlate1d", "gaussian_filter",
    "gaussian_filter1d", "gaussian_gradient_magnitude", "gaussian_laplace", "grey_closing",
    "grey_dilation", "grey_erosion", "grey_opening", "laplace", "map_coordinates", "maximum_filter",
    "maximum_filter1d", "median_filter", "minimum_filter", "minimum_filter1d", "percentile_filter",
    "prewitt", "rank_filter", "rotate", "shift", "sobel", "spline_filter", "spline_filter1d",
    "uniform_filter", "uniform_filter1d", "zoom",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)
