"""A generated kernel: its text, its arguments and how it is launched."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from gpuad.codegen.argument import Argument, kind_of
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.views import size_of
from gpuad.ir.graph import Var

BLOCKS = 1024
"""Blocks of threads, at most, each with several rounds of rows: enough for every GPU, and few
enough for the kernel that adds up their partial sums. Fixed, so that sums are the same on every
GPU."""
FEWEST_BLOCKS = 264
"""The least of that limit, where there are many sums: two blocks for each multiprocessor of a large
GPU."""
PARTIAL_SUMS = 1 << 22
"""Values of all partial sums, at most, if there are more than the fewest blocks."""
SIZES = {"f32": 4, "f64": 8, "i32": 4, "i64": 8, "f16": 2, "bf16": 2}
"""Bytes of a value, of the dtypes that go through shared memory."""
SECTOR = 32
"""Bytes of a sector, the unit in which memory is read and written."""


@dataclass(frozen=True)
class KernelText:
    """What the compiler gets: the text of one kernel and the types of its arguments.

    A type is a pointer ("f32*") or a number ("i64").
    """

    name: str
    text: str
    types: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """A hash of the content."""
        content = "\0".join([self.name, self.text, *self.types])
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Sum:
    """A sum over rows, and where its values start among the partial sums of its dtype."""

    var: Var
    kind: str
    start: int

    @property
    def size(self) -> int:
        return size_of(self.var.aval.shape)


@dataclass
class KernelSource:
    """A sweep as a kernel.

    The arguments of the kernel are `reads` and `writes`; for each dtype of sums an array of partial
    sums, with a row for each block; the first row, the end of the rows, and the rows of a block.
    """

    kernel: KernelText
    layout: Layout
    reads: list[Argument]
    writes: list[Argument]
    sums: list[Sum]
    shared_bytes: int = 0

    held: int = 0
    """Values that a thread holds all the time: sums, and what is the same for all rows."""
    sum_sizes: dict[str, int] = field(default_factory=dict)
    """By dtype, the number of values that all sums have together."""
    aligned: set[Var] = field(default_factory=set)
    """What is loaded or stored in vectors: arrays that begin at a multiple of their bytes."""
    table_values: int = 0
    """Of these, the values of tables to which updates are added: few beside the updates."""

    def share(self, rows: int) -> int:
        """The rows that each block takes of so many: a power of two of rounds.

        The rows of a round are a power of two as well, so all shares are, and rows can be divided
        where the shares of several kernels end.
        """
        summed = sum(self.sum_sizes.values()) - self.table_values
        most = max(FEWEST_BLOCKS, PARTIAL_SUMS // summed) if summed else BLOCKS
        rounds = -(-rows // (self.layout.block_rows * min(BLOCKS, most)))
        return self.layout.block_rows << max(0, rounds - 1).bit_length()

    def blocks(self, rows: int) -> int:
        """Blocks of threads for so many rows."""
        return max(1, -(-rows // self.share(rows)))

    def launches(self, rows: int) -> int:
        """Kernels for so many rows: this one, and for each dtype one that adds up partial sums."""
        return 1 + (len(self.sum_sizes) if self.blocks(rows) > 1 else 0)

    def partial_bytes(self, rows: int) -> int:
        """Bytes of the partial sums of all blocks."""
        width = sum(n * SIZES[k] for k, n in self.sum_sizes.items())
        return self.blocks(rows) * width


def types_of(
    reads: Iterable[Argument], writes: Iterable[Argument], sums: Iterable[str]
) -> list[str]:
    """The types of a kernel's arguments; `sums` are the dtypes of its partial sums."""
    kinds = [f"{kind_of(a.var)}*" for a in (*reads, *writes)]
    return [*kinds, *[f"{k}*" for k in sums], "i64", "i64", "i64"]
