"""The pages of Markdown: their examples, and what running one prints."""

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A block of Python, with the block of text that follows it at once, if one does.
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)


@dataclass(frozen=True)
class Example:
    """The code of an example, what the page says it prints, and where it stands."""

    code: str
    shown: str
    name: str


def examples(page: Path) -> list[Example]:
    found = _EXAMPLE.findall(page.read_text(encoding="utf-8"))
    return [
        Example(*one, f"{page.name}, example {number}") for number, one in enumerate(found, start=1)
    ]


def printed(example: Example, names: dict[str, Any]) -> str:
    """What the example prints, run with these names, to which it adds its own."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(example.code, example.name, "exec"), names)
    return out.getvalue()
