"""Waiting in compiled code for a number that another thread writes."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

HINTS = {
    "x86_64": ("llvm.x86.sse2.pause",),
    "aarch64": ("llvm.aarch64.hint", 1),
    "arm64": ("llvm.aarch64.hint", 1),
}
"""The processor's hint that a thread only waits, and its operands."""


@intrinsic
def load_acquire(typing, array, i):
    """Element i of an int64 array as another thread has left it, and all it wrote before."""

    def build(context, builder, signature, arguments):
        kind, _ = signature.args
        x = context.make_array(kind)(context, builder, arguments[0])
        place = cgutils.get_item_pointer(context, builder, kind, x, [arguments[1]])
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(array, types.int64), build


@intrinsic
def pause(typing):
    """Lets the other thread of a core go first for a moment, where the processor can be told."""

    def build(context, builder, signature, arguments):
        name, *operands = HINTS.get(builder.module.triple.split("-")[0], ("llvm.donothing",))
        numbers = [ir.Constant(ir.IntType(32), n) for n in operands]
        kind = ir.FunctionType(ir.VoidType(), [n.type for n in numbers])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), numbers)
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def sched_yield(typing):
    """The C library's: lets another thread that is ready run on this core."""

    def build(context, builder, signature, arguments):
        kind = ir.FunctionType(ir.IntType(32), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])

    return types.int32(), build


NAMES = {"load_acquire": load_acquire, "pause": pause, "sched_yield": sched_yield}
"""Globals for generated text."""
