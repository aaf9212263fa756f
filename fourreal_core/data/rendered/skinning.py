"""Poses a GLB model at a time of a clip: animation sampling and linear-blend skinning in numpy. Next: render.py draws the result.

Source: glTF 2.0 specification (Khronos), sections 3.7.3 (skins) and 3.11 with appendix C (animation).
Legend: N vertices, P palette entries, K keys, C components.
"""

from __future__ import annotations

import numpy as np

from .gltf import Channel, Clip, Model


def sample_channel(channel: Channel, seconds: float) -> np.ndarray:
    """Value [C] of an animated property, held before the first and after the last key (glTF 2.0, appendix C)."""
    times_K, values, cubic = channel.times, channel.values, channel.interpolation == "CUBICSPLINE"
    after = int(np.searchsorted(times_K, seconds, side="right"))
    if after == 0 or after == len(times_K):
        key = values[0 if after == 0 else -1]
        return key[1] if cubic else key
    start, end, span = values[after - 1], values[after], times_K[after] - times_K[after - 1]
    s = (seconds - times_K[after - 1]) / span
    if channel.interpolation == "STEP":
        return start
    if cubic:
        value = hermite(start[1], span * start[2], end[1], span * end[0], s)
        return unit(value) if channel.property == "rotation" else value
    return slerp(start, end, s) if channel.property == "rotation" else (1 - s) * start + s * end


def hermite(start: np.ndarray, start_slope: np.ndarray, end: np.ndarray, end_slope: np.ndarray, s: float) -> np.ndarray:
    """Cubic curve from `start` to `end` with the slopes per unit of s there; s in 0..1."""
    return (
        (2 * s**3 - 3 * s**2 + 1) * start
        + (s**3 - 2 * s**2 + s) * start_slope
        + (3 * s**2 - 2 * s**3) * end
        + (s**3 - s**2) * end_slope
    )


def slerp(start: np.ndarray, end: np.ndarray, s: float) -> np.ndarray:
    """Unit quaternion between `start` and `end` along the shorter arc; s in 0..1."""
    cosine = float(np.dot(start, end))
    end, cosine = (-end, -cosine) if cosine < 0 else (end, cosine)
    if cosine > 0.9995:  # nearly equal: the sine below would vanish
        return unit((1 - s) * start + s * end)
    angle = np.arccos(cosine)
    return (np.sin((1 - s) * angle) * start + np.sin(s * angle) * end) / np.sin(angle)


def world_matrices(model: Model, clip: Clip | None, seconds: float) -> np.ndarray:
    """Node-to-world matrices [nodes, 4, 4] at a time of a clip; None is the rest pose."""
    local = [{"translation": node.translation, "rotation": node.rotation, "scale": node.scale} for node in model.nodes]
    for channel in clip.channels if clip else ():
        local[channel.node][channel.property] = sample_channel(channel, seconds)
    world: dict[int, np.ndarray] = {}

    def resolve(index: int) -> np.ndarray:
        if index not in world:
            matrix = np.eye(4)
            matrix[:3, :3] = rotation_matrix(local[index]["rotation"]) * local[index]["scale"]
            matrix[:3, 3] = local[index]["translation"]
            parent = model.nodes[index].parent
            world[index] = matrix if parent < 0 else resolve(parent) @ matrix
        return world[index]

    return np.stack([resolve(index) for index in range(len(local))])


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] of a quaternion (x, y, z, w) of any length."""
    x, y, z, w = unit(quaternion)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def pose(model: Model, clip: Clip | None, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """World positions and unit normals [N, 3] of all vertices at a time of a clip, by linear-blend skinning."""
    world = world_matrices(model, clip, seconds)
    skin_P44 = (world[list(model.palette_nodes)] @ model.inverse_bind_P44).astype(np.float32)
    blended_N34 = np.einsum("nk,nkij->nij", model.weights_N4, skin_P44[model.joints_N4][:, :, :3])
    positions_N3 = np.einsum("nij,nj->ni", blended_N34[:, :, :3], model.positions_N3) + blended_N34[:, :, 3]
    # Exact for rotation and uniform scale; the models' rigs use nothing else that a small render would show.
    return positions_N3, unit(np.einsum("nij,nj->ni", blended_N34[:, :, :3], model.normals_N3))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
