"""Random programs over batches, and sweeps run as plain Python: what the tests of compiled sweeps
share.

Generated source is Python. Run without Numba it shows in milliseconds what a compiler would take a
second for, with array bounds checked and scratch filled with NaN before each use.
"""

import contextlib
import functools
import inspect
import math
import random
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import scipy.special
from gpuad.kernels import reductions, tables, vecmath

import gpuad.numpy as gnp
from gpuad.executors.native import scratch
from gpuad.ir.primitive import CATALOGUE
from vecmath_reference import NO_LIBRARY_HAS

# Sweeps as plain Python


def _special_functions() -> dict[str, Any]:
    return {
        "erf": scipy.special.erf,
        "erfc": scipy.special.erfc,
        "fma": lambda x, y, z: type(x)(np.longdouble(x) * y + z),
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "sigmoid": lambda x: type(x)(scipy.special.expit(x)),
        "softplus": lambda x: np.logaddexp(x, type(x)(0)),
        "where": lambda c, x, y: x if c else y,
        "trigamma": lambda x: CATALOGUE["psi"].run(np, x, n=1)[()],
        "tetragamma": lambda x: CATALOGUE["psi"].run(np, x, n=2)[()],
        **{n: getattr(scipy.special, n) for n in "digamma gammaln i0e i1e log_ndtr ndtr".split()},
        **{n: _on_array(CATALOGUE[n]) for n in NO_LIBRARY_HAS},
    }


def _on_array(primitive):
    return lambda x: primitive.run(np, x)[()]


def _rows_to_lanes(source, target, n, lanes, stride):
    assert len(source) == lanes * n and n <= stride and lanes * stride <= len(target)
    for lane in range(lanes):
        target[lane * stride :][:n] = source[lane::lanes]


def _lanes_to_rows(source, target, n, lanes, stride):
    assert len(target) == lanes * n and n <= stride and lanes * stride <= len(source)
    for lane in range(lanes):
        target[lane::lanes] = source[lane * stride :][:n]


def _product(x, y, out, n, k, m):
    out[: n * m] = (x[: n * k].reshape((n, k)) @ y[: k * m].reshape((k, m))).ravel()


def _row_product(x, y, out, n, k, m):
    out[: k * m] = (x[: n * k].reshape((n, k)).T @ y[: n * m].reshape((n, m))).ravel()


@functools.cache
def _names() -> dict[str, Any]:
    """What a sweep calls, by NumPy. Functions with a bound have a low one, to be left often."""
    special = _special_functions()
    names = {n: special.get(n) or getattr(np, n) for n in vecmath.FUNCTIONS}
    for n in [n for n, f in vecmath.FUNCTIONS.items() if f.bound]:
        names[f"{n}_slow"] = names[n]
        names[f"{n}_inside"] = lambda *xs: all(abs(x) < 1.2 for x in xs)
    names |= {f"{n}_{kind}": f for n, f in names.items() for kind in ("f32", "f64")}
    loops = {
        "radd": lambda a, b: a + b,
        "order_of": lambda x: (bool(x != x), x),
        "value_of": lambda key: key[1],
        "product": _product,
        "row_product": _row_product,
        "Outside": reductions.Outside,
        "add_at_places": tables.add_at_places.py_func,
        "stream": lambda source, target: np.copyto(target, source),
        "fence": lambda: None,
    }
    for size in (4, 8):
        loops |= {f"rows_to_lanes{size}": _rows_to_lanes, f"lanes_to_rows{size}": _lanes_to_rows}
    return {**names, **loops, **scratch.TYPES, "np": np, "inf": math.inf, "nan": math.nan}


HALF = {"f16": np.dtype(np.float16)}
"""The types of half precision, which are stored as int16."""
with contextlib.suppress(ImportError):
    HALF["bf16"] = np.dtype(import_module("ml_dtypes").bfloat16)


def _conversions() -> dict[str, Any]:
    """From and to half precision, as NumPy has them."""
    found: dict[str, Any] = {}
    for name, dtype in HALF.items():
        found[name] = np.int16
        found[f"from_{name}"] = lambda x, d=dtype: x.view(d).astype(np.float32)[()]
        found[f"to_{name}"] = lambda x, d=dtype: np.float32(x).astype(d).view(np.int16)
        found[f"to_{name}_f32"] = found[f"to_{name}"]
    return found


def load_interpreted(
    text: str, dtype: np.dtype, arguments: Sequence[str], vector_bits: int | None = None
) -> Callable[..., Any]:
    """In place of `store.load`: the sweep as a Python function that checks its arguments."""
    names = dict(_names()) | _conversions()
    exec(compile(text, "<sweep>", "exec"), names)
    function = names["sweep"]
    parameters = list(inspect.signature(function).parameters)
    assert len(parameters) == len(arguments)

    def sweep(*args: Any) -> None:
        given = []
        for name, kind, x in zip(parameters, arguments, args, strict=True):
            if kind == "int64":
                assert type(x) is int
            else:
                x = _checked(x, kind)
                scratch = not re.fullmatch(r"[aoc]\d+|m[bfi]\d+", name)
                if scratch and x.dtype.kind == "f":
                    x[...] = np.nan
                if scratch and element_of(kind) in HALF:
                    x[...] = QUIET
            given.append(x)
        with np.errstate(all="ignore"):
            function(*given)

    return sweep


QUIET = 0x7FFF
"""A NaN of both types in half precision."""


def element_of(kind: str) -> str:
    return kind.partition("(")[2].rstrip(")")


def _checked(x: Any, kind: str) -> Any:
    access, element = re.fullmatch(r"(read|write)\((\w+)\)", kind).groups()  # type: ignore[union-attr]
    assert x.ndim == 1 and x.flags.c_contiguous and x.flags.aligned
    x = x.view(np.int16) if element in HALF else x
    assert x.dtype == scratch.TYPES[element]
    if access == "read":
        x = x.view()
        x.flags.writeable = False
    return x


# Programs over batches


UNARY = (
    "np.sin({0})|np.cos({0})|np.tanh({0})|np.exp(-{0} * {0})|"
    "np.sqrt(1 + {0} * {0})|-{0}|np.abs({0})|"
    "np.arctan({0})|np.maximum({0}, 0.25)|np.log1p({0} * {0})|gnp.sigmoid({0})|{0} ** 3 * 0.1|"
    "np.floor({0}) * {0}|gnp.softplus({0})|np.clip({0}, -0.5, 0.75)|gnp.erf({0})|{0}[::-1]|"
    "np.nan_to_num({0})|{0}.astype({0}.dtype)".split("|")
)
BINARY = (
    "{0} + {1}|{0} - {1}|{0} * {1}|{0} / (1.5 + {1} * {1})|np.maximum({0}, {1})|"
    "np.where({0} > {1}, {0}, {1} * 0.5)|np.logaddexp({0}, {1})|np.hypot({0}, 1 + {1} * {1})|"
    "np.where(({0} > 0.1) & ({1} < 0.3), {0}, 0.25)".split("|")
)
REDUCED = (
    "np.sum({0}, axis={1})|np.mean({0}, axis={1}, keepdims=True)|np.max({0}, axis={1})|"
    "np.min({0}, axis={1}, keepdims=True)|gnp.logsumexp({0}, axis={1})|np.std({0}, axis={1})|"
    "np.sum(np.square({0} - np.mean({0}, axis={1}, keepdims=True)), axis={1})".split("|")
)
MOVED = (
    "{0}.T|np.concatenate([{0}, {0} * 0.5], axis={1})|np.flip({0}, axis={1})|np.pad({0}, 1)|"
    "np.roll({0}, 1, axis={1})|np.stack([{0}, -{0}], axis={1})|"
    "{0}.reshape(-1)|np.cumsum({0}, axis={1})|"
    "np.take({0}, np.array([0, 0, -1]), axis={1})|gnp.softmax({0}, axis={1})|{0}[..., :1]|"
    "np.repeat({0}, 2, axis={1})|gnp.log_softmax({0}, axis={1})|np.expand_dims({0}, {1})|"
    "{0}.reshape({0}.shape[0], -1)|np.moveaxis({0}, {1}, 0)|{0}[1:]|{0}[:, 0]".split("|")
)
BATCH_SHAPES = ("n d", "n d", "n", "d", "d k", "", "n 1", "n k", "1 d", "k", "n d k", "n n")
SIZE = 4000


def batch_program(
    rng: random.Random, rows: int, dtypes: Sequence[Any] = ()
) -> tuple[str, list[Any]]:
    """The text of a function of batches of so many rows, and inputs for it, in these dtypes."""
    lengths = {"n": rows, "d": rng.choice([1, 2, 3, 5, 17]), "k": rng.choice([1, 2, 4])}
    lengths["1"] = 1
    draw = np.random.default_rng(rng.randrange(10**6))
    dtypes = dtypes or rng.choice([[np.float64], [np.float32], [np.float64, np.float32]])
    known = {}
    for i in range(rng.randrange(2, 5)):
        shape = tuple([lengths[c] for c in rng.choice(BATCH_SHAPES).split()])
        if math.prod(shape) <= SIZE:
            known[f"x{i}"] = draw.normal(size=shape).astype(rng.choice(dtypes))
    inputs, lines = list(known.values()), []
    for _ in range(rng.randrange(2, 8)):
        name = f"v{len(lines)}"
        text = _line(rng, known)
        value = _value(text, known)
        if value is not None:
            known[name] = value
            lines.append(f"    {name} = {text}")
    results = [n for n in known if n.startswith("v")][-3:] or list(known)
    head = f"def program({', '.join(n for n in known if n.startswith('x'))}):"
    return "\n".join([head, *lines, f"    return {', '.join(results)},"]) + "\n", inputs


def _line(rng: random.Random, known: dict[str, Any]) -> str:
    x, y = rng.choice(list(known)), rng.choice(list(known))
    if known[x].ndim == 0:
        return rng.choice(BINARY).format(y, x)
    axis = rng.randrange(-known[x].ndim, known[x].ndim)
    kind = rng.choice("uubbbrrrmmp")
    if kind == "p":
        return rng.choice(["{0} @ {1}", "{0}.T @ {1}", "{0} @ {1}.T", "np.dot({1}, {0})"]).format(
            x, y
        )
    options = {"u": UNARY, "b": BINARY, "r": REDUCED, "m": MOVED}[kind]
    return rng.choice(options).format(x, axis if kind in "rm" else y)


def _value(text: str, known: dict[str, Any]) -> Any:
    """The value of a line, or None where it has none or one that is not tame."""
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(eval(text, {"np": np, "gnp": gnp}, dict(known)))
    except (ValueError, IndexError, TypeError):
        return None
    tame = 0 < value.size <= SIZE and value.dtype.kind == "f" and np.all(np.abs(value) < 30)
    return value if tame else None


def compiled_program(source: str) -> Callable[..., Any]:
    """The program as a function of arrays."""
    names: dict[str, Any] = {"np": np, "gnp": gnp}
    exec(source, names)
    return names["program"]
