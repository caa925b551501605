"""The functions that kernels have of their own (`kernels/cuda_math.py`), and where those of a GPU
differed from NumPy's."""

import inspect
import re

import mpmath
import numpy as np
import pytest
from gpuad.kernels import cuda_instructions, cuda_math

import gpuad.numpy as gnp
from emulator.checks import graph_of as kernel_graph_of
from emulator.device import host
from emulator.test_elementwise import graph_of
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.primitive import CATALOGUE
from needing import NEEDS_COMPILER

f32 = np.float32
LIMITS = np.finfo(f32)
SPECIAL = [0, 1, 2, 3, LIMITS.tiny, LIMITS.smallest_subnormal, LIMITS.max, np.inf, np.nan]


def sample():
    """Some numbers of each exponent, and special ones, of both signs."""
    rng = np.random.default_rng(1)
    bits = np.arange(255)[:, None] << 23 | rng.integers(0, 1 << 23, (255, 200))
    x = np.concatenate([bits.ravel().astype(np.int32).view(f32), np.array(SPECIAL, f32)])
    return np.concatenate([x, -x])


def units(got, exact):
    """Errors in units in the last place of the exact value; a special one is right or wrong."""
    with np.errstate(all="ignore"):
        expected = exact.astype(f32)
        unit = np.spacing(np.maximum(np.abs(expected), LIMITS.tiny)).astype(np.float64)
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        return np.where(same, 0, np.abs(got - exact) / unit)


REFERENCES = {
    "cos": np.cos,
    "sigmoid": lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
    "sin": np.sin,
    "softplus": lambda x: np.logaddexp(x, 0),
    "sqrt": np.sqrt,
    "tanh": np.tanh,
}
WORST = {"cos": 1.6, "sigmoid": 2.5, "sin": 1.6, "softplus": 2.6, "sqrt": 0.51, "tanh": 1.5}
"""In benchmarks/results/cuda_math.md, over all float32. The two of exp(-|x|) have 2 units where
that is right to half a unit, not to one."""


TINY = 2.0**-64
PARTS = {
    "cos_of_small": (np.cos, 0, np.pi / 4, 1.0),
    "inverse": (np.reciprocal, TINY, 1 / TINY, 0.51),
    "inverse_of_large": (np.reciprocal, TINY, np.inf, 0.8),
    "inverse_of_root": (lambda x: 1 / np.sqrt(x), TINY, np.inf, 1.5),
    "log1p_of_positive": (np.log1p, 0, np.inf, 1.3),
    "sin_of_small": (np.sin, 0, np.pi / 4, 1.0),
    "sqrt_without_zero": (np.sqrt, TINY, np.inf, 0.51),
}
"""Functions of numbers in a range: what they are, the range, and their largest errors in the
benchmark's results. What is said of 1/√x has the error of the root in it."""


def wrong_by(function, most):
    """An approximation that is wrong by so many units in the last place, up or down by turns."""

    def approximation(x):
        y = function(x)
        bits = y.view(np.int32) + np.where(x.view(np.int32) & 4, most, -most).astype(np.int32)
        return np.where(np.isfinite(y) & (y != 0), bits.view(f32), y)

    return approximation


def with_wrong_approximations(monkeypatch):
    """The approximations as wrong as they may be, less what they are rounded by."""
    for name, most in cuda_instructions.WRONG_BY.items():
        if hasattr(cuda_math, name):
            wrong = wrong_by(getattr(cuda_instructions, name), round(most))
            monkeypatch.setattr(cuda_math, name, wrong)


def test_every_function_is_measured():
    assert REFERENCES.keys() == WORST.keys() == cuda_math.FUNCTIONS.keys()


@pytest.mark.parametrize("wrong", [False, True], ids=["exact", "wrong"])
@pytest.mark.parametrize("name", REFERENCES)
def test_functions_are_right_with_approximations_as_bad_as_documented(name, wrong, monkeypatch):
    if wrong:
        with_wrong_approximations(monkeypatch)
    x = sample()
    with np.errstate(all="ignore"):
        got = cuda_math.FUNCTIONS[name](x)
        exact = REFERENCES[name](x.astype(np.float64))
    errors = units(got, exact)
    assert errors.max() <= WORST[name], x[errors.argmax()]
    zeros = (exact == 0) & (x == 0)
    assert np.array_equal(np.signbit(got[zeros]), np.signbit(exact[zeros]))


@pytest.mark.parametrize("wrong", [False, True], ids=["exact", "wrong"])
@pytest.mark.parametrize("name", PARTS)
def test_functions_of_numbers_in_a_range(name, wrong, monkeypatch):
    if wrong:
        with_wrong_approximations(monkeypatch)
    reference, low, high, worst = PARTS[name]
    x = sample()
    x = x[(x >= low) & (x <= high)]
    assert x.size > 500
    function, given = getattr(cuda_math, name), [x]
    with np.errstate(all="ignore"):
        if name == "inverse_of_root":
            given = [cuda_math.sqrt_without_zero(x), x]
        errors = units(function(*given), reference(x.astype(np.float64)))
    assert errors.max() <= worst, x[errors.argmax()]


@pytest.mark.parametrize("wrong", [False, True], ids=["exact", "wrong"])
def test_quotients_are_exact_if_they_are_numbers(wrong, monkeypatch):
    if wrong:
        with_wrong_approximations(monkeypatch)
    rng = np.random.default_rng(2)
    a, b = rng.integers(1, 4096, (2, 20000)).astype(f32)
    with np.errstate(all="ignore"):
        assert np.array_equal(cuda_math.quotient(a * b, *cuda_math.reciprocal(b)), a)
        x, y = (v.ravel() for v in np.meshgrid(sample()[::50], sample()[::50]))
        got = cuda_math.quotient(x, *cuda_math.reciprocal(y))
        exact = x.astype(np.float64) / y
        # What lies between the largest number and infinity is rounded to one of both.
        edge = (np.abs(exact) > LIMITS.max) & (np.abs(got) == LIMITS.max)
        errors = np.where(edge, 0, units(got, exact))
        zeros = (x / y == 0) & (got == 0)
    assert errors.max() <= 1.5
    assert np.array_equal(np.signbit(got[zeros]), np.signbit(exact[zeros]))


def test_texts_are_in_the_language_of_kernels():
    """No name of NumPy: what a function calls is in cuda_instructions or in cuda_math. Functions
    with an underscore only make constants."""
    for name, function in vars(cuda_math).items():
        if inspect.getmodule(function) is cuda_math and not name.startswith("_"):
            assert not {"np", "math"} & {*function.__code__.co_names}, name


# In kernels


def run(emulator, *cases):
    """The results of primitives, each of its own operands, as kernels compute them."""
    named = [(CATALOGUE[name], params, arrays) for name, params, arrays in cases]
    got = host(
        emulator.program(graph_of(named))(emulator.arrays([x for *_, a in cases for x in a]))
    )
    assert emulator.launches
    return got


@NEEDS_COMPILER
def test_kernels_compute_what_the_source_says(emulator):
    x = sample()[::7]
    names = [*REFERENCES]
    got = run(emulator, *[(name, {}, [x]) for name in names])
    for name, value in zip(names, got, strict=True):
        with np.errstate(all="ignore"):
            expected = cuda_math.FUNCTIONS[name](x)
            # libdevice's exp is not NumPy's.
            apart = units(value, expected.astype(np.float64))
        assert apart.max() <= (2 if name in ("sigmoid", "softplus", "tanh") else 0), name


@NEEDS_COMPILER
def test_quotients_by_one_number_share_its_reciprocal(emulator):
    div = CATALOGUE["div"]
    rng = np.random.default_rng(3)
    y = np.resize(sample(), 4000)
    xs = [rng.permutation(y), np.ones_like(y), rng.normal(size=y.size).astype(f32)]
    builder = Builder("quotients")
    with building(builder):
        divisor = builder.input(Aval(y.shape, y.dtype))
        graph = builder.graph([div(builder.input(Aval(x.shape, x.dtype)), divisor) for x in xs])
    program = emulator.program(graph)
    got = host(program(emulator.arrays([y, *xs])))
    (kernel,) = program.kernels
    text = kernel.source.kernel.text
    # A vector of rows, and rows of which some may not exist.
    assert text.count("rcp_approx_f32(") == 2 * kernel.source.layout.rows
    assert " / " not in text
    for x, value in zip(xs, got, strict=True):
        with np.errstate(all="ignore"):
            exact = x.astype(np.float64) / y
            assert units(value, exact).max() <= 1.5


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signs_of_zero_are_numpys(emulator, dtype):
    x, y = np.array([[0, -0.0, 0, -0.0, 1], [-0.0, 0, 0, -0.0, 2]], dtype)
    factors = np.array([0.0, -0.0, -0.0, 0.0, 3.0], dtype)
    numbers = np.array([2, 2, 0.5, 0.5, 1], dtype)
    larger, smaller, log, log1p = run(
        emulator,
        ("maximum", {}, [x, y]),
        ("minimum", {}, [x, y]),
        ("xlogy", {}, [factors, numbers]),
        ("xlog1py", {}, [factors, numbers]),
    )
    # Of two zeros the second one, as NumPy's vector instructions have it on x86.
    assert np.array_equal(np.signbit(larger), np.signbit(y))
    assert np.array_equal(np.signbit(smaller), np.signbit([*y[:4], 1]))
    assert not np.signbit([log, log1p]).any()


@NEEDS_COMPILER
@pytest.mark.parametrize("to", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_out_of_the_range_of_integers_are_the_least_one(emulator, dtype, to):
    high = 2.0 ** (np.iinfo(to).bits - 1)
    inside = np.array([1.9, -1.9, 0, -0.0, high / 2, -high], dtype)
    outside = np.array([high, -2 * high, 1e30, -1e30, np.inf, -np.inf, np.nan], dtype)
    (got,) = run(emulator, ("cast", {"dtype": np.dtype(to)}, [np.concatenate([inside, outside])]))
    assert np.array_equal(got[: len(inside)], inside.astype(to))
    assert (got[len(inside) :] == np.iinfo(to).min).all()


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hypot_of_the_largest_number_is_finite(emulator, dtype):
    limits = np.finfo(dtype)
    x = [limits.max, limits.max, limits.max / 2, limits.tiny, limits.smallest_subnormal, 3, np.inf]
    x, y = np.array([x, [1, 1e16, limits.max / 2, limits.tiny, 0, 4, np.nan]], dtype)
    x, y = np.concatenate([x, y]), np.concatenate([y, -x])
    (got,) = run(emulator, ("hypot", {}, [x, y]))
    expected = np.hypot(x.astype(np.longdouble), y.astype(np.longdouble)).astype(dtype)
    np.testing.assert_allclose(got, expected, 2 * limits.eps, 0)


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_near_zero_keep_their_digits(emulator, dtype):
    """logit near ½, sinc near whole numbers, logaddexp of equal operands near -log 2."""
    eps = np.finfo(dtype).eps
    off = (np.array([1, 3, 1000, 12345, 0.1 / eps]) * eps).astype(dtype)
    off = np.concatenate([off, -off])
    halves, wholes = (dtype(0.5) + off), (np.arange(1, 11) + off * 8).astype(dtype)
    equal = (dtype(-np.log(2)) + off).astype(dtype)
    logit, sinc, total = run(
        emulator,
        ("logit", {}, [halves]),
        ("sinc", {"n": 0}, [wholes]),
        ("logaddexp", {}, [equal, equal]),
    )
    with mpmath.workdps(40):
        mp = [[mpmath.mpf(float(v)) for v in x] for x in (halves, wholes, equal)]
        exact = [
            [float(mpmath.log(v / (1 - v))) for v in mp[0]],
            [float(mpmath.sinpi(v) / (mpmath.pi * v)) for v in mp[1]],
            [float(v + mpmath.log(2)) for v in mp[2]],
        ]
    for got, expected in zip((logit, sinc, total), exact, strict=True):
        np.testing.assert_allclose(got, expected, 4 * eps, 1e-4 * eps * (got is total))


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_logaddexp_of_unequal_operands_is_as_right_as_numpys_near_zero(emulator, name, dtype):
    """To one unit of 1: what is left of the larger one and a logarithm that is minus it is no more
    exact than these, here and in NumPy."""
    base = mpmath.e if name == "logaddexp" else mpmath.mpf(2)
    shares = np.array([0.499, 0.4, 0.1, 1e-3, 1e-6])
    x, y = (np.log(p) / float(mpmath.log(base)) for p in (shares, 1 - shares))
    x, y = np.concatenate([x, y]).astype(dtype), np.concatenate([y, x]).astype(dtype)
    (got,) = run(emulator, (name, {}, [x, y]))
    with mpmath.workdps(40):
        powers = [[mpmath.power(base, float(v)) for v in z] for z in (x, y)]
        exact = [float(mpmath.log(a + b, base)) for a, b in zip(*powers, strict=True)]
    eps = np.finfo(dtype).eps
    assert np.max(np.abs(exact)) < 2 * eps
    for found in (got, getattr(np, name)(x, y)):
        np.testing.assert_allclose(found, exact, 0, eps)


@NEEDS_COMPILER
def test_functions_of_what_is_known_to_be_in_a_range(emulator):
    """Each within two units of the value for the operand that it has, infinite ones too."""
    x = np.concatenate([sample()[::7], np.array([np.inf, -np.inf, np.nan, 1e19, 1e20], f32)])

    def function(x):
        square = 1 + x * x
        root = gnp.sqrt(square)
        near = gnp.exp(-root)
        inside = 2 + gnp.sin(x)
        again = 1 / square / square, 0.5 / root / root, 1 / inside / inside
        small = gnp.sin(near), gnp.cos(near), gnp.tanh(near)
        return square, root, near, inside, 1 / square, 1 / root, 1 / inside, *again, *small

    graph, _ = kernel_graph_of(function, (x,))
    program = emulator.program(graph)
    with np.errstate(all="ignore"):
        got = host(program(emulator.arrays([x])))
        square, root, near, inside = [v.astype(np.float64) for v in got[:4]]
        exact = [1 / square, 1 / root, 1 / inside]
        exact += [square**-2, 0.5 * root**-2, inside**-2]
        exact += [np.sin(near), np.cos(near), np.tanh(near)]
    (kernel,) = program.kernels
    text = kernel.source.kernel.text
    assert " / " not in text
    rows = len(re.findall(r"\bq\d+ = ", text))
    assert text.count("rcp_approx_f32(") == 3 * rows  # and none of the root
    for value, expected in zip(got[4:], exact, strict=True):
        errors = units(value, expected)
        assert errors.max() <= 2, x[errors.argmax()]


@NEEDS_COMPILER
def test_log1p_of_what_is_known_not_to_be_negative(emulator):
    x = np.concatenate([sample()[::7], np.array([0, -0.0, np.inf, np.nan], f32)])
    graph, _ = kernel_graph_of(lambda x: (gnp.log1p(x * x), gnp.log1p(gnp.sqrt(x))), (x,))
    program = emulator.program(graph)
    got = host(program(emulator.arrays([x])))
    assert "log1p_f32(" not in program.kernels[0].source.kernel.text
    with np.errstate(all="ignore"):
        operands = [x * x, np.sqrt(x)]
    for value, operand in zip(got, operands, strict=True):
        with np.errstate(all="ignore"):
            exact = np.log1p(operand.astype(np.float64))
        errors = units(value, exact)
        assert errors.max() <= 1.3, x[errors.argmax()]
        zeros = operand == 0
        assert np.array_equal(np.signbit(value[zeros]), np.signbit(operand[zeros]))
    assert np.signbit(operands[1][operands[1] == 0]).any()


@NEEDS_COMPILER
def test_a_term_that_is_added_twice(emulator):
    x, y = sample()[::7], sample()[1::7]
    n = min(len(x), len(y))
    x, y = x[:n], y[:n]
    graph, expected = kernel_graph_of(lambda x, y: ((x + y) + y, x + (x + y), (x + x) + x), (x, y))
    program = emulator.program(graph)
    with np.errstate(all="ignore"):
        got = host(program(emulator.arrays([x, y])))
        exact = [x + 2.0 * y.astype(np.float64), 2.0 * x.astype(np.float64) + y, 3.0 * x]
    assert "fma_f32(f32(2.0)" in program.kernels[0].source.kernel.text
    for value, wide, narrow in zip(got, exact, expected, strict=True):
        finite = np.isfinite(narrow)
        assert units(value, wide.astype(np.float64))[finite].max() <= 0.5
        assert np.array_equal(np.isnan(value), np.isnan(narrow))
