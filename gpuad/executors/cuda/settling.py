"""Views are made where they are used.

A sweep whose last step is a view would store a rearranged copy, in the worst case (a transpose)
with each thread writing to a line of memory of its own. What is viewed is stored instead; the view
costs nothing on a whole array, and a later kernel reads through it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gpuad.ir.graph import Atom, Equation, Var
from gpuad.plan.plan import Stage, SweepEquation, Use
from gpuad.plan.views import is_view


def settled(stages: Sequence[Stage], outputs: Sequence[Atom]) -> list[Stage]:
    """The stages of a graph with these outputs, with no view stored for a later stage alone."""
    return _Settling(stages, outputs).stages


class _Settling:
    def __init__(self, stages: Sequence[Stage], outputs: Sequence[Atom]):
        self.stages = [Stage(list(s.whole), list(s.sweep)) for s in stages]
        self._outputs = {x for x in outputs if type(x) is Var}
        # How often each stage reads a value.
        self._readers: dict[Var, Counter[int]] = {}
        for k, stage in enumerate(self.stages):
            for e in (*stage.whole, *[s.equation for s in stage.sweep]):
                self._count(e, k, 1)
        for k in reversed(range(len(self.stages))):
            self._settle(k)

    def _count(self, e: Equation, k: int, times: int) -> None:
        for x in e.operands:
            if type(x) is Var:
                self._readers.setdefault(x, Counter())[k] += times

    def _readers_of(self, v: Var) -> list[int]:
        """The stages that read a value, in order."""
        return sorted([k for k, times in self._readers.get(v, {}).items() if times])

    def _settle(self, k: int) -> None:
        """The last ones first: a view of a view follows it."""
        sweep = reversed(self.stages[k].sweep)
        kept = [s for s in sweep if not (self._movable(s, k) and self._moved(s, k))]
        self.stages[k].sweep = kept[::-1]

    def _movable(self, s: SweepEquation, k: int) -> bool:
        """Whether only later stages read this view, and storing what it shows takes no more."""
        if not is_view(s.equation) or s.axis is None:
            return False
        (x,), (v,) = s.equation.operands, s.equation.outputs
        readers = self._readers_of(v)
        if v in self._outputs or not readers or readers[0] <= k:
            return False
        in_memory = s.uses[0].kind != "block" or x in self._outputs
        return in_memory or v.aval.size >= x.aval.size or self._readers_of(x)[-1] > k  # type: ignore[arg-type]

    def _moved(self, s: SweepEquation, k: int) -> bool:
        """Moves a view of stage k in front of its first reader, if it can be read from there on."""
        (v,) = s.equation.outputs
        m, *later = self._readers_of(v)
        stage = self.stages[m]
        place = next((i for i, e in enumerate(stage.whole) if v in e.operands), None)
        if place is not None:
            stage.whole.insert(place, s.equation)
        elif not later and all(use == Use("rows", s.axis) for use in _uses(stage, v)):
            _read_through(s, stage)
        else:
            return False
        self._count(s.equation, k, -1)
        self._count(s.equation, m, 1)
        return True


def _uses(stage: Stage, v: Var) -> list[Use]:
    return [
        use
        for s in stage.sweep
        for x, use in zip(s.equation.operands, s.uses, strict=True)
        if x is v
    ]


def _read_through(s: SweepEquation, stage: Stage) -> None:
    """Puts a view in front of a stage's sweep."""
    (v,) = s.equation.outputs
    uses = tuple([Use("rows", use.axis) if use.kind == "block" else use for use in s.uses])
    rest = []
    for t in stage.sweep:
        pairs = zip(t.equation.operands, t.uses, strict=True)
        block = tuple([Use("block", use.axis) if x is v else use for x, use in pairs])
        rest.append(replace(t, uses=block))
    stage.sweep = [replace(s, uses=uses), *rest]
