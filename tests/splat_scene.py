"""Small 4D splats with known motion, for tests: a coloured ball that moves and turns in front of a wall, seen by cameras on an arc."""

import math

import torch
from torch import Tensor

from fourreal_core.grid import Cameras
from fourreal_core.splats.gaussians import Gaussians, NodePaths, Splats

BACKGROUND = (0.2, 0.3, 0.4)
DISTANCE = 4.0  # of the cameras from the middle of the scene


def arc(views: int, height: int, width: int, degrees: float = 40.0) -> Cameras:
    """Cameras on an arc, to the right of one another, that look at the origin."""
    poses, lens = [], torch.tensor([[1.2 * width, 0, width / 2], [0, 1.2 * width, height / 2], [0, 0, 1]])
    for view in range(views):
        angle = math.radians(degrees) * (view / max(views - 1, 1) - 0.5)
        centre = DISTANCE * torch.tensor([math.sin(angle), -0.2, -math.cos(angle)])
        ahead = -centre / centre.norm()
        right = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]), ahead)
        right = right / right.norm()
        rotation = torch.stack([right, torch.linalg.cross(ahead, right), ahead])
        pose = torch.eye(4)
        pose[:3, :3], pose[:3, 3] = rotation, -rotation @ centre
        poses.append(pose)
    return Cameras(torch.stack(poses), lens.expand(views, 3, 3))


def _wall(count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions and colours of a wall behind the ball: large squares of two colours, light on the right."""
    places = (torch.rand(count, 2, generator=source) - 0.5) * torch.tensor([5.0, 3.0])
    square = (places.div(0.5, rounding_mode="floor").sum(1) % 2)[:, None]
    colours = square * torch.tensor([0.75, 0.7, 0.55]) + (1 - square) * torch.tensor([0.25, 0.4, 0.6])
    colours = colours * (0.75 + 0.1 * places[:, :1])
    return torch.cat([places, torch.full((count, 1), 1.2)], 1), colours.clamp(0, 1)


def _ball(count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions on a sphere of radius 0.6, and colours by direction."""
    away = torch.nn.functional.normalize(torch.randn(count, 3, generator=source), dim=1)
    return 0.6 * away, 0.5 + 0.45 * away


def moving_ball(
    *, still: int = 1500, moving: int = 900, views: int = 4, times: int = 5, height: int = 72, width: int = 128
) -> Splats:
    """`still` Gaussians of the wall and `moving` ones of the ball, which goes from left to right and turns; two of its three nodes lie at its sides and part."""
    source = torch.Generator().manual_seed(0)
    (wall, wall_colours), (ball, ball_colours) = _wall(still, source), _ball(moving, source)
    count = still + moving
    size = torch.cat([torch.full((still,), 5.0 / still**0.5), torch.full((moving,), 1.5 / moving**0.5)])[:, None]
    scales = size * (0.3 + 0.7 * torch.rand(count, 3, generator=source))
    rotations = torch.nn.functional.normalize(torch.randn(count, 4, generator=source), dim=1)
    gaussians = Gaussians(
        torch.cat([wall, ball]),
        scales,
        rotations,
        torch.cat([wall_colours, ball_colours]),
        0.3 + 0.69 * torch.rand(count, generator=source),
    )
    nodes = torch.tensor([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])
    paths = torch.zeros(3, 2, 6)
    paths[:, 0, 0], paths[:, 0, 4] = 0.6, 0.8  # to the right, and about what is down
    paths[0, 1, 0], paths[1, 1, 0] = -0.15, 0.15
    shares = torch.softmax(-4 * torch.cdist(ball, nodes), dim=1)
    shades = torch.zeros(count, 1, 3)
    shades[:still] = 0.1  # the wall grows lighter
    return Splats(
        gaussians,
        NodePaths(nodes, paths, torch.arange(3).expand(moving, 3).contiguous(), shares),
        shades,
        (times - 1) / 2,
        times,
        8.0,
        arc(views, height, width),
        (height, width),
        torch.tensor(BACKGROUND),
        {"made": "for a test"},
    )
