"""The interface between executors and their callers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class RunOptions:
    """What a run is told about memory.

    `donated` are the positions of the inputs whose memory may be used. Beside its arguments the run
    takes at most `max_bytes` (None: no limit), of which `held` bytes are taken already.
    """

    donated: tuple[int, ...] = ()
    max_bytes: int | None = None
    held: int = 0


UNLIMITED = RunOptions()


@dataclass(frozen=True)
class Explanation:
    """A plan and what it costs; printed by ``print(jit(f).explain(*args))``.

    Attributes
    ----------
    peak_bytes : int
        Memory at the fullest moment beside the arguments: results, intermediate arrays, scratch.
    bytes_moved, bytes_floor : int
        Bytes read from and written to arrays, except those of values that exist for a piece of rows
        only and so stay in the cache; and the least that any program must move: each used input
        read once, each output written once.
    flops : int
        Scalar operations, every elementwise function counted as one.
    launches : int
        Sweeps and library calls. A view is not a launch.
    sources : tuple of str
        The generated source of each sweep, and of each function of small operations.
    """

    text: str
    peak_bytes: int
    bytes_moved: int
    bytes_floor: int
    flops: int
    launches: int
    sources: tuple[str, ...]

    def __str__(self) -> str:
        return self.text


class Executor(Protocol):
    """A graph made ready to run on arrays of one namespace."""

    def __call__(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> list[Any]:
        """The outputs; they may share memory with each other.

        Raises
        ------
        MemoryLimitError
            If the run takes more memory than the options allow.
        """
        ...

    def explain(self, inputs: Sequence[Any], options: RunOptions = UNLIMITED) -> Explanation:
        """What a run with these arguments does and costs; nothing is run."""
        ...


@dataclass(frozen=True)
class Prepared:
    """The compiled functions of a graph, as the fast path of `jit` calls them.

    `run` takes NumPy arrays of the graph's shapes and dtypes, one for each input, and returns
    arrays that share no memory. Inputs whose positions are in `dense` must be in C order and
    aligned.
    """

    run: Callable[[Sequence[Any]], list[Any]]
    dense: frozenset[int] = frozenset()
