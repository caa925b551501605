"""Stage b: tests/cuda, the quickest and most telling first, each result written as it comes."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from benchmarks.stages.record import BROKEN, Work, gpu_is_lost
from benchmarks.stages.running import ROOT

FOLDER = ROOT / "tests" / "cuda"
ORDER = (
    "test_one_launch_is_enough_for_a_chain",
    "test_a_family_gives_the_reference_results",
    "test_a_row_of_the_suite",
    "test_replay_gives_the_same_and_refuses_other_buffers",
    "test_launches_are_those_of_the_plan",
    "test_products_are_captured",
    "test_nothing_waits_for_the_host",
    "test_arrays_that_do_not_lie_in_order",
    "test_a_hundred_runs_are_the_same",
    "test_families_at_sizes_that_fill_the_gpu",
)
"""The first ones; the others come in the order of their file."""
QUICK = 8
"""Tests for one item of another stage, where only some are run."""
THREADS = ("test_two_threads_at_once", "test_products_on_two_threads_at_once")
"""Not rehearsed: the pretended GPU captures for one thread."""
QUIET = [f"-Wdefault::{kind}Warning" for kind in ("Deprecation", "PendingDeprecation", "Future")]
"""Of other packages' versions, which are not those that our tests choose."""


def run(work: Work) -> None:
    reporter = Reporter(work)
    options = ["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", "--tb=short"]
    code = pytest.main([str(FOLDER), "-q", *options, *QUIET], plugins=[reporter])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        raise SystemExit(f"pytest ended with {code!r}")


class Reporter:
    """A plugin of pytest's: chooses and sorts the tests, and writes what becomes of each."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.reports: list[Any] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=rank)
        for item in items:
            if self.work.rehearsed and item.name in THREADS:
                item.add_marker(pytest.mark.skip(reason="the pretended GPU has one thread"))
        names = {name_of(x.nodeid): x for x in items}
        items[:] = [names[name] for name in self.work.pending(names, QUICK)]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.reports = []
        self.start = time.time()
        self.work.begin(name_of(nodeid))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.reports.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        failed = next((r for r in self.reports if r.failed), None)
        skipped = next((r for r in self.reports if r.skipped), None)
        found: dict[str, Any] = {"seconds": round(time.time() - self.start, 3)}
        status = "failed" if failed else "skipped" if skipped else "done"
        if failed:
            found["error"] = message(failed)
            print("\n" + str(failed.longrepr), flush=True)
        elif skipped:
            found["why"] = str(skipped.longrepr[-1])
        self.work.write(name_of(nodeid), status, **found)
        if failed and gpu_is_lost():
            os._exit(BROKEN)

    def pytest_runtest_teardown(self, item: Any) -> None:
        if self.work.seconds_left <= 0:
            item.session.shouldstop = "the stage's time is over"


def rank(item: Any) -> int:
    name = getattr(item, "originalname", item.name)
    return ORDER.index(name) if name in ORDER else len(ORDER)


def name_of(nodeid: str) -> str:
    return nodeid.partition("::")[2]


def message(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return (text.strip().splitlines() or ["failed"])[0][:300]
