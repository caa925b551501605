"""The README is true: its Python prints what it shows, and the files that it names exist."""

import json
import re
import tomllib

import pytest

from benchmarks import report
from pages import examples, printed
from source_tree import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

EXAMPLES = examples(ROOT / "README.md")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_prints_what_it_shows(example):
    assert printed(example, {"__name__": "__readme__"}) == example.shown


def test_there_is_an_example_with_output():
    assert EXAMPLES
    assert EXAMPLES[0].shown.strip()


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
