"""The CUDA executor: a graph run on the GPU that its arguments are on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.cuda import toolchain
from gpuad.errors import MemoryLimitError
from gpuad.executors.cuda import compile_cache
from gpuad.executors.cuda.launch import capture, device, free_bytes, stream
from gpuad.executors.cuda.program import CudaProgram, on_device
from gpuad.executors.cuda.replay import Replayed, forget_all
from gpuad.executors.cuda.row_pipeline import WHOLE, Device
from gpuad.executors.donation import NOTHING, Donation
from gpuad.executors.explain import amount
from gpuad.executors.memory import with_least_memory
from gpuad.executors.protocols import UNLIMITED, Explanation, RunOptions
from gpuad.executors.steps import Limits
from gpuad.ir.graph import Graph, calls_user

REPLAYED_BYTES = 1 << 26
"""A program with a larger peak is not captured: its kernels take longer than their launches, and
the memory of a captured run is kept."""


def available() -> bool:
    """Whether the compiler of kernels is installed, or kernels are ready-made."""
    return toolchain.available() or compile_cache.ready_made() is not None


class CudaExecutor:
    """A graph with a program for each GPU that it has run on.

    Of several graphs of the same meaning the one that needs the least memory is run.
    compile_held() makes the executors of graphs that equations hold.
    """

    def __init__(
        self,
        graphs: Graph | Sequence[Graph],
        name: str,
        compile_held: "Callable[[Graph], CudaExecutor] | None" = None,
    ):
        self._graphs = [graphs] if isinstance(graphs, Graph) else graphs
        self._name = name
        self._compile_held = compile_held
        self._programs: dict[int, Replayed[CudaProgram]] = {}
        self._limits: dict[tuple[Any, ...], Limits] = {}

    def __call__(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> list[Any]:
        import cupy

        number = common_gpu(inputs)
        with cupy.cuda.Device(number):
            replayed = self.program(number)
            program = replayed.program
            arrays = [on_device(cupy, x) for x in inputs]
            given = program.donation(arrays, options.donated)
            if options.max_bytes is not None:
                # Not replayed: the memory of captured runs is kept, and belongs to no budget.
                limits = self.limits(program, arrays, options, given)
                return program(arrays, limits, given)
            begun: list[bool] = []
            try:
                if given.placed:
                    # Not replayed: a captured run writes to memory of its own.
                    return program(arrays, WHOLE, given, lambda: begun.append(True))
                return replayed(arrays)
            except cupy.cuda.memory.OutOfMemoryError:
                # Handled below: the exception holds the arrays of the failed run.
                pass
            forget_all()
            if begun:
                raise MemoryLimitError(self._donated_lost(program, arrays, number, given))
            return self._in_pieces(program, arrays, number)

    def program(self, number: int) -> Replayed[CudaProgram]:
        """The program for one GPU, made once."""
        import cupy

        found = self._programs.get(number)
        if found is None:
            with cupy.cuda.Device(number):
                made = self._made(device(number), number)
            replayable = made.peak_bytes() <= REPLAYED_BYTES and not calls_user(made.graph)
            found = Replayed(made, capture if replayable else None, stream)
            self._programs[number] = found
        return found

    def _made(self, device: Device, number: int) -> CudaProgram:
        make = self._compile_held
        held = None if make is None else lambda graph: make(graph).program(number).program
        programs = [CudaProgram(g, device, held) for g in self._graphs]
        return programs[with_least_memory(programs)]

    def limits(
        self,
        program: CudaProgram,
        arrays: Sequence[Any],
        options: RunOptions,
        given: Donation = NOTHING,
    ) -> Limits:
        """How many rows to take at a time; found once for the same layouts and budget."""
        if options.max_bytes is None:
            return WHOLE
        strides = tuple([getattr(x, "strides", None) for x in arrays])
        budget = (options.max_bytes, options.held)
        key = (id(program), strides, *budget, frozenset(given.placed))
        found = self._limits.get(key)
        if found is None:
            found = self._limits[key] = program.limits(arrays, *budget, given)
        return found

    def _donated_lost(
        self, program: CudaProgram, arrays: Sequence[Any], number: int, given: Donation
    ) -> str:
        """The message for a run that did not fit and had begun to overwrite donated arguments."""
        import cupy

        peaks = program.explain(arrays, given=given).peak_bytes, program.least_bytes(arrays)
        text = out_of_memory(self._name, number, free_bytes(cupy), *peaks)
        return f"{text} The donated arguments are lost; with max_bytes=... they would not be."

    def _in_pieces(self, program: CudaProgram, arrays: Sequence[Any], number: int) -> list[Any]:
        """Runs what did not fit in pieces of rows that do."""
        import cupy

        free = budget = free_bytes(cupy)
        tried: set[Limits] = {WHOLE}
        while budget:
            try:
                limits = program.limits(arrays, budget)
                if limits not in tried:
                    tried.add(limits)
                    return program(arrays, limits)
            except MemoryLimitError:
                break
            except cupy.cuda.memory.OutOfMemoryError:
                # What is free is in parts that are too small.
                pass
            budget = min(budget // 2, free_bytes(cupy))
        peaks = program.peak_bytes(arrays), program.least_bytes(arrays)
        raise MemoryLimitError(out_of_memory(self._name, number, free, *peaks))

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        """What a run with these arguments does and costs."""
        program = self.program(common_gpu(inputs)).program
        arrays = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
        given = program.donation(arrays, options.donated)
        limits = self.limits(program, arrays, options, given)
        return program.explain(arrays, limits, options.held, given)


def common_gpu(arrays: Sequence[Any]) -> int:
    """The number of the GPU that all arrays are on; that of the current one if there are none."""
    import cupy

    found = [x.device.id for x in arrays if isinstance(x, cupy.ndarray)]
    return found[0] if found else cupy.cuda.runtime.getDevice()


def out_of_memory(name: str, number: int, free: int, peak: int, least: int) -> str:
    """The message for a run that did not fit, with what would help."""
    return (
        f"{name} needs {amount(peak)}B beside its arguments, or {amount(least)}B with the fewest "
        f"rows at a time, and {amount(free)}B are free on GPU {number}. Call it on fewer rows and "
        f"add up the results, or free {amount(max(least - free, 0))}B: arrays that are no longer "
        "needed, and what other programs hold (nvidia-smi shows it)."
    )
