"""What gpuad costs besides arithmetic: ``python -m benchmarks.overhead [--json FILE]``.

Three questions, each with a target: un-jitted `grad` of a small function beside HIPS autograd and
un-jitted JAX; what a jitted call adds to the NumPy operations that it runs; how long `import gpuad`
takes. Times are medians over rounds in which the contestants take turns.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import gpuad
from benchmarks import machine
from benchmarks.terminal import Console, Table

SIZE = 10
GRAD_TARGET = 3.0  # times HIPS autograd
CALL_TARGET = 30e-6
IMPORT_TARGET = 0.3
ROUND_SECONDS = 0.02
"""A round times so many calls that they take about this long."""


@dataclass(frozen=True)
class Row:
    """One measured quantity; `target` is None where it is only for comparison."""

    name: str
    measured: float
    unit: str
    target: float | None
    detail: str

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.measured <= self.target


def twenty_operations(xp: Any) -> Callable[[Any], Any]:
    """A function of twenty array operations, written in `xp`."""

    def f(x: Any) -> Any:
        a = xp.sin(x) * x  # 2 operations
        b = xp.exp(-a * a) + xp.cos(a)  # 5
        c = xp.tanh(b + x) * 2.0 - a  # 4
        d = xp.log(1.0 + c * c)  # 3
        e = xp.sqrt(d + 3.0) * c  # 3
        return xp.sum(e * x / b)  # 3

    return f


def medians(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds per call; each function is called a few times before it is timed."""
    counts = {}
    for name, f in functions.items():
        for _ in range(5):
            f()
        counts[name] = max(1, int(ROUND_SECONDS / max(1e-9, seconds(f, 3))))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, f in functions.items():
            times[name].append(seconds(f, counts[name]))
    return {name: median(found) for name, found in times.items()}


def seconds(f: Callable[[], Any], count: int) -> float:
    """Seconds per call over so many calls."""
    start = time.perf_counter()
    for _ in range(count):
        f()
    return (time.perf_counter() - start) / count


# The questions


def gradients(x: Any) -> dict[str, Callable[[], Any]]:
    """Un-jitted gradients of the function of twenty operations, by every engine installed."""
    ours = gpuad.grad(twenty_operations(np))
    found: dict[str, Callable[[], Any]] = {"gpuad": lambda: ours(x)}
    if importlib.util.find_spec("autograd"):
        autograd = importlib.import_module("autograd")
        theirs = autograd.grad(twenty_operations(importlib.import_module("autograd.numpy")))
        found["autograd"] = lambda: theirs(x)
    if importlib.util.find_spec("jax"):
        jax = importlib.import_module("jax")
        by_jax, x_jax = jax.grad(twenty_operations(jax.numpy)), jax.numpy.asarray(x)
        found["jax"] = lambda: by_jax(x_jax).block_until_ready()
    return found


def gradient_rows(rounds: int) -> list[Row]:
    x = np.linspace(-1, 1, SIZE)
    functions = gradients(x)
    check_gradients(functions)
    times = medians(functions, rounds)
    ours = times.pop("gpuad")
    value = medians({"f": lambda: twenty_operations(np)(x)}, rounds)["f"]
    rows = [
        Row(
            f"un-jitted grad / {peer}'s", ours / theirs, "×",
            GRAD_TARGET if peer == "autograd" else None,
            f"{micro(ours)} against {micro(theirs)}; the function alone takes {micro(value)}",
        )
        for peer, theirs in times.items()
    ]  # fmt: skip
    return rows or [
        Row("un-jitted grad", ours * 1e6, "µs", None, "install autograd to compare with")
    ]


def check_gradients(functions: Mapping[str, Callable[[], Any]]) -> None:
    """All engines must give the same gradient (JAX has float32)."""
    expected = functions["gpuad"]()
    for name, f in functions.items():
        tolerance = 1e-4 if name == "jax" else 1e-12
        np.testing.assert_allclose(f(), expected, rtol=tolerance, atol=tolerance, err_msg=name)


def call_rows(rounds: int) -> list[Row]:
    """What a jitted call takes beyond the NumPy function of the same operations."""
    x, f = np.linspace(-1, 1, SIZE), twenty_operations(np)
    by_operation, compiled = gpuad.jit(f, executor="reference"), gpuad.jit(f)
    times = medians(
        {"plain": lambda: f(x), "reference": lambda: by_operation(x), "auto": lambda: compiled(x)},
        rounds,
    )
    return [
        Row(
            f"a jitted call - NumPy ({executor})", (times[executor] - times["plain"]) * 1e6, "µs",
            CALL_TARGET * 1e6,
            f"{micro(times[executor])} against {micro(times['plain'])}; {what}",
        )
        for executor, what in (
            ("reference", "operation by operation"), ("auto", "compiled sweeps"),
        )
    ]  # fmt: skip


def import_rows(rounds: int) -> list[Row]:
    """The time of ``import gpuad`` in a new process, without that of starting the interpreter.

    As after an installation: Python finds bytecode, which the round before the first writes.
    """
    programs = {"start": "pass", "numpy": "import numpy", "gpuad": "import gpuad"}
    found: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = folder
        for i in range(rounds + 1):
            for name, text in programs.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, "-c", text], check=True, env=environment)
                if i:
                    found[name].append(time.perf_counter() - start)
    times = {name: median(t) for name, t in found.items()}
    detail = f"{times['numpy'] - times['start']:.3f} s of it are NumPy's"
    return [Row("import gpuad", times["gpuad"] - times["start"], "s", IMPORT_TARGET, detail)]


def micro(value: float) -> str:
    return f"{value * 1e6:.1f} µs"


# What is shown and saved


def table(rows: Sequence[Row]) -> Table:
    out = Table(title="What gpuad costs besides arithmetic (medians)")
    for name in ("", "measured", "target", "", "detail"):
        out.add_column(name, justify="right" if name in ("measured", "target") else "left")
    verdicts = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}
    for row in rows:
        target = "" if row.target is None else f"≤ {row.target:g} {row.unit}"
        out.add_row(
            row.name, f"{row.measured:.2f} {row.unit}", target, verdicts[row.met], row.detail
        )
    return out


def load() -> dict[str, Any]:
    """How busy other processes keep the machine, measured while this one sleeps."""
    return {"busy_share": machine.busy_share(), "processor": machine.processor()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="rounds of timing (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    options = parser.parse_args(arguments)
    console = Console()
    meta = {"load": load(), "commit": machine.commit(), "python": sys.version.split()[0]}
    rows: list[Row] = []
    for measure in (gradient_rows, call_rows):
        rows += measure(options.rounds)
    rows += import_rows(max(3, options.rounds // 3))
    console.print(table(rows))
    busy = meta["load"]["busy_share"]
    console.print(
        f"{meta['load']['processor']}; other processes kept {busy:.0%} of the cores busy"
        if busy is not None
        else meta["load"]["processor"]
    )
    if warning := machine.warning(meta):
        console.print(f"[yellow]{warning}[/]")
    if options.json:
        named = [asdict(row) | {"met": row.met} for row in rows]
        options.json.write_text(json.dumps({"meta": meta, "rows": named}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
