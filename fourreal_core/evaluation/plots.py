"""Line plots and labelled pictures for reports, drawn with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PAPER, INK, GRID = (255, 255, 255), (40, 40, 44), (222, 222, 226)
COLOURS = (
    (31, 90, 170), (214, 94, 20), (30, 140, 80), (150, 60, 160), (130, 130, 130),
    (190, 30, 50), (20, 150, 170), (200, 160, 20), (90, 60, 30), (240, 130, 170),
)  # fmt: skip
SHARPER = 2  # everything is drawn this much larger and scaled down, which smooths the lines
Point = tuple[float, float]


def line_plot(
    lines: Mapping[str, Sequence[Point]], *, title: str, x_label: str, size: tuple[int, int] = (640, 400)
) -> Image.Image:
    """A picture of `size` (width, height) pixels: one line per name, through its (x, y) points, with a legend on the right.

    title: also names the unit of y. Points that are not finite are left out. Raises ValueError when nothing is left to draw.
    """
    lines = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in lines.items()}
    points = [point for line in lines.values() for point in line]
    if not points:
        raise ValueError("there is no finite point to plot: measure something first")
    width, height = (SHARPER * side for side in size)
    picture = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13 * SHARPER)
    legend = max(font.getlength(name) for name in lines) + 46 * SHARPER
    left, top, right, bottom = 56 * SHARPER, 36 * SHARPER, width - legend, height - 44 * SHARPER
    x_ticks, y_ticks = (ticks(min(values), max(values)) for values in zip(*points))
    place_x, place_y = _scale(x_ticks, left, right), _scale(y_ticks, bottom, top)
    draw.text((left, 10 * SHARPER), title, INK, font)
    draw.text(((left + right) / 2, height - 8 * SHARPER), x_label, INK, font, anchor="ms")
    for x in x_ticks:
        draw.line([(place_x(x), top), (place_x(x), bottom)], GRID, SHARPER)
        draw.text((place_x(x), bottom + 5 * SHARPER), f"{x:g}", INK, font, anchor="mt")
    for y in y_ticks:
        draw.line([(left, place_y(y)), (right, place_y(y))], GRID, SHARPER)
        draw.text((left - 6 * SHARPER, place_y(y)), f"{y:g}", INK, font, anchor="rm")
    for number, (name, line) in enumerate(lines.items()):
        colour, level = COLOURS[number % len(COLOURS)], top + 18 * SHARPER * number
        _line(draw, [(place_x(x), place_y(y)) for x, y in line], colour)
        draw.line([(right + 12 * SHARPER, level), (right + 30 * SHARPER, level)], colour, 3 * SHARPER)
        draw.text((right + 36 * SHARPER, level), name, INK, font, anchor="lm")
    return picture.resize(size, Image.Resampling.LANCZOS)


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers, evenly spaced by 1, 2 or 5 times a power of ten, that enclose low..high."""
    span = high - low or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / about))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * about >= span)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def beside(pictures: Mapping[str, Image.Image], gap: int = 8) -> Image.Image:
    """Pictures of equal height side by side, each under its name."""
    font, head = ImageFont.load_default(size=15), 24
    width = sum(picture.width for picture in pictures.values()) + gap * (len(pictures) - 1)
    whole = Image.new("RGB", (width, head + max(picture.height for picture in pictures.values())), PAPER)
    left = 0
    for name, picture in pictures.items():
        ImageDraw.Draw(whole).text((left + 2, head / 2), name, INK, font, anchor="lm")
        whole.paste(picture, (left, head))
        left += picture.width + gap
    return whole


def above(first: Image.Image, second: Image.Image, gap: int = 8) -> Image.Image:
    """Two pictures in one, the second below the first."""
    whole = Image.new("RGB", (max(first.width, second.width), first.height + gap + second.height), PAPER)
    whole.paste(first, (0, 0))
    whole.paste(second, (0, first.height + gap))
    return whole


def picture_of(frame_HWC: Tensor) -> Image.Image:
    """A frame [H, W, 3] in 0..1 as an 8 bit picture."""
    return Image.fromarray((frame_HWC * 255).round().byte().numpy())


def _scale(marks: Sequence[float], start: float, end: float):
    """From a value between the first and the last mark to its place between start and end."""
    return lambda value: start + (value - marks[0]) / (marks[-1] - marks[0]) * (end - start)


def _line(draw: ImageDraw.ImageDraw, places: list[Point], colour: tuple[int, int, int]) -> None:
    draw.line(places, colour, 2 * SHARPER, joint="curve")
    for x, y in places:
        draw.ellipse([x - 3 * SHARPER, y - 3 * SHARPER, x + 3 * SHARPER, y + 3 * SHARPER], colour)
