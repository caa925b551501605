"""The pretended GPU in a process of the benchmarks: kernels run in the emulator, sizes are small.

So that no stage of `benchmarks.on_gpu` meets its first error on hardware. Nothing timed here is a
measurement.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks import emulated
from benchmarks.suite import Case
from gpuad import info

NAME = "a pretended H200"
LARGEST = {"n": 100, "cameras": 5, "points": 40, "observations": 300}
"""What the arguments of a row's `make` are cut to."""

CALLS = 5


def begin() -> None:
    """Puts the pretended GPU in the place of CuPy, and pretended tools on the PATH."""
    tools = emulated.TESTS / "pretended_tools"
    os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    emulated.emulator(races=False)
    gpu = info.Gpu(NAME, (9, 0), 141 << 30)
    info.read_driver = lambda: info.Driver((13, 0), (gpu,))
    info.installed_cupys = lambda: ["cupy-cuda13x"]
    info.copy_bandwidth.__defaults__ = (1 << 20,)


def smaller(case: Case) -> Case:
    """The case at a size for the emulator; the mathematics and the name are the same."""
    if not isinstance(case.make, partial):
        return replace(case, calls=min(case.calls, CALLS), exact=None)  # its formula has the calls
    given: dict[str, Any] = case.make.keywords
    cut = {k: min(v, LARGEST[k]) if k in LARGEST else v for k, v in given.items()}
    return replace(case, make=partial(case.make.func, *case.make.args, **cut))
