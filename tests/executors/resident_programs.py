"""Resident memory of linear algebra; as a script, one that prints what was predicted and measured.

It is run in a process of its own, whose memory the C library gives back at once
(`matrix_memory.EXACT`).
"""

import json

import numpy as np

import gpuad
from benchmarks import matrix_memory, memory

PEAKS = [
    ("solve", "hvp", "float64", "single"),
    ("cholesky", "value", "float32", "single"),
    ("inv", "grad", "complex128", "single"),
    ("qr", "grad", "float64", "single"),
    ("eigh", "value", "float64", "single"),
    ("eigh", "hvp", "float64", "single"),
    ("svd", "value", "float32", "single"),
    ("svd", "hvp", "float64", "single"),
    ("lu", "grad", "float64", "single"),
    ("fft2", "grad", "float64", "single"),
    ("slogdet", "hvp", "float64", "batch"),
    ("det", "hvp", "float64", "batch"),
    ("solve_sylvester wide", "value", "float64", "single"),
    ("sqrtm", "value", "complex128", "batch"),
]
MATRICES = (120, 64, 64)
BATCHES = {
    "solve": (lambda a: np.linalg.solve(a, a + 1), matrix_memory.general),
    "cholesky": (np.linalg.cholesky, matrix_memory.definite),
    "eigh": (lambda a: np.linalg.eigh(a)[1], matrix_memory.definite),
    "svd": (lambda a: np.linalg.svd(a)[0], matrix_memory.general),
    "fft2": (np.fft.fft2, matrix_memory.values),
}


def peaks():
    functions = {f.name: f for f in matrix_memory.FUNCTIONS}
    for name, derivative, dtype, size in PEAKS:
        found = matrix_memory.peak(functions[name], derivative, dtype, size)
        yield f"{name} {derivative} {dtype} {size}", found.predicted, found.resident


def batches():
    for name, (function, make) in BATCHES.items():
        gradient = gpuad.grad(lambda a, f=function: np.sum(np.abs(f(a)) ** 3))
        for derivative in (function, gradient) if name == "cholesky" else (function,):
            (a,) = make(MATRICES, "float64")
            expected = gpuad.vmap(derivative)(a)
            budget = int(1.25 * expected.nbytes)
            limited = gpuad.vmap(derivative, max_bytes=budget)
            np.testing.assert_allclose(limited(a), expected, rtol=1e-9, atol=1e-9)
            del expected
            matrix_memory.release()
            yield name, budget, memory.peak_rise(lambda f=limited, a=a: f(a))


if __name__ == "__main__":
    print(json.dumps({"peaks": list(peaks()), "batches": list(batches())}))
