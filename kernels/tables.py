"""Rows added at places of a table, in the order of the rows."""

from .numba_parts import vectorisable


@vectorisable
def add_at_places(places, updates, table, n, count, size, stride):
    """table[size·places[k·stride + r] + l] += updates[(k·size + l)·stride + r] for each row r, each
    of its `count` places k and each of the `size` lanes l of a place."""
    for r in range(n):
        for k in range(count):
            start = size * max(places[k * stride + r], 0)
            for l in range(size):
                table[start + l] += updates[(k * size + l) * stride + r]


NAMES = {"add_at_places": add_at_places}
"""Globals for generated text."""
