"""The classes of `rich` that show tables and progress, or the command that installs them."""

try:
    from rich.console import Console
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

__all__ = [
    "BarColumn", "Console", "MofNCompleteColumn", "Progress", "Table", "TextColumn",
    "TimeElapsedColumn",
]  # fmt: skip
