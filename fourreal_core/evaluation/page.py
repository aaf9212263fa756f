"""A study as tables in Markdown and as one HTML page with everything in it, which needs no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from ..files.atomic import write_text
from .contest import contest_table
from .kept import KeptStudy
from .published import APART, SOURCE, published_table
from .study import Study

MOST_COLUMNS = 8  # ways that stand side by side, with the winner of each number; more stand below each other
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 1100px; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto } th, td { border: 1px solid #ddd; padding: .25rem .6rem; text-align: right }
th { background: #f4f4f6 } td:first-child, th:first-child { text-align: left; white-space: nowrap } figure { margin: 1rem 0 } img, video { max-width: 100% } figcaption { color: #666 }
.theirs { background: #faf6ee; border-left: 4px solid #d9b15c; padding: .5rem 1rem } .warning { color: #a33 }
"""


def write_page(kept: KeptStudy, study: Study) -> Path:
    """Writes table.md and index.html beside the study's pictures, and returns the page's path."""
    kept.folder.mkdir(parents=True, exist_ok=True)
    write_text(kept.folder / "table.md", tables(study))
    page = kept.folder / "index.html"
    write_text(page, _page(kept, study))
    return page


def tables(study: Study) -> str:
    """Markdown: our tables, with what to be wary of and what could not be measured."""
    return "\n\n".join([*study.tables(), *study.told()]) + "\n"


def published_part() -> str:
    """Markdown: the paper's table, and why it stands apart."""
    return f"{SOURCE}:\n\n{published_table()}\n\n{APART}\n"


def _page(kept: KeptStudy, study: Study) -> str:
    parts = ["<h1>How good are these grids?</h1>", *map(html_table, study.tables())]
    parts += [f"<p{' class=warning' * text.startswith('Beware')}>{html.escape(text)}</p>" for text in study.told()]
    theirs = (
        f"<h2>As published</h2><p>{html.escape(SOURCE)}</p>{html_table(published_table())}<p>{html.escape(APART)}</p>"
    )
    parts.append(f'<section class="theirs">{theirs}</section>')
    for name, by_way in study.measured.items():
        few = len(by_way) <= MOST_COLUMNS
        of_grid = [contest_table(by_way)] if few else Study({name: by_way}).tables()
        parts.append(f"<h2>{html.escape(name)}</h2>{''.join(map(html_table, of_grid))}")
        parts += [_figures(kept, name, way) for way in by_way]
    return document("Grids measured", parts)


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page in HTML, of parts in HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _figures(kept: KeptStudy, name: str, way: str) -> str:
    words, (sheet, plot) = html.escape(way), kept.pictures(name, way)
    return (
        f'<figure><img src="{_data(sheet, "jpeg")}" alt="Heat map of {words}"><figcaption>{words}: heat from 0 (good) to 100 per cell</figcaption>'
        f'</figure><details><summary>Faults of {words} over time and views</summary><img src="{_data(plot, "png")}" alt=""></details>'
    )


def _data(picture: Path, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def html_table(text: str) -> str:
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
