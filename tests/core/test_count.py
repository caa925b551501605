"""Counting: times at least, machine instructions by class, counts at full size, the command."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from benchmarks import count, counters, emulated, reduced, roofline, sass, suite
from benchmarks.roofline import GPUS, Counts
from benchmarks.rows import glm, rosenbrock
from gpuad.codegen.cuda import source, toolchain

H100, H200 = GPUS["H100"], GPUS["H200"]
compiles = pytest.mark.skipif(not toolchain.available(), reason="numba-cuda is not installed")


# Time at least


def test_a_copy_takes_its_bytes_at_the_speed_of_a_copy():
    counts = Counts(grid=1 << 16, threads=256, registers=16, dram_read=1e9, dram_written=1e9)
    bound = roofline.bound(counts, H200)
    assert bound.binding == "DRAM"
    assert bound.seconds == pytest.approx(2e9 / (0.9 * 4.8e12))
    assert roofline.bound(counts, H100).seconds == pytest.approx(2e9 / (0.9 * 3.35e12))


@pytest.mark.parametrize(
    ("instructions", "binding", "clocks"),
    [
        ({"fma": 1e6}, "issue", 1e6 / 4),  # as many lanes as four schedulers fill
        ({"fma": 5e5, "alu": 1e5}, "issue", 6e5 / 4),
        ({"alu": 1e6}, "ALU", 1e6 / 2),
        ({"imad": 1e6, "fma": 1e6}, "FMA", 1e6 / 2 + 1e6 / 4),
        ({"xu": 1e6}, "XU", 2e6),
        ({"fp64": 1e6}, "FP64", 1e6 / 2),
        ({"load": 1e6, "shuffle": 1e6}, "LSU", 2e6),
    ],
)
def test_instructions_take_the_clocks_of_their_unit(instructions, binding, clocks):
    counts = Counts(grid=132 * 64, threads=256, registers=32, instructions=instructions)
    bound = roofline.bound(counts, H200)
    assert bound.times[binding] == pytest.approx(clocks / 132 / 1.98e9)
    assert bound.seconds == pytest.approx(bound.times[binding])


def test_multiprocessors_without_a_block_do_nothing():
    one = Counts(grid=1, threads=256, registers=32, instructions={"fma": 1e6})
    assert roofline.bound(one, H200).seconds == pytest.approx(1e6 / 4 / 1.98e9)
    uneven = Counts(grid=133, threads=1024, registers=32, instructions={"fma": 1e6})
    assert roofline.bound(uneven, H200).times["issue"] == pytest.approx(2 / 133 * 1e6 / 4 / 1.98e9)


def test_latency_binds_where_few_bytes_are_in_flight():
    counts = Counts(grid=132, threads=32, registers=32, dram_read=1e9, in_flight=4)
    assert roofline.bound(counts, H200).times["latency"] == pytest.approx(
        1e9 * 700e-9 / (132 * 32 * 4)
    )
    again = Counts(grid=132, threads=32, registers=32, dram_read=1e9, l2_read=4e9, rounds=1)
    assert roofline.bound(again, H200).times["rounds"] == pytest.approx(400e-9)
    waits = Counts(grid=132 * 8 + 1, threads=256, registers=32, dram_read=1e9, rounds=10)
    assert roofline.bound(waits, H200).times["rounds"] == pytest.approx(2 * 10 * 700e-9)


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "blocks", "part", "limit"),
    [  # as the CUDA occupancy calculator says for compute capability 9.0
        (256, 32, 0, 8, 1.0, "threads"),
        (256, 33, 0, 6, 0.75, "registers"),
        (256, 64, 0, 4, 0.5, "registers"),
        (256, 255, 0, 1, 0.125, "registers"),
        (1024, 33, 0, 1, 0.5, "registers"),
        (96, 40, 0, 16, 0.75, "registers"),
        (32, 32, 0, 32, 0.5, "blocks"),
        (128, 32, 48 * 1024, 4, 0.25, "shared memory"),
        (128, 32, 227 * 1024, 1, 0.0625, "shared memory"),
    ],
)
def test_occupancy(threads, registers, shared, blocks, part, limit):
    found = roofline.occupancy(threads, registers, shared, H200)
    assert (found.blocks, found.part, found.limit) == (blocks, part, limit)


# Machine instructions

LISTING = """\t.section\t.text.sweep,"ax",@progbits
.text.sweep:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
\t//## File "k.ptx", line 11
        /*0010*/                   IMAD.MOV.U32 R2, RZ, RZ, R4 ;
        /*0020*/              @!P0 LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
\t//## File "k.ptx", line 12
        /*0030*/                   MUFU.RCP R5, R4 ;
        /*0040*/                   FFMA R6, R5, R4, -1 ;
        /*0050*/              @!P1 BRA `(.L_x_1) ;
        /*0060*/                   MOV R7, 0x80 ;
        /*0070*/                   CALL.REL.NOINC `($sweep$__internal_0_$__cuda_sm3x_div_slowpath) ;
.L_x_1:
\t//## File "k.ptx", line 13
        /*0080*/                   ULDC.64 UR4, c[0x0][0x208] ;
        /*0090*/                   STG.E desc[UR4][R2.64], R6 ;
        /*00a0*/                   EXIT ;
"""


def test_instructions_of_a_listing_by_line_and_class():
    assert {line: +counts for line, counts in sass.by_line(LISTING).items()} == {
        11: {"imad": 1, "load": 1},
        12: {"xu": 1, "fma": 1, "control": 1},  # without the slow path of the division
        13: {"uniform": 1, "store": 1, "control": 1},
    }


DIVERGING = """\t.section\t.text.sweep,"ax",@progbits
.text.sweep:
\t//## File "k.ptx", line 3
        /*0010*/                   BRA.DIV UR4, `(.L_x_2) ;
        /*0020*/                   SHFL.BFLY PT, R4, R5, 0x10, 0x1f ;
.L_x_4:
\t//## File "k.ptx", line 4
        /*0030*/                   FADD R5, R5, R4 ;
        /*0040*/                   EXIT ;
.L_x_2:
\t//## File "k.ptx", line 3
        /*0050*/                   WARPSYNC.COLLECTIVE R15, `(.L_x_3) ;
.L_x_3:
        /*0060*/                   SHFL.BFLY P6, R14, R13, R12, R11 ;
\t//## File "k.ptx", line 4
        /*0070*/                   FADD R5, R5, R4 ;
        /*0080*/                   BRA `(.L_x_4) ;
"""


def test_the_form_for_warps_whose_threads_are_apart_does_not_count():
    assert sass.by_line(DIVERGING) == {
        3: {"control": 1, "shuffle": 1},
        4: {"fma": 1, "control": 1},
    }


def instruction(line, op):
    return SimpleNamespace(line=line, op=tuple(op.split(".")))


def test_instructions_of_a_loop_that_was_written_out_are_those_of_one_round():
    block = SimpleNamespace(
        instrs=[instruction(3, "ld.global.f32"), instruction(4, "fma.rn.f32")],
    )
    lines = {3: {"load": 4, "alu": 2}, 4: {"fma": 4}}
    assert sass.of_blocks([block], lines) == [{"load": 1, "alu": 0.5, "fma": 1}]


def test_a_line_that_stands_in_two_blocks_is_shared_by_them():
    blocks = [SimpleNamespace(instrs=[instruction(3, "add.f32")]) for _ in range(2)]
    assert sass.of_blocks(blocks, {3: {"fma": 2}}) == [{"fma": 1}, {"fma": 1}]


def test_without_a_disassembler_instructions_are_guessed():
    ops = "ld.param.u64 mov.u32 ld.global.f32 fma.rn.f32 div.rn.f32 cvt.f32.s32 mul.lo.s64 bra"
    block = SimpleNamespace(instrs=[instruction(k, op) for k, op in enumerate(ops.split())])
    (found,) = sass.of_blocks([block], None)
    assert found == {"load": 1, "fma": 1 + 8, "xu": 1 + 1, "imad": 4, "control": 1}


# Cases at full size


def logistic(n):
    return suite.Case(
        "W3", "tiny", glm.logistic, partial(glm.make_logistic, n=n, d=64, m=1),
        exact=glm.exact_logistic, tolerance=1e-3,
    )  # fmt: skip


def small_problems(n):
    return suite.Case(
        "W2", "HVP d=4", rosenbrock.objective,
        partial(rosenbrock.make, n=n, d=4, hessians=False), exact=rosenbrock.exact_product,
    )  # fmt: skip


@pytest.fixture
def emulator(monkeypatch):
    return emulated.emulator(patch=monkeypatch)


@compiles
@pytest.mark.parametrize("make", [logistic, small_problems])
def test_counts_at_full_size_are_those_of_a_run_at_full_size(emulator, monkeypatch, make):
    monkeypatch.setattr(source, "BLOCKS", 16)  # so that blocks have several rounds of rows
    full, small = make(1 << 13), make(1 << 11)
    monkeypatch.setattr(reduced, "reduced", lambda case: small)
    scaled = count.predict(full, H200, emulator)
    monkeypatch.setattr(reduced, "reduced", lambda case: full)
    whole = count.predict(full, H200, emulator)
    assert scaled.plan == whole.plan == "same kernels"
    for a, b in zip(scaled.kernels, whole.kernels, strict=True):
        assert (a.family, a.grid, a.rows, a.digest) == (b.family, b.grid, b.rows, b.digest)
        for name in ("dram_read", "dram_written", "l2_read", "l2_written"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=0.02, abs=4096), name
        assert a.thread_instructions == pytest.approx(b.thread_instructions, rel=0.02)
        assert a.seconds == pytest.approx(b.seconds, rel=0.1)


def test_blocks_that_were_not_executed_touch_as_much_as_the_others():
    arrays = [(1000, 1000, 0), (1000, 0, 100)]  # read by all, and written in parts
    report = SimpleNamespace(sampled=0.25, dram_read=1000, dram_written=100, arrays=arrays)
    assert counters.traffic(report) == (1000, 400)
    report.sampled = 1
    assert counters.traffic(report) == (1000, 100)


@compiles
def test_a_part_of_the_blocks_counts_as_all_of_them(emulator, monkeypatch):
    case = small_problems(1 << 13)
    monkeypatch.setattr(reduced, "reduced", lambda case: case)
    whole = count.predict(case, H200, emulator)
    monkeypatch.setattr(reduced, "error_of", lambda case, outputs, operands: 0.0)
    monkeypatch.setattr(reduced, "sampled_blocks", lambda case: 8)
    part = count.predict(case, H200, emulator)
    for a, b in zip(part.kernels, whole.kernels, strict=True):
        assert (a.dram_read, a.dram_written) == pytest.approx((b.dram_read, b.dram_written))
        assert a.thread_instructions == pytest.approx(b.thread_instructions, rel=0.02)


# The command


@pytest.fixture
def tiny_suite(monkeypatch):
    monkeypatch.setattr(suite, "cases", lambda names, size, device: iter([small_problems(1 << 23)]))
    monkeypatch.setattr(reduced, "reduced", lambda case: small_problems((1 << 15) + 3))


@compiles
def test_the_command_counts_a_row(emulator, tiny_suite, tmp_path, capsys):
    files = tmp_path / "counted.json", tmp_path / "counted.md"
    options = ["W2", "--gpu", "H200", "--verbose", "--json", files[0], "--markdown", files[1]]
    assert count.main([str(x) for x in options], emulator) == 0
    shown, written = capsys.readouterr().out, json.loads(files[0].read_text())
    assert "counted, not measured: H200" in shown
    assert files[1].read_text().startswith("*counted, not measured: H200")
    assert written["heading"] == "counted, not measured"
    assert written["gpu"] == "H200"
    assert written["instructions"] in ("from machine code", "guessed from PTX")
    (row,) = written["rows"]
    assert row["error"] is None
    assert row["plan"] == "same kernels"
    assert row["moved"] == pytest.approx(row["compulsory"], rel=0.01)
    assert row["compulsory"] == 3 * 4 * (1 << 25)
    assert row["seconds"] >= row["floor_seconds"] * 0.999
    (kernel,) = row["kernels"]
    assert kernel["grid"] * kernel["threads"] == 1024 * 256
    assert kernel["dram_written"] == pytest.approx((1 << 25) * 4, rel=0.01)
    assert 0 < kernel["occupancy"] <= 1
    assert kernel["digest"][:8] in shown


@compiles
def test_wrong_results_are_errors_of_their_row(emulator, tiny_suite, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reduced, "error_of", lambda *_: 0.5)
    path = tmp_path / "counted.json"
    assert count.main(["W2", "--json", str(path)], emulator) == 1
    assert "wrong by 0.5" in capsys.readouterr().out
    (row,) = json.loads(path.read_text())["rows"]
    assert "wrong by 0.5" in row["error"]
    assert "seconds" not in row


@compiles
def test_findings_are_errors_of_their_row(emulator, tiny_suite, monkeypatch, capsys):
    plain = count.kernel_count
    race = {"findings": ["race in global memory, 1 times"]}
    monkeypatch.setattr(count, "kernel_count", lambda *a: replace(plain(*a), **race))
    assert count.main(["W2"], emulator) == 1
    assert "race in global memory" in capsys.readouterr().out


@compiles
def test_a_case_that_fails_does_not_stop_the_others(emulator, tiny_suite, monkeypatch, capsys):
    good = small_problems(1 << 23)
    bad = replace(good, variant="broken", objective=lambda xp, x: xp.no_such_function(x))
    monkeypatch.setattr(suite, "cases", lambda *_: iter([bad, good]))
    monkeypatch.setattr(
        reduced, "reduced", lambda c: replace(small_problems(1029), objective=c.objective)
    )
    assert count.main([], emulator) == 1
    shown = capsys.readouterr().out
    assert "broken: AttributeError" in shown
    assert "100%" in shown


@compiles
def test_without_a_disassembler_the_heading_says_so(emulator, tiny_suite, monkeypatch, capsys):
    monkeypatch.setattr(sass, "nvdisasm", lambda: None)
    assert count.main(["W2"], emulator) == 0
    assert "guessed from PTX" in capsys.readouterr().out


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        count.main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_an_unknown_row_is_refused(capsys):
    assert "unknown row W99; the rows are L0, W1" in refused(["W99"], capsys)


def test_what_is_missing_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(toolchain, "available", lambda: False)
    assert "pip install 'numba-cuda[cu13]" in refused(["W2"], capsys)
    monkeypatch.setattr(emulated, "TESTS", tmp_path)
    assert "run this in a clone of the repository" in refused(["W2"], capsys)


def test_a_compiler_that_does_not_exist_is_named(monkeypatch, capsys):
    monkeypatch.setenv("GPUAD_CUDA_COMPILER", "nvcc")
    assert "GPUAD_CUDA_COMPILER=nvcc names no compiler" in refused(["W2"], capsys)


def test_full_size_takes_no_memory():
    for case in suite.cases([], "full", "cuda"):
        args, tangents = reduced.shapes(case)
        small_args, small_tangents = reduced.shapes(reduced.reduced(case))
        for a, b in zip((*args, *tangents), (*small_args, *small_tangents), strict=True):
            assert a.dtype == b.dtype
            assert a.ndim == b.ndim
            assert not any(a.strides)
        assert reduced.compulsory_bytes(case, (args, tangents)) > 0
