"""Imports go one way: the table of rows, read from the source with `ast`.

    function → tracing → Graph → transforms → simplify → Plan → codegen → Source → executor → result

A module belongs to the row with the longest prefix of its name, and imports its own row and the
rows named beside it. No circles within a row. Nothing of ours is imported inside a function: what
compiles is imported late, through one module, whose imports are arrows like all others.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuad.tracing.registry import OPERATIONS
from source_tree import modules_of

# row: (modules, rows it may import)
ROWS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "0 ground": (("gpuad.collector", "gpuad.errors", "gpuad.tree"), ()),
    "0 coefficients": (("gpuad.kernels.special_coefficients",), ()),
    "0 kernels": (("gpuad.kernels",), ("0 coefficients",)),
    "1 ir": (("gpuad.ir",), ("0 ground",)),
    "2 primitives": (("gpuad.primitives",), ("0 ground", "0 coefficients", "1 ir")),
    "3 tracing": (("gpuad.tracing",), ("0 ground", "1 ir", "2 primitives")),
    "4 transforms": (
        ("gpuad.transforms",),
        ("0 ground", "1 ir", "2 primitives", "3 tracing"),
    ),
    "5 plan": (("gpuad.plan",), ("0 ground", "1 ir")),
    "6 codegen": (("gpuad.codegen",), ("0 ground", "0 kernels", "1 ir", "5 plan")),
    "6 codegen.cpu": (
        ("gpuad.codegen.cpu",),
        ("0 ground", "0 kernels", "1 ir", "5 plan", "6 codegen"),
    ),
    "6 codegen.cuda": (
        ("gpuad.codegen.cuda",),
        ("0 ground", "0 kernels", "1 ir", "5 plan", "6 codegen"),
    ),
    "7 executors": (
        ("gpuad.executors",),
        ("0 ground", "0 kernels", "1 ir", "5 plan", "6 codegen"),
    ),
    "7 executors.native": (
        ("gpuad.executors.native",),
        ("0 ground", "0 kernels", "1 ir", "5 plan", "6 codegen", "6 codegen.cpu", "7 executors"),
    ),
    "7 executors.cuda": (
        ("gpuad.executors.cuda",),
        ("0 ground", "0 kernels", "1 ir", "5 plan", "6 codegen", "6 codegen.cuda", "7 executors"),
    ),
    "8 loading": (
        ("gpuad.loading",),
        ("6 codegen.cuda", "7 executors", "7 executors.native", "7 executors.cuda"),
    ),
    "8 compile": (
        ("gpuad.compile",),
        (
            "0 ground",
            "1 ir",
            "2 primitives",
            "3 tracing",
            "4 transforms",
            "7 executors",
            "8 loading",
        ),
    ),
}
LOADING = "gpuad.loading"
LOADED_LATE = ("5 plan", "6 codegen", "6 codegen.cpu", "6 codegen.cuda", "7 executors.native",
          "7 executors.cuda")  # fmt: skip
TOP = (
    "gpuad",
    "gpuad.__main__",
    "gpuad.api",
    "gpuad.cli",
    "gpuad.demo",
    "gpuad.dual",
    "gpuad.info",
    "gpuad.numpy",
    "gpuad.scipy",
    "gpuad.testing",
)
ROWS["9 top"] = (TOP, tuple([row for row in ROWS if row not in LOADED_LATE]))

# Packages of others: who may import them, and who only inside a function, because they are slow to
# import or may be absent. What is not LAZY is a dependency in pyproject.toml.
EVERYONE = ("gpuad",)
PRESENT: dict[str, tuple[str, ...]] = {
    "numpy": EVERYONE,
    "optree": ("gpuad.tree",),
    "platformdirs": ("gpuad.executors.disk_cache",),
    "threadpoolctl": ("gpuad.executors.native.one_thread_blas",),
    "numba": ("gpuad.kernels",),
    "llvmlite": ("gpuad.kernels",),
}
OURS_WITH_NUMBA = ("gpuad.kernels",)  # so imported inside the function that compiles
LAZY: dict[str, tuple[str, ...]] = {
    "scipy": EVERYONE,
    "cupy": EVERYONE,
    "cupyx": EVERYONE,
    "numba": ("gpuad.codegen.cuda", "gpuad.executors"),
    "llvmlite": ("gpuad.codegen.cpu", "gpuad.executors.native"),
    "cuda": ("gpuad.codegen.cuda.toolchain",),
    "matplotlib": ("gpuad.demo",),
    "rich": ("gpuad.demo",),
    "sklearn": ("gpuad.demo",),
    "sympy": ("gpuad.testing",),
}


@dataclass(frozen=True)
class Import:
    """`module` imports `target` (both in full) in line `line`."""

    module: str
    target: str
    line: int
    in_function: bool = False
    for_types: bool = False
    late: bool = False
    """By its name as a string."""

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def row_of(module: str) -> str | None:
    """The row of a module; the root package itself is of the top row, but is no prefix."""
    if module == "gpuad":
        return "9 top"
    names = {p: row for row, (prefixes, _) in ROWS.items() for p in prefixes if p != "gpuad"}
    found = [prefix for prefix in names if within(module, prefix)]
    return names[max(found, key=len)] if found else None


class _Reader(ast.NodeVisitor):
    """Collects the imports of one module, remembering where each stands."""

    def __init__(self, module: str, is_package: bool, known: set[str]):
        self.module, self.is_package, self.known = module, is_package, known
        self.imports: list[Import] = []
        self.depth = self.types = 0

    def visit_FunctionDef(self, node: ast.AST) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def visit_AsyncFunctionDef(self, node: ast.AST) -> None:
        self.visit_FunctionDef(node)

    def visit_If(self, node: ast.If) -> None:
        for_types = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self.types += for_types
        for child in node.body:
            self.visit(child)
        self.types -= for_types
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parts = self.module.split(".")
            parts = parts[: len(parts) - node.level + self.is_package]
            base = ".".join(parts + ([node.module] if node.module else []))
        for alias in node.names:
            full = f"{base}.{alias.name}"
            self._add(full if full in self.known else base, node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).split(".")[-1] in ("Late", "import_module", "__import__"):
            for given in node.args[:1]:
                target = given.value if isinstance(given, ast.Constant) else None
                if isinstance(target, str) and within(target, "gpuad"):
                    self.imports.append(Import(self.module, target, node.lineno, late=True))
        self.generic_visit(node)

    def _add(self, target: str, line: int) -> None:
        self.imports.append(Import(self.module, target, line, self.depth > 0, self.types > 0))


def imports_of(modules: dict[str, Path]) -> list[Import]:
    """All imports, a name imported from a package read as the module it is, where it is one."""
    found = []
    for module, path in modules.items():
        reader = _Reader(module, path.name == "__init__.py", set(modules))
        reader.visit(ast.parse(path.read_text(encoding="utf-8")))
        found += reader.imports
    return found


def faults(modules: dict[str, Path]) -> Iterator[str]:
    """What is wrong with the imports of these modules, a line each."""
    imports = imports_of(modules)
    for module in modules:
        if row_of(module) is None:
            yield f"{module} is in no row: add it to ROWS in {Path(__file__).name}"
    for one in imports:
        if within(one.target, "gpuad"):
            yield from _own_faults(one)
        elif one.target.split(".")[0] not in sys.stdlib_module_names:
            yield from _foreign_faults(one)
    yield from _loading_faults([one for one in imports if one.module == LOADING])
    cycle = find_cycle(modules, imports)
    if cycle:
        yield "imports go in a circle: " + " → ".join(cycle)


def _own_faults(one: Import) -> Iterator[str]:
    mine, other = row_of(one.module), row_of(one.target)
    if one.late and one.module != LOADING:
        yield f"{one} late: only {LOADING} does. Take it from there"
    if one.in_function and not any(within(one.target, m) for m in OURS_WITH_NUMBA):
        yield f"{one} inside a function: that hides a cycle. Import it at the top of the module"
    if mine and other and other != mine and other not in ROWS[mine][1]:
        yield f"{one}: row '{mine}' may not import row '{other}'"


def _loading_faults(imports: list[Import]) -> Iterator[str]:
    """A type checker must see what is imported late."""
    late, typed = {x.target for x in imports if x.late}, {x.target for x in imports if x.for_types}
    for target in sorted(late ^ typed):
        yield f"{LOADING} imports {target} late or for types, not both"


def _foreign_faults(one: Import) -> Iterator[str]:
    package = one.target.split(".")[0]
    if within(one.module, "gpuad.kernels") and package not in ("numpy", "numba", "llvmlite"):
        yield f"{one}: kernels import numpy, numba and llvmlite only"
        return
    if one.for_types or any(within(one.module, m) for m in PRESENT.get(package, ())):
        return
    if not any(within(one.module, m) for m in LAZY.get(package, ())):
        yield f"{one}: nobody, or not this module, may import {package}. See PRESENT and LAZY"
    elif not one.in_function:
        yield f"{one} at its top: {package} is imported inside the function that needs it"


def find_cycle(modules: dict[str, Path], imports: list[Import]) -> list[str]:
    """One circle of imports, those for types included, or nothing."""
    edges: dict[str, list[str]] = {m: [] for m in modules}
    for one in imports:
        if one.target in edges and not one.in_function:
            edges[one.module].append(one.target)
    done: set[str] = set()

    def search(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for target in edges[module]:
                if cycle := search(target, [*path, module]):
                    return cycle
            done.add(module)
        return []

    return next((cycle for module in modules if (cycle := search(module, []))), [])


def test_imports_go_one_way():
    found = list(faults(modules_of()))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"gpuad/ir/graph.py": "import gpuad.tracing", "gpuad/tracing.py": ""},
            "row '1 ir' may not",
        ),
        ({"gpuad/plan/fuse.py": "from gpuad.primitives import add"}, "'2 primitives'"),
        ({"gpuad/ir/aval.py": "from .. import api", "gpuad/api/__init__.py": ""}, "row '9 top'"),
        ({"gpuad/ir/aval.py": "from gpuad import grad"}, "gpuad.ir.aval:1 imports gpuad:"),
        ({"gpuad/helpers.py": ""}, "gpuad.helpers is in no row"),
        ({"gpuad/api.py": "def f():\n    from gpuad.ir import graph"}, "hides a cycle"),
        ({"gpuad/ir/a.py": "from . import b", "gpuad/ir/b.py": "from . import a"}, "in a circle"),
        (
            {
                "gpuad/ir/a.py": "from . import b",
                "gpuad/ir/b.py": "import typing\nif typing.TYPE_CHECKING:\n    import gpuad.ir.a",
            },
            "in a circle",
        ),
        ({"gpuad/compile.py": "from gpuad.plan import plan"}, "may not import row '5 plan'"),
        ({"gpuad/api.py": "import gpuad.executors.cuda"}, "row '9 top' may not"),
        (
            {"gpuad/api.py": "import importlib\nimportlib.import_module('gpuad.executors.cuda')"},
            "only gpuad.loading does",
        ),
        ({"gpuad/loading.py": "plan = Late('gpuad.plan')"}, "row '8 loading' may not"),
        ({"gpuad/loading.py": "cuda = Late('gpuad.executors.cuda')"}, "late or for types"),
        ({"gpuad/executors/launch.py": "import numba"}, "inside the function that needs it"),
        ({"gpuad/ir/aval.py": "def f():\n    import torch"}, "may import torch"),
        ({"gpuad/ir/aval.py": "import optree"}, "may import optree"),
        ({"kernels/vecmath.py": "def f():\n    import cupy"}, "numpy, numba and llvmlite only"),
        ({"kernels/vecmath.py": "from gpuad.errors import GpuadError"}, "row '0 kernels' may not"),
    ],
)
def test_a_fault_is_named(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert expected in "\n".join(faults(modules_of(tmp_path)))


def test_what_the_table_allows_is_no_fault(tmp_path):
    files = {
        "gpuad/__init__.py": "from gpuad.api import grad",
        "gpuad/api.py": "import numpy as np\nfrom gpuad.ir import graph\ndef f():\n    import cupy",
        "gpuad/ir/__init__.py": "from gpuad.ir.graph import Graph",
        "gpuad/ir/graph.py": (
            "from typing import TYPE_CHECKING\nfrom ..errors import GpuadError\n"
            "if TYPE_CHECKING:\n    import cupy"
        ),
        "gpuad/ir/build.py": "from gpuad.ir.graph import Graph",
        "gpuad/executors/native/compile_cache.py": "def f():\n    import numba",
        "gpuad/codegen/cpu/target.py": "def f():\n    from gpuad.kernels import vecmath",
        "gpuad/loading.py": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from gpuad.executors.native import compile_cache\nelse:\n"
            "    compile_cache = Late('gpuad.executors.native.compile_cache')"
        ),
        "gpuad/compile.py": "from gpuad.loading import compile_cache",
        "gpuad/errors.py": "class GpuadError(Exception): ...",
        "kernels/vecmath.py": "import math\nfrom numba import njit",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert not list(faults(modules_of(tmp_path)))


# The one call upwards: operators of traced arrays end in functions of gpuad.numpy, which fills the
# table that `tracing.registry` declares.


def test_what_tracing_calls_above_is_registered():
    called = {
        (module, node.slice.value)
        for module, path in modules_of().items()
        if within(module, "gpuad.tracing")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Subscript)
        and ast.unparse(node.value) == "OPERATIONS"
        and isinstance(node.slice, ast.Constant)
    }
    assert len(called) > 5
    assert not [f"{module}: {name}" for module, name in called if name not in OPERATIONS]


def test_only_the_namespaces_register():
    tables = ("OPERATIONS", "NUMPY", "SPECIAL", "CUPY")
    writers = {
        module
        for module, path in modules_of().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) in tables
    }
    assert writers and all(within(m, "gpuad.numpy") or within(m, "gpuad.scipy") for m in writers)
