"""What the host does for kernels on a GPU: arguments, memory, devices, replay. CuPy is pretended.

Kernels are not run here (tests/emulator does); what they would be given is checked.
"""

import gc
import itertools
import threading

import numpy as np
import pytest

import gpuad as ad
import pretended_cupy
from gpuad import compile as compiling
from gpuad.api.compiled import Jitted
from gpuad.codegen.cuda import planning, toolchain
from gpuad.errors import ArgumentError, ExecutorWarning, MemoryLimitError
from gpuad.executors.cuda import cublas, executor
from gpuad.executors.cuda.launch import device
from gpuad.executors.cuda.replay import SEEN
from gpuad.executors.cuda.row_pipeline import KernelPass
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder, building
from gpuad.ir.interpret import evaluate
from gpuad.primitives.contraction import dot_general
from pretended_cupy import with_peak

gnp = ad.numpy


@pytest.fixture
def cupy(monkeypatch):
    yield pretended_cupy.installed(monkeypatch)
    ad.clear_cache()


def small(monkeypatch, capacity):
    return pretended_cupy.installed(monkeypatch, capacity=capacity)


def several(x):
    """Kernels one after the other, where one may not be long."""
    y = x
    for k in range(4):
        y = gnp.sin(y) + gnp.cos(x * (k + 1))
    return gnp.sum(y * y)


def program_of(f: Jitted, *args):
    """The compiled program of a jitted function, for the first GPU."""
    entry, _ = f._entry(args, {})
    graph = entry.recorded.graph
    (found,) = [v for k, v in graph.derived.items() if k[0] == "compiled" and k[1] == "cupy"]
    return found.program(0)


# Arguments


def test_cupy_in_cupy_out_and_the_host_never_waits(cupy):
    x = cupy.asarray(np.ones((1000, 4), np.float32))
    cupy.machine.waits.clear()
    f = ad.jit(ad.grad(lambda x: gnp.sum(gnp.logsumexp(x, 1) ** 2)))
    for _ in range(6):
        assert isinstance(f(x), cupy.ndarray)
    assert not cupy.machine.waits
    assert {name for name, *_ in cupy.machine.launches} == {"sweep"}


def test_half_precision_stays_in_two_bytes(cupy):
    x = cupy.asarray(np.ones((1000, 4), np.float16))
    gradient = ad.grad(lambda x: gnp.sum(gnp.logsumexp(gnp.sin(x), 1) ** 2))
    for g in (gradient, ad.jit(gradient)):
        assert isinstance(g(x), cupy.ndarray)
        assert g(x).dtype == np.float16
    assert "16 kB moved (1.00 x the least possible" in str(ad.jit(gradient).explain(x))


def test_numbers_and_arrays_of_numpy_without_axes_are_brought_along(cupy):
    x = cupy.asarray(np.ones(100, np.float32))
    cupy.machine.waits.clear()
    f = ad.jit(lambda x, a, b: x * a + gnp.broadcast_to(b, (100,)))
    result = f(x, 2.0, np.array(3.0, np.float32))
    assert isinstance(result, cupy.ndarray)
    assert not cupy.machine.waits


def test_the_double_refuses_what_cupy_refuses(cupy):
    x = cupy.asarray(np.ones(3))
    with pytest.raises(TypeError, match="Unsupported type"):
        x + np.ones(3)
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    with cupy.cuda.Device(1), pytest.raises(ValueError, match="same as the current device"):
        cupy.sin(x)
    assert np.isnan(cupy.empty(3)._host).all()


# Devices


def place(cupy, number, *shape):
    with cupy.cuda.Device(number):
        return cupy.asarray(np.ones(shape, np.float32))


def test_the_gpu_of_the_arrays_is_used(cupy):
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    for number in (1, 0, 1):
        assert f(place(cupy, number, 50)).device.id == number
    assert cupy.machine.current == 0


def test_constants_are_on_the_gpu_of_the_arrays(cupy):
    weights = np.arange(5, dtype=np.float32)

    @ad.custom_vjp
    def f(x):
        return gnp.sin(x)

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * weights,))
    g, x = ad.jit(ad.grad(lambda x: gnp.sum(f(x)))), place(cupy, 1, 5)
    g.explain(x)
    assert g(x).device.id == 1


def scaled(x, y):
    return gnp.sum(x["w"][0] * y)


TRANSFORMS = {
    "jit": ad.jit(scaled),
    "vmap": ad.vmap(scaled),
    "grad": ad.grad(scaled, argnums=(0, 1)),
    "jacfwd": ad.jacfwd(scaled, argnums=(0, 1)),
    "grad by the first": ad.grad(scaled),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_arrays_of_two_gpus_are_named(cupy, name):
    expected = (
        r"x\['w'\]\[0\] is a CuPy array on GPU 0 and y is a CuPy array on GPU 1\. "
        r".*cupy\.cuda\.Device\(0\): cupy\.asarray"
    )
    with pytest.raises(ArgumentError, match=expected):
        TRANSFORMS[name]({"w": [place(cupy, 0, 5)]}, place(cupy, 1, 5))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_arrays_of_numpy_and_cupy_are_named(cupy, name):
    on_gpu, on_host = place(cupy, 0, 5), np.ones(5, np.float32)
    expected = (
        r"x\['w'\]\[0\] is a CuPy array on GPU 0 and y is a NumPy array\. "
        r".*cupy\.asarray\(\.\.\.\) copies y to the GPU, cupy\.asnumpy\(\.\.\.\) copies x\['w'\]"
    )
    with pytest.raises(ArgumentError, match=expected):
        TRANSFORMS[name]({"w": [on_gpu]}, on_host)
    expected = r"x\['w'\]\[0\] is a NumPy array and y is a CuPy array on GPU 0"
    with pytest.raises(ArgumentError, match=expected):
        TRANSFORMS[name]({"w": [on_host]}, on_gpu)


def test_a_jitted_function_checks_every_call(cupy):
    f = ad.jit(lambda x, y: x + y)
    f(place(cupy, 0, 5), place(cupy, 0, 5))
    with pytest.raises(ArgumentError, match=r"x is a CuPy array on GPU 0 and y .* on GPU 1"):
        f(place(cupy, 0, 5), place(cupy, 1, 5))


def test_captured_arrays_are_named(cupy):
    constant = np.ones(5, np.float32)
    with pytest.raises(ArgumentError, match=r"x is .* GPU 0 and a captured array of shape \(5,\)"):
        ad.jit(lambda x: gnp.multiply(constant, x))(place(cupy, 0, 5))


def test_a_tangent_elsewhere_is_named(cupy):
    x, t = place(cupy, 0, 5), np.ones(5, np.float32)
    with pytest.raises(
        ArgumentError, match=r"jvp: x is .* on GPU 0 and the tangent of x is a NumPy"
    ):
        ad.jvp(lambda x: gnp.sin(x), (x,), (t,))


def test_retraces_tell_the_gpu(cupy):
    f = ad.jit(lambda x: gnp.sin(x))
    f(place(cupy, 0, 5))
    f(place(cupy, 1, 5))
    assert f.retraces == ["x: float32[5] on GPU 1 after float32[5] on GPU 0"]


# Memory


def test_the_predicted_peak_is_the_measured_one(cupy, monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)
    x = cupy.asarray(np.ones(100_000, np.float32))
    f = ad.jit(several)
    predicted = f.explain(x).peak_bytes
    before = cupy.machine.used
    result, peak = with_peak(cupy, lambda: f(x))
    assert 0.99 * predicted <= peak <= predicted
    del result
    gc.collect()
    assert cupy.machine.used == before


def budgets(f, *args):
    """What the error says: at once, and at least."""
    with pytest.raises(MemoryLimitError, match="max_bytes=0: the plan takes") as info:
        ad.jit(f, max_bytes=0)(*args)
    text = str(info.value)
    return int(text.split("takes ")[1].split()[0]), int(text.split("max_bytes=")[2].split()[0])


def test_rows_are_taken_in_pieces_within_a_limit(cupy, monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)
    x = cupy.asarray(np.ones(1_000_000, np.float32))
    whole, least = budgets(several, x)
    assert least < whole / 20
    counts = []
    for limit in (whole, whole // 3, least):
        f = ad.jit(several, max_bytes=limit)
        assert f.explain(x).peak_bytes <= limit
        cupy.machine.launches.clear()
        _, peak = with_peak(cupy, lambda f=f: f(x))
        assert peak <= limit
        counts.append(len(cupy.machine.launches))
    assert counts[0] < counts[1] < counts[2]
    with pytest.raises(MemoryLimitError, match=f"Give max_bytes={least} or more"):
        ad.jit(several, max_bytes=least - 1)(x)


def test_a_limit_holds_for_every_layout(cupy):
    f = ad.jit(lambda x: gnp.sum(gnp.sin(x) * gnp.cos(x), axis=1), max_bytes=400_000)
    x = cupy.asarray(np.ones((20_000, 8), np.float32))
    turned = cupy.asarray(np.ones((8, 20_000), np.float32)).T
    for array in (x, turned, x):
        _, peak = with_peak(cupy, lambda array=array: f(array))
        assert peak <= 400_000


def test_calls_that_make_little_do_not_divide_a_pass(cupy, monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)

    def f(x, w):
        y = gnp.sin(x) + gnp.cos(x * 2)
        return gnp.sin(y) * gnp.sort(w)[0] + gnp.cos(y * 3)

    x = cupy.asarray(np.ones(100_000, np.float32))
    w = cupy.asarray(np.ones(3, np.float32))
    g = ad.jit(f)
    g.explain(x, w)
    steps = program_of(g, x, w).program.steps
    passes = [s.work for s in steps if isinstance(s.work, KernelPass)]
    assert len(passes) == 1
    assert len(passes[0].units) > 1
    assert len(steps) > 1


def test_vmap_and_hvp_take_a_limit(cupy):
    x = cupy.asarray(np.ones((50_000, 4), np.float32))
    assert ad.vmap(lambda x: gnp.sum(x * x), max_bytes=1e6)(x).shape == (50_000,)
    with pytest.raises(MemoryLimitError, match="fewest rows at a time"):
        ad.vmap(lambda x: gnp.sum(x * x), max_bytes=1e3)(x)
    loss = lambda x: gnp.sum(gnp.sin(x) ** 2)  # noqa: E731
    assert ad.hvp(loss, (x,), (x,), max_bytes=1e6)[0].shape == x.shape
    with pytest.raises(MemoryLimitError, match="fewest rows at a time"):
        ad.hvp(loss, (x,), (x,), max_bytes=1e3)


def test_out_of_memory_is_run_again_in_pieces(monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)
    cupy = small(monkeypatch, 12_000_000)
    x = cupy.asarray(np.ones(1_000_000, np.float32))
    f = ad.jit(several)
    assert f.explain(x).peak_bytes > cupy.machine.free[0]
    f(x)
    launches = len(cupy.machine.launches)
    assert launches > f.explain(x).launches
    for _ in range(4):
        f(x)
    ad.clear_cache()


def test_what_cannot_fit_says_what_it_needs(monkeypatch):
    cupy = small(monkeypatch, 6_000_000)
    x = cupy.asarray(np.ones(1_000_000, np.float32))
    with pytest.raises(MemoryLimitError) as info:
        ad.jit(lambda x: gnp.sin(x), executor="auto")(x)
    text = str(info.value)
    assert "needs 4 MB beside its arguments, or 4 MB with the fewest rows at a time" in text
    assert "2 MB are free on GPU 0" in text
    assert "or free 2 MB" in text
    ad.clear_cache()


def test_the_limit_of_the_pool_counts(monkeypatch):
    monkeypatch.setattr(planning, "COST", 30)
    cupy = small(monkeypatch, 1 << 30)
    x = cupy.asarray(np.ones(1_000_000, np.float32))
    cupy.machine.default_pool.limit = 8_000_000
    ad.jit(several)(x)
    cupy.machine.default_pool.limit = 4_000_000
    with pytest.raises(MemoryLimitError, match="free on GPU 0"):
        ad.jit(several)(x)
    ad.clear_cache()


def test_views_alone_have_no_kernel(cupy):
    """What a GMM does with its factors where they have more entries than there are rows."""
    x, w = cupy.asarray(np.ones((1024, 50))), cupy.asarray(np.ones((50, 32)))
    f = ad.jit(lambda x, w: gnp.sum(gnp.reshape(x.T, (50, 32, 32)) * w[:, None, :], 2))
    assert f(x, w).shape == (50, 32)


# Replay


def test_runs_on_the_same_arrays_are_replayed(cupy):
    x = cupy.asarray(np.ones(1000, np.float32))
    f = ad.jit(lambda x: (gnp.sin(x) * 2, gnp.sum(x)))
    for _ in range(SEEN + 3):
        f(x)
    program = program_of(f, x)
    assert program.fault is None
    assert program.replays == 3
    f(cupy.asarray(np.ones(1000, np.float32)))
    assert program.replays == 3


def test_a_result_outlives_its_graph(cupy):
    x = cupy.asarray(np.ones(1000, np.float32))
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    for _ in range(SEEN + 1):
        result = f(x)
    address = result.data.ptr
    assert program_of(f, x).replays == 1
    view = result[10:]
    del f, result
    ad.clear_cache()
    gc.collect()
    assert address in cupy.machine.regions
    assert view.data.ptr == address + 40
    del view
    gc.collect()
    assert address not in cupy.machine.regions


def test_two_streams_do_not_write_to_the_same_memory(cupy):
    x = cupy.asarray(np.ones(1000, np.float32))
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    for _ in range(SEEN):
        f(x)
    addresses = {f(x).data.ptr}
    with cupy.cuda.Stream(non_blocking=True):
        for _ in range(SEEN):
            f(x)
        addresses.add(f(x).data.ptr)
    assert program_of(f, x).replays == 2
    assert len(addresses) == 2


def test_threads_with_default_streams_of_their_own_do_not_share_memory(cupy):
    """With CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1, 2 is another stream in each thread."""
    cupy.machine.streams[0][0].ptr = 2
    x = cupy.asarray(np.ones(1000, np.float32))
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    addresses = []

    def work():
        for _ in range(SEEN):
            f(x)
        addresses.append(f(x).data.ptr)

    work()
    other = threading.Thread(target=work)
    other.start()
    other.join()
    assert program_of(f, x).replays == 2
    assert addresses[0] != addresses[1]


def test_a_function_of_the_users_is_called_in_every_run(cupy):
    calls = []

    def doubled(x):
        calls.append(x)
        return x * 2

    doubled = ad.external(doubled, out=lambda x: x)
    x = cupy.asarray(np.ones(1000, np.float32))
    for f in (ad.jit(lambda x: gnp.sin(doubled(x))), ad.jit(ad.checkpoint(doubled))):
        calls.clear()
        for _ in range(SEEN + 2):
            f(x)
        assert len(calls) == SEEN + 2


def test_the_same_result_twice_is_two_arrays(cupy):
    x = cupy.asarray(np.ones(1000, np.float32))

    def f(x):
        y = gnp.sin(x)
        return y, y, 1.0

    f = ad.jit(f)
    for _ in range(SEEN + 1):
        first, second, number = f(x)
    assert program_of(f, x).replays == 1
    assert first.data.ptr != second.data.ptr
    assert number == 1.0


def test_nothing_is_replayed_while_the_user_captures(cupy):
    x = cupy.asarray(np.ones(1000, np.float32))
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    for _ in range(SEEN + 1):
        f(x)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        for _ in range(SEEN + 2):
            f(x)
        stream.end_capture()
    assert program_of(f, x).replays == 1


def test_matrix_products_are_captured(cupy):
    x, w = np.random.default_rng(0).normal(size=(2, 300, 200)).astype(np.float32)
    arrays = [cupy.asarray(x), cupy.asarray(w)]
    f = ad.jit(lambda x, w: x @ w.T)
    for _ in range(SEEN + 2):
        np.testing.assert_allclose(f(*arrays)._host, x @ w.T, rtol=1e-4, atol=1e-4)
    program = program_of(f, *arrays)
    assert program.fault is None
    assert program.replays == 2
    assert set(cupy.cublas.streams) > {0}


def test_without_cublas_products_are_cupys_and_not_captured(cupy, monkeypatch):
    """CuPy refuses to capture them (github.com/cupy/cupy/issues/6290)."""
    monkeypatch.setattr(cublas, "library", lambda: None)
    x = cupy.asarray(np.ones((300, 200), np.float32))
    f = ad.jit(lambda x: x @ x.T)
    for _ in range(SEEN + 2):
        assert float(f(x)._host[0, 0]) == 200
    program = program_of(f, x)
    assert program.replays == 0
    assert "cuBLAS" in program.fault


PRODUCTS = {
    "matrices": ("ij,jk->ik", (30, 20), (20, 10)),
    "the left one transposed": ("ji,jk->ik", (20, 30), (20, 10)),
    "both transposed": ("ji,kj->ik", (20, 30), (10, 20)),
    "a vector": ("ij,j->i", (30, 20), (20,)),
    "a row": ("ij,jk->ik", (1, 20), (20, 30)),
    "one shared": ("ij,jk->ik", (30, 1), (1, 20)),
    "stacked": ("bij,bjk->bik", (3, 30, 20), (3, 20, 10)),
    "stacked last": ("ijb,jkb->bik", (30, 20, 3), (20, 10, 3)),
    "several axes": ("iajb,jbk->iak", (5, 6, 4, 3), (4, 3, 7)),
    "several stacked": ("abij,abkj->abik", (2, 3, 8, 5), (2, 3, 7, 5)),
    "a small result": ("ij,kj->ik", (2, 300), (3, 300)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_cublas(cupy, name, dtype):
    text, *shapes = PRODUCTS[name]
    rng = np.random.default_rng(1)
    x, y = [rng.normal(size=s).astype(dtype) for s in shapes]
    expected = np.einsum(text, x, y)
    graph = ad.make_graph(lambda x, y: gnp.einsum(text, x, y))(x, y).graph
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11}
    turned = [np.asarray(a.T.copy()).T for a in (x, y)]
    spread = [np.repeat(a, 2, axis=0)[::2] for a in (x, y)]
    for arrays in ((x, y), turned, spread):
        env = dict(zip(graph.inputs, [on_gpu(cupy, a) for a in arrays], strict=True))
        for e in graph.equations:
            operands = [env[v] for v in e.operands]
            if cublas.is_product(e):
                result = cublas.Product(e, cupy, device(0).gemm())(*operands)
            else:
                (result,) = evaluate(e, cupy, operands)
            env[e.outputs[0]] = result
        np.testing.assert_allclose(result._host, expected, **tolerance)
    assert len(cupy.cublas.calls) == 3


def on_gpu(cupy, array):
    """The array with its strides."""
    base = array
    while base.base is not None:
        base = base.base
    start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    memory = cupy.asarray(base).data + start
    return cupy.ndarray(array.shape, array.dtype, memory, array.strides)


def layouts(shape):
    """Arrays of a shape, in every order, with gaps, backwards and repeated along each axis."""
    rng = np.random.default_rng(2)
    for order in itertools.permutations(range(len(shape))):
        yield rng.normal(size=[shape[k] for k in order]).transpose(np.argsort(order))
    wide = rng.normal(size=[2 * n + 1 for n in shape])
    for k in range(len(shape)):
        steps = [2 if i == k else 1 for i in range(len(shape))]
        yield wide[tuple([slice(0, n * step, step) for n, step in zip(shape, steps, strict=True)])]
        yield np.flip(rng.normal(size=shape), k)
        yield np.broadcast_to(rng.normal(size=[*shape[:k], 1, *shape[k + 1 :]]), shape)
    yield np.broadcast_to(rng.normal(size=()), shape)


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("m", [1, 4])
def test_products_of_arrays_in_any_layout(cupy, monkeypatch, m, n, k):
    monkeypatch.setattr(cublas, "MOST_STACKED", 2)
    builder = Builder("product")
    with building(builder):
        inputs = [builder.input(Aval(s, np.dtype(float))) for s in ((3, m, k), (3, k, n))]
        out = dot_general(*inputs, contract=((2,), (1,)), batch=((0,), (0,)))
        (e,) = builder.graph([out]).equations
    product = cublas.Product(e, cupy, device(0).gemm())
    pairs = itertools.product(layouts((3, m, k)), layouts((3, k, n)))
    for x, y in pairs:
        found = product(on_gpu(cupy, x), on_gpu(cupy, y))
        np.testing.assert_allclose(found._host, x @ y, rtol=1e-12, atol=1e-12)


def test_what_lies_too_far_apart_for_cublas_is_copied():
    far = cublas.LARGEST + 1
    assert cublas.stacked((1, 2, 3), (0, cublas.LARGEST, 1)) == (False, cublas.LARGEST, 0)
    assert cublas.stacked((1, 2, 3), (0, far, 1)) is None
    assert cublas.stacked((1, 2, 3), (0, 1, far)) is None
    assert cublas.stacked((4, 2, 3), (-6, 3, 1)) is None


def test_large_programs_and_limited_ones_are_not_kept(cupy):
    x = cupy.asarray(np.ones(10_000, np.float32))
    f = ad.jit(lambda x: gnp.sin(x) * 2, max_bytes=1e9)
    for _ in range(SEEN + 2):
        f(x)
    assert program_of(f, x).replays == 0
    x = cupy.asarray(np.ones(executor.REPLAYED_BYTES // 4 + 1000, np.float32))
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    for _ in range(SEEN + 2):
        f(x)
    assert program_of(f, x).replays == 0


# Without the compiler


def test_without_the_compiler_operations_run_one_by_one(cupy, monkeypatch):
    monkeypatch.setattr(toolchain, "available", lambda: False)
    monkeypatch.setattr(compiling, "_said", set())
    x = cupy.asarray(np.arange(5.0))
    f = ad.jit(lambda x: gnp.sin(x) * 2)
    with pytest.warns(ExecutorWarning, match=r"no compiler of CUDA kernels.*`gpuad info`"):
        result = f(x)
    np.testing.assert_allclose(result._host, 2 * np.sin(np.arange(5.0)))
    f(x)
