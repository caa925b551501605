"""Python values that a recording depends on: compared by what they hold, also if they cannot be
hashed."""

from typing import Any

import numpy as np

from gpuad.errors import InPlaceError


class StaticValue:
    """A Python value as part of a hashable key: equal to another if it has the same contents.

    What cannot be hashed and is no list, dict, set or NumPy array of numbers is equal to itself
    alone: with such a value nothing that was recorded is found again.
    """

    __slots__ = ("_held", "_key", "_token")

    def __init__(self, value: Any):
        self._held = value
        self._token = object()
        self._key = _contents(value, self._token)

    def value(self, name: str) -> Any:
        """The value, for the rule of the function `name`.

        Raises
        ------
        InPlaceError
            If its contents are others than they were when the function was called.
        """
        if _contents(self._held, self._token) != self._key:
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


def _contents(x: Any, alone: object) -> tuple[Any, ...]:
    """A hashable key of the contents of `x`; `alone` stands for those that cannot be compared.

    1, 1.0 and True are equal, and not the same value, and neither are 0.0 and -0.0.
    """
    kind = type(x)
    if kind in (float, complex):
        return kind, repr(x)
    if kind in (set, frozenset):
        return kind, frozenset([_contents(y, alone) for y in x])
    if kind in (list, tuple):
        return kind, *[_contents(y, alone) for y in x]
    if kind is dict:
        return kind, *[(_contents(k, alone), _contents(y, alone)) for k, y in x.items()]
    if isinstance(x, np.ndarray | np.generic) and not x.dtype.hasobject:
        return kind, x.shape, x.dtype, x.tobytes()
    try:
        hash(x)
    except TypeError:
        return kind, alone, id(x)
    return kind, x


__all__ = ["StaticValue"]
