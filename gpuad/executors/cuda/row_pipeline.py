"""Passes over the rows on a GPU: kernels and library calls that need, for each row, only the same
row of each other's results.

What one of them leaves to the next is in memory for a piece of the rows at a time: all rows, or
fewer where memory is limited. Pieces end where the shares of blocks and the tiles of calls end, so
their length changes no bit of a result.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from gpuad.codegen.cuda.planning import PlannedStage
from gpuad.codegen.cuda.source import KernelSource, KernelText
from gpuad.codegen.views import size_of
from gpuad.executors.cuda.arrangement import Arranged, Arrangements, copied_bytes, copy_of
from gpuad.executors.cuda.cublas import Gemm
from gpuad.executors.cuda.row_calls import RowCall
from gpuad.executors.steps import Key, Limits
from gpuad.ir.graph import Equation, Var
from gpuad.ir.rows import inner
from gpuad.kernels import cuda_text
from gpuad.plan.grouping import Grouping
from gpuad.plan.plan import Use
from gpuad.plan.roles import is_view

WHOLE = Limits(1 << 62)
"""All rows at a time."""
DTYPES = {"f32": np.float32, "f64": np.float64}
STAGED_BYTES = 1 << 24
"""Bytes of a piece of rows that is copied before it is overwritten: it stays in the cache."""
LITTLE = 1 << 16
"""Bytes of results of a call that may be made early, and held while kernels run."""
NO_PLACES: Mapping[Var, Any] = MappingProxyType({})
UNIT = 512
"""CuPy's memory pool gives multiples of so many bytes."""


class Launch(Protocol):
    """A compiled and loaded kernel."""

    def __call__(self, blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        """Runs it with so many blocks, of so many threads each, on these arrays and numbers."""
        ...


class Device(Protocol):
    """What a program needs of the machine it runs on."""

    xp: Any
    """The namespace of its arrays."""

    def fits(self, source: KernelSource) -> bool:
        """Whether no value of the kernel is spilled to memory."""
        ...

    def ready(self, kernel: KernelText) -> Launch:
        """The kernel, compiled and loaded."""
        ...

    def gemm(self) -> Gemm | None:
        """What multiplies matrices; None where the namespace of arrays has to."""
        ...

    def part(self, array: Any, start: int, shape: tuple[int, ...]) -> Any:
        """An array in the memory of another one, not a view of it."""
        ...

    def in_memory_of(self, array: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array at the beginning of another one's memory."""
        ...

    def from_row(self, array: Any, low: int) -> Any:
        """A kernel's argument for an array that begins with row `low`."""
        ...


def combine_text(kind: str) -> KernelText:
    """The kernel that adds up the partial sums of all blocks."""
    return KernelText("combine", cuda_text.combine(kind), (f"{kind}*", f"{kind}*", "i64", "i64"))


class Kernel:
    """One sweep as a compiled kernel, with all that a launch needs.

    It has many attributes because all of that is prepared once.
    """

    dense = True
    """Whether operands must lie in C order."""

    def __init__(self, stage: PlannedStage, device: Device):
        assert stage.source is not None
        self.source = stage.source
        self.rows = stage.rows
        self.share = self.source.share(stage.rows)
        self.blocks = self.source.blocks(stage.rows)
        self.reads, self.writes = list(self.source.reads), list(self.source.writes)
        self.sums: list[Any] = list(self.source.sums)
        self.uses: dict[Var, set[Use]] = {}
        for s in stage.sweep:
            for x, use in zip(s.equation.operands, s.uses, strict=True):
                if type(x) is Var and use.kind != "block":
                    self.uses.setdefault(x, set()).add(use)
        self.arrangements = Arrangements(self.reads, self.source.aligned)
        self._device = device
        self._sizes = sorted(self.source.sum_sizes.items())
        self._launch = device.ready(self.source.kernel)
        several = self.blocks > 1
        self._combine = {k: device.ready(combine_text(k)) for k, _ in self._sizes if several}

    def temporary(self, env: Mapping[Any, Any], local: Collection[Var]) -> list[int]:
        """A kernel allocates nothing."""
        return []

    def partial_sums(self) -> list[Any]:
        """For each dtype an array for the sums of all blocks."""
        empty = self._device.xp.empty
        return [empty(self.blocks * size, DTYPES[kind]) for kind, size in self._sizes]

    @property
    def partial_bytes(self) -> int:
        """Bytes of the partial sums, if they are not the sums themselves."""
        if self.blocks == 1:
            return 0
        sizes = [n * np.dtype(DTYPES[kind]).itemsize for kind, n in self._sizes]
        return sum([allocated(self.blocks * n) for n in sizes])

    def run(
        self, local: Mapping[Var, Any], whole: Mapping[Any, Any], partial: Sequence[Any],
        low: int, high: int,
    ) -> None:  # fmt: skip
        """Runs it for the rows from `low`, where the share of a block begins, to `high`. Arrays in
        `local` begin with row `low`, those in `whole` have all rows; there an array that lies in
        another form has that beside its name."""
        arrays = [
            self._device.from_row(local[a.var], low)
            if a.var in local
            else whole[a.var if a.form is None else (a.var, a.form)]
            for a in (*self.reads, *self.writes)
        ]
        first = low // self.share
        sizes = [size for _, size in self._sizes]
        sums = [p[first * n :] if first else p for p, n in zip(partial, sizes, strict=True)]
        numbers = [np.int64(low), np.int64(high), np.int64(self.share)]
        blocks = -(-(high - low) // self.share)
        self._launch(blocks, self.source.layout.threads, [*arrays, *sums, *numbers])

    def finish(self, partial: Sequence[Any], env: dict[Any, Any]) -> None:
        """Puts the sums over all rows into `env`."""
        totals = {
            kind: self._total(kind, part, size)
            for (kind, size), part in zip(self._sizes, partial, strict=True)
        }
        for x in self.source.sums:
            env[x.var] = self._device.part(totals[x.kind], x.start, x.var.aval.shape)

    def _total(self, kind: str, parts: Any, size: int) -> Any:
        if self.blocks == 1:
            return parts
        out = self._device.xp.empty(size, DTYPES[kind])
        arguments = [parts, out, np.int64(self.blocks), np.int64(size)]
        grid = -(-size // cuda_text.COMBINE_COLUMNS)
        self._combine[kind](grid, cuda_text.COMBINE_THREADS, arguments)
        return out


Unit = Kernel | RowCall


class KernelPass:
    """Kernels and library calls that run together; `live` are the values needed after them.

    It has many attributes because all that a run needs is prepared once: small programs are called
    often.

    Attributes
    ----------
    reads : list
        How each value that is made elsewhere is read: the value, "rows" or "free", its row axis.
    whole : list
        Results that are left whole in memory; the others last for a piece of rows.
    """

    free: Sequence[Key] = ()

    def __init__(self, units: Sequence[Unit], live: Collection[Var], device: Device):
        self.units = units
        self.rows = units[0].rows
        self._device = device
        written = [a for k in units for a in k.writes]
        # A piece of rows is a run of memory only where rows are the first axis.
        self.whole = [a for a in written if a.var in live or a.axis != 0]
        self.writes = [a for a in self.whole if a.axis == 0]
        """Those of `whole` that may be in donated memory."""
        self.sums = [x for k in units for x in k.sums]
        made = {a.var for a in written}
        self._passing = {v: _row_bytes(v) for v in made - {a.var for a in self.whole}}
        self._last: dict[Var, int] = {}
        uses: dict[Var, set[Use]] = {}
        for i, k in enumerate(units):
            self._last.update(dict.fromkeys([a.var for a in (*k.reads, *k.writes)], i))
            for x, kinds in k.uses.items():
                if x not in made:
                    uses.setdefault(x, set()).update(kinds)
        self.reads: list[Key] = [(x, u.kind, u.axis, None) for x, us in uses.items() for u in us]
        self._by_rows = {x for x, kinds in uses.items() if kinds == {Use("rows", 0)}}
        self._arrangements = Arrangements([], [])
        for k in units:
            if isinstance(k, Kernel):
                self._arrangements.update(k.arrangements)
        self._elsewhere = set(uses)
        self._unit = max(k.share for k in units)

    @property
    def values(self) -> Collection[Var]:
        """All values that are read or left."""
        left = [a.var for a in (*self.whole, *self.sums)]
        return dict.fromkeys([*[k[0] for k in self.reads], *left])

    # Memory

    def copied(self, env: dict[Any, Any]) -> list[Arranged]:
        """What kernels read in an arrangement that it does not have: it is copied."""
        return [c for c in self._arrangements.copied(env) if c[0] in self._elsewhere]

    def _apart(self, copied: Collection[Arranged]) -> list[Var]:
        """Those of the copies that are made piece by piece."""
        return [x for x, form in copied if form is None and x in self._by_rows]

    def piece(
        self, copied: Collection[Arranged], limits: Limits, staged: Collection[Var] = ()
    ) -> int:
        """How many rows are taken at a time: all of them where nothing lasts for a piece."""
        width = max([sum(sizes) for sizes in self._alive({*self._apart(copied), *staged})])
        if not width:
            return self.rows
        most = min(limits.piece_bytes, STAGED_BYTES) if staged else limits.piece_bytes
        return min(self.rows, max(1, most // width // self._unit) * self._unit)

    def _alive(self, copied: Collection[Var]) -> Iterator[list[int]]:
        """For each unit, the bytes of a row of each value that lasts for a piece and is in memory
        while the unit runs."""
        copies = {x: _row_bytes(x) for x in copied if x in self._by_rows}
        alive: dict[Var, int] = {}
        for i, k in enumerate(self.units):
            for a in (*k.reads, *k.writes):
                size = self._passing.get(a.var) or copies.get(a.var)
                if size:
                    alive[a.var] = size
            yield list(alive.values())
            alive = {x: n for x, n in alive.items() if self._last[x] > i}

    def extra_bytes(
        self, env: Mapping[Any, Any], copied: Collection[Arranged], limits: Limits,
        staged: Collection[Var] = (),
    ) -> int:  # fmt: skip
        """Bytes during the pass, beside the arrays that it reads and leaves."""
        rows = self.piece(copied, limits, staged)
        apart = {*self._apart(copied), *[x for x in staged if x in self._by_rows]}
        local = {*self._passing, *apart}
        most = 0
        for k, sizes in zip(self.units, self._alive(apart), strict=True):
            own = [rows * n for n in sizes] + k.temporary(env, local)
            most = max(most, sum(map(allocated, own)))
        whole = sum(allocated(copied_bytes(*c)) for c in copied if c[0] not in apart or c[1])
        return most + whole + sum(k.partial_bytes for k in self.units)

    # Running

    def __call__(
        self,
        env: dict[Any, Any],
        limits: Limits,
        placed: Mapping[Var, Any] = NO_PLACES,
        staged: Collection[Var] = (),
    ) -> None:
        """Reads operands from `env` and puts results there. `placed` are the arrays in whose memory
        results are made; operands that may be overwritten are `staged`: copied piece by piece."""
        copied = self.copied(env)
        staged = [x for x in staged if x in self._by_rows]
        apart = [x for x in self._apart(copied) if x not in staged] + staged
        sources = {x: env[x] for x in apart}
        for a in self.whole:
            env[a.var] = self._array(a.var, placed)
        dense: dict[Any, Any] = {x: env[x] for x in self._last if x in env}
        for x, form in self._arrangements.needed:
            if isinstance(form, tuple):
                dense[x, form] = env[x].transpose(form)
        for x, form in copied:
            if form is not None or x not in apart:
                copy = copy_of(env[x], form, self._device.xp)
                dense[x if form is None else (x, form)] = copy
        partial = [k.partial_sums() for k in self.units]
        step = self.piece(copied, limits, staged)
        for low in range(0, self.rows, step):
            high = min(low + step, self.rows)
            self._run_piece(sources, (dense, env), partial, low, high)
        for k, parts in zip(self.units, partial, strict=True):
            k.finish(parts, env)

    def _array(self, v: Var, placed: Mapping[Var, Any]) -> Any:
        if v in placed:
            return self._device.in_memory_of(placed[v], v.aval.shape, v.aval.dtype)
        return self._device.xp.empty(v.aval.shape, v.aval.dtype)

    def _run_piece(
        self,
        sources: Mapping[Var, Any],
        whole: tuple[Mapping[Var, Any], Mapping[Var, Any]],
        partial: Sequence[Any],
        low: int,
        high: int,
    ) -> None:
        """Runs all units for some rows. `whole` are the arrays in C order, and as they are."""
        xp = self._device.xp
        local: dict[Var, Any] = {}
        for i, k in enumerate(self.units):
            for x in [a.var for a in (*k.reads, *k.writes)]:
                if x in local:
                    continue
                if x in sources:
                    local[x] = sources[x][low:high].copy()
                elif x in self._passing:
                    local[x] = xp.empty((high - low, *x.aval.shape[1:]), x.aval.dtype)
            k.run(local, whole[0] if k.dense else whole[1], partial[i], low, high)
            local = {x: array for x, array in local.items() if self._last[x] > i}


def allocated(size: int) -> int:
    """Bytes that CuPy's memory pool gives for an array of so many."""
    return -(-size // UNIT) * UNIT


def _row_bytes(v: Var) -> int:
    return size_of(inner(v.aval.shape, 0)) * v.aval.dtype.itemsize


class CudaUnits:
    """What `plan.grouping` asks about kernels and calls by rows; by_rows() gives the unit of a call
    by rows, else None."""

    def __init__(self, by_rows: Callable[[Equation], RowCall | None] = lambda e: None):
        self.of_call = by_rows

    def follows(self, unit: Unit, earlier: Sequence[Unit]) -> bool:
        """Whether each row of a unit needs of the results of these only the same row."""
        if any(k.rows != unit.rows for k in earlier):
            return False
        made = {a.var: {Use("rows", a.axis)} for k in earlier for a in k.writes}
        sums = {x.var for k in earlier for x in k.sums}
        return all(x not in sums and made.get(x, uses) == uses for x, uses in unit.uses.items())

    def reads(self, unit: Unit) -> Collection[Var]:
        return unit.uses.keys()

    def makes(self, unit: Unit) -> list[Var]:
        return [a.var for a in (*unit.writes, *unit.sums)]

    def may_precede(self, e: Any) -> bool:
        return is_view(e) or sum(v.aval.nbytes for v in e.outputs) <= LITTLE


def grouped(
    items: Sequence[Any], by_rows: Callable[[Equation], RowCall | None] = lambda e: None
) -> list[Any]:
    """The items in order: calls on whole arrays as they are, units that run together in a list."""
    grouping = Grouping(CudaUnits(by_rows))
    for item in items:
        if isinstance(item, Equation):
            grouping.call(item)
        else:
            grouping.add(item)
    return grouping.finished()
