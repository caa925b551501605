"""The ways to ask an engine for a case's derivative, written once against its transforms.

An engine's transforms are `grad`, `jvp`, `vmap` and `hvp` with JAX's signatures, which torch.func
and gpuad share. Each formulation takes them, the case's objective bound to the engine's namespace,
the arguments and the tangents; which one is best differs by engine and by row, so the suite tries
all that an engine offers and times the fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from benchmarks.suite import Case

Function = Callable[..., Any]
Formulation = Callable[..., Any]


class Transforms(Protocol):
    """What a formulation may use; `eye(d, like)` and `spread(row, like)` make constants."""

    def grad(self, f: Function, argnums: Any = 0) -> Function: ...
    def jvp(self, f: Function, primals: Any, tangents: Any) -> Any: ...
    def vmap(self, f: Function) -> Function: ...
    def hvp(self, f: Function, primals: Any, tangents: Any) -> Any: ...
    def eye(self, d: int, like: Any) -> Any: ...
    def spread(self, row: Any, like: Any) -> Any: ...


def of_active(f: Function, active: Sequence[int], args: Sequence[Any]) -> Function:
    """`f` as a function of its active arguments, the others held at `args`."""

    def restricted(*values: Any) -> Any:
        full = list(args)
        for i, value in zip(active, values, strict=True):
            full[i] = value
        return f(*full)

    return restricted


def gradient(ad: Transforms, f: Function, case: Case, args: Sequence[Any]) -> Any:
    """The gradient by the active arguments, as a tuple."""
    positions = tuple(range(len(case.active)))
    restricted = of_active(f, case.active, args)
    return ad.grad(restricted, argnums=positions)(*(args[i] for i in case.active))


def forward_over_reverse(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
    positions = tuple(range(len(case.active)))
    slope = ad.grad(of_active(f, case.active, args), argnums=positions)
    return ad.jvp(slope, tuple(args[i] for i in case.active), tuple(tangents))[1]


def reverse_over_reverse(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
    positions = tuple(range(len(case.active)))
    slope = ad.grad(of_active(f, case.active, args), argnums=positions)

    def directional(*values: Any) -> Any:
        return sum((g * t).sum() for g, t in zip(slope(*values), tangents, strict=True))

    return ad.grad(directional, argnums=positions)(*(args[i] for i in case.active))


def named(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
    """The engine's own `hvp`, which takes None where an argument is held."""
    full: list[Any] = [None] * len(args)
    for i, tangent in zip(case.active, tangents, strict=True):
        full[i] = tangent
    products = ad.hvp(f, tuple(args), tuple(full))
    return tuple(products[i] for i in case.active)


def over_directions(product: Formulation) -> Formulation:
    """`product` for every tangent along a leading axis."""

    def products(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
        return ad.vmap(lambda *t: product(ad, f, case, args, t))(*tangents)

    return products


def columns_of_hessians(product: Formulation) -> Formulation:
    """All samples' Hessians from d products, each with one unit vector for every sample."""

    def columns(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
        (x,) = args
        unit = ad.vmap(lambda e: product(ad, f, case, args, (ad.spread(e, x),)))
        return unit(ad.eye(x.shape[-1], x))

    return columns


def laplacian_forward_over_forward(
    ad: Transforms, f: Function, case: Case, args: Any, tangents: Any
) -> Any:
    x, rest = args[0], args[1:]

    def along(e: Any) -> Any:
        t = ad.spread(e, x)
        pushed = ad.jvp(lambda z: ad.jvp(lambda y: f(y, *rest), (z,), (t,)), (x,), (t,))
        (value, slope), (_, curvature) = pushed
        return value, slope, curvature

    value, slopes, curvature = ad.vmap(along)(ad.eye(x.shape[-1], x))
    return value[0], slopes, curvature.sum(0)


def laplacian_forward_over_reverse(
    ad: Transforms, f: Function, case: Case, args: Any, tangents: Any
) -> Any:
    x, rest = args[0], args[1:]
    slope = ad.grad(lambda z: f(z, *rest).sum())

    def along(e: Any) -> Any:
        value, column = ad.jvp(slope, (x,), (ad.spread(e, x),))
        return value, (column * e).sum(-1)

    slopes, curvature = ad.vmap(along)(ad.eye(x.shape[-1], x))
    return f(*args), slopes[0], curvature.sum(0)


def laplacian_reverse_over_reverse(
    ad: Transforms, f: Function, case: Case, args: Any, tangents: Any
) -> Any:
    x, rest = args[0], args[1:]
    slope = ad.grad(lambda z: f(z, *rest).sum())

    def along(e: Any) -> Any:
        t = ad.spread(e, x)
        return (ad.grad(lambda z: (slope(z) * t).sum())(x) * e).sum(-1)

    return f(*args), slope(x), ad.vmap(along)(ad.eye(x.shape[-1], x)).sum(0)


def residual_gradient(laplacian: Formulation) -> Formulation:
    """The gradient of the mean squared residual Laplacian u - g, through `laplacian`."""

    def by_parameters(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
        def loss(*values: Any) -> Any:
            residual = laplacian(ad, f, case, values, ())[2] - values[-1]
            return (residual * residual).mean()

        return gradient(ad, loss, case, args)

    return by_parameters


HVP = {
    "forward over reverse": forward_over_reverse,
    "reverse over reverse": reverse_over_reverse,
}
LAPLACIAN = {
    "forward over forward": laplacian_forward_over_forward,
    "forward over reverse": laplacian_forward_over_reverse,
    "reverse over reverse": laplacian_reverse_over_reverse,
}


def value_alone(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
    return (f(*args),)


def gradient_alone(ad: Transforms, f: Function, case: Case, args: Any, tangents: Any) -> Any:
    return gradient(ad, f, case, args)


CHEAPER: dict[str, dict[str, Formulation]] = {
    "value": {"value": value_alone},
    "gradient": {"gradient": gradient_alone},
}


def formulations(derivative: str, ways: dict[str, Formulation]) -> dict[str, Formulation]:
    """What to try for a kind of derivative, given an engine's ways to one product or Laplacian."""
    if derivative in CHEAPER:
        return CHEAPER[derivative]
    wrap = {
        "hvps": over_directions,
        "hessians": columns_of_hessians,
        "residual_gradient": residual_gradient,
    }.get(derivative)
    return {name: wrap(way) if wrap else way for name, way in ways.items()}
