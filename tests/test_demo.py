"""The two commands a newcomer runs: `gpuad info` and `gpuad demo`."""

import re
import subprocess
import sys

import pytest

from gpuad import cli, demo, info
from gpuad.codegen.cuda.compilers import COMPILERS

PACKAGES = [c.package for c in COMPILERS]


def test_info_names_device_and_versions():
    command = [sys.executable, "-W", "error", "-m", "gpuad", "info"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.match(r"gpuad \d+\.\d+\.\d+\ndevice  (CPU|GPU), through ", text)
    for name in ("python", *info.CPU_PACKAGES, "cupy", *PACKAGES, *info.DEMO_PACKAGES):
        assert re.search(rf"^{name} +\S", text, re.MULTILINE)


def test_demo_fits_the_digits_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "MOVES", [(1, 1)])  # a fifth of the images
    picture = tmp_path / "convergence.png"
    assert cli.main(["demo", "--out", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "1,347 images, 274 features, 2,750 weights" in text
    assert re.search(r"Device: (CPU|GPU), through", text)

    def row(name):
        (line,) = [line for line in text.splitlines() if line.startswith(f"│ {name} ")]
        return [float(cell.strip(" %ms")) for cell in line.split("│")[2:-1]]

    ours, theirs = row("loss")
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert ours <= theirs
    assert row("gradient norm")[0] < demo.TOLERANCE
    ours, theirs = row("test images recognised")
    assert ours > 97
    assert ours == pytest.approx(theirs, abs=1)
    assert row("relative difference from finite differences")[0] < 1e-6
    assert row("ratio of the two")[0] > 0
    assert str(picture) in text
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("missing/a.png", "there is no folder"), ("a.doc", "the name must end in one of .")],
)
def test_demo_refuses_a_picture_it_could_not_save(name, expected, tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path / name)]) == 1
    assert expected in capsys.readouterr().err


def test_demo_without_its_packages_says_what_brings_them(monkeypatch, capsys):
    monkeypatch.setattr(
        info, "version", lambda name: None if name in ("rich", "matplotlib") else "1"
    )
    assert cli.main(["demo", "--no-plot"]) == 1
    error = capsys.readouterr().err
    assert error == "gpuad demo: matplotlib and rich missing; run: pip install 'gpuad[demo]'\n"
