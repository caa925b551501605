"""The public names of `gpuad.numpy`, by the chapters that its modules are, and of `gpuad.scipy`."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gpuad.numpy as gnp
import gpuad.scipy


@dataclass
class Entry:
    """A function or class, all of its names, and the path of its docstring if a page shows it."""

    names: list[str]
    thing: Any
    path: str = ""


@dataclass
class Chapter:
    title: str
    text: str
    entries: list[Entry]


def chapters() -> list[Chapter]:
    """gpuad's functions by the module that makes them, and NumPy's own names."""
    modules = [
        importlib.import_module(f"{gnp.__name__}.{found.name}")
        for found in pkgutil.iter_modules(gnp.__path__)
        if not found.name.startswith("_")
    ]
    own = functions()
    parts: dict[str, Chapter] = {
        m.__name__: Chapter(title(m), paragraphs(m.__doc__), []) for m in modules
    }
    others = Chapter("Others", "", [])
    for entry in entries(own):
        home = next((m.__name__ for m in modules if made_in(m, entry.thing)), "")
        parts.get(home, others).entries.append(entry)
    rest = ", ".join(f"`{n}`" for n in gnp.__all__ if n not in own and not is_group(n))
    text = f"Under the names that NumPy gives them, as they are there: {rest}."
    filled = [chapter for chapter in (*parts.values(), others) if chapter.entries]
    return [*filled, Chapter("Constants, dtypes and helpers", text, [])]


def scipy_chapters() -> list[Chapter]:
    """gpuad's functions by SciPy's module that they have the names of."""
    found = []
    for module in _with_functions(gpuad.scipy):
        named = {name: getattr(module, name) for name in module.__all__}
        title = module.__name__.removeprefix("gpuad.")
        found.append(Chapter(title, paragraphs(module.__doc__), list(entries(named))))
    return found


def _with_functions(package: ModuleType) -> Iterable[ModuleType]:
    """The modules of a package of modules, and of the packages in it."""
    for name in package.__all__:
        module = getattr(package, name)
        if all(isinstance(getattr(module, n), ModuleType) for n in module.__all__):
            yield from _with_functions(module)
        else:
            yield module


def functions() -> dict[str, Any]:
    """gpuad's functions by name; those of a group (`linalg`) with its name before theirs."""
    found = {n: getattr(gnp, n) for n in gnp.__all__ if not is_group(n)}
    for group in filter(is_group, gnp.__all__):
        members = getattr(gnp, group)
        found |= {f"{group}.{member}": getattr(members, member) for member in members.__all__}
    return {name: thing for name, thing in found.items() if is_ours(thing)}


def is_group(name: str) -> bool:
    return getattr(getattr(gnp, name), "__name__", "") == f"gpuad.numpy.{name}"


def is_ours(thing: Any) -> bool:
    return callable(thing) and (getattr(thing, "__module__", None) or "").startswith("gpuad.")


def entries(named: dict[str, Any]) -> Iterable[Entry]:
    """Functions, each with all of its names, and the path of a docstring of several paragraphs."""
    found: dict[int, Entry] = {}
    for name, thing in named.items():
        found.setdefault(id(thing), Entry([], thing)).names.append(name)
    for entry in found.values():
        if inspect.isfunction(entry.thing) and "\n\n" in (entry.thing.__doc__ or "").strip():
            entry.path = f"{entry.thing.__module__}.{entry.thing.__qualname__}"
    return found.values()


def made_in(module: ModuleType, thing: Any) -> bool:
    """Whether the module makes the function (by ``def``, or by a call), rather than imports it."""
    if inspect.isfunction(thing):
        return thing.__module__ == module.__name__
    source = inspect.getsource(module)
    names = [name for name, x in vars(module).items() if x is thing]
    return any(re.search(rf"^{name}\b.*=", source, re.M) for name in names)


def title(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2].replace("_", " ").capitalize()


def paragraphs(text: str | None) -> str:
    """A docstring as Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(text or ""))


def summary(thing: Any) -> str:
    """The first sentence of a docstring, for a cell of a table; formulas of it stay as they are."""
    first = " ".join(paragraphs(thing.__doc__).split("\n\n")[0].split())
    plain_and_code = re.split(r"(`[^`]*`)", first)
    plain_and_code[::2] = [re.sub(r"([*|_<])", r"\\\1", part) for part in plain_and_code[::2]]
    return "".join(plain_and_code)
