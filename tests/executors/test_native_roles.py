"""The tables of the CPU's code generator are complete: no role is forgotten in one of them."""

from dataclasses import replace

import pytest

import gpuad  # noqa: F401  (declares all primitives)
from gpuad.codegen.cpu.operations import EMITTERS, NEVER_IN_SWEEPS
from gpuad.ir.primitive import CATALOGUE, Role


def gaps(emitters, never):
    """What is missing in these tables, a line for each."""
    roles = {p.role for p in CATALOGUE.values()}
    for role in sorted(roles, key=lambda role: role.name):
        if role not in emitters:
            if not never.get(role):
                yield f"{role.name}: no emitter, and no reason why it is never in a sweep"
            continue
        emitter = emitters[role]
        if role in never:
            yield f"{role.name}: an emitter, and a reason why there is none"
        if emitter.emit is None and emitter.statement is None:
            yield f"{role.name}: neither a block form nor a statement for loops"
        if emitter.emit_unrolled is None and not emitter.calls_blas:
            yield f"{role.name}: no unrolled form"
    for role in {*emitters, *never} - roles:
        yield f"{role.name}: no primitive has it"


def test_every_role_is_complete():
    assert not list(gaps(EMITTERS, NEVER_IN_SWEEPS))


def without(table, role):
    return {k: v for k, v in table.items() if k is not role}


def changed(role, **fields):
    return {**EMITTERS, role: replace(EMITTERS[role], **fields)}


@pytest.mark.parametrize(
    ("emitters", "never", "expected"),
    [
        (without(EMITTERS, Role.GATHER), NEVER_IN_SWEEPS, "GATHER: no emitter"),
        (EMITTERS, without(NEVER_IN_SWEEPS, Role.SORT), "SORT: no emitter"),
        (EMITTERS, {**NEVER_IN_SWEEPS, Role.SORT: ""}, "SORT: no emitter"),
        (EMITTERS, {**NEVER_IN_SWEEPS, Role.COPY: "x"}, "COPY: an emitter, and"),
        (changed(Role.COPY, emit=None), NEVER_IN_SWEEPS, "COPY: neither"),
        (
            changed(Role.CUMULATIVE, emit_unrolled=None),
            NEVER_IN_SWEEPS,
            "CUMULATIVE: no unrolled form",
        ),
    ],
)
def test_what_is_forgotten_is_named(emitters, never, expected):
    (found,) = gaps(emitters, never)
    assert found.startswith(expected)
