"""Instructions of the interpreter of packed arrays, and the lines that carry them out.

An instruction is six integers: its opcode, how many lanes, where the result lies and three more,
where operands lie for most. An opcode is carried out by lines in which these are called `code[p +
1]`, `d`, `a`, `b` and `c`; the lanes of a type lie in one array, named by `memory_name`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gpuad.codegen.cpu.loops import bound_checks, expression_text

WIDTH = 6
"""Integers of an instruction."""
FIELDS = {0: "o", 2: "d", 3: "a", 4: "b", 5: "c"}
"""The variables of generated text that hold the integers of an instruction, by position."""


@dataclass(frozen=True, order=True)
class Opcode:
    """What an instruction does.

    form
        "one" and "each" compute the scalar `text`, of one lane and of all; "fill" repeats a lane;
        "take" reads lanes at addresses that a table has, relative to the first operand. Others
        stand in the module of the operation that has them.
    result, operands, numbers
        Types, of the result, the operands and of numbers in the text.
    suffix
        Stands after the name of each function.
    """

    form: str
    result: str
    operands: tuple[str, ...]
    text: str = ""
    numbers: str = ""
    suffix: str = ""


class InstructionSet:
    """The opcodes and types that the calls of one program have; `main` is the type of functions
    without a suffix."""

    def __init__(self, main: str):
        self.main = main
        self.opcodes: dict[Opcode, int] = {}
        """The number of each."""
        self.kinds: set[str] = set()


def memory_name(kind: str) -> str:
    return f"m{kind}"


def scalar_form(lanes: int) -> str:
    """The form that computes a scalar text of so many lanes."""
    return "one" if lanes == 1 else "each"


def _one(opcode: Opcode) -> list[str]:
    return _computed(opcode, "")


def _each(opcode: Opcode) -> list[str]:
    """All lanes in one loop that vectorises, if fast functions are right for all of them."""
    lanes = "for l in range(code[p + 1]):"
    checks = bound_checks(opcode.text)
    if not checks:
        return [lanes, *[f"    {x}" for x in _computed(opcode, " + l")]]
    inside = " & ".join([f"({_text(opcode, c, ' + l')})" for c in checks])
    fast, slow = (_computed(opcode, " + l", slow) for slow in (False, True))
    return [
        "inside = True",
        lanes,
        f"    inside &= {inside}",
        "if inside:",
        *[f"    {x}" for x in (lanes, *[f"    {x}" for x in fast])],
        "else:",
        f"    {lanes}",
        f"        if {inside}:",
        *[f"            {x}" for x in fast],
        "        else:",
        *[f"            {x}" for x in slow],
    ]


def _computed(opcode: Opcode, lane: str, slow: bool = False) -> list[str]:
    target = f"{memory_name(opcode.result)}[d{lane}]"
    return [f"{target} = {_text(opcode, opcode.text, lane, slow)}"]


def _text(opcode: Opcode, text: str, lane: str, slow: bool = False) -> str:
    """A scalar text of one lane of the operands."""
    elements = [
        f"{memory_name(kind)}[{start}{lane}]"
        for kind, start in zip(opcode.operands, "abc", strict=False)
    ]
    return expression_text(text, elements, opcode.numbers, opcode.result, slow, opcode.suffix)


def _fill(opcode: Opcode) -> list[str]:
    memory = memory_name(opcode.result)
    return [f"v = {memory}[a]", "for l in range(code[p + 1]):", f"    {memory}[d + l] = v"]


def _take(opcode: Opcode) -> list[str]:
    memory = memory_name(opcode.result)
    return [
        "for l in range(code[p + 1]):",
        f"    {memory}[d + l] = {memory}[a + tables[b + l]]",
    ]


COMMON_OPCODES: dict[str, Callable[[Opcode], list[str]]] = {
    "one": _one,
    "each": _each,
    "fill": _fill,
    "take": _take,
}
"""The lines of the opcodes that several operations have, by form."""
