"""The classes of `rich` that show tables and progress, or the command that installs them."""

import sys
from typing import Any

try:
    import rich.console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Table
except ModuleNotFoundError:
    raise SystemExit(
        "benchmarks: rich is not installed; run: pip install -e '.[bench]' (for "
        "benchmarks.count '.[count]')"
    ) from None

WIDTH = 160
"""Columns of what is written to a file or a pipe."""


class Console(rich.console.Console):
    """A console as wide as the terminal, where there is one."""

    def __init__(self, **options: Any) -> None:
        width = None if sys.stdout.isatty() else WIDTH
        super().__init__(**{"width": width, **options})


__all__ = [
    "BarColumn", "Console", "MofNCompleteColumn", "Progress", "Table", "TextColumn",
    "TimeElapsedColumn",
]  # fmt: skip
