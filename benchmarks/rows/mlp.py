"""R1: HVP by the parameters of a classifier, 784-1024-512-256-128-64-10, a row about GEMM.

Mean softmax cross-entropy with tanh in the hidden layers; Pearlmutter, "Fast exact multiplication
by the Hessian" (1994). Both sizes are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.suite import Case, Device, Size

WIDTHS = (784, 1024, 512, 256, 128, 64, 10)


def objective(xp: Any, x: Any, onehot: Any, *parameters: Any) -> Any:
    weights, biases = parameters[0::2], parameters[1::2]
    for w, b in zip(weights[:-1], biases[:-1], strict=True):
        x = xp.tanh(xp.affine(x, w, b))
    z = xp.affine(x, weights[-1], biases[-1])
    return (xp.sum(xp.logsumexp(z, 1)) - xp.sum(onehot * z)) / x.shape[0]


def make(rng: np.random.Generator, n: int, widths: tuple[int, ...]) -> Any:
    shapes = [
        shape for fan_in, fan_out in pairwise(widths) for shape in ((fan_in, fan_out), (fan_out,))
    ]
    scales = [shape[0] ** -0.5 if len(shape) == 2 else 0.1 for shape in shapes]
    parameters = [c * rng.standard_normal(s) for c, s in zip(scales, shapes, strict=True)]
    onehot = np.eye(widths[-1])[rng.integers(0, widths[-1], n)]
    x = rng.standard_normal((n, widths[0]))
    return [x, onehot, *parameters], [rng.standard_normal(shape) for shape in shapes]


def cases(size: Size, device: Device) -> Iterator[Case]:
    yield Case(
        "R1",
        "N=512",
        objective,
        partial(make, n=512, widths=WIDTHS),
        active=tuple(range(2, 14)),
        tolerance=1e-3,
    )
