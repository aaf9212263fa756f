"""The pictures of the help pages: one per page, small, and none left over. `python scripts/pictures.py NodeId` makes them."""

import re

import pytest
from environment import PACK

DOCS = PACK / "web" / "docs"
PAGES = sorted(DOCS.glob("*.md"))
MOST_BYTES = 1_500_000  # of all together


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_help_page_shows_its_node(page):
    """The host's help panel finds pictures beside the page only."""
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert ("pictures/" + page.stem + ".webp") in [address for _, address in shown], (
        f"run scripts/pictures.py {page.stem}"
    )
    assert all((DOCS / address).is_file() for _, address in shown)


def test_no_picture_is_left_over_and_all_are_small():
    pictures = sorted((DOCS / "pictures").iterdir())
    assert [picture.name for picture in pictures] == [page.stem + ".webp" for page in PAGES]
    assert sum(picture.stat().st_size for picture in pictures) < MOST_BYTES
