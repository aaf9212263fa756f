"""Features of videos by I3D (Carreira and Zisserman, CVPR 2017), trained on Kinetics-400: what FVD compares. The user has the weights.

Two kinds of files work: a TorchScript file as those who compute FVD pass it on (`i3d_torchscript.pt`), which is code and runs as such; and a plain state dict of the
RGB network with the names of the usual PyTorch port (`rgb_imagenet.pt`), which is data.

Shape suffixes: N videos, F frames, H W pixels, C channels, D features.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...grid import FrameGrid
from .walks import walk_frames, walks

SIDE = 224  # pixels
CLASSES = 400
FEWEST_FRAMES = 10  # fewer vanish in the network's pooling over time
WHERE = (
    "FVD needs the file of an I3D trained on Kinetics-400: i3d_torchscript.pt, as published with StyleGAN-V, or rgb_imagenet.pt, as published with "
    "the PyTorch port pytorch-i3d. Download one of them and name it"
)
Features = Callable[[Tensor], Tensor]
BLOCKS = {  # name: channels of the branches 0; 1a, 1b; 2a, 2b; 3b (Szegedy et al. 2015, in three dimensions)
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class Unit(nn.Module):
    """Convolution padded as TensorFlow's SAME does, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=0.001, momentum=0.01)
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv3d(padded(x, self.kernel, self.stride))))


class Inception(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, channels: tuple[int, ...]):
        super().__init__()
        first, narrow_1, wide_1, narrow_2, wide_2, pooled = channels
        self.b0 = Unit(inputs, first, 1)
        self.b1a, self.b1b = Unit(inputs, narrow_1, 1), Unit(narrow_1, wide_1, 3)
        self.b2a, self.b2b = Unit(inputs, narrow_2, 1), Unit(narrow_2, wide_2, 3)
        self.b3b = Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled(x, (3, 3, 3), (1, 1, 1)))]
        return torch.cat(branches, 1)


class Logits(nn.Module):
    """The last convolution, alone under the name that its weights have."""

    def __init__(self):
        super().__init__()
        self.conv3d = nn.Conv3d(1024, CLASSES, 1)


class I3D(nn.Module):
    """Videos [N, 3, F, 224, 224] in -1..1 to the 400 logits, averaged over time, which FVD takes as features."""

    def __init__(self):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        width = 192
        for name, channels in BLOCKS.items():
            self.add_module(name, Inception(width, channels))
            width = channels[0] + channels[2] + channels[4] + channels[5]
        self.logits = Logits()

    def forward(self, x: Tensor) -> Tensor:
        x = pooled(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in BLOCKS:
            if name == "Mixed_4b":
                x = pooled(x, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                x = pooled(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(name)(x)
        x = F.avg_pool3d(x, (2, 7, 7), (1, 1, 1))
        return self.logits.conv3d(x).flatten(2).mean(2)


def padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Zeros around so that strides see ceil(size / stride) places; the odd one at the end, as TensorFlow has it."""
    sides: list[int] = []
    for size, reach, step in reversed(list(zip(x.shape[2:], kernel, stride))):
        missing = max((-(-size // step) - 1) * step + reach - size, 0)
        sides += [missing // 2, missing - missing // 2]
    return F.pad(x, sides)


def pooled(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Largest values, padded as `padded`; what is pooled has been through a ReLU, so zeros change nothing."""
    return F.max_pool3d(padded(x, kernel, stride), kernel, stride)


def load_i3d(path: str | Path) -> Features:
    """A function from videos [N, 3, F, 224, 224] in -1..1 to features [N, 400] out of one of the two kinds of files.

    A TorchScript file is code: open only one that you trust. Raises ValueError for a missing file, which says where to get one, or another network's weights.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}. {WHERE}.")
    if _is_script(path):
        script = torch.jit.load(path, map_location="cpu").eval()
        return lambda videos: script(videos, rescale=False, resize=False, return_features=True)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no class for what a broken file causes
        raise ValueError(f"{path.name} cannot be read as weights ({str(error)[:120]}). {WHERE}.") from error
    return network_of(weights, path.name)


def network_of(weights: Mapping[str, Tensor], name: str = "the file") -> I3D:
    """The network with these weights. Raises ValueError where names or shapes are not those of I3D for RGB and Kinetics-400."""
    network = I3D()
    expected = network.state_dict()
    weights = {**{key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}, **weights}
    missing = [key for key in expected if key not in weights]
    other = [key for key in expected if key in weights and weights[key].shape != expected[key].shape]
    if missing or other:
        wrong = (missing or other)[0]
        raise ValueError(
            f"{name} is not an I3D for RGB with {CLASSES} classes: {wrong} is missing or of another shape. {WHERE}."
        )
    network.load_state_dict({key: weights[key] for key in expected})
    return network.eval()


def _is_script(path: Path) -> bool:
    """Whether a file is TorchScript, by its contents: both kinds are zip files, but only that one has code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def grid_features(grids: list[FrameGrid], features: Features, order: str = "snake", at_once: int = 4) -> np.ndarray:
    """[N, D]: one line per walk through each grid. Frames are scaled so that the shorter side is 224, and the middle is cut out."""
    found = []
    with torch.no_grad():
        for grid in grids:
            videos = torch.stack([_input(walk_frames(grid, cells)) for cells in walks(grid.views, grid.times, order)])
            found += [features(part).float().cpu().numpy() for part in videos.split(at_once)]
    return np.concatenate(found)


def _input(frames_FHWC: Tensor) -> Tensor:
    """[3, F, 224, 224] in -1..1."""
    height, width = frames_FHWC.shape[1:3]
    scale = SIDE / min(height, width)
    size = max(SIDE, round(height * scale)), max(SIDE, round(width * scale))
    frames = F.interpolate(frames_FHWC.movedim(-1, 1), size=size, mode="bilinear", antialias=True, align_corners=False)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return frames[..., top : top + SIDE, left : left + SIDE].movedim(1, 0).clamp(0, 1) * 2 - 1
