"""Cumulative operations inside compiled sweeps, against the reference."""

import numpy as np
import pytest

import gpuad
from executors.sweep_programs import load_interpreted
from executors.test_native import WRITERS, assert_same, use_writer
from executors.test_native_tables import swept
from gpuad.executors.native import sweep

pytest.importorskip("numba")
gnp = gpuad.numpy


def cumulative(x):
    y = np.sin(x)
    line = (*range(1, x.ndim), 0)
    total = np.cumsum(np.exp(-np.cumsum(y, axis=-1)), axis=1)
    return total, np.cumprod(y, axis=1), np.cumsum(x[..., ::-1], axis=-1).transpose(line)


def extremes(x):
    return gnp.maximum.accumulate(x, axis=1), gnp.minimum.accumulate(x, axis=-1)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("shape", [(9, 4), (9, 1), (9, 3, 2), (9, 20), (9, 2, 20)])
def test_along_the_lanes(monkeypatch, writer, shape):
    monkeypatch.setattr(sweep, "load", load_interpreted)
    use_writer(monkeypatch, writer, 4)
    for dtype in (np.float64, np.float32):
        x = np.random.default_rng(1).normal(size=shape).astype(dtype)
        x[3] = np.inf
        x[5, 0] = np.nan
        assert_same(cumulative, x)
        assert_same(extremes, x)
        finite = np.where(np.isfinite(x), x, 0)
        for f in (cumulative, extremes):
            loss = lambda x, f=f: sum(np.sum(y * y) for y in f(x))  # noqa: E731
            assert_same(lambda x, g=loss: gpuad.grad(g)(x), finite, tolerance=1e-4)


def test_they_join_the_sweep():
    x = np.random.default_rng(2).normal(size=(500, 30))
    assert_same(cumulative, x)
    assert swept(cumulative, x).count("cumsum") == 3
    assert "cumsum" not in swept(lambda x: np.cumsum(x, axis=0), x)
