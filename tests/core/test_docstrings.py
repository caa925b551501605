"""Every example in a docstring of the package runs and prints what it shows."""

import doctest
import importlib

import pytest

from source_tree import modules_of

WITH_EXAMPLES = [
    name for name, path in modules_of().items() if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of(name):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert tried, f"{name} has >>> in it, but no docstring that doctest finds"
    assert not failed, f"{failed} of {tried} examples; what went wrong is printed above"
