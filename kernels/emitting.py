"""Compiled functions from generated text, without Numba's passes over Python bytecode.

A sweep is straight-line code in loops: the type of each name follows from the line that makes it.
Numba would infer types for the whole function at once and rewrite it in two dozen passes, which
takes most of the time of a compilation. `emitted(text, names)` reads the text once, line by line,
and has Numba's own implementation of each operator and function emit its instructions: what is
computed is the same.

The language is the part of Python that generated text consists of: assignments to names, elements
and tuples of names, `for` over `range`, `if`, `raise`, `return`, calls; an index is not negative.
A name made in a block is known in that block. Text in this language is a Numba function too, and
the tests compile it both ways. Functions that are `vectorisable` are inlined in the same way.
"""

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types

from . import numba_parts as parts
from .emitting_expressions import (
    OPERATORS,
    Expressions,
    Slot,
    Statements,
    Value,
    check,
    unsupported,
)


def emitted(
    text: str, names: dict[str, Any], vector_bits: int | None = None, noalias: bool = False
) -> Any:
    """An intrinsic that does what a function's source says; `names` are its globals.

    The function that calls it gets vectors of `vector_bits` (None: as LLVM chooses). `noalias` says
    that no array that it writes overlaps another one.
    """
    parameters = [a.arg for a in _function(text).args.args]

    def body(typing: Any, *kinds: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if noalias:
                parts.mark_noalias(builder.function)
            if vector_bits is not None:
                parts.prefer_vectors(builder.function, vector_bits)
            emitter = _Emitter(context, builder, typing, names)
            values = [Value(k, x) for k, x in zip(kinds, arguments, strict=True)]
            emitter.function(_function(text), dict(zip(parameters, values, strict=True)))
            return parts.nothing(context)

        return types.void(*kinds), build

    return parts.intrinsic_with(parameters, body)


def _function(text: str) -> ast.FunctionDef:
    (function,) = ast.parse(text).body
    if not isinstance(function, ast.FunctionDef):
        raise unsupported(function)
    return function


@functools.cache
def _source(function: Any) -> tuple[ast.FunctionDef, dict[str, Any]]:
    """The source of a function and all names it can see."""
    tree = _function(textwrap.dedent(inspect.getsource(function)))
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return tree, {**function.__globals__, **{name: cell.cell_contents for name, cell in cells}}


class _Emitter(Statements, Expressions):
    """Emits the instructions of one function where a builder stands.

    `slots` are the names that lie on the stack. `end` is the block where the function ends; None in
    an inlined function, which has no early return.
    """

    slots: frozenset[str] = frozenset()
    end: Any = None

    def function(self, tree: ast.FunctionDef, arguments: dict[str, Any]) -> None:
        """A function without a result."""
        self.slots = _updated_names(tree)
        self.end = self.builder.append_basic_block("end")
        with self._scope():
            for name, x in arguments.items():
                is_array = isinstance(x.kind, types.Array)
                self.scopes[-1][name] = self._array(x) if is_array else x
            self._block(tree.body)
        self._continue_at(self.end)

    def inlined(self, function: Any, arguments: Sequence[Any]) -> Any:
        """What a function returns in its last line, or nothing."""
        tree, names = _source(function)
        outer = self.names, self.scopes, self.slots, self.read, self.end
        parameters = [a.arg for a in tree.args.args]
        self.names, self.slots, self.read, self.end = names, _updated_names(tree), [set()], None
        self.scopes = [dict(zip(parameters, arguments, strict=True))]
        *lines, last = tree.body
        if isinstance(last, ast.Return) and last.value is not None:
            self._block(lines)
            result = self._expression(last.value)
        else:
            self._block(tree.body)
            result = None
        self.names, self.scopes, self.slots, self.read, self.end = outer
        return result

    @contextmanager
    def _scope(self) -> Iterator[None]:
        """A block: what it makes is known in it, and what it makes anew is not known after it."""
        self.scopes.append({})
        self.read.append(set())
        yield
        made, read = self.scopes.pop(), self.read.pop()
        self.read[-1] |= read
        for name in made:
            for scope in self.scopes:
                scope.pop(name, None)

    def _continue_at(self, block: Any) -> None:
        if not self.builder.block.is_terminated:
            self.builder.branch(block)
        self.builder.position_at_end(block)

    def _expr(self, s: ast.Expr) -> None:
        if not isinstance(s.value, ast.Constant):
            self._expression(s.value)

    def _assign(self, s: ast.Assign) -> None:
        (target,) = s.targets
        if isinstance(target, ast.Tuple):
            values = self._expression(s.value)
            for name, x in zip(target.elts, self._elements(values), strict=True):
                self._store(name, x)
        else:
            self._store(target, self._expression(s.value))

    def _augassign(self, s: ast.AugAssign) -> None:
        if type(s.op) not in OPERATORS:
            raise unsupported(s)
        before = self._expression(s.target)
        self._store(
            s.target, self._call(OPERATORS[type(s.op)], [before, self._expression(s.value)])
        )

    def _store(self, target: ast.expr, x: Any) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, x)
            return
        if not isinstance(target, ast.Subscript):
            raise unsupported(target)
        array, place = self._element(target)
        value = self._cast(x, array.kind.dtype).value
        parts.store(self.context, self.builder, array.kind, value, place)

    def _bind(self, name: str, x: Any) -> None:
        if name not in self.slots:
            check(not self._was_read(name), f"{name} is read before it is made")
            self.scopes[-1][name] = x
            return
        slot = next((s[name] for s in reversed(self.scopes) if name in s), None)
        if slot is None or (name in self.scopes[-1] and slot.kind != x.kind):
            place = parts.place_for(self.builder, self.context.get_value_type(x.kind))
            slot = self.scopes[-1][name] = Slot(x.kind, place)
        is_same = isinstance(slot, Slot) and slot.kind == x.kind
        check(is_same, f"{name} is {slot.kind} and becomes {x.kind}")
        self.builder.store(x.value, slot.place)

    def _was_read(self, name: str) -> bool:
        """Whether this block has already read the outer value of a name: in the next turn of a loop
        the name would have another value there."""
        read: set[str] = set()
        for scope, inside in zip(reversed(self.scopes[:-1]), reversed(self.read), strict=False):
            read |= inside
            if name in scope:
                return name in read
        return False

    def _for(self, s: ast.For) -> None:
        if s.orelse or not isinstance(s.iter, ast.Call) or not isinstance(s.target, ast.Name):
            raise unsupported(s)
        numbers = [self._expression(x) for x in s.iter.args]
        backwards = len(numbers) == 3 and numbers[2].known is not None and numbers[2].known <= 0
        if backwards:
            raise unsupported(s.iter)
        given = [self._cast(x, types.int64).value for x in numbers]
        step = given.pop() if len(given) == 3 else ir.Constant(ir.IntType(64), 1)
        start, stop = given if len(given) == 2 else (ir.Constant(ir.IntType(64), 0), *given)
        builder = self.builder
        before = builder.block
        head, body, after = [builder.append_basic_block(x) for x in ("head", "body", "after")]
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(start.type)
        i.add_incoming(start, before)
        builder.cbranch(builder.icmp_signed("<", i, stop), body, after)
        builder.position_at_end(body)
        with self._scope():
            self.scopes[-1][s.target.id] = Value(types.int64, i)
            self._block(s.body)
        if not builder.block.is_terminated:
            i.add_incoming(builder.add(i, step, flags=["nsw"]), builder.block)
            back = builder.branch(head)
            if self.end is not None:
                back.set_metadata("llvm.loop", self._hints(only_stores_apart(s)))
        builder.position_at_end(after)

    def _hints(self, one_by_one: bool) -> Any:
        """Hints that a loop is not to be unrolled before it is vectorised: sums over 10 lanes would
        take twice as long. (Loops of an inlined function may be.)

        A loop that only stores apart is not vectorised either: an instruction that scatters takes
        longer than stores one by one (a quarter of the whole time of products over 8 lanes).
        """
        module = self.builder.module
        hints = [[ir.MetaDataString(module, "llvm.loop.unroll.disable")]]
        if one_by_one:
            no = ir.Constant(ir.IntType(1), 0)
            hints.append([ir.MetaDataString(module, "llvm.loop.vectorize.enable"), no])
        return parts.loop_hints(module, hints)

    def _if(self, s: ast.If) -> None:
        condition = self._cast(self._expression(s.test), types.boolean).value
        body, other, after = [self.builder.append_basic_block(x) for x in ("then", "else", "after")]
        self.builder.cbranch(condition, body, other)
        for block, statements in ((body, s.body), (other, s.orelse)):
            self.builder.position_at_end(block)
            with self._scope():
                self._block(statements)
            self._continue_at(after)

    def _return(self, s: ast.Return) -> None:
        if s.value is not None or self.end is None:
            raise unsupported(s)
        self.builder.branch(self.end)

    def _raise(self, s: ast.Raise) -> None:
        match s.exc:
            case ast.Call(func=ast.Name(id=name), args=given):
                arguments = tuple([ast.literal_eval(a) for a in given])
            case ast.Name(id=name):
                arguments = ()
            case _:
                raise unsupported(s)
        parts.raise_error(self.context, self.builder, self._global(name), arguments)


def only_stores_apart(s: ast.For) -> bool:
    """Whether a loop does no more than store to elements that are not beside each other."""
    match s:
        case ast.For(target=ast.Name(id=i), body=[ast.Assign(targets=[ast.Subscript() as place])]):
            return any(_multiplies(x, i) for x in ast.walk(place.slice))
    return False


def _multiplies(x: ast.AST, name: str) -> bool:
    match x:
        case ast.BinOp(ast.Constant(value=step), ast.Mult(), ast.Name(id=i)) | ast.BinOp(
            ast.Name(id=i), ast.Mult(), ast.Constant(value=step)
        ):
            return i == name and step != 1
    return False


def _updated_names(tree: ast.FunctionDef) -> frozenset[str]:
    """The names to which loops and branches give a new value made from the old one."""
    found = set()
    blocks = [s for s in ast.walk(tree) if isinstance(s, ast.For | ast.If)]
    for s in [inner for block in blocks for inner in ast.walk(block)]:
        if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
            found.add(s.target.id)
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name):
            used = {n.id for n in ast.walk(s.value) if isinstance(n, ast.Name)}
            found |= used & {s.targets[0].id}
    return frozenset(found)
