"""VideoScore (He et al., EMNLP 2024): an Idefics2 that rates a video in five respects. The user has its folder, about 17 GB.

Its class is not in transformers: it is `Idefics2Model` and one linear layer on the last token, under the names `model.*` and `score.*`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...grid import FrameGrid
from ..measured import Measured
from .walks import FRAMES, walk_frames, walks

ASPECTS = ("visual", "temporal", "dynamic", "alignment", "factual")  # order of the outputs
WHERE = "VideoScore needs the folder of TIGER-Lab/VideoScore from Hugging Face (config.json, the tokenizer and model-*.safetensors, about 17 GB). Download it and name the folder"
QUESTION = (
    "Suppose you are an expert in judging and evaluating the quality of AI-generated videos, please watch the following frames of a given video and see the text "
    "prompt for generating the video, then give scores from 5 different dimensions: (1) visual quality, (2) temporal consistency, (3) dynamic degree, "
    "(4) text-to-video alignment, (5) factual consistency. For each dimension, output a number from [1, 2, 3, 4], in which 1 is Bad, 2 is Average, 3 is Good, 4 is Real or Perfect. "
    'For this video, the text prompt is "{prompt}", all the frames of video are as follows: {images}'
)


class VideoScore(nn.Module):
    """The five ratings of a batch of one."""

    def __init__(self, model: nn.Module, width: int):
        super().__init__()
        self.model = model
        self.score = nn.Linear(width, len(ASPECTS), bias=False)

    def forward(self, **inputs: Any) -> Tensor:
        """[1, 5]: of the last token, which is no padding in a batch of one."""
        return self.score(self.model(**inputs).last_hidden_state[:, -1].to(self.score.weight.dtype))


def load_videoscore(folder: str | Path, dtype: torch.dtype = torch.bfloat16) -> tuple[VideoScore, Any]:
    """(network, its processor) from a local folder; nothing is fetched. Raises ValueError when it is missing or holds something else, and says where to get it."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"there is no config.json in {folder}. {WHERE}.")
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != "idefics2":
        raise ValueError(f"{folder.name} holds a model of type {kind!r} and no Idefics2. {WHERE}.")
    from safetensors.torch import load_file
    from transformers import AutoProcessor, Idefics2Config, Idefics2Model

    config = Idefics2Config.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        network = VideoScore(
            Idefics2Model(config),
            int(
                json.loads((folder / "config.json").read_text(encoding="utf-8"))["text_config"].get("hidden_size", 4096)
            ),
        )
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    missing = [name for name in network.state_dict() if name not in weights]
    if missing:
        raise ValueError(f"{folder.name} lacks {len(missing)} weights, such as {missing[0]}. {WHERE}.")
    network.load_state_dict({name: weights[name].to(dtype) for name in network.state_dict()}, assign=True)
    _fill_buffers(network, config)
    return network.eval(), AutoProcessor.from_pretrained(folder, local_files_only=True)


def _fill_buffers(network: VideoScore, config: Any) -> None:
    """Tables that are computed and not stored, such as rotary frequencies, are taken from a text model with no layer."""
    from transformers import AutoModel

    small = type(config.text_config)(**{**config.text_config.to_dict(), "num_hidden_layers": 1, "vocab_size": 8})
    source = dict(AutoModel.from_config(small).named_buffers())
    for name, buffer in list(network.named_buffers()):
        if buffer.is_meta:
            parent, _, last = name.rpartition(".")
            found = next((value for key, value in source.items() if name.endswith(key)), None)
            value = torch.arange(buffer.shape[-1]).expand(buffer.shape).clone() if found is None else found
            network.get_submodule(parent).register_buffer(last, value, persistent=False)


def video_score(
    grid: FrameGrid, network: VideoScore, processor: Any, prompt: str, order: str = "snake"
) -> dict[str, Measured]:
    """The five ratings, mean over walks of 16 frames through the grid (walks.py). prompt: what the grid should show."""
    total = []
    for cells in walks(grid.views, grid.times, order):
        frames = (walk_frames(grid, cells) * 255).round().byte().numpy()
        pictures = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
        text = QUESTION.format(prompt=prompt, images="<image> " * FRAMES)
        inputs = processor(text=text, images=pictures, return_tensors="pt")
        dtype = network.score.weight.dtype
        inputs = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        with torch.no_grad():
            total.append(network(**inputs)[0].float())
    ratings = torch.stack(total).mean(0)
    return {
        f"videoscore_{aspect}": Measured(float(value), details={"walks": float(len(total))})
        for aspect, value in zip(ASPECTS, ratings)
    }
