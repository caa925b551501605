"""The program of a machine for a list of equations on small arrays.

A value is a number of lanes in the packed memory. What only moves elements is no instruction: it
says where they lie. They are brought together where an operation wants them side by side.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from gpuad.codegen.argument import TYPES, kind_of, typed_as
from gpuad.codegen.compile_cost import FUNCTION, text_effort
from gpuad.codegen.cpu.packed_memory import Lanes, Memory, segments
from gpuad.codegen.cpu.unrolled import restructured
from gpuad.codegen.cpu.virtual_machine import Machine, Operation
from gpuad.codegen.structure import covers, moved_view
from gpuad.codegen.views import View, contiguous, size_of
from gpuad.ir.contraction import contraction_of
from gpuad.ir.graph import Equation, Literal, Var
from gpuad.ir.primitive import Role
from gpuad.plan.plan import in_one_row
from gpuad.plan.roles import is_scatter_add

LANES = 1 << 13
"""A value of a machine has at most so many lanes."""
PRODUCTS = 1 << 12
"""Multiplications of a matrix product, at most: beyond them BLAS is faster."""
SCATTERS = {"sum": "add_rows", "set": "set_rows"}
"""The forms of operation, by what a scatter combines with."""
FEW = 3
"""Runs of lanes that are copied one by one, at most, unless they are long."""


def can_assemble(e: Equation, joins: Callable[[Equation], bool]) -> bool:
    """Whether a machine can do this equation, if a sweep can."""
    values = (*e.operands, *e.outputs)
    if len(e.outputs) != 1 or any(x.aval.size > LANES for x in values):
        return False
    product = e.primitive.role is Role.CONTRACTION
    if not product and not _is_placed(e):
        return joins(e)
    kinds = {x.aval.dtype.str[1:] for x in values}
    if not kinds <= TYPES.keys() or any(0 in x.aval.shape for x in values):
        return False
    if product:
        return kinds in ({"f4"}, {"f8"}) and contraction_of(e).multiplications <= PRODUCTS
    return not is_scatter_add(e) or e.outputs[0].aval.dtype.kind != "b"


def _is_placed(e: Equation) -> bool:
    """Whether a machine does this equation and no sweep, or not everywhere."""
    if e.primitive.role is Role.SCATTER:
        return e.primitive.combiner in SCATTERS
    return e.primitive.role in (Role.GATHER, Role.IOTA, Role.UPDATE)


class Assembly:
    """Instructions, tables and places for equations of these operands and results.

    `inputs` and `outputs` are the lanes of the operands, before, and of the results, after the
    last instruction.
    """

    def __init__(
        self,
        machine: Machine,
        equations: Sequence[Equation],
        operands: Sequence[Var],
        results: Sequence[Var],
    ):
        self.machine = machine
        self.code: list[int] = []
        self.tables: list[int] = []
        self.memory: dict[str, Memory] = {}
        self._tables: dict[bytes, int] = {}
        self._values: dict[Any, Lanes] = {}
        for x in operands:
            self._values[x] = self._new(kind_of(x), x.aval.shape)
        self.inputs = [self._values[x] for x in operands]
        last = _last_uses(equations, results)
        for i, e in enumerate(equations):
            self._values[e.outputs[0]] = self._equation(e)
            for x in last.get(i, ()):
                self._forget(self._values.pop(x))
        for x in results:
            self._together(self._values[x])
        self.outputs = [self._values[x] for x in results]

    # Memory

    def _memory(self, kind: str) -> Memory:
        if kind not in self.memory:
            self.memory[kind] = Memory()
            self.machine.kinds.add(kind)
        return self.memory[kind]

    def _new(self, kind: str, shape: tuple[int, ...]) -> Lanes:
        start = self._memory(kind).block(size_of(shape))
        return Lanes(kind, shape, start, (start,))

    def _at(self, kind: str, places: Any) -> Lanes:
        """A value whose elements are those at these places."""
        memory = self._memory(kind)
        if not places.shape:
            start = int(places)
            blocks = memory.blocks(places)
            memory.hold(blocks)
            return Lanes(kind, (), start, blocks)
        blocks = memory.blocks(places)
        memory.hold(blocks)
        return Lanes(kind, places.shape, None, blocks, places)

    def _forget(self, x: Lanes) -> None:
        self.memory[x.kind].release(x.blocks)

    def _together(self, x: Lanes) -> int:
        """Where the lanes of a value start, side by side: as they are, or copied once for all."""
        if x.start is not None:
            return x.start
        places = x.places.ravel()
        runs = segments(places)
        if runs is not None and len(runs) == 1 and runs[0][2] == 1:
            x.start = int(places[0])
            return x.start
        memory = self.memory[x.kind]
        target = memory.block(len(places))
        self._gathered(x.kind, target, places, runs)
        memory.release(x.blocks)
        x.start, x.blocks = target, (target,)
        return target

    def _gathered(
        self, kind: str, target: int, places: Any, runs: Sequence[tuple[int, int, int]] | None
    ) -> None:
        if runs is None or len(runs) > max(FEW, len(places) // 8):
            low = int(places.min())
            table = self._table((places - low).tolist())
            self._put(Operation("take", kind, (kind,)), len(places), target, low, table)
            return
        for first, last, step in runs:
            if step:
                copy = Operation(_form(last - first), kind, (kind,), "x", kind)
            else:
                copy = Operation("fill", kind, (kind,))
            self._put(copy, last - first, target + first, int(places[first]))

    # Instructions

    def _put(self, operation: Operation, lanes: int, target: int, *places: int) -> None:
        numbers = self.machine.operations
        number = numbers.setdefault(operation, len(numbers))
        a, b, c = (*places, 0, 0, 0)[:3]
        self.code += (number, lanes, target, a, b, c)

    def _table(self, numbers: list[int]) -> int:
        key = np.array(numbers, np.int32).tobytes()
        if key not in self._tables:
            self._tables[key] = len(self.tables)
            self.tables += numbers
        return self._tables[key]

    def _operand(self, x: Any) -> Lanes:
        if type(x) is Literal:
            kind = kind_of(x)
            start = self._memory(kind).constant(x.value, 1)
            return Lanes(kind, (), start, (start,))
        return self._values[x]

    def _equation(self, e: Equation) -> Lanes:
        return EMITTERS[e.primitive.role](self, e)

    def _elementwise(self, e: Equation) -> Lanes:
        aval = e.outputs[0].aval
        lanes = aval.size
        places = [
            self._memory(kind_of(x)).constant(x.value, lanes)
            if type(x) is Literal
            else self._together(self._values[x])
            for x in e.operands
        ]
        out = self._new(kind_of(e.outputs[0]), aval.shape)
        text = e.primitive.scalar_text(e.params)
        self._put(self._scalar(e, text, lanes), lanes, out.start, *places)  # type: ignore[arg-type]
        return out

    def _scalar(self, e: Equation, text: str, lanes: int) -> Operation:
        numbers, result, suffix = typed_as(e, self.machine.main)
        kinds = tuple(map(kind_of, e.operands))
        # A loop takes no time beside a function, which is compiled once then.
        form = "each" if text_effort(text) >= FUNCTION else _form(lanes)
        return Operation(form, result, kinds, text, numbers, suffix)

    def _moved(self, e: Equation) -> Lanes:
        """Structure: the same elements in another order."""
        kind = kind_of(e.outputs[0])
        operands = [self._operand(x) for x in e.operands]
        shape = e.outputs[0].aval.shape
        first = operands[0]
        memory = self._memory(kind)
        as_it_lies = first.start is not None and self._same_order(e, first.shape)
        if as_it_lies:
            memory.hold(first.blocks)
            return Lanes(kind, shape, first.start, first.blocks)
        zero = None
        if e.primitive.role is Role.COPY and not covers(in_one_row(e, ())):
            zero = memory.constant(e.outputs[0].aval.dtype.type(0), 1)
        places = restructured(in_one_row(e, ()), [x.places for x in operands], shape, zero)
        return self._at(kind, places.astype(np.int64))

    @staticmethod
    def _same_order(e: Equation, shape: tuple[int, ...]) -> bool:
        """Whether a view of an array in C order has the same elements in the same order."""
        view = moved_view(View("", shape, contiguous(shape), 0), in_one_row(e, ()))
        same = view is not None and view.dense and not view.offset
        return same and e.outputs[0].aval.size == size_of(shape)

    def _arranged(self, x: Any, order: Sequence[int]) -> tuple[int, Lanes]:
        """Where the lanes of an operand start with its axes in this order, and what to forget when
        they have been read."""
        value = self._operand(x)
        if list(order) == list(range(len(order))):
            start = self._together(value)
            self.memory[value.kind].hold(value.blocks)
            return start, Lanes(value.kind, (), start, value.blocks)
        turned = self._at(value.kind, value.places.transpose(order))
        return self._together(turned), turned

    def _reduction(self, e: Equation) -> Lanes:
        (x,), over = e.operands, e.params["axes"]
        kept = [k for k in range(x.aval.ndim) if k not in over]
        start, read = self._arranged(x, [*kept, *over])
        out = self._new(kind_of(e.outputs[0]), e.outputs[0].aval.shape)
        lanes = e.outputs[0].aval.size
        suffix = f"_{out.kind}" if out.kind != self.machine.main else ""
        operation = Operation(e.primitive.combiner, out.kind, (out.kind,), suffix=suffix)
        self._put(operation, lanes, out.start, start, x.aval.size // lanes)  # type: ignore[arg-type]
        self._forget(read)
        return out

    def _product(self, e: Equation) -> Lanes:
        """Matrix products, one for each place along batch axes."""
        (x, y), c = e.operands, contraction_of(e)
        a, read_a = self._arranged(x, [*c.batch[0], *c.free[0], *c.contract[0]])
        b, read_b = self._arranged(y, [*c.batch[1], *c.free[1], *c.contract[1]])
        out = self._new(kind_of(e.outputs[0]), e.outputs[0].aval.shape)
        rows, columns, length = c.n, c.m, c.k
        table = self._table([columns, length])
        operation = Operation("dot", out.kind, (out.kind, out.kind))
        for k in range(c.count):
            target = out.start + k * rows * columns  # type: ignore[operator]
            places = (a + k * rows * length, b + k * columns * length, table)
            self._put(operation, rows, target, *places)
        self._forget(read_a)
        self._forget(read_b)
        return out

    # Places

    def _window(self, e: Equation) -> Lanes:
        """The first operand with the second one in its window."""
        x, u = [self._operand(y).places for y in e.operands]
        places = np.array(np.broadcast_to(x, e.outputs[0].aval.shape))
        places[tuple(map(slice, *[e.params[k] for k in ("starts", "stops", "steps")]))] = u
        return self._at(kind_of(e.outputs[0]), places)

    def _gather(self, e: Equation) -> Lanes:
        aval = e.outputs[0].aval
        table = self._together(self._operand(e.operands[0]))
        index = self._index(e, e.operands[1:])
        out = self._new(kind_of(e.outputs[0]), aval.shape)
        lanes = size_of(index.shape)
        operation = Operation("gather_rows", out.kind, (out.kind, "i64"))
        self._put(operation, lanes, out.start, table, index.start, aval.size // lanes)  # type: ignore[arg-type]
        self._forget(index)
        return out

    def _scatter(self, e: Equation) -> Lanes:
        aval = e.outputs[0].aval
        table, updates = [self._together(self._operand(x)) for x in e.operands[:2]]
        index = self._index(e, e.operands[2:])
        out = self._new(kind_of(e.outputs[0]), aval.shape)
        lanes = size_of(index.shape)
        copy = Operation(_form(aval.size), out.kind, (out.kind,), "x", out.kind)
        self._put(copy, aval.size, out.start, table)  # type: ignore[arg-type]
        rest = e.operands[1].aval.size // lanes
        operation = Operation(SCATTERS[e.primitive.combiner], out.kind, (out.kind, "i64"))
        self._put(operation, lanes, out.start, updates, index.start, rest)  # type: ignore[arg-type]
        self._forget(index)
        return out

    def _numbers(self, e: Equation) -> Lanes:
        kind, aval = kind_of(e.outputs[0]), e.outputs[0].aval
        values = e.primitive.implementation(np, e.params)()
        start = self._memory(kind).constant(np.ascontiguousarray(values), aval.size)
        self._memory(kind).hold((start,))
        return Lanes(kind, aval.shape, start, (start,))

    def _index(self, e: Equation, indices: Sequence[Any]) -> Lanes:
        """Indices along several axes, batch axes before them, as one."""
        table, batch = e.operands[0].aval.shape, e.params["batch"]
        shape = indices[0].aval.shape
        lanes, memory = size_of(shape), self._memory("i64")
        own = np.arange(size_of(shape[:batch])).repeat(lanes // size_of(shape[:batch]))
        before = Lanes("i64", shape, memory.constant(own, lanes), ())
        operation = Operation("index", "i64", ("i64", "i64"))
        for x, size in zip(indices, table[batch:], strict=False):
            along = self._together(self._spread(x, shape))
            after = self._new("i64", shape)
            self._put(operation, lanes, after.start, before.start, along, self._table([size]))  # type: ignore[arg-type]
            self._forget(before)
            before = after
        return before

    def _spread(self, x: Any, shape: tuple[int, ...]) -> Lanes:
        if type(x) is Var:
            return self._values[x]
        memory = self._memory("i64")
        return Lanes("i64", shape, memory.constant(x.value, size_of(shape)), ())

    def _running(self, e: Equation) -> Lanes:
        """Each element along an axis from the one before it."""
        axis, shape = e.params["axis"], e.outputs[0].aval.shape
        order = [axis, *[k for k in range(len(shape)) if k != axis]]
        arranged = [self._arranged(x, order) for x in e.operands]
        out = self._new(kind_of(e.outputs[0]), tuple([shape[k] for k in order]))
        rest = e.outputs[0].aval.size // shape[axis]
        start: int = out.start  # type: ignore[assignment]
        first = Operation(_form(rest), out.kind, (out.kind,), "x", out.kind)
        self._put(first, rest, start, arranged[-1][0])
        numbers, result, suffix = typed_as(e, self.machine.main)
        kinds = (out.kind, *map(kind_of, e.operands))
        text = e.primitive.step
        operation = Operation(_form(rest), result, kinds, text, numbers, suffix)
        for k in range(1, shape[axis]):
            places = [x + k * rest for x, _ in arranged]
            self._put(operation, rest, start + k * rest, start + (k - 1) * rest, *places)
        for _, read in arranged:
            self._forget(read)
        back = self._at(out.kind, np.moveaxis(out.places, 0, axis))
        self._forget(out)
        return back


EMITTERS: dict[Role, Callable[[Assembly, Equation], Lanes]] = {
    Role.CONTRACTION: Assembly._product,
    Role.COPY: Assembly._moved,
    Role.CUMULATIVE: Assembly._running,
    Role.ELEMENTWISE: Assembly._elementwise,
    Role.GATHER: Assembly._gather,
    Role.IOTA: Assembly._numbers,
    Role.REDUCTION: Assembly._reduction,
    Role.SCATTER: Assembly._scatter,
    Role.UPDATE: Assembly._window,
    Role.VIEW: Assembly._moved,
}


def _form(lanes: int) -> str:
    return "one" if lanes == 1 else "each"


def _last_uses(equations: Sequence[Equation], results: Iterable[Var]) -> dict[int, list[Var]]:
    """For each equation, the values that nothing after it reads."""
    last: dict[Var, int] = {}
    for i, e in enumerate(equations):
        last[e.outputs[0]] = i
        last.update([(x, i) for x in e.operands if type(x) is Var])
    for x in results:
        last.pop(x, None)
    ends: dict[int, list[Var]] = {}
    for x, i in last.items():
        ends.setdefault(i, []).append(x)
    return ends
