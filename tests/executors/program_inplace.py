"""The lines of random programs that work in place: views of copies, views of views, assignments,
augmented assignments and ``out=``. What they do to arrays of JAX is in `Editable`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from executors.program_steps import CATALOGUE, step, together, with_axes

if TYPE_CHECKING:
    from executors.programs import Author

# The same for JAX


class Editable:
    """An array of JAX that can be modified in place, and views of it.

    `memory` is a list of one flat array, which views have in common; `places` is where the elements
    of this view lie in it.
    """

    def __init__(self, memory: list[Any], places: np.ndarray):
        self.memory = memory
        self.places = places

    @classmethod
    def of(cls, x: Any) -> "Editable":
        import jax.numpy as jnp

        x = jnp.asarray(x)
        return cls([x.reshape(-1)], np.arange(x.size).reshape(x.shape))

    def value(self) -> Any:
        return self.memory[0][self.places]

    def _view(self, places: np.ndarray) -> "Editable":
        return Editable(self.memory, places)

    @property
    def T(self) -> "Editable":
        return self._view(self.places.T)

    @property
    def mT(self) -> "Editable":
        return self._view(np.swapaxes(self.places, -1, -2))

    def reshape(self, *shape: int) -> "Editable":
        places = self.places.reshape(*shape)
        if np.may_share_memory(places, self.places):
            return self._view(places)
        return Editable.of(self.memory[0][places])  # as NumPy copies what has no such view

    def swapaxes(self, i: int, j: int) -> "Editable":
        return self._view(self.places.swapaxes(i, j))

    def __getitem__(self, key: Any) -> "Editable":
        keys = key if isinstance(key, tuple) else (key,)
        part = self.places[key]
        if any(isinstance(k, np.ndarray) for k in keys):
            return Editable.of(self.memory[0][part])
        return self._view(np.asarray(part))

    def __setitem__(self, key: Any, value: Any) -> None:
        value = value.value() if isinstance(value, Editable) else value
        self.memory[0] = self.memory[0].at[self.places[key]].set(value)

    def __iadd__(self, value: Any) -> "Editable":
        self[...] = self.value() + value
        return self

    def __isub__(self, value: Any) -> "Editable":
        self[...] = self.value() - value
        return self

    def __imul__(self, value: Any) -> "Editable":
        self[...] = self.value() * value
        return self


def into(view: Editable, name: str, *args: Any) -> None:
    """The function of this name with ``out=view``."""
    import jax.numpy as jnp

    args = tuple([x.value() if isinstance(x, Editable) else x for x in args])
    view[...] = getattr(jnp, name)(*args)


# Writing such lines

VIEWS = (
    "{0}[1:]|{0}[::2]|{0}[::-1]|{0}[-1]|{0}[..., 0]|{0}[..., ::-1]|{0}.T|{0}[None]|{0}[0]|"
    "{0}[..., None]|{0}[:-1]|{0}[...]|{0}.reshape(-1)".split("|")
)
MATRIX_VIEWS = (
    "{0}.mT|{0}[:, 0]|{0}[:, ::2]|{0}.swapaxes(0, -1)|{0}[0, ..., 0]|{0}[1:, :-1]|{0}.T[0]|"
    "{0}.T[..., ::-1]|{0}[..., 0, :]|{0}.mT[..., 0]".split("|")
)
KEYS = ("0", "-1", "::2", "1:", "...", "::-1", "..., 0", "np.array([0])", "np.array([-1, 0])")
STATEMENTS = (
    "{0}[{1}] = {2}|{0}[{1}] += {2}|{0}[{1}] *= {2}|{0}[{1}] -= {2}|{0}[{1}] = xp.sin({2})".split(
        "|"
    )
)
WHOLE_STATEMENTS = (
    "{0} += {2}|{0} *= {2}|{0} -= xp.cos({2})|ad.into({0}, 'add', {0}, {2})|"
    "ad.into({0}, 'multiply', {2}, {2})|ad.into({0}, 'subtract', {2}, {0})".split("|")
)
UNARY_STATEMENTS = (
    "ad.into({0}, 'sin', {0})|ad.into({0}, 'exp', {1})|ad.into({0}, 'tanh', {1})|{0} *= 0.5|"
    "{0}[...] = 0.25|{0} += 1.0".split("|")
)


def viewed(a: "Author", name: str, known: dict[str, Any]) -> str:
    """The text of a view of the array of this name."""
    x = known[name]
    return a.choice([*VIEWS, *(MATRIX_VIEWS if np.ndim(x) > 1 else [])]).format(name)


def statement(a: "Author", name: str, known: dict[str, Any]) -> str | None:
    """A line that modifies this array or a part of it; its effect is that on `known`."""
    x = known[name]
    kind = a.choice(["part", "part", "whole", "unary"])
    key = a.choice(KEYS) if kind == "part" else "..."
    if "array([-1" in key and x.shape[0] < 2:
        return None
    place = np.shape(x[eval(f"np.s_[{key}]", {"np": np})])
    if 0 in place:
        return None
    value = a.array(
        lambda v: together(np.shape(v), place) == place, "fc" if x.dtype == complex else "f"
    )
    value = value if value and a.chance(75) else a.numbers(place if a.chance(50) else ())
    if kind == "unary":
        same = a.array(lambda v: np.shape(v) == np.shape(x), x.dtype.kind) or name
        return a.choice(UNARY_STATEMENTS).format(name, same)
    return a.choice(STATEMENTS if kind == "part" else WHOLE_STATEMENTS).format(name, key, value)


@step(14, CATALOGUE)
def in_place(a: "Author") -> str | None:
    """A function that modifies a copy of its argument, through views of it and of those."""
    source = a.array(with_axes, "fc")
    if not source:
        return None
    function, y = a.new("f"), a.new("y")
    known = {y: a.known[source].copy()}
    lines = []
    for _ in range(a.choice([1, 2, 3, 4])):
        name = a.choice(list(known))
        if a.chance(50):
            text, view = viewed(a, name, known), a.new("y")
            lines.append(f"{view} = {text}")
        else:
            text, view = statement(a, name, known), None
            if text is None:
                continue
            lines.append(text)
        scope = {**a.globals, **a.known, **known}
        try:
            exec(lines[-1], scope)
        except IndexError:
            return None
        if view:
            known[view] = scope[view]
            if np.ndim(known[view]) == 0 or not np.size(known[view]):
                known.pop(view), lines.pop()
    result = a.choice([y, y, f"xp.sin({y})"])
    a.define(
        function,
        [f"def {function}({y}):", f"    {y} = ad.editable({y})"]
        + [f"    {line}" for line in lines]
        + [f"    {y} = ad.edited({y})", f"    return {result}"],
    )
    return f"{function}({source})"
