"""Which contractions a kernel computes, and how: with what a thread holds, with a matrix in shared
memory (see `tiles`), or with sums that all threads of a block share (see `block_products`)."""

import math

from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation

LARGEST = 64
"""Rows and columns of a matrix in shared memory, at most."""
SMALLEST = 9
"""With fewer, the matrix is written out."""
STREAMS = 8
"""Rows of x, side by side, that one matrix multiplies, at most: what a row has along its short
axes."""

PRODUCTS = 24576
"""Products of two numbers for a row, at most, of a contraction in a kernel: with more, cuBLAS is as
fast. It reads the operand with lanes once more, and a kernel multiplies and adds up all lanes."""
WRITTEN = 24
"""Of these, for each lane."""
WRITTEN_SHORT = 128
"""The same, where the sums go over a short axis, and all lanes have sums of their own."""
HELD_SUMS = 8192
"""Sums over rows, at most, whose lanes the threads of one row share."""
BLOCK_SUMS = 16384
"""Sums over rows, at most, that the threads of a block share."""
SHORTER = 32
"""Rows or columns of these, at most: larger ones cuBLAS adds up as fast, with both operands in
memory."""


def computes_product(e: Equation) -> bool:
    """Whether a kernel can compute this contraction of real numbers."""
    return multiplies_lanes(e) or sums_by_block(e) or _in_registers(e)


def _in_registers(e: Equation) -> bool:
    written, lanes = written_out(e), _lanes(e)
    if written <= WRITTEN:
        return written * lanes <= PRODUCTS
    x = contraction_of(e)
    summed = math.prod([x.x[k] for k in x.contract[0]])
    return summed <= WRITTEN and written <= WRITTEN_SHORT and written * lanes <= HELD_SUMS


def written_out(e: Equation) -> int:
    """How many products of two numbers a kernel's text has of a contraction: its two longest axes
    are those of rows and of lanes."""
    return math.prod(_lengths(e)[:-2])


def _lanes(e: Equation) -> int:
    return _lengths(e)[-2] if len(_lengths(e)) > 1 else 1


def _lengths(e: Equation) -> list[int]:
    """The lengths of all axes of a contraction, in ascending order."""
    x = contraction_of(e)
    lengths = [x.x[k] for k in (*x.batch[0], *x.free[0], *x.contract[0])]
    return sorted([*lengths, *[x.y[k] for k in x.free[1]]])


def multiplies_lanes(e: Equation) -> bool:
    """Whether this is a product of rows, which are many, with a small matrix in shared memory."""
    if e.primitive.role is not Role.CONTRACTION or e.outputs[0].aval.dtype.kind != "f":
        return False
    x = contraction_of(e)
    for shape, contract, free, others in (
        (x.y, x.contract[1], x.free[1], [x.x[k] for k in x.free[0]]),
        (x.x, x.contract[0], x.free[0], [x.y[k] for k in x.free[1]]),
    ):
        if len(contract) != 1 or len(free) != 1 or x.batch[0] or not others:
            continue
        sizes = shape[contract[0]], shape[free[0]]
        few = math.prod(others) // max(others) <= STREAMS
        if all(SMALLEST <= n <= LARGEST for n in sizes) and few and max(others) > LARGEST:
            return True
    return False


def sums_by_block(e: Equation) -> bool:
    """Whether this sums products over many rows, with more sums than the threads of a row hold, or
    of lanes with other lanes."""
    if e.primitive.role is not Role.CONTRACTION or e.outputs[0].aval.dtype.kind != "f":
        return False
    x = contraction_of(e)
    if x.batch[0] or not x.contract[0] or not all(x.free):
        return False
    summed, sums = [x.x[k] for k in x.contract[0]], e.outputs[0].aval.shape
    few = math.prod(summed) // max(summed) <= STREAMS
    sides, size = (x.n, x.m), math.prod(sums)
    of_lanes = all(SMALLEST <= n <= LARGEST for n in sides)
    many = size > HELD_SUMS or size // max(sums) > WRITTEN or of_lanes
    return many and size <= BLOCK_SUMS and min(sides) <= SHORTER and few and max(summed) > LARGEST


def is_streamed(e: Equation) -> bool:
    """Whether a matrix that multiplies rows has more elements than the threads of a row hold: each
    is loaded where it is used, for several rows at a time."""
    if e.primitive.role is not Role.CONTRACTION or multiplies_lanes(e):
        return False
    written = written_out(e)
    return written > WRITTEN or written * _lanes(e) > HELD_SUMS


def adds_to_block(s: SweepEquation) -> bool:
    """Whether an equation of a sweep adds products of each row to sums that a block shares."""
    return s.axis is None and sums_by_block(s.equation)


def streams_matrix(s: SweepEquation) -> bool:
    """Whether an equation of a sweep multiplies each row by a matrix that is not held."""
    return s.axis is not None and is_streamed(s.equation)
