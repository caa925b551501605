"""Sums over either axis of pairs (i, j), where exchanging i and j gives the same values or their
negatives: the sum over one axis is that over the other, as of the forces between particles.

It is proved on the graph. The *image* of a value is what it becomes with two of its axes exchanged,
if that is a value of the graph too, or the negative of one: that of x repeated along j is x
repeated along i, that of a product is the product of the images. So x[i] - x[j] has its own
negative as image, to the last bit.
"""

from typing import Any, NamedTuple

from gpuad.ir.build import Builder, building
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.primitives import elementwise as ew
from gpuad.primitives.elementwise import abs_
from gpuad.primitives.reduction import reduce_sum
from gpuad.primitives.structure import broadcast
from gpuad.transforms.memo import memo
from gpuad.transforms.shared_products import wide_values

EITHER_ORDER = (ew.add, ew.mul, ew.eq, ew.ne)
PRODUCTS = (ew.mul, ew.div)
EVEN = (ew.square, abs_)


class Image(NamedTuple):
    """A value, or its negative if `sign` is -1."""

    sign: int
    value: Atom


@memo
def with_symmetric_sums(graph: Graph) -> Graph:
    """The graph in which sums over the first of two symmetric axes are those over the second one,
    where there are both."""
    replaced = _replaced(graph)
    if not replaced:
        return graph
    with building(Builder(graph.name)) as builder:
        env: dict[Any, Any] = {v: builder.input(v.aval) for v in graph.inputs}
        for e in graph.equations:
            builder.where = e.where
            if e in replaced:
                env[e.outputs[0]] = _other_sum(e, *replaced[e], env)
                continue
            operands = tuple([env[x] if type(x) is Var else x for x in e.operands])
            result = builder.add(e.primitive, operands, e.params)
            results = result if e.primitive.multiple else (result,)
            env.update(zip(e.outputs, results, strict=True))
        outputs = [env[x] if type(x) is Var else x for x in graph.outputs]
        return builder.graph(outputs, graph.captured)


def _other_sum(e: Equation, sign: int, value: Atom, env: dict[Any, Any]) -> Any:
    total = reduce_sum(env[value], axes=(e.params["axes"][0] + 1,))
    return total if sign > 0 else ew.neg(total)


def _replaced(graph: Graph) -> dict[Equation, Image]:
    """Sums over the first of two axes with the image that is added up instead."""
    axes = {(e.operands[0].aval.shape, e.params["axes"]) for e in _sums(graph)}
    wide = wide_values(graph) if axes else set()
    found = []
    for e in _sums(graph):
        shape, (a, *more) = e.operands[0].aval.shape, e.params["axes"]
        if e.operands[0] in wide and not more and (shape, (a + 1,)) in axes and _square(shape, a):
            found.append(e)
    if not found:
        return {}
    images = _Images(graph)
    place: dict[Any, int] = {v: k for k, e in enumerate(graph.equations) for v in e.outputs}
    replaced = {}
    for e in found:
        image = images.of(e.operands[0], e.params["axes"][0])
        if image is not None and place.get(image.value, -1) < place[e.outputs[0]]:
            replaced[e] = image
    return replaced


def _sums(graph: Graph) -> list[Equation]:
    return [e for e in graph.equations if e.primitive is reduce_sum and e.params["axes"]]


def _square(shape: tuple[int, ...], a: int) -> bool:
    """Whether axes a and a + 1 have the same length, of more than 1."""
    return a + 1 < len(shape) and shape[a] == shape[a + 1] > 1


class _Images:
    """The images of the values of a graph, for axes a and a + 1 exchanged."""

    def __init__(self, graph: Graph):
        self._known: dict[tuple[Any, int], Image] = {}
        self._recorded = {_key(e.primitive, e.operands, e.params): e for e in graph.equations}
        for e in graph.equations:
            shape = e.outputs[0].aval.shape
            for a in range(len(shape) - 1):
                image = self._image(e, a) if _square(shape, a) else None
                if image is not None:
                    self._known[e.outputs[0], a] = image

    def of(self, x: Atom, a: int) -> Image | None:
        if type(x) is Literal or (x.aval.ndim == 0):
            return Image(1, x)
        return self._known.get((x, a))

    def _found(self, sign: int, primitive: Any, operands: Any, params: Any) -> Image | None:
        e = self._recorded.get(_key(primitive, operands, params))
        if e is None and primitive in EITHER_ORDER:
            e = self._recorded.get(_key(primitive, operands[::-1], params))
        return None if e is None else Image(sign, e.outputs[0])

    def _image(self, e: Equation, a: int) -> Image | None:
        if e.primitive is broadcast:
            return self._of_repeated(e, a)
        if e.primitive.kind != "elementwise":
            return None
        images = [self.of(x, a) for x in e.operands]
        if None in images:
            return None
        signs = [i.sign for i in images if i is not None]
        values = tuple([i.value for i in images if i is not None])
        if e.primitive is ew.sub and signs == [1, 1]:
            swapped = self._found(-1, ew.sub, values[::-1], e.params)
            if swapped is not None and self._found(1, ew.sub, values, e.params) is None:
                return swapped
        sign = _sign(e, signs)
        return None if sign is None else self._found(sign, e.primitive, values, e.params)

    def _of_repeated(self, e: Equation, a: int) -> Image | None:
        (x,), dims = e.operands, e.params["dims"]
        if a in dims and a + 1 in dims:
            inner = self.of(x, dims.index(a)) if type(x) is Var else None
            if inner is None:
                return None
            return self._found(inner.sign, broadcast, (inner.value,), e.params)
        other = {a: a + 1, a + 1: a}
        moved = tuple([other.get(d, d) for d in dims])
        return self._found(1, broadcast, (x,), e.params | {"dims": moved})


def _sign(e: Equation, signs: list[int]) -> int | None:
    """The sign of a result whose operands have these; None if it is not that or the other one."""
    if all(s > 0 for s in signs):
        return 1
    if e.primitive in PRODUCTS:
        return signs[0] * signs[1]
    if e.primitive in (ew.add, ew.sub):
        return signs[0] if signs[0] == signs[1] else None
    if e.primitive is ew.neg:
        return signs[0]
    if e.primitive in EVEN:
        return 1
    if e.primitive is ew.integer_power:
        return 1 if e.params["n"] % 2 == 0 else signs[0]
    return None


def _key(primitive: Any, operands: Any, params: Any) -> tuple[Any, ...]:
    own = [x if type(x) is Var else x.key for x in operands]
    return (primitive, *own, *params.items())
