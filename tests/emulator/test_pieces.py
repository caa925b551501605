"""Programs through `jit` on the pretended CuPy, their kernels called with addresses of its memory:
whole, replayed, in pieces of rows and in donated memory.
"""

import re

import pytest

import gpuad as ad
import gpuad.numpy as gnp
from emulator.checks import check_launches, check_results, same, use
from emulator.device import host
from executors.kernel_programs import PROGRAMS, normal
from gpuad.errors import MemoryLimitError
from gpuad.executors.cuda import row_calls
from gpuad.executors.cuda.replay import SEEN
from needing import NEEDS_COMPILER
from pretended_cupy import with_peak

pytestmark = NEEDS_COMPILER


def several(x):
    y = x
    for k in range(3):
        y = gnp.sin(y) + gnp.cos(x * (k + 1))
    return y, gnp.sum(y * y, axis=0), gnp.mean(y)


def means(x):
    y = gnp.tanh(x)
    z = gnp.exp(y - gnp.mean(y, axis=0)) * y
    return gnp.sum(gnp.sin(z) * gnp.cos(z) + gnp.tanh(z), axis=1)


def perceptron(x, w1, w2):
    return gnp.mean(gnp.logsumexp(gnp.tanh(x @ w1) @ w2, axis=1))


def products(x, w1, w2):
    """Products of rows with kernels between them, and sums over rows."""
    w = (w1, w2)
    return ad.hvp(lambda *w: perceptron(x, *w), w, (w1 * 2, w2 * 3))[0]


def sorts(x):
    return gnp.sort(gnp.tanh(x), axis=1) * 2 + gnp.cumsum(gnp.sin(x), axis=1)


DIVIDED = {
    "products": (products, (normal(300, 70), normal(70, 80), normal(80, 66))),
    "sorts": (sorts, (normal(700, 3),)),
    "several kernels": (several, (normal(700, 3),)),
    "several kernels, one value": (several, (normal(9000),)),
    "stages": (means, (normal(700, 4),)),
    "long rows": (means, (normal(60, 33),)),
}
"""Programs of several kernels, which library calls or little effort for each divide."""
CALLS = ["products", "sorts"]
WHOLE = ["logistic", "mixed lanes", "scatter"]
SMALL = {"COST": 20}


def on_host(results):
    return host(results if isinstance(results, tuple) else (results,))


def least_bytes(function, arrays, **options):
    try:
        ad.jit(function, max_bytes=0, **options)(*arrays)
    except MemoryLimitError as error:
        return int(re.search(r"Give max_bytes=(\d+)", str(error))[1])
    return 0


def donated(cupy, function, arrays, limit):
    """A run that may keep results in the memory of its first argument, which nothing else has."""
    f = ad.jit(function, donate_argnums=0, max_bytes=limit)
    first = cupy.asarray(arrays[0]._host.copy())
    if not arrays[0]._host.flags.c_contiguous:
        first = cupy.asarray(arrays[0]._host.T.copy()).T
    given = [first, *arrays[1:]]
    return with_peak(cupy, lambda: on_host(f(*given)))


def check_runs(emulator, function, arrays, in_pieces, share):
    """All ways give the same bits, in the memory that was predicted; gives the results.

    in_pieces: whether less memory, by this share at least, makes more launches.
    """
    cupy = emulator.cupy
    f = ad.jit(function)
    first, peak = with_peak(cupy, lambda: on_host(f(*arrays)))
    predicted = f.explain(*arrays).peak_bytes
    assert peak <= predicted
    cupy.machine.waits.clear()
    emulator.launches.clear()
    for _ in range(SEEN):
        assert same(first, on_host(f(*arrays)))
    assert cupy.machine.waits == []
    launches = len(emulator.launches) // SEEN

    least = least_bytes(function, arrays)
    limited = ad.jit(function, max_bytes=least)
    check_launches(emulator)
    emulator.launches.clear()
    pieces, peak = with_peak(cupy, lambda: on_host(limited(*arrays)))
    assert same(first, pieces)
    assert peak <= least
    if in_pieces:
        assert least < share * predicted
        assert len(emulator.launches) > launches

    given, peak = donated(cupy, function, arrays, None)
    assert same(first, given)
    assert peak <= predicted
    given_least = least_bytes(function, arrays, donate_argnums=0)
    given, peak = donated(cupy, function, arrays, given_least)
    assert same(first, given)
    assert peak <= given_least <= least
    check_launches(emulator)
    return first


@pytest.fixture
def small_tiles(monkeypatch):
    for name, number in {"TILE_BYTES": 1 << 10, "LEAST_ROWS": 8, "PRODUCT_ROWS": 8}.items():
        monkeypatch.setattr(row_calls, name, number)


@pytest.mark.parametrize("name", DIVIDED)
def test_several_kernels_whole_replayed_and_in_pieces(emulator, monkeypatch, small_tiles, name):
    use(monkeypatch, {} if name in CALLS else SMALL)
    function, arguments = DIVIDED[name]
    # What cuBLAS works in does not depend on the rows.
    share = 1 if name == "products" else 0.8
    got = check_runs(emulator, function, emulator.arrays(arguments), True, share)
    expected = ad.jit(function, executor="reference")(*arguments)
    check_results(got, expected if isinstance(expected, tuple) else (expected,))
    if arguments[0].ndim > 1:
        turned = [emulator.cupy.asarray(x.T.copy()).T for x in arguments]
        again = check_runs(emulator, function, turned, True, share)
        # A matrix that lies the other way round is multiplied in another order.
        assert same(got, again) or name == "products"


@pytest.mark.parametrize("name", WHOLE)
def test_one_kernel_whole_replayed_and_in_pieces(emulator, small_tiles, name):
    function, arguments, _ = PROGRAMS[name]
    got = check_runs(emulator, function, emulator.arrays(arguments), False, 1)
    expected = ad.jit(function, executor="reference")(*arguments)
    check_results(got, expected if isinstance(expected, tuple) else (expected,))
