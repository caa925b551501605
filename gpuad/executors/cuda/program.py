"""Compiled programs for a GPU: a plan on whole arrays, step by step."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.executors.cuda import memory
from gpuad.executors.cuda.explain import explain
from gpuad.executors.cuda.memory import KernelsFollowed
from gpuad.executors.cuda.passes import WHOLE, Device, Kernel, KernelPass, grouped
from gpuad.executors.cuda.planning import CudaPlan, cuda_plan
from gpuad.executors.cuda.products import Product, is_product
from gpuad.executors.cuda.scatter import Scatter, is_scatter
from gpuad.executors.donation import NOTHING
from gpuad.executors.explain import Explanation
from gpuad.executors.memory import Conduct
from gpuad.executors.passes import Limits
from gpuad.executors.reference import own
from gpuad.executors.steps import scheduled
from gpuad.executors.temporaries import layout_of
from gpuad.ir.graph import Equation, Graph, Var
from gpuad.ir.interpret import evaluate


class CudaProgram:
    """A plan with its sweeps as kernels, ready to run on arrays of one device."""

    def __init__(self, graph: Graph, device: Device):
        self.device = device
        self.plan: CudaPlan = cuda_plan(graph, device.fits)
        self._constants = self._kept_constants()
        graph = self.plan.graph
        inputs = (*graph.inputs, *self._constants)
        self._followed = Graph(inputs, graph.equations, graph.outputs)
        items: list[Any] = []
        for stage in self.plan.stages:
            items += stage.whole
            if stage.source is not None:
                items.append(Kernel(stage, device))
        self.kernels = [x for x in items if isinstance(x, Kernel)]
        calls = [e for e in items if isinstance(e, Equation)]
        self._scatters = {e.outputs[0]: Scatter(e, device) for e in calls if is_scatter(e)}
        products = [e for e in calls if is_product(e)]
        gemm = device.gemm() if products else None
        self._own: dict[Any, Callable[..., Any]] = dict(self._scatters)
        if gemm is not None:
            self._own |= {e.outputs[0]: Product(e, device.xp, gemm) for e in products}
        self.steps = scheduled(
            self.plan.graph, grouped(items), lambda group, live: KernelPass(group, live, device)
        )

    def _kept_constants(self) -> dict[Var, Any]:
        """Arrays written into the graph, brought to the device once."""
        kept: dict[Var, Any] = {}
        for stage in self.plan.stages:
            for e in stage.whole:
                if e.primitive.name == "array_constant":
                    kept[e.outputs[0]] = evaluate(e, self.device.xp, [])[0]
            stage.whole = [e for e in stage.whole if e.outputs[0] not in kept]
        return kept

    def __call__(self, inputs: Sequence[Any], limits: Limits = WHOLE) -> list[Any]:
        graph = self.plan.graph
        env: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
        env.update(self._constants)
        for step in self.steps:
            if isinstance(step.work, Equation):
                self._call(step.work, env)
            else:
                step.work(env, limits)  # type: ignore[call-arg, arg-type]
            for x in step.frees:
                del env[x]
        others = [*inputs, *self._constants.values()]
        return [own(env[x], others) if type(x) is Var else x.value for x in graph.outputs]

    def _call(self, e: Equation, env: dict[Any, Any]) -> None:
        """Runs an equation on whole arrays."""
        xp = self.device.xp
        values = [env[x] if type(x) is Var else x.value for x in e.operands]
        function = self._own.get(e.outputs[0])
        with np.errstate(all="ignore"):
            results = evaluate(e, xp, values) if function is None else [function(*values)]
        env.update(zip(e.outputs, [on_device(xp, x) for x in results], strict=True))

    # Memory

    def _layouts(self, inputs: Sequence[Any] | None) -> list[Any]:
        graph = self.plan.graph
        given = [layout_of(v.aval) for v in graph.inputs]
        found = given if inputs is None else [memory.layout(x) for x in inputs]
        return [*found, *[layout_of(v.aval) for v in self._constants]]

    def peak_bytes(self, inputs: Sequence[Any] | None = None, limits: Limits = WHOLE) -> int:
        """Bytes beside the arguments at the fullest moment of a run; without `inputs`, on arrays
        in C order."""
        return self._following(inputs, limits).peak(self.steps)

    def _following(self, inputs: Sequence[Any] | None, limits: Limits) -> KernelsFollowed:
        conduct = Conduct(NOTHING, limits, pooled=False)
        return KernelsFollowed(self._followed, self._layouts(inputs), conduct)

    def least_bytes(self, inputs: Sequence[Any]) -> int:
        """The smallest budget that would do."""
        return memory.least(self._followed, self.steps, self._layouts(inputs))

    def limits(self, inputs: Sequence[Any], max_bytes: int, held: int = 0) -> Limits:
        """How many rows to take at a time, so that a run takes no more than `max_bytes`."""
        layouts = self._layouts(inputs)
        return memory.within(max_bytes, held, self._followed, self.steps, layouts)

    def explain(
        self, inputs: Sequence[Any] | None = None, limits: Limits = WHOLE, held: int = 0
    ) -> Explanation:
        """What this program does and costs."""
        followed = self._following(inputs, limits)
        return explain(self.plan, held + followed.peak(self.steps), followed.views)


def on_device(xp: Any, x: Any) -> Any:
    """A number as an array of the device: filled by a kernel, where a copy would wait."""
    on_host = isinstance(x, np.generic) or (xp is not np and isinstance(x, np.ndarray))
    return xp.full((), x[()], x.dtype) if on_host else x
