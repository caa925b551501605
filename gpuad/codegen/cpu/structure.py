"""Structure primitives inside a sweep: views where they can be, else copies within the block."""

from dataclasses import replace

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cpu.loops import copy_lines, fill_lines
from gpuad.codegen.cpu.storage import Storage
from gpuad.codegen.structure import covers, moved_view, parts_of
from gpuad.codegen.views import View, size_of
from gpuad.plan.plan import SweepEquation


class Structure(Storage):
    """Writes views, pads and concatenations."""

    def _view(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        moved = moved_view(source, s)
        if moved is None:
            dense = self._new_block(v, source.shape, matrix=not self.planar)
            self.lines += copy_lines(dense, source, self.planar)
            moved = moved_view(dense, s)
            assert moved is not None
        self.views[v] = moved
        self._copy_out(s)

    def _copies(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        framed = self._framed(s) if len(e.operands) == 1 else None
        self.views[v] = framed or self._new_block(v, self._made_shape(s))
        if framed is None:
            self._put_together(s, self.views[v])
        self._copy_out(s)

    def _framed(self, s: SweepEquation) -> View | None:
        """A padded value as a view of its operand with the zeros around it, if there is room."""
        e = s.equation
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        shape, (part,) = self._made_shape(s), parts_of(s)
        low = [p.start for p in part]
        frame = self.frames.get(source)
        if any((p.step or 1) != 1 for p in part):
            return None
        if frame is None or not frame.holds(low, shape):
            return None
        if frame.computed and source not in self.zeroed:
            self.zeroed.add(source)
            zero, lanes = f"{kind_of(e.outputs[0])}(0)", size_of(source.shape)
            self.places += fill_lines(source.base, source.offset, zero)
            gap = View(source.base, (source.row - lanes,), (1,), source.row, source.offset + lanes)
            self.lines += copy_lines(gap, None, False, zero)
        before = sum(a * s for a, s in zip(low, source.strides, strict=True))
        return replace(source, shape=shape, offset=source.offset - before)

    def _put_together(self, s: SweepEquation, target: View) -> None:
        """Copies the operands to their parts of the target, with zeros around them."""
        self.nested = True
        if not covers(s):
            zero = f"{kind_of(s.equation.outputs[0])}(0)"
            self.lines += copy_lines(target, None, self.planar, zero)
        pairs = zip(s.equation.operands, s.uses, parts_of(s), strict=True)
        for x, use, part in pairs:
            source = self._read(x, use)  # type: ignore[arg-type]
            self.lines += copy_lines(target.part(part), source, self.planar)

    def _copy_out(self, s: SweepEquation) -> None:
        v = s.equation.outputs[0]
        if v in self.stored and s.axis is not None:
            self.lines += copy_lines(self._output(v, s.axis), self.views[v], self.planar)
