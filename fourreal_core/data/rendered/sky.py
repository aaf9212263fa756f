"""Light from a Radiance .hdr panorama: reader, diffuse irradiance as nine spherical harmonics, brightest direction. Next: render.py.

World: Y up. A panorama is [H, W, 3] linear RGB; its top is +Y, and its horizontal centre looks along -Z, its right half along +X.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def read_hdr(path: str | Path) -> np.ndarray:
    """Reads a Radiance RGBE picture (flat or run-length coded) as float32 [H, W, 3], linear. Raises ValueError if it is none or cut."""
    path = Path(path)
    data = path.read_bytes()
    header_end = data.find(b"\n\n")
    size = data[header_end + 2 : data.find(b"\n", header_end + 2)].split()
    if not data.startswith(b"#?") or header_end < 0 or len(size) != 4 or size[0] != b"-Y" or size[2] != b"+X":
        raise ValueError(f"{path.name} is not a Radiance .hdr picture: choose an equirectangular .hdr file")
    height, width = int(size[1]), int(size[3])
    body = np.frombuffer(data, np.uint8, offset=data.find(b"\n", header_end + 2) + 1)
    try:
        rgbe = _decode_scanlines(body, height, width)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path.name} is truncated or damaged: copy or download it again") from error
    # Shared exponent with a bias of 128, mantissas of 8 bit (Ward, Graphics Gems II, "Real Pixels").
    scale = np.ldexp(np.float32(1), rgbe[..., 3].astype(np.int32) - 136)
    return np.where(rgbe[..., 3:] > 0, rgbe[..., :3] * scale[..., None], 0).astype(np.float32)


def _decode_scanlines(body: np.ndarray, height: int, width: int) -> np.ndarray:
    if not (8 <= width < 32768 and body[0] == 2 and body[1] == 2 and body[2] < 128):
        return body[: height * width * 4].reshape(height, width, 4)
    rgbe, at = np.empty((height, 4, width), np.uint8), 0
    for line in range(height):
        at += 4
        for channel in rgbe[line]:
            filled = 0
            while filled < width:
                count = int(body[at])
                if count > 128:
                    channel[filled : filled + count - 128] = body[at + 1]
                    at, filled = at + 2, filled + count - 128
                else:
                    channel[filled : filled + count] = body[at + 1 : at + 1 + count]
                    at, filled = at + 1 + count, filled + count
    return rgbe.transpose(0, 2, 1)


def panorama_directions(height: int, width: int) -> np.ndarray:
    """Unit world directions [H, W, 3] of the pixel centres of a panorama."""
    latitude = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    cosine = np.cos(latitude)[:, None]
    x, y, z = cosine * np.sin(longitude), np.sin(latitude)[:, None] * np.ones(width), -cosine * np.cos(longitude)
    return np.stack([x, y, z], -1)


def harmonics(directions: np.ndarray) -> np.ndarray:
    """The first nine real spherical harmonics [..., 9] of unit directions [..., 3]."""
    x, y, z = np.moveaxis(directions, -1, 0)
    one = np.ones_like(x)
    return np.stack([
        0.282095 * one, 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
        0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
    ], -1)  # fmt: skip


def irradiance_harmonics(panorama: np.ndarray) -> np.ndarray:
    """Coefficients [9, 3] of reflected light per unit of albedo: irradiance / pi = harmonics(normal) @ coefficients.

    Source: Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps" (2001): the cosine lobe scales the bands
    by pi, 2 pi / 3 and pi / 4.
    """
    height, width = panorama.shape[:2]
    directions = panorama_directions(height, width)
    solid_angle = (
        np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi)[:, None] * (np.pi / height) * (2 * np.pi / width)
    )
    radiance = np.einsum(
        "hwk,hwc,hw->kc", harmonics(directions), panorama, np.broadcast_to(solid_angle, (height, width)), optimize=True
    )
    return radiance * np.array([1, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25])[:, None]


def brightest_direction(panorama: np.ndarray) -> np.ndarray:
    """Unit direction [3] towards the brightest spot above the horizon, where the sun or the main lamp is."""
    height, width = panorama.shape[:2]
    upper = panorama[: height * 4 // 9].mean(-1)
    # Averaged over blocks, so that one hot pixel does not win.
    block = max(1, height // 64)
    lines, places = upper.shape[0] // block, width // block
    blocks = upper[: lines * block, : places * block].reshape(lines, block, places, block).mean((1, 3))
    line, place = np.unravel_index(np.argmax(blocks), blocks.shape)
    return panorama_directions(height, width)[line * block + block // 2, place * block + block // 2]
