"""Whole matrix products on our threads, against NumPy."""

import numpy as np
import pytest

import gpuad
from gpuad.codegen.cpu import contraction
from gpuad.errors import MemoryLimitError
from gpuad.executors.native import (
    compile_cache,
    one_thread_blas,
    row_calls,
    thread_pool,
    tiled_gemm,
)

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def whole(monkeypatch):
    """No product is part of a sweep, or made by rows."""
    monkeypatch.setattr(row_calls, "LEAST_BYTES", 1 << 40)
    monkeypatch.setattr(contraction, "GEMM_VALUES", 0)
    gpuad.clear_cache()
    yield
    gpuad.clear_cache()


RNG = np.random.default_rng(3)
FORMS = ["nk,km->nm", "kn,km->nm", "nk,mk->nm", "kn,mk->mn", "bnk,bkm->bnm", "nbk,mkb->bnm"]
FORMS += ["ank,km->anm", "nka,akm->nm"]


def operands(form, sizes, dtype):
    given, _ = form.split("->")
    arrays = [RNG.normal(size=[sizes[c] for c in names]) for names in given.split(",")]
    if np.dtype(dtype).kind == "c":
        arrays = [x + 1j * RNG.normal(size=x.shape) for x in arrays]
    return [x.astype(dtype) for x in arrays]


def products(monkeypatch):
    """The products that ran, as they run."""
    ran = []
    call = tiled_gemm.MatrixProduct.__call__

    def noted(self, *args):
        ran.append(self)
        return call(self, *args)

    monkeypatch.setattr(tiled_gemm.MatrixProduct, "__call__", noted)
    return ran


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_type(form, dtype, monkeypatch):
    monkeypatch.setattr(tiled_gemm, "TILE", 1 << 14)
    monkeypatch.setattr(tiled_gemm, "WIDTH", 16)
    ran = products(monkeypatch)
    x, y = operands(form, {"n": 129, "k": 65, "m": 71, "b": 3, "a": 2}, dtype)
    found = gpuad.jit(lambda x, y: np.einsum(form, x, y))(x, y)
    expected = np.einsum(form, *[a.astype("c16" if x.dtype.kind == "c" else "f8") for a in (x, y)])
    tolerance = 65 * 4 * np.finfo(dtype).eps
    scale = np.einsum(form, abs(x), abs(y))
    assert found.dtype == x.dtype and (abs(found - expected) <= tolerance * scale).all()
    assert len(ran) == 1 and len(ran[0].tiles) > 1


@pytest.mark.parametrize("layout", ["C", "F", "strided", "reversed", "unaligned", "broadcast"])
def test_every_layout_and_untouched(layout):
    x, y = operands("nk,km->nm", {"n": 70, "k": 90, "m": 80}, "f8")
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "strided":
        x = np.repeat(x, 2, axis=1)[:, ::2]
    elif layout == "reversed":
        x = x[::-1, ::-1]
    elif layout == "unaligned":
        memory = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        memory[...] = x
        x = memory
    elif layout == "broadcast":
        x = np.broadcast_to(x[0], x.shape)
    before = x.copy(), y.copy()
    product = gpuad.jit(lambda x, y: x @ y)
    np.testing.assert_allclose(product(x, y), before[0] @ before[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize("dtype", ["e", "g"])
def test_types_that_blas_does_not_know(dtype):
    """Half precision is multiplied in float32, extended precision by NumPy; both are
    differentiated."""
    x, y = operands("nk,km->nm", {"n": 70, "k": 80, "m": 70}, dtype)
    found = gpuad.jit(lambda x, y: x @ y)(x, y)
    assert found.dtype == x.dtype
    wide = np.promote_types(dtype, "f4")
    np.testing.assert_array_equal(found, (x.astype(wide) @ y.astype(wide)).astype(dtype))
    gradient = gpuad.jit(gpuad.grad(lambda x: np.sum(x @ y)))(x)
    assert gradient.dtype == x.dtype
    np.testing.assert_allclose(gradient[0].astype("f8"), y.astype("f8").sum(1), atol=0.1)


@pytest.mark.parametrize("size, is_ours", [((1 << 31) - 1, True), (1 << 31, False)])
def test_sizes_that_blas_does_not_count_up_to(size, is_ours):
    """The arrays are one number, repeated."""
    x, y = (np.broadcast_to(np.float32(0), shape) for shape in [(2, size), (size, 2)])
    graph = gpuad.make_graph(lambda x, y: x @ y)(x, y).graph
    (product,) = [e for e in graph.equations if e.primitive.name == "dot_general"]
    assert (tiled_gemm.matrix_product(product) is not None) == is_ours


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    x, y = operands("nk,km->nm", {"n": 700, "k": 300, "m": 600}, "f4")
    results = []
    for count in ("1", "2", "5"):
        monkeypatch.setenv("GPUAD_NUM_THREADS", count)
        results.append(gpuad.jit(lambda x, y: x @ y)(x, y))
    for found in results[1:]:
        np.testing.assert_array_equal(found, results[0])


def test_blas_is_held_to_one_thread_and_released(monkeypatch):
    counts = []
    run = thread_pool.workers.run

    def noted(*args):
        counts.append([x.get_num_threads() for x in one_thread_blas._blas()])
        run(*args)

    monkeypatch.setattr(thread_pool.workers, "run", noted)
    before = [x.get_num_threads() for x in one_thread_blas._blas()]
    x, y = operands("nk,km->nm", {"n": 300, "k": 300, "m": 300}, "f8")
    gpuad.jit(lambda x, y: x @ y)(x, y)
    assert counts == [[1] * len(before)]
    assert [x.get_num_threads() for x in one_thread_blas._blas()] == before


def test_memory_of_a_product_is_its_result():
    x, y = operands("ank,km->anm", {"a": 3, "n": 200, "k": 150, "m": 120}, "f8")
    product = gpuad.jit(lambda x, y: x @ y)
    assert product.explain(x, y).peak_bytes == 3 * 200 * 120 * 8
    turned = x.transpose(2, 1, 0).copy().transpose(2, 1, 0)
    assert product.explain(turned, y).peak_bytes == 3 * 200 * 120 * 8 + x.nbytes
    with pytest.raises(MemoryLimitError):
        gpuad.jit(lambda x, y: x @ y, max_bytes=1000)(x, y)


def test_nothing_reaches_the_result_from_what_was_there_before():
    x, y = operands("nk,km->nm", {"n": 200, "k": 200, "m": 200}, "f8")
    product = gpuad.jit(lambda x, y: x @ y)
    spoiled = product(np.full_like(x, np.nan), y)
    assert np.isnan(spoiled).all()
    del spoiled
    np.testing.assert_allclose(product(x, y), x @ y, rtol=1e-12, atol=1e-12)


def test_several_python_threads_at_once():
    from concurrent.futures import ThreadPoolExecutor

    x, y = operands("nk,km->nm", {"n": 400, "k": 300, "m": 500}, "f8")
    product = gpuad.jit(lambda x, y: x @ y)
    expected = product(x, y)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: product(x, y), range(20)):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [1, 5, 40, 250, 1500])
def test_products_of_a_block_in_parts(n):
    """Compiled code multiplies blocks a few lines at a time; sums over them go on."""
    from gpuad.kernels import products

    k, m = 65, 70
    x, y = operands("nk,km->nm", {"n": n, "k": k, "m": m}, "f8")
    out = np.full(n * m + 3, np.nan)
    compiled("product")(x.ravel(), y.ravel(), out, n, k, m)
    np.testing.assert_allclose(out[: n * m].reshape(n, m), x @ y, rtol=1e-12, atol=1e-12)
    z = x @ y
    out = np.full(k * m + 3, np.nan)
    compiled("row_product")(x.ravel(), z.ravel(), out, n, k, m)
    np.testing.assert_allclose(out[: k * m].reshape(k, m), x.T @ z, rtol=1e-12, atol=1e-9)
    assert np.isnan(out[k * m :]).all()
    most = max([hi - lo for lo, hi in lines(products, n, k * m)])
    assert n <= 219 or most < n


def compiled(name):
    text = f"def sweep(x, y, out, n, k, m):\n    {name}(x, y, out, n, k, m)\n"
    types = ["read(f64)", "read(f64)", "write(f64)", "int64", "int64", "int64"]
    return compile_cache.load(text, np.dtype("f8"), types)


def lines(products, n, others):
    step = products._lines.py_func(n, others)
    return [(lo, min(lo + step, n)) for lo in range(0, n, step)]
