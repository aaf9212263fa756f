"""ComfyUI's MultiGPU CFG Split with two streams. One CPU plays both devices: ComfyUI takes cpu and cpu:1 for two, PyTorch for one.

Letters and sizes: tests/host/inside/tiny_backbones.py.
"""

import pytest
import tiny_backbones as tiny
import torch
from sampling import SAMPLER
from tiny_backbones import sample

SETTINGS = {"strength": 1.0, "output": "mean"}
CFG = {"positive": None, "negative": None, "cfg": 3.0}


def loaded_wan(disable_dynamic=False):
    """As the loaders of ComfyUI make it: able to load itself again for another device."""
    model = tiny.wan()
    model.cached_patcher_init = (loaded_wan, ())
    return model


@pytest.fixture
def split(comfy_inside, monkeypatch):
    """What the node MultiGPU CFG Split makes of a MODEL, and on how many devices its network has run since."""
    import comfy.model_management
    import comfy.multigpu

    devices = [torch.device("cpu"), torch.device("cpu", 1)]
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda exclude_current=False: devices)

    def of(model):
        split = comfy.multigpu.create_multigpu_deepclones(model, 2)
        ran = set()
        clones = [split, *split.get_additional_models_with_key("multigpu")]
        assert len(clones) == 2 and clones[0].model is not clones[1].model
        for number, clone in enumerate(clones):
            block = next(iter(clone.model.diffusion_model.blocks))
            block.register_forward_pre_hook(lambda block, inputs, number=number: ran.add(number))
        return split, ran

    return of


@pytest.fixture
def layers(comfy_inside):
    """Trained layers of a file, every weight of which does something."""
    core = comfy_inside.core("model.sync_file")
    made = core.SyncLayers(core.SyncConfig("wan", 48, 3, kind="soft", rank=4, sigma_width=8))
    generator = torch.Generator().manual_seed(1)
    made = made.initialize(generator=generator)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    folder = comfy_inside.base / "models" / "fourreal_sync"
    folder.mkdir(exist_ok=True)
    core.save_sync(made, folder / "several_devices.safetensors", {"steps": 7})
    return comfy_inside.call("FourRealLoadSync", file="several_devices.safetensors")[0]


@pytest.mark.parametrize("sync", ["hard", "soft", "fused", "sequential", "alternating"])
def test_two_devices_sample_what_one_samples(comfy_inside, split, layers, sync):
    more = {"sync_layers": layers} if sync == "soft" else {}
    patched = comfy_inside.call("FourRealTwoStream", model=loaded_wan(), sync=sync, **more, **SETTINGS)[0]
    alone = sample(patched, tiny.noise(), **CFG)
    model, ran = split(patched)
    torch.testing.assert_close(sample(model, tiny.noise(), **CFG), alone, atol=1e-5, rtol=0)
    assert ran == {0, 1}


def test_the_order_of_the_nodes_does_not_matter(comfy_inside, split):
    model, ran = split(loaded_wan())
    patched = comfy_inside.call("FourRealTwoStream", model=model, sync="hard", **SETTINGS)[0]
    both = sample(patched, tiny.noise(), **CFG)
    alone = comfy_inside.call("FourRealTwoStream", model=loaded_wan(), sync="hard", **SETTINGS)[0]
    torch.testing.assert_close(both, sample(alone, tiny.noise(), **CFG), atol=1e-5, rtol=0)
    assert ran == {0, 1}


def test_a_4real_model_samples_with_it(comfy_inside, tiny_model, split):
    """Its prompts are no text and its grids are one work unit, so that one device does it all."""
    model = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")[0]
    videos = [torch.rand(length, 16, 24, 3, generator=torch.Generator().manual_seed(0)) for length in (5, 3)]
    grid = comfy_inside.core("grid").FrameGrid.from_videos(*videos)
    settings = {"sync": "soft", **SAMPLER}
    alone = comfy_inside.call("FourRealSampler", model=model, grid=grid, **settings)[0]
    both = comfy_inside.call("FourRealSampler", model=split(model)[0], grid=grid, **settings)[0]
    assert torch.equal(both.frames, alone.frames)
