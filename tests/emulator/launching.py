"""Launches of single kernels on NumPy's arrays."""

import numpy as np

from compiled_kernels import KERNELS
from emulator.generate import generate
from emulator.machine import Machine, MemoryMap
from emulator.parse import parse
from gpuad.codegen.cuda.source import KernelText

TYPES = {
    "float32": "f32",
    "float64": "f64",
    "int64": "i64",
    "int32": "i32",
    "float16": "f16",
    "bfloat16": "bf16",
}
ALIGNED = 512


def launch(ptx, grid, threads, *arguments):
    """Runs PTX on arrays, whose contents it may change, and numbers; gives the report."""
    (entry,) = parse(ptx).values()
    memory, given, own = MemoryMap(), [], []
    for x in arguments:
        if isinstance(x, np.ndarray):
            own.append((x, aligned(x)))
            memory.add_array(own[-1][1], f"array {len(own) - 1}")
            x = own[-1][1].ctypes.data
        given.append(x)
    report = Machine(generate(entry), grid, threads, given, memory).run()
    for x, copy in own:
        x[...] = copy
    return report


def aligned(x):
    """A copy whose memory begins where an array of the device may."""
    data = np.empty(x.nbytes + ALIGNED, np.uint8)
    start = -data.ctypes.data % ALIGNED
    copy = data[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def run(text, grid, threads, *arguments):
    """The same for the text of a kernel `k`; numbers are 64-bit integers."""
    types = [f"{TYPES[x.dtype.name]}*" if isinstance(x, np.ndarray) else "i64" for x in arguments]
    ptx = KERNELS.ptx(KernelText("k", text, tuple(types)))
    return launch(ptx, grid, threads, *arguments)


def kinds(report):
    return {f.kind for f in report.findings.values()}
