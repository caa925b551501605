"""Copies whose parts are written by the loops that compute them.

A value that is put beside others, as the real parts of complex numbers are beside the imaginary
ones, needs no scratch: it is stored where the copy has it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gpuad.codegen.structure import covers, moved_view, parts_of, row_shape
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation


@dataclass(frozen=True)
class Place:
    """A part of the result of a copy, which has this shape in memory, where it may have another as
    the result of an equation."""

    result: SweepEquation
    shape: tuple[int, ...]
    part: tuple[slice, ...]

    def within(self, result: View, shape: tuple[int, ...]) -> View:
        """The part in a view of the result, for a value whose rows have this shape."""
        copied = result.through(lambda x: x.reshape(self.shape, copy=False))
        assert copied is not None
        part = copied.part(self.part)
        long = iter([stride for _, stride in _long_axes(part)])
        return replace(
            part, shape=shape, strides=tuple([0 if n == 1 else next(long) for n in shape])
        )


@dataclass
class PlacedCopies:
    """Where values are stored, and the equations that are left to be computed."""

    places: dict[Var, list[Place]] = field(default_factory=dict)
    equations: list[SweepEquation] = field(default_factory=list)


def placed_copies(
    equations: Sequence[SweepEquation],
    stored: Collection[Var],
    in_loop: Callable[[SweepEquation], bool],
) -> PlacedCopies:
    """The copies of a sweep that its loops can write. `stored` are the values that it leaves in
    memory; `in_loop` says of an equation whether a loop computes it."""
    made = {s.equation.outputs[0]: s for s in equations}
    readers: dict[Any, list[SweepEquation]] = {}
    for s in equations:
        for x in s.equation.operands:
            readers.setdefault(x, []).append(s)
    found, left_out = PlacedCopies(), set()
    for s in equations:
        (v,) = s.equation.outputs
        if s.equation.primitive.role is not Role.COPY or s.axis is None or not covers(s):
            continue
        result = _stored_as(s, stored, readers)
        if result is None:
            continue
        sources = [_source(x, made, readers, stored) for x in s.equation.operands]
        if all(y is not None and in_loop(made[y]) for y in sources):
            for y, part in zip(sources, parts_of(s), strict=True):
                found.places.setdefault(y, []).append(Place(result, row_shape(s), part))
            left_out |= {
                v,
                result.equation.outputs[0],
                *[x for x, y in zip(s.equation.operands, sources, strict=True) if x is not y],
            }
    found.equations = [s for s in equations if s.equation.outputs[0] not in left_out]
    return found


def _stored_as(
    s: SweepEquation, stored: Collection[Var], readers: dict[Any, list[SweepEquation]]
) -> SweepEquation | None:
    """The equation whose result is stored and has the elements of a copy in their order, if nothing
    else needs the copy: itself, or one that gives it another shape."""
    (v,) = s.equation.outputs
    if v in stored:
        return None if v in readers else s
    if len(readers.get(v, ())) != 1:
        return None
    (after,) = readers[v]
    (w,) = after.equation.outputs
    if after.axis is None or after.uses[0].kind != "block" or w not in stored or w in readers:
        return None
    shape = row_shape(s)
    view = moved_view(View("", shape, contiguous(shape), size_of(shape)), after)
    same = view is not None and view.flat and not view.offset
    return after if same else None


def _source(x: Any, made: Any, readers: Any, stored: Collection[Var]) -> Any:
    """What is stored in the place of an operand of a copy: itself, or what it is with axes of size
    1, if nothing else needs that. None if the sweep does not compute it."""
    s = made.get(x)
    if s is None or s.equation.primitive.role is not Role.VIEW:
        return None if s is None else x
    (y,) = s.equation.operands
    if y not in made or s.uses[0].kind != "block" or x in stored or len(readers[x]) > 1:
        return None
    shape = row_shape(made[y])
    before = View("", shape, contiguous(shape), 0)
    after = moved_view(before, s)
    same = after is not None and not after.offset and _long_axes(after) == _long_axes(before)
    return y if same else None


def _long_axes(view: View) -> list[tuple[int, int]]:
    """The sizes and strides of the axes that are longer than 1."""
    pairs = zip(view.shape, view.strides, strict=True)
    return [(n, stride) for n, stride in pairs if n != 1]
