"""The structural similarity of images.

The mean over the image of (2 mₓm + c₁)/(mₓ² + m² + c₁) · (2 c + c₂)/(vₓ + v + c₂), with means m,
variances v and covariance c by Gaussian weights of width 1.5 over 11 x 11 elements (Wang, Bovik,
Sheikh and Simoncelli, IEEE Trans. Image Process. 13, 600, 2004).
"""

import numpy as np


def similarity(scipy, x, y):
    """Of two images with values from 0 to 1."""

    def smooth(z):
        return scipy.ndimage.gaussian_filter(z, 1.5, radius=5)

    mx, my = smooth(x), smooth(y)
    vx, vy = smooth(x * x) - mx * mx, smooth(y * y) - my * my
    covariance = smooth(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    return (luminance * (2 * covariance + c2) / (vx + vy + c2)).mean()


def make(rng, height, width):
    rows, columns = np.arange(height)[:, None], np.arange(width)
    x = 0.5 + 0.3 * np.sin(rows / 9) * np.cos(columns / 7)
    noisy = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0, 1)
    return [noisy, x], [rng.standard_normal(x.shape)]
