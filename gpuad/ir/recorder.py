"""The builder that operations are recorded into: each thread has its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar


class Recorder(Protocol):
    """What an applied primitive needs of a builder (`ir.build.Builder` is one)."""

    where: Any
    """Where in the user's code the next equations come from."""

    def add(self, primitive: Any, operands: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Records an application: its output Var, or a tuple if it has several."""
        ...


AnyRecorder = TypeVar("AnyRecorder", bound=Recorder)


class _Current(threading.local):
    builder: Any = None


_current = _Current()


def current() -> Any:
    """The builder that operations are recorded into, in this thread."""
    builder = _current.builder
    assert builder is not None, "a primitive was applied to Vars with no graph being built"
    return builder


@contextmanager
def building(builder: AnyRecorder) -> Iterator[AnyRecorder]:
    """Makes `builder` the one that operations are recorded into."""
    outer, _current.builder = _current.builder, builder
    try:
        yield builder
    finally:
        _current.builder = outer
