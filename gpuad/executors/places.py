"""Tables inside a sweep: rows read at places that each row gives, and rows added at places.

Places are checked, a block at a time, before they are used. Updates of a table are added in the
order of the rows, in float64, to a table of the segment.
"""

from collections.abc import Sequence
from typing import Any

from gpuad.executors.loops import nest_lines
from gpuad.executors.products import Products
from gpuad.executors.sweep import Argument
from gpuad.executors.views import View, contiguous, size_of
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


def table_shape(e: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of a table along which it is looked up, and the others."""
    shape = e.operands[0].aval.shape
    count = len(e.operands) - (1 if e.primitive.name == "gather" else 2)
    return shape[:count], shape[count:]


class Places(Products):
    """Writes gathers and scatters."""

    def _gather(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        sizes, rest = table_shape(e)
        table = self._free_table(e.operands[0])
        indices = self._indices(s, 1, sizes)
        lanes = self._made_shape(s)
        target = self.views[v] = self._new_block(v, lanes)
        wide = [self._along(i, rest) for i in indices]
        cells = View(table, lanes, (0,) * len(indices[0].shape) + contiguous(rest), 0)

        def body(names: Sequence[str]) -> list[str]:
            places = [f"{i.base}[{i.index('r', names)}]" for i in wide]
            index = self._cell(cells, place_text(places, sizes), size_of(rest), names)
            return [f"{target.base}[{target.index('r', names)}] = {table}[{index}]"]

        self.lines += nest_lines(lanes, self.planar, body)
        self._copy_out(s)

    def _scatter(self, s: SweepEquation) -> None:
        e, v = s.equation, s.equation.outputs[0]
        sizes, rest = table_shape(e)
        self._free_table(e.operands[0])
        indices = self._indices(s, 2, sizes)
        update = self._read(e.operands[1], s.uses[1])  # type: ignore[arg-type]
        total = f"c{len(self.sums)}"
        self.sums[v] = Argument(total, v, "sum", None, base=e.operands[0])  # type: ignore[arg-type]
        wide = [self._along(i, rest) for i in indices]
        lanes = update.shape
        cells = View(total, lanes, (0,) * len(indices[0].shape) + contiguous(rest), 0)

        def body(names: Sequence[str]) -> list[str]:
            places = [f"{i.base}[{i.index('r', names)}]" for i in wide]
            index = self._cell(cells, place_text(places, sizes), size_of(rest), names)
            return [f"{total}[{index}] += {update.base}[{update.index('r', names)}]"]

        self.lines += nest_lines(lanes, False, body)

    def _free_table(self, x: Any) -> str:
        key = (x, "free", None)
        if key not in self.reads or self.reads[key].order is not None:
            key = (x, "table", None)
            self.reads.setdefault(key, Argument(f"a{len(self.reads)}", x, "free", None))
        return self.reads[key].name

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

    @staticmethod
    def _cell(cells: View, place: str, size: int, names: Sequence[str]) -> str:
        lane = cells.index("r", names)
        first = place if size == 1 else f"{size} * ({place})"
        return first if lane == "0" else f"{first} + {lane}"
