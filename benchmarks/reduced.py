"""The suite's GPU cases made small enough to execute on the CPU, and their plans at full size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks import oracle, peers
from benchmarks.rows import pairs
from benchmarks.suite import Arrays, Case
from gpuad import tree
from gpuad.api.recording import Arguments, record
from gpuad.codegen.cuda import planning, table_sums
from gpuad.codegen.cuda.source import KernelSource
from gpuad.executors import reference
from gpuad.transforms.guards import for_kernels

FEWEST_BLOCKS = 4
"""Of a small launch, so that sums over blocks are there too."""
UNWRITTEN = {4: np.uint32, 8: np.uint64}
"""New memory of the emulator has all bits set; the unsigned type of each item size."""


def reduced(case: Case) -> Case:
    """The case with fewer samples; what a sample is stays."""
    if not isinstance(case.make, partial):
        return case
    given = case.make.keywords
    match case.row:
        case "W1":
            fewer = {"n": (1 << 20) + 17 if "chain" in case.variant else (1 << 18) + 5}
        case "W2":
            fewer = {"n": (1 << 20) // given["d"] + 3}
        case "W3":
            fewer = {"n": 20_003 if given["d"] <= 256 else 9_001}
        case "W4":
            fewer = {"n": {10: 20_003, 32: 4_001, 64: 501}[given["d"]]}
        case "W5":
            fewer = {"points": 21_900, "observations": 150_003}
        case "W7":
            fewer = {"n": 4_101}
        case "W8":
            fewer = {"n": 800}  # more than the widest layer: the longest axis is still that of rows
        case "W14":
            fewer = {"n": (1 << 18) // given["d"] ** 2 + 3}
        case _:
            fewer = {}
    return replace(case, make=partial(case.make.func, **given | fewer))


def sampled_blocks(case: Case) -> int | None:
    """How many blocks of a launch are executed; None for all of them. Pairs cannot be fewer: each
    particle meets all others."""
    return {4096: 16, 32768: 2, 131072: 1}[case.make.keywords["n"]] if case.row == "W6" else None


def recorded(case: Case, arguments: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, list]:
    """The graph of one call of the case as a GPU runs it, and the arrays that it takes."""
    engine = peers.Gpuad("cpu", 1)
    way = next(iter(engine.ways(case)))
    formulation, f = engine.ways(case)[way], partial(case.objective, engine.xp)
    n = len(arguments)

    def function(*flat: Any) -> tuple[Any, ...]:
        return tuple(formulation(engine, f, case, flat[:n], flat[n:]))

    operands, treedef = tree.flatten(((*arguments, *tangents), {}))
    made = record(function, Arguments(operands, treedef))
    return for_kernels(made.graph), [*operands, *made.captured]


def error_of(case: Case, outputs: Arrays, operands: Sequence[np.ndarray]) -> float:
    """The largest error beside float64, by the largest entry of its output.

    From the row's own formula, or without one from the same graph in float64; blocks that were not
    executed are left out.
    """
    if case.row == "W6":
        return _error_of_pairs(case, outputs)
    if case.exact is not None and case.derivative != "powers":
        return oracle.relative_error(outputs, oracle.reference(case, None))
    wide = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in operands]
    args, tangents = (case.cast(arrays, "float64") for arrays in case.data)
    with np.errstate(all="ignore"):
        expected = reference.run(recorded(case, args, tangents)[0], wide, np)
    return oracle.relative_error(outputs, tuple(map(np.asarray, expected)))


def _error_of_pairs(case: Case, outputs: Arrays, most: int = 32) -> float:
    """Of some of the particles whose blocks were executed: all would take hours."""
    (got,) = outputs
    (position,), (v,) = (case.cast(arrays, "float64") for arrays in case.data)
    bits = got.view(UNWRITTEN[got.itemsize]).reshape(-1, *position.shape)
    rows = np.flatnonzero((bits != np.iinfo(bits.dtype).max).all((0, 2)))
    rows = rows[:: max(1, len(rows) // most)]
    expected = pairs.of_particles(position, v, rows)
    return oracle.error_of(got[..., rows, :].astype(np.float64), expected)


class Zeros:
    """A random generator whose arrays take no memory, for plans at full size."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)

    def standard_normal(self, size: Any = (), dtype: Any = None) -> np.ndarray:
        return np.broadcast_to(np.zeros((), self.dtype), size)

    def uniform(self, low: float, high: float, size: Any = ()) -> np.ndarray:
        return self.standard_normal(size)

    def choice(self, values: Any, size: Any = ()) -> np.ndarray:
        return self.standard_normal(size)

    def integers(self, low: int, high: int | None = None, size: Any = ()) -> np.ndarray:
        return np.broadcast_to(np.zeros((), np.int64), size)


def shapes(case: Case) -> tuple[Arrays, Arrays]:
    """Arguments and tangents of the right shapes, all zeros."""

    def typed(x: Any) -> np.ndarray:
        x = np.asarray(x)
        floating = x.dtype.kind == "f"
        return np.broadcast_to(np.zeros((), case.dtype if floating else x.dtype), x.shape)

    args, tangents = case.make(Zeros(case.dtype))
    return tuple(map(typed, args)), tuple(map(typed, tangents))


def compulsory_bytes(case: Case, data: tuple[Arrays, Arrays]) -> int:
    """`Case.bytes_floor` of a case whose arrays are given."""
    made = replace(case)
    made.__dict__["data"] = data
    return made.bytes_floor


@contextmanager
def blocks_as_in(program: Any, sampled: bool) -> Iterator[None]:
    """Kernels made meanwhile have the layouts of those in `program`, and give a block as many rows
    as these do, where they can: what a block does is then the same, and all that is counted is
    proportional to the rows. Tables that updates are added to are in kernels there if they are in
    `program`.

    If blocks are `sampled`, each has one round of rows, to be executed in seconds. L2 is then read
    in each round, as it has to be where the particles do not fit in L1.
    """
    shares: Mapping[str, int] = {_like(k.source): k.share for k in program.kernels}
    most_rows = max([k.rows for k in program.kernels], default=0)
    plain, layouts, little = KernelSource.share, planning.layouts, table_sums.LITTLE

    def share(source: Any, rows: int) -> int:
        least, most = plain(source, rows), source.layout.block_rows
        if sampled:
            return most
        while most * FEWEST_BLOCKS * 2 <= rows:
            most *= 2
        return max(least, min(shares.get(_like(source), least), most))

    KernelSource.share = share
    planning.layouts = lambda sweep, rows: layouts(sweep, max(rows, most_rows))
    if any(k.source.table_values for k in program.kernels):
        table_sums.LITTLE = 1 << 62
    try:
        yield
    finally:
        KernelSource.share, planning.layouts = plain, layouts
        table_sums.LITTLE = little


def _like(source: Any) -> Any:
    return source.layout, tuple(source.sum_sizes.items())
