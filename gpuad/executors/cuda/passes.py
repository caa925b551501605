"""Passes over the rows on a GPU: kernels that need of each other only their own rows.

What one kernel of a pass leaves to the next exists for a piece of the rows at a time: all of them,
or fewer where memory is limited. Pieces end where the shares of blocks end, so that their length
changes no bit of a result.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from gpuad.executors.cuda.planning import PlannedStage
from gpuad.executors.cuda.products import Gemm
from gpuad.executors.cuda.source import KernelSource, KernelText
from gpuad.executors.passes import Limits
from gpuad.executors.sweep import inner
from gpuad.executors.views import size_of
from gpuad.ir.graph import Equation, Var
from gpuad.kernels import cuda_text
from gpuad.plan.plan import Use
from gpuad.plan.views import is_view

WHOLE = Limits(1 << 62)
"""All rows at a time."""
DTYPES = {"f32": np.float32, "f64": np.float64}
LITTLE = 1 << 16
"""Bytes of what may as well be there while kernels run."""
UNIT = 512
"""CuPy's memory pool gives multiples of so many bytes."""


class Launch(Protocol):
    """A kernel made ready."""

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
        """Products of matrices; None where the namespace has to make them."""
        ...

    def part(self, array: Any, start: int, shape: tuple[int, ...]) -> Any:
        """An array in the memory of another one, not a view of it."""
        ...

    def from_row(self, array: Any, low: int) -> Any:
        """An array as an argument of a kernel that calls its first row `low`."""
        ...


def combine_text(kind: str) -> KernelText:
    """The kernel that adds up the partial sums of all blocks."""
    text = cuda_text.COMBINE.format(kind=kind)
    return KernelText("combine", text, (f"{kind}*", f"{kind}*", "i64", "i64"))


class Kernel:
    """One sweep, made ready."""

    def __init__(self, stage: PlannedStage, device: Device):
        assert stage.source is not None
        self.source = stage.source
        self.rows = stage.rows
        self.share = self.source.share(stage.rows)
        self.blocks = self.source.blocks(stage.rows)
        self.arguments = [*self.source.reads, *self.source.writes]
        self.uses: dict[Var, set[Use]] = {}
        for s in stage.sweep:
            for x, use in zip(s.equation.operands, s.uses, strict=True):
                if type(x) is Var and use.kind != "block":
                    self.uses.setdefault(x, set()).add(use)
        self._device = device
        self._sizes = sorted(self.source.sum_sizes.items())
        self._launch = device.ready(self.source.kernel)
        several = self.blocks > 1
        self._combine = {k: device.ready(combine_text(k)) for k, _ in self._sizes if several}

    def follows(self, earlier: "Sequence[Kernel]") -> bool:
        """Whether it needs of the results of these only its own rows."""
        if any(k.rows != self.rows for k in earlier):
            return False
        made = {a.var: {Use("rows", a.axis)} for k in earlier for a in k.source.writes}
        sums = {x.var for k in earlier for x in k.source.sums}
        return all(x not in sums and made.get(x, uses) == uses for x, uses in self.uses.items())

    def partial_sums(self) -> list[Any]:
        """Memory for the sums of all blocks."""
        empty = self._device.xp.empty
        return [empty(self.blocks * size, DTYPES[kind]) for kind, size in self._sizes]

    @property
    def partial_bytes(self) -> int:
        """Memory for them, beside that of the sums themselves."""
        if self.blocks == 1:
            return 0
        sizes = [n * np.dtype(DTYPES[kind]).itemsize for kind, n in self._sizes]
        return sum([allocated(self.blocks * n) for n in sizes])

    def run(self, arrays: Sequence[Any], partial: Sequence[Any], low: int, high: int) -> None:
        """Runs it for these rows, which begin where the share of a block does."""
        first = low // self.share
        sizes = [size for _, size in self._sizes]
        parts = [p[first * n :] if first else p for p, n in zip(partial, sizes, strict=True)]
        numbers = [np.int64(low), np.int64(high), np.int64(self.share)]
        blocks = -(-(high - low) // self.share)
        self._launch(blocks, self.source.layout.threads, [*arrays, *parts, *numbers])

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
        self._combine[kind](-(-size // 32), 256, arguments)
        return out


class KernelPass:
    """Kernels run together. `live` are the values that are needed after them.

    Attributes
    ----------
    whole : list
        What is left whole in memory; other results of the kernels last for a piece of rows.
    """

    def __init__(self, kernels: Sequence[Kernel], live: Collection[Var], device: Device):
        self.kernels = kernels
        self.rows = kernels[0].rows
        self._device = device
        written = [a for k in kernels for a in k.source.writes]
        # A piece of rows is a run of memory only where rows are the first axis.
        self.whole = [a for a in written if a.var in live or a.axis != 0]
        self.sums = [x for k in kernels for x in k.source.sums]
        kept = {a.var for a in self.whole}
        made = {a.var for a in written}
        self._passing = {v: _row_bytes(v) for v in made - kept}
        self.reads = {a.var: a for k in kernels for a in k.source.reads if a.var not in made}
        self._last: dict[Var, int] = {}
        uses: dict[Var, set[Use]] = {}
        for i, k in enumerate(kernels):
            self._last.update(dict.fromkeys([a.var for a in k.arguments], i))
            for x, kinds in k.uses.items():
                uses.setdefault(x, set()).update(kinds)
        self._by_rows = {x for x in self.reads if uses[x] == {Use("rows", 0)}}
        self._unit = max(k.share for k in kernels)

    @property
    def values(self) -> set[Var]:
        """All that the kernels read and leave."""
        return {*self.reads, *[a.var for a in self.whole], *[x.var for x in self.sums]}

    # Memory

    def copied(self, env: dict[Any, Any]) -> list[Var]:
        """What is read and does not lie in C order."""
        return [x for x in self.reads if not env[x].flags.c_contiguous]

    def piece(self, copied: Collection[Var], limits: Limits) -> int:
        """How many rows are taken at a time; all of them where nothing depends on it."""
        width = max([sum(sizes) for sizes in self._alive(copied)])
        if not width:
            return self.rows
        return min(self.rows, max(1, limits.piece_bytes // width // self._unit) * self._unit)

    def _alive(self, copied: Collection[Var]) -> Iterator[list[int]]:
        """For each kernel, bytes of a row of what lasts for a piece and is there then."""
        copies = {x: _row_bytes(x) for x in copied if x in self._by_rows}
        alive: dict[Var, int] = {}
        for i, k in enumerate(self.kernels):
            for a in k.arguments:
                size = self._passing.get(a.var) or copies.get(a.var)
                if size:
                    alive[a.var] = size
            yield list(alive.values())
            alive = {x: n for x, n in alive.items() if self._last[x] > i}

    def extra_bytes(self, copied: Collection[Var], limits: Limits) -> int:
        """Memory during the pass, beside the arrays it reads and leaves."""
        rows = self.piece(copied, limits)
        local = max([sum(allocated(rows * n) for n in sizes) for sizes in self._alive(copied)])
        whole = sum(allocated(x.aval.nbytes) for x in copied if x not in self._by_rows)
        return local + whole + sum(k.partial_bytes for k in self.kernels)

    # Running

    def __call__(self, env: dict[Any, Any], limits: Limits) -> None:
        """Reads operands from `env` and puts results there."""
        xp = self._device.xp
        copied = self.copied(env)
        for a in self.whole:
            env[a.var] = xp.empty(a.var.aval.shape, a.var.aval.dtype)
        flat = {x: env[x] for x in self._last if x in env}
        flat |= {x: xp.ascontiguousarray(env[x]) for x in copied if x not in self._by_rows}
        partial = [k.partial_sums() for k in self.kernels]
        by_rows = [x for x in copied if x in self._by_rows]
        step = self.piece(copied, limits)
        for low in range(0, self.rows, step):
            self._run_piece(env, flat, by_rows, partial, low, min(low + step, self.rows))
        for k, parts in zip(self.kernels, partial, strict=True):
            k.finish(parts, env)

    def _run_piece(
        self,
        env: dict[Any, Any],
        flat: dict[Var, Any],
        by_rows: Collection[Var],
        partial: Sequence[Any],
        low: int,
        high: int,
    ) -> None:
        xp, device = self._device.xp, self._device
        local: dict[Var, Any] = {}
        for i, k in enumerate(self.kernels):
            for a in k.arguments:
                x = a.var
                if x in local:
                    continue
                if x in by_rows:
                    local[x] = xp.ascontiguousarray(env[x][low:high])
                elif x in self._passing:
                    local[x] = xp.empty((high - low, *x.aval.shape[1:]), x.aval.dtype)
            arrays = [
                device.from_row(local[a.var], low) if a.var in local else flat[a.var]
                for a in k.arguments
            ]
            k.run(arrays, partial[i], low, high)
            del arrays
            local = {x: array for x, array in local.items() if self._last[x] > i}


def allocated(size: int) -> int:
    """What an array of so many bytes takes."""
    return -(-size // UNIT) * UNIT


def _row_bytes(v: Var) -> int:
    return size_of(inner(v.aval.shape, 0)) * v.aval.dtype.itemsize


def grouped(items: Sequence[Any]) -> list[Any]:
    """Library calls as they are; kernels that can run together as one list.

    A call that makes little and needs nothing of the kernels before it is made before them.
    """
    found: list[Any] = []
    for item in items:
        group = found[-1] if found and isinstance(found[-1], list) else None
        if not isinstance(item, Kernel):
            early = group is not None and _little(item) and not _needs(item, group)
            found.insert(len(found) - early, item)
        elif group is not None and item.follows(group):
            group.append(item)
        else:
            found.append([item])
    return found


def _little(e: Equation) -> bool:
    return is_view(e) or sum(v.aval.nbytes for v in e.outputs) <= LITTLE


def _needs(e: Equation, group: Sequence[Kernel]) -> bool:
    written = {a.var for k in group for a in k.source.writes}
    sums = {x.var for k in group for x in k.source.sums}
    return any(x in written | sums for x in e.operands)
