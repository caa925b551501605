"""Lines of straight text in the order in which results need them.

Written equation by equation, all elements of a row are alive at a time. A result at a time, each
with what it needs before it, takes far fewer registers.
"""

import re
from collections import Counter

_NAME = re.compile(r"\bv\d+\b")
_ASSIGNED = re.compile(r"(v\d+) (=|\+=) ")


def by_first_use(lines: list[str], stores: list[str]) -> list[str]:
    """The lines and the stores after them, each store as soon as can be.

    A name that is assigned several times is a sum over rows, which no other line reads: additions
    are results like stores. Indented lines go with the one before them.
    """
    assigned = [_ASSIGNED.match(line) for line in lines]
    times = Counter(m[1] for m in assigned if m)
    makes: dict[str, int] = {}
    results: list[str] = []
    for k, (line, m) in enumerate(zip(lines, assigned, strict=True)):
        if m and m[2] == "=" and times[m[1]] == 1:
            makes[m[1]] = k
        else:
            results.append(line)
    results = _blocks([*results, *stores])
    found: list[str] = []
    for result in results:
        found += _needed(result, lines, makes)
        found.append(result)
    return [line for block in found for line in block.split("\n")]


def _blocks(lines: list[str]) -> list[str]:
    """Each line with the indented ones after it."""
    found: list[str] = []
    for line in lines:
        if line.startswith(" "):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


def _needed(result: str, lines: list[str], makes: dict[str, int]) -> list[str]:
    """The lines that a result needs and that were not needed before, each behind its operands."""
    found: list[str] = []
    todo: list[str | int] = [*reversed(_NAME.findall(result))]
    while todo:
        x = todo.pop()
        if isinstance(x, int):
            found.append(lines[x])
            continue
        k = makes.pop(x, None)
        if k is not None:
            todo += [k, *reversed(_NAME.findall(lines[k]))]
    return found
