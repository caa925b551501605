"""The side that starts a stage's process, watches what it writes, and ends it at its limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stages.record import BROKEN, LOG, Record
from benchmarks.stages.table import Stage

ROOT = Path(__file__).parents[2]
POLL = 0.1  # seconds
LEAST = 5.0
"""Seconds without which no stage is begun."""


@dataclass(frozen=True)
class Run:
    """A whole run: where it writes, when it ends, and what its stages are told."""

    record: Record
    end: float
    """By time.time()."""
    options: tuple[str, ...] = ()
    slower: float = 1.0
    """The factor on the time that an item may take."""
    command: tuple[str, ...] = (sys.executable, "-m", "benchmarks.stages")

    def next(self, stages: Sequence[Stage]) -> None:
        """The first of the stages that are left; it inherits what those before have not used."""
        stage, left = stages[0], self.end - time.time()
        share = stage.share / sum(s.share for s in stages)
        if left < LEAST:
            self.record.append(stage=stage.letter, status="not run", why="no time")
        else:
            self.stage(stage, max(LEAST, left * share))

    def stage(self, stage: Stage, seconds: float) -> None:
        """Until it is done or at its limit; what one process leaves, another goes on with."""
        start = time.time()
        end = start + seconds
        while True:
            begun = len(self.record.items(stage.letter))
            code, why = self.process(stage, end)
            item = self.record.open_item(stage.letter)
            if item is not None:
                reason = why or died(code)
                self.record.append(stage=stage.letter, item=item[0], status="failed", error=reason)
            progress = len(self.record.items(stage.letter)) > begun
            if code == 0 or end - time.time() <= 0 or not progress:
                break
        status = "ended" if code == 0 else "stopped" if time.time() >= end else "failed"
        if status == "failed" and why is None:
            why = died(code)
        taken = round(time.time() - start, 1)
        self.record.append(stage=stage.letter, status=status, why=why, seconds=taken)

    def process(self, stage: Stage, end: float) -> tuple[int | None, str | None]:
        """One process of a stage: its exit code, and why it was ended, if it was."""
        log = self.record.folder / LOG
        arguments = [stage.letter, "--out", str(self.record.folder), "--until", repr(end)]
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"== stage {stage.letter}: {stage.name}\n")
            file.flush()
            process = subprocess.Popen(
                [*self.command, *arguments, *self.options],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                why = self.watch(process, stage, end)
            finally:
                end_group(process)
        return (process.returncode if why is None else None), why

    def watch(self, process: subprocess.Popen[bytes], stage: Stage, end: float) -> str | None:
        """Returns when the process has ended, or with the reason to end it."""
        while process.poll() is None:
            now = time.time()
            if now >= end:
                return "the stage's time was over"
            item = self.record.open_item(stage.letter)
            patience = stage.patience * self.slower
            if item is not None and now - item[1] > patience:
                return f"it took more than {patience:.0f} s"
            time.sleep(POLL)
        return None


def died(code: int | None) -> str:
    if code == BROKEN:
        return "the GPU answered no more"
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}; {LOG} has what it printed"


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the process with whatever it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
