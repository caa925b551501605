"""Tables inside a sweep: rows read at places that each row gives, and rows added at places.

Places are checked, a block at a time, before they are used. Updates of a table are added in the
order of the rows, in float64, to a table of the segment.
"""

from collections.abc import Sequence
from typing import Any

from gpuad.codegen.argument import Argument
from gpuad.codegen.cpu.contraction import Products
from gpuad.codegen.cpu.loops import copy_lines, nest_lines
from gpuad.codegen.views import View, contiguous
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation


def place_text(places: Sequence[str], sizes: Sequence[int]) -> str:
    """The index of a table's row, from one index for each of its axes."""
    text = places[0]
    for place, n in zip(places[1:], sizes[1:], strict=True):
        text = f"({text}) * {n} + {place}"
    return text


def outside_lines(sizes: Sequence[int], found: str = "found") -> list[str]:
    """What a sweep does where `found` says that a place is not in a table."""
    axes = " x ".join(map(str, sizes))
    message = f"index out of bounds: one of those into {axes} places"
    return [f"if not {found}:", f"    raise IndexError({message!r})"]


def table_shape(e: Equation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a table along which it is looked up, and the others."""
    shape = e.operands[0].aval.shape[e.params["batch"] :]
    count = len(e.operands) - (1 if e.primitive.role is Role.GATHER else 2)
    return shape[:count], shape[count:]


class Places(Products):
    """Writes gathers and scatters."""

    def _gather(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        x, use = e.operands[0], s.uses[0]
        table = self._table(x) if use.kind == "free" else self._read(x, use)  # type: ignore[arg-type]
        target = self.views[v] = self._new_block(v, self._made_shape(s))
        self._at_places(s, 1, table, target, self.planar, "{1} = {0}")
        self._copy_out(s)

    def _scatter(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        x = e.operands[0]
        update = self._read(e.operands[1], s.uses[1])  # type: ignore[arg-type]
        if s.axis is not None:
            table = self.views[v] = self._new_block(v, self._made_shape(s))
            self.lines += copy_lines(table, self._read(x, s.uses[0]), self.planar)  # type: ignore[arg-type]
        else:
            self._table(x)
            total = f"c{len(self.sums)}"
            self.sums[v] = Argument(total, v, "sum", None, base=x)  # type: ignore[arg-type]
            table = View(total, x.aval.shape, contiguous(x.aval.shape), 0)
        self._at_places(s, 2, table, update, False, "{0} += {1}")
        self._copy_out(s)

    def _table(self, x: Any) -> View:
        """An array in memory with its axes as they are."""
        key = (x, "free", None)
        if key not in self.reads or self.reads[key].order is not None:
            key = (x, "table", None)
            self.reads.setdefault(key, Argument(f"a{len(self.reads)}", x, "free", None))
        return View(self.reads[key].name, x.aval.shape, contiguous(x.aval.shape), 0)

    def _at_places(
        self, s: SweepEquation, first: int, table: View, lanes: View, planar: bool, text: str
    ) -> None:
        """Lines for all lanes: `text` with the element of the table and that of the lanes in it."""
        sizes, rest = table_shape(s.equation)
        indices = [self._along(i, rest) for i in self._indices(s, first, sizes)]

        def body(names: Sequence[str]) -> list[str]:
            lines = [f"p{k} = {i.base}[{i.index('r', names)}]" for k, i in enumerate(indices)]
            of_rest = names[len(names) - len(rest) :]
            places = [f"p{k}" for k in range(len(indices))]
            element = f"{table.base}[{table.index('r', [*places, *of_rest])}]"
            mine = f"{lanes.base}[{lanes.index('r', names)}]"
            return [*lines, text.format(element, mine)]

        self.lines += nest_lines(lanes.shape, planar, body)

    def _indices(self, s: SweepEquation, first: int, sizes: Sequence[int]) -> list[View]:
        """The views of the indices, after lines that check them."""
        self.nested = True
        views = [
            self._read(x, use)  # type: ignore[arg-type]
            for x, use in zip(s.equation.operands[first:], s.uses[first:], strict=True)
        ]

        def body(names: Sequence[str]) -> list[str]:
            return [
                line
                for view, n in zip(views, sizes, strict=True)
                for line in (
                    f"p = {view.base}[{view.index('r', names)}]",
                    f"found &= (p >= 0) & (p < {n})",
                )
            ]

        self.lines += ["found = True", *nest_lines(views[0].shape, self.planar, body)]
        self.lines += outside_lines(sizes)
        return views

    @staticmethod
    def _along(view: View, rest: Sequence[int]) -> View:
        shape = (*view.shape, *rest)
        return view.broadcast(shape, range(len(view.shape)))
