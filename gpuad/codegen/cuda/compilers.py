"""The compilers of kernels, each a package with the same functions: which one is used, and what it
needs to work.

numba-cuda is Numba's for CUDA, numba-cuda-mlir its successor. Neither needs a driver or a GPU here.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from gpuad.errors import CompilerError

VARIABLE = "GPUAD_CUDA_COMPILER"
"""The environment variable that chooses a compiler by its package."""


@dataclass(frozen=True)
class Compiler:
    """A package that compiles the text of a kernel to PTX."""

    package: str
    """As pip knows it."""
    module: str
    """What has `cuda`, `types` and `cuda.libdevice`."""
    parts: tuple[str, ...]
    """The packages that PTX depends on."""
    extra: str
    """What the names of gpuad's extras that bring it have behind the CUDA version."""
    ready: Callable[[tuple[int, int]], AbstractContextManager[None]]
    """While this is entered, it compiles for GPUs of a compute capability."""

    @property
    def versions(self) -> str:
        return ", ".join(f"{name} {_version(name)}" for name in self.parts)

    @property
    def cuda(self) -> Any:
        return importlib.import_module(f"{self.module}.cuda")

    @property
    def types(self) -> Any:
        return importlib.import_module(f"{self.module}.types")

    @property
    def libdevice(self) -> Any:
        return importlib.import_module(f"{self.module}.cuda.libdevice")


@functools.cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# What is taken of them beyond their manuals. tests/cuda_offline/test_compiler_parts.py tries each,
# and says in one line what another version has changed; pyproject.toml has the versions that were
# tried.

_ARRAYS = "numba.cuda.np.arrayobj"
_lock = threading.RLock()


@contextlib.contextmanager
def _without_row_stack(capability: tuple[int, int]) -> Iterator[None]:
    """numba-cuda, up to 0.30.4 its last, names np.row_stack, which NumPy 2.5 removed.

    Relies on one module doing so, as it is loaded. It loads with np.vstack in its place, of which
    it was another name; NumPy stays as it is.
    """
    with _lock:
        if not hasattr(np, "row_stack") and _ARRAYS not in sys.modules:
            _import_renamed(_ARRAYS, "row_stack", "vstack")
    yield


def _import_renamed(name: str, old: str, new: str) -> None:
    """Imports a module, if there is one, with one name for another in what runs as it is loaded."""
    spec: Any = importlib.util.find_spec(name)
    if spec is None:
        return
    code = spec.loader.get_code(name)
    names = tuple([new if x == old else x for x in code.co_names])
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        exec(code.replace(co_names=names), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    package, _, last = name.rpartition(".")
    setattr(sys.modules[package], last, module)


@contextlib.contextmanager
def _with_capability(capability: tuple[int, int]) -> Iterator[None]:
    """numba-cuda-mlir asks the driver for the GPU, unless it remembers one.

    Relies on `tools._cached_cc`, where it does. One thread at a time may compile: another one that
    does so without gpuad would do it for the same capability.
    """
    tools: Any = importlib.import_module("numba_cuda_mlir.tools")
    with _lock:
        if not hasattr(tools, "_cached_cc"):
            raise CompilerError(
                f"numba-cuda-mlir {_version('numba-cuda-mlir')} has no tools._cached_cc, without "
                "which it compiles for the GPU of this machine only. Install another version "
                "(pip install 'numba-cuda-mlir==0.6.0'), or numba-cuda and "
                f"export {VARIABLE}=numba-cuda."
            )
        before = tools._cached_cc
        tools._cached_cc = capability
        try:
            yield
        finally:
            tools._cached_cc = before


_VARIABLE = re.compile(r"^\.common \.global .* (\S+);\n", re.MULTILINE)
_SHARED = re.compile(r"\b(static_shared_memory|_cudapy_smem)_\d+\b")


def with_stable_names(ptx: str, name: str) -> str:
    """PTX with the kernel under its own name, without variables that nothing reads.

    Relies on how the compilers name those, and shared memory: with a counter of this process, so
    that machine code would be another one each time.
    """
    found = re.search(r"\.entry\s+([\w$]+)", ptx)
    assert found is not None
    ptx = ptx.replace(found[1], name)
    for variable in _VARIABLE.finditer(ptx):
        if ptx.count(variable[1]) == 1:
            ptx = ptx.replace(variable[0], "")
    shared = list(dict.fromkeys([x[0] for x in _SHARED.finditer(ptx)]))
    return _SHARED.sub(lambda x: f"shared_{shared.index(x[0])}", ptx)


NUMBA_CUDA = Compiler("numba-cuda", "numba", ("numba", "numba-cuda"), "", _without_row_stack)
MLIR = Compiler(
    "numba-cuda-mlir", "numba_cuda_mlir", ("numba-cuda-mlir",), "-mlir", _with_capability
)

COMPILERS = (NUMBA_CUDA, MLIR)
"""The first one that is installed is used: its kernels have 6 % fewer machine instructions
(benchmarks/results/compilers.md), though the other one takes 0.6 of the time to compile them."""


def _installed(package: str) -> bool:
    return _version(package) is not None


def chosen(installed: Callable[[str], bool] | None = None) -> Compiler | None:
    """The compiler that the environment names, else the first that is installed, if any is.

    `installed` says whether a package is.

    Raises
    ------
    CompilerError
        If the environment names what is no compiler, or is not installed.
    """
    installed = installed or _installed
    name = os.environ.get(VARIABLE)
    if not name:
        return next((c for c in COMPILERS if installed(c.package)), None)
    compiler = next((c for c in COMPILERS if c.package == name), None)
    if compiler is None:
        choices = " or ".join(c.package for c in COMPILERS)
        raise CompilerError(f"{VARIABLE}={name} names no compiler: set it to {choices}.")
    if not installed(compiler.package):
        raise CompilerError(
            f"{VARIABLE}={name}, which is not installed: install it "
            f"(pip install '{name}[cu13]', or cu12), or unset {VARIABLE}."
        )
    return compiler
