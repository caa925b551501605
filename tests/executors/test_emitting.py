"""Generated text put down as instructions: it computes what Numba makes of it, bit by bit."""

import numpy as np
import pytest

numba = pytest.importorskip("numba")

from gpuad.kernels import vecmath  # noqa: E402
from gpuad.kernels.emitting import emitted  # noqa: E402
from gpuad.kernels.emitting_expressions import TextError  # noqa: E402
from gpuad.kernels.reductions import NAMES as REDUCTIONS  # noqa: E402

SIZE = 67
KINDS = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "b1": np.bool_}
NAMES = {**KINDS, **REDUCTIONS, "inf": np.inf, "nan": np.nan}


def compiled(text, names, direct):
    """The function `sweep` of a text: put down as it stands, or compiled by Numba."""
    names = dict(names)
    if direct:
        parameters = text[text.index("(") + 1 : text.index(")")]
        names["body"] = emitted(text, dict(names))
        text = f"def sweep({parameters}):\n    body({parameters})\n"
    exec(text, names)
    return numba.njit(names["sweep"], error_model="numpy")


def both(lines, *arrays, names=NAMES):
    """What a text leaves in its arrays a, b, c, ..., each way."""
    letters = ", ".join("abcdef"[: len(arrays)])
    text = f"def sweep({letters}, n):\n" + "".join(f"    {line}\n" for line in lines.split("\n"))
    results = []
    for direct in (True, False):
        given = [x.copy() for x in arrays]
        compiled(text, names, direct)(*given, SIZE)
        results.append(given)
    return results


def numbers(kind, seed=0):
    x = np.random.default_rng(seed).normal(size=SIZE) * 5
    return np.abs(x).astype(kind) if kind == np.bool_ else x.astype(kind)


def assert_equal(lines, *arrays, names=NAMES):
    for x, y in zip(*both(lines, *arrays, names=names), strict=True):
        for z in (x, y):
            if z.dtype.kind == "f":
                z[np.isnan(z)] = np.nan  # LLVM leaves its sign open
        np.testing.assert_array_equal(x.view(np.uint8), y.view(np.uint8), lines)


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize(
    "text",
    [
        "a[i]",
        "a[i] + b[i] * a[i] - b[i] / a[i]",
        "-a[i] * T(-2.5)",
        "T(a[i] > b[i])",
        "T((a[i] <= b[i]) | (a[i] == T(inf)) & (b[i] != a[i]))",
        "where(a[i] >= T(0), a[i], b[i])",
        "T(0.1) / T(3)",
        "T(i) * T(nan)",
        "value_of(order_of(a[i]))",
        "radd(a[i], b[i])",
        "min(a[i], b[i]) + max(a[i], T(1))",
        "T(i32(a[i]) + i32(3))",
        "T(i64(a[i]) // (i + 1) - i % 7)",
        "power(absolute(a[i]), b[i]) + tanh(a[i])",
    ],
)
def test_an_expression_is_what_numba_makes_of_it(text, kind):
    names = {**NAMES, **vecmath.namespace(KINDS[kind])}
    x, y, out = (numbers(KINDS[kind], k) for k in range(3))
    lines = f"for i in range(n):\n    c[i] = {text.replace('T(', f'{kind}(')}"
    assert_equal(lines, x, y, out, names=names)


def test_small_integers_and_booleans():
    text = "b[i] = i32(a[i] * a[i] + i32(7))\n    c[i] = (a[i] < 0) & c[i]\n    a[i] = ~a[i] >> 1"
    arrays = numbers(np.int32), numbers(np.int32, 1), numbers(np.bool_, 2)
    assert_equal(f"for i in range(n):\n    {text}", *arrays)


LOOPS = """\
for b0 in range(2, n, 16):
    m = min(16, n - b0)
    x = a[b0:b0 + m]
    y = b[2 * b0:2 * (b0 + m)]
    t = f64(0)
    inside = True
    for r in range(m):
        u0 = x[r]
        inside &= u0 < f64(4)
        t = t + u0 * u0
        y[2 * r] = t
        for l in range(2):
            y[2 * r + l] += f64(l) + u0
    if inside:
        u0 = t > f64(0)
        c[b0] = u0
    else:
        c[b0] += t
    t = order_of(t)
    d[b0] = t"""


def test_loops_parts_of_arrays_and_branches():
    d = np.zeros(SIZE, np.int64)
    assert_equal(LOOPS, numbers(float), np.zeros(2 * SIZE), numbers(float, 2), d)


@pytest.mark.parametrize("place", ["3 * i + 1", "i * 8"])
def test_a_loop_that_only_stores_apart_stores_one_by_one(place):
    """Instructions that scatter are slower, where there are any."""
    text = f"def sweep(a, n):\n    for i in range(n):\n        a[{place}] = f32(0)\n"
    f = compiled(text, NAMES, direct=True)
    a = np.ones(9 * SIZE, np.float32)
    f(a, SIZE)
    assert (a == 0).sum() == SIZE
    assert all("scatter" not in f.inspect_llvm(s) for s in f.signatures)
    assert all(f.inspect_llvm(s).count("llvm.loop.vectorize.enable") for s in f.signatures)


def test_several_values_at_once():
    names = {**NAMES, **vecmath.namespace(np.float64)}
    text = "for i in range(n):\n    u, v = a[i], -a[i]\n    u, v = v, u\n    a[i] = u * f64(2) + v"
    assert_equal(text, numbers(float), names=names)


def test_a_function_ends_where_it_returns():
    text = "for i in range(n):\n    if a[i] > f64(3):\n        return\n    a[i] = f64(0)"
    assert_equal(text, numbers(float))


@pytest.mark.parametrize("error", ["Outside", "IndexError('no such place')"])
def test_errors_are_raised(error):
    text = f"def sweep(a, n):\n    if a[0] > f64(n):\n        raise {error}\n    a[0] = f64(n)\n"
    sweep = compiled(text, {**NAMES, "IndexError": IndexError}, True)
    x = np.zeros(1)
    sweep(x, 3)
    assert x[0] == 3
    kind, said = (IndexError, "no such place") if "(" in error else (REDUCTIONS["Outside"], None)
    with pytest.raises(kind, match=said):
        sweep(x, -1)


@pytest.mark.parametrize(
    "lines, said",
    [
        ("x = 0\nfor i in range(n):\n    a[i] = f64(x)\n    x = i", "read before it is made"),
        ("t = f64(0)\nfor i in range(n):\n    t = order_of(t)", "becomes"),
        ("for i in range(n):\n    x = i\na[0] = f64(x)", "'x' where it is not known"),
        ("x = 0\nfor i in range(n):\n    x = i\na[0] = f64(x)", "'x' where it is not known"),
        (
            "x = 0\nfor i in range(n):\n    y = x\n    if i > 1:\n        x = i\n    a[i] = f64(y)",
            "read before it is made",
        ),
        (
            "x = 0\nfor i in range(n):\n    for j in range(1):\n        a[i] = f64(x)\n"
            "    for j in range(2):\n        x = j",
            "read before it is made",
        ),
        ("for i in range(2, 0, -1):\n    a[i] = f64(i)", "range"),
        ("for i in range(0, 2, 0):\n    a[i] = f64(i)", "range"),
        ("for i in range(n):\n    a[i] = f64(i)\nelse:\n    a[0] = f64(3)", "else"),
        ("raise a[0]", "no way to say"),
        ("a[0] **= 2", "no way to say"),
        ("if n in a:\n    a[0] = a[1]", "no way to say"),
        ("a[0], *b = a[0], a[1]", "no way to say"),
        ("return n", "no way to say"),
        ("a[0] = round(a[1], ndigits=1)", "no way to say"),
        ("a[0] = a[1] ** 2", "no way to say"),
        ("while n > 9:\n    a[0] = a[1]", "no way to say"),
        ("a[0] = a[f64(n)]", "no index"),
        ("a[0] = [a[0]]", "no way to say"),
        ("a[0] = a[0] if n else a[1]", "no way to say"),
    ],
)
def test_what_would_not_mean_the_same_is_refused(lines, said):
    """A value that comes from another turn of a loop, or changes its type, is not straight-line."""
    text = "def sweep(a, n):\n" + "".join(f"    {line}\n" for line in lines.split("\n"))
    with pytest.raises(TextError, match=said):
        compiled(text, NAMES, True)(np.ones(3), 3)


@pytest.mark.parametrize("operands", [1, 2])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_function_is_what_numba_makes_of_it(kind, operands):
    names = {**NAMES, **vecmath.namespace(kind)}
    functions = [f for f in vecmath.FUNCTIONS.values() if f.operands == operands]
    called = [f.name for f in functions] + [f"{f.name}_inside" for f in functions if f.bound]
    given = ", ".join(["a[i]", "b[i]"][:operands])
    lines = [f"    c[{k} * n + i] = {name}({given})" for k, name in enumerate(called)]
    x, y = (numbers(kind, k) for k in range(2))
    x[:6], y[:6] = [0, np.nan, np.inf, -np.inf, -0.0, 1e-40], [1, 2, np.inf, 0, -3, 5]
    out = np.zeros(len(called) * SIZE, kind)
    assert_equal("\n".join(["for i in range(n):", *lines]), x, y, out, names=names)
