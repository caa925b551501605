"""Scatter-add: updates are sorted by their place in the result, and each place adds up its own.

The kernels are gpuad's own and keep the order of the updates of one place, so that sums are the
same in every run. Nothing is atomic, and nothing waits for the host.

Indices are looked at in every call: they may have been changed in place, and to compare them with
those of an earlier call takes as long as to see that they are in order. If they are, as where the
updates of a place come one after another, the kernels of the sort do nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuad.codegen.argument import kind_of
from gpuad.codegen.cuda.source import KernelText
from gpuad.ir.graph import Equation, Var
from gpuad.kernels import cuda_scatter_text as texts
from gpuad.plan.roles import is_scatter_add

MANY = 128
"""With so many updates for each place, on average, a block of threads adds them up."""
MOST_BLOCKS = 1 << 12
"""Of threads that each have several places or updates."""
MOST = 1 << 30
"""Updates and places, at most: orders and keys have 32 bits."""

Launch = Callable[..., None]
Bytes = list[int]


def is_scatter(e: Equation) -> bool:
    """Whether these kernels compute the equation."""
    if not is_scatter_add(e):
        return False
    x, u = (v.aval for v in e.operands[:2])
    some = bool(x.size) and bool(u.size) and max(x.size, u.size) < MOST
    return x.dtype in (np.float32, np.float64) and some


class Sizes:
    """The numbers of a scatter-add: places and updates, and what its kernels take."""

    def __init__(self, e: Equation):
        x, u, *indices = (v.aval for v in e.operands)
        lead = e.params["batch"] + len(indices)
        self.count, self.rest = math.prod(x.shape[:lead]), math.prod(x.shape[lead:])
        self.updates = u.size // self.rest
        self.passes = -(-self.count.bit_length() // texts.DIGIT)
        self.tiles = -(-self.updates // texts.TILE)

    @property
    def workspace(self) -> dict[str, int]:
        """The arrays of int32 that a call allocates, and their sizes."""
        pairs = min(self.passes, 2)
        own = {f"{name}{k}": self.updates for name in ("keys", "order") for k in range(pairs)}
        return own | {
            "flags": self.tiles,
            "state": 1,
            "spans": 2 * self.count,
            "counts": 256 * self.tiles,
            "totals": 256,
        }

    @property
    def kept(self) -> list[str]:
        """The arrays that have the order, once it is found."""
        return ["state", "spans", f"order{(self.passes - 1) & 1}"]


def temporary_bytes(e: Equation, operands: Sequence[Any], shared: "Shared | None" = None) -> Bytes:
    """Bytes of the arrays that a call allocates beside its result, for operands of these layouts:
    its own, copies of what is not in C order, and places while they are computed.

    `shared` says that the order is shared with other calls: what has it is not among them.
    """
    sizes = Sizes(e)
    copied = [np.asarray(y) for y in operands[:2]]
    found = [y.nbytes for y in copied if not y.flags.c_contiguous]
    if shared is not None and not shared.first:
        return found
    own = sizes.workspace
    found += [4 * n for name, n in own.items() if shared is None or name not in sizes.kept]
    if e.params["batch"] + len(e.operands) > 3:
        return [*found, *[8 * sizes.updates] * 3, *[8 * n for n in e.operands[0].aval.shape]]
    index = np.asarray(operands[2])
    return found if index.flags.c_contiguous else [*found, index.nbytes]


@dataclass(frozen=True)
class Shared:
    """A scatter-add among those of a program that have the same places: its number, by which the
    order is kept, the bytes of that, and whether the call is the first or the last of them."""

    number: int
    kept: tuple[int, ...]
    first: bool
    last: bool


def shared_orders(calls: Sequence[Equation]) -> dict[Var, Shared]:
    """The scatter-adds, of these in the order in which they are called, that share an order."""
    alike: dict[Any, list[Equation]] = {}
    for e in calls:
        indices, batch = e.operands[2:], e.params["batch"]
        lead = e.operands[0].aval.shape[: batch + len(indices)]
        alike.setdefault((indices, lead), []).append(e)
    found: dict[Var, Shared] = {}
    for number, group in enumerate(alike.values()):
        sizes = Sizes(group[0])
        kept = tuple([4 * sizes.workspace[name] for name in sizes.kept])
        for e in group if len(group) > 1 else []:
            found[e.outputs[0]] = Shared(number, kept, e is group[0], e is group[-1])
    return found


class Scatter:
    """One scatter-add with its kernels."""

    def __init__(self, e: Equation, device: Any):
        x = e.operands[0].aval
        self._shape, self._batch = x.shape, e.params["batch"]
        self._xp = device.xp
        self._sizes = sizes = Sizes(e)
        self._many = sizes.updates >= MANY * sizes.count
        ready = device.ready
        self._ascending: Launch = ready(ASCENDING)
        self._decide: Launch = ready(DECIDE)
        self._spans: Launch = ready(SPANS)
        self._rank: Launch = ready(RANK)
        kinds = ("i64", "i32")[: sizes.passes]
        self._passes: list[tuple[Launch, Launch]] = [
            (ready(tally_text(kind)), ready(place_text(kind))) for kind in kinds
        ]
        self._add: Launch = ready(segment_text(kind_of(e.operands[0]), sizes.rest, self._many))

    @property
    def launches(self) -> int:
        """Kernels of a call."""
        return self.sorting + 1

    @property
    def sorting(self) -> int:
        """Kernels that find the order."""
        return 3 + 3 * self._sizes.passes

    def __call__(self, x: Any, u: Any, *indices: Any) -> Any:
        return self.added(x, u, self.order(indices))

    def order(self, indices: Sequence[Any]) -> list[Any]:
        """The order of the updates at these indices: arrays for `added`."""
        sizes = self._sizes
        own = {name: self._xp.empty(n, np.int32) for name, n in sizes.workspace.items()}
        self._sort(self._places(indices), own)
        return [own[name] for name in sizes.kept]

    def added(self, x: Any, u: Any, order: Sequence[Any]) -> Any:
        """Each update added to its row of x."""
        xp, sizes = self._xp, self._sizes
        state, spans, numbers = order
        out = xp.empty(self._shape, x.dtype)
        arrays = [state, *[xp.ascontiguousarray(a) for a in (x, u)], numbers, spans]
        if self._many:
            blocks = sizes.count * -(-sizes.rest // 32)
        else:
            blocks = -(-sizes.count * sizes.rest // texts.THREADS)
        arguments = [*arrays, out, np.int64(sizes.count)]
        self._add(min(blocks, MOST_BLOCKS), texts.THREADS, arguments)
        return out

    def _sort(self, places: Any, own: dict[str, Any]) -> None:
        """Puts the order of the updates into these arrays."""
        sizes, state, threads = self._sizes, own["state"], texts.THREADS
        n, count = np.int64(sizes.updates), np.int64(sizes.count)
        self._ascending(sizes.tiles, threads, [places, own["flags"], own["spans"], n, count])
        self._decide(1, threads, [own["flags"], state, np.int64(sizes.tiles)])
        keys, order = places, own["order0"]
        for k in range(sizes.passes):
            tally, place = self._passes[min(k, 1)]
            shift, to = np.int64(texts.DIGIT * k), k & 1
            tally(sizes.tiles, threads, [state, keys, own["counts"], n, count, shift])
            ranked = [state, own["counts"], own["totals"], np.int64(sizes.tiles)]
            self._rank(256, threads, ranked)
            sorted_to = [own[f"keys{to}"], own[f"order{to}"]]
            moved = [state, keys, order, own["counts"], own["totals"], *sorted_to]
            place(sizes.tiles, threads, [*moved, n, count, shift])
            keys, order = sorted_to
        self._spans(sizes.tiles, threads, [state, places, keys, own["spans"], n, count])

    def _places(self, indices: Sequence[Any]) -> Any:
        """The number of the place of each update."""
        xp, ndim = self._xp, indices[0].ndim
        parts = [
            xp.arange(self._shape[d]).reshape([-1 if i == d else 1 for i in range(ndim)])
            for d in range(self._batch)
        ]
        flat, *others = [*parts, *indices]
        for part, n in zip(others, self._shape[1:], strict=False):
            flat = flat * n + part
        return xp.ascontiguousarray(xp.ravel(flat))


def _numbers(*pointers: str, of: int) -> tuple[str, ...]:
    return (*[f"{kind}*" for kind in pointers], *["i64"] * of)


ASCENDING = KernelText("ascending", texts.ASCENDING, _numbers("i64", "i32", "i32", of=2))
DECIDE = KernelText("decide", texts.DECIDE, _numbers("i32", "i32", of=1))
RANK = KernelText("rank", texts.RANK, _numbers("i32", "i32", "i32", of=1))
SPANS = KernelText("spans", texts.SPANS, _numbers("i32", "i64", "i32", "i32", of=2))


def tally_text(keys: str) -> KernelText:
    """The kernel that counts digits, of places ("i64") or of keys of an earlier pass ("i32")."""
    return KernelText("tally", texts.tally(keys), _numbers("i32", keys, "i32", of=3))


def place_text(keys: str) -> KernelText:
    """The kernel that moves keys to where a digit belongs."""
    types = _numbers("i32", keys, "i32", "i32", "i32", "i32", "i32", of=3)
    return KernelText("place", texts.place(keys), types)


def segment_text(kind: str, rest: int, many: bool) -> KernelText:
    """The kernel that adds up the updates of each place."""
    types = _numbers("i32", kind, kind, "i32", "i32", kind, of=1)
    return KernelText("segments", texts.segments(kind, rest, many), types)
