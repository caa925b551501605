"""The fused calls of a plan as functions of whole arrays."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.cpu.assembler import Assembly
from gpuad.codegen.cpu.instructions import WIDTH
from gpuad.codegen.cpu.interpreter import DTYPES, Interpreter
from gpuad.codegen.cpu.one_row import one_row_source
from gpuad.codegen.cpu.packed_memory import Lanes
from gpuad.codegen.views import size_of
from gpuad.executors.native.compile_cache import load
from gpuad.executors.native.scratch import scratch_bytes
from gpuad.executors.native.sweep import main_dtype, one_row
from gpuad.executors.workspace import is_dense
from gpuad.ir.graph import Equation, Graph
from gpuad.ir.interpret import program
from gpuad.plan.plan import FusedCall, Plan, in_one_row

MOST_KEPT = 1 << 24
"""Memory of at most so many bytes is kept for the next run."""


class _Memory:
    """Packed memory for one run at a time, and where operands and results lie in it."""

    def __init__(self, assembly: Assembly):
        sizes = {k: m.size for k, m in assembly.memory.items()}
        arrays = {k: np.empty(sizes.get(k, 0), DTYPES[k]) for k in assembly.instructions.kinds}
        for kind, memory in assembly.memory.items():
            for (number, size), start in memory.constants.items():
                arrays[kind][start : start + size] = np.frombuffer(number, DTYPES[kind])
        self.arrays = [arrays[k] for k in sorted(arrays)]
        self.inputs = [_part(arrays, x) for x in assembly.inputs]
        self.outputs = [_part(arrays, x) for x in assembly.outputs]


def _part(arrays: dict[str, Any], x: Lanes) -> Any:
    start: int = x.start  # type: ignore[assignment]
    return arrays[x.kind][start : start + size_of(x.shape)].reshape(x.shape)


class CompiledInterpreter(Interpreter):
    """The interpreter that the calls of one program share.

    It is compiled at the first run, when all operations and types that they have are known.
    """

    @functools.cached_property
    def run(self) -> Callable[..., Any]:
        """A function of the packed memory of each type, the code, the tables, and the positions of
        the first instruction and of the one after the last."""
        arguments = [f"write({kind})" for kind in sorted(self.kinds)]
        arguments += ["read(i32)", "read(i32)", "int64", "int64"]
        return load(self.text, DTYPES[self.main], arguments)


class InterpretedCall:
    """A fused call that the interpreter runs, on memory of its own."""

    scratch_bytes = 0

    def __init__(self, interpreter: CompiledInterpreter, call: FusedCall):
        self.call = call
        self._interpreter = interpreter
        assembly = self._assembly = Assembly(
            interpreter, call.equations, call.operands, call.outputs
        )
        self._code = np.array(assembly.code, np.int32)
        self._tables = np.array(assembly.tables, np.int32)
        self._count = len(assembly.code) // WIDTH
        self._idle: list[_Memory] = []
        """Memory that no run is using now; there is one for each run at the same time."""
        assembly.code = assembly.tables = []
        sizes = [m.size * DTYPES[k].itemsize for k, m in assembly.memory.items()]
        self.memory_bytes = sum(sizes)
        """Of the packed memory of a run."""

    def workspace(self, operands: Sequence[Any]) -> int:
        """Bytes that a run takes beside its results."""
        return self.memory_bytes

    @property
    def text(self) -> str:
        """The source of the interpreter."""
        return self._interpreter.text

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = _Memory(self._assembly)
        for place, x in zip(memory.inputs, arrays, strict=True):
            place[...] = x
        try:
            self._interpreter.run(*memory.arrays, self._code, self._tables, 0, self._count)
        except IndexError:
            # NumPy's error, which this raises, says which index it is.
            program(Graph(self.call.operands, tuple(self.call.equations), ()), np)(*arrays)
            raise
        results = tuple([x.copy() if x.ndim else x[()] for x in memory.outputs])
        if self.memory_bytes <= MOST_KEPT:
            self._idle.append(memory)
        return results


class CompiledCall:
    """A fused call as straight-line code, compiled at the first run."""

    def __init__(self, call: FusedCall):
        self.call = call
        self.source = one_row_source(call.equations, call.outputs)
        self.text = self.source.text
        self._order = [call.operands.index(a.var) for a in self.source.reads]
        written = [a.var for a in self.source.writes]
        self._places = [written.index(v) for v in call.outputs]
        self._avals = [v.aval for v in written]

    @property
    def scratch_bytes(self) -> int:
        return scratch_bytes(self.source)

    def workspace(self, operands: Sequence[Any]) -> int:
        """Bytes of the operands that are copied."""
        return sum([x.nbytes for x in map(np.asarray, operands) if not is_dense(x)])

    @functools.cached_property
    def _run(self) -> Callable[..., Any]:
        return one_row(self.source, main_dtype([in_one_row(e) for e in self.call.equations]))

    def __call__(self, *arrays: Any) -> tuple[Any, ...]:
        flat = [_flat(arrays[k]) for k in self._order]
        outs = [np.empty(a.shape, a.dtype) for a in self._avals]
        self._run(*flat, *[x.reshape(-1) for x in outs])
        return tuple([outs[k] for k in self._places])


def _flat(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return (x if is_dense(x) else x.copy("C")).reshape(-1)


FusedFunction = InterpretedCall | CompiledCall


def fused_functions(plan: Plan) -> Mapping[FusedCall, FusedFunction]:
    """The functions of a plan's fused calls; those that are interpreted share one interpreter."""
    calls = [e for stage in plan.stages for e in stage.whole if isinstance(e, FusedCall)]
    interpreter = CompiledInterpreter(_main_kind(plan))
    # Operations of the interpreter are numbered in the order of the calls.
    found: dict[FusedCall, FusedFunction] = {
        c: InterpretedCall(interpreter, c) for c in calls if c.interpreted
    }
    found |= {c: CompiledCall(c) for c in calls if not c.interpreted}
    return found


def _main_kind(plan: Plan) -> str:
    """The type of the interpreter's functions: float32 if there is that alone."""
    values = [
        x
        for stage in plan.stages
        for c in stage.whole
        for e in ([c] if isinstance(c, Equation) else c.equations)
        for x in (*e.operands, *e.outputs)
    ]
    dtypes = {x.aval.dtype.str[1:] for x in values}
    return "f32" if "f4" in dtypes and "f8" not in dtypes else "f64"
