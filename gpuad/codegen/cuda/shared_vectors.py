"""Lines that store and load values side by side in shared memory, as vectors where they can."""

from collections.abc import Sequence


def stored(array: str, place: str, names: Sequence[str], n: int) -> list[str]:
    """Lines that store so many values side by side, which begin at a multiple of their number."""
    if n == 1:
        return [f"{array}[{place}] = {names[0]}"]
    step = min(n, 4)
    return [
        f"store{step}({array}, {place} + {k}, {', '.join(names[k : k + step])})"
        for k in range(0, n, step)
    ]


def loaded(array: str, place: str, names: Sequence[str], n: int) -> list[str]:
    """Lines that load them."""
    if n == 1:
        return [f"{name} = {array}[{place} + {k}]" for k, name in enumerate(names)]
    step = min(n, 4)
    return [
        f"{', '.join(names[k : k + step])} = load{step}({array}, {place} + {k})"
        for k in range(0, len(names), step)
    ]
