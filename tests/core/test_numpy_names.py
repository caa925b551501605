"""The names of gpuad.numpy and gpuad.scipy: complete, and known to type checkers."""

import importlib
import re
import subprocess
import sys

import numpy as np
import pytest

import gpuad.numpy as gnp
from gpuad.tracing.registry import OPERATIONS
from source_tree import ROOT, modules_of

MODULE_OF_SCIPY = re.compile(r"gpuad\.scipy(\.[a-z]\w*)+$")
CHAPTERS = [
    name.removeprefix("gpuad.numpy.")
    for name in modules_of()
    if name.startswith("gpuad.numpy.") and not name.startswith("gpuad.numpy._")
]
GROUPS = ("fft", "linalg")
"""The submodules of gpuad.numpy."""
SCIPY = [
    name.removeprefix("gpuad.")
    for name, path in modules_of().items()
    if MODULE_OF_SCIPY.match(name) and path.name != "__init__.py"
]
"""The modules of gpuad.scipy that have functions."""
PUBLIC = {name: f for name, f in OPERATIONS.items() if not name.startswith("_")}


def chapter(name: str):
    return importlib.import_module(f"gpuad.numpy.{name}")


def test_every_registered_function_is_exported():
    top = {name: f for name, f in PUBLIC.items() if "." not in name}
    assert [name for name, f in top.items() if getattr(gnp, name, None) is not f] == []
    assert set(top) <= set(gnp.__all__)


def submodule(group: str):
    """The module of gpuad for the first part of a registered name."""
    return importlib.import_module(f"gpuad.{'' if group.startswith('scipy.') else 'numpy.'}{group}")


def test_every_registered_function_of_a_submodule_is_exported():
    found: dict[str, list[str]] = {}
    for name in PUBLIC:
        group, _, last = name.rpartition(".")
        if group:
            found.setdefault(group, []).append(last)
    assert set(found) == {*GROUPS, *SCIPY}
    for group, names in found.items():
        module = submodule(group)
        assert sorted(names) == sorted(module.__all__) == dir(module)
        for name in names:
            assert getattr(module, name) is OPERATIONS[f"{group}.{name}"]


def test_every_module_of_scipy_says_what_to_write_for_a_name_that_it_lacks():
    for group in SCIPY:
        with pytest.raises(AttributeError, match=rf"{group} has no 'no_such'.*gpuad\.external"):
            _ = submodule(group).no_such
        assert not hasattr(submodule(group), "__no_such__")
        assert all(hasattr(importlib.import_module(group), n) for n in submodule(group).__all__)


def test_the_namespace_is_its_chapters():
    named = [n for c in CHAPTERS if c not in GROUPS for n in chapter(c).__all__]
    assert sorted([*named, *GROUPS]) == gnp.__all__


def test_functions_that_are_exported_are_registered_or_of_types():
    """A function without `implements` would not be found by NumPy's own, nor by Tracers."""
    ours = {n for c in CHAPTERS if c not in (*GROUPS, "unchanged") for n in chapter(c).__all__}
    assert {n for n in ours if n not in PUBLIC} == set(chapter("datatypes").__all__)


def test_no_chapter_has_the_name_of_a_function():
    """Importing such a chapter would put the module in the place of the function."""
    assert set(CHAPTERS) & set(gnp.__all__) == set(GROUPS)


def test_the_submodule_can_be_imported():
    from gpuad.numpy.linalg import norm

    assert norm is gnp.linalg.norm
    with pytest.raises(
        AttributeError, match=r"'linalg\.test'.*numpy\.linalg\.test.*gpuad\.external"
    ):
        _ = gnp.linalg.test
    assert not hasattr(gnp.linalg, "__no_such__")


def test_constants_are_numpys():
    for name in ("pi", "e", "inf", "euler_gamma", "newaxis"):
        assert getattr(gnp, name) == getattr(np, name)
    assert np.isnan(gnp.nan)


SNIPPET = """
import gpuad.numpy as gnp

reveal_type(gnp.sin)
reveal_type(gnp.zeros)
reveal_type(gnp.linalg.norm)
gnp.logsumexp(1.0, axes=3)
gnp.no_such_thing
gnp.linalg.no_such_thing
"""


@pytest.fixture(scope="module")
def said_by_mypy(tmp_path_factory):
    """What mypy says of each line of the snippet."""
    pytest.importorskip("mypy", reason="mypy is not installed: pip install -e '.[lint]'")
    folder = tmp_path_factory.mktemp("typed")
    (folder / "snippet.py").write_text(SNIPPET, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--no-incremental"]
    done = subprocess.run(
        [*command, "snippet.py"], capture_output=True, text=True, cwd=folder,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    found = re.findall(r"^snippet\.py:(\d+): (.*)$", done.stdout, re.M)
    assert found, done.stdout + done.stderr
    lines = SNIPPET.splitlines()
    return {lines[int(n) - 1]: what for n, what in found if "defined in" not in what}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reveal_type(gnp.sin)", '"gpuad.numpy._ufuncs.Elementwise"'),
        ("reveal_type(gnp.zeros)", "def (shape: Any, dtype: Any =, order: Any ="),
        ("reveal_type(gnp.linalg.norm)", "def (x: Any, ord: Any =, axis: Any ="),
        ("gnp.logsumexp(1.0, axes=3)", 'Unexpected keyword argument "axes"'),
        ("gnp.no_such_thing", 'Module has no attribute "no_such_thing"'),
        ("gnp.linalg.no_such_thing", 'Module has no attribute "no_such_thing"'),
    ],
)
def test_what_a_type_checker_sees(said_by_mypy, line, words):
    assert words in said_by_mypy.get(line, "nothing")
