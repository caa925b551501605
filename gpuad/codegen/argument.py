"""What a generated sweep is: its text, its arguments, its types."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpuad.ir.graph import Equation, Literal, Var
from gpuad.ir.half import is_half
from gpuad.ir.single import MOVES
from gpuad.plan.plan import SweepEquation

TYPES = {"f4": "f32", "f8": "f64", "i4": "i32", "i8": "i64", "b1": "b1"}
"""What generated text calls the types in which it computes, by NumPy's code."""
HALF = {"f2": "f16", "V2": "bf16"}
"""The same of half precision, which is loaded and stored, and computed with as float32 (see
`transforms.half_precision`). To NumPy, bfloat16 is a type that a library has added."""
STORED = {**TYPES, **HALF}
HALF_TYPES = tuple(HALF.values())


@dataclass(frozen=True)
class Filled:
    """How a table is read whose rows, of `width` elements each, are filled up to a greater
    `length`: each then begins where a vector may."""

    width: int
    length: int


@dataclass(frozen=True)
class Argument:
    """An array that a sweep reads or writes: `kind` is "rows", "free" or "sum"."""

    name: str
    var: Var
    kind: str
    axis: int | None
    order: tuple[int, ...] | None = None
    """For a "free" array: the order of its axes in which the sweep reads it, if not its own."""
    base: Var | None = None
    """For a "sum": what it is added to."""
    filled: Filled | None = None
    """For a "free" array: how its rows are filled up, if they are."""

    @property
    def form(self) -> "tuple[int, ...] | Filled | None":
        """How the array has to lie in memory; None for its own order of axes."""
        return self.filled or self.order


@dataclass
class SweepSource:
    """A generated sweep: its text, its arguments in order, its scratch (type and size by name)."""

    text: str
    reads: list[Argument]
    writes: list[Argument]
    sums: list[Argument]
    scratch: dict[str, tuple[str, int]]
    block: int
    calls_blas: bool
    """Whether it may call BLAS, which is then held to one thread."""
    width: int
    """Values that a row takes through the longest loop: a measure of its work."""
    slow: str | None = None
    """The same with functions that are right everywhere, if the sweep has any that are not."""

    @property
    def types(self) -> list[str]:
        """The types of all arguments in order, as source text."""
        kinds = [f"read({kind_of(a.var)})" for a in self.reads]
        kinds += [f"write({kind_of(a.var)})" for a in self.writes]
        kinds += ["write(f64)"] * len(self.sums)
        return [*kinds, *[f"write({k})" for k, _ in self.scratch.values()], "int64", "int64"]


def kind_of(x: Any) -> str:
    """The type of a value, as generated text calls it."""
    return STORED[x.aval.dtype.str[1:]]


def has_form(e: Equation) -> bool:
    """Whether values of these types can be in generated text: those in half precision are moved, or
    converted from and to float32."""
    values = (*e.operands, *e.outputs)
    if all(x.aval.dtype.str[1:] in TYPES for x in values):
        return True
    if not all(x.aval.dtype.str[1:] in STORED for x in values):
        return False
    if e.primitive.converts:
        return "f32" in map(kind_of, values)
    literals = [x for x in e.operands if type(x) is Literal]
    return e.primitive.role in MOVES and not any(is_half(x.aval.dtype) for x in literals)


def text_of(e: Equation) -> str:
    """The scalar text of an equation in generated text, where half precision has functions of its
    own."""
    if e.primitive.converts:
        (x,), (v,) = e.operands, e.outputs
        if is_half(x.aval.dtype):
            return f"from_{kind_of(x)}(x)"
        if is_half(v.aval.dtype):
            return f"to_{kind_of(v)}(x)"
    return e.primitive.scalar_text(e.params)


def main_kind(sweep: Sequence[SweepEquation]) -> str:
    """The floating-point type that the functions of a sweep have, unless a suffix says another."""
    kinds = [kind_of(s.equation.outputs[0]) for s in sweep]
    return next((k for k in kinds if k in ("f32", "f64")), "f64")


def typed_as(e: Equation, main: str) -> tuple[str, str, str]:
    """The type of numbers in the text of an equation, that of its result, and the suffix of its
    functions."""
    kind = kind_of(e.operands[e.primitive.scalars_like])
    suffix = f"_{kind}" if kind in ("f32", "f64") and kind != main else ""
    return kind, kind_of(e.outputs[0]), suffix


def number_text(value: Any) -> str:
    """A literal as typed source text."""
    kind = TYPES[value.dtype.str[1:]]
    return f"{kind}({value.item()!r})"
