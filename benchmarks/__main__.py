"""``python -m benchmarks``: measure gpuad beside its peers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, report, run, suite
from benchmarks.peers import PEERS
from benchmarks.terminal import Console


def peer_names(text: str) -> tuple[str, ...]:
    """The engines that a comma-separated list of peers stands for."""
    if text == "none":
        return ()
    unknown = [name for name in text.split(",") if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown peer {', '.join(unknown)}; give none or some of {','.join(PEERS)}"
        )
    return tuple(engine for name in text.split(",") for engine in PEERS[name])


def positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def output_file(text: str) -> Path:
    """A path that can be written to, found out before the run and not after it."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {path.parent} does not exist")
    return path


def earlier_run(text: str) -> tuple[dict[str, Any], list[report.Row]]:
    """The "meta" and the rows of a file that an earlier run left."""
    try:
        found = json.loads(Path(text).read_text(encoding="utf-8"))
        meta, rows = found["meta"], found["rows"]
        return meta, [{"dates": [meta["date"]], **row} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{text} is not what --json writes: {error}") from None


def parser() -> argparse.ArgumentParser:
    titles = {name: title for name, (_, title) in suite.ROWS.items()}
    titles[suite.APPLICATIONS] = "functions that people differentiate, beside JAX"
    rows = "\n".join(f"  {name}  {title}" for name, title in titles.items())
    out = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"rows:\n{rows}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = out.add_argument
    add(
        "rows",
        nargs="*",
        metavar="ROW",
        help="rows to run (default: all, without the applications)",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--size", choices=("small", "full"), default="small")
    add("--peers", type=peer_names, default=peer_names(",".join(PEERS)), help="jax,torch,autograd")
    add(
        "--repeats",
        type=positive,
        help="rounds of timing (20; on a GPU 50; small: 8)",
    )
    add("--json", type=output_file, metavar="FILE", help="write the results")
    add("--markdown", type=output_file, metavar="FILE", help="write the table as Markdown")
    add(
        "--worse-of",
        type=earlier_run,
        metavar="FILE",
        help="an earlier run's --json: its rows are kept, and of one that is run again the run "
        "with the smaller ratio",
    )
    add("--plot", type=output_file, metavar="FILE", help="draw the chart (.png, .svg, .pdf)")
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    options = command.parse_args(arguments)
    usual = 8 if options.size == "small" else 50 if options.device == "cuda" else 20
    repeats = options.repeats or usual
    try:
        cases = list(suite.cases(options.rows, options.size, options.device))
    except suite.UnknownRow as error:
        command.error(str(error))
    if options.device == "cuda" and not run.cuda_available():
        command.error("--device cuda needs CuPy and a GPU; `gpuad info` says what is missing")
    console = Console()
    threads = machine.threads()
    meta = machine.meta(options.device, threads, options.size, repeats)
    if warning := machine.warning(meta):
        console.print(f"[yellow]{warning}[/]")
    earlier: list[report.Row] = []
    if options.worse_of:
        before, earlier = options.worse_of
        meta["earlier"] = before

    def keep(rows: list[report.Row]) -> None:
        if options.json:
            report.save_json(options.json, meta, report.worse(rows, earlier))

    size, device, peers = options.size, options.device, options.peers
    rows = run.run(cases, peers, size, device, repeats, threads, console, keep)
    rows = report.worse(rows, earlier)
    report.show(console, rows)
    if options.markdown:
        options.markdown.write_text(report.markdown(rows), encoding="utf-8")
    if options.plot:
        report.save_chart(options.plot, meta, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
