"""Random programs against JAX in float64: value, JVP, VJP and HVPs, un-jitted and jitted.

``GPUAD_EXAMPLES=2000 pytest -n0 tests/executors/test_random_programs.py`` takes as many programs.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gpuad
import gpuad.numpy as gnp
from executors.programs import Program, arrays, compiled, program

jax = pytest.importorskip("jax")
jnp = jax.numpy

EXAMPLES = int(os.environ.get("GPUAD_EXAMPLES", "100"))
TOLERANCE = 1e-9
PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate, hypothesis.Phase.shrink)
MODES = ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")


def settings(share: float) -> Callable[[Any], Any]:
    """Hypothesis's settings for this share of the examples."""
    return hypothesis.settings(
        max_examples=max(1, round(share * EXAMPLES)),
        deadline=None,
        derandomize=True,
        database=None,
        phases=PHASES,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """JAX with 64 bits."""
    with jax.enable_x64(True):
        yield


def _is_known(option: str, value: Any) -> bool:
    """Whether this version of XLA has an option."""
    try:
        jax.jit(lambda x: x, compiler_options={option: value})(0.0)
    except jax.errors.JaxRuntimeError:
        return False
    return True


_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
QUICKLY = {option: value for option, value in _OPTIONS.items() if _is_known(option, value)}
"""A program is run once: most of the time goes to XLA's compiler."""


class Derivatives:
    """What is asked of a program: its values and derivatives along given directions."""

    def __init__(self, asked: Program):
        self.program = asked
        self.inputs = asked.inputs()
        self.tangents = arrays(asked.shapes, asked.seed + 1)
        outs = compiled(asked, np)(*self.inputs)
        self.weights = arrays([np.shape(x) for x in outs], asked.seed + 2)

    def function(self, xp: Any) -> Callable[..., Any]:
        return compiled(self.program, xp)

    def loss(self, xp: Any) -> Callable[..., Any]:
        """The sum of all results, weighted."""
        function = self.function(xp)

        def loss(*inputs: Any) -> Any:
            outs = function(*inputs)
            return sum(xp.sum(w * x) for w, x in zip(self.weights, outs, strict=True))

        return loss

    def by_jax(self) -> dict[str, Any]:
        function, loss = self.function(jnp), self.loss(jnp)
        argnums = tuple(range(len(self.inputs)))

        def all_at_once(inputs: Any, tangents: Any) -> dict[str, Any]:
            outs, outs_dot = jax.jvp(function, inputs, tangents)
            gradient, product = jax.jvp(jax.grad(loss, argnums), inputs, tangents)
            return {"value": outs, "jvp": outs_dot, "vjp": gradient, "hvp": product}

        with float64():
            results = jax.jit(all_at_once, compiler_options=QUICKLY)(
                tuple(self.inputs), tuple(self.tangents)
            )
            return {k: [np.asarray(x) for x in v] for k, v in results.items()}

    def by_gpuad(self, xp: Any, transform: Callable[..., Any] = lambda f: f) -> dict[str, Any]:
        function, loss = self.function(xp), self.loss(xp)
        inputs, tangents = tuple(self.inputs), tuple(self.tangents)
        argnums = tuple(range(len(inputs)))

        def pulled_back(*inputs: Any) -> Any:
            return gpuad.vjp(function, *inputs)[1](tuple(self.weights))

        asked = {
            "value": lambda *both: function(*both[: len(inputs)]),
            "jvp": lambda *both: gpuad.jvp(function, both[: len(inputs)], both[len(inputs) :])[1],
            "vjp": lambda *both: pulled_back(*both[: len(inputs)]),
            "grad": lambda *both: gpuad.grad(loss, argnums)(*both[: len(inputs)]),
        }
        for mode in MODES:
            asked[mode] = lambda *both, mode=mode: gpuad.hvp(
                loss, both[: len(inputs)], both[len(inputs) :], mode=mode
            )
        return {k: transform(f)(*inputs, *tangents) for k, f in asked.items()}


KINDS = {"value": "value", "jvp": "jvp", "vjp": "vjp", "grad": "vjp", **dict.fromkeys(MODES, "hvp")}


def differ(results: Sequence[Any], expected: Sequence[Any]) -> str | None:
    """How the results differ from what is expected, beyond the tolerance relative to its scale."""
    finite = [x[np.isfinite(x)] for x in map(np.asarray, expected)]
    scale = max([1.0, *[float(np.max(np.abs(x))) for x in finite if x.size]])
    for i, (x, y) in enumerate(zip(results, expected, strict=True)):
        if np.shape(x) != np.shape(y) or x.dtype != y.dtype:
            return f"[{i}] is {x.dtype}{x.shape}, not {y.dtype}{y.shape}"
        with np.errstate(invalid="ignore"):
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            error = np.max(np.where(same, 0.0, np.abs(x - y)))
        if not error <= TOLERANCE * scale:
            return f"[{i}] is off by {error:.2e} of {scale:.2e}:\n{x}\n{y}"
    return None


@settings(1.0)
@hypothesis.given(program(), st.sampled_from([np, gnp]))
def test_derivatives_are_jaxs(asked: Program, xp: Any) -> None:
    derivatives = Derivatives(asked)
    expected = derivatives.by_jax()
    # Rows under vmap, other than the one that the program was written with, may be singular.
    hypothesis.assume(all(np.all(np.isfinite(x)) for found in expected.values() for x in found))
    results = derivatives.by_gpuad(xp)
    for kind, theirs in KINDS.items():
        difference = differ(results[kind], expected[theirs])
        assert difference is None, f"{kind}{difference}"


@settings(0.4)
@hypothesis.given(program())
def test_jitted_is_unjitted(asked: Program) -> None:
    derivatives = Derivatives(asked)
    plain = derivatives.by_gpuad(np)
    jitted = derivatives.by_gpuad(np, functools.partial(gpuad.jit, executor="reference"))
    for kind, results in jitted.items():
        difference = differ(results, plain[kind])
        assert difference is None, f"{kind}{difference}"


@settings(0.4)
@hypothesis.given(program(longest=5), st.integers(1, 3))
def test_vmap_is_a_loop(asked: Program, size: int) -> None:
    derivatives = Derivatives(asked)
    loss, argnums = derivatives.loss(np), tuple(range(len(asked.shapes)))
    functions = {
        "value": derivatives.function(np),
        "grad": gpuad.grad(loss, argnums),
        "hvp": lambda *xs: gpuad.hvp(loss, xs, derivatives.tangents),
    }
    shifts = np.linspace(0, 1e-4, size)
    rows = [tuple([x + h for x in derivatives.inputs]) for h in shifts]
    batch = [np.stack(column) for column in zip(*rows, strict=True)]
    for kind, f in functions.items():
        expected = [np.stack(parts) for parts in zip(*[f(*row) for row in rows], strict=True)]
        difference = differ(gpuad.vmap(f)(*batch), expected)
        assert difference is None, f"{kind}{difference}"


@settings(0.2)
@hypothesis.given(program(longest=5), st.sampled_from(MODES))
def test_several_directions_at_once_are_each_alone(asked: Program, mode: str) -> None:
    derivatives = Derivatives(asked)
    loss, inputs = derivatives.loss(np), tuple(derivatives.inputs)
    lanes = [arrays(asked.shapes, asked.seed + k) for k in (1, 2)]
    alone = [gpuad.hvp(loss, inputs, tuple(lane), mode=mode) for lane in lanes]
    expected = [np.stack(parts) for parts in zip(*alone, strict=True)]
    together = tuple([np.stack(parts) for parts in zip(*lanes, strict=True)])
    difference = differ(gpuad.hvp(loss, inputs, together, mode=mode), expected)
    assert difference is None, difference


@settings(0.2)
@hypothesis.given(program(longest=5), st.data())
def test_arguments_held_constant_have_no_part(asked: Program, data: Any) -> None:
    derivatives = Derivatives(asked)
    loss, inputs = derivatives.loss(np), tuple(derivatives.inputs)
    held = [data.draw(st.booleans()) for _ in inputs]
    hypothesis.assume(not all(held))
    tangents = [None if h else t for h, t in zip(held, derivatives.tangents, strict=True)]
    zeros = [0 * x if h else t for h, x, t in zip(held, inputs, derivatives.tangents, strict=True)]
    products = gpuad.hvp(loss, inputs, tuple(tangents))
    expected = gpuad.hvp(loss, inputs, tuple(zeros))
    assert [x is None for x in products] == held
    moving = [(x, y) for x, y in zip(products, expected, strict=True) if x is not None]
    difference = differ(*zip(*moving, strict=True))
    assert difference is None, difference
