"""Random programs through the whole native path: simplified, lowered, planned, divided into sweeps.

Sweeps run as plain Python (see `sweep_programs`), so that each program takes a tenth of a second,
over blocks of a few rows, cut into segments and pieces of a few rows, in each form of loops.
Values, gradients and HVPs are those of the reference executor, and arguments stay as they were.

``GPUAD_EXAMPLES=2000 pytest -n0 tests/executors/test_random_native.py`` takes as many programs.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gpuad
from executors.programs import Names, Program, arrays, namespace, program
from executors.sweep_programs import HALF, batch_program, compiled_program, load_interpreted
from gpuad.codegen.cpu import target
from gpuad.executors import reference
from gpuad.executors.donation import NOTHING
from gpuad.executors.memory import MemoryStrategy
from gpuad.executors.native import program as programs
from gpuad.executors.native import sweep
from gpuad.executors.steps import Limits
from gpuad.ir.half import epsilon
from gpuad.transforms.lower import lower

pytest.importorskip("numba")

from executors.test_native import WRITERS, use_writer

EXAMPLES = int(os.environ.get("GPUAD_EXAMPLES", "0"))
TOLERANCE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}
LOST = 30
"""In float32, how many times the reference's own rounding errors may be made."""
MODES = ("forward-over-reverse", "reverse-over-forward", "forward-over-forward")


def examples(count: int) -> Callable[[Any], Any]:
    return hypothesis.settings(
        max_examples=EXAMPLES or count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


# How a program is compiled


@dataclass(frozen=True)
class Way:
    """A form of loops; rows of a block and of a piece; units of work in one function; threads."""

    writer: str
    block: int
    piece: int
    effort: int
    threads: int


ways = st.builds(
    Way,
    st.sampled_from(WRITERS),
    st.sampled_from([1, 2, 3, 16]),
    st.sampled_from([1, 64, 1 << 20]),
    st.sampled_from([1000, 40]),
    st.sampled_from([1, 2]),
)


@contextmanager
def compiled_in(way: Way) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sweep, "load", load_interpreted)
        use_writer(monkeypatch, way.writer, way.block)
        free = MemoryStrategy(NOTHING, Limits(way.piece, way.threads), pooled=True)
        monkeypatch.setattr(programs, "FREE", free)
        monkeypatch.setattr(target, "LIMIT", way.effort)
        # Graphs that are equal to earlier ones would keep programs of another way.
        gpuad.clear_cache()
        yield


# How an array lies in memory


def strided(x: np.ndarray) -> np.ndarray:
    wide = np.full([2 * n for n in x.shape], 7, x.dtype)
    wide[tuple([slice(None, None, 2)] * x.ndim)] = x
    return wide[tuple([slice(None, None, 2)] * x.ndim)]


def reversed_(x: np.ndarray) -> np.ndarray:
    return np.flip(np.flip(x).copy())


def read_only(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y.flags.writeable = False
    return y


def unaligned(x: np.ndarray) -> np.ndarray:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    y = memory[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def swapped(x: np.ndarray) -> np.ndarray:
    return x.astype(x.dtype.newbyteorder())


LAYOUTS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    np.asarray,
    np.asfortranarray,
    strided,
    reversed_,
    read_only,
    unaligned,
    swapped,
)
layouts = st.lists(st.sampled_from(LAYOUTS), min_size=6, max_size=6)


def laid_out(values: Sequence[Any], chosen: Sequence[Any]) -> list[Any]:
    pairs = zip(values, chosen, strict=False)
    return [f(x) if isinstance(x, np.ndarray) and x.ndim else x for x, f in pairs]


# What is asked of a program


def function_of(asked: Program, single: bool) -> Callable[..., Any]:
    """The program; if `single`, its constants are float32."""
    names = namespace(np)
    if single:
        names["np"] = Names(SimpleNamespace(array=_single_array), np)
    exec(asked.source, names)
    return names["program"]


def _single_array(x: Any) -> Any:
    x = np.array(x)
    return x.astype(np.float32) if x.dtype == np.float64 else x


def derivatives(function: Callable[..., Any], seed: int, mode: str) -> dict[str, Any]:
    """The value, gradient and HVP as functions of the inputs and of the directions."""

    def loss(*inputs: Any) -> Any:
        outs = function(*inputs)
        weights = arrays([np.shape(x) for x in outs], seed)
        return sum(np.sum(w.astype(x.dtype) * x) for w, x in zip(weights, outs, strict=True))

    def halves(given: Any) -> tuple[Any, Any]:
        return given[: len(given) // 2], given[len(given) // 2 :]

    def gradient(*given: Any) -> Any:
        inputs, _ = halves(given)
        return gpuad.grad(loss, tuple(range(len(inputs))))(*inputs)

    return {
        "value": lambda *given: function(*halves(given)[0]),
        "gradient": gradient,
        mode: lambda *given: gpuad.hvp(loss, *halves(given), mode=mode),
    }


def with_executor(functions: dict[str, Any], executor: str, given: Sequence[Any]) -> dict[str, Any]:
    return {k: gpuad.jit(f, executor=executor)(*given) for k, f in functions.items()}


def differ(results: Sequence[Any], expected: Sequence[Any], allowed: float = 0.0) -> str | None:
    """How the results differ from what is expected, beyond the tolerance relative to its scale."""
    finite = [x[np.isfinite(x)] for x in map(np.asarray, expected)]
    scale = max([1.0, *[float(np.max(np.abs(x))) for x in finite if x.size]])
    for i, (x, y) in enumerate(zip(results, expected, strict=True)):
        if np.shape(x) != np.shape(y) or x.dtype != y.dtype:
            return f"[{i}] is {x.dtype}{x.shape}, not {y.dtype}{y.shape}"
        if x.dtype.kind != "f":
            return None if np.array_equal(x, y) else f"[{i}] is {x}, not {y}"
        with np.errstate(all="ignore"):
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            error = np.max(np.where(same, 0.0, np.abs(x - y)), initial=0.0)
        if not error <= max(allowed, TOLERANCE[x.dtype]) * scale:
            return f"[{i}] is off by {error:.2e} of {scale:.2e}:\n{x}\n{y}"
    return None


def rounding(results: Sequence[Any], exact: Sequence[Any]) -> float:
    """The largest error of float32 results, relative to the largest value."""
    finite = [np.abs(x[np.isfinite(x)]) for x in map(np.asarray, exact)]
    scale = max([1.0, *[float(np.max(x)) for x in finite if x.size]])
    with np.errstate(all="ignore"):
        errors = [np.max(np.abs(x - y), initial=0.0) for x, y in zip(results, exact, strict=True)]
    return float(max(errors)) / scale


def assert_native(functions: dict[str, Any], given: Sequence[Any], way: Way, single: bool) -> None:
    """The compiled functions give what the reference executor gives, and modify no argument."""
    expected = with_executor(functions, "reference", given)
    before = [np.array(x) for x in given]
    with compiled_in(way):
        found = with_executor(functions, "native", given)
    for x, y in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, y, "an argument was modified")
    for kind, results in found.items():
        allowed = 0.0
        if single and differ(results, expected[kind]):
            wide = [np.asarray(x, np.float64) for x in given]
            exact = gpuad.jit(functions[kind], executor="reference")(*wide)
            allowed = LOST * rounding(expected[kind], exact)
        difference = differ(results, expected[kind], allowed)
        assert difference is None, f"{kind}{difference}"


def given_to(asked: Program, single: bool) -> list[Any]:
    """Inputs and directions."""
    values = [*asked.inputs(), *arrays(asked.shapes, asked.seed + 1)]
    return [x.astype(np.float32) for x in values] if single else values


@examples(60)
@hypothesis.given(program(), ways, st.sampled_from(MODES), layouts)
def test_compiled_is_reference(asked: Program, way: Way, mode: str, chosen: Any) -> None:
    functions = derivatives(function_of(asked, False), asked.seed, mode)
    assert_native(functions, laid_out(given_to(asked, False), chosen), way, False)


@examples(25)
@hypothesis.given(program(), ways, st.sampled_from(MODES), layouts, st.booleans())
def test_of_float32(asked: Program, way: Way, mode: str, chosen: Any, constants: bool) -> None:
    functions = derivatives(function_of(asked, constants), asked.seed, mode)
    assert_native(functions, laid_out(given_to(asked, True), chosen), way, True)


@examples(30)
@hypothesis.given(
    program(longest=6),
    ways,
    st.sampled_from(MODES),
    layouts,
    st.sampled_from([1, 2, 5, 17, 40]),
    st.integers(-1, 2),
)
def test_of_a_batch(asked: Program, way: Way, mode: str, chosen: Any, rows: int, axis: int) -> None:
    """Rows of a batch, which stand along the first axis, the last or another one."""
    one = derivatives(function_of(asked, False), asked.seed, mode)
    values = given_to(asked, False)
    axes = tuple([min(axis, np.ndim(x)) for x in values])
    shifts = np.linspace(0, 1e-4, rows)
    batch = [np.stack([x + h for h in shifts], axis=k) for x, k in zip(values, axes, strict=True)]
    functions = {k: gpuad.vmap(f, in_axes=axes) for k, f in one.items()}
    assert_native(functions, laid_out(batch, chosen), way, False)


HARD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 0.25, -1.0)
"""Where values and derivatives are singular, or have kinks."""


@examples(30)
@hypothesis.given(
    st.randoms(use_true_random=False), ways, st.sampled_from(MODES), st.sampled_from([1, 2, 7, 16])
)
def test_of_hard_values(rng: Any, way: Way, mode: str, rows: int) -> None:
    """NaN and infinities in the places where the reference has them.

    Programs with matrix products are left out: a library may skip zeros, and so lose a NaN, and a
    sum taken before a product meets other infinities than one taken after it.
    """
    text, inputs = batch_program(rng, rows)
    hypothesis.assume("@" not in text and "np.dot" not in text)
    directions = arrays([x.shape for x in inputs], rng.randrange(1000))
    for x in inputs:
        for _ in range(x.size and rng.randrange(4)):
            x.reshape(-1)[rng.randrange(x.size)] = rng.choice(HARD)
    values = [np.asarray(x, np.float64)[()] for x in (*inputs, *directions)]
    functions = derivatives(compiled_program(text), 0, mode)
    with np.errstate(all="ignore"):
        try:
            assert_native(functions, values, way, False)
        except BaseException as error:
            error.add_note(f"{text}{inputs}")
            raise


HALVES = [[HALF["f16"]], [HALF["f16"], np.dtype(np.float32)]]
HALVES += [[d, np.dtype(np.float32)] for name, d in HALF.items() if name == "bf16"]


@examples(8)
@hypothesis.given(
    st.randoms(use_true_random=False), ways, st.sampled_from(HALVES), st.sampled_from([1, 7, 16])
)
def test_of_half_precision(rng: Any, way: Way, dtypes: Any, rows: int) -> None:
    """Sweeps give what the lowered graph gives, which converts to float32 and back."""
    text, inputs = batch_program(rng, rows, dtypes)
    function = compiled_program(text)

    def loss(*given: Any) -> Any:
        results = [x for x in function(*given) if x.dtype.kind in "fV"]
        return sum([(x.astype(np.float32) ** 2).sum() for x in results])

    gradient = gpuad.grad(loss, tuple(range(len(inputs))))
    with compiled_in(way):
        asked = gpuad.jit(lambda *given: (function(*given), gradient(*given)))
        entry, _ = asked._entry(tuple(inputs), {})
        graph, values = lower(entry.recorded.graph), [*inputs, *entry.recorded.captured]
        found = programs.NativeProgram(graph)(values)
    for x, y in zip(found, reference.run(graph, values, np), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        x, y = np.asarray(x, float), np.asarray(y, float)
        scale = np.max(np.abs(y[np.isfinite(y)]), initial=1.0)
        with np.errstate(all="ignore"):
            error = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
        assert np.max(error, initial=0.0) < 2 * epsilon(dtypes[0]) * scale, text
