"""Expressions of generated text as instructions: the values, operators and calls of `emitting`."""

import ast
import builtins
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numba import typeof, types

from . import numba_parts as parts

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.RShift: operator.rshift,
    ast.LShift: operator.lshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_OPERATORS = frozenset(OPERATORS.values())


class TextError(Exception):
    """Generated text that the emitter has no instructions for, or none with the same meaning."""


def check(fine: bool, why: str) -> None:
    """Refuses the text, saying why, unless `fine`."""
    if not fine:
        raise TextError(why)


def unsupported(tree: ast.AST) -> TextError:
    """The error for a form that is not in the language."""
    return TextError(f"generated text has no way to say {ast.unparse(tree)!r}")


@dataclass(frozen=True)
class Value:
    """A value of Numba's type `kind`; `known` is the Python number it stands for, if it is one."""

    kind: Any
    value: Any
    known: Any = None


@dataclass(frozen=True)
class Slot:
    """The place on the stack of a name that is given a value more than once."""

    kind: Any
    place: Any


@dataclass(frozen=True)
class Array:
    """`count` elements of a one-dimensional array, from the pointer `data` on."""

    kind: Any
    data: Any
    count: Any


_signatures: dict[Any, Any] = {}
"""The signature that Numba has found for a function and types of operands."""


class Statements:
    """What emits statements, each by the method that is named after its form."""

    def _block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            emit = getattr(self, f"_{type(statement).__name__.lower()}", None)
            if emit is None:
                raise unsupported(statement)
            emit(statement)


class Expressions(ABC):
    """Emits the instructions of expressions where a builder stands.

    `names` are the globals of the text, `scopes` the values of local names in each open block,
    `read` the names that each of these blocks has read.
    """

    def __init__(self, context: Any, builder: Any, typing: Any, names: dict[str, Any]):
        self.context = context
        self.builder = builder
        self.typing = typing
        self.names = names
        self.scopes: list[dict[str, Any]] = []
        self.read: list[set[str]] = [set()]
        self._implementations: dict[Any, Any] = {}

    @abstractmethod
    def inlined(self, function: Any, arguments: Sequence[Any]) -> Any:
        """What a function returns whose instructions are emitted here."""

    def _expression(self, e: ast.expr) -> Any:
        match e:
            case ast.Name():
                return self._name(e.id)
            case ast.Constant():
                return self._constant(e.value)
            case ast.BinOp() if type(e.op) in OPERATORS:
                operands = [self._expression(e.left), self._expression(e.right)]
                return self._call(OPERATORS[type(e.op)], operands)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return self._constant(-number)
            case ast.UnaryOp() if type(e.op) in OPERATORS:
                return self._call(OPERATORS[type(e.op)], [self._expression(e.operand)])
            case ast.Compare(ops=[op], comparators=[right]) if type(op) in OPERATORS:
                operands = [self._expression(e.left), self._expression(right)]
                return self._call(OPERATORS[type(op)], operands)
            case ast.Call(func=function, keywords=[]):
                return self._call(self._global_of(function), [self._expression(a) for a in e.args])
            case ast.Subscript(slice=ast.Slice()):
                return self._part(e)
            case ast.Subscript():
                array, place = self._element(e)
                value = parts.load(self.context, self.builder, array.kind, place)
                return Value(array.kind.dtype, value)
            case ast.Tuple():
                return [self._expression(x) for x in e.elts]
            case ast.Attribute():
                return self._constant(self._global_of(e))
        raise unsupported(e)

    def _name(self, name: str) -> Any:
        self.read[-1].add(name)
        for scope in reversed(self.scopes):
            if name in scope:
                x = scope[name]
                return Value(x.kind, self.builder.load(x.place)) if type(x) is Slot else x
        return self._constant(self._global(name))

    def _global(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        check(hasattr(builtins, name), f"generated text uses {name!r} where it is not known")
        return getattr(builtins, name)

    def _global_of(self, e: ast.expr) -> Any:
        if isinstance(e, ast.Attribute):
            return getattr(self._global_of(e.value), e.attr)
        if not isinstance(e, ast.Name):
            raise unsupported(e)
        return self._global(e.id)

    def _constant(self, number: Any) -> Value:
        kind = types.int64 if type(number) is int else typeof(number)
        value = parts.constant(self.context, self.builder, kind, number)
        return Value(kind, value, number)

    def _tuple(self, values: Sequence[Value]) -> Value:
        kind = types.Tuple([x.kind for x in values])
        given = [x.value for x in values]
        return Value(kind, parts.made_tuple(self.context, self.builder, kind, given))

    def _elements(self, x: Any) -> list[Any]:
        if isinstance(x, list):
            return x
        values = parts.elements(self.builder, x.value)
        return [Value(k, value) for k, value in zip(x.kind, values, strict=True)]

    def _cast(self, x: Value, kind: Any) -> Value:
        if x.kind == kind:
            return x
        return Value(kind, parts.cast(self.context, self.builder, x.value, x.kind, kind))

    def _call(self, function: Any, operands: Sequence[Any]) -> Any:
        if isinstance(function, type) and getattr(operands[0], "known", None) is not None:
            return self._constant(function(operands[0].known))
        source = parts.inlined_function(function)
        if source is not None:
            return self.inlined(source, operands)
        operands = [self._tuple(x) if isinstance(x, list) else x for x in operands]
        kinds = tuple([x.kind for x in operands])
        key = function, kinds
        found = self._implementations.get(key)
        if found is None:
            found = self._implementations[key] = self._implementation(function, kinds)
        signature, implementation = found
        given = self._given(signature, operands)
        return Value(signature.return_type, implementation(self.builder, given))

    def _given(self, signature: Any, operands: Sequence[Any]) -> list[Any]:
        """Operands as a function of this signature takes them."""
        in_one = parts.takes_all_as_one(signature)
        kinds = tuple(signature.args[0]) if in_one else signature.args
        given = [
            self._whole(x) if isinstance(x, Array) else self._cast(x, kind).value
            for x, kind in zip(operands, kinds, strict=True)
        ]
        if in_one:
            return [parts.made_tuple(self.context, self.builder, signature.args[0], given)]
        return given

    def _implementation(self, function: Any, kinds: tuple[Any, ...]) -> tuple[Any, Any]:
        kind = function
        if function not in _OPERATORS:
            kind = parts.function_type(self.typing, function)
        signature = _signatures.get((function, kinds))
        if signature is None:
            signature = parts.signature_of(self.typing, kind, kinds)
            check(signature is not None, f"Numba knows no {function} of {kinds}")
            _signatures[function, kinds] = signature
        return signature, parts.implementation_of(self.context, kind, signature)

    # Arrays

    def _array(self, x: Value) -> Array:
        return Array(x.kind, *parts.data_and_count(self.context, self.builder, x.kind, x.value))

    def _whole(self, x: Array) -> Any:
        """An array as Numba's functions take it."""
        return parts.whole_array(self.context, self.builder, x.kind, x.data, x.count)

    def _index(self, e: ast.expr) -> Any:
        x = self._expression(e)
        check(isinstance(x.kind, types.Integer), f"{ast.unparse(e)} is no index")
        return self._cast(x, types.int64).value

    def _element(self, e: ast.Subscript) -> tuple[Array, Any]:
        """The array of an element, and the pointer to the element."""
        array = self._expression(e.value)
        return array, self.builder.gep(array.data, [self._index(e.slice)], inbounds=True)

    def _part(self, e: ast.Subscript) -> Array:
        array, bounds = self._expression(e.value), e.slice
        if not isinstance(bounds, ast.Slice) or bounds.upper is None or bounds.step is not None:
            raise unsupported(e)
        start = self._index(bounds.lower or ast.Constant(0))
        data = self.builder.gep(array.data, [start], inbounds=True)
        return Array(array.kind, data, self.builder.sub(self._index(bounds.upper), start))
