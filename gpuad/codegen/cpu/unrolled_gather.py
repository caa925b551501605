"""Tables in sweeps that are written out: gathers are loads, scatters go through scratch."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cpu.gather_scatter import place_text, table_shape
from gpuad.codegen.cpu.lane_major import Tiles
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation, Use
from gpuad.plan.roles import is_scatter_add

Names = np.ndarray
"""An array of source names, in the shape of one row of a value."""


class UnrolledPlaces(ABC):
    """Writes gathers and scatters, one scalar a lane."""

    reads: dict[Any, Argument]
    sums: dict[Var, Argument]
    tables: dict[tuple[int, ...], str]
    after: dict[str, str]
    lines: list[str]
    tiles: Tiles

    @abstractmethod
    def _fresh(self) -> str:
        """A new name."""

    @abstractmethod
    def _line(self, text: str) -> str:
        """A new name for what the text says, in a line of its own."""

    @abstractmethod
    def _operand(self, x: Any, use: Use) -> Names:
        """The names of a value, one for each lane."""

    def _places(self, s: SweepEquation, first: int) -> Names:
        """The names of the places of rows in a table, brought into it."""
        sizes, _ = table_shape(s.equation)
        pairs = zip(s.equation.operands[first:], s.uses[first:], strict=True)
        indices = [self._operand(x, use) for x, use in pairs]
        places = np.empty(indices[0].shape, object)
        found = self.tables.setdefault(sizes, f"found{len(self.tables)}")
        for i in np.ndindex(*places.shape):
            inside = []
            for index, n in zip(indices, sizes, strict=True):
                inside.append(self._fresh())
                self.lines.append(f"{inside[-1]} = min(max({index[i]}, 0), {n - 1})")
                self.lines.append(f"{found} &= {inside[-1]} == {index[i]}")
            places[i] = self._fresh()
            self.lines.append(f"{places[i]} = {place_text(inside, sizes)}")
        return places

    def _table(self, x: Any) -> str:
        name = f"a{len(self.reads)}"
        return self.reads.setdefault((x, "free", None), Argument(name, x, "free", None)).name

    def _gather(self, s: SweepEquation) -> Names:
        x = s.equation.operands[0]
        if s.equation.params["batch"]:
            return self._chosen(s)
        table = self._table(x)
        _, rest = table_shape(s.equation)
        places, size = self._places(s, 1), size_of(rest)
        out = np.empty((*places.shape, size), object)
        for i in np.ndindex(*out.shape):
            out[i] = self._fresh()
            place = places[i[:-1]] if size == 1 else f"{size} * {places[i[:-1]]} + {i[-1]}"
            self.lines.append(f"{out[i]} = {table}[{place}]")
        return out.reshape((*places.shape, *rest))

    def _scatter(self, s: SweepEquation) -> Names:
        """Updates go to scratch, lane by lane, and are added after the loop."""
        e, v = s.equation, s.equation.outputs[0]
        x, u = e.operands[:2]
        if e.params["batch"]:
            return self._changed(s)
        self._table(x)
        name = f"c{len(self.sums)}"
        total = self.sums.setdefault(v, Argument(name, v, "sum", None, base=x)).name  # type: ignore[arg-type]
        places, update = self._places(s, 2), self._operand(u, s.uses[1])
        stride, size = self.tiles.stride, size_of(table_shape(e)[1])
        self.tiles.scratch[f"{total}p"] = "i64", places.size * stride
        self.tiles.scratch[f"{total}u"] = kind_of(u), update.size * stride
        for letter, names in (("p", places), ("u", update)):
            for j, n in enumerate(names.ravel()):
                self.lines.append(f"{total}{letter}[{stride * j} + r] = {n}")
        self.after[total] = (
            f"add_at_places({total}p, {total}u, {total}, n, {places.size}, {size}, {stride})"
        )
        return np.empty((), object)

    def _own_table(self, s: SweepEquation) -> Names:
        """The names of the table of this row, by place."""
        size = size_of(table_shape(s.equation)[1])
        return self._operand(s.equation.operands[0], s.uses[0]).reshape(-1, size)

    def _chosen(self, s: SweepEquation) -> Names:
        """What is at places of a row's own table: chosen from all of it."""
        table, places = self._own_table(s), self._places(s, 1)
        out = np.empty((*places.shape, table.shape[1]), object)
        for *i, j in np.ndindex(*out.shape):
            out[(*i, j)] = str(table[0, j])
            for k in range(1, len(table)):
                choice = f"where({places[tuple(i)]} == {k}, {table[k, j]}, {out[(*i, j)]})"
                out[(*i, j)] = self._line(choice)
        return out.reshape(inner(s.equation.outputs[0].aval.shape, s.axis))

    def _changed(self, s: SweepEquation) -> Names:
        """A row's own table with updates added at places."""
        table, places = self._own_table(s).copy(), self._places(s, 2)
        updates = self._operand(s.equation.operands[1], s.uses[1])
        updates = updates.reshape((*places.shape, -1))
        for *i, j in np.ndindex(*updates.shape):
            for k in range(len(table)):
                old = table[k, j]
                added = f"{old} + {updates[(*i, j)]}"
                table[k, j] = self._line(f"where({places[tuple(i)]} == {k}, {added}, {old})")
        return table.reshape(inner(s.equation.outputs[0].aval.shape, s.axis))


def scatter_bytes(s: SweepEquation) -> int:
    """Bytes of scratch for the updates of a table and their places, by row."""
    if s.axis is not None or not is_scatter_add(s.equation):
        return 0
    pairs = zip(s.equation.operands[1:], s.uses[1:], strict=True)
    return sum(size_of(inner(x.aval.shape, u.axis)) * x.aval.dtype.itemsize for x, u in pairs)
