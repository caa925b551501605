"""A Trace is a Builder that a user's function is run against.

It is closed: a value of an outer trace, or a concrete array, becomes an extra input ("captured").
Where the values of its inputs are known, any value in it can be computed on demand, so that
Python control flow works.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuad.collector import gc_paused
from gpuad.errors import EscapedTracerError, GpuadError, InPlaceError, UnknownValueError
from gpuad.ir.aval import Aval
from gpuad.ir.build import Builder
from gpuad.ir.graph import Atom, Equation, Graph, Literal, Var
from gpuad.ir.interpret import evaluate
from gpuad.ir.primitive import is_inexact
from gpuad.tracing.advice import FOR_SIZES
from gpuad.tracing.arrays import (
    SMALL,
    aval_of,
    fingerprint,
    is_array,
    namespace_of_all,
    plain,
    usable,
)
from gpuad.tracing.callers import calling_library, checks_finite, instead_of_calling
from gpuad.tracing.read_only import held

FOR_BRANCHES = (
    "Write np.where(c, a, b) for an `if`, and a loop of a known number of steps for a `while`"
)


class Outer:
    """A value of an outer trace, captured by an inner one."""

    __slots__ = ("trace", "var")

    def __init__(self, trace: "Trace", var: Var):
        self.trace = trace
        self.var = var

    def value(self, advice: str) -> Any:
        return self.trace.value(self.var, advice)


class Trace(Builder):
    """The graph of a user's function while it is being recorded.

    It has many attributes because all that is known of a running function is asked of its trace.

    Parameters
    ----------
    unknown
        Why values are not known ("jit", "vmap", ...), or None if they are.
    kept
        Whether the graph will be used again with other values of captured Tracers (`jit`): then
        their values are not known either.
    records_outer
        Whether an operation that has only values of outer traces as operands is recorded here, and
        not in the outer trace. This is for derivative rules, which are recorded again when the
        outer traces have ended.
    """

    def __init__(
        self,
        name: str,
        unknown: str | None = None,
        kept: bool = False,
        records_outer: bool = False,
    ):
        super().__init__(name)
        self.records_outer = records_outer
        self.unknown = unknown
        self.kept = kept
        self.names: Callable[[], list[str]] = list
        """What the user calls each input, for messages."""
        self.refused: GpuadError | None = None
        """The last error raised where a library asked for a value; the library may raise another
        one in its place."""
        self.asked = False
        """Whether Python code asked for a value."""
        self.open = True
        self.depth = 0
        self.captured: list[Any] = []
        self._captured_vars: list[Var] = []
        self._capture_of: dict[int, tuple[Any, Var]] = {}
        self._fingerprints: dict[Var, int | None] = {}
        self.read_only: list[np.ndarray] = []
        """Captured arrays that are read-only until the trace ends."""
        self._known: dict[Var, Any] = {}
        self._outers: list[tuple[Var, Outer]] = []
        self._active: set[Atom] = set()
        """The values found to depend differentiably on what a derivative is taken by."""
        self._analyzed = (0, 0)
        """How many outer values and equations have been examined for `_active`."""
        self._producer: dict[Var, Equation] = {}
        self._scanned = 0

    def argument(self, aval: Aval, value: Any = None, differentiated: bool = False) -> Var:
        """A new input, with its value (an array or an `Outer`) if known.

        `differentiated`: a derivative is taken by it, so that ``float(x)`` would lose a tangent.
        """
        v = self.input(aval)
        if differentiated and is_inexact(aval.dtype):
            self._active.add(v)
        if value is not None:
            self.know(v, value)
        return v

    def know(self, v: Var, value: Any) -> None:
        """Notes the value of the input `v`."""
        self._known[v] = value
        if type(value) is Outer:
            self._outers.append((v, value))

    def declare_capture(self, outer: Var, v: Var) -> None:
        """Notes that the input `v` stands for the value `outer` of another trace."""
        self._capture_of[id(outer)] = (outer, v)

    def declares(self, outer: Atom) -> Var | None:
        """The input that stands for the value `outer` of another trace, if there is one."""
        found = self._capture_of.get(id(outer))
        return None if found is None else found[1]

    def capture(self, x: Any) -> Var:
        """The input that stands for a concrete array or an `Outer` value."""
        x, given = plain(x), x
        key = id(given.var) if type(given) is Outer else id(given)
        found = self._capture_of.get(key)
        if found is not None:
            # One input stands for all uses of the array, so it must still be what it was.
            check_unchanged(x, self._fingerprints.get(found[1]), self.name)
            return found[1]
        if type(x) is Outer:
            source, v = x.var, Var(x.var.aval)
        else:
            source, v = given, Var(aval_of(usable(x)))
            self._fingerprints[v] = fingerprint(x)
            if isinstance(given, np.ndarray) and given.nbytes > SMALL and held.hold(given):
                self.read_only.append(given)
        self._capture_of[key] = (source, v)  # which keeps the object, whose id is the key, alive
        self.captured.append(x)
        self._captured_vars.append(v)
        self.know(v, x)
        return v

    def resolve(self, trace: "Trace", var: Atom) -> Atom:
        """A value of `trace` as a value of this one."""
        if trace is self or type(var) is Literal:
            return var
        declared = self.declares(var)
        if declared is not None:
            return declared
        owner, value = value_in_open_trace(trace, var)
        return value if owner is self else self.capture(Outer(owner, value))

    def knows(self, x: Atom) -> bool:
        """Whether the value of `x` can be computed."""
        try:
            self.value(x)
        except UnknownValueError:
            return False
        return True

    def value(self, x: Atom, advice: str = FOR_BRANCHES) -> Any:
        """The concrete value of `x`, computed with what it needs, and kept.

        `advice`, for the error message, is what to write instead where it cannot be known.
        """
        if type(x) is Literal:
            return x.value
        self.asked = True
        for inner in _stack.traces[self.depth :]:
            if inner.kept:
                raise self._not_known(x, inner.unknown or inner.name, advice)
        for e in self._needed(x):
            operands = [self._get(operand, advice) for operand in e.operands]
            # An operation without array operands (iota) makes its result where the data is.
            data = operands if any(map(is_array, operands)) else self._known.values()
            results = evaluate(e, namespace_of_all(data), operands)
            self._known.update(zip(e.outputs, results, strict=True))
        return self._get(x, advice)

    def _get(self, x: Any, advice: str) -> Any:
        if type(x) is Literal:
            return x.value
        if x not in self._known:
            raise self._not_known(x, self.unknown or self.name, advice)
        value = self._known[x]
        if type(value) is Outer:
            value = self._known[x] = value.value(advice)
        return value

    def _argument(self, x: Atom) -> str:
        """What the user calls an argument; empty for any other value."""
        if type(x) is not Var:
            return ""
        return dict(zip(self.inputs, self.names(), strict=False)).get(x, "")

    def list_with(self, x: Atom) -> str:
        """The name of the list or tuple of numbers in the arguments that `x` is one of."""
        name = self._argument(x)
        found = re.fullmatch(r"(.*)\[\d+\]", name)
        return found[1] if found and not x.aval.shape else ""

    def _not_known(self, x: Atom, transform: str, advice: str) -> UnknownValueError:
        name = self._argument(x)
        if name:
            name = f", {name}" if name.startswith("argument ") else f", the argument {name}"
        library = calling_library(sys._getframe(1))
        where = f" in {library}" * bool(library)
        if checks_finite(sys._getframe(1)):
            advice = "Give check_finite=False"
        elif advice != FOR_SIZES:
            advice = instead_of_calling(library) or advice
        return UnknownValueError(
            f"the value of a traced array ({x.aval}{name}) was asked for{where} under "
            f"{transform!r}, where only shapes and dtypes are known. "
            f"{advice}{_ADVICE.get(transform, '')}."
        )

    def _needed(self, x: Atom) -> list[Equation]:
        """The equations to run, in order, before `x` is known."""
        for e in self.equations[self._scanned :]:
            self._producer.update(dict.fromkeys(e.outputs, e))
        self._scanned = len(self.equations)
        order: dict[int, Equation] = {}
        pending: list[tuple[Any, bool]] = [(x, False)]
        while pending:
            y, ready = pending.pop()
            made = self._producer.get(y)
            if type(y) is Literal or y in self._known or made is None or id(made) in order:
                continue
            if ready:
                order[id(made)] = made
            else:
                pending.append((y, True))
                pending += [(operand, False) for operand in made.operands]
        return list(order.values())

    def is_differentiated(self, x: Atom) -> bool:
        """Whether `x` depends differentiably on what a derivative is taken by, here or in an
        outer trace."""
        outers, equations = self._analyzed
        for v, outer in self._outers[outers:]:
            if outer.trace.is_differentiated(outer.var):
                self._active.add(v)
        propagate_activity(self.equations[equations:], self._active)
        self._analyzed = len(self._outers), len(self.equations)
        return x in self._active

    def check_captured(self) -> None:
        """Raises if a captured NumPy array has changed since it was captured."""
        for v, x in zip(self._captured_vars, self.captured, strict=True):
            check_unchanged(x, self._fingerprints.get(v), self.name)

    def finish(self, outputs: list[Atom]) -> tuple[Graph, list[Any]]:
        """The graph, whose last inputs are the captured values, and these values."""
        self.check_captured()
        graph = self.graph(outputs)
        used = {x for e in graph.equations for x in e.operands} | set(graph.outputs)
        kept = [
            (v, x) for v, x in zip(self._captured_vars, self.captured, strict=True) if v in used
        ]
        inputs = (*graph.inputs, *[v for v, _ in kept])
        return (
            Graph(inputs, graph.equations, graph.outputs, len(kept), self.name),
            [x for _, x in kept],
        )


def propagate_activity(equations: Sequence[Equation], active: set[Atom]) -> None:
    """Adds to `active` the results that depend differentiably on a value in it."""
    for e in equations:
        operands = [x in active for x in e.operands]
        if any(operands) and e.primitive.jvp is not None:
            results = zip(e.outputs, _active_results(e, operands), strict=True)
            active.update([v for v, on in results if on and is_inexact(v.aval.dtype)])


def _active_results(e: Equation, operands: Sequence[bool]) -> Sequence[bool]:
    """Which results depend on the active operands.

    If the equation holds a graph, those that do in this graph, unless a rule of the user gives the
    derivative; else all of them.
    """
    held = e.params.get("graph")
    if held is None or "rules" in e.params or len(held.inputs) != len(operands):
        return [True] * len(e.outputs)
    active: set[Atom] = {v for v, on in zip(held.inputs, operands, strict=True) if on}
    propagate_activity(held.equations, active)
    return [x in active for x in held.outputs]


def check_unchanged(x: Any, before: int | None, name: str) -> None:
    """Raises if the array has another fingerprint than `before`."""
    if before is not None and fingerprint(x) != before:
        raise InPlaceError(
            f"a captured array ({x.dtype}{list(x.shape)}) was changed in place after {name!r} had "
            "recorded its use, so the recorded program would no longer be the function that was "
            "traced. Update a copy (x = x.copy()), or pass the array as an argument."
        )


_ADVICE = {
    "jit": "; or make an argument that is no array static: jit(f, static_argnums=...)",
    "vmap": "; or give in_axes=None for an argument that is the same for all samples",
}
"""What else to do where values are not known, by transform."""


class _Stack(threading.local):
    """The open traces of a thread, the innermost last."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.recording_outer: list[Trace] = []
        """Those of them that have `records_outer`."""


_stack = _Stack()


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Makes `trace` the innermost one; when the block ends, its values must not be used again."""
    _stack.traces.append(trace)
    trace.depth = len(_stack.traces)
    if trace.records_outer:
        _stack.recording_outer.append(trace)
    try:
        with gc_paused:
            yield trace
    finally:
        if trace.read_only:
            held.release(trace.read_only)
        trace.open = False
        _stack.traces.pop()
        if trace.records_outer:
            _stack.recording_outer.pop()


def value_in_open_trace(trace: Trace, var: Atom) -> tuple[Trace, Any]:
    """The value `var` of `trace` as an open trace and its value there.

    If `trace` has ended, this is the input that stands for it in the rule of a custom function that
    closed over it.
    """
    if trace.open:
        return trace, var
    for t in reversed(_stack.traces):
        declared = t.declares(var)
        if declared is not None:
            return t, declared
    raise EscapedTracerError(
        f"a traced array ({var.aval}) of {trace.name!r} is used after that transform has ended. "
        "Return it from the function instead of storing it in a global, a list or an attribute."
    )


def recording_trace(trace: Trace | None) -> Trace | None:
    """The trace that records an operation of which `trace` is the innermost among the operands:
    `trace`, or a trace within it that has `records_outer`."""
    if trace is None or not _stack.recording_outer:
        return trace
    inner = _stack.recording_outer[-1]
    return inner if inner.depth > trace.depth else trace


def innermost_open() -> Trace | None:
    """The trace of the function that is being traced now, if any."""
    return _stack.traces[-1] if _stack.traces else None
