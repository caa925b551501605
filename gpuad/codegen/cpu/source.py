"""The source of a sweep: one Numba function that works through a range of rows, block by block.

Inside a block the equations are grouped into loops: all elementwise work over one shape of lanes
is one loop, values that no other loop needs stay in registers, the others in scratch that is used
again for the next block. Row sums are added up per block, then in float64 per segment of rows.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from gpuad.codegen.argument import Argument, SweepSource, kind_of, number_text, typed_as
from gpuad.codegen.cpu.cumulative import Running
from gpuad.codegen.cpu.loops import Assign, At, Reduce, bound_checks, expression_text, loop_lines
from gpuad.codegen.cpu.nontemporal import block_lines
from gpuad.codegen.cpu.ordering import Loop
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Literal, Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import without_axis
from gpuad.plan.plan import SweepEquation, Use

GAPS = 1.25
"""Flat loops compute at most so many times what is needed."""


class SweepWriter(Running):
    """Writes the source of one sweep."""

    def write(self) -> SweepSource:
        for item in self.order:
            if isinstance(item, Loop):
                self._loop(item)
            else:
                EMITTERS[item.equation.primitive.role](self, item)
        slow = None
        if self.checked and self.speed == "fast":
            slow = self._slow().write().text
        return SweepSource(
            self._function(),
            list(self.reads.values()),
            list(self.writes.values()),
            list(self.sums.values()),
            dict(self.scratch),
            self.block,
            self.products,
            max([size_of(self._space(s)) for s in self.sweep]),
            slow,
        )

    def _slow(self) -> "SweepWriter":
        """The writer of the same sweep with functions that are right everywhere."""
        return type(self)(self.sweep, self.stored, self.streams, self.may_be_planar, "slow")

    # Loops

    def _loop(self, loop: Loop) -> None:
        local: dict[Any, str] = {}
        reads: list[View] = []
        statements: list[Assign | Reduce] = []
        width = self._width(loop)
        for s in loop.equations:
            operands = [
                self._operand(x, use, local, reads)
                for x, use in zip(s.equation.operands, s.uses, strict=True)
            ]
            if s.equation.primitive.role is Role.REDUCTION:
                statements.append(self._reduce(s, operands[0], loop.shape))
            else:
                statements.append(self._assign(s, operands, local, loop.shape, width))
        if not width and not self.planar and self._is_flat(statements, reads):
            width = size_of(loop.shape)
        self.nested |= not width
        self.lines += loop_lines(loop.shape, statements, self.planar, width, self.speed, self.block)

    def _width(self, loop: Loop) -> int:
        """How far apart the rows of all operands of a loop are, if there is a little more than its
        lanes between them and nothing against computing on that too; else 0."""
        lanes = size_of(loop.shape)
        if self.planar or max(loop.shape, default=1) != lanes:
            return 0
        widths = set()
        made = {s.equation.outputs[0] for s in loop.equations}
        for s in loop.equations:
            e = s.equation
            if e.primitive.role is not Role.ELEMENTWISE or e.outputs[0] in self.stored:
                return 0
            if bound_checks(e.primitive.scalar_text(e.params)):
                return 0
            for x, use in zip(e.operands, s.uses, strict=True):
                if type(x) is Var and x not in made:
                    view = self._read(x, use)
                    if view.row:
                        widths.add(view.row if view.dense else 0)
                    elif any(view.strides) and size_of(view.shape) > 1:
                        return 0
        width = widths.pop() if len(widths) == 1 else 0
        return width if lanes < width <= lanes * GAPS else 0

    @staticmethod
    def _is_flat(statements: Sequence[Any], reads: Sequence[View]) -> bool:
        scalar_sums = all(
            s.total and size_of(s.target.shape) == 1 for s in statements if isinstance(s, Reduce)
        )
        stores = [view for s in statements if isinstance(s, Assign) for view in s.stores]
        return scalar_sums and all(
            view.flat if view.row else not any(view.strides) or size_of(view.shape) == 1
            for view in (*reads, *stores)
        )

    def _operand(self, x: Any, use: Use, local: dict[Any, str], reads: list[View]) -> Any:
        if type(x) is Literal:
            text = number_text(x.value)
            return lambda at: text
        if x in local:
            name = local[x]
            return lambda at: name
        view = self._read(x, use)
        reads.append(view)
        return lambda at: at(view)

    def _assign(
        self,
        s: SweepEquation,
        operands: list[Any],
        local: dict[Any, str],
        shape: tuple[int, ...],
        width: int,
    ) -> Assign:
        e, v = s.equation, s.equation.outputs[0]
        kind, result, suffix = typed_as(e, self.main)
        text = e.primitive.scalar_text(e.params) if e.primitive.role is Role.ELEMENTWISE else "x"
        stores = []
        if v in self.kept:
            frame = self._new_frame(v, shape, width) if width else None
            self.views[v] = frame or self._new_block(v, shape)
            stores.append(self.views[v])
        if v in self.stored and s.axis is not None:
            stores.append(self._output(v, s.axis))
        local[v] = self._name(v)

        def expression(at: At, speed: str) -> str:
            names = [f(at) for f in operands]
            return expression_text(text, names, kind, result, speed == "slow", suffix)

        def check(condition: str) -> Callable[[At], str]:
            return lambda at: expression_text(
                condition, [f(at) for f in operands], kind, result, False, suffix
            )

        checks = tuple([check(condition) for condition in bound_checks(text)])
        self.checked |= bool(checks)
        return Assign(local[v], expression, tuple(stores), checks)

    def _reduce(self, s: SweepEquation, value: Any, lanes: tuple[int, ...]) -> Reduce:
        e, v = s.equation, s.equation.outputs[0]
        over = without_axis(e.params["axes"], s.uses[0].axis)
        kept = tuple([k for k in range(len(lanes)) if k not in over])
        shape = tuple([lanes[k] for k in kept])
        name = self._name(v)
        combiner = e.primitive.combiner
        if s.axis is not None:
            self.views[v] = target = self._new_block(v, shape)
            stored = self._output(v, s.axis) if v in self.stored else None
            return Reduce(name, kind_of(v), value, kept, target, stored, None, combiner)
        total = f"c{len(self.sums)}"
        self.sums[v] = Argument(total, v, "sum", None)
        if size_of(shape) > 1:
            self._slot(f"{total}b", kind_of(v), size_of(shape))
        target = View(f"{total}b", shape, contiguous(shape), 0)
        return Reduce(name, kind_of(v), value, kept, target, None, total)

    # The function around it

    def _function(self) -> str:
        arguments = [*self.reads.values(), *self.writes.values(), *self.sums.values()]
        rows, streams = block_lines(arguments, self.streams, self.block, self.scratch)
        names = [a.name for a in arguments] + list(self.scratch)
        lines = [f"def sweep({', '.join([*names, 'lo', 'hi'])}):"]
        lines += [f"    {x}" for x in self.places]
        lines += [f"    for b0 in range(lo, hi, {self.block}):"]
        lines += [f"        n = min({self.block}, hi - b0)"]
        block = [*rows, *self.tiles.copies(False), *self.lines, *self.tiles.copies(True), *streams]
        lines += [f"        {x}" for x in block]
        lines += ["    fence()"] if streams else []
        return "\n".join(lines) + "\n"


EMITTERS: dict[Role, Callable[[Any, SweepEquation], None]] = {
    Role.CONTRACTION: SweepWriter._product,
    Role.COPY: SweepWriter._copies,
    Role.CUMULATIVE: SweepWriter._running,
    Role.GATHER: SweepWriter._gather,
    Role.SCATTER: SweepWriter._scatter,
    Role.VIEW: SweepWriter._view,
}
"""What writes an equation that stands between loops."""


def flat_source(
    sweep: Sequence[SweepEquation], stored: set[Var], streams: Collection[Var]
) -> SweepSource | None:
    """The source of a sweep if all its loops are flat: then that is fastest for few lanes too."""
    writer = SweepWriter(sweep, stored, streams, planar=False)
    source = writer.write()
    return None if writer.nested else source
