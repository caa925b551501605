"""Python's garbage collector is paused while graphs are recorded and transformed.

A graph is many small objects that all stay. The collector starts for every few hundred of them and
looks through all there are, which takes half the time of long programs.
"""

import gc
import os
import threading


class _Pause:
    """``with gc_paused:`` turns the collector off in this process, and back on when the last such
    block of all threads ends. A collector that the user has turned off stays off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._was_enabled = False
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a forked process the blocks of other threads never end."""
        self._lock = threading.Lock()
        if self._count and self._was_enabled:
            gc.enable()
        self._count = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._count:
                self._count += 1
                return
            self._was_enabled = gc.isenabled()
            try:
                gc.disable()
                self._count = 1
            except BaseException:
                self._resume()  # an interrupt in between
                raise

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._count -= self._count > 0
            if not self._count:
                self._resume()

    def _resume(self) -> None:
        if self._was_enabled:
            gc.enable()


gc_paused = _Pause()
