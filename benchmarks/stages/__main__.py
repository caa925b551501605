"""A stage's own process: ``python -m benchmarks.stages LETTER --out DIR --until TIME``."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks import rehearsal
from benchmarks.stages.record import Record, Work
from benchmarks.stages.table import BY_LETTER


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("letter", choices=BY_LETTER)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", type=float, required=True, help="by the clock of time.time()")
    parser.add_argument("--most", type=int)
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    if options.rehearse:
        rehearsal.begin()
    stage = BY_LETTER[options.letter]
    module = importlib.import_module(f"benchmarks.stages.{stage.module}")
    record = Record(options.out)
    module.run(Work(stage.letter, record, options.until, options.rehearse, options.most))
    return 0


if __name__ == "__main__":
    sys.exit(main())
