"""Programs of many operations on small arrays: ``python -m benchmarks.unrolled [--json FILE]``.

For each: how long `jit` takes before the first result, for each operation recorded; how long a
call takes, beside 3 µs and 5 ns for each operation (those on more than a few lanes take longer) and
beside the reference executor, which no call may exceed. Times are medians over rounds in which
the two take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import gpuad
from benchmarks import machine
from benchmarks.terminal import Console, Table

gnp = gpuad.numpy
CALL, OPERATION = 3e-6, 5e-9
LIBRARY = ("sorts", "complex")
"""Programs in which NumPy has a part."""


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


# The programs


def logistic(count):
    def f(x):
        for _ in range(count):
            x = 3.7 * x * (1 - x)
        return x

    return f


def lorenz(count):
    def slope(s):
        x, y, z = s[0], s[1], s[2]
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    def f(s):
        for _ in range(count):
            a = slope(s)
            b = slope(s + 0.005 * a)
            s = s + 0.005 * (a + b)
        return (s * s).sum()

    return f


def filtered(count):
    """A Kalman filter: products of small matrices, a division, an outer product."""

    def f(p, x):
        a = 0.9 * np.eye(4) + 0.02
        for _ in range(count):
            p, x = a @ p @ a.T + 0.1, a @ x
            gain = p[:, 0] / (p[0, 0] + 1)
            x = x + gain * (0.3 - x[0])
            p = p - np.outer(gain, gain) * (p[0, 0] + 1)
        return x.sum() + p.sum()

    return f


def heated(count):
    def f(u):
        for _ in range(count):
            left, right = np.concatenate([u[:1], u[:-1]]), np.concatenate([u[1:], u[-1:]])
            u = u + 0.1 * (left - 2 * u + right)
        return (u * u).sum()

    return f


def rolled(count):
    def f(u):
        for _ in range(count):
            u = u + 0.1 * (np.roll(u, 1, 0) + np.roll(u, -1, 1) - 2 * np.sin(u))
        return u

    return f


def bodies(count):
    def f(q, v):
        for _ in range(count):
            d = q[:, None, :] - q[None, :, :]
            r = (d * d).sum(-1) + 0.1
            v = v - 0.01 * (d / (r * np.sqrt(r))[..., None]).sum(1)
            q = q + 0.01 * v
        return (q * q).sum()

    return f


def edited(c):
    """The distance of two words: a table filled entry by entry."""
    n = c.shape[0]
    row = [c[0, j] for j in range(n)]
    for i in range(1, n):
        new = [row[0] + c[i, 0]]
        for j in range(1, n):
            best = np.minimum(np.minimum(row[j], new[j - 1]), row[j - 1])
            new.append(best + c[i, j])
        row = new
    return row[-1]


def looked_up(count):
    places = np.array([3, 1, 1, 0, 4])

    def f(x):
        for _ in range(count):
            x = np.tanh(x[places]) + 0.5 * x
        return x.sum()

    return f


def updated(count):
    def f(x):
        y = np.zeros(5) + x[0]
        for i in range(count):
            y[i % 5] = 0.5 * y[(i + 4) % 5] + x[i % 5]
        return y.sum()

    return f


def shared(count):
    def f(x):
        for _ in range(count):
            x = 3 * gnp.softmax(x) + 0.1 * np.cumsum(x)
        return np.max(x) - np.min(x)

    return f


def chosen(count):
    def f(x):
        for _ in range(count):
            x = np.where(x > 0.5, 0.5 * x, 1.9 * x + 0.01)
        return x

    return f


def sorted_between(count):
    def f(x):
        for _ in range(count):
            x = np.sort(np.tanh(x) * 2 + np.cos(x) - 0.3 * x * x)
        return x

    return f


def added(*xs):
    total = 0.0
    for x in xs:
        total = total + (np.sin(x) * x).sum()
    return total


def series(count):
    def f(x):
        total = 0.0
        for k in range(count):
            total = total * x + 1 / (k + 1)
        return total

    return f


def programs(scale: float = 1.0) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Functions and arguments; `scale` multiplies the number of steps."""

    def n(steps: int) -> int:
        return max(2, round(scale * steps))

    square, vector = normal(max(3, n(25)), max(3, n(25))), normal(5, seed=1)
    pair = normal(3, 2), normal(3, 2, seed=2)
    many = tuple([normal(3, seed=k) for k in range(n(200))])
    by_all = tuple(range(len(many)))
    point, start = 0.3, np.ones(3)
    matrix = np.eye(4), np.ones(4)
    grad, hessian = gpuad.grad, gpuad.hessian
    return {
        "logistic map": (logistic(n(400)), (point,)),
        "its gradient": (grad(logistic(n(350))), (point,)),
        "its Hessian": (hessian(logistic(n(200))), (point,)),
        "gradient of a series": (grad(series(n(400))), (point,)),
        "Lorenz": (lorenz(n(100)), (start,)),
        "its gradient in the start": (grad(lorenz(n(50))), (start,)),
        "its Hessian in the start": (hessian(lorenz(n(30))), (start,)),
        "Kalman filter": (filtered(n(50)), matrix),
        "its gradient in the matrix": (grad(filtered(n(40)), argnums=(0, 1)), matrix),
        "heat on 100 points": (heated(n(100)), (normal(100),)),
        "its gradient in the heat": (grad(heated(n(60))), (normal(100),)),
        "rolls on 6 x 7": (rolled(n(60)), (normal(6, 7),)),
        "rolls on 60 x 60": (rolled(n(60)), (normal(60, 60),)),
        "three bodies": (bodies(n(40)), pair),
        "their gradient": (grad(bodies(n(30))), pair),
        "distance of words": (edited, (square,)),
        "gradient of the distance": (grad(edited), (square,)),
        "gradient of gathers": (grad(looked_up(n(80))), (vector,)),
        "gradient of updates": (grad(updated(n(200))), (vector,)),
        "gradient of softmax": (grad(shared(n(50))), (vector,)),
        "branches of float32": (chosen(n(200)), (vector.astype(np.float32),)),
        "sorts": (sorted_between(n(100)), (vector,)),
        "many arguments": (grad(added, argnums=by_all), many),
        "complex": (logistic(n(200)), (vector + 1j,)),
    }


# What is measured


@dataclass(frozen=True)
class Row:
    """One program: operations recorded, seconds of the first call and of later ones."""

    name: str
    operations: int
    first: float
    call: float
    reference: float

    @property
    def target(self) -> float:
        return CALL + OPERATION * self.operations


def measured(name: str, function: Callable[..., Any], args: Sequence[Any], rounds: int) -> Row:
    start = time.perf_counter()
    compiled = gpuad.jit(function)
    compiled(*args)
    first = time.perf_counter() - start
    plain = gpuad.jit(function, executor="reference")
    times: dict[Any, list[float]] = {compiled: [], plain: []}
    for _ in range(rounds):
        for f, found in times.items():
            start = time.perf_counter()
            f(*args)
            found.append(time.perf_counter() - start)
    operations = len(gpuad.make_graph(function)(*args).graph)
    return Row(name, operations, first, median(times[compiled]), median(times[plain]))


def table(rows: Sequence[Row]) -> Table:
    out = Table(title="Programs of many operations on small arrays (medians)")
    for name in ("", "operations", "first call", "a call", "3 µs + 5 ns each", "reference"):
        out.add_column(name, justify="right" if name else "left")
    for row in rows:
        out.add_row(
            row.name, str(row.operations), f"{row.first / row.operations * 1e3:.2f} ms each",
            f"{row.call * 1e6:.1f} µs", f"{row.target * 1e6:.1f} µs",
            f"{row.reference * 1e6:.1f} µs",
        )  # fmt: skip
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unrolled", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="rounds of timing (default 30)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    options = parser.parse_args(arguments)
    load = {"busy_share": machine.busy_share(), "processor": machine.processor()}
    meta = {"load": load, "commit": machine.commit(), "python": sys.version.split()[0]}
    chosen_programs = programs(options.scale).items()
    rows = [measured(name, f, args, options.rounds) for name, (f, args) in chosen_programs]
    console = Console()
    console.print(table(rows))
    if warning := machine.warning(meta):
        console.print(f"[yellow]{warning}[/]")
    if options.json:
        saved = [asdict(row) | {"target": row.target} for row in rows]
        options.json.write_text(json.dumps({"meta": meta, "rows": saved}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
