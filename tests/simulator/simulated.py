"""A device that runs kernels in Numba's CUDA simulator, on NumPy arrays.

Only in a process started with NUMBA_ENABLE_CUDASIM=1. The simulator runs each thread of a block as
a thread of Python. It has no warp shuffles: they are supplied here, with the block's own barrier, so
every thread of a block must come to each shuffle.
"""

import threading

import numpy as np
import scipy.special
from numba import cuda
from numba.cuda.simulator.kernelapi import FakeCUDAModule

from gpuad.kernels.cuda_functions import LIBDEVICE


def _shfl_xor_sync(self, mask, value, distance):
    thread = threading.current_thread()
    values = thread._manager.__dict__.setdefault("shuffled", {})
    values[thread.thread_id] = value
    thread.syncthreads()
    found = values[thread.thread_id ^ distance]
    thread.syncthreads()
    return found


FakeCUDAModule.shfl_xor_sync = _shfl_xor_sync


def _rsqrt(x):
    return x.dtype.type(1) / np.sqrt(x)


SPECIAL = {name: getattr(scipy.special, name) for name in ("erf", "erfc", "erfinv", "erfcinv")}
SPECIAL["rsqrt"] = _rsqrt


def namespace():
    """The globals of generated text: NumPy's functions in place of libdevice's."""
    names = {"cuda": cuda, "f32": np.float32, "f64": np.float64, "inf": np.inf, "nan": np.nan}
    names |= {"i32": np.int32, "i64": np.int64, "b1": np.bool_}
    for name in LIBDEVICE:
        function = SPECIAL.get(name) or getattr(np, name)
        for kind, dtype in (("f32", np.float32), ("f64", np.float64)):
            names[f"{name}_{kind}"] = _typed(function, dtype)
    return names


def _typed(function, dtype):
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
            assert all(x.flags.c_contiguous for x in arguments[:-1] if isinstance(x, np.ndarray))
            self.launched += 1
            flat = [x.reshape(-1) if isinstance(x, np.ndarray) else int(x) for x in arguments]
            with np.errstate(all="ignore"):
                function[blocks, threads](*flat)

        return launch

    def part(self, array, start, shape):
        size = int(np.prod(shape, dtype=int))
        return array[start : start + size].reshape(shape).copy()
