"""What each instruction becomes: a table from its first word to a function that writes NumPy.

A function gets the text so far and the instruction. Sections of the PTX ISA are named by the words
of their titles ("Integer Arithmetic Instructions: mad").
"""

import re
from collections.abc import Callable
from functools import partial

import numpy as np

from emulator.expressions import Expressions, kind
from emulator.syntax import Addr, Imm, Instr, Pair, PTXError, Reg, Sym, Vec, type_size

HANDLERS: dict[str, Callable[[Expressions, Instr], None]] = {}


def handles(*words):
    def register(function):
        HANDLERS.update(dict.fromkeys(words, function))
        return function

    return register


def unknown(x: Instr) -> PTXError:
    return PTXError(f"line {x.line}: {x.text}: not known")


def mode(x: Instr) -> str:
    """How a float is rounded: n (to nearest), z (to zero), m (down), p (up)."""
    return next((m[1] for m in x.op if m in ("rn", "rz", "rm", "rp")), "n")


def binary(g: Expressions, x: Instr, form: str) -> None:
    t = x.op[-1]
    d, a, b = x.operands
    g.dst(d, t, form.format(a=g.src(a, t), b=g.src(b, t)), x)


# Sums and products of integers; a carry of 32 or 64 bits goes through `cc`


def add(g: Expressions, x: Instr, sign: str) -> None:
    t = x.op[-1]
    d, a, b = x.operands
    if t[0] == "f":
        float_add(g, x, sign)
        return
    u = "u" + t[1:]
    if "cc" in x.op:
        carried(g, x, g.src(a, u), sign, g.src(b, u), "")
    else:
        g.dst(d, u, f"{g.src(a, u)} {sign} {g.src(b, u)}", x)


def add_with_carry(g: Expressions, x: Instr, sign: str) -> None:
    u = "u" + x.op[-1][1:]
    _, a, b = x.operands
    carried(g, x, g.src(a, u), sign, g.src(b, u), "cc")


def carried(g: Expressions, x: Instr, a: str, sign: str, b: str, carry: str) -> None:
    """a + b, or a - b, with the carry or borrow of what went before; sets it if there is .cc."""
    u, past = "u" + x.op[-1][1:], "<" if sign == "+" else ">"
    g.emit(f"cc_a = {a}")
    g.emit(f"cc_s = cc_a {sign} {b}")
    g.emit(f"cc_r = cc_s {sign} cc.astype({u})" if carry else "cc_r = cc_s")
    if "cc" in x.op:
        g.emit(f"cc = (cc_s {past} cc_a) | (cc_r {past} cc_s)")
    g.dst(x.operands[0], u, "cc_r", x)


HANDLERS["add"], HANDLERS["sub"] = partial(add, sign="+"), partial(add, sign="-")
HANDLERS["addc"] = partial(add_with_carry, sign="+")
HANDLERS["subc"] = partial(add_with_carry, sign="-")


def product(g: Expressions, x: Instr, a: object, b: object) -> tuple[str, str]:
    """The low or high half or the whole of a product of integers, and its unsigned type."""
    t, part = x.op[-1], next((p for p in ("hi", "wide") if p in x.op), "lo")
    n = int(t[1:])
    if part == "lo":
        return f"({g.src(a, f'u{n}')} * {g.src(b, f'u{n}')})", f"u{n}"
    if part == "hi" and n == 64:
        name = "MULHI_S64" if t[0] == "s" else "MULHI_U64"
        return f"{name}({g.src(a, 'u64')}, {g.src(b, 'u64')})", "u64"
    wide = kind(f"{t[0]}{2 * n}")
    text = f"({g.src(a, t)}.astype({wide}) * {g.src(b, t)}.astype({wide})).view(u{2 * n})"
    if part == "wide":
        return text, f"u{2 * n}"
    return f"({text} >> u{2 * n}({n})).astype(u{n})", f"u{n}"


@handles("mul")
def mul(g: Expressions, x: Instr) -> None:
    d, a, b = x.operands
    if x.op[-1][0] != "f":
        text, u = product(g, x, a, b)
        g.dst(d, u, text, x)
    elif mode(x) == "n":
        g.rounded(x, f"{g.flushed(a, x)} * {g.flushed(b, x)}")
    else:
        raise unknown(x)


@handles("mad")
def mad(g: Expressions, x: Instr) -> None:
    d, a, b, c = x.operands
    text, u = product(g, x, a, b)
    if "cc" in x.op:
        carried(g, x, text, "+", g.src(c, u), "")
    else:
        g.dst(d, u, f"{text} + {g.src(c, u)}", x)


@handles("madc")
def madc(g: Expressions, x: Instr) -> None:
    _, a, b, c = x.operands
    text, u = product(g, x, a, b)
    carried(g, x, text, "+", g.src(c, u), "cc")


# Floats


def float_add(g: Expressions, x: Instr, sign: str) -> None:
    a, b = [g.flushed(o, x) for o in x.operands[1:]]
    if mode(x) == "n":
        g.rounded(x, f"{a} {sign} {b}")
    elif x.op[-1] == "f32":
        b = b if sign == "+" else f"-{b}"
        g.rounded(x, f"ADD32({a}, {b}, {mode(x)!r})")
    else:
        raise unknown(x)


@handles("fma")
def fma(g: Expressions, x: Instr) -> None:
    a, b, c = [g.flushed(o, x) for o in x.operands[1:]]
    if x.op[-1] == "f32":
        g.rounded(x, f"FMA32({a}, {b}, {c}, {mode(x)!r})")
    elif mode(x) == "n":
        g.rounded(x, f"FMA64({a}, {b}, {c})")
    else:
        raise unknown(x)


@handles("div")
def div(g: Expressions, x: Instr) -> None:
    if x.op[-1][0] != "f":
        binary(g, x, "DIVI({a}, {b})")
    elif mode(x) == "n":
        a, b = [g.flushed(o, x) for o in x.operands[1:]]
        g.rounded(x, f"{a} / {b}")
    else:
        raise unknown(x)


HANDLERS["rem"] = partial(binary, form="REMI({a}, {b})")
HANDLERS["copysign"] = partial(binary, form="np.copysign({b}, {a})")


def extreme(g: Expressions, x: Instr, word: str) -> None:
    """Of a number and a NaN the number, unless there is .NaN."""
    name = f"np.f{word[:3]}" if x.op[-1][0] == "f" and "NaN" not in x.op else f"np.{word}"
    if x.op[-1][0] == "f":
        a, b = [g.flushed(o, x) for o in x.operands[1:]]
        g.rounded(x, f"{name}({a}, {b})")
    else:
        binary(g, x, name + "({a}, {b})")


HANDLERS["min"], HANDLERS["max"] = (
    partial(extreme, word="minimum"),
    partial(extreme, word="maximum"),
)


@handles("neg")
def neg(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    t = x.op[-1]
    if t[0] == "f":
        g.rounded(x, f"-{g.flushed(a, x)}")
    else:
        g.dst(d, "u" + t[1:], f"(~{g.src(a, 'u' + t[1:])} + u{t[1:]}(1))", x)


@handles("abs")
def absolute(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    if x.op[-1][0] == "f":
        g.rounded(x, f"np.abs({g.flushed(a, x)})")
    else:
        g.dst(d, x.op[-1], f"np.abs({g.src(a, x.op[-1])})", x)


@handles("sqrt", "rcp", "rsqrt", "ex2", "lg2")
def function(g: Expressions, x: Instr) -> None:
    """Functions of one float; those of float64 that are approximate have only their upper half."""
    word, t, a = x.op[0], x.op[-1], g.flushed(x.operands[1], x)
    upper = t == "f64" and "ftz" in x.op
    if word == "sqrt":
        text = f"np.sqrt({a})"
    elif word == "rcp":
        text = f"RCP_UPPER({a})" if upper else f"{t}(1) / {a}"
    elif word == "rsqrt":
        text = f"RSQRT_UPPER({a})" if upper else f"RSQRT({a})"
    elif t == "f32":
        text = f"{word.upper()}({a})"
    else:
        raise unknown(x)
    g.rounded(x, text)


# Bits


for _word, _sign in (("and", "&"), ("or", "|"), ("xor", "^")):
    HANDLERS[_word] = partial(binary, form=f"{{a}} {_sign} {{b}}")


@handles("not")
def invert(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    g.dst(d, x.op[-1], f"~{g.src(a, x.op[-1])}", x)


@handles("shl", "shr")
def shift(g: Expressions, x: Instr) -> None:
    d, a, b = x.operands
    t = x.op[-1]
    if isinstance(b, Imm) and b.value < int(t[1:]):
        g.dst(d, t, f"{g.src(a, t)} {'<<' if x.op[0] == 'shl' else '>>'} {kind(t)}({b.value})", x)
        return
    # The distance is a number of 32 bits whatever the type is.
    g.dst(d, t, f"{x.op[0].upper()}({g.src(a, t)}, {g.src(b, 'u32')}.astype(u{t[1:]}))", x)


@handles("bfi")
def bfi(g: Expressions, x: Instr) -> None:
    d, a, b, place, length = x.operands
    u = "u" + x.op[-1][1:]
    given = [g.src(a, u), g.src(b, u), g.src(place, "u32"), g.src(length, "u32")]
    g.dst(d, u, f"BFI({', '.join(given)})", x)


@handles("clz")
def clz(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    g.dst(d, "u32", f"CLZ({g.src(a, x.op[-1])})", x)


@handles("popc")
def popc(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    g.dst(d, "u32", f"np.bitwise_count({g.src(a, 'u' + x.op[-1][1:])}).astype(u32)", x)


# Comparisons and choices


COMPARE = {
    "eq": "{a} == {b}", "ne": "{a} != {b}", "lt": "{a} < {b}", "le": "{a} <= {b}",
    "gt": "{a} > {b}", "ge": "{a} >= {b}", "lo": "{a} < {b}", "ls": "{a} <= {b}",
    "hi": "{a} > {b}", "hs": "{a} >= {b}", "ltu": "~({a} >= {b})", "leu": "~({a} > {b})",
    "gtu": "~({a} <= {b})", "geu": "~({a} < {b})",
    "equ": "({a} == {b}) | ({a} != {a}) | ({b} != {b})", "neu": "{a} != {b}",
    "num": "({a} == {a}) & ({b} == {b})", "nan": "({a} != {a}) | ({b} != {b})",
}  # fmt: skip


@handles("setp")
def setp(g: Expressions, x: Instr) -> None:
    d, a, b, *others = x.operands
    if isinstance(d, Pair):
        raise unknown(x)
    a, b = g.flushed(a, x), g.flushed(b, x)
    text = COMPARE[x.op[1]].format(a=a, b=b)
    if x.op[1] == "ne" and x.op[-1][0] == "f":
        text = f"({text}) & ({a} == {a}) & ({b} == {b})"
    if others:
        sign = {"and": "&", "or": "|", "xor": "^"}[x.op[2]]
        text = f"({text}) {sign} {g.src(others[0], 'pred')}"
    g.dst(d, "pred", text, x)


@handles("selp")
def selp(g: Expressions, x: Instr) -> None:
    d, a, b, p = x.operands
    t = x.op[-1]
    g.dst(d, t, f"SELECT({g.src(p, 'pred')}, {g.src(a, t)}, {g.src(b, t)})", x)


# Moves and conversions


@handles("mov")
def mov(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    t = x.op[-1]
    if isinstance(d, Vec):
        unpacked(g, x)
    elif isinstance(a, Vec):
        n = int(t[1:])
        part = n // len(a.parts)
        bits = [f"{g.src(o, f'u{part}')}.astype(u{n})" for o in a.parts]
        placed = [f"({b} << u{n}({k * part}))" for k, b in enumerate(bits)]
        g.dst(d, f"u{n}", " | ".join(placed), x)
    else:
        # The bits, whatever the register is declared as.
        own = g.type_of(d.name)
        t = own if type_size(own) == type_size(t) else t
        g.dst(d, "u64" if isinstance(a, Sym) else t, g.src(a, t), x)


def unpacked(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    n = int(x.op[-1][1:])
    part = n // len(d.parts)
    g.emit(f"whole = {g.src(a, f'u{n}')}")
    for k, o in enumerate(d.parts):
        if isinstance(o, Reg) and o.name in g.entry.registers:  # not a place for what is not wanted
            g.dst(o, f"u{part}", f"(whole >> u{n}({k * part})).astype(u{part})", x)


@handles("cvta")
def cvta(g: Expressions, x: Instr) -> None:
    """Generic addresses of shared and local memory lie in windows of their own."""
    d, a = x.operands
    text = g.src(a, "u64")
    for space in ("shared", "local"):
        if space in x.op:
            text = f"({text} {'-' if 'to' in x.op else '+'} S.WINDOW[{space!r}])"
    g.dst(d, "u64", text, x)


@handles("cvt")
def cvt(g: Expressions, x: Instr) -> None:
    d, a = x.operands
    to, have = x.op[-2:]
    way = next((m for m in x.op if re.fullmatch(r"r[nzmp]i?", m)), "")
    text = g.src(a, have)
    if "ftz" in x.op:
        raise unknown(x)
    if have[0] == "f" and to[0] == "f":
        if to == have:
            text = f"WHOLE[{way!r}]({text})" if way.endswith("i") else text
        elif way in ("", "rn"):
            text = f"{text}.astype({to})"
        else:
            raise unknown(x)
        text = f"SAT({text})" if "sat" in x.op else text
    elif have[0] == "f":
        text = f"TO_INTEGER({text}, {kind(to)}, {way!r})"
    elif "sat" in x.op or (to[0] == "f" and way != "rn"):
        raise unknown(x)
    else:
        text = f"{text}.astype({kind(to)})"
    g.dst(d, to, text, x)


# Memory


def space_of(x: Instr) -> str:
    spaces = ("global", "shared", "local", "const", "param")
    return next((s for s in spaces if s in x.op or f"{s}::cta" in x.op), "generic")


def address(g: Expressions, place: Addr) -> str:
    base = g.src(place.base, "u64")
    return f"({base} + {g.constant(np.uint64(place.offset % (1 << 64)))})" if place.offset else base


@handles("ld")
def ld(g: Expressions, x: Instr) -> None:
    d, place = x.operands
    space, t = space_of(x), x.op[-1]
    if space == "param":
        g.dst(d, t, f"S.arguments[{place.base.name!r}].view({kind(t)})", x)
        return
    parts = d.parts if isinstance(d, Vec) else (d,)
    number = g.access(x, space, False, type_size(t) * len(parts))
    g.emit(
        f"loaded = S.load(A, {number}, {address(g, place)}, {kind(t)}, {len(parts)}, {g.mask(x)})"
    )
    for k, part in enumerate(parts):
        g.dst(part, t, f"loaded[{k}]", x)


@handles("st")
def st(g: Expressions, x: Instr) -> None:
    place, value = x.operands
    space, t = space_of(x), x.op[-1]
    parts = value.parts if isinstance(value, Vec) else (value,)
    number = g.access(x, space, True, type_size(t) * len(parts))
    values = ", ".join(g.src(v, t) for v in parts)
    g.emit(f"S.store(A, {number}, {address(g, place)}, ({values},), {kind(t)}, {g.mask(x)})")


@handles("atom")
def atom(g: Expressions, x: Instr) -> None:
    """gpuad has none, so that results are the same in every run; a compiler may note a division by
    zero with it. It must not be reached."""
    t = "u" + x.op[-1][1:]
    g.emit(f"S.atomic(A, {x.line}, {x.text!r}, {g.mask(x)})")
    g.dst(x.operands[0], t, f"{t}(0)", x)


# Threads of a warp


@handles("shfl")
def shfl(g: Expressions, x: Instr) -> None:
    d, a, b, c, mask = x.operands
    if x.pred is not None:
        raise unknown(x)
    way = next(m for m in x.op if m in ("bfly", "idx", "up", "down"))
    given = [g.src(o, "u32") for o in (a, b, c, mask)]
    g.emit(f"moved, inside = S.shuffle(A, {x.line}, {way!r}, {', '.join(given)})")
    g.dst(d, "u32", "moved", x)
    if isinstance(d, Pair):
        g.dst(d.second, "pred", "inside", x)


@handles("bar")
def bar(g: Expressions, x: Instr) -> None:
    """Of a warp; one of a block ends the basic block."""
    if x.op[:3] != ("bar", "warp", "sync"):
        raise unknown(x)
    g.emit(f"S.warp_barrier(A, {x.line}, {g.src(x.operands[0], 'u32')})")


@handles("match")
def match(g: Expressions, x: Instr) -> None:
    """The lanes of a warp that have the same value."""
    if x.op[1:3] != ("any", "sync") or x.pred is not None:
        raise unknown(x)
    d, a, mask = x.operands
    g.dst(d, "u32", f"S.matched(A, {x.line}, {g.src(a, x.op[-1])}, {g.src(mask, 'u32')})", x)


@handles("vote")
def vote(g: Expressions, x: Instr) -> None:
    """Whether a predicate is true in any lane of a warp."""
    if x.op[1:] != ("sync", "any", "pred") or x.pred is not None:
        raise unknown(x)
    d, a, mask = x.operands
    g.dst(d, "pred", f"S.any_lane(A, {x.line}, {g.src(a, 'pred')}, {g.src(mask, 'u32')})", x)
