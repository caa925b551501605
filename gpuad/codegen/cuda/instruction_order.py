"""The lines of a text without branches, in the order in which results need them.

Written equation by equation, all elements of a row are in registers at the same time. Written
result by result, each with what it needs just before it, a row takes far fewer registers.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set

NAME = re.compile(r"\bv\d+\b")
"""A name of a value of a row."""
ASSIGNED = re.compile(r"(v\d+(?:, v\d+)*) (=|\+=) ")
"""The beginning of a line that makes values, or changes them."""


def by_first_use(lines: list[str], stores: list[str], early: Set[str] = frozenset()) -> list[str]:
    """The lines and the stores, each store as early as possible; those of `early` names as early as
    the text has them.

    A name that is assigned several times is a sum over rows. No other line reads it, so additions
    to it are results, as stores are. Indented lines stay with the line before them.
    """
    matches = [ASSIGNED.match(line) for line in lines]
    assigned = [(m[1].split(", "), m[2]) if m else ([], "") for m in matches]
    times = Counter(name for names, _ in assigned for name in names)
    defined_at: dict[str, int] = {}
    results: list[str] = []
    for k, (line, (names, sign)) in enumerate(zip(lines, assigned, strict=True)):
        if sign == "=" and all(times[name] == 1 and name not in early for name in names):
            defined_at.update(dict.fromkeys(names, k))
        else:
            results.append(line)
    found: list[str] = []
    for result in blocks([*results, *stores]):
        found += _needed(result, lines, defined_at)
        found += result.split("\n")
    return found


def what_computes(name: str, lines: list[str]) -> list[str] | None:
    """The lines that a name needs, in order; None if one of them is assigned several times, and may
    be another value elsewhere."""
    assigned = [ASSIGNED.match(line) for line in lines]
    made = [m[1].split(", ") if m else [] for m in assigned]
    times = Counter(x for names in made for x in names)
    defined_at = {x: k for k, names in enumerate(made) for x in names}
    found = _needed(name, lines, defined_at)
    read = {x for line in (name, *found) for x in NAME.findall(line)}
    return None if any(times[x] > 1 for x in read) else found


def blocks(lines: Sequence[str]) -> Iterator[str]:
    """Each line as one text with the indented lines after it."""
    block: list[str] = []
    for line in lines:
        if block and not line.startswith(" "):
            yield "\n".join(block)
            block = []
        block.append(line)
    if block:
        yield "\n".join(block)


def _needed(result: str, lines: list[str], defined_at: dict[str, int]) -> list[str]:
    """The lines that a result needs, each after those of its operands. They are taken out of
    `defined_at`, so that each line is written once."""
    found: list[str] = []
    todo: list[str | int] = [*reversed(NAME.findall(result))]
    while todo:
        x = todo.pop()
        if isinstance(x, int):
            found.append(lines[x])
            continue
        k = defined_at.get(x)
        if k is not None:
            names = NAME.findall(lines[k])
            for name in names:
                if defined_at.get(name) == k:
                    del defined_at[name]
            todo += [k, *reversed(names)]
    return found
