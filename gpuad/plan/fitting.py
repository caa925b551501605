"""A plan whose sweeps a target can hold: each divided, or computed with rows and lanes exchanged,
where it is too much for one kernel."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from gpuad.ir.graph import Var
from gpuad.plan.divide import parts
from gpuad.plan.interchange import interchanged, without_sums
from gpuad.plan.plan import Plan, Stage, SweepEquation, Use
from gpuad.plan.sink_views import Place, ViewSinking
from gpuad.plan.target import FittingTarget


def fitted(plan: Plan, target: FittingTarget) -> list[Stage]:
    """The stages of a plan, each with its number of rows and a sweep that the target can hold."""
    return _Fitting(plan, target).stages()


class _Fitting:
    def __init__(self, plan: Plan, target: FittingTarget):
        self._rows = plan.rows
        self._target = target
        self._sinking = ViewSinking(plan.stages, plan.graph.outputs)
        self._todo = deque(self._sinking.stages)
        self._done: list[Stage] = []
        self._last: Place | None = None
        """The place of the last finished stage, if the next one may be joined with it."""

    def stages(self) -> list[Stage]:
        while self._todo:
            self._stage(self._todo.popleft())
        return self._done

    def _finish(self, whole: list, sweep: list[SweepEquation], place: Place | None = None) -> None:
        self._done.append(Stage(whole, sweep, self._rows if sweep else 0))
        self._last = place

    def _stage(self, place: Place) -> None:
        stage, kept = self._sinking.stages[place], self._sinking.kept(place)
        if not stage.sweep:
            self._finish(stage.whole, [])
        elif self._target.fits(stage.sweep, kept, self._rows):
            if not self._joined_with_last(place):
                self._finish(stage.whole, stage.sweep, place)
        else:
            self._make_smaller(place, stage, kept)

    def _make_smaller(self, place: Place, stage: Stage, kept: set[Var]) -> None:
        across = interchanged(stage.sweep, self._rows, self._target)
        if across is not None:
            sums, plan = across
            self._finish(stage.whole, [])
            self._done += fitted(plan, self._target)
            self._sinking.replace([place], Stage([], without_sums(stage.sweep, sums, kept)))
            self._todo.appendleft(place)
        elif len(stage.sweep) == 1:
            self._finish([*stage.whole, stage.sweep[0].equation], [])
        else:
            self._todo.extendleft(reversed(self._sinking.divide(place, self._halves(stage.sweep))))

    def _halves(self, sweep: list[SweepEquation]) -> list[list[SweepEquation]]:
        """The sweep in two or three parts of about the same cost."""
        cost = self._target.cost
        total = sum([cost(s) for s in sweep])
        found = parts(sweep, cost, max(total / 2, 1))
        return found if len(found) > 1 else parts(sweep, lambda s: 1, max(len(sweep) / 2, 1))

    def _joined_with_last(self, place: Place) -> bool:
        """Joins a stage with the one before it, if one kernel can hold both; whether it did.

        Sweeps are divided by their cost, so a kernel may hold more than one of the parts.
        """
        last, stage = self._last, self._sinking.stages[place]
        if last is None or stage.whole:
            return False
        sweep = _joined(self._done[-1].sweep, stage.sweep)
        if sweep is None:
            return False
        kept = self._sinking.kept_of(sweep, (last, place))
        if not self._target.fits(sweep, kept, self._rows):
            return False
        self._sinking.replace([last, place], Stage(self._done[-1].whole, sweep))
        self._done[-1] = replace(self._done[-1], sweep=sweep)
        return True


def _joined(
    first: Sequence[SweepEquation], second: Sequence[SweepEquation]
) -> list[SweepEquation] | None:
    """Two sweeps over the same rows as one; None if the second one needs a result of the first one
    otherwise than row by row."""
    made = {s.equation.outputs[0]: s.axis for s in first}
    found = list(first)
    for s in second:
        uses = []
        for x, use in zip(s.equation.operands, s.uses, strict=True):
            if type(x) is Var and x in made:
                if use.kind != "rows" or use.axis != made[x]:
                    return None
                use = Use("block", use.axis)
            uses.append(use)
        found.append(replace(s, uses=tuple(uses)))
    return found
