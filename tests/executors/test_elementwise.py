"""The elementwise functions of gpuad.numpy beside NumPy's: values, dtypes, options, errors."""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.special

import gpuad as ad
import gpuad.numpy as gnp
from executors.cases_elementwise import by_text
from gpuad.compile import run_once
from gpuad.errors import ArgumentError, GraphError, InPlaceError, UnsupportedError
from gpuad.ir.primitive import CATALOGUE
from gpuad.numpy._ufuncs import Elementwise
from gpuad.primitives.declare import TEXT_NAMES, check_text
from gpuad.tracing.registry import NUMPY, OPERATIONS, SPECIAL


def recorded(function, *args, **kwargs):
    """`function` of traced arrays."""
    return run_once(lambda *xs: function(*xs, **kwargs), args, {})


UFUNCS = [f for f in NUMPY if isinstance(f, np.ufunc) and f.signature is None and f.nout == 1]
BINARY = [f for f in UFUNCS if f.nin == 2]
UNARY = [f for f in UFUNCS if f.nin == 1]
DTYPES = "bool int8 uint8 int32 int64 uint64 float16 float32 float64 complex64 complex128".split()
WEAK = (True, 1, 1.0, 1j)


def outcome(function, *args):
    """The dtype and value of a call, or that it is refused."""
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(function(*args))
    except (TypeError, ValueError, OverflowError):
        return "refused", None
    return result.dtype, result


# NumPy orders complex numbers by their real parts first; no derivative goes with that.
ORDERING = "less less_equal greater greater_equal maximum minimum fmax fmin".split()


def assert_same_outcome(ufunc, *args):
    expected, value = outcome(ufunc, *args)
    if ufunc.__name__ in ORDERING and any(np.iscomplexobj(x) for x in args):
        expected, value = "refused", None
    found, ours = outcome(lambda *xs: recorded(ufunc, *xs), *args)
    called = f"{ufunc.__name__}({', '.join(str(getattr(x, 'dtype', x)) for x in args)})"
    assert found == expected, called
    if value is not None:
        tolerance = 1e-2 if value.dtype.name == "float16" else 1e-5
        np.testing.assert_allclose(ours, value, tolerance, tolerance, err_msg=called)


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda f: f.__name__)
def test_dtypes_of_two_operands_are_numpys(ufunc):
    arrays = [np.array([1, 1]).astype(d) for d in DTYPES]
    for x in arrays:
        for y in (*arrays, *WEAK):
            assert_same_outcome(ufunc, x, y)
            if not isinstance(y, np.ndarray):
                assert_same_outcome(ufunc, y, x)


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda f: f.__name__)
def test_dtypes_of_one_operand_are_numpys(ufunc):
    for d in DTYPES:
        assert_same_outcome(ufunc, np.array([1, 1]).astype(d))


def test_where_and_clip_promote_as_numpy_does():
    arrays = [np.array([1, 1]).astype(d) for d in DTYPES]
    for x in arrays:
        for y in (*arrays, *WEAK):
            for f in (lambda x, y: np.where([True, False], x, y), lambda x, y: np.clip(x, y, y)):
                if x.dtype.kind != "c" and np.asarray(y).dtype.kind != "c":
                    expected, _ = outcome(f, x, y)
                    assert outcome(lambda *xs, f=f: recorded(f, *xs), x, y)[0] == expected, (x, y)


SPECIAL_VALUES = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.7, -3.7, 1e-30, -1e-30, 40.0, -40.0, 1e4,
    math.inf, -math.inf, math.nan,
]  # fmt: skip
FLOATING = [
    p
    for p in CATALOGUE.values()
    if p.kind == "elementwise" and p.text and "f" in p.dtypes
    if p.name not in ("cast", "make_complex", "narrow")
]
# The text has another branch of the same value, sign of zero or rounding at these points.
PARAMS = {
    "exp_of_square": {"c": 0.5},
    "integer_power": {"n": 3},
    "keep": {"guard": True},
    "power_of_log": {"n": 1, "limit": False},
    "psi": {"n": 1},
    "root_of_powers": {"p": 3.0},
    "share": {"larger": True, "nan_wins": False},
    "sinc": {"n": 0},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("primitive", FLOATING, ids=lambda p: p.name)
def test_scalar_text_is_the_array_function_at_special_values(primitive, dtype):
    values = np.array(SPECIAL_VALUES, dtype)
    if primitive.arity == 3:
        values = values[::3]
    operands = [x.ravel() for x in np.meshgrid(*[values] * primitive.arity)]
    if primitive.scalars_like:
        operands[0] = operands[0] > 0
    params = PARAMS.get(primitive.name, {})
    with np.errstate(all="ignore"):
        expected = primitive.implementation(np, params)(*operands)
        found = by_text(primitive.scalar_text(params), expected.dtype)(*operands)
    eps = 0 if expected.dtype == bool else np.finfo(dtype).eps
    tiny = 0 if expected.dtype == bool else np.finfo(dtype).tiny
    np.testing.assert_allclose(found, expected, rtol=8 * eps, atol=8 * tiny)


X = np.array([-1.5, 0.2, 0.7, 1.0])
Y = np.array([0.5, -0.3, 2.0, 1.0])

EXPRESSIONS = {
    "neg": lambda x, y: -x + (+y),
    "abs": lambda x, y: abs(x) - abs(y),
    "radd": lambda x, y: 2 + x - (3 - y),
    "rdiv": lambda x, y: 2 / (x + 4) / (y + 3),
    "floordiv": lambda x, y: x // y + 5 // y,
    "mod": lambda x, y: x % y + 5 % (y + 0.6),
    "divmod": lambda x, y: divmod(x, y)[0] + divmod(5.0, y)[1],
    "pow": lambda x, y: x**2 + x**3 + x**-1 + y**2.0 + (x + 4) ** 0.5 + (x + 4) ** 1.5,
    "pow of arrays": lambda x, y: (x + 2) ** y + 2**y + 0.5**x,
    "comparison": lambda x, y: (x < y) + 2.0 * (x >= y) + (x == y) - 1.0 * (x != 1),
    "bits": lambda x, y: ((x > 0) & (y > 0)) | ~(x > 0) ^ (y < 0),
    "in place": lambda x, y: _in_place(np.copy(x), y),
    "clip": lambda x, y: np.clip(x, -1, 0.5) + np.clip(y, None, 0.4) + np.clip(x, 0, None),
    "clip method": lambda x, y: x.clip(-1, 0.5) + y.clip(min=0.0) + y.clip(max=0.3),
    "clip by array": lambda x, y: np.clip(x, np.minimum(y, 0), np.maximum(y, 0)),
    "round": lambda x, y: np.round(x * 12.345, 1) + y.round() + np.around(y * 123, decimals=-1),
    "fix": lambda x, y: _fix(x) + np.trunc(y) + np.floor(x) + np.ceil(y) + np.rint(x),
    "nan_to_num": lambda x, y: np.nan_to_num(np.log(x)) + np.nan_to_num(y / 0.0, posinf=3.0),
    "heaviside": lambda x, y: np.heaviside(x - 1, y),
    "modf": lambda x, y: np.modf(x)[0] * 2 + np.modf(y)[1],
    "ldexp": lambda x, y: np.ldexp(x, 3) + np.ldexp(y, np.array([1, 2, -3, 4])),
    "logical": lambda x, y: np.logical_and(x > 0, y) ^ np.logical_not(y) | np.logical_xor(x, 0),
    "predicates": lambda x, y: np.isnan(np.log(x)) | np.isinf(y) & np.isfinite(x) | np.signbit(x),
    "isreal": lambda x, y: np.isreal(x) & ~np.iscomplex(y) & np.isposinf(x) | np.isneginf(y),
    "isclose": lambda x, y: np.isclose(x, y) | np.isclose(x, x + 1e-12),
    "angle": lambda x, y: np.angle(x + 1j * y) + np.angle(y, deg=True),
    "complex": lambda x, y: (x + 1j * y).conj() * np.exp(1j * x) / (2 - 1j * y),
    "parts": lambda x, y: np.real(x * 1j + y) + np.imag(x) + (x + 2j * y).imag + np.abs(x + 1j * y),
    "degrees": lambda x, y: np.degrees(x) + np.rad2deg(y) + np.radians(x) + np.deg2rad(y),
    "outer": lambda x, y: np.add.outer(x, y) * np.multiply.outer(x, y),
    "reduce": lambda x, y: np.add.reduce(x) + np.multiply.reduce(y) + np.maximum.reduce(x),
    "reduce keepdims": lambda x, y: np.add.reduce(x, keepdims=True) + np.logical_and.reduce(y),
    "accumulate": lambda x, y: np.add.accumulate(x) + np.multiply.accumulate(y),
    "maximum accumulate": lambda x, y: np.maximum.accumulate(x) + np.minimum.accumulate(y),
    "logaddexp reduce": lambda x, y: np.logaddexp.reduce(x) + y,
    "dtype": lambda x, y: np.add(x, y, dtype=np.float32),
    "casting": lambda x, y: np.add(x, y, casting="safe"),
    "sinc": lambda x, y: np.sinc(x) + np.sinc(y),
    "array api names": lambda x, y: np.acos(x / 2) + np.atan2(x, y) + np.pow(x + 2, y),
    "astype": lambda x, y: x.astype(np.float32) + np.astype(y, np.int64),
    "whole": lambda x, y: np.gcd(np.astype(x * 10, int), 6) + np.lcm(4, np.astype(y * 10, int)),
}  # fmt: skip


def _fix(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 wants trunc
        return np.fix(x)


def _in_place(x, y):
    x += y
    x *= 2
    x -= 1
    x /= 3
    x **= 2
    np.exp(x, out=x)
    return np.add(x, y, x)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expression_has_numpys_value(name):
    function = EXPRESSIONS[name]
    with np.errstate(all="ignore"):
        expected = function(X.copy(), Y.copy())
    found = recorded(function, X, Y)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def test_out_rebinds_a_traced_array_and_refuses_a_plain_one():
    def filled(x):
        target = np.zeros_like(x)
        np.sin(x, out=target)
        return (target * x).sum()

    np.testing.assert_allclose(ad.grad(filled)(X), np.sin(X) + X * np.cos(X))
    with pytest.raises(InPlaceError, match="plain array"):
        ad.grad(lambda x: np.sin(x, out=np.zeros(4)).sum())(X)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: np.add(x, x, where=x > 0), "np.where"),
        (lambda x: np.add(x, x, order="F"), "order"),
        (lambda x: gnp.add(x, x, colour=1), "colour"),
        (lambda x: gnp.add(x), "2 arrays"),
        (lambda x: gnp.sin.reduce(x), "cannot be recorded"),
        (lambda x: np.arctan2.reduce(x), "cannot be recorded"),
        (lambda x: np.add(x, np.ones(3)), "do not broadcast"),
        (lambda x: np.bitwise_and(x, x), "dtypes"),
        (lambda x: np.maximum(x, 1j), "real part or abs"),
        (lambda x: np.add(x, x, dtype=np.int64), "dtypes"),
        (lambda x: np.astype(x, int) ** -1, "negative integer powers"),
        (lambda x: np.clip(x, 0, 1, min=0), "given twice"),
        (lambda x: np.packbits(x > 0), "gpuad.external"),
    ],
)
def test_what_cannot_be_recorded_is_refused(call, words):
    with pytest.raises((UnsupportedError, ArgumentError), match=words):
        recorded(call, X)


SCIPY = [n for n in SPECIAL if isinstance(getattr(scipy.special, n, None), np.ufunc)]


@pytest.mark.parametrize("name", SCIPY)
def test_ufuncs_of_scipy_special_are_recorded(name):
    ufunc = getattr(scipy.special, name)
    args = [np.array([0.1, 0.4, 0.8, 0.9])] * ufunc.nin
    if name in ("expn", "kn", "yn"):
        args[0] = np.arange(1.0, 5.0)
    np.testing.assert_allclose(recorded(ufunc, *args), ufunc(*args), rtol=1e-14)
    np.testing.assert_allclose(SPECIAL[name](*args), ufunc(*args), rtol=1e-14)
    single = [x.astype(np.float32) for x in args]
    found = recorded(ufunc, *single)
    assert found.dtype == ufunc(*single).dtype
    np.testing.assert_allclose(found, ufunc(*single), rtol=1e-6)


def test_other_ufuncs_of_scipy_are_refused():
    with pytest.raises(UnsupportedError, match=r"gpuad\.external"):
        recorded(scipy.special.kolmogorov, X)


def test_plain_arrays_get_numpys_own_function():
    np.testing.assert_array_equal(gnp.add(X, Y), X + Y)
    target = np.zeros(4)
    assert gnp.add(X, Y, out=target) is target
    np.testing.assert_array_equal(
        gnp.add(X, Y, where=X > 0, out=np.zeros(4)), np.where(X > 0, X + Y, 0)
    )
    assert isinstance(gnp.sigmoid(0.0), np.float64)
    assert gnp.sigmoid(np.float32(0)).dtype == np.float32


WITH_NUMBERS = {
    "operators": lambda s, x: (s * 2 + 1 - s / 3) * x,
    "powers": lambda s, x: (s**2 + s**3 + s**0.5 + s**-1.5 + 2.0**s) * x,
    "more operators": lambda s, x: (-s + abs(s) + s // 2 + s % 2) * x,
    "functions": lambda s, x: np.sin(s) * x,
    "square root": lambda s, x: np.sqrt(s) + x,
    "comparison": lambda s, x: (s > 2) * x,
}


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_python_numbers_are_weak_through_operators_and_not_through_functions(name):
    x = np.ones(2, np.float32)
    function = WITH_NUMBERS[name]
    found, expected = ad.jit(function)(3.0, x), function(3.0, x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, 1e-6)
    assert ad.grad(lambda s: function(s, x).sum())(3.0).dtype == np.float64


def test_a_cast_number_is_weak_no_longer():
    x = np.ones(2, np.float32)
    assert ad.jit(lambda s, x: s.astype(np.float64) * x)(3.0, x).dtype == np.float64


def test_text_functions_are_those_of_the_vector_math():
    from gpuad.kernels.vecmath import FUNCTIONS

    assert set(FUNCTIONS) <= TEXT_NAMES


def test_text_with_an_unknown_name_is_refused():
    with pytest.raises(GraphError, match="bessel"):
        check_text("example", "bessel(x)", 1)
    with pytest.raises(GraphError, match="y"):
        check_text("example", "x + y", 1)


def test_every_elementwise_function_says_what_it_is():
    for name, function in OPERATIONS.items():
        if isinstance(function, Elementwise):
            assert function.__doc__, name
            modules = {"numpy", name.rpartition(".")[0] or "numpy"}  # some are aliases
            assert repr(function) in [f"<gpuad.{m}.{function.__name__}>" for m in modules]


def test_import_leaves_the_heavy_packages_alone():
    heavy = {"scipy.special", "numba", "cupy"}
    code = f"import gpuad, sys; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("x", [0.0, 1.0, 1e4, 1e6, 1e8, 1e10])
def test_the_modulus_is_accurate_to_third_order(x):
    def modulus(x):
        return np.abs(x + 1j)

    def third(x):
        return ad.grad(ad.grad(ad.grad(modulus)))(x)

    curvature = (x * x + 1) ** -1.5
    assert ad.grad(ad.grad(modulus))(x) == pytest.approx(curvature, rel=1e-14)
    assert ad.hvp(modulus, (x,), (1.0,))[0] == pytest.approx(curvature, rel=1e-14)
    assert third(x) == pytest.approx(-3 * x * (x * x + 1) ** -2.5, rel=1e-13)
