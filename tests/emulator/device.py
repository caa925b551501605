"""gpuad on the emulator: programs are planned, compiled and launched as for a GPU.

The pretended CuPy stands for the machine (memory, cuBLAS, sorting: NumPy's); kernels are compiled
to PTX and linked for one compute capability by gpuad's own toolchain, so that the planner sees the
real registers and spills, and the PTX is what runs.
"""

import os
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import pretended_cupy
from emulator import generate, machine, parse
from gpuad.executors.cuda import launch, store, toolchain
from gpuad.executors.cuda.program import CudaProgram
from gpuad.executors.cuda.source import KernelText
from gpuad.executors.cuda.toolchain import Binary, Resources
from gpuad.transforms.lower import lower

CAPABILITY = (9, 0)


@dataclass
class Compiled:
    """A kernel as PTX, made ready to run."""

    kernel: KernelText
    ptx: str
    resources: Resources
    code: generate.Code


class Compiler:
    """Kernels with their PTX; kept on disk, since compiling takes a second."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.made: dict[str, Compiled] = {}
        self.seconds = 0.0

    def __call__(self, kernel: KernelText) -> Compiled:
        found = self.made.get(kernel.digest)
        if found is None:
            found = self.made[kernel.digest] = self._compiled(kernel)
        return found

    def _compiled(self, kernel: KernelText) -> Compiled:
        path = self.folder / f"{kernel.digest}.pickle"
        start = time.perf_counter()
        if path.exists():
            ptx, resources = pickle.loads(path.read_bytes())
        else:
            ptx = toolchain.compile_ptx(kernel, CAPABILITY)
            resources = toolchain.link(ptx, CAPABILITY).resources
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps((ptx, resources)))
        self.seconds += time.perf_counter() - start
        (entry,) = parse.parse(ptx).values()
        return Compiled(kernel, ptx, resources, generate.generate(entry))


@dataclass
class Launched:
    """A launch that has run, and what the emulator saw and counted."""

    compiled: Compiled
    report: machine.Report
    seconds: float
    values: tuple = ()


class Emulator:
    """The pretended GPU. `launches` has what was run since it was last cleared.

    blocks: how many blocks of a launch are run at most, spread over the grid; the results of the
    others stay unwritten. None runs all of them. `patch` is pytest's monkeypatch, or like it.
    """

    def __init__(self, cache=None, races: bool = True, patch=None):
        folder = cache or os.environ.get("PTX_CACHE") or Path.home() / ".cache" / "ptx-emulator"
        self.compiler = Compiler(Path(folder))
        self.launches: list[Launched] = []
        self.races, self.blocks = races, None
        self._regions: dict[tuple[int, int], machine.Region] = {}
        patch = patch or SimpleNamespace(
            setitem=lambda d, k, v: d.__setitem__(k, v), setattr=lambda o, k, v: setattr(o, k, v)
        )
        self.cupy = pretended_cupy.installed(patch, runner=self._run)
        patch.setattr(
            store,
            "load",
            lambda kernel, capability: Binary(
                pickle.dumps(kernel), self.compiler(kernel).resources
            ),
        )

    @property
    def device(self) -> launch.CupyDevice:
        return launch.device(0)

    def program(self, graph) -> CudaProgram:
        return CudaProgram(lower(graph), self.device)

    def arrays(self, values) -> list:
        return [self.cupy.asarray(np.asarray(x)) for x in values]

    def _run(self, text, blocks, threads, numbers, host) -> None:
        start = time.perf_counter()
        compiled = self.compiler(text)
        regions = []
        for first, (end, _) in host.regions.items():
            if end <= first:
                continue
            key = first, end
            if key not in self._regions:
                name = f"array of {end - first} bytes"
                self._regions[key] = machine.Region(first, end - first, name)
            regions.append(self._regions[key])
        memory = machine.MemoryMap(regions)
        chosen = None
        if self.blocks is not None and blocks > self.blocks:
            chosen = sorted({int(k) for k in np.linspace(0, blocks - 1, self.blocks)})
        made = machine.Machine(
            compiled.code, blocks, threads, numbers, memory, races=self.races
        )
        report = made.run(chosen)
        numbers = tuple([int(x) for x in numbers])
        self.launches.append(Launched(compiled, report, time.perf_counter() - start, numbers))


def host(results) -> list[np.ndarray]:
    """The results in the host's memory."""
    return [np.array(x._host) if hasattr(x, "_host") else np.asarray(x) for x in results]
