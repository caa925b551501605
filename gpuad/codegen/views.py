"""Where a value of a sweep lies: in a block, at an offset, with strides.

Structure primitives cost nothing inside a sweep: they make another view of the same block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of a C-ordered array."""
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


SHORT = 8
"""A last axis of at most so many lanes is no loop for LLVM to vectorise."""


def loop_order(shape: Sequence[int]) -> list[int]:
    """The axes of a row from the outermost loop to the innermost: as they are, but where the last
    axis is short, the longest one is innermost."""
    order = list(range(len(shape)))
    if shape and shape[-1] <= SHORT < max(shape):
        longest = max(order, key=lambda k: (shape[k], k))
        order.remove(longest)
        order.append(longest)
    return order


def ordered(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Strides, in elements, of an array that is dense with its axes in this order."""
    strides = [0] * len(shape)
    step = 1
    for k in reversed(order):
        strides[k] = step
        step *= shape[k]
    return tuple(strides)


def size_of(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


@dataclass(frozen=True)
class View:
    """Elements of a one-dimensional array: ``base[offset + row * r + Σ strides[k] * l_k]``.

    `shape` is that of one row (all axes but the row axis); `row` is 0 for what is the same for
    all rows.
    """

    base: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    row: int
    offset: int = 0

    @property
    def flat(self) -> bool:
        """Whether a block is one run of memory, row after row."""
        return self.row == size_of(self.shape) and self.dense

    @property
    def dense(self) -> bool:
        """Whether a row is one run of memory."""
        return all(
            n == 1 or s == c
            for n, s, c in zip(self.shape, self.strides, contiguous(self.shape), strict=True)
        )

    def index(self, row: str, lanes: Sequence[str]) -> str:
        """The index of an element, as source text."""
        terms = [f"{self.row} * {row}" if self.row != 1 else row] if self.row else []
        for s, lane, n in zip(self.strides, lanes, self.shape, strict=True):
            if s and n > 1:
                terms.append(lane if s == 1 else f"{s} * {lane}")
        if self.offset or not terms:
            terms.append(str(self.offset))
        return " + ".join(terms)

    def keep(self, axes: Sequence[int]) -> "View":
        """The view without the axes of size 1 that are not named."""
        return replace(
            self,
            shape=tuple([self.shape[a] for a in axes]),
            strides=tuple([self.strides[a] for a in axes]),
        )

    def broadcast(self, shape: tuple[int, ...], dims: Sequence[int]) -> "View":
        strides = [0] * len(shape)
        for n, s, d in zip(self.shape, self.strides, dims, strict=True):
            strides[d] = s if n == shape[d] else 0
        return replace(self, shape=shape, strides=tuple(strides))

    def transpose(self, perm: Sequence[int]) -> "View":
        return replace(
            self,
            shape=tuple([self.shape[p] for p in perm]),
            strides=tuple([self.strides[p] for p in perm]),
        )

    def part(self, slices: tuple[slice, ...]) -> "View":
        """The view of a part, of which some steps may be larger than 1."""
        found = self.through(lambda x: x[slices])
        assert found is not None
        return found

    def through(self, function: Callable[[np.ndarray], np.ndarray]) -> "View | None":
        """The view after a function of NumPy arrays that gives a view of its operand, or None where
        that raises ValueError since it would have to copy. No element is looked at."""
        # Of elements of one byte, whose strides in bytes are those in elements.
        dummy = np.lib.stride_tricks.as_strided(
            np.empty(1, np.int8), self.shape, self.strides, writeable=False
        )
        try:
            moved = function(dummy)
        except ValueError:
            return None
        offset = _address(moved) - _address(dummy)
        return replace(self, shape=moved.shape, strides=moved.strides, offset=self.offset + offset)


def _address(x: np.ndarray) -> int:
    return int(x.__array_interface__["data"][0])
