"""Results that are written past the cache.

A store to memory that is not in the cache reads the line first, and drives out of the cache what
would be read again. A sweep that moves more than its part of the cache leaves little of its
results there. They are made in scratch, block by block, and copied on by stores that read nothing,
where memory is what the sweep waits for: if it computes little (0.7 of the time for Hessian-vector
products a third of whose traffic is written), or writes more than it reads (0.85 for Hessians of
4 numbers). Where arithmetic takes longer, the copies only add to it (1.15 for option prices).
"""

from collections.abc import Collection, Sequence

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.compile_cost import compile_cost
from gpuad.codegen.cpu.processor import cache_bytes
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation

PARTS = 2
"""Several cores share the last level of cache: a sweep can count on one of so many parts of it.
(Results of 21 MB, written past a cache of 32 MB, take 0.6 of the time.)"""
SHARE = 16
"""A result that is a smaller part of the cache may still be found there."""
LEAST_WRITTEN = 0.25
"""Bytes written for each byte read, at least: for fewer the copies are not worth it."""
LIGHT = 4
"""Units of arithmetic (`compile_cost`) for a byte of traffic, up to which memory is what takes
time."""


def streamed(sweep: Sequence[SweepEquation], final: Collection[Var]) -> frozenset[Var]:
    """Which results of a sweep go past the cache; `final` are those that nothing reads again."""
    reads, writes = traffic(sweep, final)
    read, written = (sum(v.aval.nbytes for v in values) for values in (reads, writes))
    moved = read + written
    if moved * PARTS <= cache_bytes() or written < LEAST_WRITTEN * read:
        return frozenset()
    if written <= read and arithmetic(sweep) > LIGHT * moved:
        return frozenset()
    return frozenset([v for v in writes if v.aval.nbytes * SHARE >= cache_bytes()])


def traffic(sweep: Sequence[SweepEquation], stored: Collection[Var]) -> tuple[set[Var], set[Var]]:
    """What a sweep reads by rows, and what of `stored` it writes so."""
    writes = {s.equation.outputs[0] for s in sweep if s.axis is not None} & set(stored)
    reads = {
        x
        for s in sweep
        for x, use in zip(s.equation.operands, s.uses, strict=True)
        if use.kind == "rows" and type(x) is Var
    }
    return reads, writes


def arithmetic(sweep: Sequence[SweepEquation]) -> int:
    """What a sweep computes, in units of `compile_cost`."""
    equations = [s for s in sweep if s.equation.primitive.role is Role.ELEMENTWISE]
    return sum(compile_cost(s) * s.equation.outputs[0].aval.size for s in equations)


def block_lines(
    arguments: Sequence[Argument],
    streams: Collection[Var],
    block: int,
    scratch: dict[str, tuple[str, int]],
) -> tuple[list[str], list[str]]:
    """Lines that name the rows of a block of each array, and lines that copy those in `streams` on
    from scratch."""
    names, copies = [], []
    for a in arguments:
        if a.kind != "rows":
            continue
        size = size_of(inner(a.var.aval.shape, a.axis))
        rows = f"{a.name}[{size} * b0:{size} * (b0 + n)]"
        if a.var in streams and a.name.startswith("o"):
            scratch[f"{a.name}s"] = (kind_of(a.var), size * block)
            names.append(f"{a.name}b = {a.name}s[0:{size} * n]")
            copies.append(f"stream({a.name}b, {rows})")
        else:
            names.append(f"{a.name}b = {rows}")
    return names, copies
