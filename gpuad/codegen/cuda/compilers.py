"""The compilers of kernels: which one is used, and what it needs to work.

Both have the same functions: numba-cuda, which is Numba's for CUDA, and its successor
numba-cuda-mlir. As they are used here, neither needs a driver or a GPU.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
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

from gpuad.codegen.cuda.source import KernelText
from gpuad.errors import CompilerError
from gpuad.kernels import cuda_functions
from gpuad.kernels.cuda_emitting import KernelEmitter, parameters_of, plain

VARIABLE = "GPUAD_CUDA_COMPILER"
"""The environment variable that chooses a compiler by its package."""


@dataclass(frozen=True)
class Compiler:
    """A package that compiles the text of a kernel to PTX."""

    package: str
    """Its name for pip."""
    module: str
    """The module that has `cuda`, `types` and `cuda.libdevice`."""
    parts: tuple[str, ...]
    """The packages whose versions the PTX depends on."""
    extra: str
    """What follows the CUDA version in the names of gpuad's extras that install it."""
    ready: Callable[[tuple[int, int]], AbstractContextManager[None]]
    """A context in which it compiles for GPUs of a compute capability."""
    function: "Callable[[KernelText, Compiler], Any]"
    """What it is given to compile of a kernel."""
    lines: int | None = None
    """Lines of text in one kernel, at most, if there can be too many for it."""

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


# What gpuad uses of the compilers though their manuals do not promise it. Each part is tried by
# tests/cuda_offline/test_compiler_parts.py, which says in one line what another version changed.
# pyproject.toml has the versions that were tried.

_ARRAYS = "numba.cuda.np.arrayobj"
_lock = threading.RLock()


@contextlib.contextmanager
def _without_row_stack(capability: tuple[int, int]) -> Iterator[None]:
    """numba-cuda, at least up to 0.30.4, reads np.row_stack, which NumPy 2.5 removed.

    Relies on only one module doing so, while it is imported. That module is imported with np.vstack
    in its place, which is the same function; NumPy itself is not changed.
    """
    with _lock:
        if not hasattr(np, "row_stack") and _ARRAYS not in sys.modules:
            _import_renamed(_ARRAYS, "row_stack", "vstack")
    yield


def _import_renamed(name: str, old: str, new: str) -> None:
    """Imports a module, if it exists; the code that runs at its import has the name `new` in place
    of `old`."""
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
    """numba-cuda-mlir asks the driver for the compute capability, unless it has it from before.

    Relies on `tools._cached_cc`, where it keeps it. One thread of gpuad compiles at a time; another
    that compiles without gpuad meanwhile does so for this capability too.
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


_PTX_VARIABLE = re.compile(r"^\.common \.global .* (\S+);\n", re.MULTILINE)
_SHARED_ARRAY = re.compile(r"\b(static_shared_memory|_cudapy_smem)_\d+\b")


def with_stable_names(ptx: str, name: str) -> str:
    """PTX with the kernel under its own name, without variables that nothing reads.

    Relies on how the compilers name those variables and arrays in shared memory: with a counter of
    the process, so that the same kernel would have another text each time.
    """
    found = re.search(r"\.entry\s+([\w$]+)", ptx)
    assert found is not None
    ptx = ptx.replace(found[1], name)
    for variable in _PTX_VARIABLE.finditer(ptx):
        if ptx.count(variable[1]) == 1:
            ptx = ptx.replace(variable[0], "")
    shared = list(dict.fromkeys([x[0] for x in _SHARED_ARRAY.finditer(ptx)]))
    return _SHARED_ARRAY.sub(lambda x: f"shared_{shared.index(x[0])}", ptx)


def as_python(kernel: KernelText, compiler: Compiler) -> Any:
    """The kernel as a function in Python, which a compiler translates from its bytecode."""
    names = cuda_functions.namespace(compiler.cuda, compiler.libdevice)
    text = plain(kernel.text)
    exec(compile(text, f"<gpuad kernel {kernel.digest[:8]}>", "exec"), names)
    return names[kernel.name]


def as_intrinsic(kernel: KernelText, compiler: Compiler) -> Any:
    """The kernel as a function that calls an intrinsic of numba-cuda: gpuad itself emits the
    instructions (`kernels.cuda_emitting`). It takes a tenth of the time.

    Relies on `intrinsic` asking `inspect.signature` for the names of parameters, and on the
    builder being llvmlite's.
    """
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    parameters = parameters_of(kernel.text)

    def body(typing: Any, *given: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            KernelEmitter(builder).function(kernel.text, kernel.types, arguments)
            return context.get_dummy_value()

        return types.void(*given), build

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signed = [inspect.Parameter(p, kind) for p in ("typing", *parameters)]
    body.__signature__ = inspect.Signature(signed)  # type: ignore[attr-defined]
    names = {"body": intrinsic(body)}
    listed = ", ".join(parameters)
    exec(f"def {kernel.name}({listed}):\n    body({listed})", names)
    return names[kernel.name]


NUMBA_CUDA = Compiler(
    "numba-cuda", "numba", ("numba", "numba-cuda"), "", _without_row_stack, as_intrinsic
)
MLIR = Compiler(
    "numba-cuda-mlir",
    "numba_cuda_mlir",
    ("numba-cuda-mlir",),
    "-mlir",
    _with_capability,
    as_python,
    1000,
)

COMPILERS = (NUMBA_CUDA, MLIR)
"""The first one that is installed is used. For numba-cuda gpuad emits the instructions itself, in a
tenth of the time; numba-cuda-mlir translates a function from its bytecode, and long texts take it
minutes."""


def _installed(package: str) -> bool:
    return _version(package) is not None


def chosen(installed: Callable[[str], bool] | None = None) -> Compiler | None:
    """The compiler that the environment names, else the first one that is installed, else None.

    installed() says whether a package is installed.

    Raises
    ------
    CompilerError
        If the environment names no compiler, or one that is not installed.
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
