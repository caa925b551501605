"""The overhead benchmark measures what it says."""

import io
import json

import numpy as np
from rich.console import Console

import gpuad
from benchmarks import overhead


def test_the_function_has_twenty_operations():
    graph = gpuad.make_graph(overhead.twenty_operations(np))(np.ones(10)).graph
    assert len(graph) == 20


def test_engines_take_the_same_gradient():
    x = np.linspace(-1, 1, overhead.SIZE)
    overhead.check_gradients(overhead.gradients(x))


def test_verdicts_are_by_the_target():
    rows = [
        overhead.Row("fast", 2.0, "µs", 3.0, ""),
        overhead.Row("slow", 4.0, "µs", 3.0, ""),
        overhead.Row("beside", 4.0, "µs", None, ""),
    ]
    assert [row.met for row in rows] == [True, False, None]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(overhead.table(rows))
    text = console.export_text()
    assert "met" in text and "missed" in text and "≤ 3 µs" in text


def test_a_run_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(overhead, "ROUND_SECONDS", 1e-4)
    monkeypatch.setattr(overhead, "gradients", only_ours)
    assert overhead.main(["--rounds", "1", "--json", str(tmp_path / "out.json")]) == 0
    saved = json.loads((tmp_path / "out.json").read_text())
    rows = {row["name"]: row for row in saved["rows"]}
    assert set(rows) == {
        "un-jitted grad",
        "a jitted call - NumPy (reference)",
        "a jitted call - NumPy (auto)",
        "import gpuad",
    }
    assert rows["import gpuad"]["measured"] > 0
    assert rows["un-jitted grad"]["met"] is None
    assert saved["meta"]["load"].keys() == {"busy_share", "processor"}


def only_ours(x):
    return {"gpuad": lambda: gpuad.grad(overhead.twenty_operations(np))(x)}
