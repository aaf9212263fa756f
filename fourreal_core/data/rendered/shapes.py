"""Simple solids for static props, and pictures for plain, noisy and tiled grounds. Used by scenes.py.

Solids have their base on y = 0 and reach to y = 1; they come as (positions [N, 3], normals [N, 3], uv [N, 2], triangles [M, 3]).
"""

from __future__ import annotations

import numpy as np

Solid = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def box() -> Solid:
    """A unit cube with flat sides."""
    positions, normals, uv, triangles = [], [], [], []
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    for axis in range(3):
        for side in (-0.5, 0.5):
            triangles += [
                (len(positions) + a, len(positions) + b, len(positions) + c) for a, b, c in ((0, 1, 2), (0, 2, 3))
            ]
            for corner in corners:
                positions.append(np.insert(corner, axis, side) + (0, 0.5, 0))
                normals.append(np.eye(3)[axis] * np.sign(side))
                uv.append(corner + 0.5)
    return np.array(positions), np.array(normals), np.array(uv), np.array(triangles)


def turned(radii: np.ndarray, heights: np.ndarray, segments: int = 24) -> Solid:
    """A solid of revolution about Y through the profile (radii, heights), from its foot to its top."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    circle = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    positions = circle[None] * radii[:, None, None] + np.array([0, 1, 0]) * heights[:, None, None]
    outward, upward = np.gradient(heights), -np.gradient(radii)
    normals = circle[None] * outward[:, None, None] + np.array([0, 1, 0]) * upward[:, None, None]
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    uv = np.stack(np.broadcast_arrays(2 * angle[None] / np.pi, heights[:, None]), -1)
    ring, place = np.meshgrid(np.arange(len(radii) - 1), np.arange(segments), indexing="ij")
    first = (ring * (segments + 1) + place).ravel()
    above = first + segments + 1
    triangles = np.concatenate([np.stack([first, first + 1, above], -1), np.stack([above, first + 1, above + 1], -1)])
    return positions.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), triangles


def ball() -> Solid:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 13)
    return turned(0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle))


def cylinder() -> Solid:
    # Points doubled at the edges keep the lids flat.
    return turned(np.array([0, 0.49, 0.5, 0.5, 0.5, 0.5, 0.49, 0]), np.array([0, 0, 0, 0.01, 0.99, 1, 1, 1]))


def cone() -> Solid:
    return turned(np.array([0.0, 0.5, 0.5, 0.25, 0.0]), np.array([0.0, 0.0, 0.0, 0.5, 1.0]))


SOLIDS = (box, ball, cylinder, cone)


def noise_picture(rng: np.random.Generator, size: int = 256, roughness: float = 0.6) -> np.ndarray:
    """Seamless coloured noise of several scales, uint8 [size, size, 3]."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size) * size, np.fft.fftfreq(size) * size))
    envelope = np.where(frequency > 0, np.maximum(frequency, 1.0) ** -(0.7 + 1.3 * roughness), 0)
    waves = 0.4 * rng.standard_normal((3, size, size)) + rng.standard_normal((1, size, size))
    field = np.fft.ifft2(np.fft.fft2(waves) * envelope).real
    field /= np.maximum(field.std((1, 2), keepdims=True), 1e-9)
    base, contrast = rng.uniform(70, 190) + rng.normal(0, 22, (3, 1, 1)), rng.uniform(12, 45)
    return np.clip(base + contrast * field, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def tile_picture(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """A seamless board of two colours, or stripes of them, with a little noise, uint8 [size, size, 3]."""
    cells = int(rng.choice([2, 4, 8]))
    place = np.arange(size) * cells // size
    pattern = (
        (place[:, None] + place[None]) % 2 if rng.random() < 0.6 else np.broadcast_to(place[:, None] % 2, (size, size))
    )
    dark, light = rng.uniform(40, 120) + rng.normal(0, 25, 3), rng.uniform(120, 220) + rng.normal(0, 20, 3)
    grain = noise_picture(rng, size).astype(np.float64) - 128
    return np.clip(np.where(pattern[..., None] == 1, dark, light) + 0.25 * grain, 0, 255).astype(np.uint8)


def hue_matrix(turn: float, saturation: float = 1.0, gain: float = 1.0) -> np.ndarray:
    """Linear RGB matrix [3, 3] that turns the hue (radians) about the grey axis, scales the saturation and multiplies the brightness."""
    grey = np.full((3, 3), 1 / 3)
    axis = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    rotation = grey + np.cos(turn) * (np.eye(3) - grey) + np.sin(turn) * axis
    return gain * (grey + saturation * (rotation - grey))
