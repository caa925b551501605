"""What the CPU computes, by the role of an operation: the one place where it is put together."""

from collections.abc import Callable

from gpuad.codegen.argument import TYPES, has_form
from gpuad.codegen.cpu import (
    contraction,
    cumulative,
    elementwise,
    gather_scatter,
    interpreted_only,
    reduction,
    structure,
)
from gpuad.codegen.cpu.emitter import Assembler, Emitter
from gpuad.ir.graph import Equation
from gpuad.ir.primitive import Role
from gpuad.plan.plan import SweepEquation

EMITTERS: dict[Role, Emitter] = {
    Role.CONTRACTION: contraction.EMITTER,
    Role.COPY: structure.COPY,
    Role.CUMULATIVE: cumulative.EMITTER,
    Role.ELEMENTWISE: elementwise.EMITTER,
    Role.GATHER: gather_scatter.GATHER,
    Role.REDUCTION: reduction.EMITTER,
    Role.SCATTER: gather_scatter.SCATTER,
    Role.VIEW: structure.VIEW,
}
"""How sweeps and the interpreter compute an operation."""

NEVER_IN_SWEEPS: dict[Role, str] = {
    Role.CONSTANT: "an array that is there before any sweep",
    Role.GRAPH: "its graph is written out before a plan is made, or is a call of its own",
    Role.IOTA: "has no operand whose rows a sweep would go along",
    Role.OPAQUE: "a library call on whole arrays",
    Role.SORT: "a library call on whole rows",
    Role.UPDATE: "the library copies the whole array and writes to the window, at once",
}
"""Why operations of the other roles are not in a sweep."""

ASSEMBLERS: dict[Role, Assembler] = {
    **{role: emitter.assembler for role, emitter in EMITTERS.items()},
    Role.IOTA: interpreted_only.IOTA,
    Role.UPDATE: interpreted_only.UPDATE,
}
"""How the interpreter computes an operation: all that sweeps compute, and more."""

INTERPRETED_LANES = 1 << 13
"""The interpreter computes values of at most so many lanes."""


def emitter_of(s: SweepEquation) -> Emitter:
    return EMITTERS[s.equation.primitive.role]


def joins(e: Equation) -> bool:
    """Whether a sweep can compute this equation."""
    emitter = EMITTERS.get(e.primitive.role)
    return emitter is not None and has_form(e) and not _is_empty(e) and emitter.joins(e)


def can_interpret(e: Equation, joins: Callable[[Equation], bool]) -> bool:
    """Whether the interpreter can compute this equation, if a sweep can where `joins` says so."""
    values = (*e.operands, *e.outputs)
    if len(e.outputs) != 1 or any(x.aval.size > INTERPRETED_LANES for x in values):
        return False
    if not all(x.aval.dtype.str[1:] in TYPES for x in values):
        return False
    assembler = ASSEMBLERS.get(e.primitive.role)
    if assembler is None:
        return False
    if assembler.accepts is None:
        return joins(e)
    return not _is_empty(e) and assembler.accepts(e)


def _is_empty(e: Equation) -> bool:
    """Whether a value of an equation has no elements."""
    return any(0 in x.aval.shape for x in (*e.operands, *e.outputs))
