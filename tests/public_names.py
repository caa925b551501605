"""The public names of gpuad, and the sections of their docstrings."""

import inspect
import re
from types import ModuleType

import gpuad
from gpuad import testing

PUBLIC = {
    name: x
    for module in (gpuad, testing)
    for name in module.__all__
    if not isinstance(x := getattr(module, name), ModuleType)
}


def sections(x) -> dict[str, str]:
    """The sections of a docstring by title; what stands before the first is under ''."""
    parts = re.split(r"^(\w+)\n-{3,}\n", inspect.getdoc(x), flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def entries(section: str) -> set[str]:
    """The names that a section explains: the lines that are not indented."""
    lines = [line for line in section.splitlines() if line and not line[0].isspace()]
    return {name.strip().lstrip("*") for line in lines for name in line.split(",")}
