"""Kernels for a GPU, made without one: every kernel that the stages will load, in one folder.

The stages' programs are planned at their full sizes, on arrays that have a shape and no memory, of
a pretended CuPy; what is compiled meanwhile is written as a ready-made kernel
(`gpuad.executors.cuda.compile_cache`). The tests are run without their assertions, since no kernel
computes anything here.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import derivatives, emulated, machine, peers, reduced, rehearsal, suite
from benchmarks.stages.here import COMMIT
from benchmarks.stages.running import ROOT
from benchmarks.suite import Case
from gpuad import info
from gpuad.codegen.cuda import toolchain
from gpuad.executors.cuda import compile_cache

CAPABILITY = (9, 0)


def main(folder: Path) -> int:
    """Fills the folder and says what is in it."""
    start = time.perf_counter()
    folder = folder.resolve()
    for part in ("programs", "rows", "tests"):
        optimise = ["-O"] * (part == "tests")  # without assertions
        command = [sys.executable, *optimise, "-m", "benchmarks.stages.prepare", part, str(folder)]
        code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
        if code:
            print(f"preparing the {part} ended with code {code}", file=sys.stderr)
            return code
    (folder / COMMIT).write_text(f"{machine.commit()}\n", encoding="utf-8")
    count, size = compile_cache.kept_on_disk(folder)
    seconds = time.perf_counter() - start
    print(f"{count} kernels, {size / 1e6:.1f} MB, in {folder}; {seconds:.0f} s")
    return 0


def recorded(folder: Path) -> Any:
    """The pretended CuPy, whose kernels are compiled into the folder and do nothing."""
    emulated.add_tests()
    import pretended_cupy

    original = compile_cache.load

    def load(kernel: Any, capability: Any) -> toolchain.Binary:
        binary = original(kernel, capability)
        compile_cache.put(kernel, capability, binary, folder)
        return toolchain.Binary(pickle.dumps(kernel), binary.resources)

    patch = SimpleNamespace(setattr=setattr, setitem=lambda d, k, v: d.__setitem__(k, v))
    cupy = pretended_cupy.installed(patch, capacity=141 << 30)
    compile_cache.load = load
    gpu = info.Gpu(rehearsal.NAME, CAPABILITY, 141 << 30)
    info.read_driver = lambda: info.Driver((13, 0), (gpu,))
    info.installed_cupys = lambda: ["cupy-cuda13x"]
    return cupy


class Planner(peers.Gpuad):
    """gpuad on pretended arrays that repeat one number."""

    def put(self, array: np.ndarray) -> Any:
        if array.ndim == 0 or array.size < 1 << 16:
            return self.cupy.asarray(array)
        one = self.cupy.asarray(np.zeros((), array.dtype))
        return self.cupy.ndarray(array.shape, array.dtype, one.data, (0,) * array.ndim)

    def operands(self, case: Case, dtype: str) -> peers.Operands:
        args, tangents = case.data
        return tuple(map(self.put, args)), tuple(map(self.put, tangents))

    def plan(self, case: Case, way: str) -> None:
        """Compiles what a row runs, and its value and gradient."""
        operands = self.operands(case, case.dtype)
        self.explain(case, way, operands)
        if case.derivative not in ("laplacian", "residual_gradient"):
            f = partial(case.objective, self.xp)
            self.jit(lambda *a: (f(*a),)).explain(*operands[0])
            slope = self.jit(lambda *a: tuple(derivatives.gradient(self, f, case, a)))
            slope.explain(*operands[0])


def rows() -> Iterator[tuple[str, Callable[[], Any]]]:
    """What the stages run of each case of the suite, planned when it is called."""
    engine = Planner("cuda", 1)
    for size in ("full", "small"):
        for case in suite.cases((), size, "cuda"):
            case.__dict__["data"] = reduced.shapes(case)
            for way in engine.names(case):
                name = f"{case.row} {case.variant} {size}: {way}"
                yield name, lambda case=case, way=way: engine.plan(case, way)
            engine.ad.clear_cache()
            case.forget()


def programs(cupy: Any) -> None:
    """The programs of the tests, as compute-sanitizer sees them."""
    import gpuad as ad
    from benchmarks.stages.programs import programs as of_tests

    for function, arguments, _ in of_tests().values():
        ad.jit(function).explain(*[cupy.asarray(x) for x in arguments])


def tests() -> None:
    """tests/cuda, whose functions are compiled by their first calls."""
    import pytest

    from benchmarks.stages.gpu_tests import FOLDER, QUIET

    options = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "--assert=plain"]
    options += ["-Wignore::pytest.PytestConfigWarning"]  # that nothing is asserted
    pytest.main([str(FOLDER), "-q", "--tb=line", *options, *QUIET])


def part(name: str, folder: Path) -> None:
    """One part, in a process of its own."""
    cupy = recorded(folder)
    if name == "tests":
        tests()
    elif name == "programs":
        programs(cupy)
    else:
        for what, plan in rows():
            start = time.perf_counter()
            try:
                plan()
                print(f"{what}: {time.perf_counter() - start:.1f} s", flush=True)
            except Exception as error:
                print(f"{what}: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    part(sys.argv[1], Path(sys.argv[2]))
