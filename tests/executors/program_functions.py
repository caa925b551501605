"""The lines of random programs that define functions and apply transforms to them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from executors.program_steps import Step, with_axes

if TYPE_CHECKING:
    from executors.programs import Author

FUNCTIONS: list[Step] = []
DEPTH = 2
"""How deep functions nest."""


def function(weight: int) -> Any:
    """Registers a step that defines functions and takes so often."""

    def register(taken: Step) -> Step:
        FUNCTIONS.extend([taken] * weight)
        return taken

    return register


def take_step(a: "Author") -> bool:
    """Writes one more line, or finds no place for the step that it chose."""
    nests = a.depth < DEPTH and a.chance(15)
    text = a.choice(FUNCTIONS if nests else a.repertoire.steps)(a)
    return text is not None and a.write(text)


def body(a: "Author", samples: list[Any], scalar: bool = False) -> str:
    """Defines a function of arguments like these samples; its name."""
    name = a.new("f")
    with a.inner({a.new("a"): x for x in samples}) as inner:
        wanted = a.choice([1, 2, 2, 3, 4])
        for _ in range(4 * wanted):
            wanted -= take_step(inner)
            if not wanted:
                break
        last = inner.own[-1]
        last = f"xp.real({last})" if np.iscomplexobj(inner.known[last]) else last
        result = a.choice(["xp.sum({})", "xp.mean(xp.sin({}))"]).format(last) if scalar else last
        a.define(name, inner.text(name, result))
    return name


def arguments(a: "Author", condition: Any = lambda x: True) -> list[str]:
    return [n for n in [a.array(condition) for _ in range(a.choice([1, 1, 2]))] if n]


@function(4)
def mapped(a: "Author") -> str | None:
    """A function of rows, with some arguments the same for all rows."""
    first = a.array(with_axes)
    if not first:
        return None
    axis = a.rng.randrange(-len(a.shape(first)), len(a.shape(first)))
    size = a.shape(first)[axis]
    names, axes = [first], [axis]
    second = a.array()
    if second and a.chance(60):
        fitting = [i for i, n in enumerate(a.shape(second)) if n == size]
        names.append(second)
        axes.append(a.choice([*fitting, None]))
    samples = [
        a.known[n] if axis is None else np.take(a.known[n], 0, axis=axis)
        for n, axis in zip(names, axes, strict=True)
    ]
    name = body(a, samples)
    spec = str(tuple(axes)) if len(axes) > 1 else str(axis)
    out = a.choice(["", "", ", out_axes=-1"])
    return f"ad.vmap({name}, in_axes={spec}{out})({', '.join(names)})"


@function(3)
def wrapped(a: "Author") -> str | None:
    names = arguments(a)
    if not names:
        return None
    name = body(a, [a.known[n] for n in names])
    transform = a.choice(["ad.jit", "ad.checkpoint"])
    return f"{transform}({name})({', '.join(names)})"


@function(3)
def derivative(a: "Author") -> str | None:
    """A derivative of a function, which closes over values of this one, by one argument."""
    name = a.array()
    if not name or not a.shape(name):
        return None
    kind = a.choice(["grad", "product", "derivative", "linear", "pullback", "jacrev", "jacfwd"])
    f = body(a, [a.known[name]], scalar=kind in ("grad", "product"))
    x_dot = a.array(lambda v: np.shape(v) == a.shape(name)) or name
    if kind.startswith("jac") and np.size(a.known[name]) > 24:
        return None
    if kind in ("product", "derivative", "linear"):
        return f"ad.{kind}({f}, {name}, {x_dot})"
    if kind == "pullback":
        return f"ad.pullback({f}, {name}, xp.cos({f}({name})))"
    return f"ad.{kind}({f})({name})"


CUSTOM = (
    ("xp.sin({0}) * {0}", "xp.cos({0}) * {0} + xp.sin({0})"),
    ("xp.log(1.0 + xp.exp({0}))", "1.0 / (1.0 + xp.exp(-{0}))"),
    ("{0} / (1.0 + {0} ** 2)", "(1.0 - {0} ** 2) / (1.0 + {0} ** 2) ** 2"),
)


@function(2)
def custom_jvp(a: "Author") -> str | None:
    name = a.array()
    if not name:
        return None
    f, x = a.new("f"), a.new("a")
    value, slope = [text.format(x) for text in a.choice(CUSTOM)]
    a.define(f, [f"def {f}({x}):", f"    return {value}"])
    a.define(
        f"{f}_rule",
        [
            f"def {f}_rule(primals, tangents):",
            f"    ({x},), ({x}_dot,) = primals, tangents",
            f"    return {value}, ({slope}) * {x}_dot",
        ],
    )
    return f"ad.custom_jvp({f}, {f}_rule)({name})"


@function(2)
def custom_vjp(a: "Author") -> str | None:
    name = a.array()
    if not name:
        return None
    f, x = a.new("f"), a.new("a")
    value, slope = [text.format(x) for text in a.choice(CUSTOM)]
    a.define(f, [f"def {f}({x}):", f"    return {value}"])
    a.define(f"{f}_forward", [f"def {f}_forward({x}):", f"    return {value}, {x}"])
    a.define(
        f"{f}_backward",
        [f"def {f}_backward({x}, {x}_bar):", f"    return (({slope}) * {x}_bar,)"],
    )
    return f"ad.custom_vjp({f}, {f}_forward, {f}_backward)({name})"
