"""Programs whose memory is predicted and measured; as a script, one that prints both.

``python memory_programs.py NAME [MAX_BYTES]`` compiles the program, then runs it and counts what
NumPy allocates (it tells tracemalloc).
"""

import gc
import json
import sys
import tracemalloc

import numpy as np
import scipy.fft  # noqa: F401  its import would be measured, too

import gpuad
from gpuad.codegen.cpu import target
from gpuad.executors.native import one_thread_blas, thread_pool

gnp = gpuad.numpy
ROWS = 200_000


def array(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def chain(rows):
    return lambda x: x * np.sin(x) * np.exp(-x * x), (array(rows),)


def softmax(rows):
    return lambda x: gnp.softmax(x, axis=1), (array(rows, 20, dtype=np.float32),)


def logistic(rows):
    x, w, v = array(rows, 16), array(16, seed=1), array(16, seed=2)
    y = (x[:, 0] > 0).astype(np.float64)

    def hvp(x, y, w, v):
        def loss(w):
            z = x @ w
            return np.mean(np.logaddexp(0, z) - y * z)

        return gpuad.hvp(loss, (w,), (v,))[0]

    return hvp, (x, y, w, v)


def batch_statistics(rows):
    def f(x):
        y = np.tanh(x)
        z = np.sin((y - np.mean(y, axis=0)) / np.std(y, axis=0))
        return z - np.mean(z, axis=0), np.sum(z * y, axis=1)

    return f, (array(rows, 8),)


def perceptron(rows):
    x, w1, w2 = array(rows, 32, dtype=np.float32), array(32, 48), array(48, 4)
    w1, w2 = w1.astype(np.float32), w2.astype(np.float32)

    def loss(x, w1, w2):
        return np.mean(gnp.logsumexp(np.tanh(x @ w1) @ w2, axis=1))

    return gpuad.grad(loss, (1, 2)), (x, w1, w2)


def large_products(rows):
    x, w = array(rows // 20, 300), array(300, 200)
    return lambda x, w: np.sum(np.tanh(x @ w) ** 2, axis=0), (x, w)


def transposed(rows):
    x = np.asfortranarray(array(rows, 12))
    return lambda x: (np.sin(x) * np.sum(x, axis=1, keepdims=True), np.sum(x * x)), (x,)


def several_sweeps(rows):
    def f(x):
        y = x
        for k in range(12):
            y = np.sin(y) + np.cos(x * (k + 1))
        return y, np.sum(y, axis=0)

    return f, (array(rows, 6),)


def library_calls(rows):
    return lambda x: np.cumsum(np.sort(np.exp(x), axis=1), axis=1) + x.T.reshape(x.shape), (
        array(rows, 6),
    )


def wide_perceptron(rows):
    """Matrices too large for sweeps."""
    x, w1, w2, w3 = array(rows // 8, 32), array(32, 200), array(200, 200), array(200, 4)

    def loss(x, w1, w2, w3):
        return np.mean(gnp.logsumexp(np.tanh(np.tanh(x @ w1) @ w2) @ w3, axis=1))

    return gpuad.grad(loss, (1, 2, 3)), (x, w1, w2, w3)


def checkpointed(rows):
    """Layers whose rows are not apart, computed again."""
    x, ws = array(rows // 8, 64), [array(64, 64, seed=k) for k in range(4)]

    @gpuad.checkpoint
    def block(x, w):
        y = np.sin(np.cos(np.tanh(x @ w)))
        return y - np.mean(y, axis=0)

    def loss(x, *ws):
        for w in ws:
            x = block(x, w)
        return np.mean(gnp.logsumexp(x, axis=1))

    return gpuad.grad(loss, (1, 2, 3, 4)), (x, *ws)


def gradient_of_each(rows):
    def loss(w, x):
        return np.sum(np.tanh(x @ w) ** 2)

    x, w = array(rows // 100, 8, 24), array(rows // 100, 24, 30)
    return gpuad.vmap(gpuad.grad(loss)), (w, x)


def of_complex_numbers(rows):
    def f(x):
        z = np.exp(1j * x) * np.sort(x, axis=1)
        return np.real(z * np.conj(z) + np.cumsum(z, axis=1))

    return f, (array(rows, 6),)


def propagation(rows):
    """A field through free space: whole transforms between sweeps."""
    n = int((rows // 2) ** 0.5)
    field, kernel = array(n, 2 * n)[:, ::2], array(n, n, seed=1) + 1j * array(n, n, seed=2)

    def loss(field, kernel):
        return np.sum(np.abs(np.fft.ifft2(np.fft.fft2(field) * kernel)) ** 4)

    return gpuad.grad(loss), (field, kernel)


def spectra(rows):
    """A transform of each row."""
    x = array(rows // 25, 50)
    return lambda x: np.fft.irfft(np.tanh(np.abs(np.fft.rfft(x))) * np.fft.rfft(x), 50), (x,)


PROGRAMS = {f.__name__: f for f in (
    chain, softmax, logistic, batch_statistics, perceptron, large_products, transposed,
    several_sweeps, library_calls, wide_perceptron, checkpointed, gradient_of_each,
    of_complex_numbers, propagation, spectra,
)}  # fmt: skip
LIMITS = {"several_sweeps": 200}
"""Compile efforts allowed for one sweep, where it should be divided."""


def prepared(name, rows):
    if name in LIMITS:
        target.LIMIT = LIMITS[name]
    return PROGRAMS[name](rows)


def measured(call):
    """The most memory that Python and NumPy allocate in a call."""
    gc.collect(1)  # what the last calls left; in a long test run all objects take a second
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    results = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del results
    return peak - before


def compiled(program):
    """The functions of its sweeps, and of those of programs that it holds."""
    yield from [sweep.function for sweep in program.sweeps if sweep is not None]
    for parts in program.parts.values():
        for part in parts:
            yield from compiled(part)


def main(name, max_bytes=None):
    function, arguments = prepared(name, ROWS)
    f = gpuad.jit(function, max_bytes=max_bytes)
    predicted = f.explain(*arguments).peak_bytes
    (entry,) = f._entries.values()
    program_ = gpuad.compile.compiled(entry.recorded.graph, np, "auto")
    functions = list(compiled(program_))
    thread_pool.workers.run(abs, 2, 2)  # hires the helpers
    with one_thread_blas.one_thread_blas():  # loads BLAS
        found = measured(lambda: f(*arguments))
    gpuad.clear_cache()
    return {"predicted": predicted, "measured": found, "sweeps": len(functions)}


if __name__ == "__main__":
    names, *limit = sys.argv[1:]
    usual = target.LIMIT
    for name in names.split(","):
        target.LIMIT = usual
        print(json.dumps({"name": name, **main(name, *map(int, limit))}), flush=True)
