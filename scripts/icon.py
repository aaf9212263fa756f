"""Draws the pack's icon for the Comfy Registry: a grid of views and times, its given cells, and a path through it.

    python scripts/icon.py

It goes to docs/images/icon.png, 400 x 400 pixels (the registry accepts at most 800 x 400).
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "icon.png"
SIZE, SMOOTH = 400, 4  # drawn four times as large, then scaled down
CELLS, MARGIN, GAP = 4, 58, 12
BACKGROUND, GIVEN, PATH = "#17151f", "#f5b83d", "#ffffff"
NEAR, FAR = (96, 84, 196), (46, 40, 96)  # generated cells, from the corner outwards


def main() -> int:
    large = SIZE * SMOOTH
    icon = Image.new("RGBA", (large, large))
    pen = ImageDraw.Draw(icon)
    pen.rounded_rectangle((0, 0, large - 1, large - 1), radius=large * 0.19, fill=BACKGROUND)
    for view in range(CELLS):
        for time in range(CELLS):
            left, top = corner(time), corner(view)
            edge = side()
            pen.rounded_rectangle((left, top, left + edge, top + edge), radius=edge * 0.2, fill=color(view, time))
    draw_path(pen)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    icon.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(TARGET, optimize=True)
    print(TARGET.name, f"{TARGET.stat().st_size / 1000:.0f} kB")
    return 0


def side() -> float:
    return SMOOTH * (SIZE - 2 * MARGIN - (CELLS - 1) * GAP) / CELLS


def corner(cell: int) -> float:
    return SMOOTH * MARGIN + cell * (side() + SMOOTH * GAP)


def color(view: int, time: int) -> str | tuple[int, int, int]:
    if view == 0 or time == 0:
        return GIVEN
    far = (view + time - 2) / (2 * CELLS - 4)
    red, green, blue = (round(near + far * (away - near)) for near, away in zip(NEAR, FAR, strict=True))
    return red, green, blue


def draw_path(pen: ImageDraw.ImageDraw) -> None:
    """Along time in the first view, then through the views at one moment: a bullet-time shot."""
    width = round(SMOOTH * 11)
    middle = side() / 2
    turn = 2
    points = [(corner(0) + middle, corner(0) + middle), (corner(turn) + middle, corner(0) + middle)]
    points.append((corner(turn) + middle, corner(CELLS - 1) + middle))
    pen.line(points, fill=PATH, width=width, joint="curve")
    for (x, y), radius in zip(points, (width * 0.5, width * 0.5, width * 1.5), strict=True):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=PATH)


if __name__ == "__main__":
    sys.exit(main())
