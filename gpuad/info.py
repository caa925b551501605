"""What `gpuad info` prints: the device, the versions, what is missing and the command for it.

The GPU is asked for through the driver's own library, so that a machine with a GPU and no CuPy is
told which of the CUDA extras fits its driver.
"""

import ctypes
import importlib
import os
import platform
import re
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuad.errors import ArgumentError, CompilerError, ExecutorWarning
from gpuad.loading import compilers, disk_cache, kernels

CPU_PACKAGES = ("numpy", "scipy", "optree", "numba")
DEMO_PACKAGES = ("scikit-learn", "matplotlib", "rich")
CUDA_LIBRARIES = {
    "cuBLAS": "nvidia-cublas",
    "cuSOLVER": "nvidia-cusolver",
    "cuFFT": "nvidia-cufft",
    "NVRTC": "nvidia-cuda-nvrtc",
    "nvJitLink": "nvidia-nvjitlink",
    "NVVM": "nvidia-nvvm",
}
CUPY_PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy")


@dataclass(frozen=True)
class Gpu:
    """One device, as the driver describes it."""

    name: str
    capability: tuple[int, int]
    memory: int  # bytes

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name}, compute capability {major}.{minor}, {self.memory / 2**30:.0f} GiB"


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: the newest CUDA version it runs, and the devices it shows."""

    cuda: tuple[int, int]
    gpus: tuple[Gpu, ...]


@dataclass
class Report:
    """The lines of `gpuad info`, and for each thing that is missing the command that brings it."""

    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    advice: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"gpuad {version('gpuad') or '(not installed)'}", f"device  {self.device}", ""]
        width = max(map(len, self.versions))
        lines += [f"{name:{width}}  {found}" for name, found in self.versions.items()]
        for what, command in self.advice.items():
            lines += ["", f"{what}:", f"    {command}"]
        return "\n".join(lines)


def report() -> Report:
    """What is here, and what is missing."""
    found = Report()
    found.versions["python"] = f"{platform.python_version()} ({platform.system()}, {cores()} cores)"
    for name in CPU_PACKAGES:
        found.versions[name] = version(name) or "missing"
        if version(name) is None:
            found.advice[f"gpuad needs {name}"] = f"pip install {name}"
    describe_cache(found)
    describe_gpu(found, read_driver())
    missing = [name for name in DEMO_PACKAGES if version(name) is None]
    for name in DEMO_PACKAGES:
        found.versions[name] = version(name) or "missing (`gpuad demo` needs it)"
    if missing:
        found.advice["`gpuad demo` needs " + ", ".join(missing)] = "pip install 'gpuad[demo]'"
    return found


def describe_cache(found: Report) -> None:
    """Adds the folder of compiled sweeps and kernels, its size, and the limit of its size."""
    folder = disk_cache.cache_folder()
    size = sum(entry.size for entry in disk_cache.entries(folder))
    try:
        most = disk_cache.limit()
    except ArgumentError as error:
        found.advice[str(error).removesuffix(".")] = "unset GPUAD_CACHE_BYTES"
        return
    bound = f"of at most {most / 1e6:.0f} MB" if most else "without a limit"
    found.versions["cache"] = f"{size / 1e6:.1f} MB {bound} in {folder}"


def describe_gpu(found: Report, driver: Driver | None) -> None:
    """Adds the device in use, CuPy, the CUDA compiler and the driver."""
    cupys = installed_cupys()
    missing = "missing" if driver and driver.gpus else "missing (only an NVIDIA GPU needs it)"
    found.versions["cupy"] = ", ".join(f"{name} {version(name)}" for name in cupys) or missing
    for compiler in compilers.COMPILERS:
        found.versions[compiler.package] = version(compiler.package) or missing
    if driver:
        found.versions["driver"] = f"NVIDIA, for CUDA up to {driver.cuda[0]}.{driver.cuda[1]}"
    fault, command = gpu_fault(driver, cupys)
    if driver and driver.gpus and not fault:
        others = len(driver.gpus) - 1
        found.device = f"GPU, through CuPy: {driver.gpus[0]}" + (
            f" (and {others} more)" * bool(others)
        )
        describe_compiler(found, driver)
        describe_libraries(found)
        describe_speed(found)
        describe_kernels(found)
        return
    found.device = f"CPU, through NumPy ({fault})"
    if command:
        found.advice["To use the GPU"] = command


def describe_compiler(found: Report, driver: Driver) -> None:
    """Adds which compiler makes the kernels, and advice if it is missing or too new."""
    try:
        compiler = compilers.chosen(lambda package: version(package) is not None)
    except CompilerError as error:
        found.advice[str(error).removesuffix(".")] = f"unset {compilers.VARIABLE}"
        return
    suffix = compiler.extra if compiler else ""
    install, linker = f"pip install 'gpuad[{extra_for(driver)}{suffix}]'", linker_version()
    if compiler is None or linker is None:
        found.advice["The CUDA compiler is missing"] = install
    elif linker[0] > driver.cuda[0]:
        newer = f"The compiler is for CUDA {linker[0]}, newer than the driver's CUDA"
        found.advice[newer] = install
    if compiler is not None:
        found.versions[compiler.package] += " (compiles the kernels)"


def describe_libraries(found: Report) -> None:
    """Adds the CUDA libraries: the runtime that CuPy uses, and those installed as wheels."""
    runtime = cuda_runtime()
    if runtime is not None:
        found.versions["CUDA runtime"] = f"{runtime[0]}.{runtime[1]}"
    for name, package in CUDA_LIBRARIES.items():
        numbers = [version(f"{package}{suffix}") for suffix in ("", "-cu13", "-cu12")]
        number = next((n for n in numbers if n), None)
        if number:
            found.versions[name] = number


def describe_speed(found: Report) -> None:
    """Adds the measured bandwidth of a copy."""
    speed = copy_bandwidth()
    if speed is not None:
        found.versions["copy bandwidth"] = f"{speed / 1e9:.0f} GB/s, read and written"


def describe_kernels(found: Report) -> None:
    """Adds the number of kernels in the cache folder, and of those that are ready-made."""
    folders = {"kernels": kernels.cache_folder(), "ready-made kernels": kernels.ready_made()}
    for name, folder in folders.items():
        if folder is not None:
            count, size = kernels.kept_on_disk(folder)
            found.versions[name] = f"{count} in {folder}, {size / 1e6:.1f} MB"


def linker_version() -> tuple[int, int] | None:
    """The CUDA version of the linker that makes kernels, or None if it is missing."""
    try:
        major, minor = importlib.import_module("cuda.bindings.nvjitlink").version()
    except Exception:  # an ImportError, or a library that cannot be loaded
        return None
    return major, minor


def cuda_runtime() -> tuple[int, int] | None:
    """The version of the CUDA runtime that CuPy uses."""
    try:
        number = importlib.import_module("cupy").cuda.runtime.runtimeGetVersion()
    except Exception:  # an ImportError, or any of CUDA's own
        return None
    return number // 1000, number % 1000 // 10


def copy_bandwidth(size: int = 1 << 28) -> float | None:
    """Bytes read and written in a second by a copy on the GPU: the best of ten."""
    try:
        cupy = importlib.import_module("cupy")
        source = cupy.zeros(size, "u1")
        target = cupy.empty_like(source)
        times = [_copy_time(cupy, source, target) for _ in range(11)][1:]
    except Exception:  # an ImportError, or any of CUDA's own, such as too little memory
        return None
    return 2 * size / min(times)


def _copy_time(cupy: Any, source: Any, target: Any) -> float:
    """Seconds that a copy takes on the GPU."""
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    target[...] = source
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3


def gpu_fault(driver: Driver | None, cupys: list[str]) -> tuple[str, str]:
    """Why the GPU is not used, and the command to change that; both empty if it is used."""
    if driver is None:
        return "no NVIDIA driver on this machine", ""
    if not driver.gpus:
        if "CUDA_VISIBLE_DEVICES" in os.environ:
            return "CUDA_VISIBLE_DEVICES hides every GPU", "unset CUDA_VISIBLE_DEVICES"
        return "the NVIDIA driver shows no GPU", ""
    gpu, extra = driver.gpus[0], extra_for(driver)
    newest = ".".join(map(str, driver.cuda))
    if extra is None:
        return (
            f"{gpu} is there; its driver ends at CUDA {newest}, and gpuad needs 12",
            "update the NVIDIA driver",
        )
    install = f"pip install 'gpuad[{extra}]'"
    if not cupys:
        return f"{gpu} is there, CuPy is missing", install
    again = f"pip uninstall -y {' '.join(cupys)} && {install}"
    if len(cupys) > 1:
        return "several CuPy packages are installed and break each other", again
    needed = re.fullmatch(r"cupy-cuda(\d+)x", cupys[0])
    if needed and int(needed[1]) > driver.cuda[0]:
        return f"{gpu} is there; its driver ends at CUDA {newest}, {cupys[0]} needs more", again
    fault = cupy_fault()
    if fault:
        return f"{gpu} is there, CuPy fails on it: {fault}", remedy(fault, again)
    return "", ""


def remedy(fault: str, install_again: str) -> str:
    """The command that may mend a fault of CuPy on a GPU."""
    if fault.startswith(("PermissionError", "OSError")):
        return "export CUPY_CACHE_DIR=/tmp/cupy  # or another folder that can be written"
    if fault.startswith("OutOfMemoryError"):
        return "nvidia-smi  # shows which programs hold the GPU's memory"
    if fault.startswith("CUDARuntimeError") and "InsufficientDriver" not in fault:
        return "nvidia-smi  # shows what the driver says of the GPU; restart it if it says nothing"
    return install_again


def installed_cupys() -> list[str]:
    """The packages of CuPy that are installed; more than one is a fault."""
    return [name for name in CUPY_PACKAGES if version(name)]


def extra_for(driver: Driver) -> str | None:
    """The extra of gpuad for the newest CUDA that the driver runs."""
    major = min(driver.cuda[0], 13)
    return f"cuda{major}" if major >= 12 else None


def array_module() -> Any:
    """CuPy where a GPU can be used, else NumPy.

    If there is a GPU and CuPy cannot use it, an `ExecutorWarning` says what to do.
    """
    cupys = installed_cupys()
    if not cupys:
        return np
    driver = read_driver()
    fault, command = gpu_fault(driver, cupys)
    if not fault:
        return importlib.import_module("cupy")
    if driver is not None and driver.gpus:
        warnings.warn(
            f"arrays are made on the CPU: {fault}. To use the GPU: {command}",
            ExecutorWarning,
            stacklevel=3,
        )
    return np


def cupy_fault() -> str | None:
    """Why CuPy cannot compute on the GPU, or None if it can."""
    try:
        cupy = importlib.import_module("cupy")
        total = float((cupy.arange(4.0) ** 2).sum())
    except Exception as error:  # an ImportError, or any of CUDA's own
        first_line = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"
    return None if total == 14.0 else f"0 + 1 + 4 + 9 came out as {total}"


def version(package: str) -> str | None:
    """The installed version of a package."""
    from importlib import metadata  # takes a twelfth of `import gpuad`, which does not need it

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_driver() -> Driver | None:
    """Asks the NVIDIA driver's library; None where there is none."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(number)) != 0:
        return None
    newest = (number.value // 1000, number.value % 1000 // 10)
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return Driver(newest, ())
    return Driver(newest, tuple(read_gpu(cuda, ordinal) for ordinal in range(count.value)))


def read_gpu(cuda: ctypes.CDLL, ordinal: int) -> Gpu:
    """The device with this number. 75 and 76 are CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*."""
    device, value, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = []
    for attribute in (75, 76):
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return Gpu(name.value.decode(), (capability[0], capability[1]), memory.value)
