"""The host's own video models at a few sizes, with random weights; for benchmark_host.py. Host and torch are imported when called."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A host model by its configuration; channels, height, width: of one latent frame; text: (tokens, width)."""

    family: str
    config: dict[str, Any]
    channels: int
    height: int
    width: int
    text: tuple[int, int] = (16, 64)
    values: dict[str, int] = field(default_factory=dict)  # name in the conditioning -> width of a random tensor
    masked: bool = False  # whether the text comes with a mask

    @property
    def tokens(self) -> int:
        """Tokens per frame."""
        return self.height * self.width // (1 if self.family == "LTXV" else 4)


WAN = {"image_model": "wan2.1", "model_type": "t2v", "in_dim": 16, "out_dim": 16, "freq_dim": 256}
HUNYUAN = {
    "image_model": "hunyuan_video",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "context_in_dim": 64,
}
HUNYUAN_SIZES = {
    "hidden_size": 256,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 4,
    "axes_dim": [16, 56, 56],
    "theta": 256,
}
HUNYUAN_REST = {
    "vec_in_dim": 768,
    "byt5": False,
    "vision_in_dim": None,
    "use_cond_type_embedding": False,
    "qkv_bias": True,
}
HUNYUAN_REST |= {"guidance_embed": True, "mlp_ratio": 4.0, "meanflow": False, "meanflow_sum": False}
LTXV = {
    "image_model": "ltxv",
    "in_channels": 128,
    "cross_attention_dim": 256,
    "attention_head_dim": 64,
    "num_attention_heads": 4,
}
SHAPES = {
    "wan": Shape(
        "WAN21_T2V", WAN | {"dim": 256, "ffn_dim": 1024, "num_heads": 2, "num_layers": 4, "text_dim": 64}, 16, 16, 16
    ),
    "ltxv": Shape("LTXV", LTXV | {"num_layers": 4, "caption_channels": 64}, 128, 8, 8, masked=True),
    "hunyuan": Shape("HunyuanVideo", HUNYUAN | HUNYUAN_SIZES | HUNYUAN_REST, 16, 16, 16, values={"pooled_output": 768}),
    "wan-1.3b": Shape(
        "WAN21_T2V",
        WAN | {"dim": 1536, "ffn_dim": 8960, "num_heads": 12, "num_layers": 30, "text_dim": 4096},
        16,
        60,
        104,
        (512, 4096),
    ),
}


def random_model(shape: Shape, device: str, dtype: Any) -> Any:
    """A MODEL of the host's own class, with weights of a size that keeps activations finite."""
    import comfy.model_patcher
    import comfy.supported_models
    import torch

    config = getattr(comfy.supported_models, shape.family)(dict(shape.config))
    config.set_inference_dtype(dtype, None)
    model = config.get_model({}, "", device=torch.device(device))
    for parameter in model.diffusion_model.parameters():
        parameter.normal_(std=0.5 / max(1, parameter[0].numel() if parameter.ndim > 1 else 4) ** 0.5)
    return comfy.model_patcher.ModelPatcher(
        model, load_device=torch.device(device), offload_device=torch.device(device)
    )
