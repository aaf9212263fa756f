"""What the tests of latent grids share: the host's own Wan classes, tiny and with random weights, and the nodes between them.

Letters: V = 3 views, T = 5 times, H = 16, W = 32; L latent frames of a view, C latent channels, F = 4 frames per latent frame.
"""

import json

import pytest
import tiny_backbones as tiny
import torch
from sampling import KSAMPLER

NODE = "FourRealLatentGridConditioning"
SETTINGS = {"encoding": "hold", "known_cells": "auto", "hold_back": 0.8, "vace_strength": 1.0, "tiled": False}
SAMPLING = KSAMPLER | {"steps": 4, "cfg": 2.0}


def random_weights(module, seed=0):
    """The host makes modules without filling them."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, weight in module.state_dict().items():
        inputs = weight[0].numel() if weight.ndim > 1 else 4
        scale = torch.randn(weight.shape, generator=generator) / max(inputs, 4) ** 0.5
        weights[name] = torch.ones_like(weight) if name.endswith(("gamma", "std-of-means")) else scale
    return weights


def load_model(made, widths):
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(
        random_weights(made), metadata={"config": json.dumps({"transformer": widths})}
    )


@pytest.fixture(scope="module")
def vae(comfy_inside):
    """Wan 2.1's class: 4 frames and 8 pixels per latent, 16 channels."""
    import comfy.ldm.wan.vae
    import comfy.sd

    sizes = {
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
    }
    return comfy.sd.VAE(sd=random_weights(comfy.ldm.wan.vae.WanVAE(dim=4, z_dim=16, **sizes)))


@pytest.fixture(scope="module")
def codec(comfy_inside, vae):
    return comfy_inside.pack_host("vae").vae_codec(vae)


@pytest.fixture(scope="module")
def wan(comfy_inside):
    return tiny.wan(layers=1)


@pytest.fixture(scope="module")
def wan_i2v(comfy_inside):
    """As Wan 2.2 14B image-to-video and Fun-InP: 16 channels of noise, 4 of mask, 16 of image."""
    return tiny.wan(layers=1, in_dim=36)


@pytest.fixture(scope="module")
def wan_vace(comfy_inside):
    return tiny.wan("vace", layers=1, vace_layers=1, vace_in_dim=96)


@pytest.fixture
def videos():
    """A fixed-view video [5, 16, 32, 3] and a freeze-time video [3, 16, 32, 3] that share their first frame."""
    picture = torch.rand(16, 44, 3, generator=torch.Generator().manual_seed(0))
    fixed_view = torch.stack([picture[:, time : time + 32] for time in range(5)])
    return fixed_view, torch.stack([picture[:, 2 * view : 2 * view + 32] for view in range(3)])


@pytest.fixture
def text():
    return {name: tiny.text(seed) for seed, name in enumerate(("positive", "negative", "view"))}


@pytest.fixture
def condition(comfy_inside, vae, text, grid):
    """4Real Latent Grid Conditioning with the usual inputs; any of them can be given differently."""

    def call(model, **changes):
        usual = {"vae": vae, "grid": grid, "positive": text["positive"], "negative": text["negative"], **SETTINGS}
        return comfy_inside.call(NODE, model=model, **(usual | changes))

    return call


@pytest.fixture
def sample(comfy_inside):
    def call(model, conditioned, **changes):
        positive, negative, latent = conditioned
        inputs = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        return comfy_inside.call("KSampler", **inputs, **(SAMPLING | changes))[0]

    return call


def watched(model):
    """A clone of a MODEL, and the list of (x, timestep, other arguments) that its network will be called with."""
    from comfy.patcher_extension import WrappersMP

    calls, clone = [], model.clone()

    def watch(executor, x, timestep, *args, **kwargs):
        calls.append((x.clone(), timestep.clone(), kwargs))
        return executor(x, timestep, *args, **kwargs)

    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", watch)
    return clone, calls
