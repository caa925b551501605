"""Python's garbage collector, asleep while graphs are recorded and transformed.

A graph is many small objects that all stay. The collector wakes for every few hundred of them and
looks through all there are, which took half the time of long programs.
"""

import gc
import os
import threading


class _Asleep:
    """``with asleep:`` holds the collector off in this process, and lets it be as it was after
    the last block of any thread. A collector that the user has turned off stays off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._was_on = False
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """In a forked process the blocks of other threads never end."""
        self._lock = threading.Lock()
        if self._count and self._was_on:
            gc.enable()
        self._count = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._count:
                self._count += 1
                return
            self._was_on = gc.isenabled()
            try:
                gc.disable()
                self._count = 1
            except BaseException:
                # An interrupt in between.
                self._wake()
                raise

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._count -= self._count > 0
            if not self._count:
                self._wake()

    def _wake(self) -> None:
        if self._was_on:
            gc.enable()


asleep = _Asleep()
