"""BLAS beside our threads: held to one thread of its own while they multiply matrices."""

import functools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import threadpoolctl


class _OneThreadBlas:
    """BLAS held to one thread while sweeps that multiply matrices run on ours.

    Who holds it is noted by thread, and what was before until it is so again: what an interrupt in
    the middle leaves undone, the next call does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[int] = set()
        self._before: list[tuple[Any, int]] = []
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a forked process nobody multiplies yet, whatever other threads were at."""
        self._lock = threading.Lock()
        self._users.clear()
        self._restore()

    def _restore(self) -> None:
        for library, count in self._before:
            _set_threads(library, count)
        self._before = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        me = threading.get_ident()
        try:
            with self._lock:
                self._users.add(me)
                self._before = self._before or [(x, x.get_num_threads()) for x in _blas()]
                for library, _ in self._before:
                    _set_threads(library, 1)
            yield
        finally:
            with self._lock:
                self._users.discard(me)
                if not self._users:
                    self._restore()


@functools.cache
def _blas() -> Sequence[Any]:
    """The libraries that multiply matrices, that of Numba among them."""
    import scipy.linalg.cython_blas  # noqa: F401

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def _set_threads(library: Any, count: int) -> None:
    """From any thread: of OpenBLAS, threadpoolctl itself heeds the first thread that asks, and says
    nothing to others."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


one_thread_blas = _OneThreadBlas()
