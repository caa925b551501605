"""Ptychography: an object and a probe from diffraction patterns at overlapping positions.

The probe times a patch of the object leaves it as a wave; a detector far away counts photons with
expectation |fft2(wave)|² + background. The loss is the negative logarithm of the Poisson likelihood
without its constants (Thibault and Guizar-Sicairos, New J. Phys. 14, 063004, 2012).
"""

import numpy as np

BACKGROUND = 0.1


def patches(thing, corners, size):
    """The squares of the object at the corners, (positions, size, size)."""
    rows, columns = corners[:, :, None] + np.arange(size)[None, None, :]
    return thing[rows[:, :, None], columns[:, None, :]]


def loss(xp, probe, thing, corners, counts):
    """Of a complex probe and a complex object; corners: (2, positions)."""
    waves = xp.fft.fft2(probe * patches(thing, corners, len(probe)))
    expected = xp.real(waves) ** 2 + xp.imag(waves) ** 2 + BACKGROUND
    return xp.sum(expected - counts * xp.log(expected))


def make(rng, size, across, spacing):
    """`across`² positions, `spacing` apart but for a shift of at most one element."""
    n = size + spacing * across
    steps = spacing * np.arange(across)
    corners = np.stack(np.meshgrid(steps, steps)).reshape(2, -1)
    corners = corners + rng.integers(0, 2, corners.shape)
    at = (np.arange(size) - size / 2) / (size / 4)
    probe = np.exp(-(at[:, None] ** 2) - at**2) * np.exp(1j * at)
    thing = np.exp(0.3j * rng.standard_normal((n, n)))
    expected = np.abs(np.fft.fft2(probe * patches(thing, corners, size))) ** 2
    counts = rng.poisson(expected + BACKGROUND).astype(float)
    guess = np.ones_like(thing) + 0.01 * complex_normal(rng, n, n)
    moves = [complex_normal(rng, size, size), complex_normal(rng, n, n)]
    return [probe, guess, corners, counts], moves


def complex_normal(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
