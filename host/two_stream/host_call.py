"""One call of the host's network, which can be made again for the other stream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..model import STREAM
from .block_hooks import Hooks
from .layout import Layout, exchanged, for_view_stream, input_named, map_inputs
from .tokens import Arguments

# A conditioning's `model_conds` may carry the view stream's own text, and its mask; 4Real Latent Grid Conditioning makes them.
VIEW_TEXT, VIEW_TEXT_MASK = "fourreal_view_text", "fourreal_view_text_mask"
VIEW_CAMERA = (
    "fourreal_view_camera"  # likewise the view stream's own camera embedding [k V, 24, L, H, W], of Fun-camera weights
)
OWN_OF_VIEWS = (VIEW_TEXT, VIEW_TEXT_MASK, VIEW_CAMERA)


@dataclass(frozen=True)
class HostCall:
    """`function(*args, **kwargs)`: the host's forward pass of a grid, `[k V, C, T, h, w]` -> the same shape.

    LTX-2 gives and takes `[video, sound]`, and only video where there is no sound. Frozen moments have none.
    """

    function: Callable
    args: Sequence[Any]
    kwargs: Arguments
    layout: Layout

    @property
    def video(self) -> Any:
        """The latent that the call came with; for LTX-2 a list, with sound behind it where there is sound."""
        return input_named("x", self.function, self.args, self.kwargs)

    @property
    def options(self) -> Arguments:
        return input_named("transformer_options", self.function, self.args, self.kwargs) or {}

    def time_stream(self, hooks: Hooks, **options: Any) -> Tensor | list[Tensor]:
        """The call as it came, with blocks replaced; a hook of another pack at the same block is called by ours."""
        replaced = self.options.get("patches_replace", {})
        dit = {**replaced.get("dit", {}), **hooks}
        own = {**self.options, **options, "patches_replace": {**replaced, "dit": dit}, STREAM: "time"}
        return self._run(lambda name, value: own if name == "transformer_options" else value)

    def view_stream(self, hooks: Hooks, **options: Any) -> Tensor:
        """The call re-laid for moments over view. What other packs do between blocks stays with the time stream."""
        own = {
            **self.options,
            "patches": {},
            **options,
            "patches_replace": {"dit": hooks},
            "prefetch_dynamic_vbars": False,
            STREAM: "view",
        }
        text, mask, camera = (self.kwargs.get(name) for name in OWN_OF_VIEWS)
        of_views = {"context": text, "c_crossattn": text, "attention_mask": mask, "camera_conditions": camera}
        known = self.kwargs.get("time_dim_replace")  # Kandinsky 5: given first frames

        def change(name, value):
            if name == "transformer_options":
                return own
            if name in ("time_dim_replace", "ref_audio"):
                return None
            if name == "x" and isinstance(value, (list, tuple)):
                value = value[:1]
            if name == "a_timestep":  # LTX-2's sound may have one per sound token, of which there are none here
                value = value[:, :1] if value.ndim > 1 else value
            if name == "x" and known is not None:
                value = value.clone()
                value[:, : known.shape[1], : known.shape[2]] = known
            if of_views.get(name) is not None:
                value = of_views[name]
            if name == "num_tokens" and mask is not None:  # Mochi: the longest text of the call
                return max(1, int(mask.sum(-1).max()))
            return for_view_stream(name, value, self.layout)

        return exchanged(self._run(change), self.layout)

    def _run(self, change: Callable[[str, Any], Any]) -> Tensor:
        args, kwargs = map_inputs(self.function, self.args, self.kwargs, change)
        return self.function(*args, **{name: value for name, value in kwargs.items() if name not in OWN_OF_VIEWS})
