"""The geometry networks in one file: safetensors, every key and shape checked, nothing unpickled. They come with the pack; `load_networks()` gives them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..files.atomic import brief, write_tensors
from .depth import DepthNetwork
from .fusion import FusionNetwork
from .motion import MotionNetwork
from .movers import MoverNetwork

FORMAT = "fourreal-geometry-1"
BUNDLED = Path(__file__).parent.parent / "weights" / "fourreal-geometry.safetensors"


class GeometryNetworks(nn.Module):
    """One network per question that has an exact answer in rendered scenes; see the files of the same names."""

    def __init__(self):
        super().__init__()
        self.depth = DepthNetwork()
        self.motion = MotionNetwork()
        self.movers = MoverNetwork()
        self.fusion = FusionNetwork()


@lru_cache(maxsize=2)
def load_networks(path: str | os.PathLike | None = None) -> GeometryNetworks:
    """The networks of a file (None: those that ship), float32, without gradients, kept for the next call.

    Raises ValueError when the file is missing, of another format, or does not hold exactly these networks' finite tensors.
    """
    path = Path(path) if path is not None else BUNDLED
    if not path.is_file():
        raise ValueError(f"there are no geometry networks at {path}")
    with torch.device("meta"):
        networks = GeometryNetworks()
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise ValueError(f"{path.name} holds no geometry networks of format {FORMAT}")
            state = {key: file.get_tensor(key).float() for key in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a readable safetensors file: {brief(error)}") from error
    wanted = {key: tuple(tensor.shape) for key, tensor in networks.state_dict().items()}
    if {key: tuple(tensor.shape) for key, tensor in state.items()} != wanted:
        raise ValueError(f"{path.name} does not fit this version's geometry networks: names or shapes differ")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise ValueError(f"{path.name} holds weights that are not finite")
    networks.load_state_dict(state, assign=True)
    return networks.eval().requires_grad_(False)


def save_networks(networks: GeometryNetworks, path: str | os.PathLike) -> None:
    """Writes the networks in bfloat16."""
    state = {key: tensor.detach().to(torch.bfloat16).contiguous() for key, tensor in networks.state_dict().items()}
    write_tensors(Path(path), state, {"format": FORMAT})
