"""The pages of docs/ are true: their examples run one after the other and print what they show,
what is made of the tests' tables is as they are, and links lead somewhere. Needs no mkdocs."""

import importlib
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import gpuad
import gpuad.numpy as gnp
from gpuad.ir.primitive import CATALOGUE
from gpuad.tracing import asking
from gpuad.tracing.registry import OPERATIONS
from pages import examples, printed
from source_tree import ROOT, modules_of

DOCS = ROOT / "docs"
PACKAGE = ROOT / "gpuad"
sys.path.append(str(DOCS))  # not installed; last, so that nothing is hidden

import chapters  # noqa: E402
import draw  # noqa: E402
import generate  # noqa: E402

PAGES = sorted(DOCS.rglob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture
def restored():
    """What examples change for the whole process is put back: declarations, print options."""
    before = [(table, dict(table)) for table in (CATALOGUE, OPERATIONS)]
    with np.printoptions():
        yield
    for table, content in before:
        table.clear()
        table.update(content)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if examples(page)], ids=lambda page: page.stem
)
def test_the_examples_of_a_page_print_what_it_shows(page, restored):
    names = {"__name__": "__page__"}
    for example in examples(page):
        assert printed(example, names) == example.shown, example.name


@each_page
def test_no_line_of_an_example_is_wider_than_the_page(page):
    lines = [line for e in examples(page) for line in (e.code + e.shown).splitlines()]
    assert not [line for line in lines if len(line) > 80]


def test_there_are_examples_with_output():
    for page in ("index", "architecture", "transforms", "conventions", "extending"):
        assert any(example.shown for example in examples(DOCS / f"{page}.md")), page


def test_every_public_name_is_in_an_example_of_the_transforms():
    code = "".join([example.code for example in examples(DOCS / "transforms.md")])
    text = code + text_of(DOCS / "transforms.md")
    names = set(gpuad.__all__) - {"numpy", "scipy"}
    assert not [name for name in names if f"ad.{name}" not in text]
    headings = re.findall(r"^### (\w+)$", text, re.M)
    assert set(headings) == names - {"ShapeDtype", "clear_cache"}


def test_the_recipe_for_a_primitive_is_short():
    recipe = examples(DOCS / "extending.md")[0].code
    assert "declare.elementwise(" in recipe
    assert len([line for line in recipe.splitlines() if line.strip()]) <= 15


def test_what_is_made_is_up_to_date():
    stale = [
        str(file.relative_to(ROOT))
        for file, content in generate.made().items()
        if not file.exists() or text_of(file) != content
    ]
    assert not stale, f"run `python docs/generate.py`, which makes {', '.join(stale)}"


def test_functions_that_cannot_be_taken_over_are_named():
    introduction = text_of(DOCS / "reference" / "operations.md").partition("\n## ")[0]
    assert [name for name in asking.OF_ARRAYS if f"`{name}`" not in introduction] == []


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown names them."""
    text = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    kept = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in kept}


def exists(target: Path, anchor: str) -> bool:
    if not target.exists():
        return False
    if anchor.startswith("gpuad.") and target.parent.name == "reference":
        module, _, name = anchor.rpartition(".")
        return hasattr(importlib.import_module(module), name)
    return not anchor or anchor in anchors_of(target)


@each_page
def test_its_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", text_of(page))
    lost = [
        f"{file}#{anchor}"
        for file, anchor in links
        if "://" not in file and not exists(page.parent / file if file else page, anchor)
    ]
    assert not lost


@each_page
def test_the_site_has_it(page):
    assert f": {page.relative_to(DOCS).as_posix()}\n" in text_of(ROOT / "mkdocs.yml")


@each_page
def test_the_files_it_names_exist(page):
    names = re.findall(r"`((?:gpuad|kernels|tests|benchmarks|docs)/[\w./]*)`", text_of(page))
    assert not [name for name in names if not (ROOT / name).exists()]


def test_the_chapters_have_every_public_name():
    found = chapters.chapters()
    names = [name for chapter in found for entry in chapter.entries for name in entry.names]
    assert len(names) == len(set(names))
    groups = {name for name in gnp.__all__ if chapters.is_group(name)}
    as_they_are = re.findall(r"`(\w+)`", found[-1].text)
    assert {n for n in names if "." not in n} | {*as_they_are} == set(gnp.__all__) - groups
    assert {f"{g}.{n}" for g in groups for n in getattr(gnp, g).__all__} <= set(names)
    by_title = {c.title: [n for e in c.entries for n in e.names] for c in found}
    assert {"exp", "cbrt", "arccos"} <= set(by_title["Elementwise"])
    assert {"erf", "relu"} <= set(by_title["Special"])


def test_the_chapters_of_scipy_have_every_public_name():
    found = {c.title: [n for e in c.entries for n in e.names] for c in chapters.scipy_chapters()}
    assert {"scipy.linalg", "scipy.fft", "scipy.signal", "scipy.special"} <= set(found)
    for title, names in found.items():
        module = importlib.import_module(f"gpuad.{title}")
        assert sorted(names) == sorted(module.__all__)


def texts(svg: str) -> list[str]:
    return [e.text for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_of_the_layers_takes_any_table():
    rows = {
        "0 ground": (("gpuad.errors", "gpuad.tree"), ()),
        "1 a & b": (tuple(f"gpuad.part{k}" for k in range(12)), ("0 ground",)),
        **{f"{k} row": ((f"gpuad.row{k}",), ("0 ground", "1 a & b")) for k in range(2, 16)},
    }
    picture = draw.layers(rows)
    shown = texts(picture)
    assert {*rows} <= {*shown}
    assert "part11" in " ".join(shown)
    root = ET.fromstring(picture)
    width, height = (float(root.get(side)) for side in ("width", "height"))
    assert width <= draw.WIDTH
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(box.get("x")) + float(box.get("width")) < width
        assert float(box.get("y")) + float(box.get("height")) < height


def test_the_pipeline_is_read_from_the_line_of_arrows():
    stages = generate.stages("Some text.\n\n    f → tracing → Graph → kernels\n\nMore → text.")
    assert stages == ["f", "tracing", "Graph", "kernels"]
    assert texts(draw.pipeline(stages)) == stages


@pytest.mark.parametrize(
    ("x", "shown"),
    [(0.0, "0"), (-0.0, "−0"), (0.5, "½"), ([1, -np.inf], "(1, −∞)"), ([np.nan], "NaN")],
)
def test_numbers_as_the_table_shows_them(x, shown):
    assert generate.numbers(x) == shown


def test_the_page_names_the_settings_that_there_are():
    read = {
        name
        for path in modules_of().values()
        for name in re.findall(r"""["'](GPUAD_[A-Z_]+)["']""", path.read_text())
    }
    rows = re.findall(r"^\| `(GPUAD_[A-Z_]+)` \|", text_of(DOCS / "index.md"), re.M)
    assert sorted(rows) == sorted(read)


def test_the_modules_that_the_architecture_names_are_there():
    text = text_of(DOCS / "architecture.md")
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    folders = set(re.findall(r"`([\w/]+/)`", text)) - {"docs/"}
    assert len(named) > 20
    missing = {x for x in named | folders if not any((r / x).exists() for r in (ROOT, PACKAGE))}
    assert not missing
