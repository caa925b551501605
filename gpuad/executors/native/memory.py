"""The memory of a program on the CPU, known before it runs, and how to keep it under a limit."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np

from gpuad.executors.donation import Donation
from gpuad.executors.memory import DryRun, Ledger, MemoryStrategy, first_within, layouts_of
from gpuad.executors.native import result_pool
from gpuad.executors.native.fused_calls import FusedFunction
from gpuad.executors.native.library_calls import out_function
from gpuad.executors.native.row_pipeline import RowPass
from gpuad.executors.native.thread_pool import threads
from gpuad.executors.steps import PIECE_BYTES, Limits, Step
from gpuad.executors.workspace import layout_of, result_layout, strided
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import Call, FusedCall, Plan


class DryRunProgram(Protocol):
    """What a dry run asks of a program."""

    @property
    def graph(self) -> Graph: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def steps(self) -> Sequence[Step]: ...

    @property
    def sweeps(self) -> Sequence[Any]:
        """The sweep of each stage of the plan; None, if it has none."""
        ...

    @property
    def functions(self) -> Mapping[FusedCall, FusedFunction]: ...

    @property
    def parts(self) -> Mapping[Equation, Sequence["DryRunProgram"]]:
        """The programs of the graphs that equations hold."""
        ...

    @property
    def blocks(self) -> Mapping[Var, int]:
        """The bytes of the block of the pool for each large value that is not a result."""
        ...

    def strategy_within(self, outer: MemoryStrategy) -> MemoryStrategy:
        """The strategy for a run as part of a program that has this one."""
        ...


class NativeDryRun(DryRun):
    """A dry run of a program of the CPU."""

    def __init__(
        self,
        program: DryRunProgram,
        inputs: Sequence[Any],
        strategy: MemoryStrategy,
        blocks: Mapping[Var, int] | None = None,
        outer: "NativeDryRun | None" = None,
    ):
        """`outer` is the dry run of the program that holds this one."""
        ledger = Ledger(result_pool.SMALLEST) if outer is None else outer.ledger
        super().__init__(program.graph, inputs, strategy, ledger)
        self.program = program
        self._functions = program.functions
        self._blocks = blocks or {}
        self.copied: dict[Any, Any] = {}
        """What each pass copies, piece by piece."""
        self._scratch_of: list[int] = [] if outer is None else outer._scratch_of
        """Bytes of scratch of each thread."""

    def _block(self, v: Var) -> int | None:
        """The bytes of the block for a value, if it comes from the pool."""
        return max(v.aval.nbytes, self._blocks.get(v, 0)) if self.strategy.pooled else None

    def _pass(self, work: Any) -> None:
        assert isinstance(work, RowPass)
        donation = self.strategy.donation
        copied = work.copied(self.env)
        copied += [k for k in donation.staged.get(work, ()) if k not in copied]
        self.copied[work] = copied
        self._scratch(work.scratch_bytes, work.at_once(self.strategy.limits))
        extra = work.extra_bytes(self.env, copied, self.strategy.limits)
        for a in work.writes:
            shape = a.var.aval.shape
            made = layout_of(a.var.aval)
            if a.axis:
                rows_first = (shape[a.axis], *inner(shape, a.axis))
                made = np.moveaxis(strided(rows_first, a.var.aval.dtype), 0, a.axis)
            place = donation.placed.get(a.var)
            if place is None:
                self._made(a.var, made, a.var.aval.nbytes, self._block(a.var))
            elif place.block in self._inputs:
                self._made(a.var, made, 0)
            else:
                self._shared(a.var, place.block, made)
        for a in work.sums:
            self._made(a.var, layout_of(a.var.aval), a.var.aval.nbytes)
        self.ledger.use_briefly(extra)

    def _scratch(self, size: int, count: int) -> None:
        """Takes scratch on the first `count` threads; they keep it and use it again."""
        kept = self._scratch_of
        kept += [0] * (count - len(kept))
        self.ledger.take(sum([max(0, size - x) for x in kept[:count]]))
        kept[:count] = [max(size, x) for x in kept[:count]]

    def _call(self, e: Call) -> None:
        if isinstance(e, FusedCall):
            self._scratch(self._functions[e].scratch_bytes, 1)
        if self.strategy.pooled and isinstance(e, Equation) and out_function(e) is not None:
            (v,) = e.outputs
            operands = self._operands(e)
            layout = result_layout(e, v.aval, operands)
            self._made(v, layout, v.aval.nbytes, self._block(v))
            self.ledger.use_briefly(self.temporaries(e, operands))
            return
        super()._call(e)

    def _parts(
        self, e: Equation, operands: Sequence[Any] | None
    ) -> list[tuple[DryRun, Sequence[Step]]]:
        programs = self.program.parts.get(e)
        if programs is None:
            return super()._parts(e, operands)
        return [(self._part(p, operands or layouts_of(p.graph)), p.steps) for p in programs]

    def _part(self, program: DryRunProgram, operands: Sequence[Any]) -> "NativeDryRun":
        strategy = program.strategy_within(self.strategy)
        blocks = program.blocks if strategy.pooled else None
        return NativeDryRun(program, operands, strategy, blocks, self)

    def temporaries(self, e: Any, operands: Sequence[Any]) -> int:
        if isinstance(e, FusedCall):
            return self._functions[e].workspace(operands)
        return super().temporaries(e, operands)


def within(
    max_bytes: int,
    held: int,
    program: DryRunProgram,
    inputs: Sequence[Any],
    donations: Mapping[bool, Donation],
) -> MemoryStrategy:
    """The fastest strategy with a peak of at most `max_bytes`, of which `held` are taken already.

    `donations` are the choices, the fastest first: whether results may overwrite intermediate
    values, and the donation that goes with it.

    Raises
    ------
    MemoryLimitError
        If there is none.
    """
    strategies = [
        MemoryStrategy(donation, limits, pooled=False, reuse=reuse)
        for (reuse, donation), limits in product(donations.items(), _choices())
    ]
    return first_within(
        max_bytes,
        strategies,
        lambda strategy: held + NativeDryRun(program, inputs, strategy).peak(program.steps),
        "with the fewest rows at a time on one thread",
    )


def _choices() -> Iterator[Limits]:
    """The fastest first: shorter and shorter pieces, then the same on fewer threads."""
    count = threads()
    while count:
        yield from [Limits(PIECE_BYTES >> k, count) for k in range(0, 22, 3)]
        count //= 2
