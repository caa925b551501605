"""``python -m benchmarks.stages.programs``: every kernel family once, for compute-sanitizer.

Each array has memory of its own, straight from the driver, so that its bounds are known. A program
runs plainly, then as a captured graph.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from benchmarks import emulated, rehearsal

MARK, END = "program: ", "programs: end"
RUNS = 4
"""Two plain ones, one that is captured, one replayed."""


def programs() -> dict[str, Any]:
    """The programs of the tests, by name."""
    emulated.add_tests()
    from executors.kernel_programs import PROGRAMS

    return PROGRAMS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages.programs")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    if options.rehearse:
        rehearsal.begin()
    import cupy

    import gpuad as ad

    if not options.rehearse:
        cupy.cuda.set_allocator(None)
    chosen = programs()
    for name in options.names or chosen:
        print(f"{MARK}{name}", flush=True)
        function, arguments, _ = chosen[name]
        arrays = [cupy.asarray(x) for x in arguments]
        f = ad.jit(function)
        for _ in range(RUNS):
            f(*arrays)
        cupy.cuda.Device().synchronize()
    print(END, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
