"""Kernels on a GPU, through CuPy: its arrays, its memory pool, its current stream."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from gpuad.executors.cuda import store
from gpuad.executors.cuda.program import CudaProgram
from gpuad.executors.cuda.replay import Captured, Token
from gpuad.executors.cuda.source import KernelSource, KernelText


class CupyDevice:
    """One GPU, as a program sees it."""

    def __init__(self, number: int):
        import cupy

        self.xp = cupy
        self.number = number
        digits = cupy.cuda.Device(number).compute_capability
        self.capability = (int(digits[:-1]), int(digits[-1]))

    def fits(self, source: KernelSource) -> bool:
        resources = store.load(source.kernel, self.capability).resources
        return resources.fit(source.layout.threads)

    def ready(self, kernel: KernelText) -> Callable[[int, int, Sequence[Any]], None]:
        """The kernel, compiled and loaded."""
        function = _function(kernel, self)

        def launch(blocks: int, threads: int, arguments: Sequence[Any]) -> None:
            function((blocks,), (threads,), arguments)

        return launch

    def part(self, array: Any, start: int, shape: tuple[int, ...]) -> Any:
        offset = start * array.dtype.itemsize
        return self.xp.ndarray(shape, array.dtype, memptr=array.data + offset)


@functools.lru_cache(1024)
def _function(kernel: KernelText, device: CupyDevice) -> Any:
    binary = store.load(kernel, device.capability)
    with device.xp.cuda.Device(device.number):
        module = device.xp.cuda.function.Module()
        module.load(binary.cubin)
        return module.get_function(kernel.name)


@functools.cache
def device(number: int) -> CupyDevice:
    """The GPU of this number, made once."""
    return CupyDevice(number)


def capture(program: CudaProgram, inputs: Sequence[Any]) -> Captured:
    """A run of the program as a CUDA graph, which is not run yet.

    Its memory comes from a pool of its own, which lives as long as the graph: nothing else is
    given what it writes to.
    """
    cupy = program.device.xp
    pool = cupy.cuda.MemoryPool()
    stream = cupy.cuda.Stream(non_blocking=True)
    with cupy.cuda.using_allocator(pool.malloc), stream:
        stream.begin_capture()
        try:
            outputs = program(inputs)
        except BaseException:
            _abandon(stream)
            raise
        graph = stream.end_capture()
    return Captured(graph.launch, [(x, functools.partial(_lent, cupy, x)) for x in outputs], pool)


def _abandon(stream: Any) -> None:
    """Ends a capture that has failed; its graph is not valid, and asking for it raises."""
    try:
        stream.end_capture()
    except Exception:
        return


def _lent(cupy: Any, x: Any, token: Token) -> Any:
    """An array in the memory of `x` that holds the token, as every view of it does."""
    memory = cupy.cuda.UnownedMemory(x.data.ptr, max(x.nbytes, 1), token, x.device.id)
    return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0), x.strides)
