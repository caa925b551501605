"""What every engine's output is checked against: float64, and never from gpuad.

A row's own closed formula where it has one; otherwise the first installed of JAX, PyTorch and
autograd, in float64 on the same (float32) data. The tests hold those engines, and through them each
objective, to finite differences.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from benchmarks.suite import Arrays, Case

PREFERENCE = ("jax.jit", "torch.func", "autograd")


class Remote(Protocol):
    """The part of a worker's handle that the oracle uses."""

    def call(self, method: str, *arguments: object) -> object: ...


def reference(case: Case, engine: Remote | None) -> Arrays:
    """The float64 result of a case."""
    if case.exact is not None:
        args, tangents = (case.cast(arrays, "float64") for arrays in case.data)
        return case.exact(*args, *tangents)
    if engine is None:
        raise RuntimeError(
            f"{case.row} has no closed formula to check against: install jax, torch or autograd"
        )
    way = engine.call("open", case.key, "float64")[0]
    engine.call("first", way)
    outputs = engine.call("output", way)
    engine.call("close")
    return outputs


def relative_error(outputs: Arrays, expected: Arrays) -> float:
    """The largest error of any output, relative to the largest entry of that output.

    Infinite where an output is not finite.
    A batch of Hessians or of gradients may come with the batch first or last.
    """
    return max(error_of(widest(a), b) for a, b in zip(outputs, expected, strict=True))


def widest(a: np.ndarray) -> np.ndarray:
    return np.asarray(a, np.complex128 if np.iscomplexobj(a) else np.float64)


def error_of(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape and a.ndim >= 2:
        a = np.moveaxis(a, 0, 1)
    if a.shape != b.shape:
        raise ValueError(f"shape {a.shape} where the oracle has {b.shape}")
    if not np.isfinite(a).all():
        return float("inf")
    scale = float(np.abs(b).max(initial=0.0))
    return float(np.abs(a - b).max(initial=0.0)) / (scale or 1.0)
