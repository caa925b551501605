"""Kernels on a GPU, through CuPy: its arrays, its memory pool, its current stream."""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelSource, KernelText
from gpuad.errors import LibraryError
from gpuad.executors.cuda import compile_cache, cublas
from gpuad.executors.cuda.program import CudaProgram
from gpuad.executors.cuda.replay import Captured, Token
from gpuad.executors.reference import apart

DEFAULT_STREAMS = (0, 1)
"""Streams that cannot be captured; some may not even be asked whether they are."""
PER_THREAD_STREAM = 2
"""The pointer of the default stream of a thread, if CuPy uses that: each thread has its own."""


class CupyDevice:
    """One GPU, as a program sees it."""

    def __init__(self, number: int):
        import cupy

        self.xp = cupy
        self.number = number
        digits = cupy.cuda.Device(number).compute_capability
        self.capability = (int(digits[:-1]), int(digits[-1]))
        self._shared = int(cupy.cuda.Device(number).attributes["MaxSharedMemoryPerBlockOptin"])
        self._gemm: cublas.Gemm | None = None
        self._lock = threading.Lock()

    def fits(self, source: KernelSource) -> bool:
        if not toolchain.compiles(source.kernel):
            return False
        try:
            resources = compile_cache.load(source.kernel, self.capability).resources
        except toolchain.TooLarge:
            return False
        return resources.fit(source.layout.threads, self._shared)

    def ready(self, kernel: KernelText) -> Callable[[int, int, Sequence[Any]], None]:
        """The kernel, compiled and loaded."""
        function, given = _function(kernel, self)

        def launch(blocks: int, threads: int, arguments: Sequence[Any]) -> None:
            function((blocks,), (threads,), arguments, given)

        return launch

    def gemm(self) -> cublas.Gemm | None:
        """cuBLAS with a handle for this GPU; None where the library is not found. Only success is
        remembered: after a failure the next program tries again.

        Raises
        ------
        LibraryError
            If it cannot be started.
        """
        with self._lock:
            if self._gemm is None:
                self._gemm = self._started()
            return self._gemm

    def _started(self) -> cublas.Gemm | None:
        with self.xp.cuda.Device(self.number):
            try:
                return self._cublas()
            except (RuntimeError, ImportError):
                # Its memory is not from CuPy's pool, which may hold all that is free.
                self.xp.get_default_memory_pool().free_all_blocks()
            try:
                return self._cublas()
            except (RuntimeError, ImportError) as error:
                raise LibraryError(
                    f"cuBLAS cannot be started on GPU {self.number}, {free_bytes(self.xp)} bytes "
                    f"of which are free: {type(error).__name__}: {error}. Free memory, or see what "
                    "is installed with `gpuad info`; the next call tries again."
                ) from error

    def _cublas(self) -> cublas.Gemm | None:
        if not self.xp.cuda.Device(self.number).cublas_handle:  # CuPy loads it for its own handle
            return None
        found = cublas.library()
        return None if found is None else cublas.Cublas(found, self._stream, self.capability)

    def _stream(self) -> int:
        return int(self.xp.cuda.get_current_stream().ptr)

    def part(self, array: Any, start: int, shape: tuple[int, ...]) -> Any:
        offset = start * array.dtype.itemsize
        return self.xp.ndarray(shape, array.dtype, memptr=array.data + offset)

    def in_memory_of(self, array: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.xp.ndarray(shape, dtype, memptr=array.data)

    def from_row(self, array: Any, low: int) -> Any:
        """The address that row 0 would have if `array` began with row `low`. The kernel accesses no
        row below that."""
        if not low:
            return array
        row = array.nbytes // array.shape[0]
        return np.uint64((array.data.ptr - low * row) % (1 << 64))


@functools.lru_cache(1024)
def _function(kernel: KernelText, device: CupyDevice) -> tuple[Any, int]:
    """The kernel, and the bytes of shared memory that its launches give to a block."""
    binary = compile_cache.load(kernel, device.capability)
    with device.xp.cuda.Device(device.number):
        module = device.xp.cuda.function.Module()
        module.load(binary.cubin)
        function, given = module.get_function(kernel.name), binary.resources.given
        if given:
            driver = device.xp.cuda.driver
            most = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            driver.funcSetAttribute(function.ptr, most, given)
        return function, given


@functools.cache
def device(number: int) -> CupyDevice:
    """The GPU of this number, made once."""
    return CupyDevice(number)


def stream(program: CudaProgram) -> int | None:
    """The current stream, on which a run of the program would be; None while it is captured, since
    the user's graph may repeat that run at any time."""
    current = program.device.xp.cuda.get_current_stream()
    if current.ptr not in DEFAULT_STREAMS and current.is_capturing():
        return None
    return -threading.get_ident() if current.ptr == PER_THREAD_STREAM else int(current.ptr)


def free_bytes(cupy: Any) -> int:
    """Bytes that can be allocated on the current GPU. Waits for it, so only after a failure."""
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    free = int(cupy.cuda.Device().mem_info[0])
    limit = int(pool.get_limit())
    return min(free, max(limit - int(pool.used_bytes()), 0)) if limit else free


def capture(program: CudaProgram, inputs: Sequence[Any]) -> Captured:
    """A run of the program, captured as a CUDA graph and not yet executed.

    Its memory comes from a pool of its own, which lives as long as the graph: nobody else gets the
    memory that it writes to.
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
    """Ends a capture that has failed, which itself raises, since there is no valid graph."""
    try:
        stream.end_capture()
    except Exception:
        return


def _lender(cupy: Any, x: Any) -> Callable[[Token], Any]:
    """A function that gives arrays in the memory of `x`, or `x` itself if it is a number."""
    return functools.partial(_lent, cupy, x) if isinstance(x, cupy.ndarray) else lambda token: x


def _lent(cupy: Any, x: Any, token: Token) -> Any:
    """An array in the memory of `x`. With its views it holds the token, and `x`, whose memory must
    outlive the graph."""
    memory = cupy.cuda.UnownedMemory(x.data.ptr, max(x.nbytes, 1), (token, x), x.device.id)
    return cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0), x.strides)
