"""Random scenes by seed: animated models, props, light, ground and a camera arc; and their rendering as a V x T grid.

One seed is one scene, whatever machine draws it. Lengths are in units of the main model's size. Read `random_scene`, then `render_grid`.
Legend: V views, T times, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...grid import Cameras, FrameGrid
from .actors import (
    GAITS,
    TURN,
    Actor,
    Prop,
    actor_surfaces,
    clip_motion,
    open_model,
    place_actor,
    prop_surface,
    random_hidden,
)
from .camera_arc import CameraArc, in_the_way, random_arc, way_across_the_edge
from .render import Renderer, Stage
from .shapes import SOLIDS, ball, hue_matrix, noise_picture, tile_picture
from .sky import brightest_direction, harmonics, irradiance_harmonics, read_hdr

SHORTEST_CLIP = 0.2  # seconds; shorter ones are single poses
VISIBLE_MOTION, WILD_MOTION = 0.15, 0.6  # path of the fastest vertices within the grid, in units of the model's size


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that `render_grid` needs. actors[0] is the main model; `seconds` is the time from the first to the last frame."""

    seed: int
    actors: tuple[Actor, ...]
    props: tuple[Prop, ...]
    stage: Stage
    arc: CameraArc
    seconds: float

    @property
    def about(self) -> dict:
        """What the scene shows, as plain values for metadata."""
        first, last = self.arc.azimuth
        return {
            "seed": self.seed,
            "model": self.actors[0].model.stem,
            "clip": self.actors[0].clip,
            "others": [actor.model.stem for actor in self.actors[1:]],
            "seconds": round(self.seconds, 4),
            "arc_degrees": round(float(np.degrees(last - first)), 1),
        }


def render_grid(
    scene: Scene, views: int = 8, times: int = 8, height: int = 72, width: int = 128, renderer: Renderer | None = None
) -> FrameGrid:
    """The whole V x T grid of a scene as a FrameGrid with every cell known and its cameras, which all times share.

    Raises RendererUnavailable where OpenGL is missing, ValueError when `renderer` has another size.
    """
    frames, poses, intrinsics = render_frames(scene, views, times, height, width, renderer)
    return FrameGrid(
        frames=torch.from_numpy(frames).float() / 255,
        known=torch.ones(views, times, dtype=torch.bool),
        fps=max(times - 1, 1) / scene.seconds,
        cameras=Cameras(torch.from_numpy(poses).float(), torch.from_numpy(intrinsics).float()),
        provenance={"source": "rendered", **scene.about},
    )


def render_frames(
    scene: Scene, views: int, times: int, height: int, width: int, renderer: Renderer | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `render_grid`, but plain arrays: frames uint8 [V, T, H, W, 3], world-to-camera [V, 4, 4], intrinsics [V, 3, 3]."""
    if renderer is None:
        with Renderer(height, width) as own:
            return render_frames(scene, views, times, height, width, own)
    if (renderer.height, renderer.width) != (height, width):
        raise ValueError(
            f"expected a renderer for {width}x{height}, got one for {renderer.width}x{renderer.height}: make one for this size"
        )
    poses, intrinsics = scene.arc.cameras(views, height, width)
    props = [prop_surface(prop) for prop in scene.props]
    moments = []
    for s in np.linspace(0, 1, times) if times > 1 else [0.0]:
        surfaces = [surface for actor in scene.actors for surface in actor_surfaces(actor, s)]
        moments.append(renderer.render(surfaces + props, scene.stage, poses, intrinsics))
    return np.stack(moments, 1), poses, intrinsics


@lru_cache(maxsize=16)
def open_panorama(path: Path) -> np.ndarray:
    """A panorama scaled so that the light from it on a white ground is 1."""
    panorama = read_hdr(path)
    light = float((harmonics(np.array([0.0, 1.0, 0.0])) @ irradiance_harmonics(np.minimum(panorama, 50.0))).mean())
    return panorama / max(light, 1e-6)


@lru_cache(maxsize=64)
def open_picture(path: Path) -> np.ndarray:
    """An sRGB picture, uint8 [h, w, 3]."""
    return np.asarray(Image.open(path).convert("RGB"))


def random_scene(
    seed: int, models: Sequence[str | Path], environments: str | Path, main: str | Path | None = None
) -> Scene:
    """A scene that depends on its arguments only.

    models: the .glb files that may appear; environments: a folder with .hdr panoramas and ground_*.jpg pictures (any number of
    them); main: the model in the middle, chosen from `models` when None. Raises ValueError when files are missing or the main model has no clip.
    """
    files = sorted(Path(model) for model in models)
    if not files:
        raise ValueError("expected at least one model file, got none: pass .glb files")
    rng = np.random.default_rng(seed)
    chosen = Path(main) if main is not None else files[rng.integers(len(files))]
    seconds = float(rng.uniform(0.3, 1.2))
    actor, seconds = random_main(rng, chosen, seconds)
    arc = random_arc(rng, float(actor.place[1]), actor.height, actor.radius)
    actors, taken = [actor], [(actor.place[[0, 2]], actor.radius)]
    for _ in range(int(rng.choice([0, 1, 2], p=[0.1, 0.5, 0.4]))):
        make = random_passer if rng.random() < 0.4 else random_other
        other = make(rng, files[rng.integers(len(files))], seconds, arc, taken)
        actors += [other] if other else []
    props = random_props(rng, arc, taken)
    return Scene(seed, tuple(actors), props, random_stage(rng, Path(environments)), arc, seconds)


def random_main(rng: np.random.Generator, file: Path, seconds: float) -> tuple[Actor, float]:
    """An actor in the middle whose motion shows: clips that move too little are drawn again, spans that move too much are cut."""
    model = open_model(file)
    clips = [clip for clip in model.clips if clip.duration >= SHORTEST_CLIP]
    if not clips:
        raise ValueError(f"{model.name} has no animation of at least {SHORTEST_CLIP} s: choose an animated model")
    tries = []
    for _ in range(8):
        clip = clips[rng.integers(len(clips))]
        hidden = random_hidden(rng, model)
        span = min(seconds, clip.duration)
        start = float(rng.uniform(0, clip.duration - span))
        movement = clip_motion(model.without(hidden), clip, start, span)
        span = span * float(np.clip(WILD_MOTION / max(movement, 1e-6), 0.3, 1.0))
        tries.append((movement, clip, hidden, start, span))
        if movement > VISIBLE_MOTION:
            break
    _, clip, hidden, start, span = max(tries, key=lambda one: one[0])
    return place_actor(rng, file, clip, hidden, start, span, size=1.0, spot=np.zeros(2)), span


def free_spot(
    rng: np.random.Generator, radius: float, reach: tuple[float, float], arc: CameraArc, taken: list
) -> np.ndarray | None:
    """A place (x, z) within `reach` of the middle that hits nothing in `taken` and blocks no camera, or None after 12 tries."""
    for _ in range(12):
        angle, distance = rng.uniform(0, TURN), rng.uniform(*reach)
        spot = distance * np.array([np.sin(angle), np.cos(angle)])
        if in_the_way(spot, radius, arc) or any(
            np.linalg.norm(spot - place) < radius + other for place, other in taken
        ):
            continue
        taken.append((spot, radius))
        return spot
    return None


def random_other(rng: np.random.Generator, file: Path, seconds: float, arc: CameraArc, taken: list) -> Actor | None:
    """A second model beside the main one, one time in four frozen; None when there is no room."""
    model = open_model(file)
    clips = [clip for clip in model.clips if clip.duration >= SHORTEST_CLIP]
    size = float(rng.uniform(0.4, 1.2))
    spot = free_spot(rng, 0.45 * size, (0.5, 2.2), arc, taken)
    if spot is None or not clips:
        return None
    clip = clips[rng.integers(len(clips))]
    span = min(seconds, clip.duration) if rng.random() < 0.75 else 0.0
    return place_actor(
        rng, file, clip, random_hidden(rng, model), float(rng.uniform(0, clip.duration - span)), span, size, spot
    )


def random_passer(rng: np.random.Generator, file: Path, seconds: float, arc: CameraArc, taken: list) -> Actor | None:
    """A model that walks into the picture or out of it; None when there is no room."""
    model = open_model(file)
    clips = [clip for clip in model.clips if clip.duration >= SHORTEST_CLIP]
    clips = [clip for clip in clips if any(gait in clip.name.lower() for gait in GAITS)] or clips
    if not clips:
        return None
    clip = clips[rng.integers(len(clips))]
    size, span = float(rng.uniform(0.3, 0.7)), min(seconds, clip.duration)
    start = float(rng.uniform(0, clip.duration - span))
    standing = replace(
        place_actor(rng, file, clip, random_hidden(rng, model), start, span, size, np.zeros(2)), turn=0.0
    )
    body = standing.radius - np.linalg.norm(standing.walk) / 2
    for _ in range(12):
        (x, z), walk = way_across_the_edge(rng, arc, body)
        reach = body + np.linalg.norm(walk) / 2
        if in_the_way(np.array([x, z]), reach, arc) or any(
            np.hypot(x - place[0], z - place[1]) < reach + other for place, other in taken
        ):
            continue
        taken.append((np.array([x, z]), reach))
        begin, way = np.array([x, 0, z]) - np.array([walk[0], 0, walk[1]]) / 2, np.array([walk[0], 0, walk[1]])
        lift = np.array([0, standing.place[1] + standing.walk[1] / 2, 0])
        return replace(
            standing, place=begin + lift, walk=way, yaw=float(np.arctan2(walk[0], walk[1])), radius=float(reach)
        )
    return None


def random_props(rng: np.random.Generator, arc: CameraArc, taken: list) -> tuple[Prop, ...]:
    """Up to nine solids: small ones near, large ones far."""
    props = []
    for _ in range(int(rng.integers(0, 10))):
        far = rng.random() < 0.5
        size = rng.uniform(0.4, 1.8, 3) if far else rng.uniform(0.08, 0.45, 3)
        solid = int(rng.integers(len(SOLIDS)))
        if SOLIDS[solid] is ball:
            size = np.full(3, size[0])
        spot = free_spot(rng, 0.6 * float(max(size[0], size[2])), (2.0, 5.5) if far else (0.4, 2.5), arc, taken)
        if spot is None:
            continue
        texture = noise_picture(rng, 64) if rng.random() < 0.6 else tile_picture(rng, 64)
        place = np.array([spot[0], 0.0, spot[1]])
        props.append(Prop(solid, size, place, float(rng.uniform(0, TURN)), rng.uniform(0.15, 1.0, 3), texture))
    return tuple(props)


def random_stage(rng: np.random.Generator, folder: Path) -> Stage:
    """Sky, sun and ground. The sun stands at the panorama's brightest spot, or two times in five anywhere."""
    skies, grounds = sorted(folder.glob("*.hdr")), sorted(folder.glob("ground_*.jpg"))
    if not skies:
        raise ValueError(f"found no .hdr panoramas in {folder}: pass the folder that contains them")
    panorama = open_panorama(skies[rng.integers(len(skies))])
    sky_turn = float(rng.uniform(0, TURN))
    x, y, z = brightest_direction(panorama)
    sun = np.array([np.cos(sky_turn) * x + np.sin(sky_turn) * z, y, np.cos(sky_turn) * z - np.sin(sky_turn) * x])
    if rng.random() < 0.4:
        angle = rng.uniform(0, TURN)
        sun = np.array([np.sin(angle), rng.uniform(0.5, 2.0), np.cos(angle)])
    sun[1] = max(sun[1], 0.3)
    exposure = rng.uniform(0.45, 1.0)
    strength = rng.choice([0.15, 0.7, 1.3], p=[0.2, 0.4, 0.4]) * exposure
    ground = random_ground(rng, grounds)
    return Stage(
        panorama=panorama,
        sun_direction=sun / np.linalg.norm(sun),
        sun_colour=strength * (1 + rng.uniform(-0.25, 0.25) * np.array([1, 0, -1])),
        ground=ground,
        sky_turn=sky_turn,
        sky_gain=exposure * random_sky_tint(rng),
        ground_tile=float(rng.uniform(0.8, 4.0)),
        ground_turn=float(rng.uniform(0, TURN)),
        ground_tint=rng.uniform(0.4, 1.0) * (1 + rng.normal(0, 0.1, 3)),
        ground_radius=float(rng.uniform(6, 16)),
    )


def random_sky_tint(rng: np.random.Generator) -> np.ndarray:
    """Factors [3] of red, green and blue round 1: half the skies keep their colour."""
    if rng.random() < 0.5:
        return np.ones(3)
    tint = hue_matrix(rng.uniform(0, TURN)) @ (1 + rng.uniform(0.05, 0.3) * np.array([1.0, 0.0, -1.0]))
    return tint / tint.mean()


def random_ground(rng: np.random.Generator, files: Sequence[Path]) -> np.ndarray:
    """A ground picture uint8 [h, w, 3]: three times in five one of the files, else noise, tiles or plain grey."""
    kind = rng.random()
    if files and kind < 0.6:
        return open_picture(files[int(rng.integers(len(files)))])
    if kind < 0.8:
        return noise_picture(rng)
    return tile_picture(rng) if kind < 0.93 else np.full((1, 1, 3), 170, np.uint8)
