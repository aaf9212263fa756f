"""Small maps at the size of the frames: edges follow colours and labels, constants stay, equal sizes pass through."""

import torch

from fourreal_core.geometry import upsampling
from fourreal_core.geometry.upsampling import Upsampler
from fourreal_core.side_by_side import asking

SMALL, LARGE = (6, 10), (24, 40)


def halves(column: int, height: int = LARGE[0], width: int = LARGE[1]) -> torch.Tensor:
    """[1, H, W, 3]: dark left of a column, bright from it on."""
    return (
        (torch.arange(width) >= column).float().expand(1, height, width)[..., None].expand(-1, -1, -1, 3).contiguous()
    )


def test_constants_stay():
    frames = torch.rand(2, *LARGE, 3, generator=torch.Generator().manual_seed(0))
    large = Upsampler(frames, SMALL)(torch.tensor([0.3, 0.9])[:, None, None].expand(2, *SMALL))
    assert torch.allclose(large, torch.tensor([0.3, 0.9])[:, None, None].expand(2, *LARGE), atol=1e-5)


def test_edges_lie_where_the_colours_have_theirs():
    small = (torch.arange(10) >= 5).float().expand(1, *SMALL)  # the edge is at column 20 of the large picture
    large = Upsampler(halves(22), SMALL)(small)[0]
    assert (large[:, :20] < 0.1).all() and (large[:, 24:] > 0.9).all()
    assert (large[:, 22] > 0.5).all() and (large[:, 21] < 0.5).all()


def test_labels_keep_depths_apart():
    label = torch.arange(10) >= 5
    small = torch.where(label, 2.0, 1.0).expand(1, *SMALL)
    plain = torch.full((1, *LARGE, 3), 0.5)
    large_label = (torch.arange(40) >= 20).expand(1, *LARGE)
    large = Upsampler(plain, SMALL)(small, label.expand(1, *SMALL), large_label)
    assert torch.allclose(large, torch.where(large_label, 2.0, 1.0), atol=0.01)


def test_maps_of_the_frames_size_pass_through():
    maps = torch.rand(1, *LARGE)
    assert Upsampler(halves(20), LARGE)(maps) is maps


def test_bands_change_nothing_and_each_asks_whether_to_go_on(monkeypatch):
    frames = torch.rand(2, *LARGE, 3, generator=torch.Generator().manual_seed(1))
    small, label = torch.rand(2, *SMALL), torch.rand(2, *LARGE) > 0.5
    whole = Upsampler(frames, SMALL)(small, small > 0.5, label)
    monkeypatch.setattr(upsampling, "BAND", 5 * LARGE[1])  # 24 lines: five bands
    asked = []
    with asking(lambda: asked.append(1)):
        in_bands = Upsampler(frames, SMALL)(small, small > 0.5, label)
    torch.testing.assert_close(in_bands, whole)
    assert len(asked) >= 2 * 2 * 5
