"""The stages, the most valuable first."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage: its module in this package, its share of the minutes beside those of the stages
    after it, and the seconds that one of its items may take."""

    letter: str
    name: str
    module: str
    share: float
    patience: float


STAGES = (
    Stage("a", "what is there", "here", 0.04, 60),
    Stage("b", "tests", "gpu_tests", 0.22, 60),
    Stage("c", "compute-sanitizer", "sanitizer", 0.12, 40),
    Stage("d", "headline rows", "rows", 0.30, 60),
    Stage("e", "replay and memory", "repeated", 0.08, 30),
    Stage("f", "hardware counters", "counters", 0.14, 45),
    Stage("g", "other rows", "rows", 0.10, 60),
)
BY_LETTER = {stage.letter: stage for stage in STAGES}


class UnknownStage(ValueError):
    """A letter that no stage has."""


def chosen(letters: list[str]) -> list[Stage]:
    """The stages with these letters (all, where none is given), in order."""
    unknown = [x for x in letters if x not in BY_LETTER]
    if unknown:
        known = ", ".join(f"{s.letter} ({s.name})" for s in STAGES)
        raise UnknownStage(f"unknown stage {', '.join(unknown)}; the stages are {known}")
    return [s for s in STAGES if not letters or s.letter in letters]
