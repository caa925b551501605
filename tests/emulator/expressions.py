"""Operands as NumPy expressions, with PTX's types.

A register is kept as an array of one NumPy type: f32, f64, b1 (predicates) or the unsigned integer
of its width. An instruction takes its bits as what its own type says.
"""

import re

import numpy as np

from emulator.syntax import Entry, Imm, Instr, Pair, PTXError, Reg, Special, Sym


def kind(t: str) -> str:
    """The NumPy type (by its name in `arithmetic`) of a PTX type."""
    return "b1" if t == "pred" else {"b": "u", "u": "u", "s": "i", "f": "f"}[t[0]] + t[1:]


def kept(t: str) -> str:
    """The NumPy type that a register of a PTX type is kept as."""
    return kind(t) if t == "pred" or t[0] == "f" else "u" + t[1:]


def converted(text: str, have: str, want: str) -> str:
    """The low bits of a value as those of another type."""
    if have == want or "b1" in (have, want):
        return text
    if have[1:] == want[1:]:
        return f"({text}).view({want})"
    if "f" in (have[0], want[0]):
        return f"({text}).view(u{have[1:]}).astype(u{want[1:]}).view({want})"
    if have[0] == "i":  # widened with its sign
        return f"({text}).astype(i{want[1:]}).view({want})"
    return f"({text}).astype({want})"


class Expressions:
    """Reads and writes of registers in the text of a function."""

    def __init__(self, entry: Entry):
        self.entry = entry
        self.lines: list[str] = []
        self.constants: dict[str, object] = {}
        self._names: dict[str, str] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " + line)

    def name(self, r: str) -> str:
        if r not in self._names:
            self._names[r] = re.sub(r"\W", "_", r.lstrip("%")) + "_"
        return self._names[r]

    def predicate(self, x: Instr) -> str:
        """The condition of an instruction."""
        name = self.name(x.pred)
        return f"~{name}" if x.negated else name

    def mask(self, x: Instr) -> str:
        return "None" if x.pred is None else self.predicate(x)

    def type_of(self, r: str) -> str:
        if r not in self.entry.registers:
            raise PTXError(f"register {r} is not declared")
        return self.entry.registers[r]

    def constant(self, value: np.generic) -> str:
        bits = int(np.asarray(value).view(f"u{value.nbytes}"))
        name = f"c_{value.dtype}_{bits:x}"
        self.constants[name] = value
        return name

    def src(self, o: object, t: str) -> str:
        """An operand of an instruction of type `t`."""
        if isinstance(o, Imm):
            return self.constant(number(o, t))
        if isinstance(o, Special):
            return converted(f"S.special({o.name!r}, A)", "u32", kind(t))
        if isinstance(o, Sym):
            return f"S.symbols[{o.name!r}]"
        if isinstance(o, Reg):
            have = kept(self.type_of(o.name))
            return converted(self.name(o.name), have, kind(t))
        raise PTXError(f"operand {o}")

    def flushed(self, o: object, x: Instr) -> str:
        """An operand of the last type of an instruction, which may flush subnormal numbers."""
        text = self.src(o, x.op[-1])
        return f"FTZ({text})" if "ftz" in x.op and x.op[-1] == "f32" else text

    def dst(self, o: object, t: str, text: str, x: Instr) -> None:
        """Puts the result `text` of type `t` into a register."""
        if isinstance(o, Pair):
            o = o.first
        if not isinstance(o, Reg):
            raise PTXError(f"line {x.line}: {x.text}")
        if o.name == "_":  # not wanted
            return
        have, want = kind(t), kept(self.type_of(o.name))
        if (have == "b1") != (want == "b1"):
            raise PTXError(f"line {x.line}: {x.text}")
        name, text = self.name(o.name), converted(text, have, want)
        if x.pred is not None:
            text = f"np.where({self.predicate(x)}, {text}, {name})"
        self.emit(f"{name} = {text}")

    def rounded(self, x: Instr, text: str) -> None:
        """Puts a float into the first operand, with .ftz and .sat."""
        if "ftz" in x.op and x.op[-1] == "f32":
            text = f"FTZ({text})"
        if "sat" in x.op:
            text = f"SAT({text})"
        self.dst(x.operands[0], x.op[-1], text, x)


def number(o: Imm, t: str) -> np.generic:
    """An immediate operand as a number of a type."""
    if t == "pred":
        return np.bool_(o.value != 0)
    k = kind(t)
    n = int(k[1:])
    dtype = np.dtype(f"{k[0]}{n // 8}")
    if o.bits and o.bits != n:
        return dtype.type(np.array(o.value, f"u{o.bits // 8}").view(f"f{o.bits // 8}")[()])
    if k[0] == "f" and not o.bits:
        return dtype.type(o.value)
    return np.array(o.value % (1 << n), f"u{n // 8}").view(dtype)[()]
