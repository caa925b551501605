"""Where NVIDIA's tools are, and their processes."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.stages.record import Skip, Work
from benchmarks.stages.running import ROOT

FOLDERS = (
    "/usr/local/cuda/bin",
    "/usr/local/cuda-*/bin",
    "/usr/local/cuda/compute-sanitizer",
    "/opt/nvidia/nsight-compute/*",
    "/usr/lib/nsight-compute",
)


def find(name: str) -> str:
    """The tool's path.

    Raises
    ------
    Skip
        If it is neither on the PATH nor in a usual folder.
    """
    folders = [p for pattern in FOLDERS for p in sorted(glob.glob(pattern), reverse=True)]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise Skip(f"{name} is neither on the PATH nor in {', '.join(FOLDERS)}")
    return found


def program(work: Work, module: str, *arguments: str) -> list[str]:
    """The command of one of our modules, for a tool to run."""
    rehearse = ["--rehearse"] if work.rehearsed else []
    return [sys.executable, "-m", f"benchmarks.stages.{module}", *arguments, *rehearse]


def lines(command: Sequence[str]) -> Iterator[str]:
    """What a command prints, line by line as it comes; it is in the log too."""
    print("$", " ".join(command), flush=True)
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            yield line.rstrip("\n")
    finally:
        process.kill()
        process.wait()
