"""What can run together over the rows: sweeps and library calls gathered into groups."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypeVar

from gpuad.ir.graph import Equation, Var
from gpuad.plan.plan import Call, FusedCall

Unit = TypeVar("Unit")
"""A sweep, or a library call by rows, of one executor."""


class Units(Protocol[Unit]):
    """What an executor says of its units."""

    def of_call(self, e: Equation) -> Unit | None:
        """A library call as a unit, if it acts row by row and that is worth it."""
        ...

    def follows(self, unit: Unit, earlier: Sequence[Unit]) -> bool:
        """Whether a unit needs from the results of earlier ones only the rows that it works on."""
        ...

    def reads(self, unit: Unit) -> Collection[Var]:
        """The values that a unit needs."""
        ...

    def makes(self, unit: Unit) -> Collection[Var]:
        """The values that a unit leaves."""
        ...

    def may_precede(self, e: Call) -> bool:
        """Whether a call may run before the group that it stands in, so that its results take
        memory while the group runs."""
        ...


class Grouping:
    """Takes the work of a plan in order and gathers consecutive work by rows into groups.

    A call on whole arrays that stands between goes before the group if it may and needs nothing of
    it, else after it; the group ends where something needs such a call.
    """

    def __init__(self, units: Units[Any]):
        self._units = units
        self._items: list[Any] = []
        self._group: list[Any] = []
        self._made: set[Any] = set()  # by the group
        self._after: list[Call] = []  # calls that wait for its end
        self._later: set[Any] = set()  # their results
        self._views: dict[Any, Equation] = {}  # calls by rows in the group that would be views

    def call(self, e: Call) -> None:
        """A call on whole arrays: by rows where it acts on them."""
        unit = None if isinstance(e, FusedCall) else self._by_rows(e)
        needs = not (self._made | self._later).isdisjoint(e.operands)
        if unit is not None:
            self.add(unit)
            if isinstance(e, Equation) and e.primitive.aliases:
                self._views[unit] = e
        elif self._group and (needs or not self._units.may_precede(e)):
            self._after.append(e)
            self._later.update(e.outputs)
        else:
            self._items.append(e)

    def _by_rows(self, e: Equation) -> Any | None:
        # A view costs nothing, unless there is no whole array that it could be of.
        if e.primitive.aliases and self._made.isdisjoint(e.operands):
            return None
        return self._units.of_call(e)

    def add(self, unit: Any) -> None:
        """A sweep or a call by rows."""
        waits = not self._later.isdisjoint(self._units.reads(unit))
        if waits or not self._units.follows(unit, self._group):
            self._close()
        self._group.append(unit)
        self._made.update(self._units.makes(unit))

    def _close(self) -> None:
        group, views = self._without_views()
        self._items += [group] if group else []
        self._items += [*views, *self._after]
        self._group, self._made, self._after, self._later = [], set(), [], set()
        self._views = {}

    def _without_views(self) -> tuple[list[Any], list[Call]]:
        """The group, and the calls that nothing in it needs and that are views of what it leaves:
        by rows they would be copies."""
        group: list[Any] = []
        views: list[Call] = []
        needed: set[Any] = set()
        for unit in reversed(self._group):
            if unit in self._views and needed.isdisjoint(self._units.makes(unit)):
                views.insert(0, self._views[unit])
            else:
                group.insert(0, unit)
                needed.update(self._units.reads(unit))
        return group, views

    def finished(self) -> list[Any]:
        """Calls as they are, and each group as a list."""
        self._close()
        return self._items
