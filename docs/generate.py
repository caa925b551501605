"""Makes what the pages take from elsewhere: the tests' own tables, the code of the applications and
their times. `python docs/generate.py` writes it.

tests/core/test_docs.py compares; it fails where a table has changed and this has not been run.
"""

import math
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path += [str(DOCS.parent / "tests"), str(DOCS), str(DOCS.parent)]

import application_pages  # noqa: E402
import draw  # noqa: E402
import operations  # noqa: E402

from core import test_layers  # noqa: E402
from executors import test_conventions  # noqa: E402

FRACTIONS = {1 / 2: "½", 1 / 3: "⅓", 1 / 4: "¼"}


def number(x: float) -> str:
    """A number as the page shows it."""
    if math.isnan(x):
        return "NaN"
    sign = "−" if math.copysign(1, x) < 0 else ""
    size = abs(x)
    return sign + ("∞" if math.isinf(size) else FRACTIONS.get(size, f"{size:.4g}"))


def numbers(x: Any, show: Callable[[float], str] = number) -> str:
    """A number, or a tuple of them where there are several."""
    values = [x] if isinstance(x, int | float) else list(x)
    shown = [show(v) for v in values]
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def curvature(x: Any) -> str:
    """A second derivative: NaN in the table of the tests says that it is not finite."""
    if x is None:
        return ""
    return numbers(x, lambda v: "not finite" if math.isnan(v) else number(v))


def conventions(rows: Iterable[Any]) -> str:
    """The table of values at hard points; rows that only differ in a dropped branch are one."""
    around: dict[tuple[str, str], list[str]] = {}
    lines = ["| case | at | gradient | Hessian times ones |", "|---|---|---|---|"]
    for row in rows:
        name, dropped = re.subn("^where around ", "", row.name)
        shown = numbers(row.gradient), curvature(row.curvature)
        if dropped:
            around.setdefault(shown, []).append(name)
        else:
            lines.append(table_row(name, numbers(row.point), *shown))
    for shown, names in around.items():
        case = "where(x == p, 3 * x, f(x)), f(x) being " + ", ".join(names)
        lines.append(table_row(case, "p, where f is singular", *shown))
    return "\n".join(lines)


def table_row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("*", r"\*").replace("|", r"\|") for cell in cells) + " |"


def stages(text: str) -> list[str]:
    """The pipeline, from the line of arrows in the text of tests/core/test_layers.py."""
    (line,) = [line for line in text.splitlines() if line.count("→") > 2]
    return [stage.strip() for stage in line.split("→")]


def replaced(page: str, name: str, content: str) -> str:
    """The page with the part between its comments ``made: name`` and ``end`` made anew."""
    pattern = rf"(<!-- made: {name}\b[^>]*-->\n).*?(\n<!-- end -->)"
    page, count = re.subn(pattern, lambda m: f"{m[1]}\n{content}\n{m[2]}", page, flags=re.S)
    if count != 1:
        raise ValueError(f"a page has {count} parts <!-- made: {name} --> ... <!-- end -->, not 1")
    return page


def made() -> dict[Path, str]:
    """Every file that is made, in whole or in part, and what it should hold."""
    page, listed = DOCS / "conventions.md", DOCS / "reference" / "operations.md"
    overview = application_pages.PAGES / "index.md"
    text, catalogue, timed = [p.read_text(encoding="utf-8") for p in (page, listed, overview)]
    return {
        page: replaced(text, "conventions", conventions(test_conventions.ROWS)),
        listed: replaced(catalogue, "operations", operations.tables()),
        DOCS / "pictures" / "pipeline.svg": draw.pipeline(stages(test_layers.__doc__ or "")),
        DOCS / "pictures" / "layers.svg": draw.layers(test_layers.ROWS),
        **{page: application(page) for page in application_pages.pages()},
        overview: replaced(timed, "times", application_pages.all_times()),
    }


def application(page: Path) -> str:
    """The page of a module of `benchmarks.applications`."""
    module = application_pages.module_of(page)
    text = replaced(page.read_text(encoding="utf-8"), "about", application_pages.about(module))
    text = application_pages.with_code(text, module)
    return replaced(text, "times", application_pages.times(module))


if __name__ == "__main__":
    for file, content in made().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(content, encoding="utf-8")
        print(file.relative_to(DOCS.parent))
