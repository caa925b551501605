"""What the transforms take: arguments, tangents and results, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuad import tree
from gpuad.api.recording import (
    Arguments,
    Recorded,
    argument_names,
    argument_paths,
    check_array,
    check_inexact,
    function_name,
    leaf_aval,
)
from gpuad.errors import ArgumentError, DTypeError
from gpuad.ir.aval import Aval
from gpuad.ir.half import widened
from gpuad.ir.primitive import is_inexact
from gpuad.tracing import Tracer, namespace_of_all
from gpuad.tracing.advice import dtype_text
from gpuad.tracing.devices import check_together

BY_NAME = {
    "argnums": ("argnames", ("grad", "value_and_grad")),
    "static_argnums": ("static_argnames", ("jit",)),
    "donate_argnums": ("donate_argnames", ("jit",)),
}
"""For a parameter that takes positions: the one that takes names, and the transforms with both."""


def _by_name(parameter: str, transform: str) -> str | None:
    """The parameter of a transform that takes names where this one takes positions, if any."""
    named, transforms = BY_NAME.get(parameter, (None, ()))
    return named if transform in transforms else None


def _sequence(x: Any, name: str, transform: str) -> tuple[Any, ...]:
    if not isinstance(x, tuple | list):
        raise ArgumentError(
            f"{transform}: {name} is a {type(x).__name__}; give a tuple with one entry for each "
            f"argument of the function, such as ({name[:-1]},)."
        )
    return tuple(x)


class Directions:
    """The primals and tangents of `jvp` and `hvp`, checked, as leaves."""

    def __init__(self, function: Any, primals: Any, tangents: Any, transform: str):
        self.primals = _sequence(primals, "primals", transform)
        self.tangents = _sequence(tangents, "tangents", transform)
        if len(self.primals) != len(self.tangents):
            raise ArgumentError(
                f"{transform}: primals has {len(self.primals)} entries and tangents "
                f"{len(self.tangents)}; give one tangent for each primal (None: held constant)."
            )
        self.leaves, self.treedef = tree.flatten((self.primals, {}))
        names = argument_names(function, len(self.primals))
        # A tangent for each leaf; None: held constant.
        self._tangent_leaves = [
            t
            for name, x, x_dot in zip(names, self.primals, self.tangents, strict=True)
            for t in tree.flatten_up_to(x_dot, x, f"{transform}: the tangent of {name}", name)
        ]
        self.active = tuple([t is not None for t in self._tangent_leaves])
        self._paths = argument_paths(function, self.primals, {})
        self._transform = transform
        for x, t, path in zip(self.leaves, self._tangent_leaves, self._paths, strict=True):
            check_array(x, path, transform)
            if t is not None:
                check_inexact(x, path, transform)
                check_array(t, f"the tangent of {path}", transform)

    def lanes(self) -> int | None:
        """K if every tangent has one more leading axis, of size K, than its primal."""
        sizes = set()
        for x, t in zip(self.leaves, self._tangent_leaves, strict=True):
            if t is not None:
                shape = leaf_aval(t).shape
                extra = shape[1:] == leaf_aval(x).shape and len(shape) > leaf_aval(x).ndim
                sizes.add(shape[0] if extra else None)
        return sizes.pop() if len(sizes) == 1 else None

    def checked_tangents(self, lanes: int | None = None) -> list[Any]:
        """The tangents of the active leaves, each in the dtype of its primal."""
        lead = () if lanes is None else (lanes,)
        named = list(zip(self.leaves, self._tangent_leaves, self._paths, strict=True))
        for x, t, path in named:
            names = [path, f"the tangent of {path}"]
            check_together(self._transform, [x, t], names.copy)
        return [
            check_tangent(t, leaf_aval(x), path, self._transform, lead)
            for x, t, path in named
            if t is not None
        ]


def check_tangent(
    t: Any, aval: Aval, name: str, transform: str, lead: tuple[int, ...] = (),
    what: str = "tangent",
) -> Any:  # fmt: skip
    """The tangent (or cotangent) of a value, which must have its shape and dtype."""
    found = leaf_aval(check_array(t, f"the {what} of {name}", transform))
    if found.shape != (*lead, *aval.shape):
        several = " (or K of them at once for every argument that moves)" * (transform == "hvp")
        raise ArgumentError(
            f"{transform}: the {what} of {name} has shape {found.shape}, and {name} has shape "
            f"{aval.shape}. Give a {what} of shape {aval.shape}{several}."
        )
    if found.dtype == aval.dtype:
        return t
    if found.weak and np.can_cast(found.dtype, aval.dtype, "same_kind"):
        return t.astype(aval.dtype) if isinstance(t, Tracer) else aval.dtype.type(t)
    wanted = dtype_text(aval.dtype)
    cast = f"{what}.astype({wanted})" if hasattr(t, "astype") else f"np.asarray({what}, {wanted})"
    raise DTypeError(
        f"{transform}: the {what} of {name} has dtype {found.dtype}, and {name} has dtype "
        f"{aval.dtype}; a {what} has the dtype of its value. Write {cast}."
    )


def has_cotangent(ct: Any, aval: Aval, name: str, transform: str) -> bool:
    """Whether a result has a cotangent. A result of integers has none: what is given for it must
    have its shape and is not used."""
    if is_inexact(aval.dtype):
        return True
    shape = leaf_aval(check_array(ct, f"the cotangent of {name}", transform)).shape
    if shape != aval.shape:
        raise ArgumentError(
            f"{transform}: the cotangent of {name} has shape {shape}, and {name} has shape "
            f"{aval.shape}. Give zeros of that shape: {name} is of {aval.dtype} and has no "
            "derivative."
        )
    return False


def zeros_like_value(x: Any) -> Any:
    """A zero of the shape, dtype and kind of an array, number or Tracer."""
    aval = leaf_aval(x)
    xp = namespace_of_all([x])
    return xp.zeros(aval.shape, aval.dtype) if aval.shape else aval.dtype.type(0)


def extended(active: Sequence[bool], recorded: Recorded) -> tuple[bool, ...]:
    """Flags for the inputs of the graph: these for the arguments, False for captured values."""
    return (*active, *[False] * len(recorded.captured))


def checked_paths(
    function: Any, primals: Sequence[Any], leaves: Sequence[Any], transform: str
) -> list[str]:
    """What the user calls each leaf; all must be arrays of floats or complex numbers."""
    paths = argument_paths(function, primals, {})
    for x, path in zip(leaves, paths, strict=True):
        check_array(x, path, transform)
        check_inexact(x, path, transform)
    return paths


def positions(given: Any, name: str, transform: str) -> tuple[int, ...]:
    """Positions of arguments: an int or several of them."""
    several = tuple(given) if isinstance(given, tuple | list | set | range) else (given,)
    for i in several:
        if not isinstance(i, int | np.integer) or isinstance(i, bool):
            named = _by_name(name, transform)
            raise ArgumentError(
                f"{transform}: {name}={given!r:.60}; give the position of an argument (an int) or "
                f"a tuple of them{f'; names go in {named}' if named else ''}."
            )
    return tuple([int(i) for i in several])


def argument_words(given: Any, name: str, transform: str) -> tuple[str, ...]:
    """Names of arguments: a string or several of them."""
    several = tuple(given) if isinstance(given, tuple | list | set | frozenset) else (given,)
    for n in several:
        if not isinstance(n, str):
            raise ArgumentError(
                f"{transform}: {name}={given!r:.60}; give the name of an argument (a string) or a "
                f"tuple of them; positions go in {name.replace('names', 'nums')}."
            )
    return several


def checked_count(given: Any, name: str, transform: str, least: int = 1) -> int | None:
    """A number of samples, or None."""
    if given is None:
        return None
    if not isinstance(given, int | np.integer) or isinstance(given, bool) or given < least:
        kind = "a positive number" if least else "a number"
        raise ArgumentError(
            f"{transform}: {name}={given!r:.60}; give {kind} of samples (an int), or None."
        )
    return int(given)


def _argnums(argnums: Any, count: int, transform: str) -> tuple[int, ...]:
    chosen = positions(argnums, "argnums", transform)
    for i in chosen:
        if not -count <= i < count:
            named = _by_name("argnums", transform)
            raise ArgumentError(
                f"{transform}: argnums={argnums} and the function was called with {count} "
                "positional arguments; count them from 0"
                f"{f', and use {named} for keyword arguments' if named else ''}."
            )
    chosen = tuple([i % count for i in chosen])
    if len(set(chosen)) != len(chosen):
        raise ArgumentError(
            f"{transform}: argnums={argnums} names an argument twice; name it once."
        )
    return chosen


def checked_choice(argnums: Any, argnames: Any, transform: str) -> None:
    """Refuses `argnums` that are not positions and `argnames` that are not names."""
    if argnums is not None:
        positions(argnums, "argnums", transform)
    if argnames is not None:
        argument_words(argnames, "argnames", transform)


def _marked(part: Any, chosen: bool) -> Any:
    """The structure of an argument, with `chosen` for each leaf."""
    return tree.map(lambda _: chosen, part)


class Chosen:
    """The leaves of the arguments that a gradient is taken by."""

    def __init__(
        self, function: Any, args: Any, kwargs: Any, argnums: Any, argnames: Any, transform: str
    ):
        names = () if argnames is None else argument_words(argnames, "argnames", transform)
        for n in names:
            if n not in kwargs:
                raise ArgumentError(
                    f"{transform}: argnames has {n!r}, which was not given as a keyword argument; "
                    f"call the function with {n}=..., or use argnums."
                )
        if argnums is None:
            argnums = () if names else 0
        if not args and not names:
            named = _by_name("argnums", transform)
            raise ArgumentError(
                f"{transform} of {function_name(function)} called without positional arguments; it "
                f"differentiates by those, so pass {argument_names(function, 1)[0]} by its position"
                f"{f', or use {named}' if named else ''}."
            )
        self.argnums = _argnums(argnums, len(args), transform)
        self.single = isinstance(argnums, int | np.integer) and not names
        self.leaves, self.treedef = tree.flatten((args, kwargs))
        chosen_args = tuple([_marked(a, i in self.argnums) for i, a in enumerate(args)])
        chosen_kwargs = {k: _marked(v, k in names) for k, v in kwargs.items()}
        self.active, _ = tree.flatten((chosen_args, chosen_kwargs))
        self.names = names
        positional = argument_names(function, len(args))
        self.parts = [args[i] for i in self.argnums] + [kwargs[n] for n in names]
        labels = [positional[i] for i in self.argnums] + list(names)
        for part, label in zip(self.parts, labels, strict=True):
            part_leaves, _ = tree.flatten(part)
            for x, path in zip(part_leaves, tree.paths(part, label), strict=True):
                check_array(x, path, transform)
                check_inexact(x, path, transform)

    @property
    def arguments(self) -> Arguments:
        """The arguments, of which the chosen leaves are traced."""
        return Arguments(self.leaves, self.treedef, self.active)

    @property
    def moving(self) -> list[Any]:
        """The chosen leaves."""
        return [x for x, on in zip(self.leaves, self.active, strict=True) if on]

    def arrange(self, gradients: Sequence[Any]) -> Any:
        """Gradients, one for each chosen leaf in order, in the structure that the user chose."""
        rest = iter(gradients)
        full = [next(rest) if on else None for on in self.active]
        args, kwargs = tree.unflatten(self.treedef, full)
        by_position = tuple([args[i] for i in self.argnums])
        by_name = {n: kwargs[n] for n in self.names}
        if self.single:
            return by_position[0]
        if not by_name:
            return by_position
        return (by_position, by_name) if by_position else by_name


def check_scalar(recorded: Recorded, function: Any, transform: str) -> None:
    """Refuses results that are not one real scalar."""
    name = function_name(function)
    if recorded.out_tree.num_leaves != 1 or not recorded.out_tree.is_leaf():
        raise ArgumentError(
            f"{transform} takes a function with one scalar result; {name} returned "
            f"{tree.shown(recorded.out_tree)}. Return one scalar (use has_aux=True for further "
            "results), or use vjp or jacrev."
        )
    aval = recorded.graph.out_avals[0]
    if aval.shape:
        raise ArgumentError(
            f"{transform} takes a function with a scalar result; {name} returned shape "
            f"{aval.shape}. Reduce it (.sum() or .mean()), or use jacrev, jacfwd or vjp."
        )
    if widened(aval.dtype).kind != "f":
        raise DTypeError(
            f"{transform} takes a function with a real result; {name} returned {aval.dtype}. "
            "Return a real float: .real or abs() of a complex value, .astype(float) of an integer."
        )


def checked_budget(max_bytes: Any, transform: str) -> int | None:
    """A number of bytes, or None."""
    if max_bytes is None:
        return None
    known = isinstance(max_bytes, int | float | np.integer | np.floating)
    if not known or isinstance(max_bytes, bool) or not 0 <= max_bytes < np.inf:
        raise ArgumentError(
            f"{transform}: max_bytes={max_bytes!r}; give a number of bytes, such as 2e9, or None "
            "for no limit."
        )
    return int(max_bytes)
