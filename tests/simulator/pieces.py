"""Programs through `jit` on the pretended CuPy: whole, replayed, in pieces of rows.

Prints a line of JSON for each; see test_pretended.py.
"""

import gc
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pretended_kernels
from executors.kernel_programs import PROGRAMS, SETTINGS, normal
from run import units, use

import gpuad as ad
import gpuad.numpy as gnp
import pretended_cupy
from gpuad.errors import MemoryLimitError
from gpuad.executors.cuda import rowcalls
from gpuad.executors.cuda.replay import SEEN

SMALL = {"THREADS": 32, "EFFORT": 20}


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


MORE = {
    "products": (products, (normal(100, 3), normal(3, 4), normal(4, 2))),
    "sorts": (sorts, (normal(100, 3),)),
    "several kernels": (several, (normal(100, 3),)),
    "several kernels, one value": (several, (normal(500),)),
    "stages": (means, (normal(80, 4),)),
    "long rows": (means, (normal(36, 33),)),
}


def flat(x):
    return list(x) if isinstance(x, tuple) else [x]


def installed():
    patch = SimpleNamespace(
        setitem=lambda d, k, v: d.__setitem__(k, v), setattr=lambda o, k, v: setattr(o, k, v)
    )
    return pretended_cupy.installed(patch, runner=pretended_kernels.run)


def on_host(results):
    return [x._host.copy() for x in flat(results)]


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


def measured(cupy, call):
    """The result, and the most memory that was in use beside what was there."""
    gc.collect()
    machine = cupy.machine
    before = machine.peak = machine.used
    found = on_host(call())
    return found, machine.peak - before


def runs(cupy, function, arrays):
    """A line about the function on these arrays: its runs one after the other."""
    f = ad.jit(function)
    first, peak = measured(cupy, lambda: f(*arrays))
    predicted = f.explain(*arrays).peak_bytes
    cupy.machine.launches.clear()
    cupy.machine.waits.clear()
    others = [on_host(f(*arrays)) for _ in range(SEEN)]
    launched = len(cupy.machine.launches)
    least = least_bytes(function, arrays)
    limited = ad.jit(function, max_bytes=least)
    pieces, small_peak = measured(cupy, lambda: limited(*arrays))
    counted, waits = len(cupy.machine.launches) - launched, list(cupy.machine.waits)
    given, given_peak = donated(cupy, function, arrays, None)
    given_least = least_bytes(function, arrays, donate_argnums=0)
    given_pieces, given_least_peak = donated(cupy, function, arrays, given_least)
    return first, {
        "same donated": same(first, given) and same(first, given_pieces),
        "donated peak": given_peak,
        "donated least": given_least,
        "donated least peak": given_least_peak,
        "same again": all(same(first, x) for x in others),
        "same in pieces": same(first, pieces),
        "launches": launched / SEEN,
        "launches in pieces": counted,
        "waits": waits,
        "predicted": predicted,
        "peak": peak,
        "least": least,
        "least peak": small_peak,
    }


def donated(cupy, function, arrays, limit):
    """A run that may keep results in the memory of its first argument, which nothing else has."""
    f = ad.jit(function, donate_argnums=0, max_bytes=limit)
    host = arrays[0]._host
    straight = host.flags.c_contiguous
    first = cupy.asarray(host.copy()) if straight else cupy.asarray(host.T.copy()).T
    given = [first, *arrays[1:]]
    return measured(cupy, lambda: f(*given))


def least_bytes(function, arrays, **options):
    try:
        ad.jit(function, max_bytes=0, **options)(*arrays)
    except MemoryLimitError as error:
        return int(re.search(r"Give max_bytes=(\d+)", str(error))[1])
    return 0


def main(names):
    cupy = installed()
    rowcalls.TILE_BYTES, rowcalls.LEAST_ROWS, rowcalls.PRODUCT_ROWS = 1 << 10, 8, 8
    for name in names:
        use(SMALL if name in MORE else SETTINGS.get(name, {}))
        function, arguments = (MORE.get(name) or PROGRAMS[name])[:2]
        expected = flat(ad.jit(function, executor="reference")(*arguments))
        got, line = runs(cupy, function, [cupy.asarray(x) for x in arguments])
        line["units"] = max(units(a, b) for a, b in zip(got, expected, strict=True))
        line["name"] = name
        if name in MORE and arguments[0].ndim > 1:
            turned = [cupy.asarray(np.asarray(x).T.copy()).T for x in arguments]
            again, other = runs(cupy, function, turned)
            line["turned"] = other | {"same": same(got, again)}
        print(json.dumps(line), flush=True)


main(sys.argv[1:])
