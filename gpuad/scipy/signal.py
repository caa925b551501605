"""Convolutions and filters under the names of `scipy.signal`."""

from typing import TYPE_CHECKING

from gpuad.numpy._missing import only
from gpuad.scipy._convolution import (
    convolve,
    convolve2d,
    correlate,
    correlate2d,
    fftconvolve,
    oaconvolve,
)
from gpuad.scipy._filters import filtfilt, lfilter, lfilter_zi, sosfilt
from gpuad.scipy._smoothing import detrend, hilbert, savgol_filter

__all__ = [
    "convolve", "convolve2d", "correlate", "correlate2d", "detrend", "fftconvolve", "filtfilt",
    "hilbert", "lfilter", "lfilter_zi", "oaconvolve", "savgol_filter", "sosfilt",
]  # fmt: skip

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)
