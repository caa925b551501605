"""Compiled programs of the CPU: the steps of a plan, run one after the other."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpuad.codegen.cpu.planning import calls, cpu_plan
from gpuad.executors.donation import NOTHING, Donation, donation
from gpuad.executors.memory import MemoryStrategy, layout_key, reference_peak
from gpuad.executors.native import result_pool
from gpuad.executors.native.donation import can_take
from gpuad.executors.native.explain import explain
from gpuad.executors.native.fused_calls import fused_functions
from gpuad.executors.native.library_calls import OutFunction, out_function
from gpuad.executors.native.memory import NativeDryRun, within
from gpuad.executors.native.memory_reuse import block_sizes
from gpuad.executors.native.row_pipeline import Allocate, NativeUnits, RowPass, Unit
from gpuad.executors.native.sweep import Sweep, sweep_of
from gpuad.executors.native.thread_pool import threads
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.executors.reference import owned, run
from gpuad.executors.steps import Limits, scheduled
from gpuad.executors.workspace import result_order
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.plan.grouping import Grouping
from gpuad.plan.plan import Call, FusedCall, Plan, final, stored

FREE = MemoryStrategy(NOTHING, Limits(), pooled=True)
"""The strategy without donated inputs and without a limit of memory."""


def _parts(
    library: Sequence[Equation], compile_held: Callable[[Graph], "NativeProgram"]
) -> dict[Equation, tuple["NativeProgram", ...]]:
    """The programs of the graphs that equations hold, if any of them has compiled parts."""
    found = {}
    for e in library:
        if e.primitive.apply is not None:
            programs = tuple([compile_held(g) for g in e.primitive.held_graphs(e.params)])
            if not e.primitive.applies_once or any(p.uncompiled is None for p in programs):
                found[e] = programs
    return found


def _in_places(env: Mapping[Var, Any], donation: Donation, fresh: Allocate) -> Allocate:
    """Makes values where `donation` places them, others by `fresh`."""
    places = donation.placed
    given = {p.block: env[p.block] for p in places.values() if p.block in env}

    def allocate(v: Var, shape: tuple[int, ...]) -> np.ndarray:
        place = places.get(v)
        if place is None:
            return fresh(v, shape)
        block = given[place.block] if place.block in given else env[place.block]
        return result_pool.placed(np.moveaxis(block, place.axis, 0), shape, v.aval.dtype)

    return allocate


def _unpooled(v: Var, shape: tuple[int, ...]) -> np.ndarray:
    return np.empty(shape, v.aval.dtype)


class NativeProgram:
    """A plan with its sweeps compiled, ready to run on NumPy arrays.

    `original` is the graph before it was lowered: it is run by the reference executor if nothing
    can be compiled and lowering saves no calls. ``compile_held(graph)`` makes the programs of
    graphs that equations hold; if it is None, these graphs are interpreted.
    """

    def __init__(
        self,
        graph: Graph,
        original: Graph | None = None,
        compile_held: "Callable[[Graph], NativeProgram] | None" = None,
    ):
        self.plan: Plan = cpu_plan(graph)
        self.functions = fused_functions(self.plan)
        self.sweeps: list[Sweep | None] = []
        last = final(self.plan)
        for stage, whole in zip(self.plan.stages, stored(self.plan), strict=True):
            self.sweeps.append(sweep_of(stage.sweep, whole, last) if stage.sweep else None)
        self.steps = scheduled(self.plan.graph, self._grouped(), self._pass)
        library = [s.work for s in self.steps if isinstance(s.work, Equation)]
        self._out_functions: dict[Call, OutFunction] = {
            e: function for e in library if (function := out_function(e)) is not None
        }
        self._functions: dict[Any, Callable[..., Any]] = {
            e: e.primitive.implementation(np, e.params) for e in library
        }
        self._functions |= self.functions
        self.parts = _parts(library, compile_held) if compile_held is not None else {}
        compiled = len(library) < len(self.steps) or self._out_functions or self.parts
        saves_calls = original is not None and calls(original.equations) > calls(library)
        self.uncompiled = None if compiled or saves_calls else original
        """The graph to be run by the reference executor."""
        self._outputs = {x for x in self.plan.graph.outputs if type(x) is Var}
        self._donations: dict[tuple[frozenset[Var], bool], Donation] = {}
        self._strategies: dict[tuple[Any, ...], MemoryStrategy] = {}

    @property
    def graph(self) -> Graph:
        """The graph in the order and form in which it is run."""
        return self.plan.graph

    def _grouped(self) -> list[Call | list[Unit]]:
        """Library calls, and sweeps that can run together, in order."""
        grouping = Grouping(NativeUnits(self.plan))
        for stage, sweep in zip(self.plan.stages, self.sweeps, strict=True):
            for e in stage.whole:
                grouping.call(e)
            if sweep is not None:
                grouping.add(sweep)
        return grouping.finished()

    def _pass(self, sweeps: Sequence[Unit], live: Collection[Var]) -> RowPass:
        return RowPass(sweeps, self.plan.rows, live)

    def __call__(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> list[Any]:
        """The outputs."""
        strategy = self.strategy(inputs, options)
        if strategy is FREE and self.uncompiled is not None:
            return run(self.uncompiled, inputs, np)
        if strategy is FREE:
            return owned(self._run(inputs, FREE, self._pooled), inputs)

        def fresh(v: Var, shape: tuple[int, ...]) -> np.ndarray:
            pooled = strategy.pooled or v in self._outputs
            return self._pooled(v, shape) if pooled else _unpooled(v, shape)

        outputs = self._run(inputs, strategy, fresh)
        taken = {p.block for p in strategy.donation.placed.values()}
        pairs = list(zip(self.graph.inputs, inputs, strict=True))
        outputs = owned(outputs, [x for v, x in pairs if v not in taken])
        for v, x in pairs:
            if v in taken:
                x.flags.writeable = False
        return outputs

    def as_part(self, outer: MemoryStrategy, *inputs: Any) -> list[Any]:
        """The outputs, in a run of another program that has this strategy. They may share
        memory with the inputs."""
        strategy = self.strategy_within(outer)
        return self._run(inputs, strategy, self._pooled if strategy.pooled else _unpooled)

    def _run(self, inputs: Sequence[Any], strategy: MemoryStrategy, fresh: Allocate) -> list[Any]:
        """Runs the steps; values that the strategy does not place are made by `fresh`."""
        env: dict[Any, Any] = dict(zip(self.graph.inputs, inputs, strict=True))
        allocate = _in_places(env, strategy.donation, fresh) if strategy.donation.placed else fresh
        staged, limits = strategy.donation.staged, strategy.limits
        with np.errstate(all="ignore"):
            for step in self.steps:
                if isinstance(step.work, RowPass):
                    step.work(env, allocate, staged.get(step.work, ()), limits)
                elif isinstance(step.work, Equation | FusedCall):
                    self._call(step.work, env, allocate, strategy)
                for x in step.frees:
                    del env[x]
        return [env[x] if type(x) is Var else x.value for x in self.graph.outputs]

    def _call(
        self, e: Call, env: dict[Any, Any], allocate: Allocate, strategy: MemoryStrategy
    ) -> None:
        values = [env[x] if type(x) is Var else x.value for x in e.operands]
        into = self._out_functions.get(e)
        if into is not None:
            (v,) = e.outputs
            order, shape = result_order(e, v.aval.ndim, values), v.aval.shape
            if order is None:
                out = allocate(v, shape)
            else:
                made = allocate(v, tuple([shape[axis] for axis in order]))
                out = made.transpose(np.argsort(order))
            into(values, out, strategy.limits.threads or threads())
            env[v] = out
            return
        if e in self.parts:
            result = self._applied(e, values, strategy)
        else:
            result = self._functions[e](*values)
        if isinstance(e, FusedCall) or e.primitive.multiple:
            env.update(zip(e.outputs, result, strict=True))
        else:
            env[e.outputs[0]] = result

    def _applied(self, e: Any, values: Sequence[Any], strategy: MemoryStrategy) -> Any:
        functions = [functools.partial(p.as_part, strategy) for p in self.parts[e]]
        results = e.primitive.apply(functions, *values, **e.params)
        # Results may be views of operands; the memory strategy knows this of `applies_once` alone.
        return results if e.primitive.applies_once else owned(results, values)

    @functools.cached_property
    def blocks(self) -> Mapping[Var, int]:
        """The bytes of the block of the pool for each large value that is not a result."""
        return block_sizes(self, FREE)

    def _pooled(self, v: Var, shape: tuple[int, ...]) -> np.ndarray:
        return result_pool.empty(shape, v.aval.dtype, self.blocks.get(v, 0))

    def peak_bytes(self) -> int:
        """Bytes beside the arguments at the fullest moment of a run on one thread, on arrays in C
        order."""
        strategy = MemoryStrategy(NOTHING, Limits(threads=1), pooled=True)
        inputs = [None] * len(self.graph.inputs)
        return NativeDryRun(self, inputs, strategy, self.blocks).peak(self.steps)

    def strategy_within(self, outer: MemoryStrategy) -> MemoryStrategy:
        """The strategy for a run as part of a program that has this one."""
        if outer is FREE:
            return FREE
        donation = self._donation(frozenset(), reuse=True) if outer.reuse else NOTHING
        return replace(outer, donation=donation)

    def strategy(self, inputs: Sequence[Any], options: RunOptions) -> MemoryStrategy:
        """The strategy for a run on these inputs."""
        max_bytes = options.max_bytes
        if max_bytes is None and not options.donated:
            return FREE
        taken = self._taken(inputs, options.donated)
        if max_bytes is None:
            return MemoryStrategy(self._donation(taken), Limits(), pooled=True)
        key = (layout_key(inputs), taken, max_bytes, options.held, threads())
        found = self._strategies.get(key)
        if found is None:
            choices = {reuse: self._donation(taken, reuse) for reuse in (False, True)}
            found = within(max_bytes, options.held, self, inputs, choices)
            self._strategies[key] = found
        return found

    def _taken(self, inputs: Sequence[Any], donated: Sequence[int]) -> frozenset[Var]:
        """The donated inputs whose memory can be used."""
        variables = self.graph.inputs
        others = [[x for j, x in enumerate(inputs) if j != i] for i in donated]
        return frozenset(
            [
                variables[i]
                for i, rest in zip(donated, others, strict=True)
                if can_take(inputs[i], rest)
            ]
        )

    def _donation(self, taken: frozenset[Var], reuse: bool = False) -> Donation:
        key = (taken, reuse)
        if key not in self._donations:
            self._donations[key] = donation(self.graph, self.steps, taken, reuse)
        return self._donations[key]

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        """What this program does and costs on these inputs."""
        strategy = self.strategy(inputs, options)
        dry_run = NativeDryRun(self, inputs, strategy, self.blocks)
        peak = options.held + dry_run.peak(self.steps)
        if self.uncompiled is not None:
            peak = max(peak, options.held + reference_peak(self.uncompiled, inputs))
        return explain(dry_run, peak)
