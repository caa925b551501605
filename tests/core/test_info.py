"""`gpuad info`: what it says of each machine it may find itself on."""

import sys
import types

import numpy as np
import pytest

from gpuad import info
from gpuad.codegen.cuda import compilers
from gpuad.errors import ExecutorWarning
from gpuad.info import Driver, Gpu

CUPY = types.ModuleType("cupy")
H200 = Gpu("NVIDIA H200", (9, 0), 141 * 2**30)


@pytest.fixture(autouse=True)
def no_compiler_chosen(monkeypatch):
    monkeypatch.delenv(compilers.VARIABLE, raising=False)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that pretends this driver, these packages and this fault of CuPy."""

    def pretend(driver, packages, fault=None):
        base = dict.fromkeys((*info.CPU_PACKAGES, *info.DEMO_PACKAGES, "gpuad"), "1.0")
        found = base | dict.fromkeys(packages, "2.0")
        monkeypatch.setattr(info, "read_driver", lambda: driver)
        monkeypatch.setattr(info, "version", found.get)
        monkeypatch.setattr(info, "cupy_fault", lambda: fault)
        monkeypatch.setattr(info, "cuda_runtime", lambda: (12, 9))
        monkeypatch.setattr(info, "linker_version", lambda: (12, 9))
        monkeypatch.setattr(info, "copy_bandwidth", lambda: 4.2e12)
        monkeypatch.setenv("GPUAD_CACHE_DIR", str(tmp_path))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return info.report()

    return pretend


def test_no_gpu_is_no_fault(machine):
    report = machine(None, [])
    assert report.device == "CPU, through NumPy (no NVIDIA driver on this machine)"
    assert report.versions["cupy"] == "missing (only an NVIDIA GPU needs it)"
    assert not report.advice


@pytest.mark.parametrize(
    ("cuda", "extra"), [((12, 4), "cuda12"), ((13, 0), "cuda13"), ((14, 1), "cuda13")]
)
def test_a_gpu_without_cupy_gets_the_extra_for_its_driver(machine, cuda, extra):
    report = machine(Driver(cuda, (H200,)), [])
    assert "NVIDIA H200, compute capability 9.0, 141 GiB is there, CuPy is missing" in report.device
    assert report.advice == {"To use the GPU": f"pip install 'gpuad[{extra}]'"}


def test_a_working_gpu_is_used(machine):
    report = machine(Driver((13, 0), (H200, H200)), ["cupy-cuda13x", "numba-cuda"])
    assert (
        report.device
        == "GPU, through CuPy: NVIDIA H200, compute capability 9.0, 141 GiB (and 1 more)"
    )
    assert report.versions["cupy"] == "cupy-cuda13x 2.0"
    assert not report.advice


def test_a_working_gpu_without_the_compiler(machine):
    report = machine(Driver((12, 8), (H200,)), ["cupy-cuda12x"])
    assert report.device.startswith("GPU")
    assert report.advice == {"The CUDA compiler is missing": "pip install 'gpuad[cuda12]'"}


def test_an_old_driver(machine):
    report = machine(Driver((11, 8), (H200,)), ["cupy-cuda11x"])
    assert "its driver ends at CUDA 11.8, and gpuad needs 12" in report.device
    assert report.advice == {"To use the GPU": "update the NVIDIA driver"}


def test_two_cupys(machine):
    report = machine(Driver((12, 8), (H200,)), ["cupy-cuda12x", "cupy"])
    assert "several CuPy packages" in report.device
    command = "pip uninstall -y cupy-cuda12x cupy && pip install 'gpuad[cuda12]'"
    assert report.advice == {"To use the GPU": command}


def test_a_cupy_for_another_cuda(machine):
    report = machine(Driver((12, 8), (H200,)), ["cupy-cuda13x"])
    assert "its driver ends at CUDA 12.8, cupy-cuda13x needs more" in report.device
    command = "pip uninstall -y cupy-cuda13x && pip install 'gpuad[cuda12]'"
    assert report.advice == {"To use the GPU": command}


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        ("ImportError: libnvrtc.so.12", "pip uninstall -y cupy && pip install 'gpuad[cuda12]'"),
        ("CUDARuntimeError: cudaErrorInsufficientDriver: x", "pip uninstall -y cupy && "),
        ("CUDARuntimeError: cudaErrorSystemNotReady: x", "nvidia-smi"),
        ("OutOfMemoryError: Out of memory allocating 512 bytes", "nvidia-smi"),
        ("PermissionError: [Errno 13] '/home/x/.cupy'", "export CUPY_CACHE_DIR="),
    ],
)
def test_a_cupy_that_fails_on_the_gpu(machine, fault, command):
    report = machine(Driver((12, 8), (H200,)), ["cupy"], fault)
    assert f"CuPy fails on it: {fault}" in report.device
    assert report.advice["To use the GPU"].startswith(command)


def test_a_compiler_for_a_newer_cuda_than_the_driver(machine, monkeypatch):
    machine(None, [])
    monkeypatch.setattr(info, "linker_version", lambda: (13, 0))
    found = info.Report()
    monkeypatch.setattr(info, "version", {"cupy": "14.0", "numba-cuda": "0.30"}.get)
    info.describe_gpu(found, Driver((12, 8), (H200,)))
    assert found.device.startswith("GPU")
    assert found.advice == {
        "The compiler is for CUDA 13, newer than the driver's CUDA": "pip install 'gpuad[cuda12]'"
    }


def test_the_compiler_in_use_is_named(machine, monkeypatch):
    both = ["cupy-cuda13x", "numba-cuda", "numba-cuda-mlir"]
    report = machine(Driver((13, 0), (H200,)), both)
    assert report.versions["numba-cuda"] == "2.0 (compiles the kernels)"
    assert report.versions["numba-cuda-mlir"] == "2.0"
    monkeypatch.setenv(compilers.VARIABLE, "numba-cuda-mlir")
    report = machine(Driver((13, 0), (H200,)), both)
    assert report.versions["numba-cuda"] == "2.0"
    assert report.versions["numba-cuda-mlir"] == "2.0 (compiles the kernels)"
    assert not report.advice


def test_the_other_compiler_alone(machine, monkeypatch):
    packages = ["cupy-cuda12x", "numba-cuda-mlir"]
    report = machine(Driver((12, 9), (H200,)), packages)
    assert report.versions["numba-cuda"] == "missing"
    assert not report.advice
    monkeypatch.setattr(info, "linker_version", lambda: None)
    found = info.Report(versions={"numba-cuda-mlir": "2.0"})
    info.describe_compiler(found, Driver((12, 9), (H200,)))
    assert found.advice == {"The CUDA compiler is missing": "pip install 'gpuad[cuda12-mlir]'"}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nvcc", "GPUAD_CUDA_COMPILER=nvcc names no compiler: set it to numba-cuda or "),
        ("numba-cuda-mlir", "GPUAD_CUDA_COMPILER=numba-cuda-mlir, which is not installed"),
    ],
)
def test_a_compiler_that_cannot_be_chosen(machine, monkeypatch, name, fault):
    monkeypatch.setenv(compilers.VARIABLE, name)
    report = machine(Driver((13, 0), (H200,)), ["cupy-cuda13x", "numba-cuda"])
    ((said, command),) = report.advice.items()
    assert said.startswith(fault)
    assert command == "unset GPUAD_CUDA_COMPILER"


def test_the_libraries_are_named(machine, monkeypatch):
    machine(None, [])
    numbers = {"nvidia-cublas-cu12": "12.9.1", "nvidia-nvjitlink": "13.0.2"}
    monkeypatch.setattr(info, "version", numbers.get)
    found = info.Report()
    info.describe_libraries(found)
    assert found.versions == {"CUDA runtime": "12.9", "cuBLAS": "12.9.1", "nvJitLink": "13.0.2"}


# The device that arrays are made on


def test_without_a_gpu_arrays_are_numpys_and_nothing_is_said(machine):
    machine(None, ["cupy-cuda13x"])
    assert info.array_module() is np
    machine(Driver((12, 8), ()), ["cupy-cuda12x"])
    assert info.array_module() is np
    machine(Driver((12, 8), (H200,)), [])
    assert info.array_module() is np


def test_a_gpu_that_cannot_be_used_is_warned_of(machine):
    machine(Driver((12, 8), (H200,)), ["cupy-cuda12x"], "ImportError: libnvrtc.so.12")
    expected = r"made on the CPU: .*H200.* CuPy fails on it: ImportError.*To use the GPU: pip un"
    with pytest.warns(ExecutorWarning, match=expected):
        assert info.array_module() is np


def test_a_gpu_that_can_be_used_is(machine, monkeypatch):
    machine(Driver((12, 8), (H200,)), ["cupy-cuda12x"])
    monkeypatch.setitem(sys.modules, "cupy", CUPY)
    assert info.array_module() is CUPY


def test_a_hidden_gpu(machine, monkeypatch):
    machine(None, [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert info.gpu_fault(Driver((12, 8), ()), []) == (
        "CUDA_VISIBLE_DEVICES hides every GPU",
        "unset CUDA_VISIBLE_DEVICES",
    )


def test_a_cupy_that_does_not_import_is_a_fault_with_its_reason(monkeypatch):
    def fails(name):
        raise ImportError(f"{name}: libcublas.so.12 not found\nmore")

    monkeypatch.setattr(info.importlib, "import_module", fails)
    assert info.cupy_fault() == "ImportError: cupy: libcublas.so.12 not found"


def test_packages_of_the_demo_that_are_missing(machine, monkeypatch):
    machine(None, [])
    monkeypatch.setattr(info, "version", {"numpy": "2.0", "rich": "15.0"}.get)
    text = str(info.report())
    assert "`gpuad demo` needs scikit-learn, matplotlib:\n    pip install 'gpuad[demo]'" in text
    assert "gpuad needs numba:\n    pip install numba" in text


def test_a_gpu_in_use_is_described(machine, tmp_path):
    (tmp_path / "abc.kernel").write_bytes(b"x" * 1_500_000)
    report = machine(Driver((13, 0), (H200,)), ["cupy-cuda13x", "numba-cuda"])
    assert "NVIDIA H200, compute capability 9.0" in report.device
    assert report.versions["driver"] == "NVIDIA, for CUDA up to 13.0"
    assert report.versions["CUDA runtime"] == "12.9"
    assert report.versions["copy bandwidth"] == "4200 GB/s, read and written"
    assert report.versions["kernels"] == f"1 in {tmp_path}, 1.5 MB"


def test_the_size_of_the_cache_and_its_limit(machine, monkeypatch, tmp_path):
    (tmp_path / f"{'0af' * 10}ab.kernel").write_bytes(b"x" * 1_500_000)
    (tmp_path / "somebody's").write_bytes(b"x" * 1_500_000)
    monkeypatch.delenv("GPUAD_CACHE_BYTES", raising=False)
    assert machine(None, []).versions["cache"] == f"1.5 MB of at most 1074 MB in {tmp_path}"
    monkeypatch.setenv("GPUAD_CACHE_BYTES", "0")
    assert machine(None, []).versions["cache"] == f"1.5 MB without a limit in {tmp_path}"


def test_what_cannot_be_measured_is_left_out(machine, monkeypatch):
    machine(None, [])
    monkeypatch.setattr(info, "cuda_runtime", lambda: None)
    monkeypatch.setattr(info, "copy_bandwidth", lambda: None)
    found = info.Report()
    info.describe_libraries(found)
    info.describe_speed(found)
    assert not found.versions


def test_without_a_gpu_nothing_is_measured(monkeypatch):
    def fails(name):
        raise ImportError(name)

    monkeypatch.setattr(info.importlib, "import_module", fails)
    assert info.cuda_runtime() is None
    assert info.linker_version() is None
    assert info.copy_bandwidth() is None


def test_an_empty_variable_hides_every_gpu(machine, monkeypatch):
    machine(None, [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(info, "read_driver", lambda: Driver((12, 8), ()))
    report = info.report()
    assert report.device == "CPU, through NumPy (CUDA_VISIBLE_DEVICES hides every GPU)"
    assert report.advice == {"To use the GPU": "unset CUDA_VISIBLE_DEVICES"}
