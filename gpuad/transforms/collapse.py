"""Sums taken as early as they can be: before matrix products rather than after.

A sum over directions, as in a Laplacian, goes through what is linear in them: Σ_k (t_k W + u_k) is
(Σ_k t_k) W + Σ_k u_k. The second-order part of all directions becomes a single stream through the
network (collapsed Taylor mode: Dangel, Siebert, Zeinhofer and Walther 2025), and in the gradient of
a Laplacian the cotangents, equal for all directions, meet the sum of what they are multiplied with.

As with every sum in another order, results agree to rounding; where infinities of both signs would
have met in the sum, it may be infinite instead of NaN.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuad.ir.build import Builder, building
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.primitives import elementwise as ew
from gpuad.primitives.contraction import dot_general
from gpuad.primitives.reduction import count, reduce_sum
from gpuad.primitives.structure import broadcast, reshape, transpose
from gpuad.transforms.memo import memo
from gpuad.transforms.simplify import repeats, same_axes

DEPTH = 64
"""How many operations back from a sum a matrix product is looked for."""

Axes = tuple[int, ...]
Parts = list[tuple[Atom, Axes]]
"""Values that an equation needs, each with the axes that it is summed over (none: as it is)."""
Combine = Callable[..., Atom]


@memo
def collapse(graph: Graph) -> Graph:
    """The graph with sums moved before the matrix products that they commute with."""
    if not any(e.primitive is dot_general for e in graph.equations):
        return graph
    return _Collapse(graph).graph()


class _Collapse:
    def __init__(self, graph: Graph):
        self.old = graph
        self.made = {v: e for e in graph.equations for v in e.outputs}
        self.saves: dict[tuple[Atom, Axes], bool] = {}
        # The sums of each value that are asked for; () is the value itself.
        self.wanted: dict[Atom, dict[Axes, None]] = {v: {(): None} for v in graph.outputs}
        for e in reversed(graph.equations):
            self._demand(e)

    # Which sums are needed

    def _demand(self, e: Equation) -> None:
        for v in e.outputs:
            for axes in list(self.wanted.get(v, ())):
                for x, inner in self._parts(e, axes) or [(v, ()), *self._parts(e, ())]:
                    self.wanted.setdefault(x, {})[inner] = None

    def _parts(self, e: Equation, axes: Axes) -> Parts:
        """What the sum of this equation's result over `axes` is made of; empty: the result
        itself."""
        if axes:
            found = self._commuting(e, axes)
            if found and (e.primitive is broadcast or self._saves_product(e.outputs[0], axes)):
                return found[0]
            return []
        if e.primitive is reduce_sum:
            return [(e.operands[0], e.params["axes"])]
        parts: Parts = [(x, ()) for x in e.operands]
        for k, lost in enumerate(self._repeated(e)):
            if lost:
                parts[1 - k] = (e.operands[1 - k], tuple(sorted(lost.values())))
        return parts

    def _saves_product(self, x: Atom, axes: Axes, depth: int = 0) -> bool:
        """Whether the sum of `x` over `axes` saves part of a matrix product."""
        key = (x, axes)
        if key not in self.saves:
            e = self.made.get(x)  # type: ignore[arg-type]
            found = self._commuting(e, axes) if e is not None and depth < DEPTH else None
            self.saves[key] = found is not None and (
                e.primitive is dot_general  # type: ignore[union-attr]
                or any(inner and self._saves_product(y, inner, depth + 1) for y, inner in found[0])
            )
        return self.saves[key]

    def _commuting(self, e: Equation, axes: Axes) -> tuple[Parts, Combine] | None:
        """The parts that the sum of this equation's result over `axes` can be computed from, and
        the function that does; None if there are none."""
        name, operands = e.primitive.name, e.operands
        if name in ("add", "sub", "neg") and all(type(x) is Var for x in operands):
            return [(x, axes) for x in operands], e.primitive
        if name in ("mul", "div"):
            for k in (0, 1) if name == "mul" else (0,):
                found = self._without_factor(e, k, axes)
                if found:
                    return found
        if name == "broadcast" and repeats(e) and not set(axes) & set(e.params["dims"]):
            return self._repeated_sum(e, axes)
        if name == "transpose":
            perm = e.params["perm"]
            inner = tuple(sorted([perm[a] for a in axes]))
            left = _without([p for p in perm if p not in inner], set(inner))
            return [(operands[0], inner)], lambda x: transpose(x, perm=left)
        if name == "reshape":
            return _commuting_reshape(e, axes)
        return _commuting_product(e, axes) if name == "dot_general" else None

    def _without_factor(self, e: Equation, k: int, axes: Axes) -> tuple[Parts, Combine] | None:
        """Operand k summed, where the other one is the same all along `axes`."""
        x, w = e.operands[k], e.operands[1 - k]
        if type(x) is not Var:
            return None

        def combined(total: Atom, factor: Atom) -> Any:
            return e.primitive(total, factor) if k == 0 else e.primitive(factor, total)

        if type(w) is Literal:
            return [(x, axes), (w, ())], combined
        source = self.made.get(w)
        if source is None or not repeats(source) or set(axes) & set(source.params["dims"]):
            return None
        spread = _spread_without(source, set(axes))
        parts: Parts = [(x, axes), (source.operands[0], ())]
        return parts, lambda total, factor: combined(total, spread(factor))

    @staticmethod
    def _repeated_sum(e: Equation, axes: Axes) -> tuple[Parts, Combine]:
        times = float(count(e.params["shape"], axes))
        spread = _spread_without(e, set(axes))
        return [(e.operands[0], ())], lambda x: ew.mul(times, spread(x))

    def _repeated(self, e: Equation) -> list[dict[int, int]]:
        """For each operand of a product, the contracted axes along which it repeats one value, each
        with its partner in the other operand."""
        if e.primitive is not dot_general:
            return []
        lost: list[dict[int, int]] = [{}, {}]
        for pair in zip(*e.params["contract"], strict=True):
            for k, x in enumerate(e.operands):
                source = self.made.get(x)  # type: ignore[arg-type]
                if repeats(source) and pair[k] not in source.params["dims"]:  # type: ignore[union-attr]
                    lost[k][pair[k]] = pair[1 - k]
                    break
        return [lost[0], {} if lost[0] else lost[1]]

    # The new graph

    def graph(self) -> Graph:
        with building(Builder(self.old.name)) as builder:
            self.new: dict[tuple[Atom, Axes], Atom] = {}
            for v in self.old.inputs:
                self.new[v, ()] = builder.input(v.aval)
            for e in self.old.equations:
                builder.where = e.where
                for v in e.outputs:
                    for axes in sorted(self.wanted.get(v, ()), key=len):
                        if (v, axes) not in self.new:
                            self._build(builder, e, v, axes)
            outputs = [self.value(x, ()) for x in self.old.outputs]
            return builder.graph(outputs, self.old.captured)

    def value(self, x: Atom, axes: Axes) -> Atom:
        if type(x) is Literal:
            return x
        if (x, axes) not in self.new:
            self.new[x, axes] = reduce_sum(self.new[x, ()], axes=axes)
        return self.new[x, axes]

    def _build(self, builder: Builder, e: Equation, v: Var, axes: Axes) -> None:
        parts = self._parts(e, axes)
        operands = [self.value(x, inner) for x, inner in parts]
        lost = self._repeated(e)
        if axes:
            if parts:
                self.new[v, axes] = self._commuting(e, axes)[1](*operands)  # type: ignore[index]
            return
        if e.primitive is reduce_sum:
            results: Any = operands
        elif any(lost):
            results = [self._reduced_product(e, operands, lost)]
        else:
            result = builder.add(e.primitive, tuple(operands), e.params)
            results = result if e.primitive.multiple else (result,)
        for out, result in zip(e.outputs, results, strict=True):
            self.new[out, ()] = result

    def _reduced_product(
        self, e: Equation, operands: list[Atom], lost: list[dict[int, int]]
    ) -> Atom:
        """The product over the contracted axes along which neither operand is repeated."""
        k = 0 if lost[0] else 1
        gone = [set(lost[k]), set(lost[k].values())]
        if k == 1:
            gone.reverse()
        source = self.made[e.operands[k]]  # type: ignore[index]
        operands[k] = _spread_without(source, gone[k])(self.value(source.operands[0], ()))
        pairs = [pair for pair in zip(*e.params["contract"], strict=True) if pair[k] not in gone[k]]
        contract = tuple([_without(side, gone[i]) for i, side in enumerate(_sides(pairs))])
        batch = tuple([_without(side, gone[i]) for i, side in enumerate(e.params["batch"])])
        return dot_general(*operands, contract=contract, batch=batch)


def _sides(pairs: Sequence[tuple[int, int]]) -> tuple[Axes, Axes]:
    return tuple([i for i, _ in pairs]), tuple([j for _, j in pairs])


def _without(axes: Sequence[int], gone: set[int]) -> Axes:
    """Axis numbers after other axes are gone."""
    return tuple([a - sum(g < a for g in gone) for a in axes])


def _spread_without(e: Equation, gone: set[int]) -> Callable[[Atom], Atom]:
    """The repetition that this equation makes, without some of its new axes."""
    shape = tuple([n for a, n in enumerate(e.params["shape"]) if a not in gone])
    dims = _without(e.params["dims"], gone)
    return lambda x: broadcast(x, shape=shape, dims=dims)


def _commuting_reshape(e: Equation, axes: Axes) -> tuple[Parts, Combine] | None:
    (x,), shape = e.operands, e.params["shape"]
    place = same_axes(shape, x.aval.shape)
    if place is None or any(a not in place for a in axes):
        return None
    left = tuple([n for a, n in enumerate(shape) if a not in axes])
    return [(x, tuple([place[a] for a in axes]))], lambda x: reshape(x, shape=left)


def _commuting_product(e: Equation, axes: Axes) -> tuple[Parts, Combine] | None:
    places = _places(e)
    k = places[axes[0]][0]
    if k == 2 or any(places[a][0] != k for a in axes):
        return None
    gone = {places[a][1] for a in axes}
    contract, batch = (
        tuple([_without(side, gone) if i == k else side for i, side in enumerate(p)])
        for p in (e.params["contract"], e.params["batch"])
    )
    inner = tuple(sorted(gone))
    parts = [(x, inner if i == k else ()) for i, x in enumerate(e.operands)]
    return parts, lambda x, y: dot_general(x, y, contract=contract, batch=batch)


def _places(e: Equation) -> list[tuple[int, int]]:
    """For each axis of a product, which operand (2: both) it comes from and which axis of it that
    is."""
    x, y = e.operands
    contract, batch = e.params["contract"], e.params["batch"]
    places = [(2, i) for i in batch[0]]
    for k, operand in enumerate((x, y)):
        taken = (*contract[k], *batch[k])
        places += [(k, i) for i in range(operand.aval.ndim) if i not in taken]
    return places
