"""The pretended GPU of the tests: kernels compiled as for a GPU and executed on the CPU.

It is in `tests/`, which only a clone of the repository has.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from gpuad.codegen.cuda import toolchain
from gpuad.errors import CompilerError

TESTS = Path(__file__).parents[1] / "tests"


class Unavailable(RuntimeError):
    """What kernels are run with is missing; the message says how to get it."""


def add_tests() -> None:
    """Makes what test files share importable."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))


def check() -> None:
    """Whether kernels can be compiled and run.

    Raises
    ------
    Unavailable
        Without the tests, or without the compiler of CUDA kernels that is asked for.
    """
    if not (TESTS / "emulator" / "device.py").is_file():
        raise Unavailable(f"{TESTS} has no emulator: run this in a clone of the repository")
    try:
        found = toolchain.available()
    except CompilerError as error:
        raise Unavailable(str(error)) from error
    if not found:
        raise Unavailable(
            "no compiler of CUDA kernels is installed (no GPU is needed for it): "
            "pip install 'numba-cuda[cu13]'"
        )


def emulator(races: bool = True, patch: Any = None) -> Any:
    """The emulator in CuPy's place: until `patch`, pytest's monkeypatch, is undone, or for the rest
    of the process. Raises as `check` does."""
    check()
    add_tests()
    return importlib.import_module("emulator.device").Emulator(races=races, patch=patch)
