"""Draws surfaces, ground and sky from exact OpenCV cameras with moderngl on EGL (software Mesa is enough). Next: scenes.py chooses what to draw.

World: Y up, any unit. Camera: x right, y down, z forward; pixel (i, j) covers i..i+1, j..j+1, so its centre is at +0.5 and K scales with the picture.
Legend: V views, N vertices, M triangles, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .shaders import (
    GROUND_FRAGMENT,
    GROUND_VERTEX,
    SHADOW_FRAGMENT,
    SHADOW_VERTEX,
    SKY_FRAGMENT,
    SKY_VERTEX,
    SURFACE_FRAGMENT,
    SURFACE_VERTEX,
)
from .sky import irradiance_harmonics

NEAR, FAR = 0.02, 200.0
SUPERSAMPLING = 2
SHADOW_SIZE = 1024
WHITE = np.full((1, 1, 3), 255, np.uint8)


class RendererUnavailable(RuntimeError):
    """No OpenGL context can be made on this machine. Callers that can do without rendered grids use pseudo4d instead."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh in world space; colours linear RGB 0..1 [N, 3], texture uint8 sRGB [h, w, 3] multiplies them, `tint` [3, 3] then mixes the channels."""

    positions_N3: np.ndarray
    normals_N3: np.ndarray
    colours_N3: np.ndarray
    uv_N2: np.ndarray
    triangles_M3: np.ndarray
    texture: np.ndarray = field(default_factory=lambda: WHITE)
    tint_33: np.ndarray = field(default_factory=lambda: np.eye(3))
    gloss: float = 0.0


@dataclass(frozen=True, eq=False)
class Stage:
    """What stays: sky, light and ground.

    panorama: linear RGB [h, w, 3]; sky_turn: its rotation about Y in radians; sky_gain: multiplies it as light and as background, one factor or [3];
    sun_direction [3]: unit vector in the world towards the sun; sun_colour [3]: light reflected by a white surface that faces it;
    ground: uint8 sRGB [h, w, 3], repeated every `ground_tile` units, turned by `ground_turn` radians, times `ground_tint` [3];
    ground_radius: where the ground has faded into the sky.
    """

    panorama: np.ndarray
    sun_direction: np.ndarray
    sun_colour: np.ndarray
    ground: np.ndarray
    sky_turn: float = 0.0
    sky_gain: float | np.ndarray = 1.0
    ground_tile: float = 1.0
    ground_turn: float = 0.0
    ground_tint: np.ndarray = field(default_factory=lambda: np.ones(3))
    ground_radius: float = 12.0
    shadow_radius: float = 4.0


def projection(intrinsics_33: np.ndarray, height: int, width: int) -> np.ndarray:
    """OpenGL clip matrix [4, 4] of an OpenCV camera: x_clip = projection @ world_to_camera @ x_world."""
    fx, fy, cx, cy, skew = (
        intrinsics_33[0, 0],
        intrinsics_33[1, 1],
        intrinsics_33[0, 2],
        intrinsics_33[1, 2],
        intrinsics_33[0, 1],
    )
    depth_scale, depth_offset = (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    return np.array([
        [2 * fx / width, 2 * skew / width, 2 * cx / width - 1, 0],
        [0, -2 * fy / height, 1 - 2 * cy / height, 0],
        [0, 0, depth_scale, depth_offset],
        [0, 0, 1, 0],
    ])  # fmt: skip


def look_at(eye_3: np.ndarray, target_3: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """OpenCV world-to-camera matrix [4, 4] of a camera at `eye` that sees `target` in the middle; roll in radians about the view axis."""
    forward = (target_3 - eye_3) / np.linalg.norm(target_3 - eye_3)
    upright = (0.0, 1.0, 0.0) if abs(forward[1]) < 0.9999 else (0.0, 0.0, 1.0)
    right = np.cross(forward, upright)
    right = right / np.linalg.norm(right)
    down = np.cross(forward, right)
    matrix = np.eye(4)
    matrix[0, :3] = np.cos(roll) * right + np.sin(roll) * down
    matrix[1, :3] = np.cos(roll) * down - np.sin(roll) * right
    matrix[2, :3] = forward
    matrix[:3, 3] = -matrix[:3, :3] @ eye_3
    return matrix


class Renderer:
    """An OpenGL context with the programs and targets for one picture size. Use as a context manager, or call close().

    Raises RendererUnavailable where EGL or its drivers are missing.
    """

    def __init__(self, height: int, width: int, supersampling: int = SUPERSAMPLING):
        self.height, self.width, self.supersampling = height, width, supersampling
        self.context = _open_context()
        large = (width * supersampling, height * supersampling)
        self._depth = self.context.depth_texture(large)
        self._target = self.context.framebuffer([self.context.texture(large, 3)], self._depth)
        self._shadow = self.context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self._shadow.compare_func = "<="
        self._shadow_target = self.context.framebuffer(depth_attachment=self._shadow)
        # Any: the members that are used are uniforms, which the types of moderngl cannot tell from attributes
        self._surface: Any = self.context.program(SURFACE_VERTEX, SURFACE_FRAGMENT)
        self._cast: Any = self.context.program(SHADOW_VERTEX, SHADOW_FRAGMENT)
        self._ground: Any = self.context.program(GROUND_VERTEX, GROUND_FRAGMENT)
        self._sky: Any = self.context.program(SKY_VERTEX, SKY_FRAGMENT)
        corners = self.context.buffer(np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32).tobytes())
        self._sky_quad = self.context.vertex_array(self._sky, [(corners, "2f", "corner")])
        self._ground_quad = self.context.vertex_array(self._ground, [(corners, "2f", "corner")])
        self._stage: Stage | None = None
        self._textures: dict[int, tuple[np.ndarray, Any]] = {}

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the context and everything in it."""
        self.context.release()

    def render(
        self, surfaces: Sequence[Surface], stage: Stage, world_to_camera_V44: np.ndarray, intrinsics_V33: np.ndarray
    ) -> np.ndarray:
        """Pictures uint8 sRGB [V, H, W, 3] of one instant from V cameras."""
        return self.render_with_depth(surfaces, stage, world_to_camera_V44, intrinsics_V33, with_depth=False)[0]

    def render_with_depth(
        self,
        surfaces: Sequence[Surface],
        stage: Stage,
        world_to_camera_V44: np.ndarray,
        intrinsics_V33: np.ndarray,
        *,
        with_depth: bool = True,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `render`, and the depth along the view axis [V, H, W], infinite in the sky: the nearest of the samples of each pixel."""
        pictures, depths = [], []
        with self.context:  # makes it the current one, whatever other renderers did in between
            self._use_stage(stage)
            light_44 = _light_matrix(stage)
            meshes = [self._upload(surface) for surface in surfaces]
            self._draw_shadows(meshes, light_44)
            for world_to_camera_44, intrinsics_33 in zip(world_to_camera_V44, intrinsics_V33, strict=True):
                self._draw_view(
                    surfaces,
                    meshes,
                    stage,
                    light_44,
                    world_to_camera_44,
                    projection(intrinsics_33, self.height, self.width),
                )
                pictures.append(self._read_picture())
                if with_depth:
                    depths.append(self._read_depth())
            for mesh in meshes:
                for part in mesh:
                    part.release()
        return np.stack(pictures), np.stack(depths) if with_depth else None

    # ------------------------------------------------------------------------------------------------------------ passes

    def _draw_shadows(self, meshes: list, light_44: np.ndarray) -> None:
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        self.context.enable_only(self.context.DEPTH_TEST)
        self._cast["to_light"].write(matrix_bytes(light_44))
        for _, cast, *_ in meshes:
            cast.render()

    def _draw_view(
        self,
        surfaces: Sequence[Surface],
        meshes: list,
        stage: Stage,
        light_44: np.ndarray,
        w2c_44: np.ndarray,
        projection_44: np.ndarray,
    ) -> None:
        self._target.use()
        self._target.clear(depth=1.0)
        to_clip = projection_44 @ w2c_44
        eye = -w2c_44[:3, :3].T @ w2c_44[:3, 3]
        self.context.enable_only(self.context.NOTHING)
        self._sky["to_world"].write(matrix_bytes(np.linalg.inv(projection_44[[0, 1, 3]][:, :3] @ w2c_44[:3, :3])))
        self._sky_quad.render(self.context.TRIANGLE_STRIP)
        self.context.enable_only(self.context.DEPTH_TEST)
        self._shadow.use(location=1)
        for program in (self._surface, self._ground):
            program["to_clip"].write(matrix_bytes(to_clip))
            program["to_light"].write(matrix_bytes(light_44))
        self._surface["eye"].value = tuple(eye)
        for surface, (shaded, *_) in zip(surfaces, meshes, strict=True):
            self._texture_of(surface.texture).use(location=0)
            self._surface["tint"].write(matrix_bytes(surface.tint_33))
            self._surface["gloss"].value = surface.gloss
            shaded.render()
        self._texture_of(stage.ground).use(location=0)
        self.context.enable_only(self.context.DEPTH_TEST | self.context.BLEND)
        self._ground_quad.render(self.context.TRIANGLE_STRIP)

    def _read_picture(self) -> np.ndarray:
        s = self.supersampling
        large = np.frombuffer(self._target.read(components=3, alignment=1), np.uint8).reshape(
            self.height, s, self.width, s, 3
        )
        total = large.astype(np.uint16).sum((1, 3))
        return ((total + s * s // 2) // (s * s)).astype(np.uint8)[::-1]

    def _read_depth(self) -> np.ndarray:
        s = self.supersampling
        buffer = (
            np.frombuffer(self._depth.read(alignment=1), np.float32)
            .reshape(self.height, s, self.width, s)
            .min((1, 3))[::-1]
        )
        with np.errstate(divide="ignore"):
            return np.where(buffer < 1, 2 * FAR * NEAR / (FAR + NEAR - (2 * buffer - 1) * (FAR - NEAR)), np.inf)

    # ----------------------------------------------------------------------------------------------------------- uploads

    def _use_stage(self, stage: Stage) -> None:
        """Uploads sky and ground once per stage, and sets what all views share."""
        if stage is self._stage:
            return
        self._stage = stage
        for _, texture in self._textures.values():
            texture.release()
        self._textures = {}
        harmonics = (irradiance_harmonics(np.minimum(stage.panorama, 50.0)) * stage.sky_gain).astype("f4")
        for program in (self._surface, self._ground):
            program["harmonics"].write(harmonics.tobytes())
            program["sun_direction"].value = tuple(stage.sun_direction)
            program["sun_colour"].value = tuple(stage.sun_colour)
            program["albedo"].value, program["shadow"].value = 0, 1
        self._surface["turn"].value = stage.sky_turn  # the ground looks straight up, where turning changes nothing
        self._sky["panorama"].value, self._sky["turn"].value, self._sky["gain"].value = (
            2,
            stage.sky_turn,
            tuple(np.broadcast_to(stage.sky_gain, 3)),
        )
        self._ground["tile"].value, self._ground["ground_turn"].value = stage.ground_tile, stage.ground_turn
        self._ground["ground_tint"].value, self._ground["radius"].value = tuple(stage.ground_tint), stage.ground_radius
        height, width = stage.panorama.shape[:2]
        sky = self.context.texture(
            (width, height), 3, np.minimum(stage.panorama, 100.0).astype("f2").tobytes(), dtype="f2", alignment=1
        )
        sky.repeat_y = False
        sky.use(location=2)
        self._textures[id(stage.panorama)] = (stage.panorama, sky)

    def _texture_of(self, pixels: np.ndarray):
        """The texture of a picture, uploaded at its first use on a stage. The picture is kept, so that its id stays its own."""
        if id(pixels) not in self._textures:
            height, width = pixels.shape[:2]
            texture = self.context.texture((width, height), 3, np.ascontiguousarray(pixels).tobytes(), alignment=1)
            texture.build_mipmaps()
            texture.filter = (self.context.LINEAR_MIPMAP_LINEAR, self.context.LINEAR)
            texture.anisotropy = 4.0
            self._textures[id(pixels)] = (pixels, texture)
        return self._textures[id(pixels)][1]

    def _upload(self, surface: Surface) -> tuple:
        vertices = np.concatenate(
            [surface.positions_N3, surface.normals_N3, surface.colours_N3, surface.uv_N2], 1
        ).astype("f4")
        vertex_buffer = self.context.buffer(vertices.tobytes())
        index_buffer = self.context.buffer(surface.triangles_M3.astype("i4").tobytes())
        shaded = self.context.vertex_array(
            self._surface, [(vertex_buffer, "3f 3f 3f 2f", "position", "normal", "colour", "uv")], index_buffer
        )
        cast = self.context.vertex_array(self._cast, [(vertex_buffer, "3f 32x", "position")], index_buffer)
        return shaded, cast, vertex_buffer, index_buffer


def _open_context() -> Any:
    try:
        import moderngl
    except ImportError as error:
        raise RendererUnavailable("rendering needs the Python package moderngl: pip install moderngl") from error
    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)  # pyright: ignore[reportArgumentType]
    except Exception as error:  # glcontext raises this very class for a missing library, device or driver
        raise RendererUnavailable(
            f"cannot create an OpenGL 3.3 context through EGL ({error}): install libegl1 and libgl1-mesa-dri "
            "(Debian package names)"
        ) from error


def _light_matrix(stage: Stage) -> np.ndarray:
    """Orthographic world-to-clip matrix [4, 4] of the sun round the origin; depth reaches further than the sides to catch tall objects."""
    direction = np.asarray(stage.sun_direction, np.float64)
    matrix = look_at(direction * 1.0, np.zeros(3))
    scale = np.diag([1 / stage.shadow_radius, 1 / stage.shadow_radius, 1 / (3 * stage.shadow_radius), 1.0])
    matrix[2, 3] = 0.0
    return scale @ matrix


def matrix_bytes(matrix: np.ndarray) -> bytes:
    """A matrix as OpenGL reads it: transposed."""
    return np.ascontiguousarray(matrix.T, dtype="f4").tobytes()
