"""The pictures of the site, as SVG: the pipeline as a chain, the layers as boxes and wires.

All text stands in boxes that have a colour of their own, and lines are of a middle grey, so that
they can be read on a light and on a dark page. They are narrow enough for a telephone.
"""

from collections.abc import Mapping, Sequence
from html import escape

Rows = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Of each row of layers: its modules, and the rows that it may import."""

WIDTH = 380
BOX, DATA, LINE = "#3f51b5", "#00695c", "#808080"
INK = "#ffffff"
STYLE = (
    "text { font-family: system-ui, sans-serif; font-size: 14px; fill: " + INK + " } "
    ".small { font-family: ui-monospace, monospace; font-size: 11px }"
)


def pipeline(stages: Sequence[str]) -> str:
    """The stages below each other. What is handed on (capitalised, and both ends) is round."""
    high, gap, wide = 34, 22, 190
    left = (WIDTH - wide) // 2
    parts = []
    for k, stage in enumerate(stages):
        top = 2 + k * (high + gap)
        data = stage[:1].isupper() or k in (0, len(stages) - 1)
        parts.append(_box(left, top, wide, high, DATA if data else BOX, high // 2 if data else 4))
        parts.append(_text(WIDTH // 2, top + 22, stage, 'text-anchor="middle"'))
        if k:
            parts.append(_arrow(WIDTH // 2, top - gap + 3, top - 4))
    height = 4 + len(stages) * (high + gap) - gap
    return _svg(height, " → ".join(stages), parts)


def layers(rows: Rows) -> str:
    """A box for each row, the lowest at the bottom, and a wire from each row to its importers."""
    order = [*rows][::-1]
    gap, left, step = 12, 2, 14
    wires = [row for row in order if any(row in rows[other][1] for other in rows)]
    right = WIDTH - 10 - step * len(wires)
    columns = {row: right + 12 + step * k for k, row in enumerate(wires)}
    boxes, top = {}, 2
    for row in order:
        lines = _wrapped([_short(m) for m in rows[row][0]], (right - left - 20) // 7)
        boxes[row] = (top, 30 + 15 * len(lines), lines)
        top += boxes[row][1] + gap
    parts = []
    for row in order:
        parts += _wiring(row, rows, boxes, columns, right)
    for row, (y, high, lines) in boxes.items():
        parts.append(_box(left, y, right - left, high, BOX, 4))
        parts.append(_text(left + 10, y + 20, row, ""))
        parts += [
            _text(left + 10, y + 37 + 15 * k, line, 'class="small"') for k, line in enumerate(lines)
        ]
    said = "; ".join(f"{row} imports {', '.join(rows[row][1]) or 'nothing'}" for row in order)
    return _svg(top - gap + 2, said, parts)


def _wiring(row: str, rows: Rows, boxes: dict, columns: dict, right: int) -> list[str]:
    """The line of what `row` imports, and the wire that leads from it to those that import it."""
    y, high, _ = boxes[row]
    upper, lower = y + 11, y + high - 11  # imports leave the box above, importers arrive below
    parts = []
    used = [columns[other] for other in rows[row][1]]
    if used:
        parts.append(_line(right, upper, max(used), upper))
        parts += [f'<circle cx="{x}" cy="{upper}" r="3.5" fill="{LINE}"/>' for x in used]
    importers = [boxes[other][0] + 11 for other in rows if row in rows[other][1]]
    if importers:
        x = columns[row]
        parts += [_line(right, lower, x, lower), _line(x, lower, x, min(importers))]
    return parts


def _short(module: str) -> str:
    return "gpuad" if module == "gpuad" else module.removeprefix("gpuad.")


def _wrapped(words: Sequence[str], width: int) -> list[str]:
    """The words in lines of at most `width` characters, where a word is no longer than that."""
    lines = [""]
    for k, word in enumerate(words):
        word += "," if k < len(words) - 1 else ""
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _box(x: int, y: int, wide: int, high: int, fill: str, radius: int) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="{radius}" fill="{fill}" '
        f'stroke="{LINE}"/>'
    )


def _text(x: int, y: int, text: str, attributes: str) -> str:
    return f'<text x="{x}" y="{y}" {attributes}>{escape(text)}</text>'


def _line(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{LINE}" stroke-width="1.5"/>'


def _arrow(x: int, y1: int, y2: int) -> str:
    head = f'<path d="M{x - 5} {y2 - 6}h10l-5 8z" fill="{LINE}"/>'
    return _line(x, y1, x, y2 - 5) + head


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>\n",
        ]
    )
