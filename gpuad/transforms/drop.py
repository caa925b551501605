"""What is dropped does not count (P3 of the conventions): a pass over a finished derivative graph.

The rules of derivatives emit plain products. In a lane that is dropped (by a select, a weight that
is zero, padding, a zero seed) such a product is zero times something, and if that is infinite or
NaN, so is the product. This pass finds for each value its *mask*, the lanes that are not dropped,
and puts `keep(mask, value)` where a value that may be wrong in dropped lanes leaves them: in a sum
over them, beside values with another mask, as a result. In between, elementwise, dropped lanes may
hold anything.

Only structure drops, never a value that happens to be zero, and only values that depend on a seed
are touched. Where nothing can be infinite or NaN (`Bounds`), the graph stays as it is.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.ir.aval import Aval, real_dtype
from gpuad.ir.build import Builder, building
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.primitive import full, is_inexact, zeros
from gpuad.ir.ranges import SINGULAR, UNKNOWN
from gpuad.primitives import elementwise as ew
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.cumulative import cumsum
from gpuad.transforms.bounds import Bounds
from gpuad.transforms.guards import MARKED, WITH_MARKS
from gpuad.transforms.masks import EVERY, NOWHERE, Mask, Masks, intersection
from gpuad.transforms.memo import memo

Flags = tuple[bool, ...]


@memo
def dropping(graph: Graph, seeds: Flags, moving: Flags, zero_seeds: bool = True) -> Graph:
    """The derivative graph in which dropped lanes do not count.

    `seeds` are the inputs that it is linear in, and `moving` those by which it was differentiated.
    A value that depends on neither is a weight, and drops where it is zero. With `zero_seeds`, a
    seed drops where it is zero too.
    """
    bounds = Bounds(graph)
    if not any(r.singular for r in bounds.of.values()) and not _has_nonfinite_literal(graph):
        return graph
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        walk = _Dropping(graph, bounds, inputs, seeds, moving)
        if zero_seeds:
            walk.drop_zero_seeds(inputs)
        return builder.graph(walk.run(builder), graph.captured)


def dropping_by_seeds(graph: Graph, active: Flags, zero_seeds: bool = True) -> Graph:
    """`dropping` for a graph whose inputs are primals, differentiated by the active ones, and then
    seeds."""
    n = len(active)
    seeds = tuple([i >= n for i in range(len(graph.inputs))])
    return dropping(graph, seeds, (*active, *[False] * (len(seeds) - n)), zero_seeds)


def _has_nonfinite_literal(graph: Graph) -> bool:
    literals = [x for e in graph.equations for x in e.operands if type(x) is Literal]
    return any(not np.isfinite(x.value) for x in literals if is_inexact(x.aval.dtype))


@memo
def _dropping_held(
    graph: Graph, linear: Flags, moving: Flags, singular: Flags, marked: Flags
) -> Graph:
    """`dropping` for a held graph, with one more input for the mark of each operand that has
    one."""
    with building(Builder(graph.name)) as builder:
        inputs = [builder.input(a) for a in graph.in_avals]
        bounds = Bounds(graph, [SINGULAR if on else UNKNOWN for on in singular])
        walk = _Dropping(graph, bounds, inputs, linear, moving)
        for v, on in zip(graph.inputs, marked, strict=True):
            if on:
                mark = builder.input(Aval(v.aval.shape, real_dtype(v.aval.dtype)))
                walk.mask[v] = walk.masks.marked(mark)
        return builder.graph(walk.run(builder), graph.captured)


class _Dropping:
    """The walk over the equations of a graph.

    Attributes
    ----------
    linear, moving
        The values that depend on a seed, and on a seed or an input of the differentiation.
    mask
        The lanes of a value that are not dropped; every lane, where it has none.
    dirty
        The values that may be other than zero in lanes that are dropped.
    """

    def __init__(
        self, graph: Graph, bounds: Bounds, inputs: Sequence[Var], linear: Flags, moving: Flags
    ):
        self.graph = graph
        self.bounds = bounds
        self.env: dict[Any, Atom] = dict(zip(graph.inputs, inputs, strict=True))
        self.linear = {v for v, on in zip(graph.inputs, linear, strict=True) if on}
        flags = zip(graph.inputs, linear, moving, strict=True)
        self.moving = {v for v, seed, on in flags if seed or on}
        self.masks = Masks()
        self.mask: dict[Any, Mask] = {}
        self.dirty: set[Any] = set()
        self.cleaned: dict[Any, Atom] = {}

    def drop_zero_seeds(self, inputs: Sequence[Var]) -> None:
        for v, new in zip(self.graph.inputs, inputs, strict=True):
            if v in self.linear:
                self.mask[v] = self.masks.marked(new)
                self.masks.seeds.append(new)

    def run(self, builder: Builder) -> list[Atom]:
        for e in self.graph.equations:
            builder.where = e.where
            if not self.linear.isdisjoint(e.operands):
                self.linear.update(e.outputs)
            if not self.moving.isdisjoint(e.operands):
                self.moving.update(e.outputs)
            rule = RULES.get(e.primitive.name)
            if rule is None:
                rule = _Dropping._moves if e.primitive.moves != 0 else _Dropping._other
            rule(self, e)
        builder.where = None
        return [self._clean(x) for x in self.graph.outputs]

    # What is known of a value

    def _mask(self, x: Any) -> Mask:
        """The lanes of a value that are not dropped; of a weight, those where it is not zero."""
        if x in self.mask:
            return self.mask[x]
        r = self.bounds(x)
        if (r.low, r.high, r.singular) == (0, 0, False):
            return NOWHERE
        constant = type(x) is Var and x not in self.moving and is_inexact(x.aval.dtype)
        if not constant or r.without_zero:
            return EVERY
        return self.masks.marked(self.env[x])

    def _bad(self, x: Any) -> bool:
        """Whether it may be infinite or NaN, in lanes that are dropped or not."""
        return x in self.dirty or self.bounds.singular(x)

    def _atom(self, x: Any) -> Atom:
        return self.env[x] if type(x) is Var else x

    def _clean(self, x: Any) -> Atom:
        """The new value, with zeros in dropped lanes if it depends on a seed."""
        if x not in self.dirty or x not in self.linear:
            return self._atom(x)
        if x not in self.cleaned:
            mark = self.masks.mark(self.mask[x], x.aval)
            value = self.env[x]
            self.cleaned[x] = zeros(x.aval) if mark is None else ew.keep(mark, value, guard=True)
        return self.cleaned[x]

    # Recording

    def _record(self, e: Equation, operands: Iterable[Atom], mask: Mask = EVERY,
                dirty: bool = False) -> None:  # fmt: skip
        """Records an equation with these operands; `mask` and `dirty` are of its first result."""
        result = e.primitive(*operands, **e.params)
        outputs = result if e.primitive.multiple else (result,)
        self.env.update(zip(e.outputs, outputs, strict=True))
        self._set(e.outputs[0], mask, dirty)

    def _set(self, v: Var, mask: Mask, dirty: bool) -> None:
        if mask is not EVERY:
            self.mask[v] = mask
            if dirty:
                self.dirty.add(v)

    def _atoms(self, e: Equation) -> list[Atom]:
        return [self._atom(x) for x in e.operands]

    def _product(self, e: Equation) -> None:
        x, y = e.operands
        mx, my = self._mask(x), self._mask(y)
        dirty = x in self.dirty or y in self.dirty
        dirty |= (mx is not EVERY and self._bad(y)) or (my is not EVERY and self._bad(x))
        self._record(e, self._atoms(e), intersection(mx, my), dirty)

    def _quotient(self, e: Equation) -> None:
        x, y = e.operands
        singular = self._bad(y) or not self.bounds(y).without_zero
        dirty = x in self.dirty or singular
        self._record(e, self._atoms(e), self._mask(x), dirty)

    def _through(self, e: Equation) -> None:
        """What is zero where its operand is, and finite where that is."""
        (x,) = e.operands
        if x.aval.dtype.kind == "b":
            self._record(e, self._atoms(e), self.masks.marked(self._atom(x)))
        else:
            self._record(e, self._atoms(e), self._mask(x), x in self.dirty)

    def _sum(self, e: Equation) -> None:
        x, y = e.operands
        mx, my = self._mask(x), self._mask(y)
        if mx == my:
            self._record(e, self._atoms(e), mx, x in self.dirty or y in self.dirty)
        elif self._can_be_clean(e):
            union = self.masks.union(mx, my, e.outputs[0].aval)
            self._record(e, (self._clean(x), self._clean(y)), union)
        else:
            self._other(e)

    def _can_be_clean(self, e: Equation) -> bool:
        """Whether its operands are zero in lanes that are dropped, or may be made so."""
        return e.outputs[0] in self.linear or self.dirty.isdisjoint(e.operands)

    def _select(self, e: Equation) -> None:
        c, x, y = e.operands
        if e.outputs[0] not in self.linear:
            # A zero that the user's function chooses is a value like others, unless it chooses
            # between constants: then it is a weight.
            if self.moving.isdisjoint((x, y)):
                self._record(e, self._atoms(e), EVERY)
                self._set(e.outputs[0], self.masks.marked(self.env[e.outputs[0]]), False)
                return
            clean = self._can_be_clean(e)
            union = self.masks.union(self._mask(x), self._mask(y), e.outputs[0].aval)
            self._record(e, self._atoms(e), union if clean else EVERY)
            return
        chosen = self.masks.marked(self._atom(c)), self.masks.not_marked(self._atom(c))
        mx, my = [intersection(m, self._mask(z)) for m, z in zip(chosen, (x, y), strict=True)]
        operands = (self._atom(c), self._clean(x), self._clean(y))
        self._record(e, operands, self.masks.union(mx, my, e.outputs[0].aval))

    def _keep(self, e: Equation) -> None:
        m, x = self._clean(e.operands[0]), e.operands[1]
        mask = intersection(self.masks.marked(m), self._mask(x))
        # A guard of a lower order has cleaned what was dirty there.
        clean = e.params["guard"] and e.outputs[0] not in self.linear
        self._record(e, (m, self._atom(x)), mask, x in self.dirty and not clean)

    def _moves(self, e: Equation) -> None:
        count = e.primitive.moves
        moved = e.operands[:count]
        made = [self._mask(x) for x in moved]
        dirty = not self.dirty.isdisjoint(moved)
        rest = [self._atom(x) for x in e.operands[len(moved) :]]
        avals = [x.aval for x in moved]
        self._record(e, self._atoms(e), self.masks.moved(e, made, avals, rest), dirty)

    def _reduce_sum(self, e: Equation) -> None:
        (x,) = e.operands
        if self._can_be_clean(e):
            mask = self.masks.any(self._mask(x), e.params["axes"], x.aval)
            self._record(e, (self._clean(x),), mask)
        else:
            self._other(e)

    def _adds(self, e: Equation) -> None:
        """A lane of a sum of elements counts where the same sum of marks of 0 and 1 is not zero."""
        count = sum(is_inexact(x.aval.dtype) for x in e.operands)
        if not count or not self._can_be_clean(e):
            self._other(e)
            return
        operands = [self._clean(x) for x in e.operands]
        added = e.operands[:count]
        masks, avals = [self._mask(x) for x in added], [x.aval for x in added]
        mask = self.masks.moved(e, masks, avals, operands[count:], positive=True)
        self._record(e, operands, mask)

    def _dot(self, e: Equation) -> None:
        out = e.outputs[0]
        *marks, x, y = e.operands
        masks = [self._mask(x), self._mask(y)]
        for k, m in enumerate(marks):  # of an order below
            masks[k] = intersection(masks[k], self.masks.marked(self._clean(m)))
        mx, my = masks
        singular = (mx is not EVERY and self._bad(y)) or (my is not EVERY and self._bad(x))
        if not self._can_be_clean(e) or (singular and out not in self.linear and not marks):
            self._other(e)
            return
        operands = (self._clean(x), self._clean(y))
        if marks or singular:
            given = [self._mark_or_ones(m, z.aval) for m, z in ((mx, x), (my, y))]
            self.env[out] = MARKED.get(e.primitive, e.primitive)(*given, *operands, **e.params)
        else:
            self.env[out] = e.primitive(*operands, **e.params)
        plain = WITH_MARKS.get(e.primitive, e.primitive)
        if plain is dot_general:
            both = [self._by_axes(e, len(marks) + k, masks[k]) for k in (0, 1)]
            mask = intersection(*both)
        else:  # the axes of a convolution tell nothing
            mask = self.masks.counted(plain, e.params, masks, [x.aval, y.aval])
        self._set(out, mask, False)

    def _recursive(self, e: Equation) -> None:
        """What comes in at one place goes on to all that follow."""
        a, x = e.operands
        if not self._can_be_clean(e):
            return self._other(e)
        last = {"axis": x.aval.ndim - 1}
        mask = self.masks.counted(cumsum, last, [self._mask(x)], [x.aval])
        self._record(e, (self._clean(a), self._clean(x)), mask)

    def _mark_or_ones(self, mask: Mask, aval: Aval) -> Atom:
        if mask is EVERY:
            return full(Aval(aval.shape, np.dtype(bool)), True)
        mark = self.masks.mark(mask, aval)
        return full(Aval(aval.shape, np.dtype(bool)), False) if mark is None else mark

    def _by_axes(self, e: Equation, k: int, mask: Mask) -> Mask:
        """The lanes of the result that some lane of operand k, whose mask is given, goes into, as
        far as the axes of the primitive tell."""
        avals = [x.aval for x in e.operands]
        axes = e.primitive.axes(avals, [v.aval for v in e.outputs], **e.params)
        labels, result = axes.operands[k], axes.outputs[0]
        through = [a for a, name in enumerate(labels) if name is not None and name in result]
        dims = [result.index(labels[a]) for a in through]
        if dims != sorted(dims):
            return self.masks.any_seed()
        others = tuple([a for a in range(len(labels)) if a not in through])
        left = avals[k].with_shape(tuple([avals[k].shape[a] for a in through]))
        some = self.masks.any(mask, others, avals[k])
        return self.masks.spread(some, left, e.outputs[0].aval.shape, tuple(dims))

    def _checkpoint(self, e: Equation) -> None:
        if self.linear.isdisjoint(e.operands):
            self._other(e)
            return
        operands = [self._clean(x) for x in e.operands]
        marks = []
        for x in e.operands:
            mask = self._mask(x) if x in self.linear else EVERY
            marks.append(None if mask is EVERY else self._mark_or_ones(mask, x.aval))
        (held,) = e.primitive.held_graphs(e.params)
        graph = _dropping_held(
            held,
            tuple([x in self.linear for x in e.operands]),
            tuple([x in self.moving for x in e.operands]),
            tuple([self.bounds.singular(x) for x in e.operands]),
            tuple([m is not None for m in marks]),
        )
        given = [
            ew.as_mark(m, real_dtype(x.aval.dtype))
            for m, x in zip(marks, e.operands, strict=True) if m is not None
        ]  # fmt: skip
        results = e.primitive(*operands, *given, **e.primitive.with_graphs(e.params, [graph]))
        self.env.update(zip(e.outputs, results, strict=True))
        self._any_seed(e)

    def _any_seed(self, e: Equation) -> None:
        for v in e.outputs:
            if v in self.linear and is_inexact(v.aval.dtype):
                self._set(v, self.masks.any_seed(), False)

    def _other(self, e: Equation) -> None:
        result = e.primitive(*[self._clean(x) for x in e.operands], **e.params)
        outputs = result if e.primitive.multiple else (result,)
        self.env.update(zip(e.outputs, outputs, strict=True))
        out = e.outputs[0]
        if e.primitive.weight and out in self.moving:
            normalized = e.primitive.kind != "elementwise"
            self._set(out, self.masks.marked(self.env[out], normalized), False)
        nothing_known = e.primitive.kind != "linear" or not self._can_be_clean(e)
        if e.primitive.marks or (out not in self.linear and nothing_known):
            return
        if e.primitive.multiple:
            self._any_seed(e)
            return
        masks = [
            self._by_axes(e, k, self._mask(x))
            for k, x in enumerate(e.operands)
            if x in self.linear or (out not in self.linear and is_inexact(x.aval.dtype))
        ]
        if not masks:  # of integers, none of which is dropped
            return
        mask = NOWHERE
        for m in masks:
            mask = self.masks.union(mask, m, out.aval)
        self._set(out, mask, False)


RULES: dict[str, Any] = {
    "mul": _Dropping._product,
    "div": _Dropping._quotient,
    "div_or_zero": _Dropping._quotient,
    **dict.fromkeys(
        ("neg", "positive", "cast", "narrow", "real", "imag", "conj"), _Dropping._through
    ),
    "add": _Dropping._sum,
    "sub": _Dropping._sum,
    "select": _Dropping._select,
    "keep": _Dropping._keep,
    "reduce_sum": _Dropping._reduce_sum,
    "scatter_add": _Dropping._adds,
    "cumsum": _Dropping._adds,
    **{p.name: _Dropping._dot for pair in WITH_MARKS.items() for p in pair},
    "recursive_filter": _Dropping._recursive,
    "checkpoint": _Dropping._checkpoint,
}
"""The rules of operations by name. Those that move elements have `_moves`, all others `_other`."""
