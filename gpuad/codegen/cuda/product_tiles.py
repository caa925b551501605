"""How the threads of a block share a matrix of products, x_k y_m: a tile of a by b for each.

The rows whose products are summed up are in shared memory. Either all threads share the matrix and
go over all rows of the block, or those of each warp share it and go over the rows of the warp, with
larger tiles: a thread loads a + b values for a times b products.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from gpuad.kernels.cuda_text import WARP

LARGEST = 80
"""Products of a thread for a row, at most."""
ALIGNED = 4
"""Rows in shared memory begin at multiples of so many values."""


@dataclass(frozen=True)
class Side:
    """The tiles along one side of the matrix: `count` of them, each of `tile` elements, which are
    loaded as vectors of `unit`. Where they fill the side, the vectors of all tiles lie between each
    other: threads side by side load from places side by side."""

    size: int
    tile: int
    unit: int

    @property
    def count(self) -> int:
        return -(-self.size // self.tile)

    @property
    def whole(self) -> bool:
        return self.size % self.tile == 0

    @property
    def clocks(self) -> int:
        """Those of loads from shared memory: of tiles that are no whole vectors, threads side by
        side load from the same banks."""
        return self.tile if self.whole else 2 * self.tile

    @property
    def step(self) -> int:
        """The distance of the first elements of tiles side by side."""
        return self.unit if self.whole else self.tile

    def offset(self, k: int) -> int:
        """The distance of element k of a tile from the first one."""
        return k // self.unit * self.unit * self.count + k % self.unit if self.whole else k

    def vectors(self) -> Iterator[tuple[int, int]]:
        """The elements of a tile as vectors: the first one of each, and its length."""
        unit = self.unit if self.whole else 1
        if self.count > 1:
            yield from [(k, unit) for k in range(0, self.tile, unit)]
        else:
            yield from _greedy(self.tile, unit)


@dataclass(frozen=True)
class Tiles:
    """`threads` share the matrix: those of the block, or those of each warp."""

    x: Side
    y: Side
    threads: int

    @property
    def products(self) -> list[list[str]]:
        """The names of a thread's products."""
        return [[f"p{i}_{j}" for j in range(self.y.tile)] for i in range(self.x.tile)]

    @property
    def tile(self) -> tuple[int, int]:
        return self.x.tile, self.y.tile

    @property
    def size(self) -> int:
        """Products of a thread."""
        return self.x.tile * self.y.tile


def best_tiles(
    sizes: tuple[int, int],
    aligned: tuple[int, int],
    threads: int,
    rows: int,
    most: int,
) -> Tiles | None:
    """The tiles of the fewest clocks for each of so many rows of a block, with at most so many
    products; None if there are none. `aligned` are the values that a vector of each side may have.

    In a clock four warps add products, and one vector of 32 values comes from shared memory.
    """
    found = []
    warps = threads // WARP
    for shared in {threads, WARP}:
        for x, y in itertools.product(_sides(sizes[0], aligned[0]), _sides(sizes[1], aligned[1])):
            tiles = Tiles(x, y, shared)
            if tiles.size > most or x.count * y.count > shared:
                continue
            loads = len([*x.vectors(), *y.vectors()])
            clocks = max((tiles.size + loads) / 4, x.clocks + y.clocks)
            # Those of warps are put together when the rows of a round are done.
            together = 2 * tiles.size * warps / rows if shared < threads else 0.0
            cost = shared / WARP * clocks + together
            found.append((cost, tiles.size, x.tile, shared, tiles))
    return min(found, key=lambda f: f[:4])[-1] if found else None


def _sides(size: int, aligned: int) -> list[Side]:
    """The ways to divide a side into tiles."""
    found = []
    for tile in range(1, min(size, LARGEST) + 1):
        unit = math.gcd(tile if tile < size else aligned, aligned)
        found.append(Side(size, tile, unit))
    return found


def _greedy(count: int, unit: int) -> Iterator[tuple[int, int]]:
    """So many elements as vectors of at most `unit`."""
    k = 0
    while k < count:
        n = next(n for n in (4, 2, 1) if n <= unit and k % n == 0 and k + n <= count)
        yield k, n
        k += n
