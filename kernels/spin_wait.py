"""Waiting in compiled code for a number that another thread writes."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from . import numba_parts as parts

HINTS = {
    "x86_64": ("llvm.x86.sse2.pause", ()),
    "aarch64": ("llvm.aarch64.hint", (1,)),
    "arm64": ("llvm.aarch64.hint", (1,)),
}
"""The processor's hint that a thread only waits, and its operands."""


@intrinsic
def load_acquire(typing, array, i):
    """Element i of an int64 array as another thread has left it, and all it wrote before."""

    def build(context, builder, signature, arguments):
        data, _ = parts.data_and_count(context, builder, array, arguments[0])
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(array, types.int64), build


@intrinsic
def pause(typing):
    """Lets the other thread of a core go first for a moment, where the processor can be told."""

    def build(context, builder, signature, arguments):
        processor = builder.module.triple.split("-")[0]
        name, operands = HINTS.get(processor, ("llvm.donothing", ()))
        numbers = [ir.Constant(ir.IntType(32), n) for n in operands]
        parts.call_external(builder, ir.VoidType(), name, numbers)
        return parts.nothing(context)

    return types.void(), build


@intrinsic
def sched_yield(typing):
    """The C library's: lets another thread that is ready run on this core."""

    def build(context, builder, signature, arguments):
        return parts.call_external(builder, ir.IntType(32), "sched_yield", [])

    return types.int32(), build


NAMES = {"load_acquire": load_acquire, "pause": pause, "sched_yield": sched_yield}
"""Globals for generated text."""
