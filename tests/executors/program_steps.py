"""The lines of random programs that compute: each step gives the text of one expression, or None
where it finds no operand in its domain."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from executors.programs import Author

Step = Callable[["Author"], str | None]
STEPS: list[Step] = []
MARGIN = 1e-2
"""How far values stay from where a derivative jumps."""
CATALOGUE: list[Step] = []
"""The further steps of programs of the whole catalogue."""


def step(weight: int, steps: list[Step] = STEPS) -> Callable[[Step], Step]:
    """Registers a step that is taken so often."""

    def register(function: Step) -> Step:
        steps.extend([function] * weight)
        return function

    return register


# Elementwise


def anywhere(x: Any) -> bool:
    return True


def positive(x: Any) -> bool:
    return bool(np.all(x > 0.1))


def not_zero(x: Any) -> bool:
    return bool(np.all(np.abs(x) > 0.1))


def off_kinks(x: Any) -> bool:
    """No element near a multiple of a half."""
    return bool(np.all(np.abs(2 * x - np.round(2 * x)) > MARGIN))


def within(bound: float) -> Callable[[Any], bool]:
    return lambda x: bool(np.all(np.abs(x) < bound))


UNARY: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        "xp.sin({0})|xp.cos({0})|xp.tanh({0})|xp.arctan({0})|xp.arcsinh({0})|xp.square({0})|"
        "xp.sinh({0})|xp.cosh({0})|xp.expm1({0})|-{0}|xp.negative({0})|xp.exp({0})|xp.exp2({0})|"
        "xp.exp(-{0} * {0})|1.0 / (1.0 + xp.exp(-{0}))|xp.log(1.5 + xp.square({0}))|"
        "xp.sqrt(1.0 + {0} * {0})|xp.log1p(xp.exp({0}))|{0} ** 3|2.0 ** {0}|1.0 - {0}|2.5 / ({0} "
        "** 2 + 1)|xp.erf({0})|xp.erfc({0})|xp.sigmoid({0})|xp.softplus({0})|xp.log_sigmoid({0})|"
        "xp.deg2rad({0})|xp.where({0} > 10.0, {0} ** 2, xp.cos({0}))|xp.real({0})|"
        "xp.power({0} + 4.5, 2.5)|"
        "xp.zeros_like({0}) + {0}|xp.ones_like({0}) * {0}|+{0}|ad.stop_gradient({0}) * {0}".split(
            "|"
        ),
        anywhere,
    ),
    **dict.fromkeys(
        "xp.log({0})|xp.sqrt({0})|xp.log2({0})|xp.log10({0})|{0} ** 1.7|xp.cbrt({0})|"
        "{0} ** -0.5|xp.log1p({0})|xp.rsqrt({0})|xp.entr({0})|xp.arccosh(1.0 + {0})".split("|"),
        positive,
    ),
    **dict.fromkeys(
        "xp.reciprocal({0})|{0} ** -1|{0} ** -2|1.0 / {0}|xp.abs({0})|abs({0})|xp.sign({0}) * {0}|"
        "xp.sinc({0})|xp.heaviside({0}, 0.5) * {0}|xp.relu({0})".split("|"),
        not_zero,
    ),
    **dict.fromkeys(
        "xp.floor({0}) + {0}|xp.rint({0}) * {0}|{0} % 0.5|xp.clip({0}, -0.5, 1.0)|"
        "xp.trunc({0}) - {0}|xp.ceil({0}) * {0}|"
        "xp.where(xp.rint({0}) != 0.0, {0}, 0.3)|xp.maximum({0}, 0.5)|xp.minimum({0}, 1.0) * {0}|"
        "xp.where({0} > 0.5, {0}, 0.1)|{0} // 0.5 + {0}|xp.fmod({0}, 1.0)|"
        "xp.where(({0} > 0.0) & ({0} < 1.0), {0} ** 2, xp.sin({0}))|"
        "xp.where(xp.isfinite({0}) & ~({0} < 0.5), 2 * {0}, -{0})".split("|"),
        off_kinks,
    ),
    **dict.fromkeys(
        "xp.logit(0.5 + 0.4 * {0})|xp.arcsin({0})|"
        "xp.arccos({0})|xp.arctanh({0})|xp.log1p({0})|xp.tan({0})|"
        "xp.erfinv({0})|(1.0 - {0} ** 2) ** 0.5".split("|"),
        within(0.9),
    ),
}


@step(12)
def unary(a: "Author") -> str | None:
    text = a.choice(list(UNARY))
    name = a.array(UNARY[text])
    return name and text.format(name)


def apart(x: Any, y: Any) -> bool:
    return bool(np.all(np.abs(x - y) > MARGIN))


BINARY: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(
        "{0} + {1}|{0} - {1}|{0} * {1}|xp.multiply({0}, {1})|xp.hypot({0}, 1.0 + {1} ** 2)|"
        "xp.logaddexp({0}, {1})|{0} / (2.0 + xp.cos({1}))|xp.arctan2({0}, 1.5 + {1} ** 2)|"
        "xp.subtract({0}, {1})|{0} * {1} + {0}|xp.logaddexp2({0}, {1})|"
        "(1.0 + {0} ** 2) ** {1}|{0} * xp.exp(-{1})|xp.sin({0} * {1})".split("|"),
        lambda x, y: True,
    ),
    **dict.fromkeys(
        "{0} / {1}|xp.divide({0}, {1})|xp.true_divide({0}, {1})|xp.copysign({0} * {0} + 1.0, {1})|"
        "xp.arctan2({0}, {1})|xp.hypot({0}, {1})".split("|"),
        lambda x, y: not_zero(y) and not_zero(x),
    ),
    **dict.fromkeys(
        "{0} ** {1}|xp.power({0}, {1})|xp.float_power({0}, {1})|xp.xlogy({1}, {0})|"
        "xp.xlog1py({1}, {0})".split("|"),
        lambda x, y: positive(x),
    ),
    **dict.fromkeys(
        "xp.maximum({0}, {1})|xp.minimum({0}, {1})|xp.fmax({0}, {1})|xp.fmin({0}, {1})|"
        "xp.where({0} > {1}, {0}, {1} ** 2)|xp.where({0} <= {1}, {0} * {1}, {1})|"
        "xp.clip({0}, {1}, {1} + 0.005)".split("|"),
        apart,
    ),
    **dict.fromkeys(
        "{0} % {1}|xp.remainder({0}, {1})|xp.fmod({0}, {1})".split("|"),
        lambda x, y: not_zero(y) and bool(np.all(np.abs(x / y - np.round(x / y)) > MARGIN)),
    ),
}


def together(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that these broadcast to, if they do."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def partner(a: "Author", name: str) -> tuple[str, Any] | None:
    """The text and value of something that broadcasts with the array of this name."""
    shape = a.shape(name)
    kind = a.choice(["array", "array", "array", "number", "constant"])
    if kind == "number":
        text = a.numbers(())
    elif kind == "constant":
        part = shape[a.rng.randrange(len(shape) + 1) :]
        text = a.numbers(tuple([1 if a.chance(20) else n for n in part]))
    else:
        most = a.repertoire.size
        found = a.array(lambda x: 0 < np.prod(together(shape, np.shape(x)) or (0,)) <= most)
        if found is None:
            return None
        text = found
    return text, a.evaluate(text)


@step(16)
def binary(a: "Author") -> str | None:
    name = a.array()
    other = name and partner(a, name)
    if not name or not other:
        return None
    (left, x), (right, y) = (name, a.known[name]), other
    if a.chance(30):
        (left, x), (right, y) = (right, y), (left, x)
    text = a.choice(list(BINARY))
    return text.format(left, right) if BINARY[text](x, y) else None


# Reductions and cumulative operations


def with_axes(x: Any) -> bool:
    return np.ndim(x) > 0


def axis_of(a: "Author", name: str) -> int:
    ndim = len(a.shape(name))
    return a.rng.randrange(-ndim, ndim)


def axes_of(a: "Author", name: str) -> Any:
    """None, an int or a tuple of ints."""
    ndim = len(a.shape(name))
    kind = a.choice(["none", "int", "int", "tuple"])
    if kind == "none":
        return None
    if kind == "int":
        return axis_of(a, name)
    chosen = [i - ndim * a.chance(40) for i in range(ndim) if a.chance(60)]
    return tuple(chosen) or None


def rows_along(x: Any, axes: Any) -> Any:
    """The elements that a reduction combines, along the last axis."""
    if axes is None:
        return np.reshape(x, (1, -1))
    axes = axes if isinstance(axes, tuple) else (axes,)
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    return moved.reshape(*moved.shape[: moved.ndim - len(axes)], -1)


def distinct(x: Any, axes: Any) -> bool:
    return bool(np.all(np.diff(np.sort(rows_along(x, axes)), axis=-1) > MARGIN))


def spread(x: Any, axes: Any) -> bool:
    return bool(np.all(np.std(rows_along(x, axes), axis=-1) > 0.1))


REDUCTIONS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(
        "xp.sum({0}{1})|xp.mean({0}{1})|xp.prod({0}{1})|xp.logsumexp({0}{1})|"
        "xp.var({0}{1})|xp.sum(xp.exp({0}){1})|xp.log(xp.sum(xp.exp({0}){1}))|"
        "xp.average({0}{1})|xp.sum(xp.square({0}){1})|{0}.sum({2})|{0}.mean({2})|"
        "xp.mean(xp.tanh({0}){1})|xp.nansum({0}{1})".split("|"),
        lambda x, axes: True,
    ),
    **dict.fromkeys(
        "xp.max({0}{1})|xp.min({0}{1})|xp.amax({0}{1})|{0}.max({2})|xp.ptp({0}{1})|"
        "xp.nanmax({0}{1})".split("|"),
        distinct,
    ),
    **dict.fromkeys(
        "xp.std({0}{1})|xp.std({0}{1}, ddof=1)|xp.var({0}{1}, ddof=1)|xp.sqrt(xp.var({0}{1}))|"
        "{0}.std({2})".split("|"),
        spread,
    ),
}


@step(10)
def reduction(a: "Author") -> str | None:
    name = a.array()
    if not name:
        return None
    text = a.choice(list(REDUCTIONS))
    axes = axes_of(a, name) if a.shape(name) else None
    if not REDUCTIONS[text](a.known[name], axes):
        return None
    options = [] if axes is None else [f"axis={axes}"]
    options += ["keepdims=True"] if a.chance(30) else []
    return text.format(name, "".join(f", {o}" for o in options), ", ".join(options))


ALONG = {
    **dict.fromkeys(
        "xp.cumsum({0}, axis={1})|xp.cumprod({0}, axis={1})|xp.softmax({0}, axis={1})|"
        "xp.log_softmax({0}, axis={1})|xp.logcumsumexp({0}, axis={1})|xp.diff({0}, axis={1})|"
        "xp.flip({0}, axis={1})|xp.roll({0}, 1, axis={1})|xp.roll({0}, -2, axis={1})|"
        "xp.repeat({0}, 2, axis={1})|xp.expand_dims({0}, {1})|xp.take({0}, 0, axis={1})|"
        "xp.linalg.norm({0} + 2.0, axis={1})|xp.concatenate([{0}, -{0}], axis={1})|"
        "xp.stack([{0}, {0} ** 2], axis={1})|xp.split({0}, 1, axis={1})[0]|"
        "xp.delete({0}, 0, axis={1})|xp.append({0}, {0}, axis={1})|xp.trapezoid({0}, axis={1})|"
        "xp.take({0}, np.array([0, -1, 0]), axis={1})|xp.moveaxis({0}, {1}, 0)|"
        "xp.swapaxes({0}, {1}, -1)|xp.cumsum({0})|xp.insert({0}, 0, 0.5, axis={1})".split("|"),
        lambda x, axis: True,
    ),
    **dict.fromkeys(
        "xp.sort({0}, axis={1})|xp.take_along_axis({0}, xp.argsort({0}, axis={1}), axis={1})|"
        "xp.cummax({0}, axis={1})|xp.cummin({0}, axis={1})|"
        "xp.take_along_axis({0} ** 2, xp.argmax({0}, axis={1}, keepdims=True), axis={1})|"
        "xp.take_along_axis({0}, xp.argmin({0}, axis={1}, keepdims=True), axis={1})|"
        "xp.quantile({0}, 0.3, axis={1})|xp.median({0}, axis={1})|"
        "xp.where({0} == xp.max({0}, axis={1}, keepdims=True), "
        "{0} ** 2, {0})".split("|"),
        distinct,
    ),
}


@step(10)
def along(a: "Author") -> str | None:
    name = a.array(with_axes)
    if not name:
        return None
    text, axis = a.choice(list(ALONG)), axis_of(a, name)
    return text.format(name, axis) if ALONG[text](a.known[name], axis) else None


# Products


@step(8)
def product(a: "Author") -> str | None:
    x = a.array(with_axes)
    if not x:
        return None
    n = a.shape(x)
    options = ["xp.outer({0}, {1})", "xp.tensordot({0}, {1}, axes=0)", "xp.kron({0}, {1})"]
    y = a.array(lambda v: np.ndim(v) > 0 and np.shape(v)[max(0, np.ndim(v) - 2)] == n[-1])
    if y and a.chance(80):
        options = ["{0} @ {1}", "xp.matmul({0}, {1})", "xp.dot({0}, {1})"]
        if together(n[:-2], a.shape(y)[:-2]) is None:
            options = ["xp.dot({0}, {1})"]
        if len(n) < 3 and len(a.shape(y)) < 3:
            options += ["xp.tensordot({0}, {1}, axes=1)"]
    y = y if len(options) > 3 or "dot" in options[0] or "@" in options[0] else a.array(with_axes)
    return y and a.choice(options).format(x, y)


@step(4)
def summed_over_all(a: "Author") -> str | None:
    """A product of two arrays of one shape."""
    x = a.array(with_axes)
    y = x and a.array(lambda v: np.shape(v) == a.shape(x))
    if not x or not y:
        return None
    n = len(a.shape(x))
    options = ["xp.inner({0}, {1})", "xp.vdot({0}, {1})", "xp.tensordot({0}, {1}, axes={2})"]
    options += ["xp.sum({0} * {1}, axis=-1)", "xp.vecdot({0}, {1})"]
    return a.choice(options).format(x, y, n)


@step(5)
def einsum(a: "Author") -> str | None:
    """Two arrays whose axes have letters: equal lengths may share one."""
    names = [a.array(with_axes) for _ in range(a.choice([1, 2, 2, 3]))]
    lengths: dict[str, int] = {}
    terms = []
    for name in names:
        if not name:
            return None
        term = ""
        for size in a.shape(name):
            same = [c for c, n in lengths.items() if n == size]
            c = a.choice(same) if same and a.chance(60) else "ijklmnopqrst"[len(lengths)]
            lengths[c] = size
            term += c
        terms.append(term)
    kept = [c for c in lengths if a.chance(40)]
    a.rng.shuffle(kept)
    text = f"xp.einsum({','.join(terms) + '->' + ''.join(kept)!r}, {', '.join(map(str, names))})"
    if np.prod(list(lengths.values()), dtype=int) > 100_000:
        return None
    return text if np.prod([lengths[c] for c in kept], dtype=int) <= a.repertoire.size else None
