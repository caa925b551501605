"""W5: bundle adjustment, ADBench's second objective, with its true gathers.

1/2 sum_obs |w (project(camera_c, X_i) - m)|^2 by all cameras and points. A camera has 11 numbers:
a rotation vector, a centre, the focal length, the principal point and two radial distortions.
Rodrigues' formula turns the point, then perspective division, then 1 + k1 r^2 + k2 r^4.
Srajer, Kukelova and Fitzgibbon (2018), https://github.com/microsoft/ADBench. The shapes are those
of its files ba1 (CPU), ba14 and ba19; the data is random, with the points in front of the cameras.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite import Case, Device, Size, pick


def objective(xp: Any, cams: Any, points: Any, w: Any, m: Any, cam_of: Any, point_of: Any) -> Any:
    camera = xp.columns(xp.take(cams, cam_of, 0))
    point = xp.columns(xp.take(points, point_of, 0))
    u, v = project(xp, camera, point)
    u, v = w * (u - m[:, 0]), w * (v - m[:, 1])
    return 0.5 * xp.sum(u * u + v * v)


def project(xp: Any, camera: Any, point: Any) -> tuple[Any, Any]:
    r0, r1, r2, c0, c1, c2, focal, u0, v0, k1, k2 = camera
    x, y, z = rotate(xp, (r0, r1, r2), (point[0] - c0, point[1] - c1, point[2] - c2))
    u, v = x / z, y / z
    rr = u * u + v * v
    scale = focal * (1.0 + rr * (k1 + k2 * rr))
    return u * scale + u0, v * scale + v0


def rotate(xp: Any, r: Any, p: Any) -> tuple[Any, Any, Any]:
    """Rodrigues' formula: p turned by the rotation vector r."""
    angle = xp.sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2])
    cosine, sine = xp.cos(angle), xp.sin(angle)
    a, b, c = r[0] / angle, r[1] / angle, r[2] / angle
    along = (a * p[0] + b * p[1] + c * p[2]) * (1.0 - cosine)
    return (
        p[0] * cosine + (b * p[2] - c * p[1]) * sine + a * along,
        p[1] * cosine + (c * p[0] - a * p[2]) * sine + b * along,
        p[2] * cosine + (a * p[1] - b * p[0]) * sine + c * along,
    )


def make(rng: np.random.Generator, cameras: int, points: int, observations: int) -> Any:
    cams = np.empty((cameras, 11))
    cams[:, 0:3] = rng.uniform(0.05, 0.3, (cameras, 3))
    cams[:, 3:6] = rng.uniform(-1, 1, (cameras, 3))
    cams[:, 6] = rng.uniform(0.9, 1.1, cameras)
    cams[:, 7:9] = rng.uniform(-0.1, 0.1, (cameras, 2))
    cams[:, 9:11] = rng.uniform(-0.05, 0.05, (cameras, 2))
    world = rng.uniform(-2, 2, (points, 3)) + np.array([0, 0, 8])
    w = rng.uniform(0.5, 1.5, observations)
    seen = rng.uniform(-0.5, 0.5, (observations, 2))
    cam_of = rng.integers(0, cameras, observations)
    point_of = np.sort(rng.integers(0, points, observations))
    directions = [rng.standard_normal(cams.shape), rng.standard_normal(world.shape)]
    return [cams, world, w, seen, cam_of, point_of], directions


def cases(size: Size, device: Device) -> Iterator[Case]:
    shapes = pick(
        size,
        device,
        small=[(49, 7_776, 31_843)],
        cpu=[(49, 7_776, 31_843)],
        cuda=[(356, 226_730, 1_255_268), (4_585, 1_324_582, 9_125_125)],
    )
    for c, p, o in shapes:
        yield Case(
            "W5",
            f"{o} observations",
            objective,
            partial(make, cameras=c, points=p, observations=o),
            active=(0, 1),
            tolerance=1e-3,
        )
