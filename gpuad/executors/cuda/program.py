"""Compiled programs for a GPU: a plan on whole arrays, stage by stage."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from gpuad.executors.cuda.explain import explain
from gpuad.executors.cuda.planning import CudaPlan, cuda_plan
from gpuad.executors.cuda.scatter import Scatter, is_scatter
from gpuad.executors.cuda.source import KernelSource, KernelText
from gpuad.executors.explain import Explanation
from gpuad.executors.reference import own
from gpuad.executors.sweep import Argument
from gpuad.ir.graph import Graph, Var
from gpuad.ir.interpret import evaluate
from gpuad.kernels import cuda_text

Launch = Callable[[int, int, Sequence[Any]], None]
"""A kernel made ready: called with the number of blocks, of threads in each, and the arguments."""


class Device(Protocol):
    """What a program needs of the machine it runs on."""

    xp: Any
    """The namespace of its arrays."""

    def fits(self, source: KernelSource) -> bool:
        """Whether no value of the kernel is spilled to memory."""
        ...

    def ready(self, kernel: KernelText) -> Launch:
        """The kernel, compiled and loaded."""
        ...

    def part(self, array: Any, start: int, shape: tuple[int, ...]) -> Any:
        """An array in the memory of another one, not a view of it."""
        ...


class Kernel:
    """One sweep, called with the values of one run."""

    def __init__(self, source: KernelSource, rows: int, device: Device):
        self.source = source
        self._rows = rows
        self._device = device
        self._blocks = source.blocks(rows)
        self._launch = device.ready(source.kernel)
        self._combine = (
            {k: device.ready(combine_text(k)) for k in source.sum_sizes} if self._blocks > 1 else {}
        )

    def __call__(self, env: dict[Any, Any]) -> None:
        """Reads the sweep's operands from `env` and puts its results there."""
        s, xp = self.source, self._device.xp
        reads = [_flat(xp, env[a.var], a) for a in s.reads]
        writes = [xp.empty(a.var.aval.shape, a.var.aval.dtype) for a in s.writes]
        kinds = sorted(s.sum_sizes)
        sizes = [s.sum_sizes[k] for k in kinds]
        parts = [xp.empty(self._blocks * n, DTYPES[k]) for k, n in zip(kinds, sizes, strict=True)]
        n = np.int64(self._rows)
        self._launch(self._blocks, s.layout.threads, [*reads, *writes, *parts, n])
        env.update(zip([a.var for a in s.writes], writes, strict=True))
        totals = {
            kind: self._total(kind, part, size)
            for kind, part, size in zip(kinds, parts, sizes, strict=True)
        }
        for x in s.sums:
            env[x.var] = self._device.part(totals[x.kind], x.start, x.var.aval.shape)

    def _total(self, kind: str, parts: Any, size: int) -> Any:
        if self._blocks == 1:
            return parts
        out = self._device.xp.empty(size, DTYPES[kind])
        arguments = [parts, out, np.int64(self._blocks), np.int64(size)]
        self._combine[kind](-(-size // 32), 256, arguments)
        return out


DTYPES = {"f32": np.float32, "f64": np.float64}


def combine_text(kind: str) -> KernelText:
    """The kernel that adds up the partial sums of all blocks."""
    text = cuda_text.COMBINE.format(kind=kind)
    return KernelText("combine", text, (f"{kind}*", f"{kind}*", "i64", "i64"))


def _flat(xp: Any, x: Any, a: Argument) -> Any:
    """The operand as dense memory on the device."""
    if isinstance(x, np.generic):
        return xp.full((1,), x, x.dtype)
    return xp.ascontiguousarray(x)


class CudaProgram:
    """A plan with its sweeps as kernels, ready to run on arrays of one device."""

    def __init__(self, graph: Graph, device: Device):
        self.device = device
        self.plan: CudaPlan = cuda_plan(graph, device.fits)
        self.kernels = [
            None if s.source is None else Kernel(s.source, s.rows, device) for s in self.plan.stages
        ]
        self._scatters = {
            e.outputs[0]: Scatter(e, device)
            for s in self.plan.stages
            for e in s.whole
            if is_scatter(e)
        }
        self._constants = self._kept_constants()
        self._frees = self._last_uses()

    def _kept_constants(self) -> dict[Var, Any]:
        """Arrays written into the graph, brought to the device once."""
        kept: dict[Var, Any] = {}
        for stage in self.plan.stages:
            for e in stage.whole:
                if e.primitive.name == "array_constant":
                    kept[e.outputs[0]] = evaluate(e, self.device.xp, [])[0]
            stage.whole = [e for e in stage.whole if e.outputs[0] not in kept]
        return kept

    def explain(self) -> Explanation:
        """What this program does and costs."""
        return explain(self.plan, self._frees)

    def _last_uses(self) -> list[list[Var]]:
        """For each stage, the values that no later stage reads."""
        kept = {x for x in self.plan.graph.outputs if type(x) is Var} | {*self._constants}
        frees: list[list[Var]] = []
        for stage in reversed(self.plan.stages):
            read: set[Var] = {
                x for e in stage.whole for x in (*e.operands, *e.outputs) if type(x) is Var
            }
            if stage.source is not None:
                s = stage.source
                read |= {a.var for a in (*s.reads, *s.writes)} | {x.var for x in s.sums}
            frees.append([x for x in read if x not in kept])
            kept |= read
        return frees[::-1]

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        graph, xp = self.plan.graph, self.device.xp
        env: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
        env.update(self._constants)
        for stage, kernel, frees in zip(self.plan.stages, self.kernels, self._frees, strict=True):
            with np.errstate(all="ignore"):
                for e in stage.whole:
                    values = [env[x] if type(x) is Var else x.value for x in e.operands]
                    scatter = self._scatters.get(e.outputs[0])
                    results = evaluate(e, xp, values) if scatter is None else [scatter(*values)]
                    env.update(zip(e.outputs, results, strict=True))
            if kernel is not None:
                kernel(env)
            for x in frees:
                del env[x]
        others = [*inputs, *self._constants.values()]
        return [own(env[x], others) if type(x) is Var else x.value for x in graph.outputs]
