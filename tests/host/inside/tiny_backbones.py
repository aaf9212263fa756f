"""The host's own video models, tiny and with random weights, made by the host's own classes; and ways to run them.

Letters: V = 3 views, T = 5 times; latents are [V, C, T, h, w] with h = 4, w = 8. Everything is float32 on the CPU.
"""

import json
from typing import Any

import torch

V, T = 3, 5
TEXT_WIDTH = 16
WAN_SIZES = {"text_dim": TEXT_WIDTH, "freq_dim": 16, "num_heads": 2}
WAN_METADATA = {
    "config": json.dumps({"transformer": WAN_SIZES})
}  # what the host's detection cannot read off the weights


def randomize(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights that all do something, of a size that keeps activations near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            width = 0.7 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
            noise = width * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise if "norm" in name and parameter.ndim == 1 and name.endswith("weight") else noise)
    return network


def wan(model_type: str = "t2v", *, layers: int = 3, in_dim: int = 16, out_dim: int = 16, dim: int = 48, **more: Any):
    """A Wan MODEL from a state dict, as UNETLoader makes it; `model_type` as in the host's detection."""
    import comfy.ops
    from comfy.ldm.wan import model as wan_model

    classes = {
        "vace": wan_model.VaceWanModel,
        "camera_2.2": wan_model.CameraWanModel,
        "camera": wan_model.CameraWanModel,
    }
    network = classes.get(model_type, wan_model.WanModel)(
        model_type=model_type,
        dim=dim,
        ffn_dim=64,
        num_layers=layers,
        in_dim=in_dim,
        out_dim=out_dim,
        dtype=torch.float32,
        device="cpu",
        operations=comfy.ops.disable_weight_init,
        **WAN_SIZES,
        **more,
    )
    return load_wan(randomize(network).state_dict())


def load_wan(weights: dict[str, torch.Tensor]):
    import comfy.sd

    return comfy.sd.load_diffusion_model_state_dict(dict(weights), metadata=WAN_METADATA)


def of_family(name: str, **unet_config: Any):
    """A MODEL by one of the host's configurations, smaller than its detection of files allows."""
    import comfy.model_patcher
    import comfy.supported_models

    config = getattr(comfy.supported_models, name)(unet_config)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "")
    randomize(model.diffusion_model)
    return comfy.model_patcher.ModelPatcher(model, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))


def ltxv():
    sizes = {
        "in_channels": 8,
        "cross_attention_dim": 32,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "num_layers": 3,
    }
    return of_family("LTXV", image_model="ltxv", caption_channels=TEXT_WIDTH, **sizes)


def hunyuan():
    sizes = {
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": [1, 2, 2],
        "hidden_size": 32,
        "num_heads": 2,
        "depth": 2,
    }
    text = {
        "context_in_dim": TEXT_WIDTH,
        "vec_in_dim": 768,
        "byt5": False,
        "vision_in_dim": None,
        "use_cond_type_embedding": False,
    }
    more = {"depth_single_blocks": 2, "axes_dim": [4, 6, 6], "theta": 256, "qkv_bias": True, "guidance_embed": True}
    flow = {"mlp_ratio": 2.0, "meanflow": False, "meanflow_sum": False}
    return of_family("HunyuanVideo", image_model="hunyuan_video", **sizes, **text, **more, **flow)


def mochi():
    sizes = {"in_channels": 12, "hidden_size_x": 32, "hidden_size_y": 16, "depth": 2, "num_heads": 2, "patch_size": 2}
    text = {"use_t5": True, "t5_feat_dim": TEXT_WIDTH, "t5_token_length": 6}
    more = {
        "mlp_ratio_x": 384.0,
        "mlp_ratio_y": 384.0,
        "learn_sigma": False,
        "qk_norm": True,
        "qkv_bias": False,
        "out_bias": True,
    }
    return of_family("GenmoMochi", image_model="mochi_preview", timestep_scale=1000.0, **sizes, **text, **more)


def kandinsky():
    sizes = {"model_dim": 32, "ff_dim": 32, "time_dim": 16, "axes_dims": (4, 6, 6), "visual_embed_dim": 33 * 4}
    depth = {"num_text_blocks": 1, "num_visual_blocks": 3}
    return of_family("Kandinsky5", image_model="kandinsky5", in_text_dim=TEXT_WIDTH, in_text_dim2=8, **sizes, **depth)


def hunyuan15():
    """HunyuanVideo 1.5: image channels beside the latent's, glyphs (ByT5) and a picture (SigLIP) among the text."""
    sizes = {
        "in_channels": 65,
        "out_channels": 32,
        "patch_size": [1, 1, 1],
        "hidden_size": 32,
        "num_heads": 2,
        "depth": 3,
    }
    text = {
        "context_in_dim": TEXT_WIDTH,
        "vec_in_dim": None,
        "byt5": True,
        "vision_in_dim": 1152,
        "use_cond_type_embedding": True,
    }
    more = {"depth_single_blocks": 0, "axes_dim": [4, 6, 6], "theta": 256, "qkv_bias": True, "guidance_embed": False}
    flow = {"mlp_ratio": 2.0, "meanflow": False, "meanflow_sum": False}
    return of_family("HunyuanVideo15", image_model="hunyuan_video", **sizes, **text, **more, **flow)


def ltx2():
    """LTX-2 makes sound with the video where the latent has both."""
    video = {
        "in_channels": 8,
        "cross_attention_dim": 32,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "num_layers": 3,
    }
    sound = {"audio_cross_attention_dim": 16, "audio_attention_head_dim": 8, "audio_num_attention_heads": 2}
    connector = {"connector_attention_head_dim": 8, "connector_num_attention_heads": 2}
    return of_family("LTXAV", image_model="ltxav", caption_channels=TEXT_WIDTH, **video, **sound, **connector)


def cogvideo(**more: Any):
    sizes = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 3,
        "time_embed_dim": 16,
        "in_channels": 16,
        "out_channels": 16,
    }
    text = {"text_embed_dim": TEXT_WIDTH, "max_text_seq_length": 6}
    positions = {"sample_width": 8, "sample_height": 4, "use_rotary_positional_embeddings": True}
    model = of_family("CogVideoX_T2V", image_model="cogvideox", **{**sizes, **text, **positions, **more})
    for block in model.model.diffusion_model.blocks:
        block.norm1.linear.bias.data.add_(1)  # a gate before the attention, which else does next to nothing
    return model


COSMOS_SIZES = {
    "model_channels": 32,
    "num_blocks": 3,
    "num_heads": 2,
    "crossattn_emb_channels": TEXT_WIDTH,
    "adaln_lora_dim": 8,
}
COSMOS_GRID = {"max_img_h": 240, "max_img_w": 240, "max_frames": 128, "patch_spatial": 2, "patch_temporal": 1}
COSMOS_POSITIONS = {"pos_emb_cls": "rope3d", "extra_per_block_abs_pos_emb": True, "use_adaln_lora": True}


def cosmos():
    """Cosmos 1 adds its learned positions to the tokens before each block."""
    sizes = {**COSMOS_SIZES, **COSMOS_GRID, **COSMOS_POSITIONS, "in_channels": 16, "out_channels": 16}
    more = {"block_x_format": "THWBD", "extra_per_block_abs_pos_emb_type": "learnable", "affline_emb_norm": True}
    return of_family("CosmosT2V", image_model="cosmos", **sizes, **more)


def cosmos_predict2(in_channels: int = 16):
    """17 channels: from known frames to video, with a timestep of 0 for those."""
    sizes = {**COSMOS_SIZES, **COSMOS_GRID, **COSMOS_POSITIONS, "in_channels": in_channels, "out_channels": 16}
    name = "CosmosT2IPredict2" if in_channels == 16 else "CosmosI2VPredict2"
    return of_family(name, image_model="cosmos_predict2", **sizes)


def with_plain_attention(model: Any):
    """The host's default attention on a CPU does not take the text mask of a batch."""
    from comfy.ldm.modules.attention import attention_pytorch

    model.model_options["transformer_options"] = {
        "optimized_attention_override": lambda function, *args, **kwargs: attention_pytorch(*args, **kwargs)
    }
    return model


def noise(channels: int = 16, seed: int = 5, views: int = V, times: int = T) -> torch.Tensor:
    return torch.randn(views, channels, times, 4, 8, generator=torch.Generator().manual_seed(seed))


def text(seed: int = 1, length: int = 6, **extra: Any) -> list:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, length, TEXT_WIDTH, generator=generator), extra]]


def exchanged(grid: torch.Tensor) -> torch.Tensor:
    """Views become times: [V, C, T, h, w] -> [T, C, V, h, w]."""
    return grid.transpose(0, 2).contiguous()


def sample(
    model: Any,
    noise: torch.Tensor,
    *,
    positive=None,
    negative=None,
    cfg=1.0,
    sampler="euler",
    steps=2,
    mask=None,
    start=None,
):
    """The host's sampling from this noise, as KSampler does it; returns the latent [V, C, T, h, w]."""
    import comfy.sample

    positive, negative = positive or text(1), negative or text(2)
    start = torch.zeros_like(noise) if start is None else start
    with torch.inference_mode():
        return comfy.sample.sample(
            model,
            noise,
            steps,
            cfg,
            sampler,
            "simple",
            positive,
            negative,
            start,
            noise_mask=mask,
            disable_pbar=True,
            seed=7,
        )
