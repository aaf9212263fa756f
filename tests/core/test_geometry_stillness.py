"""What the pictures prove to be still is told from what changes, and from what no picture decides; movers.py uses it."""

import torch

from fourreal_core.geometry.stillness import evidence, keeps_moving

HEIGHT, WIDTH = 40, 64


def moving_square(light=0.0, noise=0.0):
    """Five times of a grey square that passes before a checked wall beside a plain one [T, H, W, 3], and where it is at any time."""
    generator = torch.Generator().manual_seed(0)
    wall = torch.rand(HEIGHT // 4, WIDTH // 4, generator=generator).repeat_interleave(4, 0).repeat_interleave(4, 1)
    wall[:, WIDTH // 2 :] = 0.5  # the plain half
    frames, ever = [], torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for time in range(5):
        frame = wall.clone() + light * time
        rows, columns = slice(14, 24), slice(6 + 3 * time, 16 + 3 * time)
        frame[rows, columns] = 0.1 + 0.8 * torch.rand(10, 10, generator=torch.Generator().manual_seed(1))
        ever[rows, columns] = True
        frames.append((frame + noise * torch.randn(HEIGHT, WIDTH, generator=generator)).clamp(0, 1))
    return torch.stack(frames)[..., None].expand(-1, -1, -1, 3).contiguous(), ever


def one_view(frames_THW3):
    camera = torch.eye(4), torch.tensor([[60.0, 0, WIDTH / 2], [0, 60.0, HEIGHT / 2], [0, 0, 1]])
    return keeps_moving(frames_THW3, torch.full((1, HEIGHT, WIDTH), 0.2), [camera], (0, 0))[0]


def test_textured_places_that_keep_their_colours_are_still_and_plain_ones_are_not_known():
    frames, ever = moving_square()
    still, moving = evidence(frames, 0)
    assert not (still & ever).any() and float(moving[ever].float().mean()) > 0.95
    checked, plain = still[28:, : WIDTH // 2 - 4], still[:, WIDTH // 2 + 4 :]
    assert float(checked.float().mean()) > 0.9 and not plain.any() and not moving[28:].any()


def test_noise_and_light_that_changes_everywhere_prove_nothing_to_be_moving():
    for change in ({"noise": 0.01}, {"light": 0.01}):
        frames, ever = moving_square(**change)
        still, moving = evidence(frames, 0)
        assert float(moving[ever].float().mean()) > 0.9 and float((still & ever).float().mean()) < 0.01
        assert float(moving[30:].float().mean()) < 0.02


def test_what_no_picture_decides_follows_the_evidence_around_it():
    frames, ever = moving_square()
    kept = one_view(frames)
    assert kept[ever].all()
    assert not kept[30:, : WIDTH // 2].any()  # beside textured places that are still
    assert kept[:, -8:].all()  # far from any evidence the network is believed
