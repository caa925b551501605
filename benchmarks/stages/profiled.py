"""``python -m benchmarks.stages.profiled``: a call of a row, for a profiler.

The second call is between the profiler's start and stop; what gpuad launches in it is written to a
file, in order.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import peers, rehearsal
from benchmarks.stages.local import with_data
from benchmarks.stages.record import Record, Work
from benchmarks.stages.rows import all_cases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages.profiled")
    parser.add_argument("name", help="a row and its variant")
    parser.add_argument("--launched", type=Path, required=True, metavar="FILE")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    if options.rehearse:
        rehearsal.begin()
    import cupy

    work = Work("f", Record(options.launched.parent), 0.0, options.rehearse)
    case = with_data(all_cases(work)[options.name])
    engine = peers.Gpuad("cuda", 1)
    launched = note_launches()
    call = engine.build(case, engine.names(case)[0], engine.operands(case, case.dtype))
    engine.wait(call())
    launched.clear()
    cupy.cuda.runtime.profilerStart()
    engine.wait(call())
    cupy.cuda.runtime.profilerStop()
    options.launched.write_text(json.dumps(launched), encoding="utf-8")
    return 0


def note_launches() -> list[dict[str, Any]]:
    """A list that gets a line for each launch of the programs that are made from now on."""
    from gpuad.executors.cuda import launch

    launched: list[dict[str, Any]] = []
    inner = launch._function

    def noting(kernel: Any, device: Any) -> Any:
        function, given = inner(kernel, device)

        def call(grid: Any, block: Any, arguments: Any, shared: int) -> None:
            line = {"name": kernel.name, "digest": kernel.digest[:8]}
            launched.append(line | {"grid": grid[0], "threads": block[0]})
            function(grid, block, arguments, shared)

        return call, given

    launch._function = noting  # type: ignore[assignment]
    return launched


if __name__ == "__main__":
    sys.exit(main())
