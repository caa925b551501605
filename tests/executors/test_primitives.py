"""Every primitive, by its cases: value, derivatives of both modes and second order, vmap, axes.

The cases stand in ``cases_<family>.py``; all that is expected of a primitive is checked here, from
what it says of itself.
"""

import importlib
import itertools
import zlib
from pathlib import Path

import numpy as np
import pytest

import gpuad.numpy  # noqa: F401  fills the catalogue
from gpuad.executors import reference
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building, current
from gpuad.ir.check import check
from gpuad.ir.primitive import CATALOGUE
from gpuad.transforms import jvp as jvp_
from gpuad.transforms import transpose as transpose_
from gpuad.transforms import vmap as vmap_

MODULES = [p.stem for p in sorted(Path(__file__).parent.glob("cases_*.py"))]
CASES = [c for name in MODULES for c in importlib.import_module(f"executors.{name}").CASES]


def case_id(case):
    return case.id or f"{case.primitive}-{CASES.index(case)}"


def is_array(x):
    return isinstance(x, np.ndarray | np.generic)


def arrays_of(case):
    return [np.asarray(x) for x in case.operands if is_array(x)]


def inexact(x):
    return x.dtype.kind in "fc"


def record(case, arrays):
    """The graph of one application; numbers among the operands stay literals."""
    with building(Builder(case.primitive.name)) as builder:
        inputs = iter([builder.input(Aval(x.shape, x.dtype)) for x in arrays])
        operands = [next(inputs) if is_array(x) else x for x in case.operands]
        if operands:
            outs = case.primitive(*operands, **case.params)
        else:
            outs = current().add(case.primitive, (), case.params)
        return check(builder.graph(outs if case.primitive.multiple else [outs]))


def batches(rows, cases=CASES):
    """Each case that has arrays over so many rows: the case, its graph, and the arrays."""
    for case in cases:
        arrays = arrays_of(case)
        if not arrays or any(0 in x.shape for x in arrays):
            continue
        graph, _ = vmap_.vmap(record(case, arrays), rows, (True,) * len(arrays), True)
        rng = np.random.default_rng(0)
        batch = [np.stack([x] * rows) for x in arrays]
        batch = [x + 1e-3 * rng.normal(size=x.shape) if x.dtype == "f8" else x for x in batch]
        yield case, graph, batch


def run(graph, arrays):
    return [np.asarray(x) for x in reference.run(graph, list(arrays), np)]


def generator(case):
    return np.random.default_rng(zlib.crc32(case_id(case).encode()))


def direction(draw, x):
    if not inexact(x):
        return None
    t = draw.normal(size=x.shape)
    t = t + 1j * draw.normal(size=x.shape) if x.dtype.kind == "c" else t
    return t.astype(x.dtype)


def jvp(graph, arrays, tangents):
    """Outputs and tangents of a graph; None where the rule says that a tangent is zero."""
    active = tuple([t is not None for t in tangents])
    joint, out_active = jvp_.jvp(graph, active)
    results = run(joint, [*arrays, *[t for t in tangents if t is not None]])
    n = len(graph.outputs)
    rest = iter(results[n:])
    return results[:n], [next(rest) if on else None for on in out_active]


def is_single(x):
    return x.dtype.name in ("float32", "complex64")


def difference(graph, arrays, tangents):
    """Tangents of the outputs of a graph by central differences."""
    # Only casts give a single from a double, and they are linear.
    step = 0.25 if any(is_single(v.aval) for v in graph.outputs) else 1e-6

    def moved(step):
        shifted = [x if t is None else x + step * t for x, t in zip(arrays, tangents, strict=True)]
        return run(graph, shifted)

    def slope(high, low):
        # Equal infinities (a logsumexp of nothing) have no difference.
        with np.errstate(invalid="ignore"):
            return np.where(high == low, 0, high - low) / (2 * step)

    return [
        slope(high, low) if inexact(high) else None
        for high, low in zip(moved(step), moved(-step), strict=True)
    ]


def assert_near(found, expected, tolerance=1e-6):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = np.max(np.abs(expected), initial=1.0, where=np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def assert_tangents(found, expected):
    for f, e in zip(found, expected, strict=True):
        if e is not None:
            assert_near(np.zeros_like(e) if f is None else f, e)


def pairing(xs, ys):
    return sum(np.sum(x * y).real for x, y in zip(xs, ys, strict=True) if x is not None is not y)


# Those whose derivative is not that of their value, on purpose.
STATED = {
    "stop_gradient",
    "hypot_slope",
    # by the Hermitian part of a tangent; by a matrix beside its factors
    "hermitian",
    "factored_solve",
    "determinant",
    "log_determinant",
}


def of_each(cases):
    """Decorates a test of a case: one test of a primitive tries all its cases, since thousands of
    tests take pytest longer than these take."""
    by_primitive = {}
    for case in cases:
        by_primitive.setdefault(case.primitive.name, []).append(case)

    def decorate(test):
        @pytest.mark.parametrize("name", by_primitive)
        def of_primitive(name):
            for case in by_primitive[name]:
                try:
                    test(case)
                except BaseException as error:
                    error.add_note(f"case {case_id(case)}")
                    raise

        of_primitive.__doc__ = test.__doc__
        return of_primitive

    return decorate


def _moves(case):
    primitive = case.primitive
    only_marks = primitive.marks == len(case.operands)
    inert = only_marks or primitive.name in STATED
    return any(inexact(x) for x in arrays_of(case)) and not inert


each_case = of_each(CASES)
differentiable = of_each([c for c in CASES if _moves(c)])


def test_every_primitive_has_a_case():
    tried = {case.primitive.name for case in CASES}
    missing = [name for name, p in CATALOGUE.items() if not p.holds_graph and name not in tried]
    assert not missing, f"no Case in tests/executors/cases_*.py for {', '.join(missing)}"


@each_case
def test_value(case):
    arrays = arrays_of(case)
    before = [x.copy() for x in arrays]
    graph = record(case, arrays)
    outs = run(graph, arrays)
    for out, aval in zip(outs, graph.out_avals, strict=True):
        assert (out.shape, out.dtype) == (aval.shape, aval.dtype), "infer disagrees with run"
    for x, y in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(x, y, "an operand was changed")
    if case.expected is not None:
        expected = case.expected(*case.operands)
        expected = expected if case.primitive.multiple else [expected]
        for out, e in zip(outs, expected, strict=True):
            assert out.shape == np.shape(e)
            np.testing.assert_allclose(out, e, rtol=1e-12, atol=1e-12)


@differentiable
def test_jvp_against_differences(case):
    arrays = arrays_of(case)
    draw = generator(case)
    tangents = [direction(draw, x) for x in arrays]
    graph = record(case, arrays)
    _, found = jvp(graph, arrays, tangents)
    assert_tangents(found, difference(graph, arrays, tangents))
    # One operand at a time: a term that is lost may hide in the sum.
    for i, t in enumerate(tangents):
        if t is not None and len(tangents) > 1:
            alone = [t if j == i else None for j in range(len(tangents))]
            _, found = jvp(graph, arrays, alone)
            assert_tangents(found, difference(graph, arrays, alone))


@differentiable
def test_vjp_is_the_transpose_of_jvp(case):
    arrays = arrays_of(case)
    draw = generator(case)
    tangents = [direction(draw, x) for x in arrays]
    active = tuple([t is not None for t in tangents])
    graph = record(case, arrays)
    outs, outs_dot = jvp(graph, arrays, tangents)
    seeds = [direction(draw, x) for x in outs]
    results = run(transpose_.vjp(graph, active), [*arrays, *[s for s in seeds if s is not None]])
    cotangents = results[len(outs) :]
    moving = [t for t in tangents if t is not None]
    assert [c.shape for c in cotangents] == [t.shape for t in moving]
    assert [c.dtype for c in cotangents] == [t.dtype for t in moving]
    tolerance = 1e-5 if any(is_single(x) for x in outs) else 1e-10
    np.testing.assert_allclose(
        pairing(cotangents, moving), pairing(seeds, outs_dot), rtol=tolerance, atol=tolerance
    )


@differentiable
def test_jvp_of_vjp_against_differences(case):
    arrays = arrays_of(case)
    draw = generator(case)
    tangents = [direction(draw, x) for x in arrays]
    active = tuple([t is not None for t in tangents])
    graph = record(case, arrays)
    seeds = [s for s in [direction(draw, x) for x in run(graph, arrays)] if s is not None]
    reverse = transpose_.vjp(graph, active)
    everything, moves = [*arrays, *seeds], [*tangents, *[None] * len(seeds)]
    _, found = jvp(reverse, everything, moves)
    assert_tangents(found, difference(reverse, everything, moves))


def variants(x, count=3):
    """Different valid operands of the same shape."""
    if inexact(x):
        return [x * (1 + 0.02 * k) for k in range(count)]
    return [np.roll(x, k, axis=0) if x.ndim else x for k in range(count)]


@each_case
def test_vmap_against_a_loop(case):
    arrays = arrays_of(case)
    graph = record(case, arrays)
    for mapped in itertools.product((False, True), repeat=len(arrays)):
        if not any(mapped):
            continue
        lists = [variants(x) if on else [x] * 3 for x, on in zip(arrays, mapped, strict=True)]
        stacked = [np.stack(xs) if on else xs[0] for xs, on in zip(lists, mapped, strict=True)]
        batched, _ = vmap_.vmap(graph, 3, mapped)
        found = run(check(batched), stacked)
        rows = [run(graph, row) for row in zip(*lists, strict=True)]
        for f, expected in zip(found, zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(f, np.stack(expected), rtol=1e-12, atol=1e-12)


COMBINE = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "any": np.logical_or,
    "all": np.logical_and,
    "logsumexp": np.logaddexp,
    "norm": np.hypot,
}


def _axes_of(case, graph):
    (equation,) = graph.equations
    avals = [x.aval for x in equation.operands]
    axes = case.primitive.axes(avals, graph.out_avals, **case.params)
    assert [len(a) for a in axes.operands] == [a.ndim for a in avals]
    assert [len(a) for a in axes.outputs] == [a.ndim for a in graph.out_avals]
    of_arrays = [a for a, x in zip(axes.operands, case.operands, strict=True) if is_array(x)]
    return axes, of_arrays


def _permuted(x, labels, label, order):
    for i, found in enumerate(labels):
        if found == label:
            x = np.take(x, order, axis=i)
    return x


def _sizes(arrays, labels, label):
    return {
        n
        for x, names in zip(arrays, labels, strict=True)
        for n, found in zip(x.shape, names, strict=True)
        if found == label
    }


@each_case
def test_axes_are_declared_truthfully(case):
    """Shuffling operands along an independent label shuffles the result; along a reduced one, it
    changes nothing, and the parts of a split combine to the whole."""
    arrays = arrays_of(case)
    graph = record(case, arrays)
    if not graph.equations:
        return
    axes, labels = _axes_of(case, graph)
    outs = run(graph, arrays)
    for label in {found for names in labels for found in names} - {None}:
        (size,) = _sizes([*arrays, *outs], [*labels, *axes.outputs], label)
        order = generator(case).permutation(size)
        shuffled = [_permuted(x, n, label, order) for x, n in zip(arrays, labels, strict=True)]
        kept = any(label in names for names in axes.outputs)
        assert kept != (label in axes.reduced) or size == 1
        for out, found, names in zip(outs, run(graph, shuffled), axes.outputs, strict=True):
            expected = _permuted(out, names, label, order)
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        if label in axes.reduced and size > 1:
            _check_split(case, arrays, labels, label, size, outs, COMBINE[axes.reduced[label]])


def _check_split(case, arrays, labels, label, size, outs, combine):
    parts = []
    for chosen in (np.arange(size // 2), np.arange(size // 2, size)):
        part = [_permuted(x, n, label, chosen) for x, n in zip(arrays, labels, strict=True)]
        parts.append(run(record(case, part), part))
    for out, first, second in zip(outs, *parts, strict=True):
        np.testing.assert_allclose(combine(first, second), out, rtol=1e-10, atol=1e-12)


SINGLE = {"float64": np.float32, "complex128": np.complex64}


def in_single(x):
    return x.astype(SINGLE.get(x.dtype.name, x.dtype))


@differentiable
def test_single_precision(case):
    arrays = arrays_of(case)
    tangents = [direction(generator(case), x) for x in arrays]
    single = [in_single(x) for x in arrays]
    graph = record(case, single)
    outs, outs_dot = jvp(graph, single, [None if t is None else in_single(t) for t in tangents])
    double, double_dot = jvp(record(case, arrays), arrays, tangents)
    for out, aval in zip(outs, graph.out_avals, strict=True):
        assert out.dtype == aval.dtype
    for found, expected in zip([*outs, *outs_dot], [*double, *double_dot], strict=True):
        if expected is not None and inexact(expected):
            if case.primitive.name != "cast":
                assert found.dtype == in_single(expected).dtype
            assert_near(found, expected, 2e-4)
