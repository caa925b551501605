"""Cumulative work along a lane inside a sweep: each element from the one before it."""

from dataclasses import replace

from gpuad.codegen.argument import typed_as
from gpuad.codegen.cpu.gather_scatter import Places
from gpuad.codegen.cpu.loops import copy_lines, expression_text, nest_lines
from gpuad.codegen.views import View
from gpuad.ir.rows import without_axis
from gpuad.plan.plan import SweepEquation


class Running(Places):
    """Writes cumulative sums, products and extrema, and linear recurrences."""

    def _running(self, s: SweepEquation) -> None:
        self.nested = True
        e, v = s.equation, s.equation.outputs[0]
        (axis,) = without_axis((e.params["axis"],), s.axis)
        sources = [self._read(x, use) for x, use in zip(e.operands, s.uses, strict=True)]  # type: ignore[arg-type]
        target = self.views[v] = self._new_block(v, self._made_shape(s))
        first, later, before = _part(target, axis, 0, 1), _rest(target, axis), _before(target, axis)
        self.lines += copy_lines(first, _part(sources[-1], axis, 0, 1), self.planar)
        kind, result, suffix = typed_as(e, self.main)
        operands = [before, *[_rest(x, axis) for x in sources]]

        def body(names: list[str]) -> list[str]:
            elements = [f"{x.base}[{x.index('r', names)}]" for x in operands]
            text = expression_text(e.primitive.step, elements, kind, result, False, suffix)
            return [f"{later.base}[{later.index('r', names)}] = {text}"]

        if later.shape[axis]:
            self.lines += nest_lines(later.shape, self.planar, body)  # type: ignore[arg-type]
        self._copy_out(s)


def _part(view: View, axis: int, start: int, stop: int) -> View:
    shape = tuple([stop - start if k == axis else n for k, n in enumerate(view.shape)])
    return replace(view, shape=shape, offset=view.offset + start * view.strides[axis])


def _rest(view: View, axis: int) -> View:
    return _part(view, axis, 1, view.shape[axis])


def _before(view: View, axis: int) -> View:
    return _part(view, axis, 0, view.shape[axis] - 1)
