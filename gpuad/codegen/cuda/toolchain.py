"""From the text of a kernel to machine code for a GPU, with a report on the registers it takes.

One of `compilers` compiles the text to PTX, and nvJitLink links that to machine code for one
compute capability. Neither needs a driver or a GPU.
"""

import functools
import hashlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpuad.codegen.cuda import compilers
from gpuad.codegen.cuda.compilers import Compiler
from gpuad.codegen.cuda.row_layouts import REGISTER_FILE
from gpuad.codegen.cuda.source import KernelText
from gpuad.errors import CompilerError
from gpuad.kernels import (
    cuda_calls,
    cuda_emitting,
    cuda_expressions,
    cuda_functions,
    emitting_expressions,
)

Capability = tuple[int, int]
DECLARED_BYTES = 48 * 1024
"""Of shared memory in the text of a kernel, at most."""


class TooLarge(CompilerError):
    """A kernel that needs more of a resource than a GPU of its compute capability has."""


_TOO_LARGE = re.compile("uses too much|register allocation failed", re.IGNORECASE)
"""What the linker says of shared memory, parameters, stack and registers."""


@dataclass(frozen=True)
class Resources:
    """What a kernel takes: registers and memory of each thread, shared memory of a block. Sizes are
    in bytes."""

    registers: int
    stack: int
    spills: int
    shared: int
    """Of the arrays in the kernel's text."""
    given: int = 0
    """Of a large one, which a block is given at its launch."""

    def fit(self, threads: int, shared: int) -> bool:
        """Whether a block of so many threads can run with so much shared memory, and nothing is
        spilled to memory."""
        registers = -(-self.registers // 8) * 8 * threads <= REGISTER_FILE
        return self.spills == 0 and registers and self.shared + self.given <= shared


@dataclass(frozen=True)
class Binary:
    """A kernel as machine code, and the report on it."""

    cubin: bytes
    resources: Resources


def available() -> bool:
    """Whether a compiler and the linker are installed."""
    return compilers.chosen() is not None and _linker_found()


@functools.cache
def _linker_found() -> bool:
    try:
        return importlib.util.find_spec("cuda.bindings.nvjitlink") is not None
    except (ImportError, AttributeError):
        return False


def versions() -> str:
    """What machine code depends on besides the text of its kernel."""
    return f"{compiler().versions}, nvJitLink {_linker_version()}, gpuad {revision()}"


@functools.cache
def revision() -> str:
    """A hash of the source on which machine code depends: this module, the choice of compilers,
    what emits instructions, and the functions that texts call."""
    modules = (
        compilers, cuda_calls, cuda_emitting, cuda_expressions, cuda_functions,
        emitting_expressions,
    )  # fmt: skip
    sources = [Path(str(x)).read_bytes() for x in (__file__, *[m.__file__ for m in modules])]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:8]


@functools.cache
def _linker_version() -> tuple[int, int]:
    from cuda.bindings import nvjitlink

    return nvjitlink.version()


def compiler() -> Compiler:
    """The compiler of kernels.

    Raises
    ------
    CompilerError
        If it or the linker is missing.
    """
    found = compilers.chosen()
    if found is None or not _linker_found():
        raise CompilerError(
            "the compiler of sweeps for the GPU is missing: `gpuad info` has the command that "
            "installs it."
        )
    return found


def compiles(kernel: KernelText) -> bool:
    """Whether the text of a kernel is short enough for the compiler."""
    using = compilers.chosen()
    return using is None or using.lines is None or kernel.text.count("\n") <= using.lines


def compile_ptx(kernel: KernelText, capability: Capability) -> str:
    """The kernel as PTX."""
    using = compiler()
    with using.ready(capability):
        try:
            ptx, _ = using.cuda.compile(
                using.function(kernel, using), _signature(kernel, using.types), device=False,
                abi="numba", cc=capability, output="ptx",
            )  # fmt: skip
        except AttributeError as error:  # 'numpy' has no attribute ...
            raise CompilerError(
                f"{using.versions} does not work with NumPy {np.__version__}: {error}. Install "
                f"another version, or set {compilers.VARIABLE} to another compiler."
            ) from error
        except Exception as error:  # numba-cuda-mlir links what it compiles
            if not _TOO_LARGE.search(str(error)):
                raise
            raise TooLarge(f"{using.versions} refused a kernel: {error}") from error
    text = ptx if isinstance(ptx, str) else ptx.decode()
    return without_double_reduction(compilers.with_stable_names(text, kernel.name))


def _signature(kernel: KernelText, types: Any) -> Any:
    """The types of a kernel's parameters. Relies on machine code taking just these, addresses and
    numbers, in this order."""
    kinds = {"f32": types.float32, "f64": types.float64, "i32": types.int32}
    kinds |= {"i64": types.int64, "b1": types.uint8}
    kinds |= {"f16": types.int16, "bf16": types.int16}
    arguments = [
        types.CPointer(kinds[t[:-1]]) if t.endswith("*") else kinds[t] for t in kernel.types
    ]
    return types.void(*arguments)


_LARGE_ANGLE = re.compile(
    r"cvt\.rn\.f64\.s64\s+(%fd\d+), (%rd\d+);\s+"
    r"mul\.f64\s+(%fd\d+), \1, 0d3BF921FB54442D19;\s+"
    r"cvt\.rn\.f32\.f64\s+(%f\d+), \3;"
)


def without_double_reduction(ptx: str) -> str:
    """PTX in which sin, cos and tan of a large float32 stay in float32.

    libdevice reduces the angle to a fraction of 64 bits, and multiplies that with π/2·2⁻⁶⁴ in
    float64. In float32 the reduced angle is right to one unit in the last place, which is enough
    for the functions.

    Relies on libdevice having these instructions; others stay as they are.
    """
    return _LARGE_ANGLE.sub(r"cvt.rn.f32.s64 \4, \2;\n\tmul.f32 \4, \4, 0f1FC90FDB;", ptx)


def compile_kernel(kernel: KernelText, capability: Capability) -> Binary:
    """The kernel as machine code for GPUs of this compute capability.

    Raises
    ------
    TooLarge
        If the kernel needs more of a resource than there is.
    CompilerError
        If the compiler is missing, or refuses the kernel for another reason.
    """
    return link(compile_ptx(kernel, capability), capability)


def link(ptx: str, capability: Capability, *options: str) -> Binary:
    """PTX as machine code for GPUs of this compute capability; `options` are nvJitLink's."""
    ptx, given = with_given_array(ptx)
    cubin, report = _linked(ptx.encode(), capability, options)
    return Binary(cubin, replace(_resources(report), given=given))


_SHARED = re.compile(r"^(?:\.visible )?\.shared \.align \d+ \.b8 (\w+)\[(\d+)\];$", re.MULTILINE)


def with_given_array(ptx: str) -> tuple[str, int]:
    """PTX in which the size of the largest shared array is left to the launch, if all of them are
    more than can be declared; and its bytes, or 0."""
    arrays = list(_SHARED.finditer(ptx))
    if sum(int(m[2]) for m in arrays) <= DECLARED_BYTES:
        return ptx, 0
    m = max(arrays, key=lambda m: int(m[2]))
    given = f".extern .shared .align 16 .b8 {m[1]}[];"
    return ptx[: m.start()] + given + ptx[m.end() :], int(m[2])


def _linked(ptx: bytes, capability: Capability, more: Sequence[str]) -> tuple[bytes, str]:
    """A cubin and the linker's report on it.

    A cubin runs on every driver of its major CUDA version; PTX of a toolkit newer than the driver
    would not.
    """
    from cuda.bindings import nvjitlink

    options = ["-arch=sm_{}{}".format(*capability), "-verbose", "-Xptxas=-v", *more]
    handle = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, ptx, len(ptx), "kernel")
        nvjitlink.complete(handle)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(handle))
        nvjitlink.get_linked_cubin(handle, cubin)
        report = _log(nvjitlink.get_info_log_size, nvjitlink.get_info_log, handle)
    except nvjitlink.nvJitLinkError as error:
        log = _log(nvjitlink.get_error_log_size, nvjitlink.get_error_log, handle)
        kind = TooLarge if _TOO_LARGE.search(log) else CompilerError
        raise kind(f"the CUDA linker refused a kernel: {error}\n{log}") from error
    finally:
        nvjitlink.destroy(handle)
    return bytes(cubin), report


def _log(size: Any, read: Any, handle: Any) -> str:
    text = bytearray(size(handle))
    read(handle, text)
    return bytes(text).decode(errors="replace")


def _resources(report: str) -> Resources:
    """The resources in a report, which has a line of ptxas, and one of the linker."""

    def number(pattern: str) -> int:
        found = re.search(pattern, report)
        return int(found[1]) if found else 0

    spills = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
    return Resources(
        number(r"Used (\d+) registers"),
        number(r"(\d+) bytes stack frame"),
        spills,
        number(r"used \d+ registers.* (\d+) bytes smem") or number(r"(\d+) bytes smem"),
    )
