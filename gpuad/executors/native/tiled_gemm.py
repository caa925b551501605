"""Whole matrix products, on gpuad's own threads.

By itself BLAS divides a product among threads of its own, which then spin on the cores that the
next sweep needs, and it rounds differently with another number of threads. Here the result is
divided into tiles that depend on its shape alone. The threads of `workers` compute them, with BLAS
held to one thread.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuad.executors.native.compile_cache import load
from gpuad.executors.native.one_thread_blas import one_thread_blas
from gpuad.executors.native.thread_pool import workers
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role

LEAST = 1 << 18
"""Multiplications of a product that is tiled, at least: BLAS has one thread for a smaller one."""
TILE = 1 << 23
"""Multiplications in a tile, at least: fewer are not worth waking a thread."""
WIDTH = 1 << 8
"""Rows or columns of a tile, at least: the other matrix is packed again for each tile."""
TILES = 16
"""The most tiles of a product."""
BLAS = "fdFD"
"""The dtypes that BLAS multiplies, by their characters."""
LONGEST = (1 << 31) - 1
"""The largest size that BLAS takes."""
GRAIN = 1 << 4
"""Tiles begin at multiples of this, so that their results begin at a cache line."""
TILE_PRODUCT = """\
def sweep(x, y, out, {numbers}):
    starts = (x0, y0, out0)
    strides = (x_line, y_line, out_line)
    turned = (x_turned != 0, y_turned != 0)
    tile_product(x, y, out, starts, strides, turned, (n, k, m), False)
"""
NUMBERS = "x0 y0 out0 x_line y_line out_line x_turned y_turned n k m".split()


@functools.cache
def _tile_product(dtype: np.dtype) -> Callable[..., None]:
    text = TILE_PRODUCT.format(numbers=", ".join(NUMBERS))
    read, write = f"read(np.{dtype.name})", f"write(np.{dtype.name})"
    return load(text, dtype, [read, read, write, *["int64"] * len(NUMBERS)])


class MatrixProduct:
    """A contraction as a batch of products of two matrices."""

    def __init__(self, e: Equation):
        self._geometry = c = contraction_of(e)
        self._result = e.outputs[0].aval
        self._of_columns = c.m > c.n
        tiles = _tiles(c.m if self._of_columns else c.n, c.n * c.k * c.m)
        self.tiles = [(b, lo, hi) for b in range(c.count) for lo, hi in tiles]

    def __call__(self, x: Any, y: Any, most: int, out: np.ndarray) -> None:
        """Writes the product to `out`, on at most so many threads."""
        function = _tile_product(self._result.dtype)
        c = self._geometry
        n, k, m = c.n, c.k, c.m
        flat = out.reshape(-1)
        x, x_line, x_turned = _matrices(x, *c.forms[0])
        y, y_line, y_turned = _matrices(y, *c.forms[1])

        def run(t: int) -> None:
            b, lo, hi = self.tiles[t]
            places = [b * n * k, b * k * m, b * n * m]
            if self._of_columns:
                places[1] += lo * (y_line if y_turned else 1)
                places[2] += lo
                sizes = n, k, hi - lo
            else:
                places[0] += lo * (1 if x_turned else x_line)
                places[2] += lo * m
                sizes = hi - lo, k, m
            function(x, y, flat, *places, x_line, y_line, m, x_turned, y_turned, *sizes)

        with one_thread_blas():
            workers.run(run, len(self.tiles), most)


def _tiles(lines: int, multiplications: int) -> Sequence[tuple[int, int]]:
    """Ranges of the rows or columns (`lines`) of the result."""
    wanted = max(1, min(TILES, lines // WIDTH, multiplications // TILE))
    step = -(-lines // (1 << (wanted.bit_length() - 1)))
    step = max(1, -(-step // GRAIN)) * GRAIN
    return [(lo, min(lo + step, lines)) for lo in range(0, lines, step)]


def _matrices(
    x: np.ndarray, order: Sequence[int], shape: Sequence[int]
) -> tuple[np.ndarray, int, int]:
    """The flat elements of a batch of matrices, the distance of their lines in memory, and whether
    the matrices are transposed there."""
    x = x.transpose(order).reshape(shape)
    transposed = x.swapaxes(1, 2)
    turned = transposed.flags.c_contiguous and not x.flags.c_contiguous
    stored = transposed if turned else x
    if not (stored.flags.c_contiguous and stored.flags.aligned):
        stored = stored.copy("C")
    return stored.reshape(-1), stored.shape[2], int(turned)


def matrix_product(e: Equation) -> MatrixProduct | None:
    """An equation on whole arrays as matrix products, if it is one and large enough."""
    if e.primitive.role is not Role.CONTRACTION or not e.params["contract"][0]:
        return None
    dtypes = {x.aval.dtype for x in (*e.operands, *e.outputs)}
    if len(dtypes) > 1 or dtypes.pop().char not in BLAS:
        return None
    c = contraction_of(e)
    fits = max(c.n, c.k, c.m) <= LONGEST
    return MatrixProduct(e) if fits and c.n * c.k * c.m >= LEAST else None
