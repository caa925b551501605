"""Structure primitives inside a sweep: views where they can be, else copies within the block."""

from dataclasses import replace

from gpuad.executors.loops import copy_lines, fill_lines
from gpuad.executors.storage import Storage
from gpuad.executors.sweep import inner, kind_of, without_axis
from gpuad.executors.views import View, size_of
from gpuad.plan.plan import SweepEquation


class Structure(Storage):
    """Writes views, pads and concatenations."""

    def _view(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        moved = self._moved(source, s)
        if moved is None:
            dense = self._new_block(v, source.shape, matrix=not self.planar)
            self.lines += copy_lines(dense, source, self.planar)
            moved = dense.reshape(self._made_shape(s))
            assert moved is not None
        self.views[v] = moved
        self._copy_out(s)

    def _moved(self, source: View, s: SweepEquation) -> View | None:
        e, axis, from_axis = s.equation, s.axis, s.uses[0].axis
        p, name = e.params, e.primitive.name
        if name == "broadcast":
            dims = inner(p["dims"], from_axis)
            along = [k for k, d in enumerate(dims) if d != axis]
            # An axis of size 1 may be what is repeated along the rows.
            source = source.keep(along)
            return source.broadcast(inner(p["shape"], axis), without_axis(dims, axis))
        if name == "reshape":
            return source.reshape(self._made_shape(s))
        if name == "transpose":
            perm = [q for q in p["perm"] if q != from_axis]
            return source.transpose(without_axis(perm, from_axis))
        if name == "flip":
            return source.flip(without_axis(p["axes"], axis))
        return source.slice(*[inner(p[k], axis) for k in ("starts", "stops", "steps")])

    def _copies(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        framed = self._framed(s) if e.primitive.name == "pad" else None
        self.views[v] = target = framed or self._new_block(v, self._made_shape(s))
        if e.primitive.name == "concatenate":
            self._concatenate(s, target)
        elif framed is None:
            self._pad(s, target)
        self._copy_out(s)

    def _framed(self, s: SweepEquation) -> View | None:
        """A padded value as a view of its operand with the zeros around it, if there is room."""
        e = s.equation
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        shape, low = self._made_shape(s), inner(e.params["low"], s.axis)
        frame = self.frames.get(source)
        if any(step != 1 for step in inner(e.params["step"], s.axis)):
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

    def _pad(self, s: SweepEquation, target: View) -> None:
        e = s.equation
        self.nested = True
        self.lines += copy_lines(target, None, self.planar, f"{kind_of(e.outputs[0])}(0)")
        source = self._read(e.operands[0], s.uses[0])  # type: ignore[arg-type]
        low, step = inner(e.params["low"], s.axis), inner(e.params["step"], s.axis)
        stops = [a + (n - 1) * c + 1 for a, n, c in zip(low, source.shape, step, strict=True)]
        self.lines += copy_lines(target.slice(low, stops, step), source, self.planar)

    def _concatenate(self, s: SweepEquation, target: View) -> None:
        self.nested = True
        (axis,) = without_axis((s.equation.params["axis"],), s.axis)
        start = 0
        for x, use in zip(s.equation.operands, s.uses, strict=True):
            source = self._read(x, use)  # type: ignore[arg-type]
            starts = [start if k == axis else 0 for k in range(len(source.shape))]
            stops = [a + n for a, n in zip(starts, source.shape, strict=True)]
            part = target.slice(starts, stops, [1] * len(starts))
            self.lines += copy_lines(part, source, self.planar)
            start += source.shape[axis]

    def _copy_out(self, s: SweepEquation) -> None:
        v = s.equation.outputs[0]
        if v in self.stored and s.axis is not None:
            self.lines += copy_lines(self._output(v, s.axis), self.views[v], self.planar)
