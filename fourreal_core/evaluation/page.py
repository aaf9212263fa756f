"""A study as files: tables in Markdown, all numbers in JSON, sheets and plots, and one HTML page with everything in it, which needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from .contest import as_json, contest_table
from .published import APART, SOURCE, published_table
from .study import Study

QUALITY = 82
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 1100px; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto } th, td { border: 1px solid #ddd; padding: .25rem .6rem; text-align: right }
th { background: #f4f4f6 } td:first-child, th:first-child { text-align: left } figure { margin: 1rem 0 } img { max-width: 100% } figcaption { color: #666 }
.theirs { background: #faf6ee; border-left: 4px solid #d9b15c; padding: .5rem 1rem } .warning { color: #a33 }
"""
Pictures = Mapping[tuple[str, str], tuple[Image.Image, Image.Image]]  # (name, way) -> sheet, plot


def write_study(folder: str | Path, study: Study, pictures: Pictures) -> Path:
    """Writes table.md, numbers.json, sheets/*.jpg, plots/*.png and index.html into a folder, made if missing, and returns the page's path."""
    folder = Path(folder)
    (folder / "sheets").mkdir(parents=True, exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    for (name, way), (sheet, plot) in pictures.items():
        sheet.save(folder / "sheets" / f"{_file(name, way)}.jpg", quality=QUALITY)
        plot.save(folder / "plots" / f"{_file(name, way)}.png")
    (folder / "table.md").write_text(tables(study), encoding="utf-8")
    plain = {
        name: {way: as_json(numbers) for way, numbers in by_way.items()} for name, by_way in study.measured.items()
    }
    (folder / "numbers.json").write_text(json.dumps({"grids": plain, "sets": study.sets}, indent=1), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(_page(study, pictures), encoding="utf-8")
    return page


def tables(study: Study) -> str:
    """Markdown: our table with what to be wary of and what could not be measured."""
    parts = [study.table()]
    if study.warnings():
        parts.append("Beware: " + "; ".join(study.warnings()) + ".")
    if study.reasons():
        parts.append("Not measurable: " + "; ".join(study.reasons()) + ".")
    if study.unfilled:
        parts.append("Not filled: " + " ".join(study.unfilled))
    return "\n\n".join(parts) + "\n"


def published_part() -> str:
    """Markdown: the paper's table, and why it stands apart."""
    return f"{SOURCE}:\n\n{published_table()}\n\n{APART}\n"


def _file(name: str, way: str) -> str:
    return f"{name} {way}".replace("/", "_").replace(" ", "_")


def _page(study: Study, pictures: Pictures) -> str:
    parts = ["<h1>How good are these grids?</h1>", _html_table(study.table())]
    parts += [f'<p class="warning">Beware: {html.escape(text)}.</p>' for text in study.warnings()]
    parts += [f"<p>Not filled: {html.escape(text)}</p>" for text in study.unfilled]
    if study.reasons():
        parts.append(f"<p>Not measurable: {html.escape('; '.join(study.reasons()))}.</p>")
    parts.append(
        f'<section class="theirs"><h2>As published</h2><p>{html.escape(SOURCE)}</p>{_html_table(published_table())}'
    )
    parts.append(f"<p>{html.escape(APART)}</p></section>")
    for name, by_way in study.measured.items():
        parts.append(f"<h2>{html.escape(name)}</h2>{_html_table(contest_table(by_way))}")
        parts += [_figures(way, *pictures[name, way]) for way in by_way if (name, way) in pictures]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Grids measured</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _figures(way: str, sheet: Image.Image, plot: Image.Image) -> str:
    words = html.escape(way)
    return (
        f'<figure><img src="{_data(sheet, "JPEG")}" alt="Heat map of {words}"><figcaption>{words}: heat from 0 (good) to 100 per cell</figcaption>'
        f'</figure><details><summary>Faults of {words} over time and views</summary><img src="{_data(plot, "PNG")}" alt=""></details>'
    )


def _data(picture: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **({"quality": QUALITY} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _html_table(text: str) -> str:
    """A table of `report.markdown` as HTML; bold and italics are kept."""
    head, _, *lines = [line.strip("|").split("|") for line in text.splitlines()]
    cells = lambda line, kind: "".join(f"<{kind}>{_words(cell.strip())}</{kind}>" for cell in line)
    body = "".join(f"<tr>{cells(line, 'td')}</tr>" for line in lines)
    return f"<table><tr>{cells(head, 'th')}</tr>{body}</table>"


def _words(cell: str) -> str:
    text = html.escape(cell)
    for mark, tag in (("**", "b"), ("*", "i")):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            return f"<{tag}>{text[len(mark) : -len(mark)]}</{tag}>"
    return text
