"""The command for minutes of a GPU: rehearsed whole, and what it does when stages go wrong."""

import json
import subprocess
import sys
import textwrap
import time

import pytest

from source_tree import ROOT

pytest.importorskip("numba.cuda", reason="kernels of the rehearsal are compiled")
pytest.importorskip("cuda.bindings", reason="kernels of the rehearsal are linked")
pytest.importorskip("jax")
from benchmarks import on_gpu, rehearsal, suite
from benchmarks.stages import counters, local, readme, rows, sanitizer, table
from benchmarks.stages.record import Record, Skip, Work
from benchmarks.stages.running import Run
from benchmarks.stages.summary import summary
from benchmarks.stages.table import Stage
from gpuad import info
from gpuad.codegen.cuda import toolchain

# The whole command


@pytest.mark.parametrize("options", [["--rehearse"], ["--prepare", "kernels"]], ids=" ".join)
def test_without_a_compiler_nothing_is_begun(monkeypatch, capsys, options):
    monkeypatch.setattr(toolchain, "available", lambda: False)
    with pytest.raises(SystemExit):
        on_gpu.main(options)
    assert "pip install 'numba-cuda[cu13]'" in capsys.readouterr().err


def test_every_stage_is_rehearsed(tmp_path):
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--rehearse", "--minutes", "6"]
    done = subprocess.run(
        [*command, "--most", "1", "--out", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    record = Record(tmp_path / "out")
    log = (tmp_path / "out" / "log.txt").read_text()
    assert done.returncode == 0, done.stderr
    for stage in table.STAGES:
        items = record.items(stage.letter)
        assert items, log
        assert {x["status"] for x in items.values()} == {"done"}, log
        assert record.lines(stage.letter)[-1]["status"] == "ended"
    assert len(list((tmp_path / "out").iterdir())) == 3
    (row,) = record.items("d").values()
    assert row["checked"] == "jax.jit in float64 at this size"
    assert row["ratio_to_best"] > 0
    assert "missing" not in row["ours"]
    assert len(record.items("b")) == 8
    (profiled,) = record.items("f").values()
    assert any("digest" in k for k in profiled["kernels"])
    assert done.stdout.startswith("REHEARSED, NOT MEASURED")
    assert len(done.stdout.splitlines()) <= 40 + 2


# Stages that go wrong


@pytest.fixture
def run(tmp_path):
    """Runs stages whose code is given; the record of what they leave."""

    def go(code, letters="b", seconds=60.0, patience=30.0):
        script = tmp_path / "stages.py"
        script.write_text(
            "import os, signal, sys, time\nfrom pathlib import Path\n"
            f"sys.path.append({str(ROOT)!r})\n"
            "from benchmarks.stages.record import Record, Skip, Work\n"
            "letter, until = sys.argv[1], float(sys.argv[5])\n"
            "work = Work(letter, Record(Path(sys.argv[3])), until)\n" + textwrap.dedent(code)
        )
        record = Record(tmp_path)
        end = time.time() + seconds
        every = Run(record, end, command=(sys.executable, str(script)))
        stages = [Stage(x, f"stage {x}", "none", 1.0, patience) for x in letters]
        for k in range(len(stages)):
            every.next(stages[k:])
        return record

    return go


def statuses(record, letter):
    return {k: x["status"] for k, x in record.items(letter).items()}


def test_an_item_that_raises_is_reported_and_the_next_one_runs(run):
    record = run(
        """
        for name in work.pending(["one", "two", "three"]):
            with work.item(name) as found:
                found["half"] = 1
                if name == "one":
                    raise ValueError("no such luck")
                if name == "two":
                    raise Skip("nothing here")
        """
    )
    assert statuses(record, "b") == {"one": "failed", "two": "skipped", "three": "done"}
    assert record.items("b")["one"]["error"] == "ValueError: no such luck"
    assert record.items("b")["one"]["half"] == 1


def test_a_stage_that_raises_is_reported_and_the_next_one_runs(run):
    record = run("if letter == 'b':\n    raise ValueError\nwork.write('x', 'done')", "bc")
    assert record.lines("b")[-1]["status"] == "failed"
    assert "log.txt" in record.lines("b")[-1]["why"]
    assert statuses(record, "c") == {"x": "done"}


def test_a_process_that_dies_loses_its_item_alone(run):
    record = run(
        """
        for name in work.pending(["one", "two", "three"]):
            with work.item(name):
                if name == "two":
                    os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert statuses(record, "b") == {"one": "done", "two": "failed", "three": "done"}
    assert "SIGKILL" in record.items("b")["two"]["error"]


def test_an_item_that_hangs_is_ended_and_the_others_run(run):
    record = run(
        """
        for name in work.pending(["one", "two", "three"]):
            with work.item(name):
                if name == "two":
                    time.sleep(100)
        """,
        patience=3.0,
    )
    assert statuses(record, "b") == {"one": "done", "two": "failed", "three": "done"}
    assert "more than 3 s" in record.items("b")["two"]["error"]


def test_a_stage_that_hangs_is_ended_at_its_limit_with_what_it_has_started(run, tmp_path):
    start = time.time()
    record = run(
        """
        import subprocess
        work.write("one", "done")
        child = subprocess.Popen(["sleep", "100"])
        (work.record.folder / "child").write_text(str(child.pid))
        time.sleep(100)
        """,
        seconds=6.0,
    )
    assert time.time() - start < 20
    assert statuses(record, "b") == {"one": "done"}
    assert record.lines("b")[-1]["status"] == "stopped"
    time.sleep(0.2)
    state = ROOT.joinpath("/proc", (tmp_path / "child").read_text(), "stat")
    assert not state.exists() or " Z " in state.read_text()


def test_without_time_a_stage_is_not_run(run):
    record = run("work.write('x', 'done')", "bc", seconds=1.0)
    assert [x["status"] for x in record.lines()] == ["not run"] * 2
    assert "no time" in summary(record)


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    record = Record(tmp_path)
    record.append(stage="a", item="x", status="done")
    with open(record.path, "a") as file:
        file.write('{"stage": "a", "item": "y", "sta')
    assert list(record.items("a")) == ["x"]


# The command line


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as info:
        on_gpu.main(arguments)
    assert info.value.code == 2
    return capsys.readouterr().err


def test_an_unknown_stage_is_named(capsys):
    text = refused(capsys, "--rehearse", "--only", "b", "z")
    assert "unknown stage z; the stages are a (what is there), b (tests)" in text


def test_without_a_gpu_what_is_missing_is_said(capsys, monkeypatch):
    monkeypatch.setattr(info, "read_driver", lambda: None)
    assert "no NVIDIA driver on this machine" in refused(capsys)


def test_a_rehearsal_is_never_written_to_the_results(capsys):
    out = ROOT / "benchmarks" / "results" / "h200"
    assert "give a rehearsal another --out" in refused(capsys, "--rehearse", "--out", str(out))
    assert not out.exists()


def test_results_are_not_added_to_older_ones(capsys, tmp_path):
    Record(tmp_path).append(stage="a", item="x", status="done")
    assert "is there already" in refused(capsys, "--rehearse", "--out", str(tmp_path))


def test_only_the_stages_that_are_named():
    assert [s.letter for s in table.chosen(["f", "b"])] == ["b", "f"]
    assert table.chosen([]) == list(table.STAGES)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
    ],
)
def test_the_folder_of_a_gpu(name, short):
    assert on_gpu.short_name(name) == short


# Stages


def test_the_headline_rows_are_in_the_suite():
    names = [f"{c.row} {c.variant}" for c in suite.cases((), "full", "cuda")]
    for name in rows.HEADLINE:
        assert name in names or name in ("W10", "W11"), name


def test_what_memcheck_says_belongs_to_a_program(tmp_path):
    record = Record(tmp_path)
    reader = sanitizer.Reader(Work("c", record, time.time() + 60), "memcheck")
    for line in """\
========= COMPUTE-SANITIZER
program: chain
program: sum
========= Invalid __global__ write of size 4 bytes
=========     at sweep+0x120
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f32c7400400 is out of bounds
=========
programs: end
========= ERROR SUMMARY: 1 error""".splitlines():
        reader.line(line)
    assert statuses(record, "c") == {"memcheck: chain": "done", "memcheck: sum": "failed"}
    assert "Invalid __global__ write" in record.items("c")["memcheck: sum"]["error"]
    assert reader.errors == 1


def test_a_tool_that_is_missing_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(sanitizer.tools, "find", lambda name: (_ for _ in ()).throw(Skip("no")))
    record = Record(tmp_path)
    sanitizer.run(Work("c", record, time.time() + 60))
    assert set(statuses(record, "c").values()) == {"skipped"}


def test_counters_are_put_beside_what_was_predicted(tmp_path):
    head = '"ID","Kernel Name","Block Size","Grid Size","Metric Name","Metric Unit","Metric Value"'
    lines = [
        "==PROF== Connected to process 7 (/usr/bin/python3.12)",
        head,
        '"0","cupy_fill(float *)","(128, 1, 1)","(1, 1, 1)","dram__bytes_read.sum","byte","32"',
        '"1","sweep","(256, 1, 1)","(132, 2, 1)","dram__bytes_read.sum","byte","4,194,304"',
        '"1","sweep","(256, 1, 1)","(132, 2, 1)","gpu__time_duration.sum","nsecond","n/a"',
    ]
    kernels = counters.with_digests(counters.parse(lines), [{"name": "sweep", "digest": "abc"}])
    assert [k.get("digest") for k in kernels] == [None, "abc"]
    assert kernels[1]["dram_read"] == 4194304
    assert kernels[1]["grid"] == 264
    path = tmp_path / "counted.json"
    assert counters.counted(path) == {}
    predicted = {"name": "sweep", "dram_read": 4000000, "seconds": 1e-3, "binding": "DRAM"}
    predicted["instructions"] = {"fp32": 100.0, "load": 20.0}
    row = {"id": "W1", "variant": "x", "kernels": [predicted]}
    path.write_text(json.dumps({"gpu": "H200", "rows": [row]}))
    found = counters.beside(kernels, counters.counted(path)["W1 x"])
    assert found["dram_read"] == [4194304, 4000000]
    assert found["instructions"][1] == 120
    assert found["binding"] == ["DRAM"]
    saved = counters.counted()
    assert all(k["instructions"] > 0 for kernels in saved.values() for k in kernels)
    assert {name.split()[0] for name in saved} >= {"W1", "W2", "W3", "W4", "W5", "W6", "W7"}


def test_large_data_repeats_a_block(monkeypatch):
    monkeypatch.setattr(local.Repeated, "BLOCK", 101)
    x = local.Repeated(1).standard_normal((50, 4))
    assert x.shape == (50, 4)
    assert (x.ravel()[:99] == x.ravel()[101:]).all()
    assert local.Repeated(1).integers(0, 3, 5).shape == (5,)


def test_rehearsed_cases_are_small():
    for case in suite.cases((), "full", "cuda"):
        args, tangents = rehearsal.smaller(case).data
        assert sum(x.nbytes for x in (*args, *tangents)) < 1e8, case.key


# The README's table


def measured_row(**about):
    ours = {"median_s": 2e-3, "max_rel_err": 1e-6}
    peers = {"jax.jit": {"median_s": 5e-3}}
    row = {"id": "W2", "variant": "HVP d=4", "ours": ours, "peers": peers, "best_peer": "jax.jit"}
    return {"stage": "d", "item": "W2 HVP d=4 beside jax.jit", "status": "done", **row, **about}


def test_the_table_has_what_was_measured_and_says_what_was_not(tmp_path):
    rows = readme.table(tmp_path).splitlines()[2:]
    assert all(row.count("unmeasured") == len(readme.GPUS) for row in rows)
    (tmp_path / "h200").mkdir()
    Record(tmp_path / "h200").append(**measured_row(share_of_copy=0.9))
    text = readme.table(tmp_path)
    assert "| W2 HVP d=4 | unmeasured |  |  | 2.00 ms | 2.50 | 90% |" in text


def test_the_table_has_nothing_rehearsed(tmp_path):
    (tmp_path / "h200").mkdir()
    Record(tmp_path / "h200").append(rehearsed=True)
    Record(tmp_path / "h200").append(**measured_row())
    assert "2.00 ms" not in readme.table(tmp_path)
