"""The order of a condition's channels: what is packed comes apart again, and docs/conventions.md says the same."""

import re
from pathlib import Path

import pytest
import torch

from fourreal_core.grid import FrameGrid
from fourreal_core.model import channels as channels_module
from fourreal_core.model.channels import (
    DISPLACEMENT_UNIT,
    GUESS_CHANNELS,
    KNOWN_CHANNELS,
    WIDTHS,
    Channels,
    pack,
    unpack,
)
from fourreal_core.model.condition import grid_condition, unconditional
from fourreal_core.model.config import tiny
from fourreal_core.side_by_side import asking
from fourreal_core.transport import Direction, transport

V, T, H, W = 3, 5, 8, 16
ROWS = Path(__file__).resolve().parents[2] / "docs" / "conventions.md"


def random_direction(seed: int) -> Direction:
    generator = torch.Generator().manual_seed(seed)
    return Direction(*(torch.randn(V, width, T, H, W, generator=generator) for width in WIDTHS))


def test_what_is_packed_comes_apart_again():
    channels = Channels(torch.randn(V, 3, T, H, W), torch.ones(V, 1, T, H, W), random_direction(1), random_direction(2))
    condition = pack(channels)
    assert condition.shape == (V, KNOWN_CHANNELS + GUESS_CHANNELS, T, H, W)
    again = unpack(condition)
    assert torch.equal(again.pixels, channels.pixels) and torch.equal(again.mask, channels.mask)
    for mine, given in ((again.time, channels.time), (again.view, channels.view)):
        assert all(torch.equal(*parts) for parts in zip(mine, given, strict=True))
    plain = unpack(condition[:, :KNOWN_CHANNELS])
    assert plain.time is None and plain.view is None and torch.equal(pack(plain), condition[:, :KNOWN_CHANNELS])


def test_every_channel_lies_where_the_documentation_says():
    """The table in docs/conventions.md, read as it stands there."""
    grid = FrameGrid.from_videos(torch.rand(T, H, W, 3), torch.rand(V, H, W, 3))
    predictions = transport(grid)
    model_pixels, displacement = lambda x: (x * 2 - 1).movedim(-1, 1), lambda x: x.movedim(-1, 1) / DISPLACEMENT_UNIT
    known = grid.known[:, None, :, None, None].float()
    expected = {
        "known pixels": model_pixels(grid.frames) * known,
        "known mask": known.expand(V, 1, T, H, W),
        "prediction along time": model_pixels(predictions.time.frames),
        "prediction along view": model_pixels(predictions.view.frames),
        "confidence along time": predictions.time.confidence[:, None],
        "confidence along view": predictions.view.confidence[:, None],
        "source along time": model_pixels(predictions.time.source),
        "source along view": model_pixels(predictions.view.source),
        "displacement along time": displacement(predictions.time.back),
        "displacement along view": displacement(predictions.view.back),
    }
    condition = grid_condition(grid, tiny(), predictions)
    rows = re.findall(r"^\| (\d+)(?:-(\d+))? \| ([\w ]+?) \|", ROWS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for *_, name in rows] == list(expected)
    assert [int(first) for first, *_ in rows] == [0, *(int(last or first) + 1 for first, last, _ in rows[:-1])]
    for first, last, name in rows:
        torch.testing.assert_close(condition[:, int(first) : int(last or first) + 1], expected[name], msg=name)
    negative = unconditional(condition)
    assert not negative[:, :KNOWN_CHANNELS].any() and torch.equal(
        negative[:, KNOWN_CHANNELS:], condition[:, KNOWN_CHANNELS:]
    )


def test_large_conditions_are_joined_in_pieces_that_a_cancel_can_end(monkeypatch):
    whole = Channels(torch.randn(V, 3, T, H, W), torch.ones(V, 1, T, H, W), random_direction(1), random_direction(2))
    at_once, asked = pack(whole), []
    monkeypatch.setattr(channels_module, "IN_PIECES", 0)
    with asking(lambda: asked.append(None)):
        assert torch.equal(pack(whole), at_once)
    assert len(asked) >= V * 10  # each part of each view

    def stop():
        raise KeyboardInterrupt

    with asking(stop), pytest.raises(KeyboardInterrupt):
        pack(whole)
