"""Each basic block of a kernel as a Python function on NumPy arrays.

A function `block_k(S, A)` runs block k for the active threads A of the machine S and returns the
block that follows (`machine.py`). Registers are arrays with one value for each active thread, or
scalars where all threads have the same; the machine keeps those that live from block to block.
"""

from dataclasses import dataclass

import numpy as np

from emulator import arithmetic
from emulator.expressions import Expressions
from emulator.instructions import HANDLERS, space_of, unknown
from emulator.syntax import Addr, Block, Entry, Imm, Instr, registers

NO_RESULT = ("st", "bra", "bar", "barrier", "ret", "exit")


LONG = 40
"""Instructions of a block whose arrays are given back as soon as they are not needed."""


@dataclass
class Memory:
    """An instruction that reaches memory."""

    line: int
    text: str
    space: str
    store: bool
    size: int
    block: int


@dataclass
class Code:
    """A kernel made ready to run."""

    entry: Entry
    functions: list
    source: str
    memory: list[Memory]
    written_params: set[str]
    """The parameters that addresses of stores to global memory may be made from."""


def generate(entry: Entry) -> Code:
    return _Generator(entry).code()


def written(x: Instr) -> list[str]:
    """The registers that get a result."""
    return [] if x.op[0] in NO_RESULT else registers(x.operands[0])


def read(x: Instr) -> list[str]:
    found = [x.pred] if x.pred else []
    operands = x.operands if x.op[0] in NO_RESULT else x.operands[1:]
    found += [r for o in operands for r in registers(o)]
    return found + written(x) if x.pred else found  # what is not written stays


class _Generator(Expressions):
    def __init__(self, entry: Entry):
        super().__init__(entry)
        self.memory: list[Memory] = []
        self.at = 0

    def code(self) -> Code:
        live = _live_out(self.entry.blocks)
        for b in self.entry.blocks:
            self._block(b, live[b.number])
        source = "\n".join(self.lines)
        space = {"np": np, **vars(arithmetic), **self.constants}
        exec(compile(source, f"<{self.entry.name}>", "exec"), space)
        functions = [space[f"block_{b.number}"] for b in self.entry.blocks]
        return Code(self.entry, functions, source, self.memory, _written_params(self.entry))

    def access(self, x: Instr, space: str, store: bool, size: int) -> int:
        """The number of an instruction that reaches memory."""
        self.memory.append(Memory(x.line, x.text, space, store, size, self.at))
        return len(self.memory) - 1

    def _block(self, b: Block, live: set[str]) -> None:
        self.at = b.number
        self.lines.append(f"def block_{b.number}(S, A):")
        for r in sorted(_read_first(b)):
            self.emit(f"{self.name(r)} = S.get({r!r}, A)")
        kept = {r for x in b.instrs for r in written(x)} & live
        last = {r: x for x in b.instrs for r in (*read(x), *written(x)) if r not in kept}
        end = "return S.NEXT"
        for x in b.instrs:
            if x.ends_block:
                end = self._end(x)
                break
            if x.op[0] not in HANDLERS:
                raise unknown(x)
            HANDLERS[x.op[0]](self, x)
            dead = [self.name(r) for r in (*read(x), *written(x)) if last.get(r) is x]
            if dead and len(b.instrs) > LONG:
                self.emit("del " + ", ".join(sorted(set(dead))))
        for r in sorted(kept):
            self.emit(f"S.put({r!r}, A, {self.name(r)})")
        self.emit(end)

    def _end(self, x: Instr) -> str:
        if x.is_barrier:
            if x.pred is not None or x.operands != [Imm(0)]:
                raise unknown(x)
            return f"return S.barrier(A, {x.line})"
        target = str(x.operands[0]) if x.op[0] == "bra" else "S.EXIT"
        return (
            f"return S.branch(A, {self.predicate(x)}, {target})" if x.pred else f"return {target}"
        )


def _read_first(b: Block) -> set[str]:
    """The registers that a block reads before it writes them."""
    found: set[str] = set()
    made: set[str] = set()
    for x in b.instrs:
        found |= set(read(x)) - made
        made |= set(written(x))
    return found


def _live_out(blocks: list[Block]) -> list[set[str]]:
    """For each block the registers that are read after it."""
    used = [_read_first(b) for b in blocks]
    made = [{r for x in b.instrs for r in written(x)} for b in blocks]
    live_in = [set(u) for u in used]
    live_out: list[set[str]] = [set() for _ in blocks]
    changed = True
    while changed:
        changed = False
        for b in reversed(blocks):
            k = b.number
            live_out[k] = set().union(*[live_in[s] for s in b.successors])
            before = used[k] | (live_out[k] - made[k])
            changed |= before != live_in[k]
            live_in[k] = before
    return live_out


def _written_params(entry: Entry) -> set[str]:
    instrs = [x for b in entry.blocks for x in b.instrs]
    made_from: dict[str, set[str]] = {}
    changed = True
    while changed:
        changed = False
        for x in instrs:
            if x.op[0] == "ld":
                found = {x.operands[1].base.name} if space_of(x) == "param" else set()
            else:
                found = set().union(*[made_from.get(r, set()) for r in read(x)])
            for r in written(x):
                if not found <= made_from.setdefault(r, set()):
                    made_from[r] |= found
                    changed = True
    places = [o for x in instrs if x.op[0] == "st" for o in x.operands if isinstance(o, Addr)]
    return set().union(*[made_from.get(r, set()) for o in places for r in registers(o)])
