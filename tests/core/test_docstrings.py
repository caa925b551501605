"""Every example in a docstring of the package runs and prints what it shows; public names have the
sections of numpydoc."""

import doctest
import importlib
import inspect

import numpy as np
import pytest

import gpuad.numpy as gnp
from gpuad import errors
from public_names import PUBLIC, entries, sections
from source_tree import modules_of

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
WITH_EXAMPLES = [
    name for name, path in modules_of().items() if ">>>" in path.read_text(encoding="utf-8")
]
OWN_NAMES = [name for name in gnp.__all__ if not hasattr(np, name)]
RAISES_NOTHING = {"ShapeDtype", "clear_cache"}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of(name):
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, optionflags=FLAGS)
    assert not failed, f"{failed} of {tried} examples; what went wrong is printed above"
    if not tried:  # doctest does not look for functions that are objects, as elementwise ones are
        objects = [x for x in vars(module).values() if ">>>" in (getattr(x, "__doc__", "") or "")]
        assert objects, f"{name} has >>> in it, but no docstring that doctest finds"
        for x in objects:
            test = doctest.DocTestParser().get_doctest(inspect.getdoc(x), {}, name, None, 0)
            assert not doctest.DocTestRunner(optionflags=FLAGS).run(test).failed


@pytest.mark.parametrize("name", OWN_NAMES)
def test_functions_that_numpy_does_not_have_show_an_example(name):
    function = getattr(gnp, name)
    document = inspect.getdoc(function)
    assert "\nExamples\n--------\n" in document
    test = doctest.DocTestParser().get_doctest(document, {}, name, None, 0)
    assert any(name in example.source for example in test.examples) or function.__name__ != name
    assert not doctest.DocTestRunner(optionflags=FLAGS).run(test).failed


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_its_sections(name):
    x = PUBLIC[name]
    found = sections(x)
    signature = inspect.signature(x)
    assert entries(found.get("Parameters", "")) == set(signature.parameters)
    if not inspect.isclass(x) and signature.return_annotation is not None:
        assert "Returns" in found
    assert ">>>" in found.get("Examples", found.get("Example", ""))
    raised = entries(found.get("Raises", ""))
    assert bool(raised) == (name not in RAISES_NOTHING)
    assert all(issubclass(getattr(errors, error), errors.GpuadError) for error in raised)
