"""How large functions and classes may be, so that each can be read at a glance."""

import ast
from collections.abc import Iterator

import pytest

from source_tree import modules_of

LINES = 60
PARAMETERS = 6
ATTRIBUTES = 12
REASON = "has many attributes because"
"""What the docstring of a larger class says, with the reason."""

AS_DECLARED = ("gpuad.primitives.declare", "gpuad.ir.primitive", "gpuad.testing")
"""Their parameters are the facts that a primitive is declared with, or options of a check."""
GENERATED_CODE = "gpuad.kernels."
"""Compiled functions take arrays and sizes one by one. The polynomials of `vecmath` are long."""
POLYNOMIALS = "gpuad.kernels.vecmath"
AS_NUMPY = ("gpuad.numpy.", "gpuad.scipy.")
"""Parameters are those of NumPy's and SciPy's functions."""
AS_JAX = "gpuad.api.compiled.jit"
"""Parameters are those of jax.jit, beside the executor and the limit of memory."""

SOURCES = {name: ast.parse(path.read_text()) for name, path in modules_of().items()}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    for module, source in SOURCES.items():
        for node in ast.walk(source):
            if isinstance(node, Function):
                yield module, node


def lines_of(function: Function) -> int:
    """Without the docstring."""
    documented = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if documented else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def parameters_of(function: Function) -> list[str]:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [p.arg for p in given if p.arg not in ("self", "cls")]


def attributes_of(cls: ast.ClassDef) -> set[str]:
    declared = {
        x.target.id
        for x in cls.body
        if isinstance(x, ast.AnnAssign) and isinstance(x.target, ast.Name)
    }
    return declared | {
        x.attr
        for x in ast.walk(cls)
        if isinstance(x, ast.Attribute)
        and isinstance(x.ctx, ast.Store)
        and isinstance(x.value, ast.Name)
        and x.value.id == "self"
    }


def test_functions_are_short():
    long = [
        f"{module}.{f.name}: {lines_of(f)} lines"
        for module, f in functions()
        if lines_of(f) > LINES and not module.startswith(POLYNOMIALS)
    ]
    assert not long


def test_functions_have_few_parameters():
    exempt = (*AS_DECLARED, GENERATED_CODE, *AS_NUMPY, AS_JAX)
    many = [
        f"{module}.{f.name}: {parameters_of(f)}"
        for module, f in functions()
        if len(parameters_of(f)) > PARAMETERS and not f"{module}.{f.name}".startswith(exempt)
    ]
    assert not many


def test_large_classes_give_a_reason():
    silent = [
        f"{module}.{c.name}: {len(attributes_of(c))} attributes"
        for module, source in SOURCES.items()
        for c in ast.walk(source)
        if isinstance(c, ast.ClassDef) and len(attributes_of(c)) > ATTRIBUTES
        if REASON not in " ".join((ast.get_docstring(c) or "").split())
    ]
    assert not silent


@pytest.mark.parametrize(
    "text, expected",
    [("def f(a, b=1, *c, d): 'what'; return 1", 3), ("def f(self, x): pass", 1)],
)
def test_parameters_are_counted(text, expected):
    (function,) = ast.parse(text).body
    assert len(parameters_of(function)) == expected
    assert lines_of(function) == 1
