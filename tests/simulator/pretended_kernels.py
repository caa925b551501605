"""Runs the kernels of the pretended CuPy in Numba's simulator, on addresses.

Every access is checked: it must lie in memory that is allocated at that time.
"""

import ctypes

import numpy as np
from numba import cuda
from simulated import namespace

TYPES = {
    "f32": (ctypes.c_float, np.float32), "f64": (ctypes.c_double, np.float64),
    "i32": (ctypes.c_int32, np.int32), "i64": (ctypes.c_int64, np.int64),
    "b1": (ctypes.c_uint8, np.uint8),
}  # fmt: skip


class Pointer:
    """An address as a kernel sees it."""

    def __init__(self, address, kind, regions):
        self._address, self._regions = address, regions
        self._type, self._dtype = TYPES[kind]
        self._size = ctypes.sizeof(self._type)

    def _place(self, i):
        address = self._address + int(i) * self._size
        if not any(a <= address and address + self._size <= b for a, b in self._regions):
            raise IndexError(f"illegal address: element {i}")
        return self._type.from_address(address)

    def __getitem__(self, i):
        return self._dtype(self._place(i).value)

    def __setitem__(self, i, value):
        self._place(i).value = value.item() if isinstance(value, np.generic) else value


def run(text, blocks, threads, arguments, machine):
    names = namespace()
    exec(compile(text.text, f"<{text.name}>", "exec"), names)
    regions = [(start, end) for start, (end, _) in machine.regions.items()]
    made = [
        Pointer(x, kind[:-1], regions) if kind.endswith("*") else int(x)
        for kind, x in zip(text.types, arguments, strict=True)
    ]
    with np.errstate(all="ignore"):
        cuda.jit(names[text.name])[blocks, threads](*made)
