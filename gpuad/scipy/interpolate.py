"""Interpolation under the names of `scipy.interpolate`.

The values may be traced, and so may be the points. For plain arrays, too, these are classes of this
package: an object of SciPy's takes no traced points.
"""

from typing import TYPE_CHECKING

from gpuad.numpy._arguments import alias
from gpuad.numpy._missing import only
from gpuad.scipy._interpolants import RegularGridInterpolator, interp1d
from gpuad.scipy._pieces import (
    Akima1DInterpolator,
    CubicHermiteSpline,
    CubicSpline,
    PchipInterpolator,
    PPoly,
)

__all__ = [
    "Akima1DInterpolator", "CubicHermiteSpline", "CubicSpline", "PPoly", "PchipInterpolator",
    "RegularGridInterpolator", "interp1d",
]  # fmt: skip

for _name in __all__:
    alias(f"scipy.interpolate.{_name}", globals()[_name])

if not TYPE_CHECKING:  # with it a type checker would take every name for an attribute
    __getattr__, __dir__ = only(__name__, __all__)
