"""The two commands a newcomer runs: `gpuad info` and `gpuad demo`."""

import re
import subprocess
import sys

import pytest

from gpuad import cli, demo, info


def gpuad(*arguments: str) -> str:
    """What the command prints, run as a user runs it."""
    command = [sys.executable, "-W", "error", "-m", "gpuad", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_info_names_device_and_versions():
    text = gpuad("info")
    assert re.match(r"gpuad \d+\.\d+\.\d+\ndevice  (CPU|GPU), through ", text)
    for name in ("python", *info.CPU_PACKAGES, "cupy", "numba-cuda", *info.DEMO_PACKAGES):
        assert re.search(rf"^{name} +\S", text, re.MULTILINE)


def test_demo_fits_the_digits_and_draws(tmp_path):
    picture = tmp_path / "convergence.png"
    text = gpuad("demo", "--out", str(picture))
    losses = re.search(r"loss +│ +(\S+) +│ +(\S+)", text)
    assert losses
    assert float(losses[1]) == pytest.approx(float(losses[2]), abs=1e-6)
    assert float(re.search(r"gradient norm +│ +(\S+)", text)[1]) < demo.TOLERANCE
    right = re.search(r"test images recognised +│ +(\S+)% +│ +(\S+)%", text)
    assert float(right[1]) > 97
    assert float(right[1]) == pytest.approx(float(right[2]), abs=1)
    assert float(re.search(r"differ by (\S+) of its size", text)[1]) < 1e-6
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_demo_without_its_packages_says_what_brings_them(monkeypatch, capsys):
    monkeypatch.setattr(
        info, "version", lambda name: None if name in ("rich", "matplotlib") else "1"
    )
    assert cli.main(["demo", "--no-plot"]) == 1
    error = capsys.readouterr().err
    assert error == "gpuad demo: matplotlib and rich missing; run: pip install 'gpuad[demo]'\n"
