"""Two streams on Wan whatever holds its weights: quantized, offloaded, compiled; and what the host shows while it samples.

Letters and sizes: tests/host/inside/tiny_backbones.py. "Exact" is bit-equal to the host's own sampling of the same weights.
"""

import json

import pytest
import tiny_backbones as tiny
import torch
from sampling import KSAMPLER
from tiny_backbones import T, V, exchanged, sample, text


def expect_exact(two_streams, model, **settings):
    host = sample(model, tiny.noise(), **settings)
    over_views = exchanged(sample(model, exchanged(tiny.noise()), **settings))
    for stream, expected in (("time only", host), ("view only", over_views)):
        assert torch.equal(sample(two_streams(model, strength=0.0, output=stream), tiny.noise(), **settings), expected)
    return host


def quantized(weights: dict[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """The blocks' linear weights as files of the host's quantized models hold them."""
    state = dict(weights)
    for name, weight in weights.items():
        if name.startswith("blocks.") and name.endswith(".weight") and weight.ndim == 2:
            largest = 448.0 if kind == "float8_e4m3fn" else 127.0
            scale = weight.abs().max() / largest
            whole = (
                (weight / scale).to(torch.float8_e4m3fn)
                if kind == "float8_e4m3fn"
                else (weight / scale).round().to(torch.int8)
            )
            conf = torch.tensor(list(json.dumps({"format": kind}).encode()), dtype=torch.uint8)
            layer = name.removesuffix(".weight")
            state |= {name: whole, f"{layer}.weight_scale": scale, f"{layer}.comfy_quant": conf}
    return state


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "int8_tensorwise"])
def test_quantized_weights(comfy_inside, two_streams, kind):
    plain = tiny.wan()
    with torch.inference_mode():  # as the host's loaders run
        model = tiny.load_wan(quantized(plain.model.diffusion_model.state_dict(), kind))
    assert type(model.model.diffusion_model.blocks[0].self_attn.q.weight).__name__ == "QuantizedTensor"
    expect_exact(two_streams, model, cfg=4.0)
    coarse, hard = (sample(two_streams(each), tiny.noise()) for each in (model, plain))
    assert 0 < (coarse - hard).abs().max() < 0.5


def test_weights_that_do_not_fit_are_brought_for_each_block(comfy_inside, two_streams, monkeypatch):
    """The host's partial loading, with a LoRA that is then computed block by block; on a CPU it must be asked to."""
    import comfy.model_management as management
    import comfy.sd

    shapes = {"down": (4, 48), "up": (64, 4)}
    lora = {f"diffusion_model.blocks.1.ffn.0.lora_{side}.weight": torch.randn(shape) for side, shape in shapes.items()}
    model = comfy.sd.load_lora_for_models(tiny.wan(), None, lora, 0.1, 0.0)[0]
    whole = sample(two_streams(model), tiny.noise())
    management.unload_all_models()
    with monkeypatch.context() as patch:
        patch.setattr(management, "is_device_cpu", lambda device: False)
        patch.setattr(management, "vram_state", management.VRAMState.NO_VRAM)
        hard = sample(two_streams(model), tiny.noise())
        assert model.model.model_lowvram and model.model.lowvram_patch_counter == 1
        expect_exact(two_streams, model)
    management.unload_all_models()
    assert torch.allclose(hard, whole, atol=2e-5)


@pytest.mark.parametrize("compiled_first", [True, False])
def test_a_compiled_model_gives_the_same(comfy_inside, two_streams, compiled_first):
    """As the host's TorchCompileModel does it; "eager" leaves out the compiler behind it."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    def compiled(model):
        clone = model.clone()
        set_torch_compile_wrapper(clone, backend="eager")
        return clone

    model = tiny.wan(layers=1)
    patched = two_streams(compiled(model)) if compiled_first else compiled(two_streams(model))
    assert torch.allclose(sample(patched, tiny.noise()), sample(two_streams(model), tiny.noise()), atol=2e-5)
    torch.compiler.reset()


def test_previews_are_sent(comfy_inside, two_streams, monkeypatch):
    import comfy.utils
    import latent_preview

    pictures = []
    monkeypatch.setattr(latent_preview.args, "preview_method", latent_preview.LatentPreviewMethod.Latent2RGB)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, preview, node_id=None: pictures.append(preview)
    )
    latent = {"samples": torch.zeros(V, 16, T, 4, 8)}
    settings = KSAMPLER
    comfy_inside.call(
        "KSampler", model=two_streams(tiny.wan()), positive=text(1), negative=text(2), latent_image=latent, **settings
    )
    assert [picture[1].size for picture in pictures] == [(8, 4)] * 2
