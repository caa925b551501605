"""Compiled sweeps against the reference executor: every primitive, hard values, random programs.

Bounds: elementwise functions agree to `ULPS` units in the last place; sums and products, whose
order differs, to `SUMMED` of the largest element.
``GPUAD_EXAMPLES=1000 pytest -n0 tests/executors/test_native.py`` takes as many random programs.
"""

import os
import random

import hypothesis
import numpy as np
import pytest
from gpuad.kernels import vecmath
from hypothesis import strategies as st

import gpuad
from executors import sweep_programs, test_primitives
from executors.sweep_programs import batch_program, compiled_program, load_interpreted
from gpuad import tree
from gpuad.codegen.cpu import block_sweep, elementwise, sweeps, unrolled_source
from gpuad.executors import reference
from gpuad.executors.native import sweep
from gpuad.executors.native.program import NativeProgram
from gpuad.ir import scalar_text
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.primitive import CATALOGUE, Role
from gpuad.transforms import vmap
from gpuad.transforms.lower import lower
from gpuad.transforms.simplify import simplify
from vecmath_reference import NO_LIBRARY_HAS

pytest.importorskip("numba")

EXAMPLES = int(os.environ.get("GPUAD_EXAMPLES", "0"))
ULPS = 4
SUMMED = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-12}
NEAR_ZERO = {"sinc", "logaddexp", "logaddexp2", "psi", "gammaln"}
SPECIAL_ULPS = 16
"""That of functions which both sides compute to a few units, each in its own way."""
SPECIAL = {"gammaln", "psi", "ndtr", "log_ndtr", "i0e", "i1e", *NO_LIBRARY_HAS}
"""Near the zeros of these NumPy's own value has few digits: there, units of the number 1."""


def program_of(graph):
    return NativeProgram(simplify(lower(simplify(graph))))


def distance(x, y, at_least=0):
    """How many units in the last place of `y` lie between the elements; inf for a NaN in one."""
    if y.dtype == bool:
        return np.where(x == y, 0.0, np.inf)
    with np.errstate(all="ignore"):
        wide = np.abs(x.astype(np.longdouble) - y.astype(np.longdouble))
        wide /= np.spacing(np.maximum(np.abs(y), y.dtype.type(at_least)))
    wide = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0, wide)
    return np.where(np.isnan(wide), np.inf, wide).astype(float)


def assert_near(found, expected, tolerance=None, what=""):
    """Equal shapes and dtypes; values within the tolerance of the largest finite one."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), what
    if expected.dtype.kind not in "fc":
        np.testing.assert_array_equal(found, expected, what)
        return
    tolerance = tolerance or SUMMED.get(expected.dtype, 1e-12)
    largest = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
    np.testing.assert_allclose(
        found, expected, rtol=tolerance, atol=tolerance * largest, equal_nan=True, err_msg=str(what)
    )


def primitives_recorded():
    """The cases of primitives that do not hold a graph, each with its graph and arguments."""
    for case in test_primitives.CASES:
        arrays = test_primitives.arrays_of(case)
        if arrays and not case.primitive.holds_graph:
            yield case, test_primitives.record(case, arrays), arrays


def assert_case_is_right(case, graph, arrays, calls=1):
    """The program of the graph, which gives what the reference executor gives, in each call."""
    program = program_of(graph)
    expected = reference.run(graph, arrays, np)
    for _ in range(calls):
        for x, y in zip(program(arrays), expected, strict=True):
            assert_near(x, y, what=test_primitives.case_id(case))
    return program


def assert_same(function, *args, tolerance=None, sweeps=None):
    """jit of the function, compiled, gives what the reference executor gives, and leaves the
    arguments as they were."""
    before = [np.array(x) for x in args]
    jitted = gpuad.jit(function, executor="native")
    found = tree.flatten(jitted(*args))[0]
    expected = tree.flatten(gpuad.jit(function, executor="reference")(*args))[0]
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        assert_near(x, y, tolerance)
    for x, y in zip(args, before, strict=True):
        np.testing.assert_array_equal(x, y, "an input was modified")
    if sweeps is not None:
        (entry,) = jitted._entries.values()
        assert program_of(entry.recorded.graph).plan.sweeps == sweeps
    return found


@pytest.fixture
def interpreted(monkeypatch):
    """Sweeps as plain Python."""
    monkeypatch.setattr(sweep, "load", load_interpreted)
    return monkeypatch


WRITERS = ("unrolled", "lane-major", "row-major")


def use_writer(monkeypatch, name, block):
    """All sweeps in one form, over blocks of so many rows, and a segment for each block."""
    can_unroll = unrolled_source.can_unroll if name == "unrolled" else lambda sweep: False
    monkeypatch.setattr(sweeps, "can_unroll", can_unroll)
    if name != "row-major":
        monkeypatch.setattr(sweeps, "flat_source", lambda *sweep: None)
    monkeypatch.setattr(block_sweep, "LANE_MAJOR_LANES", 16 if name == "lane-major" else 0)
    monkeypatch.setattr(block_sweep, "LANE_MAJOR_SHORT", 64 if name == "lane-major" else 0)
    monkeypatch.setattr(block_sweep, "block_rows", lambda *asked: block)
    monkeypatch.setattr(unrolled_source, "BLOCK", block)
    monkeypatch.setattr(sweep, "SEGMENT_VALUES", 1)


# Elementwise primitives, compiled


def special_values(dtype):
    limits = np.finfo(dtype)
    values = [0, 0.25, 0.5, 1, 1.5, 2, 3, 7, 30, 88, 100, 710, 1e4, 1e5 * np.pi, 1e10, np.inf]
    values += [np.nan, limits.eps, limits.max / 3, limits.max, limits.tiny]
    values += [limits.smallest_subnormal, limits.tiny / 3]
    return np.array([*values, *[-x for x in values]], dtype)


def operands_for(dtype):
    """Every pair of special values, and random ones: x, y, z and a boolean array."""
    rng = np.random.default_rng(0)
    x, y = np.array(np.meshgrid(*[special_values(dtype)] * 2)).reshape(2, -1)
    x, y = [np.concatenate([v, rng.normal(size=99)]).astype(dtype) for v in (x, y)]
    z = rng.permutation(y)
    return x, y, z, x > z


PARAMS = {
    "cast": [{"dtype": np.dtype(d)} for d in (np.float32, np.float64, np.bool_)],
    "exp_of_square": [{"c": c} for c in (-0.5, 1.0)],
    "integer_power": [{"n": n} for n in (-2, 0, 1, 3, 7)],
    "keep": [{"guard": False}],
    "narrow": [{"dtype": np.dtype(np.float32)}],
    "power_of_log": [{"n": n, "limit": n > 1} for n in (1, 2)],
    "psi": [{"n": n} for n in (0, 1, 2)],
    "root_of_powers": [{"p": 3.0}],
    "share": [{"larger": a, "nan_wins": b} for a in (True, False) for b in (True, False)],
    "sinc": [{"n": n} for n in (0, 1, 2)],
}


def joinable(kind):
    """The elementwise primitives, with parameters, that a sweep computes for this kind of dtype."""
    return [
        (p, params)
        for p in CATALOGUE.values()
        if p.kind == "elementwise" and p.text and kind in p.dtypes
        for params in PARAMS.get(p.name, [{}])
        if elementwise.is_known(p.scalar_text(params))
    ]


def graph_of(applications, operands):
    """A graph with one output for each primitive."""
    with building(Builder("all")) as builder:
        x, y, z, c = [builder.input(Aval(v.shape, v.dtype)) for v in operands]
        outs = [
            p(*((c, x, y) if p.scalars_like else (x, y, z))[: p.arity], **params)
            for p, params in applications
        ]
        return builder.graph(outs)


def assert_applications(applications, operands):
    graph = graph_of(applications, operands)
    program = program_of(graph)
    assert [len(s.whole) for s in program.plan.stages] == [0]
    expected = reference.run(graph, list(operands), np)
    for (p, params), found, wanted in zip(applications, program(operands), expected, strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), p
        apart = distance(found, wanted, 1 if p.name in NEAR_ZERO else 0)
        if p.name == "gammaln":  # SciPy's is infinite for subnormal numbers
            apart[np.abs(operands[0]) < np.finfo(wanted.dtype).tiny] = 0
        at = np.unravel_index(np.argmax(apart), apart.shape)
        what = f"{p} {params} of {[v[at] for v in operands]}: {found[at]}, not {wanted[at]}"
        assert apart[at] <= (SPECIAL_ULPS if p.name in SPECIAL else ULPS), what


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("part", range(3))
def test_every_elementwise_primitive(dtype, part):
    applications = joinable("f")
    assert len(applications) > 80
    assert_applications(applications[part::3], operands_for(dtype))


def test_elementwise_primitives_of_booleans():
    values = np.random.default_rng(1).random((4, 100)) < 0.5
    assert_applications([a for a in joinable("b") if a[0].name != "sign"], list(values))


def test_functions_with_bounds_in_few_lanes_of_both_dtypes():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    x[250, 1], x[17, 2] = 1e30, np.inf

    def f(x):
        y = x.astype(np.float64)
        return np.sin(x) + np.tan(x), np.exp(y / 50) * np.cos(y * 3), np.fmod(y, 0.1), y // 0.3

    assert_same(f, x, sweeps=1)


def test_the_bounded_functions_are_those_of_vecmath():
    bounded = {n for n, f in scalar_text.FUNCTIONS.items() if f.bounded}
    assert bounded == {n for n, f in vecmath.FUNCTIONS.items() if f.bound}


# Every primitive, in all forms of loops, with rows first, in the middle and last


@pytest.mark.parametrize("writer", WRITERS)
def test_every_primitive(interpreted, writer):
    use_writer(interpreted, writer, 2)
    swept = set()
    for case, graph, arrays in primitives_recorded():
        batch, _ = vmap.vmap(graph, 3, (True,) * len(arrays), True)
        stacked = [np.stack([x, x, x]) for x in arrays]
        for g, values in ((graph, arrays), (batch, stacked)):
            program = assert_case_is_right(case, g, values)
            swept |= {s.equation.primitive.name for t in program.plan.stages for s in t.sweep}
    in_sweeps = (Role.VIEW, Role.COPY, Role.REDUCTION)
    moved = {p.name for p in CATALOGUE.values() if p.role in in_sweeps}
    assert moved <= swept and len(swept) > 60


def standing(x, axis):
    """The batch with its row axis, the last of `x`, in another place."""
    return np.moveaxis(x, -1, axis)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_in_any_place(interpreted, writer, axis):
    use_writer(interpreted, writer, 4)
    x = standing(np.random.default_rng(3).normal(size=(2, 3, 23)), axis)
    others = tuple([i for i in range(3) if i != axis])

    def f(x):
        y = np.sin(x) - np.mean(x, axis=others[0], keepdims=True)
        z = np.concatenate([y[::1], np.flip(y, axis=others)], axis=others[1])
        top = np.max(z, axis=others, keepdims=True)
        weights = gpuad.numpy.softmax(z, axis=others[1])
        return np.pad(z - top, 1), np.sum(weights * z, axis=axis), np.swapaxes(y, 0, 2).reshape(-1)

    assert_same(f, x)


PRODUCTS = ("nd,dk->nk", "nd,kd->nk", "dn,dk->kn", "nd,nk->dk", "nd,nk->kd", "dk,nd->kn",
            "ndk,dk->n", "ndk,kdj->nj", "nkd,jd->njk", "nd,nd->n", "ndk,nk->nd", "dkn,nkj->dj",
            "nd,me,de->n", "ndk,nkj->ndj", "n,nd->d", "nd,d->n", "n,n->", "nk,d->nkd")  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
def test_products(interpreted, writer):
    use_writer(interpreted, writer, 4)
    interpreted.setattr("gpuad.transforms.written_products.SMALL_PRODUCT", 8)
    sizes = {"n": 19, "d": 3, "k": 4, "j": 2, "m": 5, "e": 2}
    rng = np.random.default_rng(4)
    for text in PRODUCTS:
        shapes = [tuple([sizes[c] for c in term]) for term in text.split("->")[0].split(",")]
        arrays = [rng.normal(size=shape) for shape in shapes]
        assert_same(lambda *xs, text=text: np.einsum(text, *xs), *arrays)
        assert_same(lambda *xs, text=text: np.einsum(text, *[np.sin(x) for x in xs]), *arrays)


def test_products_compiled():
    rng = np.random.default_rng(5)
    x, w, v = rng.normal(size=(500, 20)), rng.normal(size=(20, 17)), rng.normal(size=(18, 17))

    def f(x, w, v):
        y = np.tanh(x @ w)
        return y @ v.T, x.T @ y, (v @ y.T).T + 1

    assert_same(f, x, w, v, sweeps=1)
    assert_same(f, *[a.astype(np.float32) for a in (x, w, v)])


INFINITE = [
    [-np.inf] * 3,
    [np.inf, 1, 2],
    [np.inf, np.inf, 0],
    [-np.inf, 0, 1],
    [np.nan, 1, np.inf],
    [np.inf, -np.inf, np.finfo(np.float32).max],
    [1e30, 1e30, -1e30],
    [1, 2, 3],
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_and_its_kin_of_infinities(interpreted, dtype):
    x = np.array(INFINITE * 3, dtype)
    gnp = gpuad.numpy
    for lanes in (x, np.tile(x, (1, 9)), x.T):
        for axis in (0, 1, -1, (0, 1)):
            assert_same(
                lambda x, axis=axis: (
                    gnp.softmax(x, axis=axis),
                    gnp.logsumexp(x, axis=axis),
                    gnp.log_softmax(x, axis=axis),
                ),
                lanes,
            )


def test_extrema_over_lanes_pass_nan():
    x = np.random.default_rng(6).normal(size=(200, 20)).astype(np.float32)
    x[3, 4], x[5], x[7, 0], x[7, 1] = np.nan, -np.inf, np.inf, np.nan
    x[9], x[11] = -0.0, np.inf
    assert_same(lambda x: (np.max(x, axis=1), np.min(x, axis=1), np.sum(x, axis=1)), x, sweeps=1)
    assert_same(lambda x: (np.max(x, axis=1), np.min(x, axis=1)), x[:, :3].copy(), sweeps=1)


# Random programs


def with_derivatives(function, inputs, seed):
    """Value, gradient and HVP in one."""
    rng = np.random.default_rng(seed)
    directions = tuple([rng.normal(size=x.shape).astype(x.dtype) for x in inputs])
    argnums = tuple(range(len(inputs)))

    def loss(*xs):
        return sum(np.sum(np.sin(out)) for out in function(*xs))

    return lambda *xs: (
        function(*xs),
        gpuad.grad(loss, argnums)(*xs),
        gpuad.hvp(loss, xs, directions),
    )


def assert_program_is_right(seed, rows):
    rng = random.Random(seed)
    text, inputs = batch_program(rng, rows)
    single = any(x.dtype == np.float32 for x in inputs)
    function = with_derivatives(compiled_program(text), inputs, seed)
    try:
        assert_same(function, *inputs, tolerance=2e-3 if single else 1e-10)
    except BaseException as error:
        error.add_note(f"seed {seed}, {rows} rows:\n{text}")
        raise


def examples(count):
    return hypothesis.settings(
        max_examples=EXAMPLES or count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


@examples(50)
@hypothesis.given(
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 3, 7, 8, 17]),
    st.sampled_from(WRITERS),
    st.sampled_from([1, 2, 3, 8]),
)
def test_random_programs_interpreted(seed, rows, writer, block):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sweep, "load", sweep_programs.load_interpreted)
        use_writer(monkeypatch, writer, block)
        assert_program_is_right(seed, rows)


@examples(4)
@hypothesis.given(st.integers(0, 10**6), st.sampled_from([33, 200]))
def test_random_programs_compiled(seed, rows):
    assert_program_is_right(seed, rows)


# What a sweep leaves to the library


def test_what_a_sweep_cannot_do_runs_whole():
    x, i = np.random.default_rng(7).normal(size=(50, 4)), np.array([3, 1, 1])

    def f(x):
        return np.sort(x, axis=1), x[:, i] * 2, np.cumsum(x, axis=0), np.take(x, i, axis=0)

    assert_same(f, x)
