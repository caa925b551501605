"""Arguments that are chosen by position or by name: static and donated ones of `jit`."""

import inspect
from collections.abc import Sequence
from typing import Any

from gpuad.api.arguments import argument_words, positions
from gpuad.api.recording import function_name
from gpuad.errors import ArgumentError


def named_arguments(
    function: Any, kind: str, argnums: int | Sequence[int], names: str | Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The positions and the names of the chosen arguments; one that has both is in both.

    `kind` begins the names of the parameters that choose them: "static" or "donate".
    """
    argnums = positions(argnums, f"{kind}_argnums", "jit")
    names = argument_words(names, f"{kind}_argnames", "jit")
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return argnums, names
    _check(function, kind, parameters, argnums, names)
    positional = [n for n, p in parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
    by_name = [positional.index(n) for n in names if n in positional]
    by_position = [positional[i] for i in argnums if -len(positional) <= i < len(positional)]
    return tuple({*argnums, *by_name}), tuple({*names, *by_position})


def _check(
    function: Any, kind: str, parameters: Any, argnums: Sequence[int], names: Sequence[str]
) -> None:
    kinds = {p.kind for p in parameters.values()}
    for n in names:
        if n not in parameters and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise ArgumentError(
                f"jit: {kind}_argnames has {n!r}, which {function_name(function)} does not take; "
                f"its parameters are {', '.join(parameters)}."
            )
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return
    for i in argnums:
        if not -len(parameters) <= i < len(parameters):
            raise ArgumentError(
                f"jit: {kind}_argnums has {i}, and {function_name(function)} takes "
                f"{len(parameters)} arguments."
            )
