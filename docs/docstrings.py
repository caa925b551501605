"""Prepares docstrings for the reference.

What a function returns is described in sentences; the reader of numpy's style would take the first
for a type. `Example` is `Examples`, so that both look the same.
"""

import re
from typing import Any

import griffe

RETURNS = re.compile(r"^(Returns\n-------\n)(.+?)(?=\n\n\w[\w ]*\n---|\Z)", re.M | re.S)


class Prose(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **others: Any) -> None:
        if obj.docstring:
            obj.docstring.value = prepared(obj.docstring.value)


def prepared(text: str) -> str:
    text = re.sub(r"^Example\n-------$", "Examples\n--------", text, flags=re.M)
    return RETURNS.sub(lambda m: m[1] + described(m[2]), text)


def described(body: str) -> str:
    """Sentences as the description of a value without a name; types stay as they are."""
    if "\n    " in body:
        return body
    return ":\n" + "\n".join(f"    {line}".rstrip() for line in body.splitlines())
