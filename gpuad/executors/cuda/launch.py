"""Kernels on a GPU, through CuPy: its arrays, its memory pool, its current stream."""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.executors.cuda import products, store
from gpuad.executors.cuda.program import CudaProgram
from gpuad.executors.cuda.replay import Captured, Token
from gpuad.executors.cuda.source import KernelSource, KernelText
from gpuad.executors.reference import apart

DEFAULT_STREAMS = (0, 1)
"""They cannot be captured, and some may not even be asked."""
PER_THREAD_STREAM = 2
"""The default stream of each thread, where CuPy is told to use it: in each thread another one."""


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

    @functools.cache  # noqa: B019 (a device lives as long as the process)
    def gemm(self) -> products.Gemm | None:
        """cuBLAS with a handle for this GPU; None where it is not found."""
        try:
            with self.xp.cuda.Device(self.number) as current:
                if not current.cublas_handle:  # CuPy loads the library for its own handle
                    return None
                found = products.library()
                return None if found is None else products.Cublas(found, self._stream)
        except (AttributeError, RuntimeError):
            return None

    def _stream(self) -> int:
        return int(self.xp.cuda.get_current_stream().ptr)

    def part(self, array: Any, start: int, shape: tuple[int, ...]) -> Any:
        offset = start * array.dtype.itemsize
        return self.xp.ndarray(shape, array.dtype, memptr=array.data + offset)

    def from_row(self, array: Any, low: int) -> Any:
        """Its address, as if the rows below `low` stood before it; they are not touched."""
        if not low:
            return array
        row = array.nbytes // array.shape[0]
        return np.uint64((array.data.ptr - low * row) % (1 << 64))


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


def stream(program: CudaProgram) -> int | None:
    """The stream that a run of the program goes to now; None for one that is being captured, by
    which a run may be repeated at any time."""
    current = program.device.xp.cuda.get_current_stream()
    if current.ptr not in DEFAULT_STREAMS and current.is_capturing():
        return None
    return -threading.get_ident() if current.ptr == PER_THREAD_STREAM else int(current.ptr)


def free_bytes(cupy: Any) -> int:
    """What can be allocated on the current GPU. Waits for the GPU, so only after a failure."""
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    free = int(cupy.cuda.Device().mem_info[0])
    limit = int(pool.get_limit())
    return min(free, max(limit - int(pool.used_bytes()), 0)) if limit else free


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
            outputs = apart(program(inputs))
        except BaseException:
            _abandon(stream)
            raise
        graph = stream.end_capture()
    return Captured(graph.launch, [_lender(cupy, x) for x in outputs], pool)


def _abandon(stream: Any) -> None:
    """Ends a capture that has failed; its graph is not valid, and asking for it raises."""
    try:
        stream.end_capture()
    except Exception:
        return


def _lender(cupy: Any, x: Any) -> Callable[[Token], Any]:
    """Gives arrays in the memory of `x`; a number as it is."""
    return functools.partial(_lent, cupy, x) if isinstance(x, cupy.ndarray) else lambda token: x


def _lent(cupy: Any, x: Any, token: Token) -> Any:
    """An array in the memory of `x` that holds the token, as every view of it does, and `x`,
    whose memory must outlive the graph."""
    memory = cupy.cuda.UnownedMemory(x.data.ptr, max(x.nbytes, 1), (token, x), x.device.id)
    return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0), x.strides)
