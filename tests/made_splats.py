"""Small splats that tests share: a few Gaussians, some of which follow two nodes."""

import torch

from fourreal_core.grid import Cameras
from fourreal_core.splats.gaussians import Gaussians, NodePaths, Splats

N, P, M, D, V, T = 5, 3, 2, 3, 4, 7


def made(rest: float = 2.0) -> Splats:
    source = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(N, 4, generator=source), dim=-1)
    gaussians = Gaussians(
        torch.randn(N, 3, generator=source),
        torch.rand(N, 3, generator=source) + 0.01,
        unit,
        torch.rand(N, 3, generator=source),
        torch.rand(N, generator=source),
    )
    shares = torch.tensor([[1.0, 0], [0.25, 0.75], [0.5, 0.5]])
    motion = NodePaths(
        torch.randn(M, 3, generator=source),
        torch.randn(M, D, 6, generator=source) * 0.3,
        torch.tensor([[0, 1]] * P),
        shares,
    )
    lens = torch.tensor([[30.0, 0, 16], [0, 30, 8], [0, 0, 1]]).expand(V, 3, 3)
    return Splats(
        gaussians,
        motion,
        torch.randn(N, 2, 3, generator=source) * 0.1,
        rest,
        T,
        12.5,
        Cameras(torch.eye(4).expand(V, 4, 4), lens),
        (16, 32),
        torch.tensor([0.25, 0.5, 0.75]),
        {"score": 31.5},
    )
