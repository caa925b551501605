"""The body of a CUDA kernel from its text, without Numba's passes over Python bytecode.

As on the CPU (`emitting`): the type of each name follows from the line that makes it, so that the
text can be read once, line by line. Numba's own way takes ten times as long, and it knows neither
vectors in memory nor that indices are small and not negative.

The language is the part of Python that generated kernels consist of: assignments to names, elements
and tuples of names, `while`, `for` over `range`, `if`, calls. A name that is made in a block is
known in that block. Text in this language is a function for Numba as well, and the tests compile it
both ways; only `load` and `store`, of 2 or 4 elements that lie together and aligned, are functions
that Numba has to be given (`plain`).
"""

import ast
import re
from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from .cuda_calls import Calls
from .cuda_expressions import (
    GLOBAL,
    KINDS,
    SHARED,
    SIZES,
    STORED,
    Array,
    Slot,
    Value,
    union,
)
from .emitting_expressions import Statements, check, unsupported


class KernelEmitter(Statements, Calls):
    """Emits a kernel's body into the function where a builder stands."""

    def __init__(self, builder: Any):
        super().__init__(builder)
        self._changed: frozenset[str] = frozenset()

    def function(self, text: str, kinds: Sequence[str], arguments: Sequence[Any]) -> None:
        """The function of this text; the kinds of its arguments are "f32*", "i64" and the like."""
        (tree,) = ast.parse(text).body
        if not isinstance(tree, ast.FunctionDef):
            raise unsupported(tree)
        self._changed = _changed_names(tree)
        for a, kind, x in zip(tree.args.args, kinds, arguments, strict=True):
            self.scopes[-1][a.arg] = self._argument(kind, x)
        self._block(tree.body)

    def _argument(self, kind: str, x: Any) -> Any:
        if not kind.endswith("*"):
            return Value(kind, x)
        stored = STORED.get(kind[:-1], kind[:-1])
        pointer = ir.PointerType(KINDS[stored], GLOBAL)
        return Array(stored, self.builder.addrspacecast(x, pointer))

    def _inner(
        self, body: Sequence[ast.stmt], names: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A block of its own; returns what it makes, which is not known after it."""
        self.scopes.append(names or {})
        self._block(body)
        return self.scopes.pop()

    def _pass(self, s: ast.Pass) -> None:
        """Nothing."""

    # Assignments

    def _expr(self, s: ast.Expr) -> None:
        match s.value:
            case ast.Constant():
                return
            case ast.Call(func=ast.Name(id=("store2" | "store4")), args=[array, index, *values]):
                self._store_vector(array, index, values)
            case _:
                self.expression(s.value)

    def _assign(self, s: ast.Assign) -> None:
        (target,) = s.targets
        match target, s.value:
            case ast.Name(id=name), ast.Call(func=ast.Attribute(attr="array")) as call:
                self.scopes[-1][name] = self._shared(name, call)
            case (
                ast.Name(id=name),
                ast.Subscript(value=array, slice=ast.Slice(lower=ast.expr() as start)),
            ):
                whole = self.expression(array)
                place = self.address(whole, start)
                self.scopes[-1][name] = Array(whole.kind, place)
            case ast.Tuple(elts=names), ast.Call(
                func=ast.Name(id=("load2" | "load4")), args=[array, index]
            ):
                for place, x in zip(
                    names, self._load_vector(array, index, len(names)), strict=True
                ):
                    self._store(place, x)
            case ast.Tuple(elts=names), _:
                for place, x in zip(names, self.expression(s.value), strict=True):
                    self._store(place, x)
            case _:
                self._store(target, self.expression(s.value))

    def _augassign(self, s: ast.AugAssign) -> None:
        made = self.computed(type(s.op), self.expression(s.target), self.expression(s.value))
        self._store(s.target, made)

    def _store(self, target: ast.expr, x: Value) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, x)
        elif isinstance(target, ast.Subscript):
            array, place = self.element(target)
            self.builder.store(self.cast(x, array.kind).value, place, align=SIZES[array.kind])
        else:
            raise unsupported(target)

    def _bind(self, name: str, x: Value) -> None:
        if name not in self._changed:
            self.scopes[-1][name] = x
            return
        found = next((s[name] for s in reversed(self.scopes) if name in s), None)
        if found is None:
            kind = x.kind if x.kind[0] != "i" else "i64"
            with self.builder.goto_entry_block():
                found = Slot(kind, self.builder.alloca(KINDS[kind]))
            self.scopes[-1][name] = found
        check(isinstance(found, Slot), f"{name} cannot be given another value")
        check(found.kind[0] == x.kind[0] or x.number is not None, f"{name} changes its type")
        self.builder.store(self.cast(x, found.kind).value, found.place)

    # Memory

    def _shared(self, name: str, call: ast.Call) -> Array:
        size, kind = call.args
        stored = STORED.get(ast.unparse(kind), ast.unparse(kind))
        if not isinstance(size, ast.Constant):
            raise unsupported(call)
        array = ir.ArrayType(KINDS[stored], size.value)
        place = ir.GlobalVariable(self.builder.module, array, f"shared_{name}", SHARED)
        place.align = 16
        place.initializer = ir.Constant(array, ir.Undefined)
        zero = ir.Constant(KINDS["i32"], 0)
        return Array(stored, self.builder.gep(place, [zero, zero]))

    def _vector(self, array: ast.expr, index: ast.expr, n: int) -> tuple[Array, Any]:
        found = self.expression(array)
        check(isinstance(found, Array), f"{ast.unparse(array)} is no array")
        space = found.data.type.addrspace
        pointer = ir.PointerType(ir.VectorType(KINDS[found.kind], n), space)
        place = self.address(found, index)
        return found, self.builder.bitcast(place, pointer)

    def _load_vector(self, array: ast.expr, index: ast.expr, n: int) -> list[Value]:
        found, place = self._vector(array, index, n)
        together = self.builder.load(place, align=n * SIZES[found.kind])
        numbers = [ir.Constant(KINDS["i32"], k) for k in range(n)]
        return [Value(found.kind, self.builder.extract_element(together, k)) for k in numbers]

    def _store_vector(self, array: ast.expr, index: ast.expr, values: Sequence[ast.expr]) -> None:
        found, place = self._vector(array, index, len(values))
        together: Any = ir.Constant(ir.VectorType(KINDS[found.kind], len(values)), ir.Undefined)
        for k, value in enumerate(values):
            x = self.cast(self.expression(value), found.kind).value
            together = self.builder.insert_element(together, x, ir.Constant(KINDS["i32"], k))
        self.builder.store(together, place, align=len(values) * SIZES[found.kind])

    # Control flow

    def _while(self, s: ast.While) -> None:
        head, body, after = self._blocks("head", "body", "after")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(self.cast(self.expression(s.test), "b1").value, body, after)
        self.builder.position_at_end(body)
        self._inner(s.body)
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def _for(self, s: ast.For) -> None:
        if not isinstance(s.target, ast.Name):
            raise unsupported(s.target)
        if isinstance(s.iter, ast.Tuple):
            for x in s.iter.elts:
                self._inner(s.body, {s.target.id: self.expression(x)})
            return
        if not isinstance(s.iter, ast.Call) or ast.unparse(s.iter.func) != "range":
            raise unsupported(s.iter)
        given = [self.expression(x) for x in s.iter.args]
        start, stop, *more = given if len(given) > 1 else (_whole(0), *given)
        step = more[0] if more else _whole(1)
        self._loop(s, start, stop, step)

    def _loop(self, s: ast.For, start: Value, stop: Value, step: Value) -> None:
        ends = (start.low, stop.high, step.high)
        small = all(x is not None for x in ends) and stop.high + step.high < 1 << 31  # type: ignore[operator]
        kind = "i32" if small else "i64"
        a, b, c = (self.cast(x, kind).value for x in (start, stop, step))
        builder, before = self.builder, self.builder.block
        head, body, after = self._blocks("head", "body", "after")
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(KINDS[kind])
        i.add_incoming(a, before)
        builder.cbranch(builder.icmp_signed("<", i, b), body, after)
        builder.position_at_end(body)
        high = None if stop.high is None else stop.high - 1
        self._inner(s.body, {s.target.id: Value(kind, i, start.low, high)})  # type: ignore[attr-defined]
        i.add_incoming(builder.add(i, c, flags=["nsw"]), builder.block)
        builder.branch(head)
        builder.position_at_end(after)

    def _if(self, s: ast.If) -> None:
        then, after = self._blocks("then", "after")
        other = self._blocks("other")[0] if s.orelse else after
        condition = self.cast(self.expression(s.test), "b1").value
        self.builder.cbranch(condition, then, other)
        ends: list[tuple[dict[str, Any], Any]] = []
        for block, statements in ((then, s.body), (other, s.orelse)):
            if statements:
                self.builder.position_at_end(block)
                made = self._inner(statements)
                ends.append((made, self.builder.block))
                self.builder.branch(after)
        self.builder.position_at_end(after)
        if len(ends) == 2:
            self._join(*ends)

    def _join(self, one: tuple[dict[str, Any], Any], other: tuple[dict[str, Any], Any]) -> None:
        """Makes known what both branches have made."""
        (names, block), (others, end) = one, other
        for name, x in names.items():
            y = others.get(name)
            if isinstance(x, Value) and isinstance(y, Value) and x.kind == y.kind:
                incoming = [(x.value, block), (y.value, end)]
                self.scopes[-1][name] = self.joined(x.kind, incoming, union(x, y))

    def _blocks(self, *names: str) -> list[Any]:
        return [self.builder.append_basic_block(x) for x in names]


def parameters_of(text: str) -> list[str]:
    """The names of the parameters of the function of this text."""
    (tree,) = ast.parse(text).body
    if not isinstance(tree, ast.FunctionDef):
        raise unsupported(tree)
    return [a.arg for a in tree.args.args]


def _whole(number: int) -> Value:
    return Value("i64", ir.Constant(KINDS["i64"], number), number, number, number)


def _changed_names(tree: ast.FunctionDef) -> frozenset[str]:
    """The names that are given a value more than once; not those that are made in several blocks,
    each of which has its own."""
    changed: set[str] = set()

    def visit(body: Sequence[ast.stmt], known: frozenset[str]) -> None:
        seen = set(known)
        for s in body:
            if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
                changed.add(s.target.id)
            elif isinstance(s, ast.Assign):
                names = _stored_names(s)
                changed.update(names & seen)
                seen |= names
            for inner in (getattr(s, "body", []), getattr(s, "orelse", [])):
                visit(inner, frozenset(seen))

    visit(tree.body, frozenset())
    return frozenset(changed)


def _stored_names(s: ast.Assign) -> set[str]:
    found = [x for t in s.targets for x in ast.walk(t) if isinstance(x, ast.Name)]
    return {x.id for x in found if isinstance(x.ctx, ast.Store)}


_VECTOR = re.compile(r"^( *)(.+?) = load[24]\((\w+), (.+)\)$", re.MULTILINE)
_STORED = re.compile(r"^( *)store[24]\((\w+), (.+?), (v\d+(?:, v\d+)*)\)$", re.MULTILINE)


def plain(text: str) -> str:
    """The text with one load or store for each element of a vector, for other compilers."""

    def loads(m: re.Match[str]) -> str:
        pairs = enumerate(m[2].split(", "))
        return "\n".join([f"{m[1]}{name} = {m[3]}[{m[4]} + {k}]" for k, name in pairs])

    def stores(m: re.Match[str]) -> str:
        pairs = enumerate(m[4].split(", "))
        return "\n".join([f"{m[1]}{m[2]}[{m[3]} + {k}] = {name}" for k, name in pairs])

    return _STORED.sub(stores, _VECTOR.sub(loads, text))
