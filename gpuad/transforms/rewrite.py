"""Rewriting: a graph is built again, and each equation offered to the rules of its primitive.

A rule sees the operands as they have become, and what produced them; it returns the value to use
instead, or None.
"""

from collections.abc import Callable, Sequence
from typing import Any

from gpuad.ir.build import Builder
from gpuad.ir.graph import Atom, Equation

Rule = Callable[..., Atom | Sequence[Atom] | None]
"""``f(made, *operands, **params)``; ``made(x)`` is the equation that `x` comes from, or None."""


class Rewriting(Builder):
    """A Builder that offers each application to the rules before it records it."""

    def __init__(self, name: str, rules: dict[str, list[Rule]]):
        super().__init__(name)
        self._rules = rules
        self._made: dict[Any, Equation] = {}
        self._seen = 0

    def made(self, x: Atom) -> Equation | None:
        """The equation that `x` comes from."""
        for e in self.equations[self._seen :]:
            self._made.update(dict.fromkeys(e.outputs, e))
        self._seen = len(self.equations)
        return self._made.get(x)

    def add(self, primitive: Any, operands: tuple[Atom, ...], params: dict[str, Any]) -> Any:
        for r in self._rules.get(primitive.name, ()):
            found = r(self.made, *operands, **params)
            if found is not None:
                return found
        return super().add(primitive, operands, params)
