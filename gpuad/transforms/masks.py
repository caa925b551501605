"""Masks: the lanes of a value that are not dropped, written out only where they are needed.

A mask is a conjunction of factors, in the order in which they were first met. Long elementwise
chains share one; a factor becomes a mark (a value of the graph, see `keep`) when it is asked for.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval, real_dtype
from gpuad.ir.graph import Atom, Equation, Literal, Var
from gpuad.ir.primitive import full, zeros
from gpuad.primitives import elementwise as ew
from gpuad.primitives.reduction import kept_any, without
from gpuad.primitives.structure import broadcast

MOST_TERMS = 16
"""The most masks of a union. Of more, `any_seed` is taken, which has all their lanes."""
MOST_FACTORS = 8
"""The most factors of a mask. Further ones are left out, so that it has more lanes."""


@dataclass(frozen=True, eq=False)
class Factor:
    """One condition for a lane not to be dropped.

    Its mark is what `make` gives for the marks of `masks`, which are masks of values of `avals`.
    """

    serial: int
    masks: tuple["Mask", ...]
    avals: tuple[Aval, ...]
    make: Callable[..., Atom | None]
    normalized: bool = False
    """Whether it is a weight whose sum is never zero (a softmax): a sum over it drops no lane."""


Mask = tuple[Factor, ...] | None
EVERY: Mask = None
"""No lane is known to be dropped."""
_NOTHING = Factor(-1, (), (), lambda: None)
NOWHERE: Mask = (_NOTHING,)
"""Every lane is dropped."""


def intersection(a: Mask, b: Mask) -> Mask:
    """Lanes that are in both."""
    if a is None or b is None or a == b:
        return b if a is None else a
    if a == NOWHERE or b == NOWHERE:
        return NOWHERE
    factors = sorted({*a, *b}, key=lambda f: f.serial)
    return tuple(factors[:MOST_FACTORS])


class Masks:
    """The masks of one graph; equal ones are the same object."""

    def __init__(self) -> None:
        self.seeds: list[Atom] = []
        self._factors: dict[Any, Factor] = {}
        self._marks: dict[Factor, Atom | None] = {}
        self._whole: dict[Any, Atom | None] = {}

    def _factor(
        self, key: Any, make: Callable[..., Atom | None], masks: Sequence[Mask] = (),
        avals: Sequence[Aval] = (), normalized: bool = False,
    ) -> Mask:  # fmt: skip
        found = self._factors.get(key)
        if found is None:
            real = tuple([a.with_dtype(real_dtype(a.dtype)) for a in avals])
            found = Factor(len(self._factors), tuple(masks), real, make, normalized)
            self._factors[key] = found
        return (found,)

    def marked(self, m: Atom, normalized: bool = False) -> Mask:
        """The lanes where this mark is not zero."""
        if type(m) is Literal:
            return EVERY if m.value else NOWHERE
        return self._factor(m, lambda: m, normalized=normalized)

    def not_marked(self, m: Atom) -> Mask:
        """The lanes where this boolean is false."""
        if type(m) is Literal:
            return NOWHERE if m.value else EVERY
        return self._factor(("not", m), lambda: ew.invert(m))

    def any_seed(self) -> Mask:
        """Every lane if any element of a seed is not zero, and none if all are zero."""
        return self._factor("seeds", self._seed_mark) if self.seeds else EVERY

    def union(self, a: Mask, b: Mask, aval: Aval) -> Mask:
        """Lanes that are in either, or some more."""
        if a is None or b is None or a == b or b == NOWHERE:
            return None if b is None else a
        if a == NOWHERE:
            return b
        common = tuple([f for f in a if f in b])
        if common:
            rest = [tuple([f for f in m if f not in common and not f.normalized]) for m in (a, b)]
            if not rest[0] or not rest[1]:
                return common
            return intersection(common, self.union(rest[0], rest[1], aval))
        a, b = [tuple([f for f in m if not f.normalized]) or m for m in (a, b)]
        terms = {m: None for mask in (a, b) for m in self._terms(mask)}
        if len(terms) > MOST_TERMS:
            return self.any_seed()
        masks = tuple(sorted(terms, key=lambda m: [f.serial for f in m]))
        return self._factor(("any", masks, aval), _either, masks, [aval] * len(masks))

    @staticmethod
    def _terms(mask: Any) -> tuple[Any, ...]:
        (first, *rest) = mask
        return first.masks if not rest and first.make is _either else (mask,)

    def moved(
        self, e: Equation, masks: Sequence[Mask], avals: Sequence[Aval], rest: Sequence[Atom],
        positive: bool = False,
    ) -> Mask:  # fmt: skip
        """The mask of the result of an operation that moves elements of operands with these masks.

        With `positive` the operation may also add them: marks are made 0 and 1 then, so that no sum
        of them cancels.
        """
        padding = positive or e.primitive.name == "pad"
        if not padding and all(m == masks[0] for m in masks):
            if masks[0] is None or masks[0] == NOWHERE or self._same_everywhere(masks[0]):
                return masks[0]
        dtype = real_dtype(avals[0].dtype)

        def make(*marks: Atom) -> Atom:
            moved = [as_number(m, dtype) if positive else ew.as_mark(m, dtype) for m in marks]
            return e.primitive(*moved, *rest, **e.params)

        # The factors of a single operand are moved one by one.
        groups = [(m,) for m in _parts(masks[0])] if len(masks) == 1 else [tuple(masks)]
        key = (e.primitive, *e.params.items(), *[x if type(x) is Var else x.key for x in rest])
        normalized = [m is None or all(f.normalized for f in m) for m in masks]
        parts = [
            self._factor((key, *g, *avals), make, g, avals, all(normalized) and not padding)
            for g in groups
        ]
        return functools.reduce(intersection, parts)

    def counted(
        self, primitive: Any, params: dict[str, Any], masks: Sequence[Mask], avals: Sequence[Aval]
    ) -> Mask:
        """Lanes where this operation, of sums and products, is not zero for operands of 0 and 1
        with these masks."""
        if all(m is EVERY for m in masks):
            return EVERY
        if NOWHERE in masks:
            return NOWHERE
        dtype = real_dtype(avals[0].dtype)

        def make(*marks: Atom) -> Atom:
            return primitive(*[as_number(m, dtype) for m in marks], **params)

        return self._factor((primitive, *params.items(), *masks, *avals), make, masks, avals)

    def _same_everywhere(self, mask: Any) -> bool:
        return mask == self.any_seed()

    def any(self, mask: Mask, axes: tuple[int, ...], aval: Aval) -> Mask:
        """Lanes left by a reduction over `axes` of which some are in the mask."""
        if mask is None or not axes or mask == NOWHERE or self._same_everywhere(mask):
            return mask
        mask = tuple([f for f in mask if not f.normalized])
        if not mask:
            return EVERY

        def make(m: Atom) -> Atom:
            if not m.aval.size:
                return zeros(Aval(without(m.aval.shape, axes), real_dtype(aval.dtype)))
            return kept_any(ew.as_mark(m, real_dtype(aval.dtype)), axes=axes)

        parts = [self._factor((kept_any, m, axes, aval), make, [m], [aval]) for m in _parts(mask)]
        return functools.reduce(intersection, parts)

    def spread(self, mask: Mask, aval: Aval, shape: Any, dims: tuple[int, ...]) -> Mask:
        """The mask of a value of this aval, repeated along the other axes of `shape`."""
        if mask is None or mask == NOWHERE or self._same_everywhere(mask):
            return mask

        def make(m: Atom) -> Atom:
            return broadcast(m, shape=shape, dims=dims)

        parts = [
            self._factor((broadcast, m, shape, dims, aval), make, [m], [aval]) for m in _parts(mask)
        ]
        return functools.reduce(intersection, parts)

    # Writing them out

    def mark(self, mask: Mask, aval: Aval) -> Atom | None:
        """The mark of a value of this aval, or None if every lane is dropped."""
        assert mask is not None
        todo = list(mask)
        while todo:
            f = todo[-1]
            inner = [g for m in f.masks if m is not None for g in m]
            missing = [g for g in inner if g not in self._marks]
            if f in self._marks or not missing:
                todo.pop()
            if f not in self._marks and not missing:
                self._marks[f] = f.make(*map(self._inner, f.masks, f.avals))
            todo.extend(missing)
        return self._joined(mask, aval)

    def _inner(self, mask: Mask, aval: Aval) -> Atom:
        """The mark of a mask whose factors have marks already; ones or zeros for every lane or
        none."""
        found = full(aval, 1) if mask is None else self._joined(mask, aval)
        return zeros(aval) if found is None else found

    def _joined(self, mask: Any, aval: Aval) -> Atom | None:
        key = (mask, aval.shape)
        if key not in self._whole:
            found: Atom | None = None
            for f in mask:
                m = self._marks[f]
                if m is None:
                    found = None
                    break
                if m.aval.shape != aval.shape:
                    m = broadcast(m, shape=aval.shape, dims=())
                found = m if found is None else _and(found, m)
            self._whole[key] = found
        return self._whole[key]

    def _seed_mark(self) -> Atom:
        found: Atom | None = None
        for seed in self.seeds:
            m = as_number(seed, real_dtype(seed.aval.dtype))
            if seed.aval.shape:
                m = kept_any(m, axes=tuple(range(seed.aval.ndim)))
            found = m if found is None else _or(found, m)
        assert found is not None
        return found


def _parts(mask: Any) -> list[Mask]:
    return [EVERY] if mask is None else [(f,) for f in mask]


def _either(*marks: Atom) -> Atom:
    return functools.reduce(_or, marks)


def as_number(m: Atom, dtype: np.dtype) -> Atom:
    """The mark as 0 and 1."""
    if m.aval.dtype.kind == "b":
        return ew.as_weight(m, zeros(Aval((), dtype)))
    return ew.either(m, zeros(Aval(m.aval.shape, dtype)))


def _is_bool(m: Atom) -> bool:
    return m.aval.dtype.kind == "b"


def _and(m: Atom, n: Atom) -> Atom:
    if _is_bool(m) and _is_bool(n):
        return ew.bit_and(m, n)
    return ew.both(n, m) if _is_bool(n) else ew.both(m, n)


def _or(m: Atom, n: Atom) -> Atom:
    if _is_bool(m) and _is_bool(n):
        return ew.bit_or(m, n)
    return ew.either(n, m) if _is_bool(n) else ew.either(m, n)
