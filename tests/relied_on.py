"""Tests of what gpuad relies on in packages that may change it: a failure is one line."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest


def one_line(part: Callable[..., Any], versions: Callable[..., str]) -> Callable[..., Any]:
    """Decorates a test of a part, whose docstring has a sentence that begins "Relies on".

    A failure names the part, what it relies on, and the error. `versions` says what is installed,
    given the test's arguments.
    """

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(test)
        def tried(*args: Any, **given: Any) -> None:
            try:
                return test(*args, **given)
            except Exception as error:
                said = f"{versions(**given)}: {part.__name__} {relied_on(part)} But: {first(error)}"
            pytest.fail(said, pytrace=False)

        return tried

    return decorate


def relied_on(part: Callable[..., Any]) -> str:
    """The paragraph of a docstring that begins "Relies on", or the sentence at its end."""
    _, begin, rest = (inspect.getdoc(part) or "").partition("Relies on ")
    return " ".join(("relies on " * bool(begin) + rest.partition("\n\n")[0]).split())


def first(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip() if lines else ''}"
