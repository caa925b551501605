"""The benchmark suite: every row's mathematics, the protocol, the files and the command line."""

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import (
    growth,
    measure,
    memory,
    namespaces,
    oracle,
    peers,
    report,
    suite,
    widths,
    worker,
)  # fmt: skip
from benchmarks.rows import bundle, chain, glm, gmm, latency, mlp, pairs, pinn, rosenbrock, solves
from benchmarks.worker import EngineDied, EngineFailed, Remote, Session

TINY = {
    "L0": suite.Case(
        "L0", "tiny", latency.objective, partial(latency.make, d=5), derivative="powers",
        exact=lambda x, a, v: ((a + 3 * x * x) ** 3 * v,), calls=3,
    ),
    "chain": suite.Case("W1", "tiny", chain.chain, partial(chain.make_chain, n=7)),
    "options": suite.Case(
        "W1", "tiny", chain.black_scholes, partial(chain.make_options, n=4), active=(0, 1, 2, 3, 4)
    ),
    "rosenbrock": suite.Case(
        "W2", "tiny", rosenbrock.objective, partial(rosenbrock.make, n=3, d=4, hessians=False),
        exact=rosenbrock.exact_product,
    ),
    "hessians": suite.Case(
        "W2", "tiny", rosenbrock.objective, partial(rosenbrock.make, n=3, d=4, hessians=True),
        exact=rosenbrock.exact_hessians, derivative="hessians",
    ),
    "logistic": suite.Case(
        "W3", "tiny", glm.logistic, partial(glm.make_logistic, n=9, d=3, m=1),
        exact=glm.exact_logistic,
    ),
    "logistic m=2": suite.Case(
        "W3", "tiny", glm.logistic, partial(glm.make_logistic, n=9, d=3, m=2),
        exact=glm.exact_logistic, derivative="hvps",
    ),
    "softmax": suite.Case(
        "W3", "tiny", glm.softmax, partial(glm.make_softmax, n=9, d=3, classes=4),
        exact=glm.exact_softmax,
    ),
    "gmm": suite.Case(
        "W4", "tiny", gmm.objective, partial(gmm.make, n=6, d=3, k=2), active=(0, 1, 2, 3)
    ),
    "bundle": suite.Case(
        "W5", "tiny", bundle.objective, partial(bundle.make, cameras=2, points=4, observations=6),
        active=(0, 1),
    ),
    "pairs": suite.Case(
        "W6", "tiny", pairs.objective, partial(pairs.make, n=6, m=1), exact=pairs.exact
    ),
    "pairs m=2": suite.Case(
        "W6", "tiny", pairs.objective, partial(pairs.make, n=6, m=2), exact=pairs.exact,
        derivative="hvps",
    ),
    "laplacian": suite.Case(
        "W7", "tiny", pinn.network, partial(pinn.make, n=5, widths=(2, 4, 3, 1), target=False),
        derivative="laplacian", exact=pinn.exact_laplacian,
    ),
    "training": suite.Case(
        "W7", "tiny", pinn.residual_network,
        partial(pinn.make, n=5, widths=(2, 4, 3, 1), target=True),
        active=tuple(range(1, 7)), derivative="residual_gradient",
    ),
    "solves": suite.Case(
        "W14", "tiny", solves.objective, partial(solves.make, n=40, d=3), active=(0, 1),
        exact=solves.exact,
    ),
    "mlp": suite.Case(
        "R1", "tiny", mlp.objective, partial(mlp.make, n=5, widths=(6, 4, 3)), active=(2, 3, 4, 5)
    ),
}  # fmt: skip


def doubles(case):
    return tuple(case.cast(arrays, "float64") for arrays in case.data)


def along(case, args, tangents, step):
    """The NumPy objective with its active arguments moved by step times the tangents."""
    moved = list(args)
    for i, t in zip(case.active, tangents, strict=True):
        moved[i] = args[i] + step * t
    return case.objective(namespaces.numpy_namespace(), *moved)


def curvature(case, args, tangents, h):
    """t.H t by the central difference of order 4."""
    weights = {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12}
    return sum(w * along(case, args, tangents, k * h) for k, w in weights.items()) / h**2


class InProcess(Session):
    """A session beside the test, with the handle's `call`; it opens the case it was made with."""

    def __init__(self, name, case):
        super().__init__(peers.ENGINES[name]("cpu", 1), "small", "cpu")
        self.given = case

    def open(self, key, dtype=None):
        self.case = self.given
        self.operands = self.engine.operands(self.case, dtype or self.case.dtype)
        return self.engine.names(self.case)

    def call(self, method, *arguments):
        try:
            return getattr(self, method)(*arguments)
        except Exception as error:
            raise EngineFailed(str(error)) from error


@functools.cache
def expected_of(name):
    engine_or_skip("jax.jit")
    return oracle.reference(TINY[name], InProcess("jax.jit", TINY[name]))


def engine_or_skip(name):
    if name == "gpuad":
        try:
            peers.Gpuad("cpu", 1)
        except (ImportError, AttributeError, ValueError) as error:
            pytest.skip(f"gpuad lacks what the rows use: {error}")
    if not peers.installed(name):
        pytest.skip(f"{peers.ENGINES[name].package} is not installed")


@pytest.mark.parametrize("name", [name for name, case in TINY.items() if case.derivative == "hvp"])
def test_products_agree_with_finite_differences(name):
    case, product = TINY[name], expected_of(name)
    args, tangents = doubles(case)
    found = sum(float((t * p).sum()) for t, p in zip(tangents, product, strict=True))
    assert found == pytest.approx(curvature(case, args, tangents, 2e-3), rel=1e-5, abs=1e-5)


def test_laplacian_agrees_with_finite_differences():
    case = TINY["laplacian"]
    args, _ = doubles(case)
    value, gradient, laplacian = case.exact(*args)
    u = partial(case.objective, namespaces.numpy_namespace())
    h, total = 1e-3, 0.0
    for k, e in enumerate(np.eye(2)):
        up, down = u(args[0] + h * e, *args[1:]), u(args[0] - h * e, *args[1:])
        np.testing.assert_allclose(gradient[:, k], (up - down) / (2 * h), atol=1e-5)
        total = total + (up - 2 * value + down) / h**2
    np.testing.assert_allclose(laplacian, total, atol=1e-5)


def test_training_gradient_agrees_with_finite_differences():
    case, gradient = TINY["training"], expected_of("training")
    args, _ = doubles(case)
    directions = [np.cos(np.arange(g.size)).reshape(g.shape) for g in gradient]

    def loss(step):
        moved = [a + step * d for a, d in zip(args[1:-1], directions, strict=True)]
        return np.mean((pinn.exact_laplacian(args[0], *moved)[2] - args[-1]) ** 2)

    found = sum(float((g * d).sum()) for g, d in zip(gradient, directions, strict=True))
    assert found == pytest.approx((loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("engine", ["gpuad", "jax.jit", "torch.func", "autograd"])
@pytest.mark.parametrize("name", TINY)
@pytest.mark.filterwarnings("ignore")  # the peers' own
def test_every_formulation_is_right(engine, name):
    engine_or_skip(engine)
    expected, case = expected_of(name), TINY[name]
    session = InProcess(engine, case)
    for way in session.open(case.key):
        session.first(way)
        assert oracle.relative_error(session.output(way), expected) < 1e-4, way


def test_ba_projection_is_a_rotation_then_a_pinhole():
    xp = namespaces.numpy_namespace()
    rotated = bundle.rotate(xp, (0.1, -0.2, 0.3), (1.0, 2.0, 3.0))
    scipy_rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    turn = scipy_rotation.from_rotvec([0.1, -0.2, 0.3])
    np.testing.assert_allclose(rotated, turn.apply([1.0, 2.0, 3.0]), rtol=1e-12)
    camera = (1e-9, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.5, -0.5, 0.0, 0.0)
    np.testing.assert_allclose(bundle.project(xp, camera, (1.0, 2.0, 4.0)), (1.0, 0.5), atol=1e-6)


def test_mixture_factor_is_lower_triangular_by_columns():
    place = gmm.places(3).reshape(3, 3)
    assert place.tolist() == [[0, 6, 6], [3, 1, 6], [4, 5, 2]]


def test_black_scholes_price_of_a_known_option():
    one = (np.array([x]) for x in (100.0, 100.0, 1.0, 0.05, 0.2))
    assert chain.black_scholes(namespaces.numpy_namespace(), *one) == pytest.approx(10.45058357)


class Fake:
    """An engine whose formulations return or raise what it is told."""

    def __init__(self, outputs, seconds=1.0):
        self.outputs, self.seconds, self.runs = outputs, seconds, 0

    def call(self, method, *arguments):
        if method == "open":
            return list(self.outputs)
        if method == "output":
            return (self.outputs[arguments[0]],)
        if method == "run":
            self.runs += 1
        answers = {"first": 2.0, "run": self.seconds, "peak": 8, "unjitted": 3.0}
        answers |= {"rested": 3 * self.seconds}
        answers |= {"with_gradient": (0.1, 0.5, 0.9), "close": None}
        account = dict.fromkeys(("peak_bytes", "bytes_moved", "launches"))
        return account if method == "explain" else answers[method]


def measured(**engines):
    named = {name.replace("_", "."): engine for name, engine in engines.items()}
    return measure.measure(TINY["rosenbrock"], named, named, None, 5, 1)


@pytest.fixture
def right():
    case = TINY["rosenbrock"]
    return case.exact(*(a for arrays in doubles(case) for a in arrays))[0]


def test_a_wrong_peer_is_reported_and_not_timed(right):
    wrong = Fake({"hvp": right + 1})
    row = measured(gpuad=Fake({"hvp": right}), jax_jit=wrong, torch_func=Fake({"a": right}, 2.0))
    assert row["peers"]["jax.jit"].keys() == {"error"}
    assert row["peers"]["jax.jit"]["error"].startswith("wrong: rel err ")
    assert wrong.runs == 0
    assert row["best_peer"] == "torch.func"
    assert row["ratio_to_best"] == 2.0


def test_not_finite_or_misshapen_is_wrong(right):
    row = measured(gpuad=Fake({"hvp": right * np.nan}), jax_jit=Fake({"hvp": right[:1]}))
    assert row["ours"]["error"].startswith("wrong: rel err inf")
    assert "shape" in row["peers"]["jax.jit"]["error"]
    assert row["ratio_to_best"] is None


def test_a_peer_is_timed_in_its_best_formulation(right):
    class TwoWays(Fake):
        def call(self, method, *arguments):
            answer = super().call(method, *arguments)
            return answer / 4 if (method, *arguments) == ("run", "quick") else answer

    row = measured(gpuad=Fake({"hvp": right}), jax_jit=TwoWays({"slow": right, "quick": right}))
    assert row["peers"]["jax.jit"]["formulation"] == "quick"
    assert row["peers"]["jax.jit"]["tried"] == {"slow": 1.0, "quick": 0.25}
    assert row["ratio_to_best"] == 0.25


def test_a_peer_is_tried_as_often_however_fast_we_are(right):
    ways = Fake({"a": right, "b": right}, 0.01)
    measured(gpuad=Fake({"hvp": right}, 0.0001), jax_jit=ways)
    assert ways.runs == 2 * measure.TRIALS + 5


def test_a_hopeless_peer_rests_after_the_screen(right):
    row = measured(
        gpuad=Fake({"hvp": right}), jax_jit=Fake({"a": right}), autograd=Fake({"a": right}, 9.0)
    )
    assert row["peers"]["autograd"]["runs"] == measure.screening(5) < 5
    assert row["peers"]["jax.jit"]["runs"] == row["ours"]["runs"] == 5


def test_json_has_the_agreed_schema(right, tmp_path):
    row = measured(gpuad=Fake({"hvp": right}), jax_jit=Fake({"hvp": right}))
    meta = dict.fromkeys(("commit", "versions", "device", "threads", "date"))
    path = tmp_path / "results.json"
    report.save_json(path, meta, [row])
    (read,) = json.loads(path.read_text())["rows"]
    assert read.keys() >= {"id", "variant", "dtype", "ours", "peers", "ratio_to_best"}
    assert read["ours"].keys() >= {
        "median_s", "min_s", "rested_s", "first_s", "peak_bytes", "predicted_peak_bytes",
        "launches", "bytes_moved", "bytes_floor", "max_rel_err", "grad_s", "beside_grad_s",
        "value_s", "first_unjitted_s",
    }  # fmt: skip
    assert read["ours"]["bytes_floor"] == 3 * 3 * 4 * 4


def test_chart_and_table_take_rows_with_and_without_results(right, tmp_path):
    pytest.importorskip("matplotlib")
    good = measured(gpuad=Fake({"hvp": right}), jax_jit=Fake({"hvp": right}, 3.0))
    bad = measured(gpuad=Fake({"hvp": right + 1}), jax_jit=Fake({"hvp": right}))
    meta = {"device": "cpu", "threads": 1, "size": "small", "versions": {"jax": "1"}}
    report.save_chart(tmp_path / "chart.png", meta, [good, bad])
    assert (tmp_path / "chart.png").stat().st_size > 1000
    assert report.table([good, bad]).row_count == 2
    assert report.mean_ratio([good, bad]) == pytest.approx(3.0)


def test_calls_after_a_pause_are_reported(right):
    hopeless = Fake({"a": right}, 9.0)
    row = measured(gpuad=Fake({"hvp": right}), jax_jit=Fake({"hvp": right}, 2.0), autograd=hopeless)
    assert (row["ours"]["rested_s"], row["peers"]["jax.jit"]["rested_s"]) == (3.0, 6.0)
    assert row["peers"]["autograd"]["rested_s"] is None
    assert report.after_pause(row) == "3.00 s, 2.00×"
    header, _, line, mean, _ = report.markdown([row]).split("\n")
    assert header.endswith("| ratio | after a pause |") and line.endswith("| 3.00 s, 2.00× |")
    assert header.count("|") == line.count("|") == mean.count("|")


def test_rows_from_before_pauses_were_measured_have_no_column(right):
    row = measured(gpuad=Fake({"hvp": right}))
    del row["ours"]["rested_s"]
    assert "pause" not in report.markdown([row])
    assert report.after_pause(row) == "–"


def test_a_peer_that_dies_after_a_pause_is_reported(right):
    class Tired(Fake):
        def call(self, method, *arguments):
            if method == "rested":
                raise EngineDied("asleep")
            return super().call(method, *arguments)

    row = measured(gpuad=Fake({"hvp": right}), jax_jit=Tired({"hvp": right}))
    assert row["peers"]["jax.jit"] == {"error": "asleep"}
    assert row["best_peer"] is None and row["ours"]["rested_s"] == 3.0


def test_of_two_runs_the_worse_row_is_kept(right):
    good = measured(gpuad=Fake({"hvp": right}), jax_jit=Fake({"hvp": right}, 3.0))
    bad = good | {"ratio_to_best": 0.5, "dates": ["yesterday"]}
    none = good | {"ratio_to_best": None}
    today = good["dates"]
    assert report.worse([good], [bad]) == [bad | {"dates": ["yesterday", *today]}]
    assert report.worse([bad], [good]) == [bad | {"dates": [*today, "yesterday"]}]
    assert report.worse([bad], [none]) == [none | {"dates": [*today, "yesterday"]}]


def test_an_earlier_run_without_dates_of_rows_has_its_own(tmp_path):
    file = tmp_path / "old.json"
    file.write_text('{"meta": {"date": "yesterday"}, "rows": [{"id": "W1"}]}')
    meta, rows = command.earlier_run(str(file))
    assert meta == {"date": "yesterday"} and rows == [{"dates": ["yesterday"], "id": "W1"}]


def test_a_row_of_one_run_alone_is_kept_in_its_place(right):
    row = measured(gpuad=Fake({"hvp": right}))
    first, second, third = (row | {"variant": name} for name in "abc")
    assert report.worse([third], [first, second]) == [first, second, third]
    again = second | {"dates": ["today"]}
    merged = report.worse([again], [first, second])
    assert [row["variant"] for row in merged] == ["a", "b"]
    assert [len(row["dates"]) for row in merged] == [1, 2]


def test_an_engine_that_a_case_is_not_written_for_is_left_out(right):
    case = dataclasses.replace(TINY["rosenbrock"], engines=("gpuad",))
    engines = {name: Fake({"hvp": right}) for name in ("gpuad", "jax.jit")}
    assert measure.measure(case, engines, {}, None, 5, 1)["peers"] == {}
    assert engines["jax.jit"].runs == 0


@pytest.mark.parametrize("engine", ["gpuad", "jax.jit"])
@pytest.mark.parametrize("derivative", ["value", "gradient"])
def test_values_and_gradients_are_cases_too(engine, derivative):
    def make(rng):
        x = rng.standard_normal((2, 3))
        return [x[0] + 1j * x[1], x[0]], []

    def objective(xp, z, x):
        return xp.sum((z * (z + x).conj()).real ** 2)

    case = suite.Case("one", derivative, objective, make, derivative=derivative, dtype="float64")
    z, x = case.data[0]
    w = z + x
    slope = 2 * (z * w.conj()).real
    expected = {"value": (slope**2 / 4).sum(), "gradient": (slope * (w + z)).conj()}[derivative]
    session = InProcess(engine, case)
    session.first(*session.open(case.key))
    assert oracle.relative_error(session.output(derivative), (expected,)) < 1e-14
    assert case.bytes_floor == z.nbytes + x.nbytes + {"value": 8, "gradient": 48}[derivative]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["W99"], "unknown row W99; the rows are L0, W1"),
        (["--peers", "jax,mxnet"], "unknown peer mxnet; give none or some of jax,torch,autograd"),
        (["--repeats", "0"], "'0' is not a positive number"),
        (["--json", "no/such/folder/x.json"], "does not exist"),
        (["--size", "huge"], "invalid choice"),
        (["--worse-of", "no.json"], "no.json is not what --json writes"),
    ],
)
def test_command_line_errors_name_what_is_valid(arguments, says, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_cases_have_names_of_their_own(size, device):
    cases = list(suite.cases([], size, device))
    assert {case.row for case in cases} == set(suite.ROWS)
    assert len({case.key for case in cases}) == len(cases)


def test_without_an_oracle_the_error_says_what_to_install():
    with pytest.raises(RuntimeError, match="install jax, torch or autograd"):
        oracle.reference(TINY["chain"], None)


def test_peak_is_seen_and_a_small_call_is_not():
    if not memory.CLEAR_REFS.exists():
        pytest.skip("needs Linux's /proc")
    assert memory.peak_rise(lambda: np.ones(4_000_000)) == pytest.approx(32e6, rel=0.05)
    assert memory.peak_rise(lambda: None) < 1e6


def test_an_engine_that_dies_as_it_begins_is_reported(monkeypatch):
    monkeypatch.setattr(worker, "serve", os._exit)  # called with other arguments: it raises
    remote = Remote("gpuad", "small", "cpu", 1, 20.0)
    for _ in range(2):
        with pytest.raises(EngineDied, match="as it began"):
            remote.call("open", ("L0", "d=100"))


@pytest.mark.skipif(importlib.util.find_spec("autograd") is None, reason="autograd not installed")
def test_an_engine_in_its_own_process_answers_fails_and_ends():
    remote = Remote("autograd", "small", "cpu", 1, 20.0)
    try:
        ways = remote.call("open", ("L0", "d=100"))
        remote.call("first", ways[0])
        assert remote.call("run", ways[0]) > 0
        with pytest.raises(EngineFailed, match="KeyError: 'no such way'"):
            remote.call("run", "no such way")
        process = remote.process
    finally:
        remote.stop()
    assert not process.is_alive()


# Growth with rows


def point(rows, seconds, peak, program="chain"):
    return growth.Point(program, rows, seconds, seconds, 1.0, peak, peak, 8 * rows, 3, 1)


@pytest.mark.parametrize("program", growth.PROGRAMS, ids=lambda p: p.name)
def test_growth_measures_each_program(program):
    engine_or_skip("gpuad")
    few, many = growth.grow([program], [20, 5], 2, 1)
    assert (few.rows, many.rows) == (5, 20)
    assert few.program == program.name and few.runs == 2 and few.calls >= 1
    assert 0 < few.min_s <= few.median_s <= few.first_s
    assert many.argument_bytes > few.argument_bytes > 0
    assert many.predicted_peak_bytes >= few.predicted_peak_bytes > 0


def test_growth_checks_before_it_measures():
    engine_or_skip("gpuad")

    class Wrong(peers.Gpuad):
        def fetch(self, outputs):
            return tuple(x + 1 for x in super().fetch(outputs))

    case = growth.PROGRAMS[0].case(4)
    growth.check(peers.Gpuad("cpu", 1), case)
    with pytest.raises(ArithmeticError, match="chain: wrong: rel err"):
        growth.check(Wrong("cpu", 1), case)


def test_growth_leaves_out_what_does_not_fit(monkeypatch):
    engine_or_skip("gpuad")
    monkeypatch.setattr(growth, "available_bytes", lambda: 1200)
    found = list(growth.grow([growth.small(2)], [10, 100, 25], 1, 1))
    assert [p and p.rows for p in found] == [10, 25, None]


def test_growth_fits_the_power_of_the_rows():
    steady = [point(n, 3e-9 * n, 100) for n in (10**5, 10**6, 10**7)]
    points = [point(10, 1.0, 100), *steady, point(10**5, 1.0, 8, "other")]
    by_program = growth.by_program(points)
    assert growth.exponent(by_program["chain"], growth.seconds_of) == pytest.approx(1.0)
    assert growth.exponent(by_program["chain"], growth.bytes_of) == pytest.approx(0.0)
    assert growth.exponent(by_program["other"], growth.seconds_of) is None


def test_growth_from_the_command_line(tmp_path, monkeypatch, capsys):
    engine_or_skip("gpuad")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(growth, "PROGRAMS", growth.PROGRAMS[:2])
    monkeypatch.setattr(growth.machine, "busy_share", lambda: 0.0)
    monkeypatch.setenv("GPUAD_NUM_THREADS", "1")
    files = [tmp_path / "growth.json", tmp_path / "growth.png"]
    options = ["--rows", "1e1", "40", "--repeats", "2", "--threads", "1"]
    assert growth.main([*options, "--json", str(files[0]), "--plot", str(files[1])]) == 0
    read = json.loads(files[0].read_text())
    assert [(p["program"], p["rows"]) for p in read["points"]] == [
        ("chain", 10), ("chain", 40), ("Rosenbrock 2", 10), ("Rosenbrock 2", 40),
    ]  # fmt: skip
    assert read["exponents"].keys() == {"chain", "Rosenbrock 2"}
    assert files[1].stat().st_size > 1000
    shown = capsys.readouterr().out
    assert "Rosenbrock 2" in shown and "grows as" in shown


@pytest.mark.parametrize("rows", ["0", "-5", "1.5", "many"])
def test_growth_refuses_what_is_no_number_of_rows(rows, capsys):
    with pytest.raises(SystemExit):
        growth.main([f"--rows={rows}"])
    assert f"'{rows}' is not a number of rows" in capsys.readouterr().err


def test_digests_show_what_differs(tmp_path, monkeypatch, capsys):
    digests = pytest.importorskip("benchmarks.digests", reason="compilers are missing")
    monkeypatch.setattr(digests, "SIZES", [("small", "cpu")])
    before = tmp_path / "before.json"
    assert digests.main(["W2", "--out", str(before)]) == 0
    assert digests.main(["W2", "--against", str(before)]) == 0
    monkeypatch.setattr(digests, "show", lambda plan: "another plan")
    assert digests.main(["W2", "--against", str(before)]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert "differs: W2 HVP d=4, small on cpu: plan" in shown
    assert all(": plan" in line for line in shown if line.startswith("differs"))


def test_widths_from_the_command_line(monkeypatch, capsys):
    engine_or_skip("gpuad")
    monkeypatch.setenv("GPUAD_NUM_THREADS", "1")
    monkeypatch.setattr(widths, "ROUNDS", 1)
    assert widths.main(["W6", "--seconds", "0"]) == 0
    shown = capsys.readouterr().out
    assert "N=512 m=8" in shown and "512 bits" in shown and "chosen" in shown


def test_what_is_missing_is_named_with_the_command_that_brings_it():
    code = (
        "import sys, runpy; sys.modules['rich'] = None; "
        "runpy.run_module('benchmarks', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(command.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "benchmarks: rich is not installed; run: pip install -e '.[bench]'" in done.stderr
