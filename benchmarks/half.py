"""``python -m benchmarks.half``: how much faster are arrays in half precision than in float32?

Polynomials of 2^24 values, with sums of their rows, whose sweeps mostly wait for memory; their
gradients and Hessian-vector products. In turns, by the shortest time of each: other programs on the
machine matter less so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

import gpuad as ad
from benchmarks.terminal import Console, Table

LANES = 64
ROUNDS = 20
"""Of turns."""


def polynomial(x: Any, terms: int) -> Any:
    y = x
    for _ in range(terms):
        y = y * x + 2 * x - y * y
    return y


def programs(terms: int) -> dict[str, Callable[[Any], Any]]:
    """The functions that are measured, by name."""

    def rows(x: Any) -> Any:
        return polynomial(x, terms).sum(axis=1)

    def total(x: Any) -> Any:
        return rows(x).astype(np.float32).sum()

    gradient = ad.grad(total)
    return {
        "sums of rows": ad.jit(rows),
        "gradient": ad.jit(gradient),
        "HVP": ad.jit(lambda x: ad.jvp(gradient, (x,), (x,))[1]),
    }


def in_turns(function: Callable[[Any], Any], arrays: Sequence[Any]) -> list[float]:
    """The shortest time, in seconds, for each array."""
    found = [np.inf] * len(arrays)
    for turn in range(ROUNDS + 1):
        for k, x in enumerate(arrays):
            start = time.perf_counter()
            function(x)
            if turn:  # the first one compiles
                found[k] = min(found[k], time.perf_counter() - start)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.half", description=__doc__)
    options.add_argument("--values", type=int, default=1 << 24, help="how many (default: 2^24)")
    options.add_argument("--terms", type=int, nargs="*", default=[1, 8], help="of a polynomial")
    given = options.parse_args(arguments)
    dtypes = [np.float32, np.float16, import_module("ml_dtypes").bfloat16]
    values = np.random.default_rng(0).normal(0, 0.25, (given.values // LANES, LANES))
    arrays = [values.astype(np.float32).astype(d) for d in dtypes]
    table = Table("terms", "of it", *[np.dtype(d).name for d in dtypes], "float32 / half")
    for terms in given.terms:
        for name, function in programs(terms).items():
            times = in_turns(function, arrays)
            ratios = ", ".join([f"{times[0] / t:.2f}" for t in times[1:]])
            table.add_row(str(terms), name, *[f"{t * 1e3:.2f} ms" for t in times], ratios)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
