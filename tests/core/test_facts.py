"""What is known of an operation stands on its primitive: below the primitives nothing is known by
its name, and every role is either written by a target or said not to be."""

import ast

import pytest

import gpuad.numpy  # noqa: F401  all primitives are declared
from gpuad.codegen.cuda.writer import EMITTERS as CUDA_EMITTERS
from gpuad.ir.primitive import CATALOGUE, Role
from source_tree import modules_of

BELOW = ("gpuad.ir", "gpuad.plan", "gpuad.codegen", "gpuad.executors", "gpuad.compile")

_TEXT = "a function of scalar texts, of the same name"
_ALGEBRA = (
    "what is joined depends on the kernels of the target, so a plan does what a transform would"
)
JUSTIFIED = {
    ("gpuad.ir.primitive", "broadcast"): "a number with axes is made by it",
    ("gpuad.codegen.cpu.loops", "cast"): _TEXT,
    ("gpuad.codegen.cpu.loops", "maximum"): _TEXT,
    ("gpuad.codegen.cpu.loops", "minimum"): _TEXT,
    ("gpuad.codegen.cpu.elementwise", "cast"): _TEXT,
    ("gpuad.codegen.cuda.scalar", "cast"): _TEXT,
    **{
        ("gpuad.plan.added_products", x): _ALGEBRA
        for x in ("add", "broadcast", "concatenate", "transpose")
    },
    ("gpuad.codegen.cuda.writer", "share"): "an argument of kernels, the rows of a block",
}
"""Names that stand in the source all the same, with the reason."""


def names_in(module, path):
    """The names of primitives that stand in a module as text, docstrings and keys of other things
    apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in CATALOGUE and id(node) not in docs:
            yield node.value, node.lineno


def in_lower_half(module):
    return any(module == p or module.startswith(f"{p}.") for p in BELOW)


LOWER_HALF = {m: path for m, path in modules_of().items() if in_lower_half(m)}


@pytest.mark.parametrize("module", LOWER_HALF)
def test_no_operation_is_known_by_its_name(module):
    found = {
        f"{module}:{line} names {name!r}"
        for name, line in names_in(module, LOWER_HALF[module])
        if (module, name) not in JUSTIFIED
    }
    assert not found, "put the fact on the primitive (gpuad.ir.primitive.Facts): " + str(found)


def test_the_names_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text('"""broadcast"""\nif e.primitive.name in ("gather", "x"):\n    pass\n')
    assert list(names_in("module", path)) == [("gather", 2)]


def test_what_is_justified_is_there():
    found = {(m, name) for m, path in LOWER_HALF.items() for name, _ in names_in(m, path)}
    assert set(JUSTIFIED) <= found


# What a kernel for a GPU writes

NOT_IN_KERNELS = {
    Role.CUMULATIVE: "threads of a row would wait for each other; CuPy does it",
    Role.UPDATE: "CuPy writes a window",
    Role.SORT: "CuPy sorts",
    Role.IOTA: "has no operand; CuPy counts",
    Role.CONSTANT: "is brought to the GPU once",
    Role.GRAPH: "a program of its own",
    Role.OPAQUE: "a library call",
}


def test_every_role_is_written_in_kernels_or_said_not_to_be():
    assert set(CUDA_EMITTERS).isdisjoint(NOT_IN_KERNELS)
    assert set(CUDA_EMITTERS) | set(NOT_IN_KERNELS) == set(Role)


def test_what_a_role_needs_is_stated():
    for p in CATALOGUE.values():
        reduces = p.role is Role.REDUCTION
        assert bool(p.combiner) == (reduces or p.role is Role.SCATTER), p
        assert bool(p.step) == (p.role is Role.CUMULATIVE), p
        assert (p.parts is not None) == (p.role is Role.COPY), p
        assert (p.text is not None) == (p.role is Role.ELEMENTWISE), p
        assert not p.integers or p.role is Role.ELEMENTWISE, p
