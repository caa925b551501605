"""BLAS is held to one thread while gpuad's own threads multiply matrices."""

import functools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import threadpoolctl


class _OneThreadBlas:
    """``with one_thread_blas():`` holds BLAS to one thread until the last such block ends.

    The threads in a block are noted by id, and the earlier numbers of threads are kept until they
    are restored: if an interrupt prevents this, the next block does it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[int] = set()
        self._before: list[tuple[Any, int]] = []
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """For a forked process, in which the other threads are gone."""
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
    """The BLAS libraries of this process; the import loads the one that Numba uses."""
    import scipy.linalg.cython_blas  # noqa: F401

    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def _set_threads(library: Any, count: int) -> None:
    """Sets how many threads a library uses, from any thread: for OpenBLAS the method of
    threadpoolctl works in the first thread that calls it only, and does nothing in others."""
    getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


one_thread_blas = _OneThreadBlas()
