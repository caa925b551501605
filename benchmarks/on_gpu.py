"""``python -m benchmarks.on_gpu``: what a few minutes of a GPU are worth, in one command.

Checks, measures and profiles in stages, the most valuable first, each in a process and with a time
limit of its own; every result is in the output folder the moment it is there. on_gpu.md says what
to prepare on a machine without a GPU, and how to read the results.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import emulated
from benchmarks.stages import prepare, readme, table
from benchmarks.stages.record import SUMMARY, Record
from benchmarks.stages.running import ROOT, Run
from benchmarks.stages.summary import summary
from gpuad import info

MINUTES = 8.0
EMULATED = 10.0
"""How much slower an item of a rehearsal may be."""
RESULTS = ROOT / "benchmarks" / "results"


class Unusable(RuntimeError):
    """Why the run cannot begin, and what to do."""


def parser() -> argparse.ArgumentParser:
    stages = "\n".join(f"  {s.letter}  {s.name}" for s in table.STAGES)
    out = argparse.ArgumentParser(
        prog="python -m benchmarks.on_gpu",
        description=__doc__,
        epilog=f"stages:\n{stages}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = out.add_argument
    add("--minutes", type=float, default=MINUTES, help=f"of all stages together ({MINUTES:g})")
    add("--out", type=Path, metavar="DIR", help="results (benchmarks/results/<gpu>)")
    add("--only", nargs="+", metavar="STAGE", default=[], help="letters of the stages to run")
    add("--most", type=int, metavar="N", help="items of a stage, at most (tests: 8 N)")
    add("--rehearse", action="store_true", help="on the pretended GPU, at small sizes")
    add("--prepare", type=Path, metavar="DIR", help="compile the kernels into DIR, without a GPU")
    add("--table", action="store_true", help="print the README's table of what was measured")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    options = command.parse_args(arguments)
    if options.table:
        print(readme.table(RESULTS), end="")
        return 0
    try:
        if options.prepare is not None or options.rehearse:
            emulated.check()
        if options.prepare is not None:
            return prepare.main(options.prepare)
        stages = table.chosen(options.only)
        folder = output_folder(options.out, options.rehearse)
    except (table.UnknownStage, Unusable, emulated.Unavailable) as error:
        command.error(str(error))
    return run(folder, stages, options)


def output_folder(given: Path | None, rehearse: bool) -> Path:
    """Where the results go; a rehearsal's never to those that were measured.

    Raises
    ------
    Unusable
        If there is no GPU, or the folder has results already.
    """
    if rehearse:
        folder = given or Path(tempfile.mkdtemp(prefix="gpuad-rehearsal-"))
        if folder.resolve().is_relative_to(RESULTS):
            raise Unusable(f"{folder} is for measured results; give a rehearsal another --out")
    else:
        name = gpu_name()
        folder = given or RESULTS / name
    if Record(folder).path.exists():
        raise Unusable(
            f"{Record(folder).path} is there already; move it away or give another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def gpu_name() -> str:
    """The GPU's name as a folder's: NVIDIA H100 80GB HBM3 is h100."""
    driver = info.read_driver()
    fault, remedy = info.gpu_fault(driver, info.installed_cupys())
    if fault or driver is None:
        advice = f": {remedy}" if remedy else ""
        raise Unusable(f"{fault}{advice}. Without a GPU there is --rehearse, and --prepare DIR")
    return short_name(driver.gpus[0].name)


def short_name(name: str) -> str:
    words = re.sub(r"(?i)nvidia|geforce|tesla", " ", name).lower().split()
    kept = [w for w in words if not re.fullmatch(r"\d+gb|hbm\w*|pcie|sxm\d*|nvl", w)]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(kept)).strip("-") or "gpu"


def run(folder: Path, stages: Sequence[table.Stage], options: argparse.Namespace) -> int:
    """The stages, and the summary after each of them."""
    record, end = Record(folder), time.time() + 60 * options.minutes
    given = ["--rehearse"] * options.rehearse
    given += ["--most", str(options.most)] if options.most is not None else []
    record.append(begun=time.time(), minutes=options.minutes, rehearsed=options.rehearse)
    every = Run(record, end, tuple(given), EMULATED if options.rehearse else 1.0)
    for k in range(len(stages)):
        every.next(stages[k:])
        (folder / SUMMARY).write_text(summary(record), encoding="utf-8")
    print((folder / SUMMARY).read_text(encoding="utf-8"))
    print(f"results: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
