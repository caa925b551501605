"""What a run leaves: a line of JSON for each thing that was begun, found or given up.

A line is in the file the moment it is written, so that a cut-off loses the item it is in.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]
RESULTS = "results.jsonl"
LOG = "log.txt"
SUMMARY = "summary.md"
BROKEN = 3
"""A stage's exit code where the GPU answers no more in its process: another one goes on."""


class Skip(Exception):
    """Why an item cannot be done here; no failure of it."""


@dataclass(frozen=True)
class Record:
    """The lines of a run, in its folder."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / RESULTS

    def append(self, **line: Any) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self, letter: str | None = None) -> list[Line]:
        """All lines, or those of a stage; one that was cut off is left out."""
        if not self.path.exists():
            return []
        found = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(text))
            except ValueError:
                continue
        return [x for x in found if letter is None or x.get("stage") == letter]

    def items(self, letter: str) -> dict[str, Line]:
        """For each item of a stage that was begun, what was last written of it."""
        return {x["item"]: x for x in self.lines(letter) if "item" in x}

    def open_item(self, letter: str) -> tuple[str, float] | None:
        """The item that was begun and has no end, and when."""
        found = [x for x in self.items(letter).values() if x["status"] == "begun"]
        return (found[-1]["item"], found[-1]["at"]) if found else None


@dataclass(frozen=True)
class Work:
    """A stage at work, in its own process."""

    letter: str
    record: Record
    deadline: float
    """By time.time()."""
    rehearsed: bool = False
    most: int | None = None
    """Items at most, spread over all of them; where they are quick, a multiple of it."""

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.time()

    def pending(self, names: Iterable[str], times: int = 1) -> Iterator[str]:
        """The items to do that no process of this stage has begun, while there is time."""
        begun = self.record.items(self.letter)
        for name in self.reduced(list(names), times):
            if self.seconds_left <= 0:
                return
            if name not in begun:
                yield name

    def reduced(self, names: list[Any], times: int = 1) -> list[Any]:
        """At most `times * most` of them, evenly spread."""
        if self.most is None or len(names) <= times * self.most:
            return names
        count = times * self.most
        return [names[k * len(names) // count] for k in range(count)]

    def begin(self, item: str) -> None:
        self.write(item, "begun", at=time.time())

    def write(self, item: str, status: str, **found: Any) -> None:
        self.record.append(stage=self.letter, item=item, status=status, **found)

    @contextmanager
    def item(self, name: str) -> Iterator[dict[str, Any]]:
        """Its result goes into the dictionary, and into the record whatever happens."""
        self.begin(name)
        start, found = time.time(), {}
        try:
            yield found
        except Skip as why:
            self.write(name, "skipped", why=str(why))
        except Exception as error:
            print(f"{self.letter} {name}:", flush=True)
            traceback.print_exc()
            seconds = round(time.time() - start, 3)
            self.write(name, "failed", error=one_line(error), seconds=seconds, **found)
            if gpu_is_lost():
                raise SystemExit(BROKEN) from error
        else:
            self.write(name, "done", seconds=round(time.time() - start, 3), **found)


def one_line(error: BaseException) -> str:
    """The error in one line of a table."""
    text = "".join(traceback.format_exception_only(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:300]


def gpu_is_lost() -> bool:
    """Whether an error (an illegal address, say) has made the GPU useless for this process."""
    try:
        import cupy

        cupy.cuda.Device().synchronize()
    except ImportError:
        return False
    except Exception:
        return True
    return False
