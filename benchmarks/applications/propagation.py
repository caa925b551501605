"""Propagation of light: by its angular spectrum, and to a focus by matrix Fourier transforms.

The angular spectrum over a distance d multiplies the Fourier transform of a field by
exp(2πi d √(1/λ² - f²)); plane waves with f > 1/λ decay (Goodman, Introduction to Fourier Optics,
section 3.10). A lens with a pupil of D elements gives in its focal plane, at N points that are m
units of λ/D wide, m/(DN) E₁ a E₂ with E[k, j] = exp(-2πi u[k] x[j]), x the places in the pupil and
u those in the focal plane: two products of matrices, of which only what is wanted is computed
(Soummer, Pueyo, Sivaramakrishnan and Vanderbei, Opt. Express 15, 15935, 2007).
"""

import numpy as np


def spectral_factor(n, spacing, wavelength, distance):
    """What the transform of an n x n field is multiplied by over a distance."""
    f = np.fft.fftfreq(n, spacing)
    squares = 1 / wavelength**2 - f[:, None] ** 2 - f**2
    return np.exp(2j * np.pi * distance * np.sqrt(squares.astype(complex)))


def squared_difference(xp, field, intensity):
    """Half the sum of (|field|² - what was measured)²."""
    found = xp.real(field) ** 2 + xp.imag(field) ** 2
    return 0.5 * xp.sum((found - intensity) ** 2)


def holography_loss(xp, field, factor, intensity):
    """Of a complex field whose intensity was measured further on."""
    there = xp.fft.ifft2(factor * xp.fft.fft2(field))
    return squared_difference(xp, there, intensity)


def focal_factor(pupil, points, width):
    """E, (points, pupil), times the square root of m/(DN)."""
    x = (np.arange(pupil) - pupil / 2 + 0.5) / pupil
    u = (np.arange(points) - points / 2 + 0.5) * width / points
    scale = np.sqrt(width / (pupil * points))
    return scale * np.exp(-2j * np.pi * u[:, None] * x)


def focus_loss(xp, phase, aperture, factor, intensity):
    """Of the phase in a pupil, whose focal plane has this intensity."""
    field = aperture * (xp.cos(phase) + 1j * xp.sin(phase))
    return squared_difference(xp, factor @ field @ factor.T, intensity)


def make_holography(rng, n):
    factor = spectral_factor(n, 0.5, 0.6, 20.0)
    field = np.exp(0.5j * rng.standard_normal((n, n)))
    intensity = np.abs(np.fft.ifft2(factor * np.fft.fft2(field))) ** 2
    move = rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
    return [np.ones_like(field), factor, intensity], [move]


def make_focus(rng, pupil, points):
    x = (np.arange(pupil) - pupil / 2 + 0.5) / pupil
    radius = np.sqrt(x[:, None] ** 2 + x**2)
    aperture = ((radius < 0.5) & (radius > 0.1)).astype(float)
    factor = focal_factor(pupil, points, 16.0)
    phase = 3 * np.sin(4 * x[:, None]) * np.cos(5 * x) + x
    intensity = np.abs(factor @ (aperture * np.exp(1j * phase)) @ factor.T) ** 2
    guess = phase + 0.3 * np.cos(9 * x)[:, None]
    return [guess, aperture, factor, intensity], [rng.standard_normal(phase.shape)]
