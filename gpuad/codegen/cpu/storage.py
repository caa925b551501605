"""Where the values of a sweep are: arrays read and written, scratch of a block."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpuad.codegen.argument import Argument, kind_of, main_kind
from gpuad.codegen.cpu.lane_major import SIZES, Tiles, is_tiled
from gpuad.codegen.cpu.loops import fill_lines
from gpuad.codegen.cpu.ordering import Loop, Ordering
from gpuad.codegen.structure import parts_of
from gpuad.codegen.views import SHORT, View, contiguous, loop_order, ordered, size_of
from gpuad.ir.graph import Var
from gpuad.ir.primitive import Role
from gpuad.ir.rows import inner
from gpuad.plan.plan import SweepEquation, Use
from gpuad.plan.roles import is_scatter_add

BLOCK_BYTES = 256 * 1024
"""A block: what stays in a core's L2 cache, where loops over its rows must be long."""
LANE_BYTES = 32 * 1024
"""A block of loops along the lanes: what stays in a core's L1 cache (1.9 ms, not 2.7)."""
LEAST_ROWS = 16
"""Of a block, unless all loops run along lanes too."""
PLANAR_LANES = 16
"""Up to so many lanes, scratch is laid out lane by lane, so that loops over rows vectorise."""
PLANAR_SHORT = 256
"""Up to so many, where no axis is long enough for a loop along it."""
ALIGNED = 16
"""Elements whose size is a multiple of a vector's."""


@dataclass
class Frame:
    """Scratch with room around the lanes of a value, for the zeros that it is padded with."""

    low: tuple[int, ...]
    shape: tuple[int, ...]
    computed: bool
    """Whether the loop that makes the value also writes to the room."""

    def holds(self, low: Sequence[int], shape: Sequence[int]) -> bool:
        """Whether there is room for a value of this shape that begins `low` before the lanes."""
        if self.computed:
            return tuple(shape) == self.shape
        starts = [mine - a for mine, a in zip(self.low, low, strict=True)]
        stops = [a + n for a, n in zip(starts, shape, strict=True)]
        return min(starts, default=0) >= 0 and all(
            b <= n for b, n in zip(stops, self.shape, strict=True)
        )


class Storage:
    """What the parts of the writer of a sweep share.

    `views` say where each value lies; `lines` is the work of one block, `places` what is done once
    before all blocks, `scratch` the type and size of each array for values of a block.
    """

    def __init__(
        self,
        sweep: Sequence[SweepEquation],
        stored: set[Var],
        streams: Collection[Var] = (),
        planar: bool = True,
        speed: str = "fast",
    ):
        self.may_be_planar = planar
        self.speed = speed
        self.checked = False
        self.sweep = sweep
        self.stored = stored
        self.streams = streams
        self.main = main_kind(sweep)
        self.nested = False
        self.reads: dict[Any, Argument] = {}
        self.writes: dict[Var, Argument] = {}
        self.sums: dict[Var, Argument] = {}
        self.views: dict[Any, View] = {}
        self.names: dict[Any, str] = {}
        self.scratch: dict[str, tuple[str, int]] = {}
        self.places: list[str] = []
        self.lines: list[str] = []
        self.frames: dict[View, Frame] = {}
        self.zeroed: set[View] = set()
        lanes = [self._made_shape(s) for s in sweep if s.axis is not None]
        self.products = any(s.equation.primitive.role is Role.CONTRACTION for s in sweep)
        self.planar = planar and self._is_planar(lanes)
        self.order = self._order()
        self.kept = self._kept()
        self.block = self._block_rows()
        self.tiles = Tiles(self.block, self.scratch)
        self.pads = self._pads()

    @staticmethod
    def _is_planar(lanes: Sequence[tuple[int, ...]]) -> bool:
        most = max(map(size_of, lanes), default=1)
        longest = max([max(shape, default=1) for shape in lanes], default=1)
        return 1 < most <= (PLANAR_SHORT if longest <= SHORT else PLANAR_LANES)

    def _pads(self) -> dict[Any, list[tuple[tuple[int, ...], tuple[int, ...]]]]:
        """How the values of this sweep are padded with zeros around them: before and after."""
        pads: dict[Any, list[Any]] = {}
        for s in self.sweep:
            e = s.equation
            alone = e.primitive.role is Role.COPY and len(e.operands) == 1
            if not alone or s.uses[0].kind != "block":
                continue
            (part,) = parts_of(s)
            if all((p.step or 1) == 1 for p in part):
                ends = zip(self._made_shape(s), part, strict=True)
                around = tuple([p.start for p in part]), tuple([n - p.stop for n, p in ends])
                pads.setdefault(e.operands[0], []).append(around)
        return pads

    # Grouping into loops

    @staticmethod
    def _made_shape(s: SweepEquation) -> tuple[int, ...]:
        return inner(s.equation.outputs[0].aval.shape, s.axis)

    def _space(self, s: SweepEquation) -> tuple[int, ...]:
        """The lanes that an equation runs over: of its result, or of what it reduces."""
        reduces = s.equation.primitive.role is Role.REDUCTION
        if reduces or (s.axis is None and is_scatter_add(s.equation)):
            k = 0 if reduces else 1
            return inner(s.equation.operands[k].aval.shape, s.uses[k].axis)
        return self._made_shape(s)

    def _order(self) -> list[Any]:
        """Loops and structure equations in the order in which they run."""
        return Ordering(self.sweep, self._space, self._block_operands).order

    @staticmethod
    def _block_operands(s: SweepEquation) -> set[Any]:
        pairs = zip(s.equation.operands, s.uses, strict=True)
        return {x for x, use in pairs if use.kind == "block"}

    def _kept(self) -> set[Any]:
        """Values that a later loop or view reads: they need scratch."""
        kept: set[Any] = set()
        for item in self.order:
            equations = item.equations if isinstance(item, Loop) else [item]
            mine = {
                s.equation.outputs[0]
                for s in equations
                if isinstance(item, Loop) and s.equation.primitive.role is not Role.REDUCTION
            }
            for s in equations:
                kept |= self._block_operands(s) - mine
        return kept

    def _block_rows(self) -> int:
        """A power of two: as many rows as have their scratch in the cache."""
        width = 64
        for s in self.sweep:
            v = s.equation.outputs[0]
            if s.axis is not None and v in self.kept and s.equation.primitive.role is not Role.VIEW:
                width += size_of(self._made_shape(s)) * v.aval.dtype.itemsize
        rows_read = {
            (x, use.axis): size_of(inner(x.aval.shape, use.axis)) * x.aval.dtype.itemsize
            for s in self.sweep
            for x, use in zip(s.equation.operands, s.uses, strict=True)
            if use.kind == "rows"
        }
        width += sum(rows_read.values())
        size = BLOCK_BYTES if self.planar or self.products else min(BLOCK_BYTES, LANE_BYTES)
        rows = max(1, size // width)
        least = LEAST_ROWS if self.may_be_planar else 1
        return max(least, min(2048, 1 << rows.bit_length() - 1))

    # Places

    def _name(self, x: Any) -> str:
        return self.names.setdefault(x, f"v{len(self.names)}")

    def _slot(self, name: str, kind: str, size: int) -> None:
        self.scratch[name] = kind, size

    def _new_block(self, v: Var, shape: tuple[int, ...], matrix: bool = False) -> View:
        """Scratch for a value; for a `matrix`, with its last axis innermost."""
        name = f"w{self._name(v)[1:]}"
        pads = [] if matrix else self.pads.get(v, [])
        nothing = (0,) * len(shape)
        low = _largest([nothing, *[p[0] for p in pads]])
        high = _largest([nothing, *[p[1] for p in pads]])
        whole = tuple([a + n + b for a, n, b in zip(low, shape, high, strict=True)])
        planar = self.planar and not matrix
        # Lanes a power of two apart would be in one set of the cache.
        length = self.block + ALIGNED if planar else self.block
        self._slot(name, kind_of(v), size_of(whole) * length)
        if planar:
            strides, row = tuple([s * length for s in contiguous(whole)]), 1
        else:
            strides = contiguous(whole) if matrix else ordered(whole, loop_order(shape))
            row = size_of(whole)
        view = View(
            name, shape, strides, row, sum(a * s for a, s in zip(low, strides, strict=True))
        )
        if pads:
            self.frames[view] = Frame(low, whole, False)
            self.places += fill_lines(name, size_of(whole) * length, f"{kind_of(v)}(0)")
        return view

    def _new_frame(self, v: Var, shape: tuple[int, ...], width: int) -> View:
        """Scratch for a value whose rows are `width` apart, with room before it; a loop that also
        runs over what is between them writes to it."""
        name = f"w{self._name(v)[1:]}"
        room = -(-(width - size_of(shape)) // ALIGNED) * ALIGNED
        self._slot(name, kind_of(v), room + width * self.block)
        view = View(name, shape, contiguous(shape), width, room)
        low = tuple([width - n if n > 1 else 0 for n in shape])
        whole = tuple([a + n for a, n in zip(low, shape, strict=True)])
        self.frames[view] = Frame(low, whole, True)
        return view

    def _read(self, x: Var, use: Use) -> View:
        if use.kind == "block":
            return self.views[x]
        key = (x, use.kind, use.axis)
        if key not in self.views:
            self.views[key] = self._taken(x, use)
        return self.views[key]

    def _taken(self, x: Var, use: Use) -> View:
        """An array in memory as the loops of this sweep read it."""
        shape, rows = inner(x.aval.shape, use.axis), use.kind == "rows"
        a = self._argument(x, use)
        if rows and self.planar and size_of(shape) >= SIZES.get(kind_of(x), 1 << 62):
            return self.tiles.view(a.name, x, shape, written=False)
        order = loop_order(shape)
        if not rows and order != sorted(order):
            # What is the same for all rows is laid out as the loops run.
            self.reads[x, use.kind, use.axis] = replace(a, order=tuple(order))
            return View(a.name, shape, ordered(shape, order), 0)
        return self._rows_of(x, use) if rows else View(a.name, shape, contiguous(shape), 0)

    def _argument(self, x: Var, use: Use) -> Argument:
        key = (x, use.kind, use.axis)
        if key not in self.reads:
            self.reads[key] = Argument(f"a{len(self.reads)}", x, use.kind, use.axis)
        return self.reads[key]

    def _rows_of(self, x: Var, use: Use) -> View:
        """The rows of an array as they lie in memory."""
        shape = inner(x.aval.shape, use.axis)
        return View(f"{self._argument(x, use).name}b", shape, contiguous(shape), size_of(shape))

    def _output(self, v: Var, axis: int) -> View:
        shape = inner(v.aval.shape, axis)
        name = f"o{len(self.writes)}"
        self.writes[v] = Argument(name, v, "rows", axis)
        if self.planar and is_tiled(v, size_of(shape)):
            return self.tiles.view(name, v, shape, written=True)
        return View(f"{name}b", shape, contiguous(shape), size_of(shape))


def _largest(vectors: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple([max(column) for column in zip(*vectors, strict=True)])
