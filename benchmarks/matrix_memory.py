"""Predicted and true peak memory of linear algebra and Fourier transforms.

``python -m benchmarks.matrix_memory [--functions NAME ...] [--derivatives value grad hvp]
[--dtypes float64 ...] [--sizes single batch few] [--steps] [--json FILE]``

The true peak is resident memory (see `benchmarks.memory`), so LAPACK's own arrays count, which
`tracemalloc` does not see. Each peak is that of one call after a first one has compiled it, with
nothing kept from earlier calls.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gpuad
from benchmarks import memory, memory_steps
from benchmarks.terminal import Console, Table
from gpuad.executors.native import result_pool, scratch
from gpuad.executors.native.thread_pool import workers

SIZES = {"single": (700, 700), "batch": (24, 200, 200), "few": (4000, 24, 24)}
FLAT = {"single": (1200, 1000), "batch": (60, 128, 160), "few": (20_000, 60)}
"""Shapes of what is transformed."""
TYPES = ("float64", "float32", "complex128")
DERIVATIVES = ("value", "grad", "hvp")
EXACT = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""For glibc: what is freed goes back to the system at once, so that a peak is that of this call."""
LARGE = 20e6
"""Bytes from which on a prediction should be within 10 % of the peak."""

Arrays = list[np.ndarray]


def general(shape: Sequence[int], dtype: str) -> Arrays:
    """Matrices that are far from singular."""
    n = shape[-1]
    return [normal(shape, dtype) + (2 * n**0.5 * np.eye(n)).astype(dtype)]


def definite(shape: Sequence[int], dtype: str) -> Arrays:
    (a,) = general(shape, dtype)
    return [a @ a.conj().swapaxes(-1, -2) / shape[-1]]


def two_definite(shape: Sequence[int], dtype: str) -> Arrays:
    """Different ones: eigenvalues of a pencil of equal matrices would be degenerate."""
    (a,), b = definite(shape, dtype), normal(shape, dtype, 1)
    return [a, b @ b.conj().swapaxes(-1, -2) / shape[-1] + np.eye(shape[-1]).astype(dtype)]


def tall(shape: Sequence[int], dtype: str) -> Arrays:
    return [normal((*shape[:-1], shape[-1] // 2), dtype)]


def with_sides(shape: Sequence[int], dtype: str) -> Arrays:
    return [*general(shape, dtype), normal((*shape[:-1], shape[-1] // 4), dtype, 1)]


def definite_with_sides(shape: Sequence[int], dtype: str) -> Arrays:
    return [*definite(shape, dtype), normal((*shape[:-1], shape[-1] // 4), dtype, 1)]


def two(shape: Sequence[int], dtype: str) -> Arrays:
    return [*general(shape, dtype), *general(shape, dtype)]


def small_and_large(shape: Sequence[int], dtype: str) -> Arrays:
    m, n = shape[-1] // 40, shape[-1] // 2
    sides = [(*shape[:-2], m, m), (*shape[:-2], n, n), (*shape[:-2], m, n)]
    return [*general(sides[0], dtype), *general(sides[1], dtype), normal(sides[2], dtype)]


def values(shape: Sequence[int], dtype: str) -> Arrays:
    return [normal(shape, dtype)]


def normal(shape: Sequence[int], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    found = x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x
    return np.asarray(found, dtype)


@dataclass(frozen=True)
class Function:
    """A function and what it is called with; `real` if it takes real arrays alone."""

    name: str
    call: Callable[..., Any]
    make: Callable[[Sequence[int], str], Arrays]
    real: bool = False
    batched: bool = True

    def shape(self, size: str) -> Sequence[int]:
        return (FLAT if self.make is values else SIZES)[size]


linalg, sp, fft = np.linalg, gpuad.scipy.linalg, np.fft
FUNCTIONS = (
    Function("solve", linalg.solve, with_sides),
    Function("inv", linalg.inv, general),
    Function("det", lambda a: linalg.det(a / 50), general),
    Function("slogdet", linalg.slogdet, general),
    Function("pinv", linalg.pinv, tall),
    Function("lstsq", lambda a, b: linalg.lstsq(a, b)[0], with_sides, batched=False),
    Function("cholesky", linalg.cholesky, definite),
    Function("qr", linalg.qr, tall),
    Function("eigh", linalg.eigh, definite),
    Function("eigvalsh", linalg.eigvalsh, definite),
    Function("eig", linalg.eig, general),
    Function("eigvals", linalg.eigvals, general),
    Function("svd", lambda a: linalg.svd(a, full_matrices=False), tall),
    Function("svd square", linalg.svd, general),
    Function("svdvals", lambda a: linalg.svd(a, compute_uv=False), tall),
    Function("matrix_power", lambda a: linalg.matrix_power(a, 5), general),
    Function("lu", sp.lu_factor, general),
    Function("cho_solve", lambda a, b: sp.cho_solve(sp.cho_factor(a), b), definite_with_sides),
    Function("solve_triangular", sp.solve_triangular, with_sides),
    Function("solve pos", lambda a, b: sp.solve(a, b, assume_a="pos"), definite_with_sides),
    Function("eigh generalised", lambda a, b: sp.eigh(a, b), two_definite),
    Function("expm", lambda a: sp.expm(a / 100), general),
    Function("sqrtm", sp.sqrtm, definite),
    Function("solve_sylvester", lambda a, b: sp.solve_sylvester(a, b, a), two),
    Function("solve_sylvester wide", sp.solve_sylvester, small_and_large),
    Function("fft", fft.fft, values),
    Function("fft2", fft.fft2, values),
    Function("ifft2", fft.ifft2, values),
    Function("rfft", fft.rfft, values, real=True),
    Function("rfft2", fft.rfft2, values, real=True),
    Function("irfft2", lambda x: fft.irfft2(x + 0j), values),
    Function("dctn", gpuad.scipy.fft.dctn, values),
)


def loss(function: Function) -> Callable[..., Any]:
    def f(*arrays: Any) -> Any:
        found = function.call(*arrays)
        total: Any = 0.0
        for y in found if isinstance(found, tuple) else (found,):
            if y.dtype.kind in "fc":
                total = total + np.sum(np.real(y * np.conj(y)))
        return total

    return f


def program(function: Function, derivative: str, arrays: Arrays) -> tuple[Any, Arrays]:
    """A compiled function and its arguments."""
    if derivative == "value":
        return gpuad.jit(function.call), arrays
    gradient = gpuad.grad(loss(function))
    if derivative == "grad":
        return gpuad.jit(gradient), arrays

    def hvp(v: Any, a: Any, *others: Any) -> Any:
        return gpuad.jvp(lambda a: gradient(a, *others), (a,), (v,))[1]

    return gpuad.jit(hvp), [arrays[0] * 0.5, *arrays]


@dataclass(frozen=True)
class Peak:
    """One program: bytes beside its arguments, seconds of a call."""

    function: str
    derivative: str
    dtype: str
    size: str
    predicted: int
    resident: int
    seconds: float

    @property
    def ratio(self) -> float:
        return self.predicted / self.resident

    @property
    def right(self) -> bool:
        return self.resident < LARGE or abs(self.ratio - 1) <= 0.1


def peak(function: Function, derivative: str, dtype: str, size: str) -> Peak:
    arrays = function.make(function.shape(size), dtype)
    f, arguments = program(function, derivative, arrays)
    predicted = f.explain(*arguments).peak_bytes
    f(*arguments)
    release()
    start = time.perf_counter()
    found = memory.peak_rise(lambda: f(*arguments))
    seconds = time.perf_counter() - start
    gpuad.clear_cache()
    assert found is not None, "needs Linux's /proc"
    return Peak(function.name, derivative, dtype, size, predicted, found, seconds)


def steps(function: Function, derivative: str, dtype: str, size: str) -> Table:
    """Predicted and resident bytes of the steps of a program."""
    arrays = function.make(function.shape(size), dtype)
    f, arguments = program(function, derivative, arrays)
    with memory_steps.predicted() as ours:
        f.explain(*arguments)
    f(*arguments)
    release()
    with memory_steps.resident() as theirs:
        memory.peak_rise(lambda: f(*arguments))
    gpuad.clear_cache()
    return memory_steps.table(ours, theirs)


def release() -> None:
    """As in a process that has run nothing: no results are kept, nor scratch of any thread."""
    result_pool.release()
    scratch.arena.release()
    workers.dismiss()


def chosen(options: argparse.Namespace) -> Iterator[tuple[Function, str, str, str]]:
    for function in FUNCTIONS:
        for size in options.sizes if function.batched else ["single"]:
            for dtype in options.dtypes:
                if function.real and dtype.startswith("complex"):
                    continue
                for derivative in options.derivatives:
                    if function.name in options.functions:
                        yield function, derivative, dtype, size


def table(peaks: Sequence[Peak]) -> Table:
    out = Table("function", "derivative", "dtype", "size", "predicted MB", "resident MB", "ratio",
                "seconds")  # fmt: skip
    for p in peaks:
        mark = "" if p.right else " *"
        sizes = [f"{x / 1e6:.1f}" for x in (p.predicted, p.resident)]
        out.add_row(p.function, p.derivative, p.dtype, p.size, *sizes, f"{p.ratio:.2f}{mark}",
                    f"{p.seconds:.2f}")  # fmt: skip
    return out


def parser() -> argparse.ArgumentParser:
    names = [f.name for f in FUNCTIONS]
    out = argparse.ArgumentParser(prog="python -m benchmarks.matrix_memory", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add = out.add_argument
    for option, given in [("functions", names), ("derivatives", DERIVATIVES),
                          ("dtypes", TYPES), ("sizes", tuple(SIZES))]:  # fmt: skip
        add(f"--{option}", nargs="+", choices=given, default=given)
    add("--steps", action="store_true", help="show the steps that make a prediction wrong")
    add("--json", type=Path, metavar="FILE", help="write what was measured to FILE, too")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if any(os.environ.get(k) != v for k, v in EXACT.items()):
        again = [sys.executable, "-m", "benchmarks.matrix_memory", *(arguments or sys.argv[1:])]
        return subprocess.run(again, env=os.environ | EXACT, check=False).returncode
    peaks = []
    for given in chosen(options):
        with np.errstate(all="ignore"):
            peaks.append(peak(*given))
            if options.steps and not peaks[-1].right:
                Console().print(table(peaks[-1:]), steps(*given))
        print(f"\r{len(peaks)} {peaks[-1].function:30}", end="", file=sys.stderr, flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps([asdict(p) for p in peaks], indent=1))
    print(file=sys.stderr)
    Console().print(table(peaks))
    return 0 if all(p.right for p in peaks) else 1


if __name__ == "__main__":
    sys.exit(main())
