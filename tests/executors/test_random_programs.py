"""Random programs against JAX in float64: value, JVP, VJP and HVPs, un-jitted and jitted.

``GPUAD_EXAMPLES=2000 pytest -n0 tests/executors/test_random_programs.py`` takes as many programs.
"""

import contextlib
import itertools
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

EXAMPLES = int(os.environ.get("GPUAD_EXAMPLES", "150"))
TOLERANCE = 1e-9
MODES = ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")


def settings(share: float) -> Callable[[Any], Any]:
    """Hypothesis's settings for this share of the examples."""
    return hypothesis.settings(
        max_examples=max(1, round(share * EXAMPLES)),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


QUICKLY: dict[str, Any] = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """JAX with 64 bits, compiling without optimisation: a program is run once."""
    with jax.enable_x64(True):
        yield


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
            results = jax.jit(all_at_once, compiler_options=QUICKLY)(tuple(self.inputs), tuple(self.tangents))
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
    scale = max([1.0, *[float(np.max(np.abs(x))) for x in expected]])
    for i, (x, y) in enumerate(zip(results, expected, strict=True)):
        if np.shape(x) != np.shape(y) or np.asarray(x).dtype != y.dtype:
            return f"[{i}] is {np.asarray(x).dtype}{np.shape(x)}, not {y.dtype}{y.shape}"
        error = np.max(np.abs(x - y))
        if not error <= TOLERANCE * scale:
            return f"[{i}] is off by {error:.2e} of {scale:.2e}:\n{x}\n{y}"
    return None


@settings(1.0)
@hypothesis.given(program(), st.sampled_from([np, gnp]))
def test_derivatives_are_jaxs(asked: Program, xp: Any) -> None:
    derivatives = Derivatives(asked)
    expected = derivatives.by_jax()
    results = derivatives.by_gpuad(xp)
    for kind, theirs in KINDS.items():
        difference = differ(results[kind], expected[theirs])
        assert difference is None, f"{kind}{difference}"


def reference_jit(function: Callable[..., Any]) -> Callable[..., Any]:
    return gpuad.jit(function, executor="reference")


@settings(1.0)
@hypothesis.given(program())
def test_jitted_is_unjitted(asked: Program) -> None:
    derivatives = Derivatives(asked)
    plain = derivatives.by_gpuad(np)
    for kind, results in derivatives.by_gpuad(np, reference_jit).items():
        difference = differ(results, [np.asarray(x) for x in plain[kind]])
        assert difference is None, f"{kind}{difference}"
