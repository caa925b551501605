"""Matrix products on a GPU: cuBLAS itself, since CuPy does not call it while a run is captured.

The library is the one that CuPy has loaded, with a handle of our own for each GPU. An operand that
lies in memory as a matrix or as its transpose is read as it is; others are copied. Where the
library is not found, products are CuPy's, and programs that have them are not replayed.
"""

import ctypes
import functools
import math
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpuad.ir.graph import Equation
from gpuad.ir.interpret import evaluate

GEMM = {"f4": "cublasSgemmStridedBatched", "f8": "cublasDgemmStridedBatched"}
SCALARS = {"f4": ctypes.c_float, "f8": ctypes.c_double}
LARGEST = (1 << 31) - 1
"""cuBLAS takes sizes as int."""
MOST_STACKED = 65535
"""Matrices in one call: some of its kernels number them along a short axis of the grid."""


Gemm = Callable[..., None]
"""What multiplies, called as `Cublas` is."""


class Cublas:
    """The library, with a handle for one GPU."""

    def __init__(self, library: Any, stream: Callable[[], int]):
        self._stream = stream
        self._lock = threading.Lock()
        self._handle = ctypes.c_void_p()
        self._set_stream = library.cublasSetStream_v2
        self._set_stream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._functions = {k: _gemm(library, name, SCALARS[k]) for k, name in GEMM.items()}
        create = library.cublasCreate_v2
        create.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
        _check(create(ctypes.byref(self._handle)))

    def __call__(
        self,
        kind: str,
        sizes: tuple[int, int, int],
        a: tuple[int, bool, int, int],
        b: tuple[int, bool, int, int],
        c: tuple[int, int, int],
        count: int,
    ) -> None:
        """C = op(A) op(B) for `count` matrices in column order: `sizes` are those of C and the
        shared one; an operand is its address, whether it is transposed, the distance of its columns
        and that of one matrix from the next; C is never transposed."""
        one, zero = SCALARS[kind](1), SCALARS[kind](0)
        # The stream belongs to the handle: another thread's may not come in between.
        with self._lock:
            _check(self._set_stream(self._handle, self._stream()))
            status = self._functions[kind](
                self._handle, int(a[1]), int(b[1]), *sizes, ctypes.byref(one), a[0], *a[2:],
                b[0], *b[2:], ctypes.byref(zero), *c, count,
            )  # fmt: skip
        _check(status)


def _gemm(library: Any, name: str, scalar: Any) -> Any:
    function = getattr(library, name)
    number, stride, address = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p
    matrix = [address, number, stride]
    function.argtypes = [
        address, *[number] * 5, ctypes.POINTER(scalar), *matrix, *matrix, ctypes.POINTER(scalar),
        *matrix, number,
    ]  # fmt: skip
    function.restype = number
    return function


def _check(status: int) -> None:
    if status:
        raise RuntimeError(
            f"cuBLAS failed with status {status} (cublasStatus_t in NVIDIA's manual); "
            "jit(f, executor='reference') multiplies through CuPy instead"
        )


def is_product(e: Equation) -> bool:
    """Whether cuBLAS computes the equation: a product of matrices of one dtype."""
    if e.primitive.name != "dot_general" or not e.params["contract"][0]:
        return False
    avals = [x.aval for x in (*e.operands, *e.outputs)]
    if any(a.dtype.str[1:] not in GEMM or not a.size or a.size > LARGEST for a in avals):
        return False
    return avals[0].dtype == avals[1].dtype == avals[2].dtype


class Product:
    """One product, made ready."""

    def __init__(self, e: Equation, xp: Any, gemm: Gemm):
        x, y = (v.aval for v in e.operands)
        contract, batch = e.params["contract"], e.params["batch"]
        self._equation, self._xp, self._gemm = e, xp, gemm
        self._kind = x.dtype.str[1:]
        x_free = [i for i in range(x.ndim) if i not in contract[0] + batch[0]]
        y_free = [i for i in range(y.ndim) if i not in contract[1] + batch[1]]
        self._x_order = (*batch[0], *x_free, *contract[0])
        self._y_order = (*batch[1], *contract[1], *y_free)
        self._count = math.prod([x.shape[i] for i in batch[0]])
        self._m, self._n = (
            math.prod([x.shape[i] for i in x_free]),
            math.prod([y.shape[i] for i in y_free]),
        )
        self._k = math.prod([x.shape[i] for i in contract[0]])

    def __call__(self, x: Any, y: Any) -> Any:
        xp, m, n, k = self._xp, self._m, self._n, self._k
        # A number among the operands is not an array of the device.
        if not all(isinstance(a, xp.ndarray) for a in (x, y)):
            return evaluate(self._equation, xp, [x, y])[0]
        aval = self._equation.outputs[0].aval
        left = self._matrix(x.transpose(self._x_order).reshape(self._count, m, k))
        right = self._matrix(y.transpose(self._y_order).reshape(self._count, k, n))
        out = xp.empty(aval.shape, aval.dtype)
        # In column order this is the transposed product of the transposed operands.
        item = aval.dtype.itemsize
        for start in range(0, self._count, MOST_STACKED):
            a, b = [
                (at + start * step * item, transposed, ld, step)
                for _, at, transposed, ld, step in (right, left)
            ]
            result = (out.data.ptr + start * m * n * item, n, m * n)
            count = min(MOST_STACKED, self._count - start)
            self._gemm(self._kind, (n, m, k), a, b, result, count)
        return out

    def _matrix(self, a: Any) -> tuple[Any, int, bool, int, int]:
        """An operand, held as long as this is, with what `Gemm` wants of it."""
        found = stacked(a.shape, [s // a.dtype.itemsize for s in a.strides])
        if found is None:
            a = self._xp.ascontiguousarray(a)
            found = False, a.shape[2], a.shape[1] * a.shape[2]
        return a, a.data.ptr, *found


def stacked(shape: Sequence[int], strides: Sequence[int]) -> tuple[bool, int, int] | None:
    """Whether stacked matrices lie in column order, the distance of their rows (else columns), and
    that of one from the next; None if they lie in no such order, or too far apart."""
    (count, rows, columns), (step, down, right) = shape, strides
    step = step if count > 1 else 0
    down = down if rows > 1 else columns
    right = right if columns > 1 else rows
    if step < 0:
        return None
    if (columns == 1 or right == 1) and columns <= down <= LARGEST:
        return False, down, step
    if (rows == 1 or down == 1) and rows <= right <= LARGEST:
        return True, right, step
    return None


@functools.cache
def library() -> Any:
    """cuBLAS as CuPy has loaded it; None if it cannot be found."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    paths = sorted(set(re.findall(r"/.*/libcublas\.so[.\d]*", maps)))
    if not paths:
        return None
    try:
        found = ctypes.CDLL(paths[0])
    except OSError:
        return None
    return found if all(hasattr(found, name) for name in GEMM.values()) else None
