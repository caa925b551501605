"""The CUDA executor: a graph run on the GPU that its arguments are on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, MemoryLimitError
from gpuad.executors.cuda import toolchain
from gpuad.executors.cuda.explain import amount
from gpuad.executors.cuda.launch import capture, device
from gpuad.executors.cuda.program import CudaProgram
from gpuad.executors.cuda.replay import Replayed
from gpuad.executors.explain import Explanation
from gpuad.ir.graph import Graph


def available() -> bool:
    """Whether the compiler of kernels is installed."""
    return toolchain.available()


class CudaExecutor:
    """A graph with a program for each GPU that it was asked to run on."""

    def __init__(self, graph: Graph, name: str):
        self._graph = graph
        self._name = name
        self._programs: dict[int, Replayed] = {}

    def __call__(
        self,
        arrays: Sequence[Any],
        donated: Sequence[int] = (),
        max_bytes: int | None = None,
        held: int = 0,
    ) -> list[Any]:
        import cupy

        number = device_of(arrays, self._name)
        with cupy.cuda.Device(number):
            program = self.program(number)
            if max_bytes is not None:
                check_peak(self._name, program.program.explain().peak_bytes, max_bytes - held)
            try:
                return program(arrays)
            except cupy.cuda.memory.OutOfMemoryError as error:
                free, _ = cupy.cuda.Device(number).mem_info
                raise MemoryLimitError(out_of_memory(self._name, program.program, free)) from error

    def program(self, number: int) -> Replayed:
        """The program for one GPU, made once."""
        found = self._programs.get(number)
        if found is None:
            made = CudaProgram(self._graph, device(number))
            found = self._programs[number] = Replayed(made, capture)
        return found

    def explain(
        self,
        arrays: Sequence[Any],
        donated: Sequence[int] = (),
        max_bytes: int | None = None,
        held: int = 0,
    ) -> Explanation:
        """What a run with these arguments does and costs."""
        return self.program(device_of(arrays, self._name)).program.explain()


def device_of(arrays: Sequence[Any], name: str) -> int:
    """The number of the GPU that all arrays are on."""
    first: tuple[int, int] | None = None
    for k, x in enumerate(arrays):
        if isinstance(x, np.ndarray) and x.ndim:
            raise ArgumentError(
                f"{name}: argument {k} is a NumPy array among CuPy arrays. Bring it to the GPU "
                "with cupy.asarray(...), or the others to the CPU with cupy.asnumpy(...)."
            )
        if isinstance(x, np.generic | np.ndarray):
            continue
        number = x.device.id
        if first is None:
            first = (k, number)
        elif number != first[1]:
            raise ArgumentError(
                f"{name}: argument {first[0]} is on GPU {first[1]} and argument {k} on GPU "
                f"{number}. Bring them to one: with cupy.cuda.Device({first[1]}): "
                "x = cupy.asarray(x)."
            )
    if first is None:
        import cupy

        return cupy.cuda.runtime.getDevice()
    return first[1]


def check_peak(name: str, peak: int, allowed: int) -> None:
    """Refuses a run that would take more memory than it may."""
    if peak > allowed:
        raise MemoryLimitError(
            f"{name} needs {amount(peak)}B on the GPU beside its arguments, more than the "
            f"{amount(allowed)}B that max_bytes leaves. Give it fewer rows at a time and add up "
            "the results, or allow it more."
        )


def out_of_memory(name: str, program: CudaProgram, free: int) -> str:
    """What did not fit, and what would."""
    peak = program.explain().peak_bytes
    return (
        f"{name} needs {amount(peak)}B on the GPU beside its arguments, and {amount(free)}B are "
        "free (blocks that CuPy keeps for later are counted as used: "
        "cupy.get_default_memory_pool().free_all_blocks() gives them back). Give it fewer rows at "
        "a time and add up the results."
    )
