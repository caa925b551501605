"""Runs of a program replayed as one CUDA graph, when the same buffers are its arguments again.

A CUDA graph reads and writes the addresses of the run that it was captured from. It is launched
only for arguments at those addresses, only on one stream (whose work is done in order, so nothing
still reads what is overwritten), and only when nobody holds the results of its last launch. To know
that, results are lent with a token, which every view of them holds.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

SEEN = 2
"""Runs on the same buffers before one is captured: a capture takes longer than a run."""
KEPT = 8
"""Sets of buffers that are remembered."""
GRAPHS = 2
"""CUDA graphs for one set of buffers: while the results of one are in use, the other can run."""
TRIED = 3
"""Captures in succession that may run out of memory, since some may be free later."""


Program = TypeVar("Program", bound=Callable[[Sequence[Any]], list[Any]])


class Token:
    """Lives as long as somebody holds a result of a launch."""

    __slots__ = ("__weakref__",)


@dataclass
class Captured:
    """A captured run.

    launch() starts it on the current stream. Each of `outputs` gives one result: an array in the
    memory of the graph, which holds the token.
    """

    launch: Callable[[], Any]
    outputs: list[Callable[[Token], Any]]
    memory: Any = None
    """What must live as long as the graph."""
    _token: "weakref.ref[Token] | None" = None

    @property
    def free(self) -> bool:
        """Whether the results of the last launch are gone."""
        return self._token is None or self._token() is None

    def run(self) -> list[Any]:
        self.launch()
        token = Token()
        self._token = weakref.ref(token)
        return [lend(token) for lend in self.outputs]


@dataclass
class _Buffers:
    """A set of argument buffers: how often it was seen, and the captured runs for it."""

    seen: int = 0
    graphs: list[Captured] = field(default_factory=list)


_programs: "weakref.WeakSet[Replayed[Any]]" = weakref.WeakSet()


def forget_all() -> None:
    """Gives back the memory of all captured runs whose results are not in use."""
    for program in list(_programs):
        program.forget()


class Replayed(Generic[Program]):
    """A program whose runs are replayed where they can be.

    After a capture that fails, because a library cannot be captured, the program is replayed no
    more, and without `capture` it never is. A capture that runs out of memory is tried again later,
    after as many plain runs as before the first. stream(program) says which stream is current, None
    for one on which nothing may be replayed.
    """

    def __init__(
        self,
        program: Program,
        capture: Callable[[Program, Sequence[Any]], Captured] | None,
        stream: Callable[[Program], Any] = lambda program: 0,
    ):
        self.program = program
        self.replays = 0
        self.fault: str | None = None
        """Why the program cannot be captured."""
        self._capture = capture
        self._stream = stream
        self._failed = 0
        self._buffers: OrderedDict[Any, _Buffers] = OrderedDict()
        self._lock = threading.Lock()
        _programs.add(self)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        capture = self._capture
        if capture is not None and self.fault is None and self._lock.acquire(blocking=False):
            try:
                graph = self._graph(inputs, capture)
                if graph is not None:
                    self.replays += 1
                    return graph.run()
            finally:
                self._lock.release()
        return self.program(inputs)

    def forget(self) -> None:
        """Gives back the memory of captured runs whose results are not in use."""
        with self._lock:
            self._buffers.clear()

    def _graph(
        self, inputs: Sequence[Any], capture: Callable[[Program, Sequence[Any]], Captured]
    ) -> Captured | None:
        """A graph for these buffers whose results are not in use; None if there is none."""
        key = (self._stream(self.program), *[address(x) for x in inputs])
        if None in key:
            return None
        buffers = self._buffers.setdefault(key, _Buffers())
        self._buffers.move_to_end(key)
        while len(self._buffers) > KEPT:
            self._buffers.popitem(last=False)
        buffers.seen += 1
        found = next((g for g in buffers.graphs if g.free), None)
        if found is None and buffers.seen > SEEN and len(buffers.graphs) < GRAPHS:
            try:
                found = capture(self.program, inputs)
            except Exception as error:
                self._note(error)
                buffers.seen = 0
                return None
            self._failed = 0
            buffers.graphs.append(found)
        return found

    def _note(self, error: Exception) -> None:
        """Counts a failed capture, and prevents further ones if memory was not the reason or this
        was the last try. The error itself is not kept, since it holds the arrays of the run."""
        self._failed += 1
        if not _out_of_memory(error) or self._failed >= TRIED:
            self.fault = f"{type(error).__name__}: {error}"


def _out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is a MemoryError or comes from one."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def address(x: Any) -> Any:
    """Where an argument lies in memory, and its layout; None for what is no array on a GPU."""
    data = getattr(x, "data", None)
    pointer = getattr(data, "ptr", None)
    return None if pointer is None else (pointer, x.shape, x.dtype, x.strides)
