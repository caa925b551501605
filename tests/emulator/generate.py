"""Each basic block of an entry as a Python function on NumPy arrays.

A function `block_k(S, A)` runs block k for the active threads `A` of the machine `S` (machine.py).
Registers are arrays with one number for each active thread, or scalars where all threads have the
same; those that live from block to block are kept by the machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from emulator import arithmetic
from emulator.parse import (
    BARRIERS, Addr, Block, Entry, Imm, Instr, Pair, PTXError, Reg, Special, Sym, Vec, type_size,
)  # fmt: skip

STORED = {"pred": "b1", "16": "u16", "32": "u32", "64": "u64", "8": "u8"}


def stored_kind(t: str) -> str:
    """The NumPy type (by its name in arithmetic) that a register of a PTX type is kept as."""
    if t in ("f32", "f64"):
        return t
    return "b1" if t == "pred" else STORED[t[1:]]


def kind(t: str) -> str:
    """The NumPy type of a PTX instruction type."""
    if t == "pred":
        return "b1"
    if t[0] == "b":
        return "u" + t[1:]
    return {"s": "i", "u": "u", "f": "f"}[t[0]] + t[1:]


@dataclass
class Memory:
    """A memory instruction, for the counters."""

    line: int
    text: str
    space: str
    store: bool
    size: int
    block: int


@dataclass
class Code:
    """An entry made ready to run."""

    entry: Entry
    functions: list
    live_in: list[set[str]]
    source: str
    memory: list[Memory]
    parameters: dict[str, str]
    written_params: set[str]
    uses_atomics: bool


def generate(entry: Entry) -> Code:
    return _Generator(entry).code()


COMPARE = {
    "eq": "{a} == {b}", "ne": "{a} != {b}", "lt": "{a} < {b}", "le": "{a} <= {b}",
    "gt": "{a} > {b}", "ge": "{a} >= {b}", "lo": "{a} < {b}", "ls": "{a} <= {b}",
    "hi": "{a} > {b}", "hs": "{a} >= {b}", "ltu": "~({a} >= {b})", "leu": "~({a} > {b})",
    "gtu": "~({a} <= {b})", "geu": "~({a} < {b})",
    "equ": "({a} == {b}) | ({a} != {a}) | ({b} != {b})", "neu": "{a} != {b}",
    "num": "({a} == {a}) & ({b} == {b})", "nan": "({a} != {a}) | ({b} != {b})",
}  # fmt: skip


class _Generator:
    def __init__(self, entry: Entry):
        self.entry = entry
        self.names: dict[str, str] = {}
        self.constants: dict[str, object] = {}
        self.memory: list[Memory] = []
        self.parameters = dict(entry.params)
        self.lines: list[str] = []
        self.count = 0
        self.atomics = False

    def code(self) -> Code:
        live_in, live_out = self._liveness()
        for b in self.entry.blocks:
            self._block(b, live_in[b.number], live_out[b.number])
        source = "\n".join(self.lines)
        space = {k: v for k, v in vars(arithmetic).items() if not k.startswith("__")}
        space |= {"np": np, "b1": np.bool_, **self.constants}
        exec(compile(source, f"<{self.entry.name}>", "exec"), space)
        functions = [space[f"block_{b.number}"] for b in self.entry.blocks]
        return Code(
            self.entry, functions, live_in, source, self.memory, self.parameters,
            self._written_params(), self.atomics,
        )  # fmt: skip

    # What is read and written

    def _reads(self, x: Instr) -> list[str]:
        found = [x.pred] if x.pred else []
        writes = self._destinations(x)
        for k, o in enumerate(x.operands):
            found += [r for r in _registers(o) if not (k < writes and not isinstance(o, Addr))]
        if x.pred:  # what it does not write stays
            found += self._writes(x)
        return found

    def _writes(self, x: Instr) -> list[str]:
        return [r for o in x.operands[: self._destinations(x)] for r in _registers(o)]

    @staticmethod
    def _destinations(x: Instr) -> int:
        if x.op[0] in ("st", "bra", "bar", "barrier", "ret", "exit", "membar", "fence", "red",
                       "trap", "prefetch", "prefetchu", "griddepcontrol", "nanosleep",
                       "brkpt", "discard"):  # fmt: skip
            return 0
        return 1

    def _liveness(self) -> tuple[list[set[str]], list[set[str]]]:
        blocks = self.entry.blocks
        use, define = [], []
        for b in blocks:
            u: set[str] = set()
            d: set[str] = set()
            for x in b.instrs:
                u |= set(self._reads(x)) - d
                d |= set(self._writes(x))
            use.append(u)
            define.append(d)
        live_in = [set() for _ in blocks]
        live_out = [set() for _ in blocks]
        changed = True
        while changed:
            changed = False
            for b in reversed(blocks):
                k = b.number
                out = set().union(*[live_in[s] for s in b.successors])
                into = use[k] | (out - define[k])
                if out != live_out[k] or into != live_in[k]:
                    live_out[k], live_in[k], changed = out, into, True
        self._defined = define
        return live_in, live_out

    def _written_params(self) -> set[str]:
        """The parameters that the addresses of stores to global memory may be made from."""
        tainted: dict[str, set[str]] = {}
        instrs = [x for b in self.entry.blocks for x in b.instrs]
        changed = True
        while changed:
            changed = False
            for x in instrs:
                if not self._destinations(x):
                    continue
                if x.op[:2] == ("ld", "param"):
                    found = {x.operands[1].base.name}
                elif x.op[0] in ("ld", "shfl", "atom"):
                    continue
                else:
                    reads = [r for o in x.operands[1:] for r in _registers(o)]
                    found = set().union(*[tainted.get(r, set()) for r in reads])
                for r in self._writes(x):
                    have = tainted.setdefault(r, set())
                    if not found <= have:
                        have |= found
                        changed = True
        written: set[str] = set()
        for x in instrs:
            if x.op[0] in ("st", "red", "atom") and x.op[1] not in ("shared", "local", "param"):
                place = next(o for o in x.operands if isinstance(o, Addr))
                for r in _registers(place):
                    written |= tainted.get(r, set())
        return written

    # Blocks

    def _block(self, b: Block, live_in: set[str], live_out: set[str]) -> None:
        self.lines.append(f"def block_{b.number}(S, A):")
        emit = self._emit
        read_first: set[str] = set()
        defined: set[str] = set()
        for x in b.instrs:
            read_first |= set(self._reads(x)) - defined
            defined |= set(self._writes(x))
        for r in sorted(read_first):
            emit(f"{self._name(r)} = S.get({r!r}, A)")
        uses = [set(self._reads(x)) | set(self._writes(x)) for x in b.instrs]
        last = {r: k for k, rs in enumerate(uses) for r in rs}
        kept = defined & live_out
        end = "return S.NEXT"
        for k, x in enumerate(b.instrs):
            if k == len(b.instrs) - 1 and (
                x.op[0] in ("bra", "ret", "exit", "trap") or x.op[:2] in BARRIERS
            ):
                end = self._end(x)
                break
            self._instruction(x, b.number)
            dead = [r for r in uses[k] if last[r] == k and r not in kept]
            if dead and len(b.instrs) > 40:
                emit("del " + ", ".join(sorted(self._name(r) for r in dead)))
        for r in sorted(kept):
            emit(f"S.put({r!r}, A, {self._name(r)})")
        emit(end)

    def _end(self, x: Instr) -> str:
        if x.op[0] == "bra":
            if x.pred is None:
                return f"return {x.operands[0]}"
            return f"return S.branch(A, {self._predicate(x)}, {x.operands[0]})"
        if x.op[0] in ("ret", "exit"):
            if x.pred is None:
                return "return S.EXIT"
            return f"return S.branch(A, {self._predicate(x)}, S.EXIT)"
        if x.op[0] == "trap":
            return f"return S.trap(A, {x.line})"
        if x.pred is not None:
            raise PTXError(f"line {x.line}: a barrier with a predicate")
        number = x.operands[0].value if x.operands and isinstance(x.operands[0], Imm) else 0
        return f"return S.barrier(A, {x.line}, {number})"

    def _emit(self, line: str) -> None:
        self.lines.append("    " + line)

    def _name(self, r: str) -> str:
        if r not in self.names:
            self.names[r] = re.sub(r"\W", "_", r.lstrip("%")) + "_"
        return self.names[r]

    def _predicate(self, x: Instr) -> str:
        name = self._name(x.pred)
        return f"~{name}" if x.negated else name

    # Operands

    def _type(self, r: str) -> str:
        if r not in self.entry.registers:
            raise PTXError(f"register {r} is not declared")
        return self.entry.registers[r]

    def _constant(self, value: object) -> str:
        name = f"c{type(value).__name__}_{str(value).replace('.', '_').replace('-', 'm').replace('+', '')}"
        if isinstance(value, np.floating):
            name = f"c{type(value).__name__}_{int(value.view(f'u{value.nbytes}')):x}"
        self.constants[name] = value
        return name

    def _src(self, o: object, t: str) -> str:
        """An expression for an operand as type `t` of the instruction."""
        k = kind(t)
        if isinstance(o, Imm):
            return self._constant(_number(o, t))
        if isinstance(o, Special):
            return self._convert(f"S.special({o.name!r}, A)", "u64" if "64" in o.name else "u32", k)
        if isinstance(o, Sym):
            return f"S.symbol({o.name!r})"
        if isinstance(o, Reg):
            return self._convert(self._name(o.name), stored_kind(self._type(o.name)), k)
        raise PTXError(f"operand {o}")

    @staticmethod
    def _convert(name: str, have: str, want: str) -> str:
        if have == want or (have == "b1") != (want == "b1"):
            return name
        if have[1:] == want[1:]:
            return f"{name}.view({want})"
        if want[0] == "f" or have[0] == "f":
            bits = f"{name}.view(u{have[1:]}).astype(u{want[1:]})"
            return f"{bits}.view({want})"
        return f"{name}.astype({want})"

    def _dst(self, o: object, t: str, expression: str, x: Instr) -> None:
        """Puts an expression of type `t` into a register."""
        if isinstance(o, Pair):
            o = o.first
        if not isinstance(o, Reg):
            raise PTXError(f"line {x.line}: {x.text}")
        if o.name == "_":
            return
        have, want = kind(t), stored_kind(self._type(o.name))
        name = self._name(o.name)
        if have != want:
            if have == "b1" or want == "b1":
                raise PTXError(f"line {x.line}: {x.text}")
            if have[1:] == want[1:]:
                expression = f"({expression}).view({want})"
            elif have[0] == "i":
                expression = f"({expression}).astype(i{want[1:]}).view({want})"
            elif want[0] == "f" or have[0] == "f":
                expression = (
                    f"({expression}).view(u{have[1:]}).astype(u{want[1:]}).view({want})"
                )
            else:
                expression = f"({expression}).astype({want})"
        if x.pred is not None:
            self._emit(f"{name} = np.where({self._predicate(x)}, {expression}, {name})")
        else:
            self._emit(f"{name} = {expression}")

    # Instructions

    def _instruction(self, x: Instr, block: int) -> None:
        self._at = block
        name = x.op[0]
        handler = getattr(self, f"_op_{name}", None)
        if handler is None:
            raise PTXError(f"line {x.line}: {x.text}: {name} is not known")
        handler(x)

    def _binary(self, x: Instr, form: str, t: str | None = None) -> None:
        t = t or x.op[-1]
        d, a, b = x.operands
        self._dst(d, t, form.format(a=self._src(a, t), b=self._src(b, t)), x)

    def _float(self, x: Instr, expression: str) -> None:
        """A float result, with .ftz and .sat."""
        t = x.op[-1]
        if "ftz" in x.op and t == "f32":
            expression = f"FTZ({expression})"
        if "sat" in x.op:
            expression = f"SAT({expression})"
        self._dst(x.operands[0], t, expression, x)

    def _in(self, o: object, x: Instr, t: str | None = None) -> str:
        t = t or x.op[-1]
        text = self._src(o, t)
        return f"FTZ({text})" if "ftz" in x.op and t == "f32" else text

    @staticmethod
    def _mode(x: Instr) -> str:
        return next((m for m in x.op if m in ("rn", "rz", "rm", "rp")), "rn")

    def _op_add(self, x: Instr) -> None:
        self._sum(x, "+", "ADD32R({a}, {b}, {m!r})")

    def _op_sub(self, x: Instr) -> None:
        self._sum(x, "-", "ADD32R({a}, -{b}, {m!r})")

    def _sum(self, x: Instr, sign: str, directed: str) -> None:
        t = x.op[-1]
        d, a, b = x.operands
        if t[0] == "f":
            va, vb = self._in(a, x), self._in(b, x)
            if self._mode(x) != "rn":
                if t == "f64":
                    raise PTXError(f"line {x.line}: {x.text}")
                return self._float(x, directed.format(a=va, b=vb, m=self._mode(x)[1]))
            return self._float(x, f"{va} {sign} {vb}")
        if "cc" in x.op:
            k = "u" + t[1:]
            va, vb = self._src(a, k), self._src(b, k)
            self._emit(f"cc_a = {va}")
            self._emit(f"cc_r = cc_a {sign} {vb}")
            self._emit(f"cc = {'cc_r < cc_a' if sign == '+' else 'cc_r > cc_a'}")
            return self._dst(d, k, "cc_r", x)
        k = "u" + t[1:]
        self._dst(d, k, f"{self._src(a, k)} {sign} {self._src(b, k)}", x)

    def _op_addc(self, x: Instr) -> None:
        self._carried(x, "+", "<")

    def _op_subc(self, x: Instr) -> None:
        self._carried(x, "-", ">")

    def _carried(self, x: Instr, sign: str, order: str) -> None:
        k = "u" + x.op[-1][1:]
        d, a, b = x.operands
        self._emit(f"cc_a = {self._src(a, k)}")
        self._emit(f"cc_s = cc_a {sign} {self._src(b, k)}")
        self._emit(f"cc_r = cc_s {sign} cc.astype({k})")
        if "cc" in x.op:
            self._emit(f"cc = (cc_s {order} cc_a) | (cc_r {order} cc_s)")
        self._dst(d, k, "cc_r", x)

    def _product(self, x: Instr, a: object, b: object, t: str, part: str) -> str:
        """Bits of an integer product, of type u (of twice the width if wide)."""
        n = int(t[1:])
        if part == "lo":
            return f"({self._src(a, f'u{n}')} * {self._src(b, f'u{n}')})"
        if part == "wide":
            k = f"{'i' if t[0] == 's' else 'u'}{2 * n}"
            form = f"({self._src(a, t)}.astype({k}) * {self._src(b, t)}.astype({k}))"
            return f"{form}.view(u{2 * n})" if t[0] == "s" else form
        if n == 64:
            f = "MULHI_S64" if t[0] == "s" else "MULHI_U64"
            return f"{f}({self._src(a, 'u64')}, {self._src(b, 'u64')})"
        k = f"{'i' if t[0] == 's' else 'u'}{2 * n}"
        form = f"(({self._src(a, t)}.astype({k}) * {self._src(b, t)}.astype({k})) >> {k}({n}))"
        return f"{form}.astype({kind(t)}).view(u{n})" if t[0] == "s" else f"{form}.astype(u{n})"

    @staticmethod
    def _part(x: Instr) -> str:
        return next((p for p in ("lo", "hi", "wide") if p in x.op), "lo")

    def _op_mul(self, x: Instr) -> None:
        t = x.op[-1]
        d, a, b = x.operands
        if t[0] == "f":
            va, vb = self._in(a, x), self._in(b, x)
            if self._mode(x) != "rn":
                if t == "f64":
                    return self._float(x, f"FMA64R({va}, {vb}, f64(0), {self._mode(x)[1]!r})")
                return self._float(x, f"MUL32R({va}, {vb}, {self._mode(x)[1]!r})")
            return self._float(x, f"{va} * {vb}")
        part = self._part(x)
        n = int(t[1:]) * (2 if part == "wide" else 1)
        self._dst(d, f"u{n}", self._product(x, a, b, t, part), x)

    _op_mul24 = _op_mul

    def _op_mad(self, x: Instr) -> None:
        t = x.op[-1]
        if t[0] == "f":
            return self._op_fma(x)
        d, a, b, c = x.operands
        part = self._part(x)
        n = int(t[1:]) * (2 if part == "wide" else 1)
        if "cc" in x.op:
            self._emit(f"cc_a = {self._product(x, a, b, t, part)}")
            self._emit(f"cc_r = cc_a + {self._src(c, f'u{n}')}")
            self._emit("cc = cc_r < cc_a")
            return self._dst(d, f"u{n}", "cc_r", x)
        self._dst(d, f"u{n}", f"{self._product(x, a, b, t, part)} + {self._src(c, f'u{n}')}", x)

    def _op_madc(self, x: Instr) -> None:
        t = x.op[-1]
        d, a, b, c = x.operands
        n = int(t[1:])
        self._emit(f"cc_a = {self._product(x, a, b, t, self._part(x))}")
        self._emit(f"cc_s = cc_a + {self._src(c, f'u{n}')}")
        self._emit(f"cc_r = cc_s + cc.astype(u{n})")
        if "cc" in x.op:
            self._emit("cc = (cc_s < cc_a) | (cc_r < cc_s)")
        self._dst(d, f"u{n}", "cc_r", x)

    def _op_fma(self, x: Instr) -> None:
        t, mode = x.op[-1], self._mode(x)
        va, vb, vc = [self._in(o, x) for o in x.operands[1:]]
        name = "FMA32" if t == "f32" else "FMA64"
        if mode != "rn":
            return self._float(x, f"{name}R({va}, {vb}, {vc}, {mode[1]!r})")
        self._float(x, f"{name}({va}, {vb}, {vc})")

    def _op_div(self, x: Instr) -> None:
        t = x.op[-1]
        if t[0] == "f":
            a, b = self._in(x.operands[1], x), self._in(x.operands[2], x)
            mode = self._mode(x)
            if mode != "rn" and t == "f32":
                return self._float(x, f"DIV32R({a}, {b}, {mode[1]!r})")
            return self._float(x, f"{a} / {b}")
        self._binary(x, "DIVI({a}, {b})")

    def _op_rem(self, x: Instr) -> None:
        self._binary(x, "REMI({a}, {b})")

    def _op_neg(self, x: Instr) -> None:
        t = x.op[-1]
        d, a = x.operands
        if t[0] == "f":
            return self._float(x, f"-{self._in(a, x)}")
        k = "u" + t[1:]
        self._dst(d, k, f"(~{self._src(a, k)} + {k}(1))", x)

    def _op_abs(self, x: Instr) -> None:
        d, a = x.operands
        if x.op[-1][0] == "f":
            return self._float(x, f"np.abs({self._in(a, x)})")
        self._dst(d, x.op[-1], f"np.abs({self._src(a, x.op[-1])})", x)

    def _op_min(self, x: Instr) -> None:
        self._extreme(x, "minimum", "NANMIN")

    def _op_max(self, x: Instr) -> None:
        self._extreme(x, "maximum", "NANMAX")

    def _extreme(self, x: Instr, whole: str, other: str) -> None:
        t = x.op[-1]
        if t[0] == "f":
            f = f"np.{whole}" if "NaN" in x.op else other
            return self._float(x, f"{f}({self._in(x.operands[1], x)}, {self._in(x.operands[2], x)})")
        self._binary(x, f"np.{whole}({{a}}, {{b}})")

    def _unary(self, x: Instr, f32: str, f64: str | None = None) -> None:
        f = f32 if x.op[-1] == "f32" else f64
        if f is None:
            raise PTXError(f"line {x.line}: {x.text}")
        self._float(x, f"{f}({self._in(x.operands[1], x)})")

    def _op_sqrt(self, x: Instr) -> None:
        self._unary(x, "np.sqrt", "np.sqrt")

    def _op_rcp(self, x: Instr) -> None:
        if x.op[-1] == "f64" and "approx" in x.op:
            return self._unary(x, "", "RCP64")
        self._float(x, f"{x.op[-1]}(1) / {self._in(x.operands[1], x)}")

    def _op_rsqrt(self, x: Instr) -> None:
        self._unary(x, "RSQRT32", "RSQRT64" if "ftz" in x.op else "RSQRT64_WHOLE")

    def _op_ex2(self, x: Instr) -> None:
        self._unary(x, "EX2")

    def _op_lg2(self, x: Instr) -> None:
        self._unary(x, "LG2")

    def _op_sin(self, x: Instr) -> None:
        self._unary(x, "SIN")

    def _op_cos(self, x: Instr) -> None:
        self._unary(x, "COS")

    def _op_tanh(self, x: Instr) -> None:
        self._unary(x, "TANH")

    def _op_copysign(self, x: Instr) -> None:
        self._binary(x, "COPYSIGN({a}, {b})")

    def _op_testp(self, x: Instr) -> None:
        d, a = x.operands
        self._dst(d, "pred", f"TESTP({self._src(a, x.op[-1])}, {x.op[1]!r})", x)

    # Bits

    def _logic(self, x: Instr, sign: str) -> None:
        t = x.op[-1]
        self._binary(x, f"{{a}} {sign} {{b}}", t)

    def _op_and(self, x: Instr) -> None:
        self._logic(x, "&")

    def _op_or(self, x: Instr) -> None:
        self._logic(x, "|")

    def _op_xor(self, x: Instr) -> None:
        self._logic(x, "^")

    def _op_not(self, x: Instr) -> None:
        self._dst(x.operands[0], x.op[-1], f"~{self._src(x.operands[1], x.op[-1])}", x)

    def _op_cnot(self, x: Instr) -> None:
        k = kind(x.op[-1])
        a = self._src(x.operands[1], x.op[-1])
        self._dst(x.operands[0], x.op[-1], f"({a} == {k}(0)).astype({k})", x)

    def _op_lop3(self, x: Instr) -> None:
        d, a, b, c, table = x.operands
        va, vb, vc = [self._src(o, "u32") for o in (a, b, c)]
        terms = []
        for k in range(8):
            if table.value >> k & 1:
                parts = [v if k >> s & 1 else f"~{v}" for v, s in ((va, 2), (vb, 1), (vc, 0))]
                terms.append("(" + " & ".join(parts) + ")")
        self._dst(d, "u32", " | ".join(terms) or "u32(0)", x)

    def _op_shl(self, x: Instr) -> None:
        self._shift(x, "<<", "SHL", "b" + x.op[-1][1:])

    def _op_shr(self, x: Instr) -> None:
        self._shift(x, ">>", "SHR", x.op[-1])

    def _shift(self, x: Instr, sign: str, general: str, t: str) -> None:
        d, a, b = x.operands
        k, n = kind(t), int(t[1:])
        if isinstance(b, Imm) and 0 <= b.value < n:
            return self._dst(d, t, f"{self._src(a, t)} {sign} {k}({b.value})", x)
        # The distance is a 32-bit number whatever the type is.
        distance = f"{self._src(b, 'u32')}.astype(u{n})" if n != 32 else self._src(b, "u32")
        self._dst(d, t, f"{general}({self._src(a, t)}, {distance})", x)

    def _op_bfe(self, x: Instr) -> None:
        d, a, p, n = x.operands
        t = x.op[-1]
        k = "u" + t[1:]
        form = f"BFE({self._src(a, k)}, {self._src(p, 'u32')}, {self._src(n, 'u32')}, {t[0] == 's'})"
        self._dst(d, k, form, x)

    def _op_bfi(self, x: Instr) -> None:
        d, a, b, p, n = x.operands
        k = "u" + x.op[-1][1:]
        form = f"BFI({self._src(a, k)}, {self._src(b, k)}, {self._src(p, 'u32')}, {self._src(n, 'u32')})"
        self._dst(d, k, form, x)

    def _op_prmt(self, x: Instr) -> None:
        if len(x.op) > 2:
            raise PTXError(f"line {x.line}: {x.text}")
        d, a, b, c = x.operands
        form = f"PRMT({self._src(a, 'u32')}, {self._src(b, 'u32')}, {self._src(c, 'u32')})"
        self._dst(d, "u32", form, x)

    def _op_shf(self, x: Instr) -> None:
        d, a, b, c = x.operands
        form = f"SHF({self._src(a, 'u32')}, {self._src(b, 'u32')}, {self._src(c, 'u32')}, "
        self._dst(d, "u32", form + f"{'l' in x.op}, {'wrap' in x.op})", x)

    def _op_clz(self, x: Instr) -> None:
        self._dst(x.operands[0], "u32", f"CLZ({self._src(x.operands[1], x.op[-1])})", x)

    def _op_popc(self, x: Instr) -> None:
        self._dst(x.operands[0], "u32", f"POPC({self._src(x.operands[1], x.op[-1])})", x)

    def _op_brev(self, x: Instr) -> None:
        self._dst(x.operands[0], x.op[-1], f"BREV({self._src(x.operands[1], x.op[-1])})", x)

    # Comparisons and choices

    def _op_setp(self, x: Instr) -> None:
        t, compare = x.op[-1], x.op[1]
        d, a, b, *others = x.operands
        va, vb = self._in(a, x), self._in(b, x)
        if t[0] == "f" and compare == "ne":
            form = f"({va} != {vb}) & ({va} == {va}) & ({vb} == {vb})"
        else:
            form = COMPARE[compare].format(a=va, b=vb)
        second = f"~({form})"
        if others:
            joiner = {"and": "&", "or": "|", "xor": "^"}[x.op[2]]
            c = self._src(others[0], "pred")
            form, second = f"({form}) {joiner} {c}", f"({second}) {joiner} {c}"
        if isinstance(d, Pair):
            self._emit(f"setp_second = {second}")
            self._dst(d.first, "pred", form, x)
            self._dst(d.second, "pred", "setp_second", x)
        else:
            self._dst(d, "pred", form, x)

    def _op_set(self, x: Instr) -> None:
        t, out = x.op[-1], x.op[-2]
        d, a, b = x.operands
        form = COMPARE[x.op[1]].format(a=self._src(a, t), b=self._src(b, t))
        true = "f32(1)" if out == "f32" else "u32(0xFFFFFFFF)"
        false = "f32(0)" if out == "f32" else "u32(0)"
        self._dst(d, out if out == "f32" else "u32", f"np.where({form}, {true}, {false})", x)

    def _op_selp(self, x: Instr) -> None:
        d, a, b, p = x.operands
        t = x.op[-1]
        t = t if t[0] == "f" else "u" + t[1:]
        form = f"SEL({self._src(p, 'pred')}, {self._src(a, t)}, {self._src(b, t)})"
        self._dst(d, t, form, x)

    def _op_slct(self, x: Instr) -> None:
        d, a, b, c = x.operands
        t, ct = x.op[-2], x.op[-1]
        form = f"np.where({self._src(c, ct)} >= {kind(ct)}(0), {self._src(a, t)}, {self._src(b, t)})"
        self._dst(d, t, form, x)

    # Moves and conversions

    def _op_mov(self, x: Instr) -> None:
        d, a = x.operands
        t = x.op[-1]
        if isinstance(d, Vec):
            half = int(t[1:]) // len(d.parts)
            value = self._src(a, f"u{t[1:]}")
            self._emit(f"whole = {value}")
            for k, part in enumerate(d.parts):
                if not isinstance(part, Reg) or part.name not in self.entry.registers:
                    continue  # a place for what is not wanted
                shifted = f"(whole >> u{t[1:]}({k * half}))" if k else "whole"
                self._dst(part, f"u{half}", f"{shifted}.astype(u{half})", x)
            return
        if isinstance(a, Vec):
            n = int(t[1:])
            half = n // len(a.parts)
            parts = []
            for k, part in enumerate(a.parts):
                value = f"{self._src(part, f'u{half}')}.astype(u{n})"
                parts.append(f"({value} << u{n}({k * half}))" if k else value)
            return self._dst(d, f"u{n}", " | ".join(parts), x)
        if isinstance(a, Sym):
            return self._dst(d, "u" + t[1:], self._src(a, "u64"), x)
        if t == "pred":
            return self._dst(d, t, self._src(a, t), x)
        # The bits, whatever the registers are declared as.
        k = self._type(d.name) if type_size(self._type(d.name)) == type_size(t) else t
        self._dst(d, k, self._src(a, k), x)

    def _op_cvta(self, x: Instr) -> None:
        d, a = x.operands
        space = next(s for s in ("global", "shared", "local", "const", "param") if s in x.op)
        value = self._src(a, "u64")
        if space == "shared":
            sign = "-" if "to" in x.op else "+"
            value = f"({value} {sign} S.SHARED_WINDOW)"
        elif space == "local":
            sign = "-" if "to" in x.op else "+"
            value = f"({value} {sign} S.LOCAL_WINDOW)"
        self._dst(d, "u64", value, x)

    def _op_cvt(self, x: Instr) -> None:
        d, a = x.operands
        to, have = x.op[-2], x.op[-1]
        mode = next((m for m in x.op if re.fullmatch(r"r[nzmp]i?", m)), None)
        value = self._src(a, have)
        if "ftz" in x.op and have == "f32":
            value = f"FTZ({value})"
        if have[0] == "f" and to[0] == "f":
            if to == have:
                form = f"ROUND[{mode!r}]({value})" if mode and mode.endswith("i") else value
            elif to == "f64":
                form = f"{value}.astype(f64)"
            else:
                form = f"D2F({value}, {mode!r})"
            if "sat" in x.op:
                form = f"SAT({form})"
            if "ftz" in x.op and to == "f32":
                form = f"FTZ({form})"
        elif have[0] == "f":
            form = f"F2I({value}, {kind(to)}, {mode!r})"
        elif to[0] == "f":
            form = f"I2F({value}, {to}, {mode!r})"
        else:
            if "sat" in x.op:
                form = f"np.clip({value}.astype(i64), np.iinfo({kind(to)}).min, np.iinfo({kind(to)}).max).astype({kind(to)})"
            else:
                form = f"{value}.astype({kind(to)})" if kind(to) != kind(have) else value
        self._dst(d, to, form, x)

    # Memory

    def _address(self, place: Addr, space: str) -> str:
        if isinstance(place.base, Sym):
            base = f"S.symbol({place.base.name!r})"
        else:
            base = self._src(place.base, "u64")
        if not place.offset:
            return base
        return f"({base} + {self._constant(np.uint64(place.offset % (1 << 64)))})"

    def _mask(self, x: Instr) -> str:
        return self._predicate(x) if x.pred is not None else "None"

    def _memory(self, x: Instr, space: str, store: bool, size: int) -> int:
        self.memory.append(Memory(x.line, x.text, space, store, size, self._at))
        return len(self.memory) - 1

    def _space(self, x: Instr) -> str:
        for s in ("global", "shared", "local", "const", "param"):
            if s in x.op or any(o.startswith(f"{s}:") for o in x.op):
                return s
        return "generic"

    def _op_ld(self, x: Instr) -> None:
        d, place = x.operands[:2]
        space, t = self._space(x), x.op[-1]
        if space == "param":
            form = f"S.parameter({place.base.name!r}, {place.offset}, {kind(t)})"
            return self._dst(d, t, form, x)
        parts = d.parts if isinstance(d, Vec) else (d,)
        number = self._memory(x, space, False, type_size(t) * len(parts))
        form = f"S.load(A, {number}, {self._address(place, space)}, {kind(t)}, {len(parts)}, {self._mask(x)})"
        if len(parts) == 1:
            return self._dst(d, t, form, x)
        self._emit(f"loaded = {form}")
        for k, part in enumerate(parts):
            self._dst(part, t, f"loaded[{k}]", x)

    _op_ldu = _op_ld

    def _op_st(self, x: Instr) -> None:
        place, value = x.operands[:2]
        space, t = self._space(x), x.op[-1]
        parts = value.parts if isinstance(value, Vec) else (value,)
        number = self._memory(x, space, True, type_size(t) * len(parts))
        values = ", ".join(self._src(v, t) for v in parts)
        self._emit(
            f"S.store(A, {number}, {self._address(place, space)}, ({values},), {kind(t)}, {self._mask(x)})"
        )

    def _op_atom(self, x: Instr) -> None:
        d, place, *values = x.operands
        self._atomic(x, d, place, values)

    def _op_red(self, x: Instr) -> None:
        place, *values = x.operands
        self._atomic(x, None, place, values)

    def _atomic(self, x: Instr, d: object, place: Addr, values: list) -> None:
        self.atomics = True
        space, t = self._space(x), x.op[-1]
        what = next(o for o in x.op if o in ("add", "min", "max", "exch", "cas", "and", "or", "xor"))
        number = self._memory(x, space, True, type_size(t))
        t = "u" + t[1:] if t[0] == "b" else t
        given = ", ".join(self._src(v, t) for v in values)
        form = f"S.atomic(A, {number}, {self._address(place, space)}, {what!r}, ({given},), {kind(t)}, {self._mask(x)})"
        if d is None:
            self._emit(form)
        else:
            self._dst(d, t, form, x)

    # Threads of a warp, order

    def _op_shfl(self, x: Instr) -> None:
        d, a, b, c, *mask = x.operands
        mode = next(m for m in x.op if m in ("bfly", "idx", "up", "down"))
        m = self._src(mask[0], "u32") if mask else "u32(0xFFFFFFFF)"
        form = f"S.shuffle(A, {x.line}, {mode!r}, {self._src(a, 'u32')}, {self._src(b, 'u32')}, {self._src(c, 'u32')}, {m})"
        if x.pred is not None:
            raise PTXError(f"line {x.line}: a shuffle with a predicate")
        self._emit(f"shuffled, inside = {form}")
        self._dst(d, "u32", "shuffled", x)
        if isinstance(d, Pair) and d.second.name in self.entry.registers:
            self._dst(d.second, "pred", "inside", x)

    def _op_vote(self, x: Instr) -> None:
        mode = next(m for m in x.op if m in ("all", "any", "uni", "ballot"))
        d, a = x.operands[:2]
        mask = self._src(x.operands[2], "u32") if len(x.operands) > 2 else "u32(0xFFFFFFFF)"
        value = self._src(a, "pred")
        if isinstance(a, Reg) and x.text.split(",")[1].strip().startswith("!"):
            value = f"~{value}"
        form = f"S.vote(A, {x.line}, {mode!r}, {value}, {mask})"
        self._dst(d, "u32" if mode == "ballot" else "pred", form, x)

    def _op_activemask(self, x: Instr) -> None:
        self._dst(x.operands[0], "u32", "S.vote(A, 0, 'ballot', np.bool_(True), None)", x)

    def _op_membar(self, x: Instr) -> None:
        pass

    _op_fence = _op_prefetch = _op_prefetchu = _op_membar

    def _op_bar(self, x: Instr) -> None:
        if x.op[:3] == ("bar", "warp", "sync"):
            return self._emit(f"S.warp_barrier(A, {x.line}, {self._src(x.operands[0], 'u32')})")
        raise PTXError(f"line {x.line}: {x.text}")


def _number(o: Imm, t: str) -> object:
    if t == "pred":
        return np.bool_(o.value != 0)
    k = kind(t)
    dtype = np.dtype({"i": "i", "u": "u", "f": "f"}[k[0]] + str(int(k[1:]) // 8))
    n = int(k[1:])
    if o.bits:
        if o.bits == n:
            return np.array(o.value, f"u{n // 8}").view(dtype)[()]
        value = np.array(o.value, f"u{o.bits // 8}").view(f"f{o.bits // 8}")[()]
        return dtype.type(value)
    if k[0] == "f":
        return dtype.type(o.value)
    return np.array(o.value % (1 << n), f"u{n // 8}").view(dtype)[()]


def _registers(o: object) -> list[str]:
    if isinstance(o, Reg):
        return [o.name]
    if isinstance(o, Addr):
        return _registers(o.base)
    if isinstance(o, Vec):
        return [r for p in o.parts for r in _registers(p)]
    if isinstance(o, Pair):
        return _registers(o.first) + _registers(o.second)
    return []
