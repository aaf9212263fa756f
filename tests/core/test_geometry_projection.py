"""Pixels to points and back, from camera to camera: identities and closed forms."""

import torch

from fourreal_core.geometry.projection import parallax_gain, pixel_centres, project, transfer, unproject

LENS = torch.tensor([[50.0, 0, 21], [0, 55, 11], [0, 0, 1]], dtype=torch.float64)


def pose(turn: float = 0.0, place=(0.0, 0.0, 0.0)) -> torch.Tensor:
    """World-to-camera of a camera at a place, turned about the y axis."""
    matrix, angle = torch.eye(4, dtype=torch.float64), torch.tensor(turn, dtype=torch.float64)
    matrix[:3, :3] = torch.tensor([[angle.cos(), 0, -angle.sin()], [0, 1, 0], [angle.sin(), 0, angle.cos()]])
    matrix[:3, 3] = -matrix[:3, :3] @ torch.tensor(place, dtype=torch.float64)
    return matrix


START, END = (pose(0.1, (0.3, -0.2, 0.1)), LENS), (pose(-0.25, (1.1, 0.1, -0.4)), 1.2 * LENS - 0.2 * torch.eye(3))


def pixels(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand(count, 2, generator=generator, dtype=torch.float64) * torch.tensor([40, 22])
    return positions, 0.1 + 0.4 * torch.rand(count, generator=generator, dtype=torch.float64)


def test_centres_lie_half_a_pixel_inside():
    centres = pixel_centres(3, 5)
    assert centres.shape == (3, 5, 2)
    assert centres[0, 0].tolist() == [0.5, 0.5] and centres[2, 4].tolist() == [4.5, 2.5]


def test_project_undoes_unproject():
    positions, inverse = pixels()
    again, depth = project(unproject(positions, inverse, *START), *START)
    assert torch.allclose(again, positions, atol=1e-9) and torch.allclose(depth, inverse, atol=1e-12)


def test_transfer_is_unproject_then_project():
    positions, inverse = pixels()
    there, depth = transfer(positions, inverse, *START, *END)
    wanted, wanted_depth = project(unproject(positions, inverse, *START), *END)
    assert torch.allclose(there, wanted, atol=1e-9) and torch.allclose(depth, wanted_depth, atol=1e-12)
    back, inverse_back = transfer(there, depth, *END, *START)
    assert torch.allclose(back, positions, atol=1e-9) and torch.allclose(inverse_back, inverse, atol=1e-12)


def test_a_step_aside_moves_pixels_by_focal_length_times_step_over_depth():
    positions, inverse = pixels()
    there, depth = transfer(positions, inverse, pose(), LENS, pose(0.0, (0.6, 0, 0)), LENS)
    assert torch.allclose(there[:, 0] - positions[:, 0], -50 * 0.6 * inverse, atol=1e-9)
    assert torch.allclose(there[:, 1], positions[:, 1], atol=1e-9) and torch.allclose(depth, inverse)


def test_infinity_turns_with_the_camera_and_knows_no_place():
    positions, _ = pixels()
    nothing = torch.zeros(len(positions), dtype=torch.float64)
    there, depth = transfer(positions, nothing, *START, *END)
    moved = END[0].clone()
    moved[:3, 3] += 7
    again, _ = transfer(positions, nothing, *START, moved, END[1])
    assert torch.equal(depth, nothing) and torch.allclose(there, again)
    rays = torch.cat([positions, torch.ones(len(positions), 1)], 1) @ torch.linalg.inv(START[1]).T
    turned = rays @ (END[0][:3, :3] @ START[0][:3, :3].T).T @ END[1].T
    assert torch.allclose(there, turned[:, :2] / turned[:, 2:], atol=1e-9)


def test_what_lies_behind_a_camera_is_told():
    passed = pose(0.0, (0, 0, 5.0))  # a camera that went past the points at depth 2
    _, depth = transfer(torch.tensor([[20.0, 10.0]]), torch.tensor([0.5]), pose().float(), LENS.float(), passed, LENS)
    assert depth.tolist() == [-1]
    assert project(torch.tensor([[0.0, 0.0, 2.0]]), passed.float(), LENS.float())[1].tolist() == [-1]


def test_gain_of_a_step_aside_is_focal_length_times_step():
    positions, inverse = pixels()
    gain = parallax_gain(positions, inverse, (pose(), LENS), (pose(0.0, (0.6, 0, 0)), LENS), 0.01)
    assert torch.allclose(gain, torch.full_like(gain, 30.0))
