"""Fits of spectra: Voigt lines, and the asymmetric lines of metals.

A Voigt line is a Lorentz line of half-width γ seen through a normal distribution of width σ,
Re w((x + iγ)/(σ√2))/(σ√(2π)) with Faddeeva's function w. In photoemission from metals a line has a
tail towards smaller kinetic energies, cos(πα/2 + (1-α) arctan(e/γ)) / (e² + γ²)^((1-α)/2) with
e = x - centre (Doniach and Šunjić, J. Phys. C 3, 285, 1970), which is a Lorentz line for α = 0.
"""

import numpy as np


def voigt_lines(xp, scipy, p, x):
    """At x, of p (..., lines, 4): area, centre, σ and γ of each line."""
    area, centre, sigma, gamma = (p[..., k, None] for k in range(4))
    lines = area * scipy.special.voigt_profile(x - centre, sigma, gamma)
    return xp.sum(lines, axis=-2)


def doniach_sunjic_lines(xp, p, x):
    """At x, of p (..., lines, 4): height, centre, γ and α of each line.

    The height is the value at the centre of a line with α = 0.
    """
    height, centre, gamma, alpha = (p[..., k, None] for k in range(4))
    e = (x - centre) / gamma
    phase = xp.pi / 2 * alpha + (1 - alpha) * xp.arctan(e)
    decay = xp.exp(-0.5 * (1 - alpha) * xp.log1p(e * e))
    return xp.sum(height * xp.cos(phase) * decay, axis=-2)


def voigt_loss(xp, scipy, p, x, seen):
    """Half the sum of the squared residuals of spectra, (spectra, len(x))."""
    return 0.5 * xp.sum((voigt_lines(xp, scipy, p, x) - seen) ** 2)


def doniach_sunjic_loss(xp, p, x, seen):
    """The same with the asymmetric lines."""
    return 0.5 * xp.sum((doniach_sunjic_lines(xp, p, x) - seen) ** 2)


VOIGT = np.array([[2.0, -1.5, 0.4, 0.3], [1.0, 1.0, 0.3, 0.5]])
DONIACH_SUNJIC = np.array([[2.0, -1.5, 0.3, 0.1], [1.0, 1.0, 0.4, 0.2]])


def make(rng, lines, spectra, channels):
    """Spectra with parameters within some 5 % of those of the lines."""
    p = lines * (1 + 0.05 * rng.standard_normal((spectra, *lines.shape)))
    x = np.linspace(-5, 5, channels)
    return [p, x, rng.uniform(0, 1, (spectra, channels))], [rng.standard_normal(p.shape)]
