"""When gsplat draws, what it is asked for, and, where there is a card, that it draws what the pack's own rasterizer draws."""

import sys
from dataclasses import fields
from types import ModuleType

import pytest
import torch

from fourreal_core.splats import graphics_card
from fourreal_core.splats.gaussians import Gaussians
from fourreal_core.splats.rasterizer import render

H, W = 40, 56
LENS = torch.tensor([[41.0, 0, 28], [0, 43, 21], [0, 0, 1]])
POSE = torch.tensor([[0.98, 0, 0.199, 0.1], [0, 1, 0, -0.05], [-0.199, 0, 0.98, 2.2], [0, 0, 0, 1]])
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def cloud(count: int = 80) -> Gaussians:
    source = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=source)
    return Gaussians(
        normal(count, 3) * torch.tensor([0.8, 0.5, 1.3]),  # some stand behind the camera
        (normal(count, 3) * 0.5 - 2.0).exp(),
        torch.nn.functional.normalize(normal(count, 4), dim=-1),
        torch.rand(count, 3, generator=source),
        torch.sigmoid(normal(count) * 3).clamp_max(0.98),  # beyond 0.99 versions of gsplat differ
    )


def drawn(device: torch.device) -> list[torch.Tensor]:
    """The picture, what comes through, and the gradients of everything, on the CPU."""
    parts = cloud().to(device)
    leaves = Gaussians(**{part.name: getattr(parts, part.name).requires_grad_() for part in fields(parts)})
    pose = POSE.to(device).requires_grad_()
    rendered = render(leaves, pose, LENS.to(device), H, W)
    weights = torch.linspace(0, 1, W, device=device)[:, None]
    ((rendered.features_HWC * weights).sum() + 0.3 * rendered.through_HW.square().sum()).backward()
    tensors = [rendered.features_HWC, rendered.through_HW, pose.grad]
    return [
        tensor.detach().cpu() for tensor in [*tensors, *(getattr(leaves, part.name).grad for part in fields(parts))]
    ]


def expect_equal(found: list[torch.Tensor], wanted: list[torch.Tensor], picture: float, gradient: float) -> None:
    for one, other in zip(found[:2], wanted[:2]):
        assert float(other.std()) > 0.05 and float((one - other).abs().max()) < picture
    for one, other in zip(found[2:], wanted[2:]):
        assert float(other.norm()) > 0 and float((one - other).norm() / other.norm()) < gradient


@pytest.mark.parametrize(
    ("device", "dtype", "lens", "there", "chosen"),
    [
        (CUDA, torch.float32, LENS, True, True),
        (CUDA, torch.float32, LENS, False, False),
        (CPU, torch.float32, LENS, True, False),
        (torch.device("mps"), torch.float32, LENS, True, False),
        (CUDA, torch.float64, LENS, True, False),
        (CUDA, torch.float32, LENS + torch.tensor([[0, 0.5, 0], [0, 0, 0], [0, 0, 0]]), True, False),
        (CUDA, torch.float32, LENS.clone().requires_grad_(), True, False),
    ],
)
def test_gsplat_is_chosen_on_an_nvidia_card_for_what_it_can_draw(monkeypatch, device, dtype, lens, there, chosen):
    monkeypatch.setattr(graphics_card, "installed", lambda: there)
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    assert graphics_card.suits(device, dtype, lens) is chosen


@pytest.mark.parametrize(
    ("package", "kernels", "there"),
    [("", True, True), ("", False, False), ("raise ImportError('no such symbol')", True, False)],
)
def test_gsplat_counts_as_installed_with_its_compiled_kernels_only(monkeypatch, tmp_path, package, kernels, there):
    (tmp_path / "gsplat").mkdir()
    (tmp_path / "gsplat" / "__init__.py").write_text(package)
    if kernels:
        (tmp_path / "gsplat" / "csrc.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gsplat", raising=False)
    graphics_card.installed.cache_clear()
    try:
        assert graphics_card.installed() is there
    finally:
        graphics_card.installed.cache_clear()
        sys.modules.pop("gsplat", None)


def test_frames_are_drawn_on_the_cpu_where_gsplat_is_not(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", None, raising=False)
    for there, device in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(graphics_card, "installed", lambda there=there: there)
        assert graphics_card.drawing_device("cuda").type == device and graphics_card.drawing_device("cpu") == CPU
    monkeypatch.setattr(torch.version, "hip", "6.0")
    assert graphics_card.drawing_device("cuda") == CPU


def test_what_is_asked_of_gsplat_is_what_its_documentation_says(monkeypatch):
    """A stand-in with the shapes of gsplat's documentation, which draws with the pack's own rasterizer."""
    wanted = drawn(CPU)

    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane, eps2d, packed):
        monkeypatch.setattr(graphics_card, "suits", lambda *about: False)
        assert viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3) and eps2d == 0.3 and not packed
        depth = means @ viewmats[0, 2, :3] + viewmats[0, 2, 3]
        assert 0 < near_plane < 0.1 * float(depth[depth > 0].median().detach())
        picture = render(Gaussians(means, scales, quats, colors, opacities), viewmats[0], Ks[0], height, width)
        return picture.features_HWC[None], 1 - picture.through_HW[None, ..., None], {}

    stand_in = ModuleType("gsplat")
    stand_in.rasterization = rasterization
    monkeypatch.setitem(sys.modules, "gsplat", stand_in)
    monkeypatch.setattr(graphics_card, "suits", lambda *about: True)
    expect_equal(drawn(CPU), wanted, 1e-6, 1e-6)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA graphics card")
def test_a_graphics_card_draws_what_the_processor_draws(monkeypatch):
    wanted = drawn(CPU)
    monkeypatch.setattr(graphics_card, "installed", lambda: False)
    expect_equal(drawn(CUDA), wanted, 1e-4, 1e-3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA graphics card")
def test_gsplat_draws_what_the_packs_own_rasterizer_draws():
    pytest.importorskip("gsplat")
    expect_equal(drawn(CUDA), drawn(CPU), 2e-3, 1e-2)
