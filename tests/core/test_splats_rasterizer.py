"""The rasterizer against every Gaussian at every pixel, and its backward pass against autograd, in float64."""

from dataclasses import fields, replace

import pytest
import torch

from fourreal_core.splats import rasterizer
from fourreal_core.splats.gaussians import Gaussians
from fourreal_core.splats.rasterizer import LEAST_ALPHA, MOST_ALPHA, flatten, render

H, W, C = 21, 37, 4
POSE = torch.tensor(
    [[0.98, 0.0, 0.199, 0.1], [0.0, 1, 0, -0.05], [-0.199, 0, 0.98, 2.2], [0, 0, 0, 1]], dtype=torch.float64
)
LENS = torch.tensor([[41.0, 0.4, 18.1], [0, 43, 10.2], [0, 0, 1]], dtype=torch.float64)


def cloud(count: int = 60, seed: int = 0) -> Gaussians:
    """Many of them overlap; some lie behind the camera, some outside, some are nearly opaque."""
    source = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=source, dtype=torch.float64)
    return Gaussians(
        normal(count, 3) * torch.tensor([0.8, 0.5, 1.3]),
        (normal(count, 3) * 0.5 - 2.0).exp(),
        torch.nn.functional.normalize(normal(count, 4), dim=-1),
        torch.rand(count, 3, generator=source, dtype=torch.float64),
        torch.sigmoid(normal(count) * 3),
    )


def dense(gaussians: Gaussians, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """No tiles, no plan: all Gaussians at all pixels, sorted by depth."""
    flat = flatten(gaussians.positions_N3, gaussians.shapes(), POSE, LENS, H, W)
    order = flat.depth_N.detach().argsort()[flat.shown_N[flat.depth_N.detach().argsort()]]
    covariance = flat.covariances_N3[order]
    inverse = torch.linalg.inv(covariance[:, [0, 1, 1, 2]].view(-1, 2, 2))
    y, x = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    away = torch.stack([x, y], -1).double().view(1, -1, 2) - flat.centres_N2[order][:, None]
    alpha = gaussians.opacities_N[order, None] * torch.exp(-0.5 * torch.einsum("npi,nij,npj->np", away, inverse, away))
    alpha = torch.where(alpha < LEAST_ALPHA, torch.zeros_like(alpha), alpha.clamp_max(MOST_ALPHA))
    through = torch.cumprod(torch.cat([torch.ones_like(alpha[:1]), 1 - alpha]), 0)
    drawn = torch.einsum("np,nc->pc", alpha * through[:-1], features[order])
    return drawn.view(H, W, -1), through[-1].view(H, W)


def test_it_draws_what_every_gaussian_at_every_pixel_gives():
    gaussians = cloud()
    features = torch.rand(len(gaussians), C, dtype=torch.float64)
    drawn, through = dense(gaussians, features)
    rendered = render(gaussians, POSE, LENS, H, W, features_NC=features)
    assert torch.allclose(rendered.features_HWC, drawn, atol=1e-12) and torch.allclose(
        rendered.through_HW, through, atol=1e-12
    )
    assert 0.01 < float(through.mean()) < 0.9 and float(drawn.std()) > 0.1  # neither empty nor full


@pytest.mark.parametrize("kept", [rasterizer.KEPT, 0], ids=["alphas kept", "alphas computed again"])
def test_its_gradients_are_those_of_autograd(monkeypatch, kept):
    monkeypatch.setattr(rasterizer, "KEPT", kept)
    monkeypatch.setattr(rasterizer, "BUCKET", {"cpu": 4000})  # several buckets
    wanted, thickness = torch.rand(H, W, C, dtype=torch.float64), torch.rand(H, W, dtype=torch.float64)
    gradients = []
    for draw in (
        dense,
        lambda g, f: (lambda r: (r.features_HWC, r.through_HW))(render(g, POSE, LENS, H, W, features_NC=f)),
    ):
        start = cloud(seed=1)
        leaves = Gaussians(**{part.name: getattr(start, part.name).requires_grad_() for part in fields(start)})
        features = torch.rand(
            len(start), C, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
        ).requires_grad_()
        drawn, through = draw(leaves, features)
        (((drawn - wanted) ** 2).sum() + (through * thickness).sum()).backward()
        gradients.append(
            [features.grad, *(getattr(leaves, part.name).grad for part in fields(start) if part.name != "colours_N3")]
        )
    for expected, found in zip(*gradients):
        assert float(expected.norm()) > 0
        assert float((expected - found).norm() / expected.norm()) < 1e-10


def test_cameras_are_differentiable():
    pose = POSE.clone().requires_grad_()
    gaussians = cloud()

    def loss(matrix):
        return (
            render(gaussians, matrix, LENS, H, W).features_HWC * torch.linspace(0, 1, W, dtype=torch.float64)[:, None]
        ).sum()

    loss(pose).backward()
    step = torch.zeros(4, 4, dtype=torch.float64)
    step[0, 3] = 1e-6
    assert float((loss(POSE + step) - loss(POSE - step)) / 2e-6) == pytest.approx(float(pose.grad[0, 3]), rel=1e-3)


def test_a_single_gaussian_stands_where_the_camera_sees_it():
    one = Gaussians(
        torch.tensor([[0.5, -0.25, 2.0]]),
        torch.full((1, 3), 0.01),
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.tensor([[1.0, 0.5, 0]]),
        torch.tensor([0.9]),
    )
    lens = torch.tensor([[40.0, 0, W / 2], [0, 40, H / 2], [0, 0, 1]])
    picture = render(one, torch.eye(4), lens, H, W).features_HWC
    x, y = 40 * 0.5 / 2 + W / 2, -40 * 0.25 / 2 + H / 2
    assert divmod(int(picture[..., 0].argmax()), W) == (int(y), int(x))
    assert torch.allclose(picture[..., 1], picture[..., 0] / 2) and float(picture[..., 2].max()) == 0


def test_what_lies_behind_is_hidden_and_an_empty_picture_is_empty():
    two = Gaussians(
        torch.tensor([[0.0, 0, 4], [0, 0, 2]]),
        torch.full((2, 3), 0.5),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(2, 1),
        torch.tensor([[1.0, 0, 0], [0, 1, 0]]),
        torch.tensor([1.0, 1]),
    )
    lens = torch.tensor([[40.0, 0, W / 2], [0, 40, H / 2], [0, 0, 1]])
    middle = render(two, torch.eye(4), lens, H, W).features_HWC[H // 2, W // 2]
    assert float(middle[1]) > 0.95 and float(middle[0]) < 0.02
    away = replace(two, positions_N3=two.positions_N3 * torch.tensor([1.0, 1, -1]))
    empty = render(away, torch.eye(4), lens, H, W)
    assert float(empty.features_HWC.abs().max()) == 0 and float(empty.through_HW.min()) == 1
    assert torch.allclose(empty.over(torch.tensor([0.1, 0.2, 0.3])), torch.tensor([0.1, 0.2, 0.3]))
