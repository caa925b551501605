"""float16 and bfloat16: stored in 2 bytes, computed with as float32, on every path."""

import numpy as np
import pytest

import gpuad as ad
import gpuad.numpy as gnp
from gpuad.errors import DTypeError, UnsupportedError
from gpuad.ir.half import epsilon
from gpuad.testing import check_grads
from gpuad.transforms.half_precision import in_single
from gpuad.transforms.lower import lower

ml_dtypes = pytest.importorskip("ml_dtypes")
numba = pytest.importorskip("numba")
half_precision = pytest.importorskip("gpuad.kernels.half_precision")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
HALF = [np.dtype(np.float16), BFLOAT16]
both = pytest.mark.parametrize("dtype", HALF, ids=str)


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def units(found, expected, dtype):
    """The largest difference, in units of half precision of the largest value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-3) / epsilon(dtype)


# The conversions of the CPU


def bits(function, x, to):
    """The conversion of each element, in a compiled loop."""

    @numba.njit(error_model="numpy")
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    out = np.empty(x.size, to)
    loop(x, out)
    return out


@pytest.mark.parametrize(
    ("up", "down", "dtype"),
    [
        ("from_f16", "to_f16", HALF[0]),
        ("from_float16_bits", "to_float16_bits", HALF[0]),
        ("from_bf16", "to_bf16", HALF[1]),
    ],
)
def test_conversions_are_numpys_to_the_last_bit(up, down, dtype):
    stored = np.arange(1 << 16).astype(np.uint16).view(np.int16)
    with np.errstate(all="ignore"):
        wide = stored.view(dtype).astype(np.float32)
        found = bits(getattr(half_precision, up), stored, np.float32)
        assert same_bits(found, wide)
        near = [wide * s for s in np.float32([1 + 2**-12, 1 - 2**-12, 1 + 2**-9, 1 - 2**-9])]
        ties = (stored.astype(np.int32) << 16 | 1 << 15).view(np.float32)
        some = np.random.default_rng(0).integers(0, 1 << 32, 100_000, np.uint64)
        x = np.concatenate([*near, ties, some.astype(np.uint32).view(np.float32)])
        found = bits(getattr(half_precision, down), x, np.int16).view(dtype)
        assert same_bits(found, x.astype(dtype))


def same_bits(a, b):
    nan = np.isnan(b.astype(np.float32))
    equal = a.view(f"i{a.itemsize}") == b.view(f"i{b.itemsize}")
    return bool(np.all(np.where(nan, np.isnan(a.astype(np.float32)), equal)))


# Values and derivatives


def in_place(x):
    y = x.copy()
    y *= 2
    y[:, 0] += y[:, 1]
    y[3] = x[2]
    np.multiply(y, x, out=y)
    return y


FUNCTIONS = {
    "chain": lambda x: np.exp(-x * x) * np.sin(x) + x / (1 + x * x),
    "rows and columns": lambda x: (x * x).sum(axis=1)[:, None] + np.sin(x).mean(axis=0),
    "product": lambda x: x @ x[:6].T,
    "logsumexp": lambda x: gnp.logsumexp(x, axis=1),
    "cumulative": lambda x: np.cumsum(x, axis=0) * np.cumprod(1 + x / 16, axis=1),
    "moved": lambda x: np.concatenate([x[::-1], x[np.array([3, 1, 3])] * 2]).T,
    "chosen": lambda x: np.where(x > 0, x, np.exp(x)) + np.clip(x, -1, 1),
    "sorted": lambda x: np.sort(x, axis=1) + np.median(x, axis=1)[:, None],
    "norm": lambda x: np.linalg.norm(x, axis=1) + x.std(axis=1),
    "in place": in_place,
    "rounded": lambda x: (x.astype(np.float32) * 3).astype(x.dtype) * x,
}


def parts(f, hessian):
    """A function that gives the value, the gradient of its squares and, if asked for, the product
    of their Hessian with the argument."""

    def squares(x):
        return (f(x).astype(np.float32) ** 2).sum()

    def function(x):
        gradient = ad.grad(squares)
        return f(x), *(ad.jvp(gradient, (x,), (x,)) if hessian else (gradient(x),))

    return function


@both
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives_are_those_of_float32_rounded(name, dtype):
    f = parts(FUNCTIONS[name], hessian=name in ("chain", "rounded"))
    x = normal(24, 10).astype(dtype)
    expected = f(x.astype(np.float32))
    for found, most in ((ad.vmap(f)(x[None]), 24), (ad.jit(f)(x), 4)):
        for part, value in zip(found, expected, strict=True):
            part = part.reshape(value.shape)
            assert part.dtype == dtype
            assert units(part, value, dtype) < most


@both
def test_jvp_vmap_and_jacobians(dtype):
    x = normal(3, 5).astype(dtype)
    found = ad.vmap(ad.jacfwd(np.sin))(x)
    assert found.dtype == dtype
    expected = np.stack([np.diag(v) for v in np.cos(x.astype(np.float32))])
    assert units(found, expected, dtype) < 2
    assert ad.hessian(lambda x: (x**3).sum())(x[0]).dtype == dtype
    check_grads(lambda x: np.sin(x) * x, (x,), order=2)


@both
@pytest.mark.parametrize("jit", [False, True])
def test_many_numbers_are_added_in_float32(dtype, jit):
    def sums(x):
        line = x[:, 0]
        return x.sum(axis=0), x.sum(), np.cumsum(x, axis=0)[-1], line @ line, x.T @ x, np.prod(
            x, axis=0
        )  # fmt: skip

    x = np.ones((4096, 2), dtype)
    f = ad.jit(sums) if jit else lambda x: [y[0] for y in ad.vmap(sums)(x[None])]
    for found, expected in zip(f(x), (4096, 8192, 4096, 4096, 4096, 1), strict=True):
        assert found.dtype == dtype
        assert (np.asarray(found, np.float32) == expected).all()


@both
def test_a_conversion_that_was_written_rounds(dtype):
    x = normal(1000)
    rounded = ad.jit(lambda x: (x * 1.1).astype(dtype).astype(np.float32) - x)(x)
    assert np.array_equal(rounded, (x * np.float32(1.1)).astype(dtype).astype(np.float32) - x)


def test_smooth_powers_of_norms_stay_smooth():
    for dtype in HALF:
        x = np.zeros(2, dtype)
        assert not ad.grad(lambda x: np.sqrt((x * x).sum()))(x).any()
        hessian = ad.hessian(lambda x: np.sqrt((x * x).sum()) ** 2)(x)
        assert np.array_equal(hessian.astype(float), 2 * np.eye(2))


# Dtypes

BINARY = {
    "int": lambda x: x * 2,
    "float": lambda x: 1.5 * x,
    "bool": lambda x: x * (x > 0),
    "float16": lambda x: x + np.ones(3, np.float16),
    "float32": lambda x: np.maximum(x, np.float32(0)),
    "float64": lambda x: x / np.float64(3),
    "int8": lambda x: x - np.ones(3, np.int8),
    "int64": lambda x: np.arctan2(x, np.arange(3)),
    "comparison": lambda x: x >= 1,
    "finite": lambda x: np.isfinite(x),
    "two results": lambda x: np.divmod(x, 2)[1],
    "sum in float32": lambda x: x.sum(dtype=np.float32),
    "mean": lambda x: x.mean(),
    "argmax": lambda x: x.argmax(),
    "reshape": lambda x: x.reshape(3, 1).T,
    "spacing": lambda x: np.spacing(x),
    "nextafter": lambda x: np.nextafter(x, np.zeros_like(x)),
    "zeros": lambda x: np.zeros_like(x),
    "round": lambda x: np.round(x),
}  # fmt: skip


@both
@pytest.mark.parametrize("name", BINARY)
def test_dtypes_are_those_of_numpy(name, dtype):
    x = np.array([1.5, 2.25, 3], dtype)
    f = BINARY[name]
    expected = np.asarray(f(x))
    found = ad.vmap(f)(x[None])[0]
    assert found.dtype == expected.dtype
    # ml_dtypes may round otherwise in the last digit.
    wide = expected.astype(np.float64)
    np.testing.assert_allclose(np.asarray(found).astype(np.float64), wide, rtol=2 * epsilon(dtype))


@both
def test_compiled_results_have_the_same_dtypes(dtype):
    x = np.array([1.5, 2.25, 3], dtype)
    found = ad.jit(lambda x: [f(x) for f in BINARY.values()])(x)
    for result, f in zip(found, BINARY.values(), strict=True):
        assert result.dtype == np.asarray(f(x)).dtype


# Memory


@both
def test_two_bytes_are_moved_for_each_value(dtype):
    x = normal(2000, 8).astype(dtype)
    text = str(ad.jit(ad.grad(lambda x: np.sin(x).sum())).explain(x))
    assert "1 launches, 64 kB moved (1.00 x the least possible" in text


@both
def test_a_table_is_looked_up_as_it_is_stored(dtype):
    table, i = normal(5000, 3).astype(dtype), np.array([4, 1, 7])
    graph = lower(ad.make_graph(lambda t: (t[i] * 2).sum(axis=1))(table).graph)
    wide = [e for e in graph.equations if e.operands[0].aval.size == table.size]
    assert [e.primitive.name for e in wide] == ["gather"]
    assert wide[0].outputs[0].aval.dtype == dtype


def test_what_has_no_half_precision_stays_as_it_is():
    graph = ad.make_graph(lambda x: np.sin(x) + 1)(np.ones(3, np.float32)).graph
    assert in_single(graph) is graph


@both
def test_a_limit_of_memory_counts_float32(dtype):
    x = np.ones(100_000, dtype)
    with pytest.raises(ad.errors.MemoryLimitError, match="max_bytes"):
        ad.jit(lambda x: np.cumsum(x) * 2, executor="reference", max_bytes=700_000)(x)
    ad.jit(lambda x: np.cumsum(x) * 2, executor="reference", max_bytes=2_000_000)(x)


# Kinds of arrays, held graphs, errors


@both
@pytest.mark.parametrize("jit", [False, True])
def test_kinds_of_arrays(dtype, jit):
    f = lambda x: np.exp(x) * 2  # noqa: E731
    g = ad.jit(ad.grad(lambda x: f(x).sum())) if jit else ad.grad(lambda x: f(x).sum())
    x = normal(40, 6).astype(dtype)
    for kind in (x[::2, ::-1], x.T, x[:0], dtype.type(0.5), np.asfortranarray(x)):
        found, expected = g(kind), f(kind.astype(np.float32))
        assert found.dtype == dtype
        assert found.shape == expected.shape
        assert not expected.size or units(found, expected, dtype) < 3
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, 1e-7], dtype)
    with np.errstate(all="ignore"):
        found = (ad.jit(f) if jit else f)(odd)
        np.testing.assert_allclose(
            found.astype(float), f(odd.astype(float)), 4 * epsilon(dtype), equal_nan=True
        )


@both
def test_held_graphs(dtype):
    @ad.custom_jvp
    def sine(x):
        return np.sin(x)

    @sine.defjvp
    def _(primals, tangents):
        return np.sin(primals[0]), np.cos(primals[0]) * tangents[0]

    x = normal(300, 4).astype(dtype)
    for f in (sine, ad.checkpoint(lambda x: np.sin(x)), ad.jit(np.sin)):
        for transform in (lambda g: g, ad.jit):
            found = transform(ad.grad(lambda x, f=f: (f(x) * x).sum()))(x)
            assert found.dtype == dtype
            wide = x.astype(np.float32)
            assert units(found, np.cos(wide) * wide + np.sin(wide), dtype) < 4


def test_errors_name_the_dtype():
    with pytest.raises(UnsupportedError, match=r"inv is not defined for float16; .*float32"):
        ad.jit(np.linalg.inv)(np.eye(3, dtype=np.float16))
    with pytest.raises(UnsupportedError, match=r"nan_to_num: .*posinf="):
        ad.jit(np.nan_to_num)(np.ones(3, BFLOAT16))
    with pytest.raises(DTypeError, match="int64"):
        ad.grad(lambda x: x.astype(BFLOAT16).sum())(np.arange(3))
