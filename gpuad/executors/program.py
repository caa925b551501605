"""Compiled programs: a plan on whole arrays, stage by stage."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.executors.effort import LIMIT, effort
from gpuad.executors.explain import Explanation, explain
from gpuad.executors.native import Sweep, can_join, sweep_of, threads
from gpuad.executors.reference import own
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.interpret import evaluate
from gpuad.plan.divide import divided
from gpuad.plan.plan import Plan, make_plan, stored


def _run_whole(equations: Sequence[Equation], env: dict[Any, Any]) -> None:
    """Runs equations on whole arrays."""
    with np.errstate(all="ignore"):
        for e in equations:
            values = [env[x] if type(x) is Var else x.value for x in e.operands]
            env.update(zip(e.outputs, evaluate(e, np, values), strict=True))


class NativeProgram:
    """A plan with its sweeps compiled, ready to run on NumPy arrays."""

    def __init__(self, graph: Graph):
        self.plan: Plan = divided(make_plan(graph, can_join), effort, LIMIT)
        self.sweeps: list[Sweep | None] = []
        for stage, whole in zip(self.plan.stages, stored(self.plan), strict=True):
            sweep = sweep_of(stage.sweep, whole, self.plan.rows) if stage.sweep else None
            self.sweeps.append(sweep)
        self._frees = self._last_uses()

    def _last_uses(self) -> list[list[Var]]:
        """For each stage, the values that no later stage reads."""
        kept = {x for x in self.plan.graph.outputs if type(x) is Var}
        frees: list[list[Var]] = []
        for stage, sweep in zip(reversed(self.plan.stages), reversed(self.sweeps), strict=True):
            read = {x for e in stage.whole for x in (*e.operands, *e.outputs) if type(x) is Var}
            if sweep is not None:
                s = sweep.source
                read |= {a.var for a in (*s.reads, *s.writes, *s.sums)}
            frees.append([x for x in read if x not in kept])
            kept |= read
        return frees[::-1]

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        graph = self.plan.graph
        env: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
        for stage, sweep, frees in zip(self.plan.stages, self.sweeps, self._frees, strict=True):
            if stage.whole:
                _run_whole(stage.whole, env)
            if sweep is not None:
                sweep(env)
            for x in frees:
                del env[x]
        return [own(env[x], inputs) if type(x) is Var else x.value for x in graph.outputs]

    def explain(self) -> Explanation:
        """What this program does and costs."""
        sources = [None if s is None else s.source for s in self.sweeps]
        return explain(self.plan, sources, self._frees, threads())
