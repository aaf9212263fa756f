"""A picture of a camera path: from above, from the side, and in numbers. Drawn with Pillow alone.

Letters: V views, P points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..grid import Cameras

PAPER, INK, FAINT, SCENE = (250, 250, 248), (40, 40, 44), (205, 205, 205), (120, 130, 150)
FIRST, LAST, GUESSED = (31, 90, 170), (214, 94, 20), (190, 30, 50)
SHARPER = 2  # everything is drawn this much larger and scaled down, which smooths the lines
MOST_POINTS = 4000
MARGIN = 30  # pixels round each drawing


def draw_camera_path(
    cameras: Cameras,
    size: tuple[int, int],
    points: Tensor | None = None,
    *,
    guessed: Sequence[int] = (),
    caption: str = "",
    width: int = 1024,
) -> Tensor:
    """float32 [H', width, 3] in 0..1: the path from above (left) and from the side (right), with what each camera sees.

    cameras: of V views; size: (height, width) of the cells, for the frusta. points [P, 3]: of the scene, in the world of
    the cameras. guessed: views, from 0, that are drawn dashed in red. Numbers of views are counted from 1; the first view
    is blue, the last one orange. Raises ValueError on a width below 256.
    """
    if width < 256:
        raise ValueError(f"expected a picture at least 256 pixels wide, got {width}.")
    world = _upright(cameras)
    sight = _frusta(cameras, size) @ world.T
    cloud = np.zeros((0, 3)) if points is None or len(points) == 0 else _thinned(points.double().numpy()) @ world.T
    cloud = _near(cloud, sight[:, 0])
    height = width * 9 // 16
    picture = Image.new("RGB", (width * SHARPER, height * SHARPER), PAPER)
    draw = ImageDraw.Draw(picture)
    half, top = width // 2, 30
    sight, cloud = sight * [1, 1, -1], cloud * [1, 1, -1]  # forward is drawn upwards, or to the left in the side view
    for left, title, axes in ((0, "from above", (0, 2)), (half, "from the side", (2, 1))):
        box = (left + MARGIN, top + MARGIN, left + half - MARGIN, height - MARGIN - 22)
        place = _placed(np.concatenate([sight.reshape(-1, 3), cloud])[:, axes], box)
        _draw_points(draw, place(cloud[:, axes]))
        _draw_cameras(draw, place(sight[..., axes].reshape(-1, 2)).reshape(len(sight), 5, 2), set(guessed))
        draw.text((SHARPER * (left + 14), SHARPER * 10), title, INK, _font(15))
    draw.line([(SHARPER * half, SHARPER * 12), (SHARPER * half, SHARPER * (height - 30))], FAINT, SHARPER)
    if caption:
        draw.text((SHARPER * 14, SHARPER * (height - 26)), caption, INK, _font(13))
    small = picture.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small).copy()).float() / 255


def _upright(cameras: Cameras) -> np.ndarray:
    """Rotation [3, 3] into a frame with x right, y down and z forward of the mean camera: pictures stand upright."""
    axes = cameras.world_to_camera[:, :3, :3].double().mean(0).numpy()
    left, _, right = np.linalg.svd(axes)
    return left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right


def _frusta(cameras: Cameras, size: tuple[int, int]) -> np.ndarray:
    """[V, 5, 3]: each camera's place and the corners of its picture, as far ahead as a fifth of the path is long."""
    height, width = size
    back = torch.linalg.inv(cameras.world_to_camera.double())
    corners = torch.tensor([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=torch.float64)
    rays = torch.linalg.inv(cameras.intrinsics.double()) @ corners.T
    reach = 0.2 * (back[:, None, :3, 3] - back[None, :, :3, 3]).norm(dim=-1).max().item() or 0.2
    ends = back[:, :3, :3] @ (reach * rays) + back[:, :3, 3:]
    return torch.cat([back[:, None, :3, 3], ends.transpose(1, 2)], 1).numpy()


def _thinned(points: np.ndarray) -> np.ndarray:
    return points[:: max(1, -(-len(points) // MOST_POINTS))]


def _near(cloud: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Without the points that lie so far away that the path would be drawn as a dot."""
    if len(cloud) == 0:
        return cloud
    distance = np.linalg.norm(cloud - eyes.mean(0), axis=1)
    return cloud[distance <= 2.5 * np.median(distance)]


def _placed(points: np.ndarray, box: tuple[int, int, int, int]):
    """place(points [N, 2]) -> pixels [N, 2] of the large drawing: everything fits into `box`, both axes at one scale."""
    left, top, right, bottom = box
    low, high = points.min(0), points.max(0)
    scale = min((right - left) / max(high[0] - low[0], 1e-9), (bottom - top) / max(high[1] - low[1], 1e-9))
    middle = (low + high) / 2

    def place(given: np.ndarray) -> np.ndarray:
        return SHARPER * ((given - middle) * scale + [(left + right) / 2, (top + bottom) / 2])

    return place


def _draw_points(draw: ImageDraw.ImageDraw, places: np.ndarray) -> None:
    for x, y in places:
        draw.ellipse([x - SHARPER, y - SHARPER, x + SHARPER, y + SHARPER], SCENE)


def _draw_cameras(draw: ImageDraw.ImageDraw, places: np.ndarray, guessed: set[int]) -> None:
    """places [V, 5, 2]: eye and corners of every camera in pixels."""
    draw.line([tuple(eye) for eye in places[:, 0]], FAINT, 2 * SHARPER)
    each = max(1, len(places) // 12)
    taken: list[np.ndarray] = []
    for view, (eye, *corners) in enumerate(places):
        share = view / max(len(places) - 1, 1)
        colour = GUESSED if view in guessed else tuple(round(a + share * (b - a)) for a, b in zip(FIRST, LAST))
        for corner, after in zip(corners, [*corners[1:], corners[0]]):
            draw.line([tuple(eye), tuple(corner), tuple(after)], colour, SHARPER)
        dot = 3 * SHARPER
        draw.ellipse(
            [eye[0] - dot, eye[1] - dot, eye[0] + dot, eye[1] + dot], PAPER if view in guessed else colour, colour
        )
        label = eye + (eye - np.mean(corners, 0)) / max(np.linalg.norm(eye - np.mean(corners, 0)), 1) * 13 * SHARPER
        last = view == len(places) - 1
        if (view % each == 0 or last) and all(np.linalg.norm(label - other) > 14 * SHARPER for other in taken):
            draw.text(tuple(label), str(view + 1), colour, _font(13), anchor="mm")
            taken.append(label)


def _font(size: int):
    return ImageFont.load_default(size=size * SHARPER)
