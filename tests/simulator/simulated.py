"""A device that runs kernels in Numba's CUDA simulator, on NumPy arrays.

Only in a process started with NUMBA_ENABLE_CUDASIM=1. The simulator runs each thread of a block as
a thread of Python. Two things are supplied here: warp shuffles, which it has not, and a barrier
that does not poll, which is a hundred times faster and fails where a thread does not come to it.
"""

import threading
from fractions import Fraction

import numpy as np
import scipy.special
from gpuad.kernels.cuda_functions import LIBDEVICE
from numba import cuda
from numba.cuda.simulator.kernel import BlockManager, BlockThread
from numba.cuda.simulator.kernelapi import FakeCUDAModule

PATIENCE = 60


def _run_block(self, grid_point, *arguments):
    places = list(np.ndindex(*self._block_dim))
    self.barrier = threading.Barrier(len(places))
    self.shuffled = {}

    def target():
        try:
            self._f(*arguments)
        except BaseException:
            self.barrier.abort()
            raise

    threads = [BlockThread(target, self, grid_point, p, self._debug) for p in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    faults = [t.exception[0] for t in threads if t.exception]
    if faults:
        raise next(
            (x for x in faults if not isinstance(x, threading.BrokenBarrierError)), faults[0]
        )


def _syncthreads(self):
    self._manager.barrier.wait(PATIENCE)


def _syncwarp(self, mask=-1):
    threading.current_thread().syncthreads()


def _shfl_xor_sync(self, mask, value, distance):
    return _shuffled(value, threading.current_thread().thread_id ^ distance)


def _shfl_sync(self, mask, value, source):
    own = threading.current_thread().thread_id
    return _shuffled(value, own & ~31 | int(source) & 31)


def _shuffled(value, source):
    thread = threading.current_thread()
    block = thread._manager
    # Two places in turn: the next value cannot meet the one that another thread still reads.
    thread.turn = 1 - getattr(thread, "turn", 0)
    block.shuffled[thread.turn, thread.thread_id] = value
    block.barrier.wait(PATIENCE)
    return block.shuffled[thread.turn, source]


BlockManager.run = _run_block
BlockThread.syncthreads = _syncthreads
FakeCUDAModule.syncwarp = _syncwarp
FakeCUDAModule.shfl_xor_sync = _shfl_xor_sync
FakeCUDAModule.shfl_sync = _shfl_sync

SPECIAL = {name: getattr(scipy.special, name) for name in ("erf", "erfc", "erfinv", "erfcinv")}


def _fma(x, y, z):
    if not np.isfinite(x * y + z):
        return x * y + z
    return float(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))


SPECIAL["fma"] = _fma


def _halves(x):
    return np.array([x]).view(np.int32)


BITS = {
    "low_half": lambda x: _halves(x)[0],
    "high_half": lambda x: _halves(x)[1],
    "from_halves": lambda high, low: np.array([low, high], np.int32).view(np.float64)[0],
    "as_f64": lambda x: np.array([x]).view(np.float64)[0],
    "as_i64": lambda x: np.array([x]).view(np.int64)[0],
}
"""What `cuda_functions.BITS` names."""
SPECIAL["rsqrt"] = lambda x: x.dtype.type(1) / np.sqrt(x)


def namespace():
    """The globals of generated text: NumPy's functions in place of libdevice's."""
    names = {"cuda": cuda, "f32": np.float32, "f64": np.float64, "inf": np.inf, "nan": np.nan}
    names |= {"i32": np.int32, "i64": np.int64, "b1": np.bool_, "u8": np.uint8}
    for name in LIBDEVICE:
        function = SPECIAL.get(name) or getattr(np, name)
        for kind, dtype in (("f32", np.float32), ("f64", np.float64)):
            names[f"{name}_{kind}"] = _typed(function, dtype)
    return names | BITS


def _typed(function, dtype):
    """The function, for operands of one dtype only: an untyped number is a fault."""

    def call(*operands):
        assert all(type(x) is dtype for x in operands), (function, operands)
        return dtype(function(*operands))

    return call


class Simulator:
    """Runs the text of kernels as it is."""

    xp = np

    def __init__(self):
        self.texts = []
        self.launched = 0

    def fits(self, source):
        return True

    def ready(self, kernel):
        self.texts.append(kernel)
        names = namespace()
        exec(compile(kernel.text, f"<{kernel.name}>", "exec"), names)
        function = cuda.jit(names[kernel.name])

        def launch(blocks, threads, arguments):
            assert all(x.flags.c_contiguous for x in arguments if isinstance(x, np.ndarray))
            self.launched += 1
            flat = [x.reshape(-1) if isinstance(x, np.ndarray) else int(x) for x in arguments]
            with np.errstate(all="ignore"):
                function[blocks, threads](*flat)

        return launch

    def gemm(self):
        return None

    def part(self, array, start, shape):
        size = int(np.prod(shape, dtype=int))
        return array[start : start + size].reshape(shape).copy()

    def from_row(self, array, low):
        assert low == 0
        return array
