"""What a sweep has in either form while it is written, and its source in the end."""

from collections.abc import Collection, Sequence

from gpuad.codegen.argument import SweepSource, main_kind
from gpuad.codegen.cpu.arguments import Arguments
from gpuad.codegen.cpu.lane_major import LaneMajorTiles
from gpuad.codegen.cpu.nontemporal import block_lines
from gpuad.ir.graph import Var
from gpuad.plan.plan import SweepEquation


class SweepBuilder:
    """The common part of `BlockSweep` and `UnrolledSweep`, which their emitters share.

    equations, stored, main, block, speed
        What is written: the equations, which results are left in memory, the floating-point type,
        the rows of a block, and "fast" or "slow" functions.
    arguments, scratch, tiles
        The arrays that it works on: those of the caller, scratch (type and size by name), and
        transposed arrays, which lie in scratch.
    before, lines
        The text: what is done once before all blocks, and the work of a block, or of a row.
    checked
        Whether it calls functions that are not right everywhere.
    calls_blas
        Whether it may call BLAS.
    """

    calls_blas = False

    def __init__(
        self, equations: Sequence[SweepEquation], stored: set[Var], block: int, speed: str
    ):
        self.equations = equations
        self.stored = stored
        self.main = main_kind(equations)
        self.block = block
        self.speed = speed
        self.arguments = Arguments()
        self.scratch: dict[str, tuple[str, int]] = {}
        self.tiles = LaneMajorTiles(block, self.scratch)
        self.before: list[str] = []
        self.lines: list[str] = []
        self.checked = False

    def source(
        self, work: Sequence[str], streams: Collection[Var], width: int, slow: str | None
    ) -> SweepSource:
        """The source of the sweep; `work` are the lines for a block, `streams` the results that go
        past the cache. `width` and `slow` are those of `SweepSource`."""
        return SweepSource(
            text=self._function(work, streams),
            reads=list(self.arguments.reads.values()),
            writes=list(self.arguments.writes.values()),
            sums=list(self.arguments.sums.values()),
            scratch=self.scratch,
            block=self.block,
            calls_blas=self.calls_blas,
            width=width,
            slow=slow,
        )

    def _function(self, work: Sequence[str], streams: Collection[Var]) -> str:
        arguments, block, tiles = self.arguments.in_order(), self.block, self.tiles
        rows, copies = block_lines(arguments, streams, block, self.scratch)
        names = [*[a.name for a in arguments], *self.scratch]
        text = [f"def sweep({', '.join([*names, 'lo', 'hi'])}):"]
        text += [f"    {x}" for x in self.before]
        text += [f"    for b0 in range(lo, hi, {block}):", f"        n = min({block}, hi - b0)"]
        lines = [*rows, *tiles.copies(written=False), *work, *tiles.copies(written=True), *copies]
        text += [f"        {x}" for x in lines]
        text += ["    fence()"] if copies else []
        return "\n".join(text) + "\n"
