"""A small machine: one compiled function that runs lists of instructions on a packed memory.

Straight-line code takes a millisecond an operation to compile. A machine takes a tenth of a second
once for the operations that it knows, in whatever order and however often they come; an
instruction then takes one to five nanoseconds and its lanes what they take in a vectorised loop.

An instruction is six integers: its operation, how many lanes, the place of the result and three
more, the places of operands for most. Values of one type lie in one array, at places in elements.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gpuad.codegen.argument import TYPES
from gpuad.codegen.cpu.loops import bound_checks, expression_text

WIDTH = 6
"""Integers of an instruction."""
_FIELDS = {0: "o", 2: "d", 3: "a", 4: "b", 5: "c"}
CHAIN = 64
"""Operations that are told apart in one chain of tests, which LLVM makes a table of."""
DTYPES = {name: np.dtype(code) for code, name in TYPES.items()}


@dataclass(frozen=True, order=True)
class Operation:
    """What an instruction does.

    form: "one" and "each" compute the scalar `text`, of one lane and of all; "fill" repeats a lane;
    "take" reads lanes at places relative to the first operand, which a table has; "sum", "max" and
    "min" combine as many lanes as the second operand says into each lane; "dot" multiplies rows of
    two matrices, whose number and length a table has; "index" makes one index of that so far and
    one along a further axis, whose length a table has; "gather_rows" reads rows at such indices,
    "add_rows" and "set_rows" add rows to those there and write them. `result` and `operands` are
    types, `numbers` that of numbers in the text.
    """

    form: str
    result: str
    operands: tuple[str, ...]
    text: str = ""
    numbers: str = ""
    suffix: str = ""


def machine_text(operations: Sequence[Operation], kinds: Sequence[str]) -> str:
    """The source of a machine for these operations, numbered in order, on memory of these types."""
    lines = [
        f"def sweep({', '.join(map(memory_name, kinds))}, code, tables, begin, end):",
        "    for i in range(begin, end):",
        f"        p = {WIDTH} * i",
        *[f"        {name} = code[p + {k}]" for k, name in _FIELDS.items()],
    ]
    chains = [operations[k : k + CHAIN] for k in range(0, len(operations), CHAIN)]
    for k, chain in enumerate(chains):
        first = k * CHAIN
        body = _chain_lines(chain, first)
        if len(chains) > 1:
            test = "if" if not k else "elif"
            condition = f"{test} o < {first + len(chain)}:" if k < len(chains) - 1 else "else:"
            body = [condition, *[f"    {x}" for x in body]]
        lines += [f"        {x}" for x in body]
    return "\n".join(lines) + "\n"


def memory_name(kind: str) -> str:
    return f"m{kind}"


def _chain_lines(operations: Sequence[Operation], first: int) -> list[str]:
    lines: list[str] = []
    for k, operation in enumerate(operations):
        lines.append(f"{'if' if not k else 'elif'} o == {first + k}:")
        lines += [f"    {x}" for x in _FORMS[operation.form](operation)]
    return lines


def _one(operation: Operation) -> list[str]:
    return _computed(operation, "")


def _each(operation: Operation) -> list[str]:
    """All lanes in one loop that vectorises, if fast functions are right for all of them."""
    lanes = "for l in range(code[p + 1]):"
    checks = bound_checks(operation.text)
    if not checks:
        return [lanes, *[f"    {x}" for x in _computed(operation, " + l")]]
    inside = " & ".join([f"({_text(operation, c, ' + l')})" for c in checks])
    fast, slow = (_computed(operation, " + l", slow) for slow in (False, True))
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


def _computed(operation: Operation, lane: str, slow: bool = False) -> list[str]:
    target = f"{memory_name(operation.result)}[d{lane}]"
    return [f"{target} = {_text(operation, operation.text, lane, slow)}"]


def _text(operation: Operation, text: str, lane: str, slow: bool = False) -> str:
    """A scalar text of one lane of the operands."""
    elements = [
        f"{memory_name(kind)}[{place}{lane}]"
        for kind, place in zip(operation.operands, "abc", strict=False)
    ]
    return expression_text(
        text, elements, operation.numbers, operation.result, slow, operation.suffix
    )


def _fill(operation: Operation) -> list[str]:
    memory = memory_name(operation.result)
    return [f"v = {memory}[a]", "for l in range(code[p + 1]):", f"    {memory}[d + l] = v"]


def _take(operation: Operation) -> list[str]:
    memory = memory_name(operation.result)
    return [
        "for l in range(code[p + 1]):",
        f"    {memory}[d + l] = {memory}[a + tables[b + l]]",
    ]


def _sum(operation: Operation) -> list[str]:
    """Each result lane from a row of lanes, in float64: of 8 and more in eight sums, as NumPy's."""
    memory, kind = memory_name(operation.result), operation.result
    element = f"f64({memory}[first + j{{0}}])"
    sums = [f"t{k}" for k in range(8)]
    pairs = [f"({x} + {y})" for x, y in zip(sums[::2], sums[1::2], strict=True)]
    return [
        "for l in range(code[p + 1]):",
        "    first = a + l * b",
        "    t = f64(0)",
        "    last = b - b % 8",
        "    if last > 0:",
        *[f"        {x} = f64({memory}[first + {k}])" for k, x in enumerate(sums)],
        "        for j in range(8, last, 8):",
        *[f"            {x} = {x} + {element.format(f' + {k}')}" for k, x in enumerate(sums)],
        f"        t = ({' + '.join(pairs[:2])}) + ({' + '.join(pairs[2:])})",
        "    for j in range(last, b):",
        f"        t = t + {element.format('')}",
        f"    {memory}[d + l] = {kind}(t)",
    ]


def _extremum(operation: Operation) -> list[str]:
    memory = memory_name(operation.result)
    return [
        "for l in range(code[p + 1]):",
        f"    t = {memory}[a + l * b]",
        "    for j in range(1, b):",
        f"        t = {operation.form}imum{operation.suffix}(t, {memory}[a + l * b + j])",
        f"    {memory}[d + l] = t",
    ]


def _dot(operation: Operation) -> list[str]:
    """Rows of one matrix with rows of another; sums in float64."""
    memory, kind = memory_name(operation.result), operation.result
    return [
        "rows = tables[c]",
        "length = tables[c + 1]",
        "for l in range(code[p + 1]):",
        "    for k in range(rows):",
        "        t = f64(0)",
        "        for j in range(length):",
        f"            x = {memory}[a + l * length + j]",
        f"            t = t + f64(x) * f64({memory}[b + k * length + j])",
        f"        {memory}[d + l * rows + k] = {kind}(t)",
    ]


def _index(operation: Operation) -> list[str]:
    return [
        "size = tables[c]",
        "for l in range(code[p + 1]):",
        "    j = mi64[b + l]",
        "    if (j < 0) | (j >= size):",
        "        raise IndexError('index out of bounds')",
        "    mi64[d + l] = mi64[a + l] * size + j",
    ]


def _gather(operation: Operation) -> list[str]:
    memory = memory_name(operation.result)
    return [
        "for l in range(code[p + 1]):",
        "    j = a + mi64[b + l] * c",
        "    for k in range(c):",
        f"        {memory}[d + l * c + k] = {memory}[j + k]",
    ]


def _at(operation: Operation) -> list[str]:
    memory = memory_name(operation.result)
    sign = "+=" if operation.form == "add_rows" else "="
    return [
        "for l in range(code[p + 1]):",
        "    j = d + mi64[b + l] * c",
        "    for k in range(c):",
        f"        {memory}[j + k] {sign} {memory}[a + l * c + k]",
    ]


_FORMS: dict[str, Callable[[Operation], list[str]]] = {
    "one": _one,
    "each": _each,
    "fill": _fill,
    "take": _take,
    "sum": _sum,
    "max": _extremum,
    "min": _extremum,
    "dot": _dot,
    "index": _index,
    "gather_rows": _gather,
    "add_rows": _at,
    "set_rows": _at,
}


class Machine:
    """The operations and types that the calls of one program have."""

    def __init__(self, main: str):
        self.main = main
        self.operations: dict[Operation, int] = {}
        """Their numbers."""
        self.kinds: set[str] = set()

    @property
    def text(self) -> str:
        return machine_text(list(self.operations), sorted(self.kinds))
