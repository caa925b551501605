"""What can run together over the rows: sweeps and library calls gathered into passes."""

from typing import Any

from gpuad.executors.passes import Unit, follows
from gpuad.executors.rowcalls import ALIASES, row_call
from gpuad.ir.graph import Equation, Var
from gpuad.plan.plan import Plan


class Grouping:
    """Takes the work of a plan in order and gathers consecutive work by rows into groups.

    A call on whole arrays that stands between goes before the group if it needs nothing of it, else
    after it; the group ends where something needs such a call.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        self._items: list[Equation | list[Unit]] = []
        self._group: list[Unit] = []
        self._made: set[Var] = set()
        self._after: list[Equation] = []
        self._later: set[Var] = set()

    def call(self, e: Equation) -> None:
        """A library call: by rows where it acts on them."""
        axes = self._plan.by_rows.get(e)
        # A view costs nothing, unless there is no whole array that it could be of.
        view = e.primitive.name in ALIASES and not self._made.intersection(e.operands)
        unit = None if axes is None or view else row_call(axes, self._plan.rows)
        if unit is not None:
            self.add(unit)
        elif (self._made | self._later).intersection(e.operands):
            self._after.append(e)
            self._later.update(e.outputs)
        else:
            self._items.append(e)

    def add(self, unit: Unit) -> None:
        """A sweep or a call by rows."""
        source = unit.source
        waits = any(a.var in self._later for a in source.reads)
        if waits or not follows(unit, self._group):
            self._close()
        self._group.append(unit)
        self._made.update([a.var for a in (*source.writes, *source.sums)])

    def _close(self) -> None:
        self._items += [self._group] if self._group else []
        self._items += self._after
        self._group, self._made, self._after, self._later = [], set(), [], set()

    def finished(self) -> list[Any]:
        self._close()
        return self._items
