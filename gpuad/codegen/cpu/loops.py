"""One loop nest of a sweep, as source text.

A loop runs over the rows of a block and one shape of lanes. Elementwise results are locals;
reductions over lanes or rows are accumulated, through `radd`, the one addition that LLVM may
reorder, so that it vectorises.

Sums over rows in float32 are added to the totals of the segment, which are float64, every `AT_ONCE`
rows or values, so that they lose few digits.

Three forms: flat (one index over everything, where the rows of all values are equally far apart;
what lies between the lanes of one row and the next is computed and never read), row-major (rows
outside, lanes inside), and lane-major (lanes outside, rows inside: for few lanes, with scratch laid
out lane by lane).
"""

import ast
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpuad.codegen.views import View, loop_order, size_of
from gpuad.ir.scalar_text import FUNCTIONS

AT_ONCE = {"flat": 1 << 10, "lane-major": 1 << 9, "row-major": 1 << 6}
"""Values of a flat loop, and rows of the other forms, that are added up in float32 at a time. Each
of the 8 or more numbers of a vector takes up to 64 of them: so many equal ones lose 1e-6, 1,024
lose 1e-5."""

At = Callable[[View], str]
"""The source text of the element of a view at the loop's present row and lane."""


@dataclass(frozen=True)
class Assign:
    """``name = expression``, and where it is stored."""

    name: str
    expression: Callable[[At, str], str]
    stores: tuple[View, ...]
    checks: tuple[Callable[[At], str], ...] = ()


@dataclass(frozen=True)
class Reduce:
    """A reduction of a value over all lanes but `kept`.

    `target` is where the result of each row goes (scratch), with a copy to `stored`; for a sum
    over rows too, `total` is the accumulator of the segment and `target` that of the block.
    `combiner` is "sum", "max" or "min".
    """

    name: str
    kind: str
    value: Callable[[At], str]
    kept: tuple[int, ...]
    target: View
    stored: View | None = None
    total: str | None = None
    combiner: str = "sum"

    @property
    def initial(self) -> str:
        """What an element of the target starts from."""
        number = {"sum": "0", "max": "-inf", "min": "inf"}[self.combiner]
        return f"{self.kind}({number})"

    def combined(self, element: str, value: str) -> str:
        """An element of the target with one more value."""
        if self.combiner == "sum":
            return f"{element} + {value}"
        return f"{self.combiner}imum({element}, {value})"

    # In a register, in the form that vectorises.

    @property
    def start(self) -> str:
        return self.initial if self.combiner == "sum" else f"order_of({self.kind}(-inf))"

    def step(self, name: str, value: str) -> str:
        if self.combiner == "sum":
            return f"radd({name}, {value})"
        return f"max({name}, order_of({'-' if self.combiner == 'min' else ''}{value}))"

    def end(self, name: str) -> str:
        if self.combiner == "sum":
            return name
        return f"{'-' if self.combiner == 'min' else ''}value_of({name})"


def loop_lines(
    shape: Sequence[int],
    statements: Sequence[Assign | Reduce],
    lane_major: bool,
    flat: int = 0,
    speed: str = "fast",
    block: int = 0,
) -> list[str]:
    """The source of a loop over up to `block` rows.

    `flat` is the distance of rows in a flat loop, 0 for the other forms. With `speed` "fast" it
    ends the sweep where a check fails, with "slow" it has the slow functions instead.
    """
    nest = _Nest(tuple(shape), statements, lane_major, flat, block)
    lines = [*nest.lines(speed), *nest.totals()]
    if nest.at_once:
        start = f"for s0 in range(0, {nest.count}, {nest.at_once}):"
        lines = [start, f"    s1 = min(s0 + {nest.at_once}, {nest.count})", *_indented(lines)]
    lines = [*nest.before, *lines]
    if speed == "fast" and any(isinstance(s, Assign) and s.checks for s in statements):
        lines = ["inside = True", *lines, *END_OUTSIDE]
    return [*lines, *nest.copies()]


END_OUTSIDE = ("if not inside:", "    raise Outside")
"""What a sweep does where a fast function would not be right: it is run again with slow ones."""


def out_of_bounds_lines(sizes: Sequence[int], found: str = "found") -> list[str]:
    """What a sweep does where `found` says that an index into these axes is out of bounds."""
    axes = " and ".join(map(str, sizes))
    of = f"an axis of size {axes}" if len(sizes) == 1 else f"axes of sizes {axes}"
    message = f"an index is out of bounds for {of}"
    return [f"if not {found}:", f"    raise IndexError({message!r})"]


def _indented(lines: Sequence[str], depth: int = 1) -> list[str]:
    return ["    " * depth + line for line in lines]


class _Nest:
    """A loop nest while it is written.

    It has many attributes because all lines of a nest are made in one go:

    shape, statements, lane_major, flat
        As `loop_lines` is given them.
    long, lanes
        The axes that have loops, in their order, and the index along every axis.
    count, at_once, loops
        How many turns the loop over rows has, and how many of them between two additions to the
        totals (0: all); the variable and the range of each loop, from outside to inside.
    before, start
        Lines before everything, and before each part of `at_once` rows.
    head, body, tail
        Lines before the next loop (`head`) and after it (`tail`), by the number of loops around
        them; `body` is inside all loops.
    loaded
        The names of elements that are loaded, by their text.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        statements: Sequence[Assign | Reduce],
        lane_major: bool,
        flat: int,
        block: int,
    ):
        self.shape = shape
        self.statements = statements
        self.lane_major = lane_major
        self.flat = flat
        self.long = [k for k in loop_order(shape) if shape[k] > 1]
        self.lanes = [f"l{k}" if n > 1 else "0" for k, n in enumerate(shape)]
        gap = flat - size_of(shape)
        self.count = "n" if not flat else f"{flat} * n - {gap}" if gap else f"{flat} * n"
        self.at_once = self._at_once(block)
        self.loops = self._loops()
        self.before: list[str] = []
        self.start: list[str] = []
        self.head: list[list[str]] = [[] for _ in range(len(self.loops) + 1)]
        self.body: list[str] = []
        self.tail: list[list[str]] = [[] for _ in range(len(self.loops) + 1)]
        self.loaded: dict[str, str] = {}

    def _at_once(self, block: int) -> int:
        """Rows, or values, whose sum goes to the segment's in float64; 0 if all of a block."""
        form = "flat" if self.flat else "lane-major" if self.lane_major else "row-major"
        short = any(isinstance(s, Reduce) and s.total and s.kind == "f32" for s in self.statements)
        return AT_ONCE[form] if short and block * max(1, self.flat) > AT_ONCE[form] else 0

    def at(self, view: View) -> str:
        if self.flat:
            index = ["i"] * bool(view.row) + [str(view.offset)] * bool(view.offset)
            return f"{view.base}[{' + '.join(index) or 0}]"
        return f"{view.base}[{view.index('r', self.lanes)}]"

    def _loops(self) -> list[tuple[str, str]]:
        rows = ("i" if self.flat else "r", "s0, s1" if self.at_once else self.count)
        lanes = [] if self.flat else [(f"l{k}", str(self.shape[k])) for k in self.long]
        return [*lanes, rows] if self.lane_major else [rows, *lanes]

    def lines(self, speed: str) -> list[str]:
        """Initial values of sums over rows, the nest, and what is finished at each depth of it."""
        for s in self.statements:
            if isinstance(s, Assign):
                self._assign(s, speed)
            else:
                self._reduce(s)
        out: list[str] = []
        for depth, (name, count) in enumerate(self.loops):
            out += _indented(self.head[depth], depth)
            out += _indented([f"for {name} in range({count}):"], depth)
        innermost = len(self.loops)
        out += _indented([*self.head[innermost], *self.body], innermost)
        for depth in range(innermost, -1, -1):
            out += _indented(self.tail[depth], depth)
        return [*self.start, *out]

    def _load(self, view: View) -> str:
        """An element as a name; loaded once, outside the loops that it does not depend on (LLVM
        cannot tell, with stores around, that it does not change)."""
        text = self.at(view)
        if text not in self.loaded:
            self.loaded[text] = name = f"u{len(self.loaded)}"
            depth = self._depth(view)
            lines = self.body if depth == len(self.loops) else self.head[depth]
            lines.append(f"{name} = {text}")
        return self.loaded[text]

    def _depth(self, view: View) -> int:
        """How many loops the index of an element depends on, counted from outside."""
        if self.flat:
            return 1 if view.row else 0
        moving = [bool(view.strides[k]) for k in self.long]
        order = [*moving, bool(view.row)] if self.lane_major else [bool(view.row), *moving]
        return max([d + 1 for d, moves in enumerate(order) if moves], default=0)

    def _assign(self, s: Assign, speed: str) -> None:
        text = s.expression(self._load, speed)
        if speed == "fast":
            self.body += [f"inside &= {check(self._load)}" for check in s.checks]
        self.body.append(f"{s.name} = {text}")
        self.body += [f"{self.at(view)} = {s.name}" for view in s.stores]

    def _reduce(self, s: Reduce) -> None:
        head, body, tail = self.head, self.body, self.tail
        value = s.value(self._load)
        lanes = [self.lanes[k] for k in s.kept]
        target = f"{s.target.base}[{s.target.index('r', lanes)}]"
        t = f"{s.name}t"
        step = f"{t} = {s.step(t, value)}"
        if s.total and size_of(s.target.shape) == 1:
            # Everything into one number.
            self.start.append(f"{t} = {s.start}")
            body.append(step)
            return
        long_kept = self._long_kept(s)
        if self.lane_major and s.total and long_kept == self.long:
            # Over the rows alone, which are the innermost loop.
            head[len(self.long)].append(f"{t} = {s.start}")
            body.append(step)
            tail[len(self.long)].append(f"{target} = {s.end(t)}")
        elif self._reduces_innermost(s):
            depth = 1 + len(long_kept)
            head[depth].append(f"{t} = {s.start}")
            body.append(step)
            if s.combiner != "sum":
                tail[depth].append(f"{t} = {s.end(t)}")
            tail[depth].append(f"{target} {'+=' if s.total else '='} {t}")
            if s.stored:
                tail[depth].append(f"{s.stored.base}[{s.stored.index('r', lanes)}] = {t}")
            if s.total:
                self._clear(s)
        else:
            self._clear(s)
            body.append(f"{target} = {s.combined(target, value)}")

    def _clear(self, s: Reduce) -> None:
        """Initial values in the target, before anything is combined with them."""
        if s.total:
            self.start += fill_lines(s.target.base, size_of(s.target.shape), s.initial)
        else:
            self.before += fill_view_lines(s.target, s.initial, self.lane_major)

    def totals(self) -> list[str]:
        """Sums over rows added to those of the segment."""
        lines: list[str] = []
        for s in self.statements:
            if not isinstance(s, Reduce) or not s.total:
                continue
            count, total = size_of(s.target.shape), s.total
            if count == 1:
                lines.append(f"{total}[0] += {s.name}t")
            else:
                lines += [f"for i in range({count}):", f"    {total}[i] += {s.target.base}[i]"]
        return lines

    def copies(self) -> list[str]:
        """Row results copied out."""
        lines: list[str] = []
        for s in self.statements:
            if isinstance(s, Reduce) and s.stored and not self._reduces_innermost(s):
                lines += copy_lines(s.stored, s.target, self.lane_major)
        return lines

    def _long_kept(self, s: Reduce) -> list[int]:
        return [k for k in self.long if k in s.kept]

    def _reduces_innermost(self, s: Reduce) -> bool:
        """Whether a reduction is over the innermost loops: then a register has its result, which is
        stored where they end."""
        kept = self._long_kept(s)
        outermost = kept == self.long[: len(kept)]
        return not self.lane_major and outermost and len(kept) < len(self.long)


def copy_lines(target: View, source: View, lane_major: bool) -> list[str]:
    """A copy from one view of a block to another of the same shape."""

    def body(names: Sequence[str]) -> list[str]:
        element = f"{source.base}[{source.index('r', names)}]"
        return [f"{target.base}[{target.index('r', names)}] = {element}"]

    return nest_lines(target.shape, lane_major, body)


def fill_view_lines(target: View, value: str, lane_major: bool) -> list[str]:
    """A view of a block, all of one value."""

    def body(names: Sequence[str]) -> list[str]:
        return [f"{target.base}[{target.index('r', names)}] = {value}"]

    return nest_lines(target.shape, lane_major, body)


def fill_lines(base: str, count: int, value: str) -> list[str]:
    """The first elements of an array, all of one value."""
    return [f"for i in range({count}):", f"    {base}[i] = {value}"]


def nest_lines(
    shape: Sequence[int], lane_major: bool, body: Callable[[Sequence[str]], list[str]]
) -> list[str]:
    """Lines in loops over the rows of a block and these lanes; `body` gets the lanes' names."""
    names = [f"l{k}" if n > 1 else "0" for k, n in enumerate(shape)]
    lanes = [(f"l{k}", str(shape[k])) for k in loop_order(shape) if shape[k] > 1]
    loops = [*lanes, ("r", "n")] if lane_major else [("r", "n"), *lanes]
    lines = ["    " * d + f"for {name} in range({count}):" for d, (name, count) in enumerate(loops)]
    return [*lines, *_indented(body(names), len(loops))]


_WORD = re.compile(r"(?<![\w.])(\d+\.?\d*(?:[eE][-+]?\d+)?)|\b([A-Za-z_]\w*)\b")


def _is_bounded(function: str) -> bool:
    return function in FUNCTIONS and FUNCTIONS[function].bounded


@functools.cache
def bound_checks(text: str) -> tuple[str, ...]:
    """The conditions, as texts, under which the fast functions in a scalar text are right."""
    calls = [node for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Call)]
    checks = []
    for call in calls:
        name = ast.unparse(call.func)
        if _is_bounded(name):
            checks.append(f"{name}_inside({', '.join(map(ast.unparse, call.args))})")
    return tuple(dict.fromkeys(checks))


def expression_text(
    text: str, operands: Sequence[str], kind: str, result: str, slow: bool, suffix: str = ""
) -> str:
    """The scalar text of a primitive with its operands and typed numbers put in.

    `kind` is the type of numbers in it, `result` that of its result (for `cast`); `slow` takes
    functions in their slow form, `suffix` stands after the name of each function.
    """
    names = dict(zip(("x", "y", "z"), operands, strict=False))

    def put(match: re.Match[str]) -> str:
        number, word = match.groups()
        if number:
            return f"{kind}({number})"
        if word == "cast":
            return result
        if word in ("inf", "nan"):
            return f"{kind}({word})"
        if word in names:
            return names[word]
        if kind in ("i32", "i64") and word in ("maximum", "minimum"):
            return word[:3]
        return f"{word}_slow{suffix}" if slow and _is_bounded(word) else f"{word}{suffix}"

    # To Numba a sum of int32 is int64.
    return f"{'i32' if result == 'i32' else ''}({_WORD.sub(put, text)})"
