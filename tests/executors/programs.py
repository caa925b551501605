"""Random programs: the text of a Python function of arrays, run by gpuad, NumPy or JAX.

A program is written line by line. Each line is run on the program's inputs as it is written, so
that operations stay inside their domains, away from ties, and values stay bounded. The text calls
`xp` for array functions, `ad` for transforms of functions and `np` for constants::

    def program(x0, x1):
        v0 = xp.tanh(x0 @ x1)

        def f0(a0):
            return xp.sum(a0 * v0)

        v1 = ad.vmap(f0)(x1)
        return v0, v1
"""

import functools
import importlib
import itertools
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

import gpuad
import gpuad.numpy as gnp
from executors import (  # noqa: F401  register their steps
    program_fourier,
    program_library,
    program_matrices,
    program_structure,
)
from executors.program_functions import take_step
from executors.program_inplace import Editable, into
from executors.program_steps import CATALOGUE, STEPS, Step
from gpuad.tracing import Tracer

MAX_VALUE = 4.0


@dataclass(frozen=True)
class Repertoire:
    """What programs are made of: steps, shapes of inputs, the axes and elements that an array has
    at most, and how many of a hundred programs have a complex input."""

    steps: Sequence[Step]
    shapes: tuple[tuple[int, ...], ...]
    axes: int
    size: int
    complex_inputs: int


@dataclass(frozen=True)
class Program:
    """The text of a function, and the inputs that it was written for."""

    source: str
    shapes: tuple[tuple[int, ...], ...]
    seed: int
    complex_inputs: tuple[int, ...] = ()

    def inputs(self, shift: int = 0) -> list[Any]:
        """The arrays that the program was written for, or, with a shift, others like them."""
        return arrays(self.shapes, self.seed + shift, self.complex_inputs)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How Hypothesis shows a program: code that makes it again."""
        inputs = f"{self.shapes}, {self.seed}, {self.complex_inputs}"
        printer.text(f'Program("""\\\n{self.source}""", {inputs})')


def arrays(
    shapes: Sequence[tuple[int, ...]], seed: int, complex_ones: Sequence[int] = ()
) -> list[Any]:
    """Arrays of float64 of these shapes with elements in (-1.5, 1.5), or complex where their
    number is among `complex_ones`; scalars without axes."""
    rng = np.random.default_rng(seed)
    found = [rng.uniform(-1.5, 1.5, s) for s in shapes]
    for i in complex_ones:
        found[i] = found[i] + 1j * rng.uniform(-1.5, 1.5, shapes[i])
    return [np.asarray(a)[()] for a in found]


def run(program: Program, xp: ModuleType, *inputs: Any) -> tuple[Any, ...]:
    """The results of the program, as written in `xp`: numpy, gpuad.numpy or jax.numpy.

    With numpy and gpuad.numpy the inputs are arrays or Tracers.
    """
    return compiled(program, xp)(*inputs)


@functools.lru_cache(maxsize=16)
def compiled(program: Program, xp: ModuleType) -> Callable[..., tuple[Any, ...]]:
    """The program as a function of arrays, written in `xp`."""
    names = namespace(xp)
    exec(program.source, names)
    return names["program"]


# What the names in a program mean


class Names:
    """The functions of several modules; the first that has a name wins."""

    def __init__(self, *modules: Any):
        self._modules = modules

    def __getattr__(self, name: str) -> Any:
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)


def namespace(xp: ModuleType) -> dict[str, Any]:
    """The globals of a program."""
    dialect = _jax() if xp.__name__ == "jax.numpy" else _gpuad(xp)
    return {"np": np, **dialect}


def _gpuad(xp: ModuleType) -> dict[str, Any]:
    def custom_jvp(function: Any, rule: Any) -> Any:
        custom = gpuad.custom_jvp(function)
        custom.defjvp(rule)
        return custom

    def custom_vjp(function: Any, forward: Any, backward: Any) -> Any:
        custom = gpuad.custom_vjp(function)
        custom.defvjp(forward, backward)
        return custom

    def put(x: Any, key: Any, value: Any, how: str) -> Any:
        if isinstance(x, Tracer) and xp is gnp:
            return getattr(x.at[key], how)(value)
        y = xp.copy(x) if isinstance(x, Tracer) else gnp.zeros(np.shape(x))
        y[...] = x
        if how == "set":
            y[key] = value
        elif how == "add":
            y[key] += value
        elif how == "multiply":
            y[key] *= value
        else:
            y[key] = getattr(np, f"{how}imum")(y[key], value)
        return y

    def put_at(x: Any, key: Any, value: Any, how: str) -> Any:
        """As `put`, where places that the key names several times take part as often."""
        y = xp.copy(x) if isinstance(x, Tracer) else gnp.zeros(np.shape(x))
        y[...] = x
        ufunc = np.add if how == "add" else getattr(np, f"{how}imum")
        ufunc.at(y, key, value)
        return y

    def editable(x: Any) -> Any:
        """A copy that can be modified in place, by traced values too."""
        if isinstance(x, Tracer):
            return x.copy()
        y = gnp.zeros(np.shape(x), np.asarray(x).dtype)
        y[...] = x
        return y

    transforms = SimpleNamespace(
        **{n: getattr(gpuad, n) for n in ("vmap", "checkpoint", "grad", "stop_gradient")},
        editable=editable,
        into=lambda view, name, *args: getattr(xp, name)(*args, out=view),
        edited=lambda y: y,
        jit=functools.partial(gpuad.jit, executor="reference"),
        custom_jvp=custom_jvp,
        custom_vjp=custom_vjp,
        put=put,
        put_at=put_at,
        derivative=lambda f, x, x_dot: gpuad.jvp(f, (x,), (x_dot,))[1],
        pullback=lambda f, x, seed: gpuad.vjp(f, x)[1](seed)[0],
        product=lambda f, x, v: gpuad.hvp(f, (x,), (v,))[0],
        linear=lambda f, x, x_dot: gpuad.linearize(f, x)[1](x_dot),
        jacrev=gpuad.jacrev,
        jacfwd=gpuad.jacfwd,
    )
    return {"xp": Names(xp, gnp), "sp": gpuad.scipy, "ad": transforms}


@functools.cache
def _jax() -> dict[str, Any]:
    import jax

    def custom_jvp(function: Any, rule: Any) -> Any:
        custom = jax.custom_jvp(function)
        custom.defjvp(rule)
        return custom

    def product(f: Any, x: Any, v: Any) -> Any:
        return jax.jvp(jax.grad(f), (x,), (v,))[1]

    def eig(x: Any) -> Any:
        return jax.lax.linalg.eig(x, compute_left_eigenvectors=False, enable_eigvec_derivs=True)

    def beta(a: Any, b: Any) -> Any:
        """JAX's own is off by 1e-8 where an argument is above 8."""
        return jax.numpy.exp(betaln(a, b))

    def betaln(a: Any, b: Any) -> Any:
        gammaln = jax.scipy.special.gammaln
        return gammaln(a) + gammaln(b) - gammaln(a + b)

    def solve(a: Any, b: Any, assume_a: str = "gen", **how: Any) -> Any:
        """With assume_a="pos" JAX's gradient for complex matrices is not that of differences."""
        return jax.scipy.linalg.solve(a, b, **how)

    transforms = SimpleNamespace(
        **{n: getattr(jax, n) for n in ("vmap", "checkpoint", "grad", "jit", "jacrev", "jacfwd")},
        stop_gradient=jax.lax.stop_gradient,
        custom_jvp=custom_jvp,
        # JAX has no forward mode for these; the rules of our programs are the true derivatives.
        custom_vjp=lambda function, forward, backward: function,
        put=lambda x, key, value, how: getattr(jax.numpy.asarray(x).at[key], how)(
            value, unique_indices=True
        ),
        put_at=lambda x, key, value, how: getattr(jax.numpy.asarray(x).at[key], how)(value),
        editable=Editable.of,
        into=into,
        edited=lambda y: y.value(),
        derivative=lambda f, x, x_dot: jax.jvp(f, (x,), (x_dot,))[1],
        pullback=lambda f, x, seed: jax.vjp(f, x)[1](seed)[0],
        product=product,
        linear=lambda f, x, x_dot: jax.linearize(f, x)[1](x_dot),
    )
    further = SimpleNamespace(
        logcumsumexp=lambda x, axis: jax.lax.cumlogsumexp(x, axis % x.ndim),
        cummax=lambda x, axis: jax.lax.cummax(x, axis % x.ndim),
        cummin=lambda x, axis: jax.lax.cummin(x, axis % x.ndim),
        rsqrt=jax.lax.rsqrt,
        fix=jax.numpy.trunc,
        bincount=lambda x, weights, minlength: jax.numpy.bincount(x, weights, length=minlength),
        linalg=Names(SimpleNamespace(eig=eig, eigvals=lambda x: eig(x)[0]), jax.numpy.linalg),
        # jax.numpy's own asks for the values of the array under jit
        compress=lambda mask, x, axis: jax.numpy.take(x, np.flatnonzero(mask), axis),
    )
    for module in ("fft", "linalg", "ndimage", "signal", "interpolate"):
        importlib.import_module(f"jax.scipy.{module}")
    special = Names(SimpleNamespace(beta=beta, betaln=betaln), jax.scipy.special)
    linalg = Names(SimpleNamespace(solve=solve), jax.scipy.linalg)
    names = Names(further, jax.numpy, jax.nn, special)
    scipy = Names(SimpleNamespace(special=special, linalg=linalg), jax.scipy)
    return {"xp": names, "sp": scipy, "ad": transforms}


# Writing a program


class Author:
    """Writes the lines of one function, running each on the way.

    Attributes
    ----------
    known
        The values so far by name, those of the functions around this one included.
    own
        The names of this function's own values, in order.
    """

    def __init__(
        self,
        rng: random.Random,
        parameters: dict[str, Any],
        repertoire: Repertoire,
        outer: "Author | None" = None,
    ):
        self.rng = rng
        self.repertoire = repertoire
        self.outer = outer
        self.depth = 0 if outer is None else outer.depth + 1
        self.globals: dict[str, Any] = namespace(np) if outer is None else outer.globals
        self.number: Iterator[int] = itertools.count() if outer is None else outer.number
        self.known = {**({} if outer is None else outer.known), **parameters}
        self.own = list(parameters)
        self.unused = list(parameters)
        self.lines: list[str] = []

    # Choosing

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self.rng.randrange(len(options))]

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def array(
        self, condition: Callable[[Any], bool] = lambda x: True, kinds: str = "f"
    ) -> str | None:
        """The name of a value that the condition holds for; rather one not used yet.

        `kinds`: those of its dtype, "f" for real, "c" for complex or "fc" for both.
        """
        of_kind = [(n, x) for n, x in self.known.items() if np.asarray(x).dtype.kind in kinds]
        fitting = [n for n, x in of_kind if condition(x)]
        mine = [n for n in fitting if n in self.own]
        fresh = [n for n in mine if n in self.unused]
        for names, percent in ((fresh, 60), (mine, 80), (fitting, 100)):
            if names and self.chance(percent):
                return self.choice(names)
        return self.choice(fitting) if fitting else None

    def shape(self, name: str) -> tuple[int, ...]:
        return np.shape(self.known[name])

    def numbers(self, shape: tuple[int, ...]) -> str:
        """The text of a real constant array."""
        rng = np.random.default_rng(self.rng.randrange(1000))
        values = np.round(rng.uniform(-1.5, 1.5, shape), 2) + 0.003
        return f"np.array({values.tolist()})" if shape else f"{values:.3f}"

    # Writing

    def new(self, prefix: str) -> str:
        return f"{prefix}{next(self.number)}"

    def evaluate(self, text: str) -> Any:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing have no place
            return eval(text, {**self.globals, **self.known})

    def define(self, name: str, lines: Sequence[str]) -> None:
        """Writes a function of this program."""
        scope = {**self.globals, **self.known}
        exec("\n".join(lines), scope)
        self.globals[name] = scope[name]
        self.lines += ["", *lines, ""]

    def let(self, text: str) -> str | None:
        """Writes ``m = text``, for use in a further line."""
        value = self.evaluate(text)
        if not self.has_place(value):
            return None
        name = self.new("m")
        self.lines.append(f"{name} = {text}")
        self.unused = [n for n in self.unused if n not in text]
        self.known[name] = value
        return name

    def has_place(self, value: Any) -> bool:
        """Whether programs have such values."""
        if np.ndim(value) > self.repertoire.axes or not 0 < np.size(value) <= self.repertoire.size:
            return False
        return bool(np.all(np.isfinite(value)) and np.max(np.abs(value)) <= 1e3)

    def write(self, text: str) -> bool:
        """Writes ``v = text``, squashed if it is large; False if it has no place in a program."""
        value = self.evaluate(text)
        if not self.has_place(value):
            return False
        largest = np.max(np.abs(value))
        if largest > MAX_VALUE:
            scaled = f"{MAX_VALUE / largest:.3g} * ({{}})"
            text = (scaled if np.iscomplexobj(value) else self.choice(SQUASHED)).format(text)
            value = self.evaluate(text)
        name = self.new("v")
        self.lines.append(f"{name} = {text}")
        self.unused = [n for n in self.unused if n not in text]
        self.known[name] = value
        self.own.append(name)
        self.unused.append(name)
        return True

    @contextmanager
    def inner(self, parameters: dict[str, Any]) -> Iterator["Author"]:
        """The author of a function inside this one."""
        yield Author(self.rng, parameters, self.repertoire, self)

    def text(self, name: str, result: str) -> list[str]:
        """The lines of the function that returns `result`."""
        parameters = ", ".join(n for n in self.own if not n.startswith("v"))
        body = [f"    {line}" if line else "" for line in (*self.lines, f"return {result}")]
        return [f"def {name}({parameters}):", *body]


SQUASHED = ("xp.tanh(0.3 * ({}))", "xp.sin({})", "xp.arctan({})", "xp.arcsinh({})")

BASIC = Repertoire(
    STEPS,
    ((), (2,), (3,), (4,), (1,), (2, 3), (3, 2), (3, 3), (1, 3), (2, 1), (2, 2, 3), (2, 1, 2)),
    axes=3,
    size=24,
    complex_inputs=0,
)
WHOLE = Repertoire(
    [*STEPS, *CATALOGUE],
    (
        (), (3,), (8,), (2, 3), (4, 2), (1, 3), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (2, 3, 3),
        (2, 2, 2), (40, 2, 2), (33, 3, 3), (31, 2, 2), (4, 9, 2, 2), (2, 1, 3, 3), (3, 4, 2),
    ),
    axes=4,
    size=400,
    complex_inputs=25,
)  # fmt: skip
"""Linear algebra, Fourier transforms, special functions and code that works in place as well, on
batches of matrices of both sides of 32, from which on small ones are written out."""


@st.composite
def program(draw: Any, longest: int = 8) -> Program:
    """Programs of one to three inputs and up to `longest` lines, not counting inner functions."""
    return written(draw(st.randoms(use_true_random=False)), longest, BASIC)


def written(rng: random.Random, longest: int, repertoire: Repertoire) -> Program:
    """A program of one to three inputs and up to `longest` lines."""
    shapes = repertoire.shapes
    shapes = tuple([shapes[rng.randrange(len(shapes))] for _ in range(rng.randrange(1, 4))])
    seed = rng.randrange(10_000)
    often = repertoire.complex_inputs
    complex_inputs = (0,) if often and rng.randrange(100) < often else ()
    asked = Program("", shapes, seed, complex_inputs)
    author = Author(rng, {f"x{i}": x for i, x in enumerate(asked.inputs())}, repertoire)
    wanted = rng.randrange(2, longest + 1)
    for _ in range(4 * longest):
        if wanted == 0:
            break
        try:
            wanted -= take_step(author)
        except Exception as error:
            error.add_note(f"on the line after\n{finished(author, asked).source}")
            raise
    return finished(author, asked)


def finished(author: Author, asked: Program) -> Program:
    """The program that returns every value that nothing in it uses."""
    results = author.unused or author.own  # a line for a further one uses a value alone
    source = "\n".join(author.text("program", ", ".join(results) + ","))
    return replace(asked, source=source + "\n")
