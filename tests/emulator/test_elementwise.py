"""Every elementwise primitive as it is compiled, against the reference executor.

Many cases are one program, which is one kernel or two.
"""

import numpy as np
import pytest
from gpuad.kernels.cuda_functions import INLINED

from emulator.device import host
from executors.cases_elementwise import CASES
from executors.kernel_programs import HALF
from gpuad.codegen.cuda.planning import joins
from gpuad.executors import reference
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.primitive import CATALOGUE
from gpuad.primitives import elementwise as ew
from needing import NEEDS_COMPILER
from vecmath_reference import evaluate

pytestmark = NEEDS_COMPILER
PARTS = 8
"""Programs for each dtype: of all cases one would be divided, with an attempt at each division."""
TOLERANCE = {np.float32: 3e-6, np.float64: 1e-14}


def cases_of(dtype):
    """(primitive, parameters, operands) of what a kernel computes; cases that differ only in their
    numbers are one. What has no floats is the same for both dtypes: it goes with float32."""
    found = {}
    for case in CASES:
        arrays = np.broadcast_arrays(*[np.asarray(x) for x in case.operands])
        arrays = [x.ravel().astype(dtype if x.dtype.kind == "f" else x.dtype) for x in arrays]
        kinds = "".join(x.dtype.kind for x in arrays)
        if "c" in kinds or not arrays[0].size or ("f" not in kinds and dtype != np.float32):
            continue
        key = case.primitive, str(case.params), kinds
        equations = graph_of([(case.primitive, case.params, arrays)]).equations
        if equations and joins(equations[0]):
            found.setdefault(key, (case.params, []))[1].append(arrays)
    rows = max(sum(len(x[0]) for x in given) for _, given in found.values())
    for (primitive, *_), (params, given) in found.items():
        yield (
            primitive,
            params,
            [np.resize(np.concatenate(x), rows) for x in zip(*given, strict=True)],
        )


def graph_of(cases):
    """One graph with the operands of all cases as its inputs and their results as its outputs."""
    builder = Builder("cases")
    with building(builder):
        outputs = []
        for primitive, params, arrays in cases:
            inputs = [builder.input(Aval(x.shape, x.dtype)) for x in arrays]
            outputs.append(primitive(*inputs, **params))
        return builder.graph(outputs)


def test_most_primitives_are_tested():
    assert len({primitive.name for primitive, *_ in cases_of(np.float32)}) > 60


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_elementwise_primitives_give_the_reference_results(emulator, dtype, part):
    cases = list(cases_of(dtype))[part::PARTS]
    graph, inputs = graph_of(cases), [x for *_, arrays in cases for x in arrays]
    got = host(emulator.program(graph)(emulator.arrays(inputs)))
    with np.errstate(all="ignore"):
        expected = reference.run(graph, inputs, np)
    assert emulator.launches
    # Every integer is a number that somebody may have written.
    assert [x for x in emulator.findings if "perhaps" not in x] == []
    wrong = [
        (primitive.name, params)
        for (primitive, params, _), a, b in zip(cases, got, expected, strict=True)
        if a.dtype != b.dtype
        or not np.allclose(a, b, rtol=TOLERANCE[dtype], atol=0, equal_nan=True)
    ]
    assert not wrong


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_special_functions_are_those_of_the_cpu(emulator, dtype):
    """Where kernels have them from the same source: everywhere, up to libdevice's exp and log."""
    limits = np.finfo(dtype)
    x = np.array([0, 0.3, 0.81, 1, 1.4616, 2, 2.9, 3.9, 4.1, 7.9, 8.1, 12, 700, 1e6], dtype)
    x = np.concatenate([x, [limits.eps, limits.tiny, limits.max, np.inf]]).astype(dtype)
    x = np.concatenate([x, -x, np.array([-0.1, -1.7, -2.4, -13.3, np.nan], dtype)])
    names = {text: text for text in INLINED} | {"digamma": "psi", "trigamma": "psi"}
    names |= {"tetragamma": "psi"}
    orders = {"digamma": 0, "trigamma": 1, "tetragamma": 2}
    cases = [
        (CATALOGUE[primitive], {"n": orders[text]} if text in orders else {}, [x])
        for text, primitive in sorted(names.items())
    ]
    got = host(emulator.program(graph_of(cases))(emulator.arrays([x for _ in cases])))
    assert emulator.launches
    for text, found in zip(sorted(names), got, strict=True):
        expected = evaluate(text, [x])
        least = limits.eps if text in ("gammaln", "digamma", "tetragamma") else limits.tiny
        np.testing.assert_allclose(found, expected, 20 * limits.eps, 30 * least, err_msg=text)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_half_precision_is_converted_to_the_last_bit(emulator, dtype):
    rng = np.random.default_rng(3)
    stored = rng.integers(0, 1 << 16, 500).astype(np.uint16).view(dtype)
    with np.errstate(all="ignore"):
        scaled = [stored.astype(np.float32) * s for s in (np.float32(1), np.float32(1.001))]
        between = [np.nextafter(x, np.float32(np.inf)) for x in scaled]
    bits = rng.integers(0, 1 << 32, 500, np.uint64).astype(np.uint32).view(np.float32)
    ties = (stored.view(np.int16).astype(np.int32) << 16 | 1 << 15).view(np.float32)
    for x, to in ((stored, np.float32), *[(x, dtype) for x in (*between, bits, ties)]):
        with np.errstate(all="ignore"):
            expected = x.astype(to)
            (got,) = host(
                emulator.program(graph_of([(ew.cast, {"dtype": np.dtype(to)}, [x])]))(
                    emulator.arrays([x])
                )
            )
        # The bits of a NaN may be others.
        nan = np.isnan(expected.astype(np.float32))
        assert np.array_equal(np.isnan(got.astype(np.float32)), nan)
        assert np.array_equal(got[~nan].view(np.uint8), expected[~nan].view(np.uint8))
    assert emulator.launches
