"""The README and the pages of docs/ are true: their Python runs and prints what they show, and the
files that they name exist."""

import contextlib
import io
import json
import re
import tomllib

import pytest

from benchmarks import report
from source_tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# A block of Python, with the block of text that follows it at once, if one does.
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    (page.name, *found)
    for page in PAGES
    for found in EXAMPLE.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("index", range(len(EXAMPLES)))
def test_an_example_prints_what_it_shows(index):
    page, code, shown = EXAMPLES[index]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, f"{page}, example {index + 1}", "exec"), {"__name__": "__readme__"})
    assert printed.getvalue() == shown


def test_there_is_an_example_with_output():
    assert EXAMPLES
    assert EXAMPLES[0][2].strip()


def test_the_files_it_names_exist():
    names = re.findall(r"`((?:gpuad|kernels|tests|benchmarks|docs)/[\w./]*)`", README)
    names += re.findall(r"\]\(([\w./]+)\)", README)
    assert names
    assert not [name for name in names if not (ROOT / name).exists()]


@pytest.mark.parametrize("name", re.findall(r"<!-- results: (\S+) -->", README))
def test_the_results_are_those_of_the_file(name):
    rows = json.loads((ROOT / name).read_text(encoding="utf-8"))["rows"]
    shown = README.split(f"<!-- results: {name} -->\n", 1)[1].split("\n\n", 1)[0]
    assert shown + "\n" == report.markdown(rows)


def test_the_extras_it_names_exist():
    extras = {e for group in re.findall(r"\.\[([\w,]+)\]", README) for e in group.split(",")}
    assert {"demo", "test", "cuda12", "cuda13"} <= extras
    assert extras <= set(PROJECT["optional-dependencies"])


def test_ci_finds_the_test_command():
    block = re.search(r"^<!-- ci:test -->\n```sh\n(.*?)^```", README, re.M | re.S)
    assert block
    assert block[1].splitlines()[-1] == "pytest"
