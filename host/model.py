"""The grid model as an ordinary host MODEL: one latent format, one configuration, one BaseModel, one patcher.

Everything a host sampler, guider, LoRA loader or preview expects is inherited; only what is particular to a grid is
written here. The layout of a grid in the host: LATENT `samples` is [V, 3, T, H, W], the batch being the views, with
pixels in -1..1, and one model call carries k chunks of conditioning as [k*V, 3, T, H, W]. See docs/conventions.md.

Letters: V views, T times, H W pixels, C condition channels, k chunks of conditioning in one call.
"""

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.supported_models_base
import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers

from ..fourreal_core.model.config import PATCH
from ..fourreal_core.model.dit import DYNAMIC, FREEZE_TIME
from ..fourreal_core.model.two_stream import GridModel
from .cancel import cancellable

CONDITION_KEY = "fourreal_condition"
OPTIONS_KEY = "fourreal"
STREAM = "fourreal_stream"  # in a call's options: "time" or "view", the stream that the patch for host models asks for
MODES = {"time": DYNAMIC, "view": FREEZE_TIME}


class GridPixels(comfy.latent_formats.LatentFormat):
    """Pixels are the latents: no VAE, three channels, no compression in space or time."""

    latent_channels = 3
    latent_dimensions = 3
    spacial_downscale_ratio = 1
    temporal_downscale_ratio = 1
    latent_rgb_factors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    def process_in(self, latent):
        return latent

    def process_out(self, latent):
        return latent


class HostGridModel(GridModel):
    """`GridModel` with the host's calling convention; its weights have the same names.

    With STREAM in a call's options it is its base alone, a video model as the host has them: one stream, whose blocks patches may replace
    (`patches_replace["dit"][("double_block", i)]`). `two_stream` makes two streams of that, with ranges and layers of other files.
    """

    patch_size = PATCH

    def __init__(self, config, *, image_model, dtype=None, device=None, operations=torch.nn):
        super().__init__(config, operations=operations, dtype=dtype, device=device)
        self.image_model = image_model
        self.dtype = dtype

    def forward(self, x, timestep, context=None, transformer_options={}, **kwargs):
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        executor = WrapperExecutor.new_class_executor(self.predict_velocity, self, wrappers)
        return executor.execute(x, timestep, context, transformer_options, **kwargs)

    def predict_velocity(self, x, timestep, context=None, transformer_options={}, condition=None, **kwargs):
        """x [k*V, 3, T, H, W], timestep [k*V] = sigma, condition [k*V, C, T, H, W] -> velocity like x."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        with cancellable(self):
            return self._velocity(x, timestep, condition, transformer_options)

    def _velocity(self, x, timestep, condition, transformer_options):
        if STREAM in transformer_options:
            return self._one_stream(x, timestep, condition, transformer_options)
        chunks = len(transformer_options.get("cond_or_uncond", (0,)))
        x_BVCTHW = x.unflatten(0, (chunks, -1))
        options = {"sync": self.best_sync, **transformer_options.get(OPTIONS_KEY, {})}
        velocity_BVCTHW = super().forward(
            x_BVCTHW,
            timestep.unflatten(0, (chunks, -1))[:, 0],
            condition.unflatten(0, (chunks, -1)),
            **options,
        )
        return velocity_BVCTHW.flatten(0, 1)

    @property
    def blocks(self):
        return self.base.blocks

    @property
    def width(self):
        return self.config.width

    def _one_stream(self, x_NCFHW, sigma_N, condition_NCFHW, options):
        """N videos of F frames along time or along views -> their velocity."""
        mode_N = torch.full((x_NCFHW.shape[0],), MODES[options[STREAM]], device=x_NCFHW.device)
        hooks = options.get("patches_replace", {}).get("dit", {})
        blocks = [
            _patchable(block, hooks.get(("double_block", index)), options) for index, block in enumerate(self.blocks)
        ]
        return self.base(x_NCFHW, sigma_N, condition_NCFHW, mode_N, blocks=blocks)


def _patchable(block, hook, options):
    """A block as the host's own models run theirs: `hook` gets its arguments by name, and the block to call with them."""
    if hook is None:
        return block

    def original(given):
        return {"img": block(given["img"], given["vec"], given["pe"], given["txt"])}

    def patched(tokens_NLD, modulation_N6D, angles_LP, text_NKD):
        given = {
            "img": tokens_NLD,
            "vec": modulation_N6D,
            "pe": angles_LP,
            "txt": text_NKD,
            "transformer_options": options,
        }
        return hook(given, {"original_block": original})["img"]

    return patched


class GridBaseModel(comfy.model_base.BaseModel):
    """The host's wrapper: flow matching on pixels, with the known cells as conditioning."""

    def __init__(self, model_config, device=None):
        super().__init__(model_config, comfy.model_base.ModelType.FLOW, device=device, unet_model=HostGridModel)

    def get_dtype_inference(self):
        # Pixels and known cells stay float32; the network casts tokens to its own dtype. In bfloat16 a pixel has 8 bits
        # of mantissa and the network's guess could no longer equal Transport's.
        return torch.float32

    def process_timestep(self, timestep, **kwargs):
        # Nodes that change the shift may also change the multiplier; the network wants sigma itself, 0..1.
        return timestep / self.model_sampling.multiplier

    def extra_conds(self, **kwargs):
        """Condition tensors of 4Real Grid Conditioning, [V, C, T, H, W] each."""
        condition = kwargs.get(CONDITION_KEY)
        noise = kwargs["noise"]
        if condition is None:
            raise ValueError(
                "expected conditioning from 4Real Grid Conditioning, got conditioning without a grid: "
                "connect its positive and negative outputs to the sampler"
            )
        if noise.ndim != 5 or condition.shape[0] != noise.shape[0] or condition.shape[2:] != noise.shape[2:]:
            raise ValueError(
                f"expected a latent of the conditioning's grid, {_grid_size(condition)}; got a latent of "
                f"shape {tuple(noise.shape)}: connect the latent output of the same 4Real Grid Conditioning"
            )
        return {"condition": comfy.conds.CONDRegular(condition.to(kwargs["device"]))}


def _grid_size(condition_VCTHW):
    views, _, times, height, width = condition_VCTHW.shape
    return f"{views} views, {times} times, {width}x{height} pixels"


class GridModelConfig(comfy.supported_models_base.BASE):
    """What the host asks of a model family."""

    unet_config = {"image_model": "fourreal"}
    unet_extra_config = {}
    sampling_settings = {"shift": 1.0, "multiplier": 1.0}
    latent_format = GridPixels
    memory_usage_factor = (
        0.02  # measured: 0.64 to 0.92 kB per pixel; the host's formula for fast attention gives 0.84 kB
    )
    supported_inference_dtypes = [torch.bfloat16, torch.float32]

    def process_unet_state_dict_for_saving(self, state_dict):
        raise ValueError(
            "ComfyUI's Save Model cannot store a 4Real model, whose file also says how the model is built: "
            "keep the file that 4Real Load Model read, and keep LoRAs as separate files"
        )

    def get_model(self, state_dict, prefix="", device=None):
        return GridBaseModel(self, device=device)
