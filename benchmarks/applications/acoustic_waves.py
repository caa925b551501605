"""Acoustic waves and the speed of sound that they are measured to have passed.

u'' = v² Δu + source, by the leapfrog scheme in steps of 1 on a grid of spacing 1 with u = 0 beyond
it; what receivers see of u is compared with what was measured (full waveform inversion: Tarantola,
Geophysics 49, 1259, 1984).
"""

import numpy as np
import scipy as plain_scipy


def seismogram(xp, scipy, velocity, source, place, receivers):
    """The wave at the receivers, (steps, receivers), of a source at a place."""
    before = now = xp.zeros_like(velocity)
    square, seen = velocity**2, []
    for k in range(len(source)):
        change = square * scipy.ndimage.laplace(now, mode="constant")
        before, now = now, 2 * now - before + change
        now[place[0], place[1]] += source[k]
        seen.append(now[receivers[0], receivers[1]])
    return xp.stack(seen)


def misfit(xp, scipy, velocity, source, place, receivers, seen):
    """Half the sum of the squared differences from what was measured."""
    found = seismogram(xp, scipy, velocity, source, place, receivers)
    return 0.5 * xp.sum((found - seen) ** 2)


def scanned_misfit(xp, scipy, velocity, source, place, receivers, seen):
    """The same for JAX, whose arrays are not updated in place."""
    import jax

    square = velocity**2

    def step(waves, s):
        before, now = waves
        change = square * scipy.ndimage.laplace(now, mode="constant")
        after = (2 * now - before + change).at[place[0], place[1]].add(s)
        return (now, after), after[receivers[0], receivers[1]]

    still = xp.zeros_like(velocity)
    _, found = jax.lax.scan(step, (still, still), source)
    return 0.5 * xp.sum((found - seen) ** 2)


def make(rng, n, steps):
    t = np.arange(steps)
    source = np.sin(0.25 * t) * np.exp(-(((t - 30) / 12) ** 2))
    place = np.array([n // 2, n // 2])
    rows = n // 2 + 4 * np.arange(-4, 5)
    receivers = np.stack([rows, np.full_like(rows, n // 2 + 15)])
    velocity = 0.4 + 0.1 * rng.uniform(size=(n, n))
    seen = seismogram(np, plain_scipy, 1.02 * velocity, source, place, receivers)
    return [velocity, source, place, receivers, seen], [rng.standard_normal((n, n))]
