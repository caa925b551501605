"""Which executor runs a graph on which arrays; no GPU is needed to say so."""

from types import SimpleNamespace

import numpy as np
import pytest

import gpuad as ad
from gpuad import compile as compiling
from gpuad.errors import ArgumentError, ExecutorWarning
from gpuad.executors.cuda import executor

CUPY = SimpleNamespace(__name__="cupy")


@pytest.fixture
def graph():
    graph = ad.make_graph(lambda x: ad.numpy.sin(x) * 2)(np.ones(3)).graph
    graph.derived.clear()
    return graph


def test_cupy_arrays_get_kernels(graph, monkeypatch):
    monkeypatch.setattr(executor, "available", lambda: True)
    for name in ("auto", "cuda"):
        assert isinstance(compiling.compiled(graph, CUPY, name), executor.CudaExecutor)
    assert not isinstance(compiling.compiled(graph, CUPY, "native"), executor.CudaExecutor)


def test_without_the_compiler_cupy_runs_operation_by_operation(graph, monkeypatch):
    monkeypatch.setattr(executor, "available", lambda: False)
    monkeypatch.setattr(compiling, "_said", set())
    with pytest.warns(ExecutorWarning, match="no compiler of CUDA kernels.*gpuad info"):
        program = compiling.compiled(graph, CUPY, "auto")
    assert not isinstance(program, executor.CudaExecutor)


def test_numpy_arrays_cannot_run_on_the_gpu():
    f = ad.jit(lambda x: x * 2, executor="cuda")
    with pytest.raises(ArgumentError, match=r"executor='cuda' runs on CuPy arrays.*cupy\.asarray"):
        f(np.ones(3))
