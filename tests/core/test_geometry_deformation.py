"""Nodes find the rigid motion of the points around them, and points follow their nodes."""

import torch

from fourreal_core.geometry.deformation import (
    NODES,
    NodeMotion,
    moved_by,
    node_motion,
    node_spacing,
    rigid_fits,
    solve_motion,
    spread_nodes,
)


def cloud(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def turned(angle: float) -> torch.Tensor:
    """About the axis (1, 1, 1)."""
    axis = torch.ones(3) / 3**0.5
    x, y, z = axis
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = torch.tensor(angle)
    return torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross


ROTATION, SHIFT = turned(0.4), torch.tensor([0.3, -0.1, 0.2])


def moved(points: torch.Tensor) -> torch.Tensor:
    return points @ ROTATION.T + SHIFT


def test_a_rigid_motion_is_found_exactly():
    before, prior = cloud(30), cloud(6, 1)[None].repeat(2, 1, 1)
    weights = torch.stack([torch.ones(30), torch.linspace(0, 1, 30)])
    rotation, translation = rigid_fits(before, moved(before), weights, prior, moved(prior))
    assert torch.allclose(rotation, ROTATION.expand(2, 3, 3), atol=1e-4)
    assert torch.allclose(translation, SHIFT.expand(2, 3), atol=1e-4)


def test_flat_and_mirrored_clouds_give_rotations():
    flat = cloud(30) * torch.tensor([1.0, 1.0, 0.0])
    mirrored = cloud(30) * torch.tensor([1.0, 1.0, -1.0])
    prior = cloud(6, 1)[None]
    for before, after in ((flat, moved(flat)), (cloud(30), mirrored)):
        rotation, _ = rigid_fits(before, after, torch.ones(1, 30), prior * 0, prior * 0)
        assert torch.allclose(rotation[0] @ rotation[0].T, torch.eye(3), atol=1e-5)
        assert abs(float(torch.linalg.det(rotation[0])) - 1) < 1e-5


def test_nodes_take_the_motion_of_one_body_and_hidden_points_follow():
    seen, hidden = cloud(400), 1.2 * cloud(50, 2)
    nodes = spread_nodes(torch.cat([seen, hidden]), 12)
    motion = node_motion(nodes, seen, moved(seen), torch.ones(400))
    error = (moved_by(motion, hidden, nodes) - moved(hidden)).norm(dim=-1)
    assert float(error.max()) < 0.01 * float((moved(hidden) - hidden).norm(dim=-1).mean())


def test_two_bodies_move_apart():
    left, right = 0.3 * cloud(200), 0.3 * cloud(200, 1) + torch.tensor([5.0, 0, 0])
    before = torch.cat([left, right])
    after = torch.cat([left + torch.tensor([0, 0.2, 0]), right - torch.tensor([0, 0.2, 0])])
    nodes = spread_nodes(before, 24)
    motion = node_motion(nodes, before, after, torch.ones(400))
    assert float((moved_by(motion, before, nodes) - after).abs().max()) < 0.02


def test_without_tracked_points_nothing_moves():
    nodes = cloud(5)
    for sure in (torch.zeros(10), torch.zeros(0)):
        motion = node_motion(nodes, cloud(len(sure), 1), cloud(len(sure), 2), sure)
        assert torch.allclose(moved_by(motion, nodes, nodes), nodes, atol=1e-6)


def test_a_single_node_carries_all_points():
    points = cloud(7)
    node = points[:1]
    motion = NodeMotion(ROTATION[None], moved(node) - node)
    assert torch.allclose(moved_by(motion, points, node), moved(points), atol=1e-6)
    assert node_spacing(points[:1]) == 1


def test_nodes_are_spread_and_never_more_than_points():
    points = cloud(500)
    nodes = spread_nodes(points)
    assert len(nodes) == NODES and len(nodes.unique(dim=0)) == NODES
    assert torch.equal(nodes[0], points[(points - points.mean(0)).norm(dim=-1).argmin()])
    assert node_spacing(nodes) > 2 * node_spacing(points[:NODES]) / 3
    assert len(spread_nodes(points[:3])) == 3


CAMERA = torch.eye(4), torch.tensor([[60.0, 0, 20], [0, 60, 12], [0, 0, 1]])


def seen_by_camera(points: torch.Tensor) -> torch.Tensor:
    pixels = points @ CAMERA[1].T
    return pixels[:, :2] / pixels[:, 2:]


def solved(
    before: torch.Tensor, after: torch.Tensor, sure: torch.Tensor | None = None, away: torch.Tensor | None = None
) -> torch.Tensor:
    """Where the solver puts the points, from their pixels alone."""
    nodes = spread_nodes(before, 24)
    sure = torch.ones(len(before)) if sure is None else sure
    motion = solve_motion(nodes, before, seen_by_camera(after), sure, CAMERA, NodeMotion.still(len(nodes)), away)
    return moved_by(motion, before, nodes)


def test_a_step_across_the_picture_is_solved_from_pixels():
    before = 0.5 * cloud(300) + torch.tensor([0.0, 0.0, 4.0])
    after = before + torch.tensor([0.15, -0.08, 0.0])
    assert float((solved(before, after) - after).abs().max()) < 0.02


def test_given_depth_tells_how_far_a_small_thing_came_nearer():
    """Its pictures hardly tell. Depth that errs by some percent from point to point, and is far off in a few, tells almost as much as exact depth."""
    before = 0.1 * cloud(300) + torch.tensor([0.0, 0.0, 4.0])
    after = before - torch.tensor([0.0, 0.0, 0.4])
    noise = 0.05 * torch.randn(300, generator=torch.Generator().manual_seed(1))
    noise[:15] = 1.0
    off = [
        float((solved(before, after, away=away) - after)[:, 2].mean().abs())
        for away in (None, after[:, 2], after[:, 2] * (1 + noise))
    ]
    assert off[0] > 0.1 and off[1] < 0.5 * off[0] and off[2] < 0.6 * off[0]


def test_a_turning_body_keeps_its_shape():
    before = 0.5 * cloud(300)
    turn = torch.tensor([[0.98, 0, 0.199], [0, 1, 0], [-0.199, 0, 0.98]])
    before, after = before + torch.tensor([0.0, 0.0, 4.0]), before @ turn.T + torch.tensor([0.0, 0.0, 4.0])
    found = solved(before, after)
    assert float((seen_by_camera(found) - seen_by_camera(after)).norm(dim=-1).median()) < 0.2
    assert float((found - after).norm(dim=-1).median()) < 0.3 * float((before - after).norm(dim=-1).median())


def test_wrong_tracks_do_not_pull_the_rest():
    before = 0.5 * cloud(300) + torch.tensor([0.0, 0.0, 4.0])
    after = before + torch.tensor([0.1, 0.0, 0.0])
    wrong = after.clone()
    wrong[::8] += torch.tensor([0.0, 0.6, 0.0])
    assert float((solved(before, wrong)[1::8] - after[1::8]).norm(dim=-1).median()) < 0.03


def test_a_long_way_is_found_though_a_stray_point_lies_far_off():
    before = 0.5 * cloud(300) + torch.tensor([0.0, 0.0, 4.0])
    before[7] *= 300  # depth at an edge of something is sometimes that of the sky
    after = before + torch.tensor([0.8, 0.0, 0.0])  # 12 pixels
    assert float((solved(before, after) - after)[:7].norm(dim=-1).max()) < 0.05


def test_untrusted_and_few_points_leave_nodes_where_they_were():
    before = 0.5 * cloud(300) + torch.tensor([0.0, 0.0, 4.0])
    assert float((solved(before, before + 0.2, torch.zeros(300)) - before).abs().max()) < 1e-4
    nodes = spread_nodes(before, 5)
    start = NodeMotion.still(5)
    assert solve_motion(nodes, before[:2], seen_by_camera(before[:2]), torch.ones(2), CAMERA, start) is start
