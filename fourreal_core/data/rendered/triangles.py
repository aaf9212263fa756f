"""Which point of which triangle, or of the ground, every pixel shows: what exact depth, flow and motion are read from. Next: exact.py.

One ray through the middle of each pixel, where the pictures of render.py average over the pixel. World and cameras as there.
Legend: T times, N triangles with 3 corners, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .render import Renderer, matrix_bytes, projection

GROUND, SKY = -1, -2  # in place of a triangle's number
FAR_AWAY = 1e4  # depth that stands for infinity where a point is needed
GROUND_ENDS = 0.725  # share of the ground's radius at which it has half faded into the sky, see shaders.py

VERTEX = """#version 330
in vec3 position; in vec3 told;
uniform mat4 to_clip; uniform vec4 depth_row;
out vec3 v_told; out float v_depth;
void main() {
    v_told = told;
    v_depth = dot(depth_row, vec4(position, 1.0));
    gl_Position = to_clip * vec4(position, 1.0);
}
"""

FRAGMENT = """#version 330
in vec3 v_told; in float v_depth;
out vec4 pixel;
void main() { pixel = vec4(v_told, v_depth); }
"""


@dataclass(frozen=True, eq=False)
class Hits:
    """What the rays of one camera meet first."""

    triangle_HW: np.ndarray  # int32: number of the triangle, GROUND or SKY
    weights_HW3: np.ndarray  # how much of each of its corners the point is made of; they add up to 1
    depth_HW: np.ndarray  # along the view axis, infinite in the sky
    still_HW3: np.ndarray  # world points of ground and sky, which stay; the sky's are FAR_AWAY

    def points(self, triangles_N33: np.ndarray) -> np.ndarray:
        """World points [H, W, 3] that the pixels show, where the triangles [N, corners, 3] are at some time."""
        if not len(triangles_N33):
            return self.still_HW3
        corners = triangles_N33[np.clip(self.triangle_HW, 0, None)].astype(np.float64)
        points = np.einsum("hwk,hwki->hwi", self.weights_HW3, corners)
        return np.where((self.triangle_HW < 0)[..., None], self.still_HW3, points)


class TrianglePass:
    """Finds the hits of triangles at the size of a renderer, in its context, which must outlive it."""

    def __init__(self, renderer: Renderer):
        self.height, self.width, self.context = renderer.height, renderer.width, renderer.context
        with self.context:
            # Any: as in render.py
            self._program: Any = self.context.program(VERTEX, FRAGMENT)
            size = (self.width, self.height)
            self._target = self.context.framebuffer(
                [self.context.texture(size, 4, dtype="f4")], self.context.depth_texture(size)
            )

    def hits(
        self, triangles_N33: np.ndarray, ground_radius: float, world_to_camera_44: np.ndarray, intrinsics_33: np.ndarray
    ) -> Hits:
        """What one camera sees of triangles [N, corners, 3] in the world and of the ground round the origin (radius 0: none)."""
        pixels_HW4 = self._draw(triangles_N33, world_to_camera_44, intrinsics_33)
        drawn = pixels_HW4[..., 0] > 0
        depth = np.where(drawn, pixels_HW4[..., 3], np.inf).astype(np.float64)
        triangle = np.where(drawn, np.rint(pixels_HW4[..., 0]).astype(np.int32) - 1, SKY)
        first, second = pixels_HW4[..., 1], pixels_HW4[..., 2]
        eye, rays = self._rays(world_to_camera_44, intrinsics_33)
        ground_depth = _ground_depth(eye, rays, GROUND_ENDS * ground_radius)
        nearer = ground_depth < depth
        depth, triangle = np.where(nearer, ground_depth, depth), np.where(nearer, GROUND, triangle)
        still = eye + np.where(np.isfinite(depth), depth, FAR_AWAY)[..., None] * rays
        weights = np.stack([first, second, 1 - first - second], -1).astype(np.float64)
        return Hits(triangle.astype(np.int32), weights, depth, still)

    def _draw(self, triangles_N33: np.ndarray, world_to_camera_44: np.ndarray, intrinsics_33: np.ndarray) -> np.ndarray:
        """[H, W, 4]: number of the triangle from 1 (0: none), weights of its first two corners, depth."""
        told = np.zeros((len(triangles_N33), 3, 3), np.float32)
        told[:, :, 0] = np.arange(1, len(triangles_N33) + 1)[:, None]  # float32 counts to 16 million
        told[:, 0, 1] = told[:, 1, 2] = 1
        with self.context:
            self._target.use()
            self._target.clear(depth=1.0)
            self.context.enable_only(self.context.DEPTH_TEST)
            to_clip = projection(intrinsics_33, self.height, self.width) @ world_to_camera_44
            self._program["to_clip"].write(matrix_bytes(to_clip))
            self._program["depth_row"].value = tuple(world_to_camera_44[2])
            if len(triangles_N33):
                vertices = np.concatenate([triangles_N33, told], -1).astype("f4")
                buffer = self.context.buffer(vertices.tobytes())
                mesh = self.context.vertex_array(self._program, [(buffer, "3f 3f", "position", "told")])
                mesh.render()
                mesh.release()
                buffer.release()
            data = self._target.read(components=4, dtype="f4", alignment=1)
        return np.frombuffer(data, np.float32).reshape(self.height, self.width, 4)[::-1]

    def _rays(self, world_to_camera_44: np.ndarray, intrinsics_33: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(eye [3], rays [H, W, 3] in the world that advance by 1 along the view axis)."""
        centres = pixel_centres(self.height, self.width)
        homogeneous = np.concatenate([centres, np.ones_like(centres[..., :1])], -1)
        rays = homogeneous @ np.linalg.inv(intrinsics_33).T @ world_to_camera_44[:3, :3]
        return -world_to_camera_44[:3, :3].T @ world_to_camera_44[:3, 3], rays


def pixel_centres(height: int, width: int) -> np.ndarray:
    """[H, W, 2]: (x, y) of every pixel's centre, from 0.5."""
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)


def _ground_depth(eye_3: np.ndarray, rays_HW3: np.ndarray, radius: float) -> np.ndarray:
    """Depth [H, W] at which the rays meet the plane y = 0 within `radius` of the origin; infinite elsewhere."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = -eye_3[1] / rays_HW3[..., 1]
        points = eye_3 + depth[..., None] * rays_HW3
        met = (depth > 0) & (np.hypot(points[..., 0], points[..., 2]) < radius)
    return np.where(met, depth, np.inf)
