"""Values of a row that wait in shared memory, where a thread has more of them than registers.

Reverse mode needs at its end what it computed at its beginning, and so do the values of a network's
layers, that wait for the gradients to come back. Here the lines of a round are gone through in
order, with the values that they leave for later lines. If these are too many, those whose next use
is farthest away (Belady, 1966) leave the registers: into shared memory, where each thread has
places of its own, or, if a few operations make them again of what is there anyway, for nothing.
They come back just before that use.
"""

import ast
import bisect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpuad.codegen.cuda.instruction_order import ASSIGNED, NAME, blocks

FLOATS = ("f32", "f64")
OPERATIONS = 10
"""Operations, at most, that make a value again."""
WAITING = 0.5
"""What it is made of waits at least so much of the time, relatively."""
_CHEAP = (ast.Add, ast.Sub, ast.Mult)


@dataclass
class _Value:
    """A value that lines make.

    made: the block of lines that makes it, or the last one that changes it.
    reads: the blocks that read it after that.
    kind: its dtype, or "" where that cannot be told from the text.
    text: the expression that makes it, if a thread can do that again at little cost.
    name: its name while it is in registers.
    place: where it is in shared memory, once it has been put there.
    """

    made: int
    reads: list[int]
    kind: str
    text: str = ""
    name: str | None = None
    place: int | None = None

    def next_read(self, now: int) -> int:
        """The next block that reads it; 0 if there is none."""
        k = bisect.bisect_right(self.reads, now)
        return self.reads[k] if k < len(self.reads) else 0


def parked(
    lines: Sequence[str],
    registers: int,
    kinds: dict[str, str],
    element: Callable[[str, int], str],
    fresh: Callable[[], str],
) -> tuple[list[str], dict[str, int]]:
    """The lines, in which values that wait between any two of them take at most so many registers,
    and how many values of each thread are in shared memory, by dtype.

    kinds: the dtypes of arrays that lines load from. element(kind, place) is the text of a place in
    shared memory.
    """
    found = _Parking([*blocks(lines)], registers, kinds, element, fresh)
    return found.lines(), found.size


def waiting(lines: Sequence[str]) -> int:
    """Registers that values take which wait between two lines, where most of them do."""
    found = _Parking([*blocks(lines)], 0, {}, lambda *_: "", lambda: "")
    return found.most_held()


class _Parking:
    """Where values are while the blocks are gone through. It has many attributes because every step
    reads and changes this state."""

    def __init__(
        self,
        blocks: list[str],
        registers: int,
        kinds: dict[str, str],
        element: Callable[[str, int], str],
        fresh: Callable[[], str],
    ):
        self.size: dict[str, int] = {}
        self._free: dict[str, list[int]] = {}
        self._blocks = blocks
        self._registers = registers
        self._values = _values(blocks, kinds)
        self._made_by: dict[int, list[str]] = {}
        for name, x in self._values.items():
            self._made_by.setdefault(x.made, []).append(name)
        self._element = element
        self._fresh = fresh
        self._held: dict[str, _Value] = {}
        # By block, what values are made of there.
        self._sources_at: dict[int, list[str]] = {}
        # Registers of these; and what the block at hand makes, reads or brings back.
        self._taken = 0
        self._touched: set[str] = set()
        self._found: list[str] = []

    def lines(self) -> list[str]:
        for k, block in enumerate(self._blocks):
            # What others are made of here may itself be made of what is there until here only.
            again = [x for x in self._sources_at.get(k, []) if self._values[x].next_read(k)]
            for name in dict.fromkeys([*NAME.findall(block), *again]):
                self._bring(name, k)
            self._found += self._renamed(block, k).split("\n")
            for name in self._made_by.get(k, []):
                self._hold(name, name)
            self._forget(k)
            while self._registers < self._taken and self._put_away(k):
                pass
        return self._found

    def most_held(self) -> int:
        """Registers of all values that wait, at most."""
        most = 0
        for k, block in enumerate(self._blocks):
            for name in self._made_by.get(k, []):
                self._hold(name, name)
            self._touched.update(NAME.findall(block))
            self._forget(k)
            most = max(most, self._taken)
        return most

    def _hold(self, name: str, now: str) -> None:
        """Notes that a value is in registers, by this name."""
        x = self._held[name] = self._values[name]
        x.name = now
        self._taken += _size(x)
        self._touched.add(name)

    def _release(self, name: str) -> None:
        """Notes that it is there no more."""
        x = self._held.pop(name)
        x.name = None
        self._taken -= _size(x)

    def _bring(self, name: str, k: int) -> str:
        """The name of a value in registers, where block k reads it."""
        x = self._values.get(name)
        if x is None or x.made >= k:
            return name
        self._touched.add(name)
        if x.name is None:
            if x.place is not None:
                text = self._element(x.kind, x.place)
            else:
                text = NAME.sub(lambda m: self._bring(m[0], k), x.text)
            self._hold(name, self._fresh())
            self._found.append(f"{x.name} = {text}")
        return str(x.name)

    def _renamed(self, block: str, k: int) -> str:
        """The block with values by the names that they have now."""

        def name(m: re.Match[str]) -> str:
            x = self._values.get(m[0])
            return m[0] if x is None or x.made >= k else str(x.name)

        return NAME.sub(name, block)

    def _forget(self, k: int) -> None:
        """Gives back what no block after this one reads, of what this one does or makes."""
        for name in sorted(self._touched):
            x = self._values.get(name)
            if x is None or x.next_read(k):
                continue
            if name in self._held:
                self._release(name)
            if x.place is not None:
                self._free[x.kind].append(x.place)
                x.place = None
        self._touched.clear()

    def _put_away(self, k: int) -> bool:
        """Takes the value out of registers whose next use is farthest away, if there is one."""
        some = [name for name, x in self._held.items() if x.kind in FLOATS]
        if not some:
            return False
        name = max(some, key=lambda name: (self._held[name].next_read(k), name))
        x = self._held[name]
        again = x.next_read(k)
        sources = self._sources(name, k, again) if x.place is None else []
        if sources:
            for source in sources:
                bisect.insort(self._values[source].reads, again)
            self._sources_at.setdefault(again, []).extend(sources)
        elif x.place is None:
            free = self._free.setdefault(x.kind, [])
            if not free:
                self.size[x.kind] = self.size.get(x.kind, 0) + 1
                free.append(self.size[x.kind] - 1)
            x.place = free.pop()
            self._found.append(f"{self._element(x.kind, x.place)} = {x.name}")
        self._release(name)
        return True

    def _sources(self, name: str, now: int, again: int) -> list[str]:
        """The names of values of which a few operations make this one in block `again`, and which
        wait most of that time too; none, if there are no such values."""
        sources: list[str] = []
        todo, seen = [name], {name}
        for _ in range(OPERATIONS):
            if not todo:
                break
            x = self._values[todo.pop()]
            if not x.text:
                return []
            for other in NAME.findall(x.text):
                y = self._values.get(other)
                if other in seen:
                    continue
                seen.add(other)
                if y is not None and y.reads and y.reads[-1] - now > (again - now) * WAITING:
                    sources.append(other)
                elif y is not None:
                    todo.append(other)
        return [] if todo else sources


def _size(x: _Value) -> int:
    return 2 if x.kind == "f64" else 1


def _values(blocks: Sequence[str], kinds: dict[str, str]) -> dict[str, _Value]:
    """What the blocks make and later ones read, by name."""
    values: dict[str, _Value] = {}
    found = dict(kinds)
    times: Counter[str] = Counter()
    for k, block in enumerate(blocks):
        for line in block.split("\n"):
            m = ASSIGNED.match(line.lstrip())
            if m is None:
                continue
            names = m[1].split(", ")
            times.update(names)
            made = ast.parse(line.strip()).body[0] if line == block else None
            for name in names:
                if name in values:
                    values[name].made = k
                    continue
                values[name] = _Value(k, [], "")
                if isinstance(made, ast.Assign):
                    kind = found[name] = values[name].kind = _kind(made.value, found)
                    if len(names) == 1 and kind in FLOATS and _is_cheap(made.value):
                        values[name].text = ast.unparse(made.value)
    for k, block in enumerate(blocks):
        for name in dict.fromkeys(NAME.findall(block)):
            if name in values and k > values[name].made:
                values[name].reads.append(k)
    for name, x in values.items():
        changed = [times[y] > 1 and values[y].made > x.made for y in NAME.findall(x.text)]
        if times[name] > 1 or any(changed):
            x.text = ""
    return values


def _is_cheap(x: ast.expr) -> bool:
    """Whether this is one operation of names and numbers."""
    operands = []
    match x:
        case ast.BinOp(left=y, op=op, right=z) if isinstance(op, _CHEAP):
            operands = [y, z]
        case ast.UnaryOp(op=ast.USub(), operand=y):
            operands = [y]
        case ast.Call(func=ast.Name(id=name), args=args) if name.startswith("fma_"):
            operands = args
    return bool(operands) and all(map(_is_operand, operands))


def _is_operand(x: ast.expr) -> bool:
    match x:
        case ast.Name() | ast.UnaryOp(op=ast.USub(), operand=ast.Name()):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in FLOATS
    return False


def _kind(x: ast.expr, kinds: dict[str, str]) -> str:
    """The dtype of an expression; "" where that cannot be told."""
    match x:
        case ast.Name(id=name):
            return kinds.get(name, "")
        case ast.Subscript(value=array):
            return _kind(array, kinds)
        case ast.UnaryOp(op=ast.USub(), operand=y):
            return _kind(y, kinds)
        case ast.BinOp(left=y, op=(ast.Add() | ast.Sub() | ast.Mult() | ast.Div()), right=z):
            return _same(_kind(y, kinds), _kind(z, kinds))
        case ast.IfExp(body=y, orelse=z):
            return _same(_kind(y, kinds), _kind(z, kinds))
        case ast.Call(func=ast.Name(id=("load2" | "load4")), args=[array, _]):
            return _kind(array, kinds)
        case ast.Call(func=ast.Name(id=name)):
            kind = name.rpartition("_")[2]
            return kind if kind in FLOATS else ""
        case ast.Call(func=ast.Attribute(attr=("shfl_sync" | "shfl_xor_sync")), args=[_, y, _]):
            return _kind(y, kinds)
    return ""


def _same(x: str, y: str) -> str:
    return x if x == y else ""
