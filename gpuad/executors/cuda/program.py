"""Compiled programs for a GPU: a plan on whole arrays, step by step."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.cuda.planning import CudaPlan, cuda_plan
from gpuad.executors.cuda import memory
from gpuad.executors.cuda.cublas import Product, is_product
from gpuad.executors.cuda.donation import can_take
from gpuad.executors.cuda.explain import explain
from gpuad.executors.cuda.memory import CudaDryRun, ProgramMemory, SpecialCalls, staged_in
from gpuad.executors.cuda.row_calls import RowCall, RowCalls
from gpuad.executors.cuda.row_pipeline import WHOLE, Device, Kernel, KernelPass, grouped
from gpuad.executors.cuda.scatter import Scatter, is_scatter, shared_orders
from gpuad.executors.donation import NOTHING, Donation, donation
from gpuad.executors.memory import MemoryStrategy
from gpuad.executors.protocols import Explanation
from gpuad.executors.reference import owned
from gpuad.executors.steps import Limits, roots, scheduled
from gpuad.executors.workspace import layout_of
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.interpret import evaluate
from gpuad.ir.primitive import Role
from gpuad.plan.plan import Call


class CudaProgram:
    """A plan with its sweeps as kernels, ready to run on arrays of one device.

    compile_held() makes the programs of graphs that equations hold, else they are interpreted.
    It has many attributes because all that a run needs is prepared once.
    """

    def __init__(
        self,
        graph: Graph,
        device: Device,
        compile_held: "Callable[[Graph], CudaProgram] | None" = None,
    ):
        self.device = device
        self.plan: CudaPlan = cuda_plan(graph, device.fits)
        self._constants = self._kept_constants()
        graph = self.plan.graph
        items: list[Call | Kernel] = []
        for stage in self.plan.stages:
            items += stage.whole
            if stage.source is not None:
                items.append(Kernel(stage, device))
        self.kernels = [x for x in items if isinstance(x, Kernel)]
        products = any(is_product(x) for x in items if isinstance(x, Equation))
        gemm = device.gemm() if products else None
        calls = RowCalls(self.plan.by_rows)
        self.row_calls: dict[Equation, RowCall] = {}

        def by_rows(e: Equation) -> RowCall | None:
            if e in calls.found:
                self.row_calls[e] = RowCall(calls.found[e], calls.tile, device, gemm)
            return self.row_calls.get(e)

        self.steps = scheduled(
            graph, grouped(items, by_rows), lambda group, live: KernelPass(group, live, device)
        )
        whole = [s.work for s in self.steps if isinstance(s.work, Equation)]
        self.scatters = {e.outputs[0]: Scatter(e, device) for e in whole if is_scatter(e)}
        self.shared_orders = shared_orders([e for e in whole if is_scatter(e)])
        self.products: dict[Var, Product] = {}
        if gemm is not None:
            chosen = [e for e in whole if is_product(e)]
            self.products = {e.outputs[0]: Product(e, device.xp, gemm) for e in chosen}
        self._own: dict[Var, Callable[..., Any]] = {**self.scatters, **self.products}
        self._roots: dict[Any, Var] = roots(graph, self.steps)
        self._own.update(self._reshaped_results(whole))
        self.parts: dict[Equation, tuple[CudaProgram, ...]] = {}
        if compile_held is not None:
            for e in whole:
                if e.primitive.apply is not None:
                    held = e.primitive.held_graphs(e.params)
                    self.parts[e] = tuple([compile_held(g) for g in held])
        self.memory = self._program_memory()
        self._donations: dict[frozenset[Var], Donation] = {}

    @property
    def graph(self) -> Graph:
        """The graph in the order and form in which it is run."""
        return self.plan.graph

    def _reshaped_results(self, whole: Sequence[Equation]) -> dict[Var, Callable[..., Any]]:
        """What makes the results that are reshapes of what a pass leaves: arrays that are views of
        none, as others are, where no other result lies in the same memory."""
        graph = self.plan.graph
        passes = [s.work for s in self.steps if isinstance(s.work, KernelPass)]
        written = {a.var for p in passes for a in p.whole}
        times = Counter([self._roots.get(x) for x in graph.outputs])
        found: dict[Var, Callable[..., Any]] = {}
        for e in whole:
            v = e.outputs[0]
            if e.primitive.view is None or v not in graph.outputs:
                continue
            if self._roots[v] in written and times[self._roots[v]] == 1:
                found[v] = functools.partial(self._reshaped, v.aval.shape)
        return found

    def _reshaped(self, shape: tuple[int, ...], x: Any) -> Any:
        return self.device.part(x, 0, shape) if x.flags.c_contiguous else x.reshape(shape)

    def _program_memory(self) -> ProgramMemory:
        graph = self.plan.graph
        inputs = (*graph.inputs, *self._constants)
        with_constants = Graph(inputs, graph.equations, graph.outputs)
        parts = {e: [p.memory for p in programs] for e, programs in self.parts.items()}
        calls = SpecialCalls(self.products, self.shared_orders)
        return ProgramMemory(with_constants, self.steps, calls, parts)

    def _kept_constants(self) -> dict[Var, Any]:
        """Arrays written into the graph, brought to the device once."""
        kept: dict[Var, Any] = {}
        for stage in self.plan.stages:
            for e in stage.whole:
                if e.primitive.role is Role.CONSTANT:
                    kept[e.outputs[0]] = evaluate(e, self.device.xp, [])[0]
            stage.whole = [e for e in stage.whole if e.outputs[0] not in kept]
        return kept

    def __call__(
        self,
        inputs: Sequence[Any],
        limits: Limits = WHOLE,
        given: Donation = NOTHING,
        begin: Callable[[], Any] = lambda: None,
    ) -> list[Any]:
        """The outputs. begin() is called before the first donated array is written over."""
        outputs = self._run(inputs, limits, given, begin)
        taken = {p.block for p in given.placed.values()}
        others = [x for v, x in zip(self.graph.inputs, inputs, strict=True) if v not in taken]
        return owned(outputs, [*others, *self._constants.values()])

    def as_part(self, limits: Limits, *inputs: Any) -> list[Any]:
        """The outputs, in a run of another program: they may share memory with the inputs."""
        outputs = self._run([on_device(self.device.xp, x) for x in inputs], limits)
        pairs = zip(outputs, self.graph.outputs, strict=True)
        return [x.copy() if self._roots.get(v) in self._constants else x for x, v in pairs]

    def _run(
        self,
        inputs: Sequence[Any],
        limits: Limits,
        given: Donation = NOTHING,
        begin: Callable[[], Any] = lambda: None,
    ) -> list[Any]:
        env: dict[Any, Any] = dict(zip(self.graph.inputs, inputs, strict=True))
        env.update(self._constants)
        blocks = {v: env[p.block] for v, p in given.placed.items()}
        for step in self.steps:
            work = step.work
            if isinstance(work, Equation):
                self._call(work, env, limits)
            elif isinstance(work, KernelPass):
                if any(a.var in blocks for a in work.whole):
                    begin()
                work(env, limits, blocks, staged_in(work, given))
            for x in step.frees:
                del env[x]
        return [env[x] if type(x) is Var else x.value for x in self.graph.outputs]

    def _call(self, e: Equation, env: dict[Any, Any], limits: Limits) -> None:
        """Runs an equation on whole arrays."""
        xp = self.device.xp
        values = [env[x] if type(x) is Var else x.value for x in e.operands]
        function = self._own.get(e.outputs[0])
        with np.errstate(all="ignore"):
            if e in self.parts:
                functions = [functools.partial(p.as_part, limits) for p in self.parts[e]]
                results = e.primitive.apply(functions, *values, **e.params)  # type: ignore[misc]
                # The dry run knows which results are views of operands if one graph runs once.
                results = results if e.primitive.applies_once else owned(results, values)
            else:
                if e.outputs[0] in self.shared_orders:
                    function = functools.partial(self._scatter, e, env)
                results = evaluate(e, xp, values) if function is None else [function(*values)]
        env.update(zip(e.outputs, [on_device(xp, x) for x in results], strict=True))

    def _scatter(self, e: Equation, env: dict[Any, Any], x: Any, u: Any, *indices: Any) -> Any:
        """A scatter-add whose order is shared with others: it is in `env` from the first of them
        to the last."""
        scatter, shared = self.scatters[e.outputs[0]], self.shared_orders[e.outputs[0]]
        key = "order", shared.number
        if shared.first:
            env[key] = scatter.order(indices)
        return scatter.added(x, u, env.pop(key) if shared.last else env[key])

    # Memory

    def donation(self, inputs: Sequence[Any], donated: Sequence[int]) -> Donation:
        """Which values are made in the memory of donated inputs."""
        variables, xp = self.plan.graph.inputs, self.device.xp
        taken = frozenset(
            [
                variables[i]
                for i in donated
                if can_take(xp, inputs[i], [x for j, x in enumerate(inputs) if j != i])
            ]
        )
        if not taken:
            return NOTHING
        if taken not in self._donations:
            self._donations[taken] = donation(self.memory.graph, self.steps, taken)
        return self._donations[taken]

    def _layouts(self, inputs: Sequence[Any] | None) -> list[Any]:
        graph = self.plan.graph
        given = [layout_of(v.aval) for v in graph.inputs]
        found = given if inputs is None else [memory.layout(x) for x in inputs]
        return [*found, *[layout_of(v.aval) for v in self._constants]]

    def peak_bytes(self, inputs: Sequence[Any] | None = None) -> int:
        """Bytes beside the arguments at the fullest moment of a run; without `inputs`, on arrays
        in C order."""
        return self._dry_run(inputs, WHOLE, NOTHING).peak(self.steps)

    def _dry_run(self, inputs: Sequence[Any] | None, limits: Limits, given: Donation) -> CudaDryRun:
        strategy = MemoryStrategy(given, limits, pooled=False)
        return self.memory.dry_run(self._layouts(inputs), strategy)

    def least_bytes(self, inputs: Sequence[Any]) -> int:
        """The smallest budget that is enough."""
        return self.memory.least(self._layouts(inputs))

    def limits(
        self, inputs: Sequence[Any], max_bytes: int, held: int = 0, given: Donation = NOTHING
    ) -> Limits:
        """How many rows to take at a time, so that a run takes no more than `max_bytes`."""
        return self.memory.within(max_bytes, held, self._layouts(inputs), given)

    def explain(
        self,
        inputs: Sequence[Any] | None = None,
        limits: Limits = WHOLE,
        held: int = 0,
        given: Donation = NOTHING,
    ) -> Explanation:
        """What this program does and costs."""
        dry_run = self._dry_run(inputs, limits, given)
        peak = held + dry_run.peak(self.steps)
        return explain(self, dry_run, peak)


def on_device(xp: Any, x: Any) -> Any:
    """A number as an array of the device, filled by a kernel: a copy would wait for the GPU."""
    on_host = isinstance(x, np.generic) or (xp is not np and isinstance(x, np.ndarray))
    return xp.full((), x[()], x.dtype) if on_host else x
