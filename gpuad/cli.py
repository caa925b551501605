"""The command `gpuad`: `gpuad info` and `gpuad demo`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gpuad import demo, info
from gpuad.errors import GpuadError


def parser() -> argparse.ArgumentParser:
    """Parses the options of the command."""
    top = argparse.ArgumentParser(
        prog="gpuad", description="Second-order automatic differentiation of NumPy and CuPy code."
    )
    top.add_argument("--version", action="version", version=f"gpuad {info.version('gpuad')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    about = "the device, the versions, what is missing and the command that brings it"
    commands.add_parser("info", help=about, description=f"Prints {about}.")
    about = "fits a softmax regression to images of digits by Newton's method on Hessian products"
    run = commands.add_parser("demo", help=about, description=f"{about[0].upper()}{about[1:]}.")
    run.add_argument("--no-plot", action="store_true", help="draw no picture of the convergence")
    run.add_argument(
        "--out",
        type=Path,
        default=Path("gpuad-demo.png"),
        metavar="FILE",
        help="where the picture goes (default: %(default)s)",
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status.

    If the reader of the output ends first, as in ``gpuad info | head -1``, there is no message, and
    the status is the one that a shell gives for a broken pipe.
    """
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()  # now: at the end of the process nobody could catch the error
    except BrokenPipeError:
        # What is left in the buffer would fail again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


_BROKEN_PIPE = 128 + 13  # of SIGPIPE, which Python does not let end the process


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    try:
        if options.command == "info":
            print(info.report())
        else:
            demo.main(None if options.no_plot else options.out)
    except GpuadError as error:
        print(f"gpuad {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
