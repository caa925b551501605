"""Hooks of mkdocs: the reference lists what is exported, and the site loads nothing from elsewhere.

A comment ``<!-- reference: MODULE -->`` in a page stands for the public names of that module.
"""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mkdocs.exceptions import PluginError

sys.path.append(str(Path(__file__).parent))

import chapters

REFERENCE = re.compile(r"^<!-- reference: (\S+) -->$", re.M)
FROM_ELSEWHERE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(?:https?:)?//")


BY_CHAPTERS = {"gpuad.numpy": chapters.chapters, "gpuad.scipy": chapters.scipy_chapters}
"""Modules whose names are shown by chapters."""


def on_page_markdown(markdown: str, **others: Any) -> str:
    """The page, with its comments replaced by what they stand for."""
    return REFERENCE.sub(lambda m: reference(importlib.import_module(m[1])), markdown)


def on_post_build(config: Any) -> None:
    """Refuses a site that loads a script, a style or a picture from another host."""
    for page in Path(config["site_dir"]).rglob("*.html"):
        if found := FROM_ELSEWHERE.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page} loads something from another host: {found[0]}...")


def reference(module: ModuleType) -> str:
    """The public names of a module in a table, and below it what each has to say."""
    if module.__name__ in BY_CHAPTERS:
        found = BY_CHAPTERS[module.__name__]()
        return "\n\n".join([part for chapter in found for part in shown(chapter)])
    rows = [
        chapters.Entry([name], getattr(module, name), f"{module.__name__}.{name}")
        for name in public(module)
        if not isinstance(getattr(module, name), ModuleType)
    ]
    return "\n\n".join([table(rows), *[docstring(row, 2) for row in rows]])


def public(module: ModuleType) -> list[str]:
    """The names a module exports; without a list of them, the classes that it defines."""
    own = [n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__]
    return list(getattr(module, "__all__", own))


def shown(chapter: chapters.Chapter) -> list[str]:
    """A chapter: its table, then the functions that have more to say."""
    long = [entry for entry in chapter.entries if entry.path]
    return [f"## {chapter.title}", chapter.text, table(chapter.entries), *map(docstring, long)]


def docstring(entry: chapters.Entry, level: int = 3) -> str:
    """The block that mkdocstrings replaces with a docstring."""
    return f"::: {entry.path}\n    options:\n      heading_level: {level}"


def table(entries: list[chapters.Entry]) -> str:
    """A row for each, with the first sentence of its docstring."""
    rows = ["| name | what it is |", "|---|---|"] if entries else []
    for entry in entries:
        names = ", ".join(f"`{name}`" for name in entry.names)
        linked = f"[{names}](#{entry.path})" if entry.path else names
        rows.append(f"| {linked} | {chapters.summary(entry.thing)} |")
    return "\n".join(rows)
