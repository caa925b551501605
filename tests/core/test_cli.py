"""The command `gpuad` as a process."""

import os
import subprocess
import sys

import pytest

BUFFERED = {name: x for name, x in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("argument", ["info", "--help", "--version"])
def test_it_ends_quietly_when_nobody_reads(argument, options):
    command = [sys.executable, *options, "-m", "gpuad", argument]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=BUFFERED
    )
    process.stdout.close()  # as `head -1` does, once it has its line
    said = process.stderr.read()
    process.stderr.close()
    # argparse itself drops what it cannot write.
    ends = {141} if argument == "info" or not options else {0}
    assert said == ""
    assert process.wait() in ends


def test_names_keep_their_capitals():
    run = subprocess.run(
        [sys.executable, "-m", "gpuad", "demo", "--help"], capture_output=True, text=True
    )
    assert "Newton's method on Hessian" in run.stdout
