"""Python values that a recording depends on, compared by their contents, hashable or not."""

from typing import Any

import numpy as np

from gpuad.errors import InPlaceError


class StaticValue:
    """A Python value as part of a hashable key: equal to another if it has the same contents.

    A value that cannot be hashed and is no list, dict, set or NumPy array of numbers is equal to
    nothing else: a call with such a value is always recorded anew.
    """

    __slots__ = ("_held", "_key", "_token")

    def __init__(self, value: Any):
        self._held = value
        self._token = object()
        self._key = contents(value, self._token)

    def value(self, name: str) -> Any:
        """The value, for the rule of the function `name`.

        Raises
        ------
        InPlaceError
            If its contents have changed since the function was called.
        """
        if contents(self._held, self._token) != self._key:
            raise InPlaceError(
                f"a {type(self._held).__name__} that {name} was called with, named in "
                "nondiff_argnums, was changed before the derivative rule saw it. Pass a copy of "
                "it, or a tuple."
            )
        return self._held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StaticValue) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def contents(x: Any, unique: object = None) -> tuple[Any, ...]:
    """A hashable key of the contents of `x`; `unique` is part of the key of an `x` that cannot be
    compared.

    The types are in the key since 1, 1.0 and True are equal, and text for floats since 0.0 and -0.0
    are.
    """
    kind = type(x)
    if kind in (float, complex):
        return kind, repr(x)
    if kind in (set, frozenset):
        return kind, frozenset([contents(y, unique) for y in x])
    if kind in (list, tuple):
        return kind, *[contents(y, unique) for y in x]
    if kind is dict:
        return kind, *[(contents(k, unique), contents(y, unique)) for k, y in x.items()]
    if isinstance(x, np.ndarray | np.generic) and not x.dtype.hasobject:
        return kind, x.shape, x.dtype, x.tobytes()
    try:
        hash(x)
    except TypeError:
        return kind, unique, id(x)
    return kind, x


__all__ = ["StaticValue", "contents"]
