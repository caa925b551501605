"""Random programs over the whole catalogue against JAX in float64: linear algebra, Fourier
transforms, special functions, code that works in place and everything that the other random
programs have. Values, JVPs, gradients and HVPs; un-jitted, jitted by both executors, for batches of
rows and in chunks of them; complex inputs now and then.

``GPUAD_EXAMPLES=1000 GPUAD_FIRST=40 pytest -n0 tests/executors/test_random_catalogue.py`` takes as
many programs, from this one on: the number of a program in a test's name makes it again.
"""

import contextlib
import functools
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import gpuad
import gpuad.numpy as gnp
from executors.programs import WHOLE, Program, arrays, compiled, written

pytest.importorskip("jax")
pytest.importorskip("numba")

import jax
import jax.numpy as jnp

from executors.test_native import WRITERS
from executors.test_random_native import Way, compiled_in
from executors.test_random_programs import QUICKLY, float64

EXAMPLES = int(os.environ.get("GPUAD_EXAMPLES", "12"))
FIRST = int(os.environ.get("GPUAD_FIRST", "0"))
TOLERANCE = 1e-8
SPREAD = 1e-5
"""How far rows of a batch are from each other."""
HVPS = ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")
KINDS = ("value", "jvp", "gradient", "hvp")


def loss_of(asked: Program, xp: Any, weights: Sequence[Any]) -> Callable[..., Any]:
    """The real part of the sum of the program's results, weighted; and the results."""
    function = compiled(asked, xp)

    def loss(*inputs: Any) -> Any:
        outs = function(*inputs)
        parts = [xp.sum(xp.real(w * x)) for w, x in zip(weights, outs, strict=True)]
        return sum(parts), outs

    return loss


def derivatives_by_jax(asked: Program, weights: Sequence[Any]) -> Callable[..., Any]:
    loss = loss_of(asked, jnp, weights)

    def slopes(*inputs: Any) -> Any:
        gradient = jax.grad(loss, tuple(range(len(inputs))), has_aux=True)
        return gradient(*inputs)

    def all_at_once(inputs: Any, tangents: Any) -> Any:
        (gradient, outs), (product, outs_dot) = jax.jvp(slopes, inputs, tangents)
        return outs, outs_dot, gradient, product

    return all_at_once


def derivatives_by_gpuad(asked: Program, xp: Any, weights: Sequence[Any], mode: str) -> Any:
    function, with_results = compiled(asked, xp), loss_of(asked, xp, weights)

    def loss(*inputs: Any) -> Any:
        return with_results(*inputs)[0]

    argnums = tuple(range(len(asked.shapes)))
    return (
        lambda inputs, tangents: function(*inputs),
        lambda inputs, tangents: gpuad.jvp(function, inputs, tangents)[1],
        lambda inputs, tangents: gpuad.grad(loss, argnums)(*inputs),
        lambda inputs, tangents: gpuad.hvp(loss, inputs, tangents, mode=mode),
    )


class Comparison:
    """A program, how it is run and what JAX gives; all of it follows from the number."""

    def __init__(self, number: int):
        rng = random.Random(number)
        self.program = written(rng, 6, WHOLE)
        self.rows = rng.choice([None, None, 1, 2, 3, 40])
        self.chunk = rng.choice([None, 1, 2, 16]) if self.rows else None
        self.how = rng.choice(["plain"] * 4 + ["reference"] * 3 + ["native"])
        self.xp = rng.choice([np, np, gnp])
        self.mode = rng.choice(HVPS)
        self.way = Way(
            rng.choice(WRITERS), rng.choice([1, 2, 16]), 1 << 20, rng.choice([1000, 40]),
            rng.choice([1, 2]),
        )  # fmt: skip
        program = self.program
        self.given = [program.inputs(), program.inputs(1)]
        with np.errstate(all="ignore"):
            outs = compiled(program, np)(*self.given[0])
        chosen = [i for i, x in enumerate(outs) if np.iscomplexobj(x)]
        self.weights = arrays([np.shape(x) for x in outs], program.seed + 2, chosen)
        if self.rows:
            shifts = SPREAD * np.arange(self.rows)
            self.given = [[np.stack([x + h for h in shifts]) for x in xs] for xs in self.given]

    def __str__(self) -> str:
        way = f"rows={self.rows} chunk={self.chunk} {self.how} {self.xp.__name__} {self.mode}"
        shapes = f"{self.program.shapes} complex {self.program.complex_inputs}"
        return f"{way} {self.way}\n{shapes}\n{self.program.source}"

    def expected(self, jitted: bool = True) -> list[list[Any]]:
        f = derivatives_by_jax(self.program, self.weights)
        f = jax.vmap(f) if self.rows else f
        f = jax.jit(f, compiler_options=QUICKLY) if jitted else f
        with float64():
            given = [tuple([jnp.asarray(x) for x in xs]) for xs in self.given]
            return [[np.asarray(x) for x in xs] for xs in f(*given)]

    def found(self) -> list[list[Any]]:
        functions = derivatives_by_gpuad(self.program, self.xp, self.weights, self.mode)
        given = [tuple(xs) for xs in self.given]
        if self.rows:
            vmap = functools.partial(gpuad.vmap, chunk_size=self.chunk)
            functions = tuple([vmap(f) for f in functions])

        def everything(*given: Any) -> Any:
            return tuple([f(*given) for f in functions])

        run = everything if self.how == "plain" else gpuad.jit(everything, executor=self.how)
        native = compiled_in(self.way) if self.how == "native" else contextlib.nullcontext()
        with native:
            return [[np.asarray(x) for x in xs] for xs in run(*given)]


def difference(found: Sequence[Any], expected: Sequence[Any]) -> str | None:
    """How results differ from what is expected, beyond the tolerance relative to its scale."""
    scale = max([1.0, *[float(np.max(np.abs(x), initial=0.0)) for x in expected]])
    for i, (x, y) in enumerate(zip(found, expected, strict=True)):
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"[{i}] is {x.dtype}{x.shape}, not {y.dtype}{y.shape}"
        error = float(np.max(np.abs(x - y), initial=0.0))
        if not error <= TOLERANCE * scale:
            return f"[{i}] is off by {error:.2e} of {scale:.2e}:\n{x}\n{y}"
    return None


def check(number: int) -> str | None:
    """What is wrong with the program of this number; "singular" if its derivatives are not
    finite, as those of rows under vmap can be, which a program was not written for; "XLA" if that
    cannot transform arrays in another layout un-jitted either.

    XLA's faults are not ours: where it cannot compile a program (transforms of arrays in another
    layout), or compiles it wrongly (rows of a batch that ought to be alike are not), JAX is run
    un-jitted.
    """
    asked = Comparison(number)
    try:
        expected = asked.expected()
    except jax.errors.JaxRuntimeError:
        try:
            expected = asked.expected(jitted=False)
        except jax.errors.JaxRuntimeError as error:
            if "fft_thunk" not in str(error):
                raise
            return "XLA"
    if not finite(expected):
        return "singular"
    found = asked.found()
    if differences(found, expected) is None:
        return None
    expected = asked.expected(jitted=False)
    if not finite(expected):
        return "singular"
    wrong = differences(found, expected)
    return wrong and f"{wrong}\n{asked}"


def finite(results: Sequence[Sequence[Any]]) -> bool:
    return all(np.all(np.isfinite(x)) for xs in results for x in xs)


def differences(found: Any, expected: Any) -> str | None:
    for kind, xs, ys in zip(KINDS, found, expected, strict=True):
        wrong = difference(xs, ys)
        if wrong is not None:
            return f"{kind}{wrong}"
    return None


@pytest.mark.parametrize("number", range(FIRST, FIRST + EXAMPLES))
def test_derivatives_are_jaxs(number: int) -> None:
    wrong = check(number)
    assert wrong in (None, "singular", "XLA"), wrong
