"""Matrix products on a GPU by cuBLAS, called directly: CuPy does not call it during a capture.

The library is the one that CuPy has loaded, with a handle of our own for each GPU. An operand that
lies in memory as a matrix or as its transpose is read as it is; others are copied. Where the
library is not found, products are CuPy's, and programs that have them are not replayed.

The workspace is not cuBLAS's own. Each product allocates it, so that it is counted, belongs to the
stream of the product, and lives as long as the CUDA graph that has captured it. Its size depends on
the shapes alone, since cuBLAS may choose its algorithm by it.
"""

import ctypes
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuad.errors import LibraryError
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role

GEMM = {"f4": "cublasSgemmStridedBatched", "f8": "cublasDgemmStridedBatched"}
NEEDED = (*GEMM.values(), "cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2")
SCALARS = {"f4": ctypes.c_float, "f8": ctypes.c_double}
LARGEST = (1 << 31) - 1
"""cuBLAS takes sizes as int."""
MOST_STACKED = 65535
"""Matrices in one call, at most: in some of its kernels they are a short axis of the grid."""

LEAST_WORKSPACE = 1 << 14
"""With less than this some of its routines fail, says NVIDIA's manual (cublasSetWorkspace)."""


class Matrices(NamedTuple):
    """A stack of matrices in memory, in column order."""

    address: int
    distance: int
    """From one column to the next, in elements."""
    step: int
    """From one matrix to the next, in elements."""
    transposed: bool = False
    """Whether the transposes are multiplied."""


class Multiplication(NamedTuple):
    """``C = A B`` for each matrix of the stacks, or ``C += A B`` with `add`."""

    kind: str
    """The dtype: "f4" or "f8"."""
    sizes: tuple[int, int, int]
    """Rows and columns of C, and the size that is summed over."""
    a: Matrices
    b: Matrices
    c: Matrices
    batch: int
    """How many matrices each stack has."""
    add: bool


class Gemm(Protocol):
    """What multiplies matrices."""

    most_workspace: int
    """Bytes of its workspace, at most."""

    def __call__(self, x: Multiplication, workspace: tuple[int, int]) -> None:
        """Multiplies; `workspace` is an address and a size."""
        ...


class Cublas:
    """The library, with a handle for one GPU.

    Stream and workspace are set on the handle, so one thread at a time sets them and launches.
    After the launch a product needs no handle: products on several streams share no memory.
    """

    def __init__(self, library: Any, stream: Callable[[], int], capability: tuple[int, int]):
        self.most_workspace = most_workspace(capability)
        self._stream = stream
        self._lock = threading.Lock()
        self._handle = ctypes.c_void_p()
        self._set_stream = library.cublasSetStream_v2
        self._set_stream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._set_workspace = library.cublasSetWorkspace_v2
        self._set_workspace.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self._functions = {k: _gemm(library, name, SCALARS[k]) for k, name in GEMM.items()}
        create = library.cublasCreate_v2
        create.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
        _check(create(ctypes.byref(self._handle)))

    def __call__(self, x: Multiplication, workspace: tuple[int, int]) -> None:
        alpha, beta = SCALARS[x.kind](1), SCALARS[x.kind](x.add)
        with self._lock:
            # In this order: setting the stream takes the workspace away.
            _check(self._set_stream(self._handle, self._stream()))
            _check(self._set_workspace(self._handle, *workspace))
            status = self._functions[x.kind](
                self._handle, int(x.a.transposed), int(x.b.transposed), *x.sizes,
                ctypes.byref(alpha), *x.a[:3], *x.b[:3], ctypes.byref(beta), *x.c[:3], x.batch,
            )  # fmt: skip
        _check(status)


def most_workspace(capability: tuple[int, int]) -> int:
    """Bytes that NVIDIA recommends for a GPU (its manual, cublasSetWorkspace)."""
    return {9: 32, 10: 32, 12: 12}.get(capability[0], 4) << 20


def workspace_of(e: Equation, most: int) -> int:
    """Bytes for one product: partial sums larger than its operands and result would not pay."""
    size = sum(x.aval.nbytes for x in (*e.operands, *e.outputs))
    return min(most, max(LEAST_WORKSPACE, 1 << (size - 1).bit_length()))


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
        raise LibraryError(
            f"cuBLAS failed with status {status} (cublasStatus_t in NVIDIA's manual); "
            "jit(f, executor='reference') multiplies through CuPy instead"
        )


def is_product(e: Equation) -> bool:
    """Whether cuBLAS computes the equation: a product of matrices of one dtype."""
    if e.primitive.role is not Role.CONTRACTION or not e.params["contract"][0]:
        return False
    avals = [x.aval for x in (*e.operands, *e.outputs)]
    if any(a.dtype.str[1:] not in GEMM or not a.size or a.size > LARGEST for a in avals):
        return False
    return avals[0].dtype == avals[1].dtype == avals[2].dtype


class Product:
    """One product, prepared; `workspace` is how many bytes it allocates for cuBLAS."""

    def __init__(self, e: Equation, xp: Any, gemm: Gemm):
        c = contraction_of(e)
        self._equation, self._xp, self._gemm = e, xp, gemm
        self._kind = e.operands[0].aval.dtype.str[1:]
        self._forms = c.forms
        self._count, self._rows, self._columns, self._summed = c.count, c.n, c.m, c.k
        self.workspace = workspace_of(e, gemm.most_workspace)

    def __call__(self, x: Any, y: Any, out: Any = None, add: bool = False) -> Any:
        """The product, written to `out` if that is given, or added to it with `add`; it `suits`."""
        xp, aval = self._xp, self._equation.outputs[0].aval
        (x_order, x_shape), (y_order, y_shape) = self._forms
        x, left = self._matrices(x.transpose(x_order).reshape(x_shape))
        y, right = self._matrices(y.transpose(y_order).reshape(y_shape))
        if out is None:
            out = xp.empty(aval.shape, aval.dtype)
        placed = self._placed(out)
        assert placed is not None
        result = Matrices(out.data.ptr, *placed)
        memory = xp.empty(self.workspace, np.uint8)
        # In column order an array is its transpose: (x y)ᵀ = yᵀ xᵀ is computed.
        sizes, item = (self._columns, self._rows, self._summed), aval.dtype.itemsize
        for start in range(0, self._count, MOST_STACKED):
            a, b, c = [
                o._replace(address=o.address + start * o.step * item) for o in (right, left, result)
            ]
            count = min(MOST_STACKED, self._count - start)
            multiplication = Multiplication(self._kind, sizes, a, b, c, count, add)
            self._gemm(multiplication, (memory.data.ptr, self.workspace))
        return out

    def suits(self, out: Any) -> bool:
        """Whether the product can be written to an array: one in C order, or a matrix that is part
        of a larger one."""
        return self._placed(out) is not None

    def _placed(self, out: Any) -> tuple[int, int] | None:
        """The distance of the rows of a result, and that of its matrices; None if it suits not."""
        if out.flags.c_contiguous:
            return self._columns, self._rows * self._columns
        if out.shape != (self._rows, self._columns):
            return None
        found = stacked((1, *out.shape), [0, *[s // out.dtype.itemsize for s in out.strides]])
        return None if found is None or found[0] else (found[1], 0)

    def copies(self, x: Any, y: Any) -> list[int]:
        """Bytes that are allocated beside the result: copies of operands with this layout, and the
        workspace."""
        (x_order, x_shape), (y_order, y_shape) = self._forms
        left = self._copied(x.transpose(x_order), x_shape)
        right = self._copied(y.transpose(y_order), y_shape)
        return [x.nbytes] * left + [y.nbytes] * right + [self.workspace]

    @staticmethod
    def _copied(a: np.ndarray, shape: tuple[int, int, int]) -> bool:
        try:
            a = np.reshape(a, shape, copy=False)
        except ValueError:
            return True
        return stacked(shape, [s // a.dtype.itemsize for s in a.strides]) is None

    def _matrices(self, a: Any) -> tuple[Any, Matrices]:
        """An operand or a copy of it, which is to be kept as long as it is used, and how cuBLAS
        reads it."""
        found = stacked(a.shape, [s // a.dtype.itemsize for s in a.strides])
        if found is None:
            a = self._xp.ascontiguousarray(a)
            found = False, a.shape[2], a.shape[1] * a.shape[2]
        transposed, distance, step = found
        return a, Matrices(a.data.ptr, distance, step, transposed)


def stacked(shape: Sequence[int], strides: Sequence[int]) -> tuple[bool, int, int] | None:
    """Whether stacked matrices lie in column order, the distance of their columns (else of their
    rows), and that from one matrix to the next; None if neither order is theirs, or they are too
    far apart."""
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
    return found if all(hasattr(found, name) for name in NEEDED) else None
