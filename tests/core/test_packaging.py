"""What is installed: the packages of the wheel, and what `import gpuad` brings with it."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gpuad
from source_tree import ROOT, modules_of

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(code: str) -> str:
    """What a fresh interpreter prints, in another folder than this repository."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.anchor, check=True
    )
    return done.stdout.strip()


def test_pyproject_lists_every_package():
    packages = {m for m, path in modules_of().items() if path.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == packages


def test_every_folder_of_modules_is_a_package():
    assert not [p for p in modules_of().values() if not (p.parent / "__init__.py").exists()]


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    pytest.importorskip("setuptools", "77", reason="building a wheel needs setuptools 77 or newer")
    source = tmp_path / "source"
    copy_sources(source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", "-q", "-w", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"gpuad-{gpuad.__version__}.dist-info"
    code = {name for name in names if not name.startswith(info)}
    expected = {
        "/".join(name.split(".")) + ("/__init__.py" if path.name == "__init__.py" else ".py")
        for name, path in modules_of().items()
    }
    assert code == expected | {"gpuad/py.typed"}
    assert {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"} <= names


def copy_sources(target: Path) -> None:
    """Copies what a build reads, so that building leaves nothing in the repository."""
    files = ["pyproject.toml", "README.md", "LICENSE", "gpuad/py.typed"]
    for path in [*(ROOT / file for file in files), *modules_of().values()]:
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())


def test_kernels_import_from_anywhere():
    assert run("import gpuad.kernels as k; print(k.__name__)") == "gpuad.kernels"


def test_python_started_inside_a_clone(tmp_path):
    """There `import gpuad` finds the clone's folder, also where gpuad is installed elsewhere."""
    copy_sources(tmp_path)
    code = (
        "import gpuad, gpuad.kernels, gpuad.kernels.vecmath as v, numpy as np;"
        "print(gpuad.__file__, gpuad.kernels.__file__, v.__file__, sep='\\n');"
        "print(gpuad.jit(gpuad.grad(np.sin), executor='reference')(0.0))"
    )
    for command in (["-c", code], ["-m", "gpuad", "--help"]):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        if command[0] == "-c":
            *files, slope = done.stdout.split()
            assert slope == "1.0"
            assert all(Path(f).is_relative_to(tmp_path) for f in files)


def test_import_gpuad_leaves_the_heavy_ones_alone():
    heavy = ("numba", "llvmlite", "cupy", "scipy.special", "scipy.sparse", "matplotlib", "rich")
    code = f"import sys, gpuad; print([m for m in {heavy} if m in sys.modules])"
    assert run(code) == "[]"


def test_import_gpuad_needs_its_dependencies_only():
    """Another package that happens to be here, as the tests' own, must not be needed."""
    code = (
        "import sys; before = set(sys.modules); import gpuad; import importlib.metadata as m;"
        "names = {n.split('.')[0] for n in set(sys.modules) - before};"
        "found = m.packages_distributions();"
        "print(*{d.lower() for n in names for d in found.get(n, ())})"
    )
    needed = {re.split(r"[<>=]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    assert set(run(code).split()) <= needed | {"gpuad", "typing_extensions"}


def test_import_gpuad_is_quick():
    """The goal is 0.3 s, measured by benchmarks/; this notices when something heavy comes in."""
    code = "import time; t = time.perf_counter(); import gpuad; print(time.perf_counter() - t)"
    assert min(float(run(code)) for _ in range(5)) < 1.0
