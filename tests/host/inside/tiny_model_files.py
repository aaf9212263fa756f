"""Files that the host's loaders take for the models which the workflows name: the host's own classes, tiny, with random weights.

The host reads the sizes of most models off their files. Those of text encoders are fixed in its code, billions of weights; its option for
other sizes has no input on CLIPLoader, so `with_small_parts` gives it to the function that CLIPLoader calls, and makes
Wan 2.2 5B's VAE small.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path

import tiny_backbones as tiny
import torch
from latent_fixtures import random_weights
from safetensors.torch import save_file

TEXT_SIZES = {"d_model": tiny.TEXT_WIDTH, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 2}
T5_XXL_MARK = (
    "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"  # the host knows these text encoders by its 10240 lines
)
LTX_SIZES = {
    "cross_attention_dim": 32,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "caption_channels": tiny.TEXT_WIDTH,
    "num_layers": 2,
}
LTX_BLOCKS = [["compress_all", 1], ["compress_all", 1], ["compress_all", 1]]
LTX_VAE = {
    "dims": 3, "latent_channels": 128, "encoder_blocks": LTX_BLOCKS, "decoder_blocks": [*LTX_BLOCKS, ["res_x", 1]], "patch_size": 4,
    "norm_layer": "pixel_norm", "latent_log_var": "uniform", "causal_decoder": False, "encoder_base_channels": 8, "decoder_base_channels": 8,
}  # fmt: skip

Weights = tuple[dict[str, torch.Tensor], dict[str, str]]  # and the file's metadata


def wan(model_type: str = "t2v", **sizes) -> Weights:
    model = tiny.wan(model_type, layers=2, **sizes)
    return model.model.diffusion_model.state_dict(), tiny.WAN_METADATA


def wan_lora() -> Weights:
    """For the queries of both blocks, large enough to change what comes out."""
    generator = torch.Generator().manual_seed(3)
    parts = {"lora_down": (2, 48), "lora_up": (48, 2)}
    names = [
        (f"diffusion_model.blocks.{block}.self_attn.q.{part}.weight", parts[part])
        for block in range(2)
        for part in parts
    ]
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in names}, {}


def wan_vae() -> Weights:
    import comfy.ldm.wan.vae

    sizes = {
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
    }
    return random_weights(comfy.ldm.wan.vae.WanVAE(dim=4, z_dim=16, **sizes)), {}


def wan22_vae() -> Weights:
    """Wan 2.2 5B's, with widths of 8 in place of 160 and 256; see `with_small_parts`."""
    import comfy.ldm.wan.vae2_2

    sizes = {
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
    }
    return random_weights(comfy.ldm.wan.vae2_2.WanVAE(dim=8, dec_dim=8, z_dim=48, **sizes)), {}


def ltx_checkpoint() -> Weights:
    """Model and VAE in one file."""
    import comfy.ldm.lightricks.model
    import comfy.ldm.lightricks.vae.causal_video_autoencoder as ltx
    import comfy.ops

    network = comfy.ldm.lightricks.model.LTXVModel(
        **LTX_SIZES, operations=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    parts = {"model.diffusion_model.": random_weights(network), "vae.": random_weights(ltx.VideoVAE(config=LTX_VAE))}
    weights = {prefix + name: weight for prefix, part in parts.items() for name, weight in part.items()}
    return weights, {"config": json.dumps({"transformer": LTX_SIZES, "vae": LTX_VAE})}


def depth_anything(views: bool) -> Weights:
    """Depth Anything 3 of the smallest size that the host knows: views, Small, which sees several at once; else as Mono Large, one by one, with sky."""
    import comfy.ops
    from comfy.ldm.depth_anything_3.model import DepthAnything3Net

    start = 4 if views else -1
    backbone = {"alt_start": start, "qknorm_start": start, "rope_start": start, "cat_token": views}
    head = {
        "head_type": "dualdpt" if views else "dpt",
        "head_dim_in": 768 if views else 384,
        "head_output_dim": 2 if views else 1,
        "head_features": 64,
        "head_out_channels": (48, 96, 192, 384),
        "head_use_sky_head": not views,
    }
    network = DepthAnything3Net(
        "vits",
        (5, 7, 9, 11),
        **backbone,
        **head,
        has_cam_enc=views,
        has_cam_dec=views,
        operations=comfy.ops.disable_weight_init,
        dtype=torch.float32,
    )
    return randomized(network), {}


def randomized(network: torch.nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Its state dict with small random numbers, whatever device it is on."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator) * 0.02
        + (1.0 if value.ndim == 1 and name.endswith("weight") else 0.0)
        for name, value in network.state_dict().items()
    }


def text_encoder(config_file: str) -> Weights:
    import comfy.ops
    import comfy.text_encoders.t5

    config = json.loads(Path(comfy.text_encoders.t5.__file__).with_name(config_file).read_text()) | TEXT_SIZES
    made = comfy.text_encoders.t5.T5(config, torch.float32, torch.device("cpu"), comfy.ops.disable_weight_init)
    return {**tiny.randomize(made).state_dict(), T5_XXL_MARK: torch.zeros(10240, 1)}, {}


def umt5() -> Weights:
    """Its file holds the tokenizer too: here one of single letters."""
    import sentencepiece

    model, text = io.BytesIO(), ["a red fox gallops across the meadow, nothing moves but the camera"]
    marks = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_writer=model,
        model_type="char",
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
        **marks,
    )
    weights, metadata = text_encoder("umt5_config_xxl.json")
    return weights | {"spiece_model": torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)}, metadata


MAKERS: dict[str, Callable[[], Weights]] = {
    "depth_anything_3_small.safetensors": lambda: depth_anything(views=True),
    "depth_anything_3_mono_large.safetensors": lambda: depth_anything(views=False),
    "wan2.1_t2v_1.3B_fp16.safetensors": wan,
    "wan2.1_vace_1.3B_fp16.safetensors": lambda: wan("vace", vace_layers=1, vace_in_dim=96),
    "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors": lambda: wan(in_dim=36),
    "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors": lambda: wan(in_dim=36),
    "wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise.safetensors": wan_lora,
    "wan2.2_i2v_lightx2v_4steps_lora_v1_low_noise.safetensors": wan_lora,
    "wan_2.1_vae.safetensors": wan_vae,
    "wan2.2_ti2v_5B_fp16.safetensors": lambda: wan(in_dim=48, out_dim=48),
    "wan2.2_vae.safetensors": wan22_vae,
    "ltx-video-2b-v0.9.5.safetensors": ltx_checkpoint,
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": umt5,
    "t5xxl_fp16.safetensors": lambda: text_encoder("t5_config_xxl.json"),
}


def write_model_file(models: Path, directory: str, name: str) -> None:
    """Write the file that a loader finds under this name, unless it is there."""
    target = models / directory / name
    if not target.is_file():
        weights, metadata = MAKERS[name]()
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: weight.contiguous() for key, weight in weights.items()}, target, metadata)


def with_small_parts(monkeypatch) -> None:
    """Text encoders, and Wan 2.2 5B's VAE, of other sizes than the host's code fixes."""
    import comfy.ldm.wan.vae2_2
    import comfy.sd

    made = comfy.ldm.wan.vae2_2.WanVAE
    monkeypatch.setattr(comfy.ldm.wan.vae2_2, "WanVAE", lambda **sizes: made(**{**sizes, "dim": 8, "dec_dim": 8}))

    load, sizes = comfy.sd.load_clip, {f"{name}_model_config": TEXT_SIZES for name in ("t5xxl", "umt5xxl")}
    monkeypatch.setattr(
        comfy.sd,
        "load_clip",
        lambda *args, model_options, **more: load(*args, model_options=model_options | sizes, **more),
    )
