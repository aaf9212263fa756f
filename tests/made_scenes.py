"""Scenes that tests make on the spot: a model to render, and exact geometry without rendering."""

import json
import struct
from pathlib import Path

import numpy as np
import torch

from fourreal_core.data.rendered.exact import ExactGeometry, ExactScene

BEHIND, FRONT = 0.1, 0.25  # inverse depths of wall and square
FOCAL, BASELINE, STEP = 40.0, 0.5, 3  # pixels, units from view to view, pixels from time to time


def write_scene_files(folder: Path) -> list[Path]:
    """Writes a panorama and two models into the folder; gives the models."""
    sky = np.random.default_rng(0).integers(1, 255, (8, 16, 4)).astype(np.uint8)
    sky[..., 3] = 127
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n"
    (folder / "sky.hdr").write_bytes(header + sky.tobytes())
    return [write_model(folder / "a.glb"), write_model(folder / "b.glb")]


def sliding_square(
    seed: int = 0, views: int = 4, times: int = 3, height: int = 32, width: int = 48, side: int = 12
) -> ExactScene:
    """A textured square slides sidewards before a textured wall; cameras stand side by side.

    From view to view the wall moves by 2 pixels and the square by 5.
    """
    rng = torch.Generator().manual_seed(seed)

    def texture(h: int, w: int) -> torch.Tensor:
        coarse = torch.rand(1, 3, h // 3 + 2, w // 3 + 2, generator=rng)
        return torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear")[0].movedim(0, -1)

    wall, square = texture(height, 3 * width), texture(side, side)
    frames = torch.zeros(views, times, height, width, 3)
    depth = torch.full((views, times, height, width), BEHIND)
    for view in range(views):
        for time in range(times):
            frames[view, time] = wall[:, width + 2 * view :][:, :width]
            left = width - 20 - 5 * view + STEP * time
            frames[view, time, 10 : 10 + side, left : left + side] = square
            depth[view, time, 10 : 10 + side, left : left + side] = FRONT
    mover = depth == FRONT
    flow = torch.zeros(times, height, width, 2)
    flow[..., 0] = -STEP * mover[0] * torch.arange(times)[:, None, None]
    uncovered = mover[0, :1] & ~mover[0]
    motion = torch.zeros(views, times, height, width, 3)
    motion[..., 0] = STEP / (FOCAL * FRONT) * mover[:, :1] * torch.arange(times)[:, None, None]
    pose = torch.eye(4).repeat(views, 1, 1)
    pose[:, 0, 3] = -BASELINE * torch.arange(views)
    intrinsics = torch.tensor([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1]]).repeat(views, 1, 1)
    frames = (frames * 255).round().to(torch.uint8)
    moving = mover[0] & (torch.arange(times) > 0)[:, None, None]
    geometry = ExactGeometry(depth[:, 0], depth[0], flow, ~uncovered, moving, mover[0], mover[:, 0], motion)
    return ExactScene(frames[0], frames[:, 0], frames, pose, intrinsics, 8.0, geometry, {"source": "made up"})


def write_model(path):
    """A GLB with one upright square of side 2 that slides by 1 along x within a second."""
    square = np.float32([(-1, 0, 0), (1, 0, 0), (1, 2, 0), (-1, 2, 0)])
    blocks = [
        square.tobytes(),
        np.uint16([0, 1, 2, 0, 2, 3]).tobytes(),
        np.float32([0, 1]).tobytes(),
        np.float32([(0, 0, 0), (1, 0, 0)]).tobytes(),
    ]
    kinds = [(5126, 4, "VEC3"), (5123, 6, "SCALAR"), (5126, 2, "SCALAR"), (5126, 2, "VEC3")]
    offsets = np.cumsum([0] + [len(block) for block in blocks])
    document = {
        "nodes": [{"mesh": 0, "name": "square"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "animations": [
            {
                "name": "Walk",
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "translation"}}],
                "samplers": [{"input": 2, "output": 3}],
            }
        ],
        "accessors": [
            {"bufferView": i, "componentType": kind, "count": count, "type": shape}
            for i, (kind, count, shape) in enumerate(kinds)
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": int(offsets[i]), "byteLength": len(block)} for i, block in enumerate(blocks)
        ],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = (
        struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", int(offsets[-1]), 0x004E4942)
        + b"".join(blocks)
    )
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
    return path
