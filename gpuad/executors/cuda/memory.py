"""The memory of a program on a GPU, known before it runs, and how to keep it under a limit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpuad.executors.cuda.arrangement import address, layout_at
from gpuad.executors.cuda.cublas import Product
from gpuad.executors.cuda.row_calls import temporaries
from gpuad.executors.cuda.row_pipeline import WHOLE, KernelPass, allocated
from gpuad.executors.cuda.scatter import Shared, is_scatter, temporary_bytes
from gpuad.executors.donation import NOTHING, Donation
from gpuad.executors.memory import DryRun, Ledger, MemoryStrategy, first_within, layouts_of
from gpuad.executors.steps import Limits, Step
from gpuad.executors.workspace import layout_of
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.primitive import Role

PIECES = (WHOLE, *[Limits(1 << k) for k in range(38, -1, -2)])
"""From the fastest on: all rows at a time, then shorter pieces."""


def strategies(donation: Donation = NOTHING) -> list[MemoryStrategy]:
    """The ways to run a program, from the fastest on."""
    return [MemoryStrategy(donation, limits, pooled=False) for limits in PIECES]


@dataclass(frozen=True)
class SpecialCalls:
    """The products of cuBLAS, and the scatter-adds that share an order, by their results."""

    products: Mapping[Var, Product]
    orders: Mapping[Var, Shared]


class ProgramMemory:
    """The steps of a program, the special calls among them, and the same of the programs of graphs
    that equations hold."""

    def __init__(
        self,
        graph: Graph,
        steps: Sequence[Step],
        calls: SpecialCalls,
        parts: Mapping[Equation, Sequence["ProgramMemory"]],
    ):
        self.graph = graph
        self.steps = steps
        self.calls = calls
        self.parts = parts

    def dry_run(self, layouts: Sequence[Any], strategy: MemoryStrategy) -> "CudaDryRun":
        return CudaDryRun(self, layouts, strategy)

    def peak(self, layouts: Sequence[Any], strategy: MemoryStrategy) -> int:
        """Bytes beside the arguments at the fullest moment of a run on arrays of these layouts."""
        return self.dry_run(layouts, strategy).peak(self.steps)

    def least(self, layouts: Sequence[Any]) -> int:
        """The smallest budget that is enough."""
        return min([self.peak(layouts, strategy) for strategy in strategies()])

    def within(
        self, max_bytes: int, held: int, layouts: Sequence[Any], donation: Donation
    ) -> Limits:
        """The longest pieces of rows with a peak of at most `max_bytes`, of which `held` bytes are
        in use already.

        Raises
        ------
        MemoryLimitError
            If the shortest pieces take more.
        """
        strategy = first_within(
            max_bytes,
            strategies(donation),
            lambda strategy: held + self.peak(layouts, strategy),
            "with the fewest rows at a time",
        )
        return strategy.limits


class RoundedLedger(Ledger):
    """A ledger of CuPy's memory pool, which rounds the size of each array up."""

    def take(self, size: int) -> None:
        super().take(allocated(size))

    def give_back(self, size: int) -> None:
        super().give_back(allocated(size))

    def use_briefly(self, *sizes: int) -> None:
        super().use_briefly(*map(allocated, sizes))


class CudaDryRun(DryRun):
    """A dry run of the kernels, library calls and products of a program."""

    def __init__(
        self,
        program: ProgramMemory,
        layouts: Sequence[Any],
        strategy: MemoryStrategy,
        ledger: Ledger | None = None,
    ):
        super().__init__(program.graph, layouts, strategy, ledger or RoundedLedger())
        self._program = program
        self._calls = program.calls

    def _pass(self, work: Any) -> None:
        assert isinstance(work, KernelPass)
        donation = self.strategy.donation
        staged = staged_in(work, donation)
        extra = work.extra_bytes(self.env, work.copied(self.env), self.strategy.limits, staged)
        for a in work.whole:
            v = a.var
            self._made(v, layout_of(v.aval), 0 if v in donation.placed else v.aval.nbytes)
        for x in work.sums:
            made = layout_of(x.var.aval)
            place = getattr(x, "start", 0) * made.dtype.itemsize
            self._made(x.var, layout_at(made, place), x.var.aval.nbytes)
        self.ledger.use_briefly(extra)

    def _call(self, e: Any) -> None:
        product = self._calls.products.get(e.outputs[0])
        shared = self._calls.orders.get(e.outputs[0])
        if shared is not None:
            self._with_order(e, shared)
        elif is_scatter(e) or e.primitive.role in (Role.SORT, Role.ELEMENTWISE):
            self._counted(e, temporaries(e, self._operands(e)))
        elif product is not None:
            self._counted(e, product.copies(*self._operands(e)))
        else:
            super()._call(e)

    def _with_order(self, e: Equation, shared: Shared) -> None:
        """Counts a scatter-add whose order is kept from the first of several to the last."""
        for size in shared.kept if shared.first else ():
            self.ledger.take(size)
        self._counted(e, temporary_bytes(e, self._operands(e), shared))
        for size in shared.kept if shared.last else ():
            self.ledger.give_back(size)

    def _holding(self, e: Equation, operands: Sequence[Any]) -> None:
        numbers = [x.aval.nbytes for x in e.operands if type(x) is not Var]
        for size in numbers:  # each is an array on the GPU during the run
            self.ledger.take(size)
        super()._holding(e, operands)
        for size in numbers:
            self.ledger.give_back(size)

    def _parts(
        self, e: Equation, operands: Sequence[Any] | None
    ) -> list[tuple[DryRun, Sequence[Step]]]:
        programs = self._program.parts.get(e)
        if programs is None:
            return super()._parts(e, operands)
        strategy = replace(self.strategy, donation=NOTHING)
        found: list[tuple[DryRun, Sequence[Step]]] = []
        for program in programs:
            given = list(operands or [])
            given += layouts_of(program.graph)[len(given) :]  # its constants
            found.append((CudaDryRun(program, given, strategy, self.ledger), program.steps))
        return found

    def _shared(self, v: Var, x: Any, view: Any) -> None:
        if type(x) is Var:
            super()._shared(v, x, view)
        else:
            self._made(v, view, view.dtype.itemsize)  # a number becomes an array on the GPU

    def _counted(self, e: Equation, temporary: Iterable[int]) -> None:
        """Counts a call that allocates its result and temporary arrays of these sizes."""
        (v,) = e.outputs
        self.ledger.use_briefly(v.aval.nbytes, *temporary)
        self._made(v, layout_of(v.aval), v.aval.nbytes)


def staged_in(work: KernelPass, donation: Donation) -> list[Var]:
    """What a pass reads and copies piece by piece, so that it may overwrite it."""
    return [k[0] for k in donation.staged.get(work, ())]


def layout(x: Any) -> Any:
    """A NumPy array with the shape, dtype, strides and alignment of `x`, without its memory."""
    return layout_at(x, address(x))
