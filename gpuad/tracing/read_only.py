"""Large captured arrays are read-only while a function is traced.

A recorded operation does not read a captured array at once: the graph does, when it runs. Whether
the contents have changed by then is seen of a small array (`arrays.fingerprint`); a large one
cannot be written to in the meantime.
"""

import os
import threading
from collections.abc import Iterable

import numpy as np


class _Held:
    """The arrays that are held read-only, each with the number of traces that hold it."""

    def __init__(self) -> None:
        self._arrays: dict[int, tuple[np.ndarray, int]] = {}
        self._lock = threading.RLock()  # the garbage collector may run in between
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """For a forked process, in which the traces of other threads never end."""
        self._lock = threading.RLock()
        self._arrays = {k: (x, 0) for k, (x, _) in self._arrays.items()}
        self._restore()

    def hold(self, x: np.ndarray) -> bool:
        """Makes an array read-only until it is released; False if that is not possible."""
        with self._lock:
            _, count = self._arrays.get(id(x), (x, 0))
            if not count and not (x.flags.writeable and _is_numpys(x)):
                return False
            self._arrays[id(x)] = x, count + 1
            x.flags.writeable = False
            return True

    def release(self, arrays: Iterable[np.ndarray]) -> None:
        """Ends what as many calls of `hold` have begun."""
        with self._lock:
            for x in arrays:
                self._arrays[id(x)] = x, self._arrays[id(x)][1] - 1
            self._restore()

    def _restore(self) -> None:
        """Makes arrays writable again. A view can be only if what it is a view of is."""
        waiting = [x for x, count in self._arrays.values() if not count]
        restored = True
        while waiting and restored:
            restored = False
            for x in waiting:
                try:
                    x.flags.writeable = True
                except ValueError:
                    continue
                del self._arrays[id(x)]
                restored = True
            waiting = [x for x in waiting if id(x) in self._arrays]


def _is_numpys(x: np.ndarray) -> bool:
    """Whether NumPy owns the memory. Other arrays might stay read-only for ever."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x.flags.owndata


held = _Held()
