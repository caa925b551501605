"""The parts of PTX: operands, instructions, variables, entries."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field


class PTXError(Exception):
    """Text that the emulator does not know."""


@dataclass(frozen=True)
class Reg:
    name: str


@dataclass(frozen=True)
class Imm:
    """A number: an int, or the bits of a float and how many they are (0f…: 32, 0d…: 64)."""

    value: int
    bits: int = 0


@dataclass(frozen=True)
class Sym:
    """The address of a variable, or a label."""

    name: str


@dataclass(frozen=True)
class Special:
    """A special register, such as tid.x."""

    name: str


@dataclass(frozen=True)
class Addr:
    base: "Operand"
    offset: int


@dataclass(frozen=True)
class Vec:
    parts: tuple["Operand", ...]


@dataclass(frozen=True)
class Pair:
    """d|p: a register and a predicate beside it."""

    first: "Operand"
    second: "Operand"


Operand = Reg | Imm | Sym | Special | Addr | Vec | Pair


@dataclass
class Instr:
    line: int
    text: str
    op: tuple[str, ...]
    operands: list
    pred: str | None = None
    negated: bool = False

    @property
    def ends_block(self) -> bool:
        """Whether threads may go on elsewhere, or wait for others."""
        return self.op[0] in ("bra", "ret", "exit") or self.is_barrier

    @property
    def is_barrier(self) -> bool:
        return self.op[:2] in (("bar", "sync"), ("barrier", "sync"))


@dataclass
class Label:
    name: str


@dataclass
class Variable:
    """A variable of .shared, .local, .global or .const."""

    name: str
    space: str
    align: int
    size: int
    data: bytes | None = None


@dataclass
class Block:
    """A basic block: instructions that are run one after the other."""

    number: int
    instrs: list[Instr] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)


@dataclass
class Entry:
    """A kernel: parameters and registers by name with their types."""

    name: str
    params: list[tuple[str, str]]
    registers: dict[str, str]
    blocks: list[Block]
    variables: dict[str, Variable]


def type_size(t: str) -> int:
    """Bytes of a type like f32 or b64; a predicate is 0."""
    return 0 if t == "pred" else int(t[1:]) // 8


_VARIABLE = re.compile(
    r"(?:\.visible\s+|\.extern\s+|\.weak\s+|\.common\s+)*\.(global|const|shared|local)\s+"
    r"(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$%.]+)\s*(?:\[(\d*)\])?\s*(?:=\s*(.*))?$",
    re.DOTALL,
)


def variable(text: str) -> Variable | None:
    """A declaration of a variable; None if it is another one."""
    found = _VARIABLE.match(text.strip())
    if not found:
        return None
    space, align, kind, name, count, init = found.groups()
    item = type_size(kind)
    size = item * int(count or 1)
    data = None
    if init is not None:
        numbers = [int(x, 0) for x in re.findall(r"-?\w+", init)]
        data = b"".join((n % (1 << 8 * item)).to_bytes(item, "little") for n in numbers)
        data = data.ljust(size, b"\0")
    return Variable(name, space, int(align or item), size, data)


def instruction(text: str, line: int, named: Callable[[str], str]) -> Instr:
    """An instruction; `named` gives the register that a name stands for."""
    found = re.match(r"(?:@(!?)([%\w$]+)\s+)?([\w.:]+)\s*(.*)$", text)
    if not found:
        raise PTXError(f"line {line}: {text}")
    negated, pred, op, rest = found.groups()
    operands = [operand(x, named) for x in divided(rest)]
    pred = named(pred) if pred else None
    return Instr(line, text, tuple(op.split(".")), operands, pred, bool(negated))


def divided(text: str) -> list[str]:
    """Operands, divided at commas outside of brackets."""
    out, depth, buffer = [], 0, ""
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and not depth:
            out.append(buffer.strip())
            buffer = ""
        else:
            buffer += c
    return [*out, buffer.strip()] if buffer.strip() else out


_SPECIAL = re.compile(r"%((tid|ntid|ctaid|nctaid)\.[xyz]|laneid)$")
_FLOAT = re.compile(r"0(?:[fF]([0-9a-fA-F]{8})|[dD]([0-9a-fA-F]{16}))$")
_WHOLE = re.compile(r"(-?(?:0[xX][0-9a-fA-F]+|\d+))[uU]?$")


def operand(text: str, named: Callable[[str], str]) -> Operand:
    text = text.strip()
    if text.startswith(("{", "(")):
        return Vec(tuple([operand(x, named) for x in divided(text[1:-1])]))
    if text.startswith("["):
        return _address(text, named)
    if "|" in text:
        return Pair(*[operand(x, named) for x in text.split("|")])
    if _SPECIAL.match(text):
        return Special(text[1:])
    if found := _FLOAT.match(text):
        return Imm(int(found[1] or found[2], 16), 32 if found[1] else 64)
    if found := _WHOLE.match(text):
        return Imm(int(found[1], 16 if "x" in text.lower() else 10))
    name = named(text)
    return Reg(name) if text.startswith("%") or name != text else Sym(name)


def _address(text: str, named: Callable[[str], str]) -> Addr:
    found = re.fullmatch(r"\[([%\w$]+)\s*(?:\+?\s*(-?\s*\w+))?\]", text)
    if not found:
        raise PTXError(f"address {text}")
    base, offset = found[1], int((found[2] or "0").replace(" ", ""), 0)
    name = named(base)
    return Addr(Reg(name) if base.startswith("%") else Sym(name), offset)


def renamed(o: object, names: dict[str, str]) -> object:
    """An operand with other names of registers and variables."""
    if isinstance(o, Reg | Sym):
        return type(o)(names.get(o.name, o.name))
    if isinstance(o, Addr):
        return Addr(renamed(o.base, names), o.offset)
    if isinstance(o, Vec):
        return Vec(tuple([renamed(x, names) for x in o.parts]))
    if isinstance(o, Pair):
        return Pair(renamed(o.first, names), renamed(o.second, names))
    return o


def registers(o: object) -> list[str]:
    """The registers of an operand."""
    if isinstance(o, Reg):
        return [o.name]
    if isinstance(o, Addr):
        return registers(o.base)
    if isinstance(o, Vec):
        return [r for p in o.parts for r in registers(p)]
    if isinstance(o, Pair):
        return registers(o.first) + registers(o.second)
    return []
