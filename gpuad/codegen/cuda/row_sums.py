"""Sums over rows in a kernel: added up in each thread, and combined when the rows are done."""

from typing import Any

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.cells import index_text, memory_view
from gpuad.codegen.cuda.layout import Layout
from gpuad.codegen.cuda.scalar import Scope
from gpuad.codegen.cuda.source import Sum
from gpuad.ir.graph import Var
from gpuad.kernels import cuda_text
from gpuad.kernels.cuda_text import BlockSum

TWO_LEVELS = 8
"""Up to so many sums in float32 take a second register each."""


class RowSums:
    """The sums over rows of one kernel, and the accumulators that a thread has for them.

    Attributes
    ----------
    sums : dict
        Where each sum stands among the partial sums of its dtype.
    sizes : dict
        The values of all sums together, by dtype.
    """

    def __init__(self, layout: Layout, once: Scope):
        self.sums: dict[Var, Sum] = {}
        self.sizes: dict[str, int] = {}
        self._layout = layout
        self._once = once
        self._block_sums: list[tuple[BlockSum, Sum]] = []
        self._accumulators: dict[tuple[Var, int], list[str]] = {}

    def accumulators(
        self, v: Var, element: tuple[int, Any], slots: int, lanes: int, within: bool
    ) -> list[str]:
        """The names of those for an element of a sum, given by its number and index: one for each
        slot of its lanes, or one, if the sum is over the lanes too (`within`)."""
        number, i = element
        key = (v, number)
        if key not in self._accumulators:
            self._accumulators[key] = self._new(v, i, slots, lanes, within)
        return self._accumulators[key]

    def _new(self, v: Var, i: Any, slots: int, lanes: int, within: bool) -> list[str]:
        kind, group = kind_of(v), self._layout.group
        if v not in self.sums:
            self.sums[v] = Sum(v, kind, self.sizes.get(kind, 0))
            self.sizes[kind] = self.sums[v].start + self.sums[v].size
        laned = bool(lanes) and not within
        spread = "lanes" if laned else "threads" if within or group == 1 else "group"
        view = memory_view("", v.aval.shape, None)
        long = self._layout.long_axes(v.aval.shape)
        names = []
        for k in range(slots):
            names.append(self._once.variable(f"{kind}(0)"))
            place = index_text(view, "", i, f"(lane + {k * group})", long[0] if long else None)
            inside = f"lane + {k * group} < {lanes}" if laned else ""
            block_sum = BlockSum(names[-1], kind, spread, place, inside)
            self._block_sums.append((block_sum, self.sums[v]))
        return names

    @property
    def registers(self) -> int:
        """What a thread holds for them all the time."""
        return len(self._block_sums) + len(self.in_two_levels())

    def in_two_levels(self) -> list[str]:
        """Those of float32, which are added up in two levels unless they are many."""
        names = [b.name for b, _ in self._block_sums if b.kind == "f32"]
        return names if len(names) <= TWO_LEVELS else []

    def finished(self) -> list[BlockSum]:
        """What is combined over a block when its rows are done."""
        short = set(self.in_two_levels())
        return [self._placed(b, s, b.name in short) for b, s in self._block_sums]

    def _placed(self, block_sum: BlockSum, total: Sum, short: bool) -> BlockSum:
        size = self.sizes[total.kind]
        place = f"c_{total.kind}[cuda.blockIdx.x * {size} + {total.start} + {block_sum.place}]"
        name = cuda_text.whole_of(block_sum.name) if short else block_sum.name
        return BlockSum(name, block_sum.kind, block_sum.spread, place, block_sum.inside)
