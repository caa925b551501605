"""Vector math: right to 2 ulp (special functions: 10) over the whole domain, NumPy's special
values, and vectorised."""

import itertools
import re

import numpy as np
import pytest
from gpuad.kernels import special_coefficients, vecmath, vecmath_coefficients
from llvmlite import binding
from numba import njit

from benchmarks import remez, remez_special
from vecmath_reference import (
    EXACT,
    NO_LIBRARY_HAS,
    errors,
    evaluate,
    in_numpy,
    loop,
    operands_of,
    samples,
)  # fmt: skip

DTYPES = (np.float32, np.float64)
ELEMENTARY = [name for name, f in vecmath.FUNCTIONS.items() if f.operands < 3]
PREDICATES = ("signbit", "isnan", "isinf", "isfinite")
BOUNDED = [name for name, f in vecmath.FUNCTIONS.items() if f.bound]
MOST_ULPS = {
    "sigmoid": 1.6, "tanh": 1.4, "erf": 1.2,
    "gammaln": 3.2, "digamma": 4, "trigamma": 6, "tetragamma": 8.5,
    "ndtr": 4.2, "log_ndtr": 4.5, "inverse_mills": 4.2, "inverse_mills_excess": 4.2,
    "i0e": 3.6, "i1e": 4.8, "i0e_minus_i1e": 5.6, "i1e_over_x": 5.3, "i0e_curvature": 8.2,
    "i1e_over_x_slope": 9.2,
}  # fmt: skip
SLOW_IN_MPMATH = ("i0e", "i1e", *NO_LIBRARY_HAS)
WIDE = ("power",)  # float32 by way of float64

both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["f32", "f64"])
has_avx2 = binding.get_host_cpu_features().get("avx2", False)


def special(dtype, operands):
    """All combinations of special values, and of ordinary ones beside them."""
    limits = np.finfo(dtype)
    positive = [0, 0.5, 1, 1.5, 2, 3, 7, 100, 1e10, np.inf, np.nan]
    positive += [limits.eps, limits.max, limits.tiny, limits.smallest_subnormal]
    values = np.array([*positive, *(-x for x in positive)], dtype)
    return list(np.array([*itertools.product(values, repeat=operands)], dtype).T.copy())


def code_of(function):
    """The assembly of a compiled function's only signature, without its entry from Python."""
    (assembly,) = function.inspect_asm().values()
    return assembly.split(".Lfunc_end0")[0]


@both_dtypes
@pytest.mark.parametrize("name", EXACT)
def test_accuracy(name, dtype, record_property):
    count = 300 if name in SLOW_IN_MPMATH else 1200
    found = errors(name, samples(name, dtype, 300_000 if dtype == np.float32 else count))
    record_property("max_ulp", float(found.max()))
    # 2 are promised, and 10 of special functions; this is where they are.
    assert found.max() <= MOST_ULPS.get(name, 1.05)


@both_dtypes
@pytest.mark.parametrize("name", ELEMENTARY)
def test_special_values(name, dtype):
    function = vecmath.FUNCTIONS[name]
    operands = special(dtype, function.operands)
    if function.bound:
        inside = evaluate(f"{name}_inside", operands, np.bool_)
        operands = [x[inside] for x in operands]
    with np.errstate(all="ignore"):
        wanted = in_numpy(name)(*(x.astype(np.float64) for x in operands)).astype(dtype)
    result = evaluate(name, operands)
    limits = np.finfo(dtype)
    np.testing.assert_allclose(
        result, wanted, rtol=4 * limits.eps, atol=limits.smallest_subnormal, err_msg=name
    )
    zero = (result == 0) & (wanted == 0)
    if name not in ("maximum", "minimum", "fmax", "fmin"):  # NumPy leaves theirs open
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(wanted[zero]))


@pytest.mark.skipif(not has_avx2, reason="this processor has no AVX2")
@both_dtypes
@pytest.mark.parametrize("name", [*ELEMENTARY, *(f"{name}_inside" for name in BOUNDED)])
def test_vectorises(name, dtype):
    operands = special(dtype, operands_of(name))
    evaluate(name, operands, np.bool_ if name.endswith("_inside") else None)
    code = code_of(loop(name, dtype))
    assert re.search("[yz]mm", code)
    assert "call" not in code
    if dtype == np.float32 and name not in WIDE:
        assert not re.search(r"v\w+pd\s.*[yz]mm", re.sub(r"v(mov|and|or|xor)\w*pd", "", code))


@both_dtypes
@pytest.mark.parametrize("name", BOUNDED)
def test_slow_path_outside_the_bound(name, dtype):
    operands = special(dtype, vecmath.FUNCTIONS[name].operands)
    inside = evaluate(f"{name}_inside", operands, np.bool_)
    ordinary = np.all([(np.abs(x) < 200) & (np.abs(x) > 0.4) for x in operands], axis=0)
    assert inside[ordinary].all()
    assert not inside.all()
    with np.errstate(all="ignore"):
        wanted = in_numpy(name)(*(x.astype(np.float64) for x in operands)).astype(dtype)
    result = evaluate(f"{name}_slow", operands)
    np.testing.assert_allclose(result, wanted, rtol=4 * np.finfo(dtype).eps)


@both_dtypes
@pytest.mark.parametrize("name", ("fmod", "remainder"))
def test_fmod_is_exact(name, dtype):
    random = np.random.default_rng(3)
    x, y = (np.exp2(random.uniform(-30, 15, 20_000)).astype(dtype) for _ in range(2))
    x[::2] = (np.rint(x[::2] / y[::2]) * y[::2]).astype(dtype)  # quotients that round to integers
    x *= random.choice((-1, 1), x.size).astype(dtype)
    inside = evaluate(f"{name}_inside", [x, y], np.bool_)
    assert inside.mean() > 0.5
    x, y = x[inside], y[inside]
    np.testing.assert_array_equal(evaluate(name, [x, y]), getattr(np, name)(x, y))


SWEEP = """
def sweep(x, y, out):
    inside = True
    for i in range(x.size):
        inside &= sin_inside(x[i])
    if inside:
        for i in range(x.size):
            v1 = sin(x[i]) * exp(-x[i] * x[i])
            v2 = where(v1 > y[i], log1p(absolute(v1)), tanh(v1))
            out[i] = maximum(erf(v2), y[i]) + power(absolute(v1), y[i])
    else:
        for i in range(x.size):
            v1 = sin_slow(x[i]) * exp(-x[i] * x[i])
            v2 = where(v1 > y[i], log1p(absolute(v1)), tanh(v1))
            out[i] = maximum(erf(v2), y[i]) + power(absolute(v1), y[i])
"""


@pytest.mark.skipif(not has_avx2, reason="this processor has no AVX2")
@both_dtypes
def test_generated_text_vectorises_as_a_whole(dtype):
    names = vecmath.namespace(dtype)
    exec(SWEEP, names)
    sweep = njit(names["sweep"])
    x, y = np.random.default_rng(5).normal(size=(2, 1000)).astype(dtype)
    x[0] = 0.0
    erf = in_numpy("erf")
    for largest in (1.0, 1e30):
        x[-1] = largest
        out = np.empty_like(x)
        sweep(x, y, out)
        a, b = x.astype(np.float64), y.astype(np.float64)
        with np.errstate(divide="ignore"):
            v1 = np.sin(a) * np.exp(-a * a)
            v2 = np.where(v1 > b, np.log1p(np.abs(v1)), np.tanh(v1))
            wanted = np.maximum(erf(v2), b) + np.abs(v1) ** b
        np.testing.assert_allclose(out, wanted, rtol=300 * np.finfo(dtype).eps)
    code = code_of(sweep)
    assert re.search("[yz]mm", code)
    assert set(re.findall(r"movabsq\s+\$([a-z]\w*)", code)) <= {"sin", "sinf"}


@pytest.mark.parametrize("name", vecmath.FUNCTIONS)
def test_a_slow_path_and_its_test_exist_where_a_bound_does(name):
    function = vecmath.FUNCTIONS[name]
    for dtype in DTYPES:
        names = vecmath.namespace(dtype)
        assert names[name] is function.fast(dtype)
        assert (function.slow(dtype) is None) == (function.inside(dtype) is None)
        assert (f"{name}_slow" in names) == (function.bound is not None)


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="float16"):
        vecmath.namespace(np.float16)


@pytest.mark.parametrize(
    ("table", "made", "name"),
    [
        (vecmath_coefficients, remez, "CBRT"),
        (special_coefficients, remez_special, "GAMMALN_TAIL"),
    ],
    ids=["elementary", "special"],
)
def test_coefficients_are_those_that_their_generator_writes(table, made, name):
    """Their names, formats and numbers of each, and one of the polynomials."""
    there = {k: v for k, v in vars(table).items() if k.isupper()}
    assert list(there) == list(made.fits)
    for k, fit in made.fits.items():
        assert {form: len(c) - 1 - fit.double for form, c in there[k].items()} == fit.degree, k
    assert remez.fit(made.fits[name], "f32")[0] == pytest.approx(there[name]["f32"], rel=1e-6)
