"""Calls in a CUDA kernel's text as instructions: conversions, CUDA's functions, libdevice's and
single instructions of PTX."""

import ast
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from .cuda_expressions import BOOLEAN, KINDS, STORED, Expressions, Value, is_small, of_both
from .cuda_functions import APPROXIMATIONS, BITS, LIBDEVICE
from .emitting_expressions import check, unsupported

WHOLE_WARP = 0xFFFFFFFF


class Calls(Expressions):
    """Expressions with calls."""

    def _call(self, node: ast.Call) -> Any:
        name = ast.unparse(node.func)
        arguments = [self.expression(x) for x in node.args]
        if name in KINDS or name in STORED:
            (x,) = arguments
            return self.cast(x, STORED.get(name, name) if name != "b1" else name)
        if name in ("min", "max"):
            return self._extreme(name, *arguments)
        if name.startswith("cuda."):
            return self._of_cuda(name.removeprefix("cuda."), arguments)
        return self._function(name, arguments)

    def _extreme(self, name: str, x: Value, y: Value) -> Value:
        """Python's min and max, of integers."""
        check(x.kind[0] == y.kind[0] == "i", f"{name} of numbers that are no integers")
        small = all(is_small(v.low, v.high) for v in (x, y))
        a, b = (self.cast(v, "i32" if small else "i64") for v in (x, y))
        order = "<" if name == "min" else ">"
        chosen = self.builder.select(self.builder.icmp_signed(order, a.value, b.value), *(
            v.value for v in (a, b)
        ))  # fmt: skip
        best = min if name == "min" else max
        return Value(a.kind, chosen, of_both(best, x.low, y.low), of_both(best, x.high, y.high))

    def _of_cuda(self, name: str, arguments: Sequence[Value]) -> Any:
        emit = getattr(self, f"_{name}", None) if name in _OF_CUDA else None
        check(emit is not None, f"cuda.{name}")
        return emit(*arguments)  # type: ignore[misc]

    def _syncthreads(self) -> Any:
        return self.intrinsic("llvm.nvvm.barrier0", ir.VoidType(), [])

    def _syncwarp(self) -> Any:
        return self.intrinsic("llvm.nvvm.bar.warp.sync", ir.VoidType(), [_word(WHOLE_WARP)])

    def _shfl_sync(self, mask: Value, x: Value, other: Value, mode: int = 0) -> Value:
        """A value of another thread of the warp."""
        bits = self.builder.bitcast(x.value, KINDS["i32"])
        given = [_word(WHOLE_WARP), _word(mode), bits, self.cast(other, "i32").value, _word(31)]
        both = ir.LiteralStructType([KINDS["i32"], BOOLEAN])
        moved = self.intrinsic("llvm.nvvm.shfl.sync.i32", both, given)
        value = self.builder.extract_value(moved, 0)
        return Value(x.kind, self.builder.bitcast(value, KINDS[x.kind]))

    def _shfl_xor_sync(self, mask: Value, x: Value, other: Value) -> Value:
        return self._shfl_sync(mask, x, other, mode=3)

    def _match_any_sync(self, mask: Value, x: Value) -> Value:
        """The threads of the warp that have the same number, as bits."""
        given = [_word(WHOLE_WARP), self.cast(x, "i32").value]
        found = self.intrinsic("llvm.nvvm.match.any.sync.i32", KINDS["i32"], given)
        return Value("i64", self.builder.zext(found, KINDS["i64"]), 0, WHOLE_WARP)

    def _any_sync(self, mask: Value, condition: Value) -> Value:
        given = [_word(WHOLE_WARP), _word(1), self.cast(condition, "b1").value]
        both = ir.LiteralStructType([KINDS["i32"], BOOLEAN])
        found = self.intrinsic("llvm.nvvm.vote.sync", both, given)
        return Value("b1", self.builder.extract_value(found, 1))

    def _ffs(self, x: Value) -> Value:
        """The place of the lowest bit that is 1, counted from 1; 0 if there is none."""
        value = self.cast(x, "i64").value
        return Value("i32", self.intrinsic("__nv_ffsll", KINDS["i32"], [value]), 0, 64)

    def _popc(self, x: Value) -> Value:
        """How many bits are 1."""
        value = self.cast(x, "i64").value
        return Value("i32", self.intrinsic("__nv_popcll", KINDS["i32"], [value]), 0, 64)

    def _function(self, name: str, arguments: Sequence[Value]) -> Value:
        stem, _, kind = name.rpartition("_")
        if stem in LIBDEVICE and kind in ("f32", "f64"):
            values = [self.cast(x, kind).value for x in arguments]
            device = LIBDEVICE[stem] + ("f" if kind == "f32" else "")
            return Value(kind, self.intrinsic(f"__nv_{device}", KINDS[kind], values))
        if stem in APPROXIMATIONS and kind == "f32":
            return Value(kind, self._instruction(APPROXIMATIONS[stem], arguments))
        if name in _MOVES:
            result, device = _MOVES[name]
            values = [x.value for x in arguments]
            return Value(result, self.intrinsic(device, KINDS[result], values))
        if name in _BITCASTS:
            (x,) = arguments
            kind, before = _BITCASTS[name]
            return Value(kind, self.builder.bitcast(self.cast(x, before).value, KINDS[kind]))
        raise unsupported(ast.parse(f"{name}(...)").body[0])

    def _instruction(self, name: str, arguments: Sequence[Value]) -> Any:
        """An instruction of PTX that has one operand."""
        (x,) = arguments
        kind = KINDS["f32"]
        asm = ir.InlineAsm(ir.FunctionType(kind, [kind]), f"{name} $0, $1;", "=f,f")
        return self.builder.call(asm, [self.cast(x, "f32").value])


_OF_CUDA = (
    "any_sync", "ffs", "match_any_sync", "popc", "shfl_sync", "shfl_xor_sync", "syncthreads",
    "syncwarp",
)  # fmt: skip
"""The functions of `cuda` that kernels call."""
_MOVES = {
    "high_half": ("i32", f"__nv_{BITS['high_half']}"),
    "low_half": ("i32", f"__nv_{BITS['low_half']}"),
    "from_halves": ("f64", f"__nv_{BITS['from_halves']}"),
    "from_f16": ("f32", "__nv_half2float"),
    "to_f16": ("i16", "__nv_float2half_rn"),
}
"""Functions of libdevice on the bits of numbers, and the types of their results."""
_BITCASTS = {
    "as_f64": ("f64", "i64"), "as_i64": ("i64", "f64"),
    "bits_as_f32": ("f32", "i32"), "f32_as_bits": ("i32", "f32"),
}  # fmt: skip


def _word(number: int) -> Any:
    return ir.Constant(KINDS["i32"], number)
