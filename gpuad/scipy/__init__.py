"""SciPy's functions, on arrays and on traced arrays, under the names of SciPy's modules.

Some functions of SciPy let a traced array in: its ufuncs (``scipy.special.erf``) need nothing of
this package. The others ask for a plain array, and the error that a traced one raises there names
the function to write instead: `gpuad.scipy.linalg.cho_solve` for ``scipy.linalg.cho_solve``. With
``SCIPY_ARRAY_API=1`` in the environment before SciPy is imported, it lets traced arrays in where it
is written for other arrays than NumPy's (Fourier transforms, nearly all of `scipy.special`,
``scipy.linalg.block_diag``, ``scipy.signal.resample``, and where values are known averages such as
``scipy.stats.gmean``); special functions take plain ones beside them. The distributions of
`scipy.stats` ask for plain arrays, and the error says their formula. A function here takes NumPy
arrays, for which it is SciPy's own, CuPy arrays, for which it is that of `cupyx.scipy`, and traced
arrays.

Examples
--------
>>> import numpy as np, gpuad as ad
>>> ad.grad(lambda x: ad.scipy.special.logsumexp(x))(np.zeros(2))
array([0.5, 0.5])
"""

from gpuad.scipy import fft, interpolate, linalg, ndimage, signal, spatial, special

__all__ = ["fft", "interpolate", "linalg", "ndimage", "signal", "spatial", "special"]
