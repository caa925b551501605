"""gpuad on the emulator: programs are planned, compiled and launched as for a GPU.

The pretended CuPy stands for the machine: its memory, its replay of captured runs, cuBLAS and
sorting (NumPy's). Kernels are compiled by gpuad's own toolchain and linked, so that the planner
sees real registers and spills, and their PTX is run.
"""

import functools
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import pretended_cupy
from compiled_kernels import CAPABILITIES, KERNELS, KernelCache
from emulator.generate import Code, generate
from emulator.machine import Machine, MemoryMap, Region, Report
from emulator.parse import parse
from gpuad.codegen.cuda import toolchain
from gpuad.codegen.cuda.source import KernelText
from gpuad.codegen.cuda.toolchain import Binary, Resources
from gpuad.executors.cuda import compile_cache, launch
from gpuad.executors.cuda.program import CudaProgram
from gpuad.transforms.split_products import lower_for_gpu


@dataclass
class Compiled:
    """A kernel as PTX, made ready to run when it is first run."""

    kernel: KernelText
    ptx: str
    resources: Resources

    @functools.cached_property
    def code(self) -> Code:
        (entry,) = parse(self.ptx).values()
        return generate(entry)


@functools.lru_cache(256)
def compiled(kernel: KernelText, cache: KernelCache, versions: str) -> Compiled:
    return Compiled(kernel, cache.ptx(kernel), cache.resources(kernel, CAPABILITIES[-1]))


@dataclass
class Launched:
    """A launch that has run, what was seen and counted, and its arguments."""

    compiled: Compiled
    report: Report
    seconds: float
    values: tuple[int, ...]


class Emulator:
    """The pretended GPU.

    cache: where kernels are kept; None for where all tests keep theirs. patch: pytest's
    monkeypatch; without it the process stays as it is made here. `launches` has what was run since
    it was last cleared. `blocks` is how many blocks of a launch are run at most, spread over the
    grid: results of the others stay unwritten; None runs all of them.
    """

    def __init__(self, cache: str | Path | None = None, races: bool = True, patch=None):
        self.cache = KERNELS if cache is None else KernelCache(Path(cache))
        self.launches: list[Launched] = []
        self.races, self.blocks = races, None
        patch = patch or SimpleNamespace(setitem=dict.__setitem__, setattr=setattr)
        self.cupy = pretended_cupy.installed(patch, runner=self._run)
        patch.setattr(
            compile_cache, "load", lambda k, _: Binary(pickle.dumps(k), self.compiler(k).resources)
        )

    def compiler(self, kernel: KernelText) -> Compiled:
        return compiled(kernel, self.cache, toolchain.versions())

    @property
    def device(self) -> launch.CupyDevice:
        return launch.device(0)

    def program(self, graph) -> CudaProgram:
        return CudaProgram(lower_for_gpu(graph), self.device)

    def arrays(self, values) -> list:
        return [self.cupy.asarray(np.asarray(x)) for x in values]

    @property
    def findings(self) -> list[str]:
        """What is wrong with the launches."""
        found = [f for x in self.launches for f in x.report.findings.values()]
        return [f"{f.kind}, {f.count} times: {f.example}: {f.text}" for f in found]

    def _run(self, text, blocks, threads, numbers, host) -> None:
        start = time.perf_counter()
        kernel = self.compiler(text)
        regions = [
            Region(first, end - first, f"an array of {end - first} bytes")
            for first, (end, _) in list(host.regions.items())  # arrays may go meanwhile
            if end > first
        ]
        made = Machine(kernel.code, blocks, threads, numbers, MemoryMap(regions), self.races)
        chosen = None
        if self.blocks is not None and blocks > self.blocks:
            chosen = sorted({int(k) for k in np.linspace(0, blocks - 1, self.blocks)})
        report = made.run(chosen)
        values = tuple([int(x) for x in numbers])
        self.launches.append(Launched(kernel, report, time.perf_counter() - start, values))


def host(results) -> list[np.ndarray]:
    """The results in the host's memory."""
    return [np.array(x._host) if hasattr(x, "_host") else np.asarray(x) for x in results]
