"""Points carried to pixels with a depth buffer: identity, shares, what hides what, and what fills the holes."""

import pytest
import torch

from fourreal_core.geometry import splatting
from fourreal_core.geometry.projection import pixel_centres
from fourreal_core.geometry.splatting import fill_holes, read_cubic, splat, splat_surface
from fourreal_core.side_by_side import asking

H, W = 5, 8


def everywhere(shift=(0.0, 0.0), inverse: float = 0.5):
    """Each pixel of a picture at its own place, moved; its values are its coordinates."""
    centres = pixel_centres(H, W).view(-1, 2)
    return centres + torch.tensor(shift), torch.full((H * W,), inverse), centres


def test_pixels_that_stay_keep_their_values():
    arrived = splat(*everywhere(), H, W)
    assert torch.allclose(arrived.values_HWC, pixel_centres(H, W)) and torch.allclose(
        arrived.cover_HW, torch.ones(H, W)
    )
    assert torch.allclose(arrived.inverse_depth_HW, torch.full((H, W), 0.5)) and bool(arrived.hit_HW.all())


def surface(scale: float, inverse_HW=None, height=16, width=24):
    """A picture of 5 x 8 pixels seen `scale` times as large; its values are its coordinates."""
    centres, inverse_HW = pixel_centres(H, W), torch.full((H, W), 0.5) if inverse_HW is None else inverse_HW
    return splat_surface(centres * scale, inverse_HW, centres, torch.ones(H, W, dtype=torch.bool), height, width)


def test_a_surface_in_place_covers_each_pixel_once():
    arrived = surface(1.0, height=H, width=W)
    inside = (slice(1, -1), slice(1, -1))
    assert torch.allclose(arrived.values_HWC[inside], pixel_centres(H, W)[inside], atol=1e-4)
    assert (arrived.cover_HW[inside] == 1).all()
    assert torch.allclose(arrived.density_HW[inside], torch.ones(H - 2, W - 2), atol=0.02)


def test_a_surface_seen_larger_stays_closed_and_says_that_it_is_coarser():
    arrived = surface(3.0)
    inside = (slice(3, 12), slice(3, 21))
    assert float(arrived.cover_HW[inside].min()) > 0.9
    assert float(arrived.density_HW[inside].mean()) < 0.2  # 1/9 of a source pixel per pixel
    assert torch.allclose(arrived.values_HWC[inside], pixel_centres(16, 24)[inside] / 3, atol=0.25)
    points = splat(pixel_centres(H, W).view(-1, 2) * 3, torch.full((H * W,), 0.5), torch.zeros(H * W, 1), 16, 24)
    assert float(points.cover_HW[inside].min()) < 0.1  # points alone leave holes


def test_the_sky_is_one_surface():
    arrived = surface(3.0, torch.zeros(H, W))
    assert float(arrived.cover_HW[3:12, 3:21].min()) > 0.9 and (arrived.inverse_depth_HW == 0).all()


def test_a_surface_is_torn_at_a_jump_of_depth():
    inverse = torch.full((H, W), 0.5)
    inverse[:, 4:] = 0.25
    arrived = surface(3.0, inverse)
    assert float(arrived.cover_HW[3:12, 12].max()) < 0.6 and float(arrived.cover_HW[3:12, 4:10].min()) > 0.9
    shown = arrived.inverse_depth_HW[arrived.cover_HW > 0.9]
    assert set(shown.unique().tolist()) == {0.5, 0.25}  # nothing in between


def test_pixels_that_are_not_chosen_are_not_carried():
    nothing = torch.zeros(H, W, dtype=torch.bool)
    arrived = splat_surface(pixel_centres(H, W), torch.ones(H, W), pixel_centres(H, W), nothing, H, W)
    assert not arrived.hit_HW.any() and (arrived.density_HW == 0).all()


def test_whole_steps_shift_and_leave_holes():
    arrived = splat(*everywhere((2.0, -1.0)), H, W)
    assert torch.allclose(arrived.values_HWC[:-1, 2:], pixel_centres(H, W)[1:, :-2])
    assert not arrived.hit_HW[-1].any() and not arrived.hit_HW[:, :2].any()
    assert (arrived.values_HWC[~arrived.hit_HW] == 0).all() and (arrived.inverse_depth_HW[~arrived.hit_HW] == 0).all()


def test_half_steps_share_between_neighbours():
    arrived = splat(*everywhere((0.5, 0.0)), H, W)
    wanted = pixel_centres(H, W)[:, 1:] - torch.tensor([0.5, 0.0])
    assert torch.allclose(arrived.values_HWC[:, 1:], wanted) and torch.allclose(
        arrived.cover_HW[:, 1:], torch.ones(H, W - 1)
    )
    assert torch.allclose(arrived.cover_HW[:, 0], torch.full((H,), 0.5))


def test_the_nearer_surface_hides_the_farther_in_any_order():
    far, near = everywhere(inverse=0.2), (torch.tensor([[3.5, 2.5]]), torch.tensor([0.4]), torch.tensor([[9.0, 9.0]]))
    for first, second in ((far, near), (near, far)):
        arrived = splat(*(torch.cat(parts) for parts in zip(first, second)), H, W)
        assert arrived.values_HWC[2, 3].tolist() == [9, 9] and abs(float(arrived.inverse_depth_HW[2, 3]) - 0.4) < 1e-6
        assert arrived.values_HWC[2, 4].tolist() == [4.5, 2.5]


def test_one_surface_is_averaged():
    positions = torch.tensor([[3.5, 2.5], [3.5, 2.5]])
    arrived = splat(positions, torch.tensor([0.400, 0.399]), torch.tensor([[1.0], [3.0]]), H, W)
    assert abs(float(arrived.values_HWC[2, 3, 0]) - 2) < 1e-6 and float(arrived.cover_HW[2, 3]) == 2


def test_what_is_behind_the_camera_or_outside_does_not_arrive():
    positions = torch.tensor([[3.5, 2.5], [-4.0, 2.5], [3.5, 400.0], [1e9, 1.0]])
    arrived = splat(positions, torch.tensor([-1.0, 0.5, 0.5, 0.5]), torch.ones(4, 1), H, W)
    assert float(arrived.cover_HW.sum()) == 0
    nothing = splat(torch.zeros(0, 2), torch.zeros(0), torch.zeros(0, 3), H, W)
    assert nothing.values_HWC.shape == (H, W, 3) and float(nothing.cover_HW.sum()) == 0


def test_infinitely_far_points_arrive_behind_all_others():
    positions = torch.tensor([[3.5, 2.5], [3.5, 2.5], [5.5, 2.5]])
    arrived = splat(positions, torch.tensor([0.0, 0.1, 0.0]), torch.tensor([[1.0], [2.0], [3.0]]), H, W)
    assert arrived.values_HWC[2, [3, 5], 0].tolist() == [2, 3]


def test_cubic_reading_gives_pixels_and_straight_lines_exactly():
    picture = torch.rand(H, W, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(read_cubic(picture, pixel_centres(H, W)), picture, atol=1e-6)
    ramp = (torch.arange(W) / W).expand(H, W)[..., None]
    read = read_cubic(ramp, pixel_centres(H, W) + torch.tensor([0.5, 0.0]))
    assert torch.allclose(read[:, 2:-3], ramp[:, 2:-3] + 0.5 / W, atol=1e-5)


def test_cubic_reading_stays_within_colours():
    edge = (torch.arange(W) >= 4).float().expand(H, W)[..., None]
    read = read_cubic(edge, pixel_centres(H, W) + torch.tensor([0.5, 0.0]))
    assert read.min() >= 0 and read.max() <= 1


def test_holes_get_their_surroundings_and_known_pixels_stay():
    known = torch.ones(H, W)
    known[1:4, 2:6] = 0
    values = torch.rand(H, W, 2, generator=torch.Generator().manual_seed(0)) * known[..., None]
    filled = fill_holes(values, known)
    assert torch.allclose(filled[known > 0], values[known > 0])
    inside = filled[known == 0]
    assert inside.min() >= values[known > 0].min() - 1e-6 and inside.max() <= values[known > 0].max() + 1e-6


def test_holes_of_a_plain_picture_are_plain():
    known = torch.zeros(7, 13)
    known[3, 4] = 1
    assert torch.allclose(fill_holes(0.7 * known[..., None], known), torch.full((7, 13, 1), 0.7), atol=1e-4)


def test_large_pictures_are_carried_in_pieces_that_ask_in_between(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    near = (torch.rand(H, W, generator=generator) > 0.8).float()
    positions = pixel_centres(H, W) * 1.7 + torch.rand(H, W, 2, generator=generator) + near[..., None]
    surface = positions, 0.3 + near, pixel_centres(H, W), torch.ones(H, W, dtype=torch.bool), 2 * H, 2 * W
    whole, read = splat_surface(*surface), read_cubic(pixel_centres(H, W) / W, positions)
    monkeypatch.setattr(splatting, "AT_ONCE", 50)
    asked = []
    for kept in (2**21, 100):  # all pieces are kept from the first pass to the second, or found again
        monkeypatch.setattr(splatting, "MOST_KEPT", kept)
        asked.clear()
        with asking(lambda: asked.append(1)):
            in_pieces = splat_surface(*surface)
        assert len(asked) > 2 * H * W // 50
        for name in ("values_HWC", "inverse_depth_HW", "cover_HW", "density_HW"):
            torch.testing.assert_close(getattr(in_pieces, name), getattr(whole, name), atol=1e-5, rtol=1e-5)
    with asking(lambda: asked.append(1)):
        asked.clear()
        assert torch.equal(read_cubic(pixel_centres(H, W) / W, positions), read)
    assert len(asked) == -(-H // (50 // W))


def test_a_cancel_ends_a_large_splat(monkeypatch):
    monkeypatch.setattr(splatting, "AT_ONCE", 50)
    asked = []

    def cancel():
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), asking(cancel):
        surface(2.0)
    assert len(asked) == 3
