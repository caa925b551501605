"""Transforms, convolutions and filters on a pretended CuPy: which of its functions they call, with
what results, and what memory is counted for them."""

import numpy as np
import pytest

import gpuad as ad
import pretended_cupy
from executors.cases_convolution import CASES as CONVOLUTIONS
from executors.cases_fourier import CASES as TRANSFORMS
from executors.test_primitives import case_id
from gpuad.executors.cuda import row_calls
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.primitives import convolution
from gpuad.primitives.fourier import WORST_WORK_AREA, fft, work_area


@pytest.fixture
def cupy(monkeypatch):
    yield pretended_cupy.installed(monkeypatch)
    ad.clear_cache()


@pytest.mark.parametrize("passes", [convolution.MOST_PASSES, 1])
@pytest.mark.parametrize("case", [*TRANSFORMS, *CONVOLUTIONS], ids=case_id)
def test_values(case, passes, cupy, monkeypatch):
    monkeypatch.setattr(convolution, "MOST_PASSES", passes)
    operands = [cupy.asarray(x) for x in case.operands]
    found = case.primitive.run(cupy, *operands, **case.params)
    expected = case.expected(*case.operands)
    aval = case.primitive.infer(*[Aval(x.shape, x.dtype) for x in case.operands], **case.params)
    assert (found.shape, found.dtype) == (aval.shape, aval.dtype) == (expected.shape, aval.dtype)
    np.testing.assert_allclose(found.get(), expected, rtol=1e-11, atol=1e-11)


def test_a_program_is_that_of_the_host(cupy):
    x = np.random.default_rng(0).normal(size=(6, 8))

    b, a = np.array([1.0, 0.2]), np.array([1.0, -0.3])

    def loss(x, b, a):
        y = ad.scipy.signal.lfilter(b, a, ad.scipy.fft.dct(x, norm="ortho"))
        y = ad.scipy.signal.detrend(ad.scipy.signal.savgol_filter(y, 5, 2))
        return np.sum(np.abs(np.fft.rfft2(ad.scipy.signal.hilbert(y).real)) ** 3)

    expected = ad.grad(loss)(x, b, a)
    found = ad.grad(loss)(*[cupy.asarray(v) for v in (x, b, a)])
    np.testing.assert_allclose(found.get(), expected, rtol=1e-10, atol=1e-10)


def counted(shape, axes):
    """The bytes counted beside operand and result, in arrays as large as they are."""
    params = {"axes": axes, "inverse": False, "norm": "backward"}
    with building(Builder("transform")) as builder:
        x = builder.input(Aval(shape, np.dtype(np.complex128)))
        fft(x, **params)
    (e,) = builder.equations
    return sum(row_calls.temporaries(e, [np.empty(shape, complex)])) / x.aval.nbytes


def test_the_work_area_of_a_transform_is_counted():
    assert work_area([2, 5040, 1]) == 1
    assert work_area([5040, 11]) == WORST_WORK_AREA
    assert counted((30, 64), (1,)) == 2 + 1
    assert counted((30, 22), (1,)) == 2 + WORST_WORK_AREA
