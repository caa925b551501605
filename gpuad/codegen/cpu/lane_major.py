"""Arrays with many lanes in a row, as lane-major scratch: a tile is a block of rows transposed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gpuad.codegen.argument import kind_of
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.rows import inner

INTERLEAVED = 8
"""LLVM vectorises reads and writes of rows of at most so many lanes."""
SKEW = 16
"""Elements between the lanes of a tile, so that they do not fall on the same lines of a cache."""
TRANSPOSED_AT_ONCE = {"f32": 8, "i32": 8, "f64": 4, "i64": 4, "f16": 8, "bf16": 8}
"""Rows and lanes that `kernels/transposes.py` transposes at once, by type."""


@dataclass(frozen=True)
class LaneMajorTile:
    """A block of the array `array` in scratch: lane `l` of row `r` at ``l * stride + r``."""

    array: str
    kind: str
    lanes: int
    stride: int
    written: bool

    @property
    def name(self) -> str:
        return f"{self.array}t"

    def element(self, lane: int) -> str:
        return f"{self.name}[{self.stride * lane} + r]"

    @property
    def copy(self) -> str:
        """The line that fills the tile from the array, or the array from the tile."""
        size, shape = TRANSPOSED_AT_ONCE[self.kind], f"n, {self.lanes}, {self.stride}"
        if self.written:
            return f"lanes_to_rows{size}({self.name}, {self.array}b, {shape})"
        return f"rows_to_lanes{size}({self.array}b, {self.name}, {shape})"


def is_tiled(x: Any, lanes: int) -> bool:
    """Whether rows of so many lanes are transposed."""
    return lanes > INTERLEAVED and kind_of(x) in TRANSPOSED_AT_ONCE


class LaneMajorTiles:
    """The lane-major tiles of a sweep, in scratch one after the other."""

    def __init__(self, block: int, scratch: dict[str, tuple[str, int]]):
        self.stride = block + SKEW
        self.tiles: dict[str, LaneMajorTile] = {}
        self.scratch = scratch

    def tile(self, array: str, x: Any, lanes: int, written: bool) -> LaneMajorTile:
        """The tile of an array, new or known."""
        if array not in self.tiles:
            kind = kind_of(x)
            tile = self.tiles[array] = LaneMajorTile(array, kind, lanes, self.stride, written)
            self.scratch[tile.name] = kind, lanes * self.stride
        return self.tiles[array]

    def view(self, array: str, x: Any, shape: tuple[int, ...], written: bool) -> View:
        """The tile of an array whose rows have this shape, as a view of its scratch."""
        tile = self.tile(array, x, size_of(shape), written)
        strides = tuple([s * self.stride for s in contiguous(shape)])
        return View(tile.name, shape, strides, 1)

    def copies(self, *, written: bool) -> list[str]:
        """The lines that fill the tiles of arrays that are read, or the arrays that are written."""
        return [t.copy for t in self.tiles.values() if t.written == written]


def tile_bytes(arrays: Iterable[tuple[Any, int | None]]) -> int:
    """Bytes that a row of these arrays, each given with its row axis, takes in tiles."""
    lanes = [(x, size_of(inner(x.aval.shape, axis))) for x, axis in arrays]
    return sum(n * x.aval.dtype.itemsize for x, n in lanes if is_tiled(x, n))
