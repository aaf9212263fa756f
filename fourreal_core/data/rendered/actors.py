"""What stands in a scene: animated models (Actor) and static solids (Prop), placed on the ground, and their surfaces at an instant. Next: scenes.py."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .gltf import Clip, Model, load_glb
from .render import Surface
from .shapes import SOLIDS, hue_matrix
from .skinning import pose, unit

TURN = 2 * np.pi
GAITS = ("walk", "run", "gallop", "swim")


@dataclass(frozen=True, eq=False)
class Actor:
    """A model that plays `clip` from `start` for `span` seconds (0: frozen) while it walks along `walk` [3] units and turns by `turn` radians.

    A vertex p of the model stands at rotate_y(yaw) (scale * p - anchor) + place, with one scale per axis [3]; `radius` is its horizontal
    reach round `place`.
    """

    model: Path
    hidden: tuple[str, ...]
    clip: str
    start: float
    span: float
    scale: np.ndarray
    anchor: np.ndarray
    place: np.ndarray
    yaw: float
    walk: np.ndarray
    turn: float
    tint_33: np.ndarray
    gloss: float
    height: float
    radius: float


@dataclass(frozen=True, eq=False)
class Prop:
    """A solid of shapes.SOLIDS: its size [3] in units, place, yaw, linear colour and texture."""

    solid: int
    size: np.ndarray
    place: np.ndarray
    yaw: float
    colour: np.ndarray
    texture: np.ndarray


@lru_cache(maxsize=64)
def open_model(path: Path) -> Model:
    return load_glb(path)


def turn_y(angle: float) -> np.ndarray:
    """Rotation matrix [3, 3] about Y that turns +Z towards +X."""
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def actor_surfaces(actor: Actor, s: float) -> list[Surface]:
    """The actor's surfaces at s in 0..1 of its time span, one per material."""
    model = open_model(actor.model).without(actor.hidden)
    positions_N3, normals_N3 = pose(model, model.clip(actor.clip), actor.start + s * actor.span)
    normals_N3 = unit(normals_N3 / actor.scale)
    rotation_33 = turn_y(actor.yaw + s * actor.turn)
    positions_N3 = (positions_N3 * actor.scale - actor.anchor) @ rotation_33.T + actor.place + s * actor.walk
    surfaces = []
    for texture in sorted({part.texture for part in model.parts}):
        triangles = np.concatenate(
            [model.triangles_M3[part.start : part.stop] for part in model.parts if part.texture == texture]
        )
        extra = {"texture": model.textures[texture]} if texture >= 0 else {}
        surfaces.append(
            Surface(
                positions_N3,
                normals_N3 @ rotation_33.T,
                model.colours_N3,
                model.uv_N2,
                triangles,
                tint_33=actor.tint_33,
                gloss=actor.gloss,
                **extra,
            )
        )
    return surfaces


def prop_surface(prop: Prop) -> Surface:
    positions_N3, normals_N3, uv_N2, triangles_M3 = SOLIDS[prop.solid]()
    rotation_33 = turn_y(prop.yaw)
    normals_N3 = unit(normals_N3 / prop.size)
    colours_N3 = np.tile(prop.colour, (len(positions_N3), 1))
    return Surface(
        (positions_N3 * prop.size) @ rotation_33.T + prop.place,
        normals_N3 @ rotation_33.T,
        colours_N3,
        uv_N2,
        triangles_M3,
        prop.texture,
    )


def random_hidden(rng: np.random.Generator, model: Model) -> tuple[str, ...]:
    """Names of props to hide: of the rigid meshes that hang on one node (a hand that holds every weapon of the set) at most one stays."""
    groups: dict[int, list[str]] = {}
    for node in sorted({part.node for part in model.parts if part.rigid}):
        groups.setdefault(model.nodes[node].parent, []).append(model.nodes[node].name)
    hidden: list[str] = []
    for names in groups.values():
        if len(names) > 1:
            keep = rng.integers(len(names) + 1)
            hidden += [name for index, name in enumerate(names) if index != keep]
    return tuple(hidden)


def clip_motion(model: Model, clip: Clip, start: float, span: float) -> float:
    """How far the fastest tenth of the vertices travels within the span, in units of the model's size."""
    shown = model.shown_vertices()
    moments = np.stack([pose(model, clip, start + s * span)[0][shown] for s in np.linspace(0, 1, 5)])
    travel = np.linalg.norm(np.diff(moments, axis=0), axis=-1).sum(0)
    size = np.linalg.norm(moments.max((0, 1)) - moments.min((0, 1)))
    return float(np.quantile(travel, 0.9) / max(size, 1e-6))


def place_actor(
    rng: np.random.Generator,
    file: Path,
    clip: Clip,
    hidden: tuple[str, ...],
    start: float,
    span: float,
    size: float,
    spot: np.ndarray,
) -> Actor:
    """Scales the model to a bounding diagonal of `size`, stands it on the ground at `spot` (x, z), or lets it swim, and gives it a way to go.

    Two times in three its build changes, taller or wider or longer: few models then make many.
    """
    model = open_model(file).without(hidden)
    shown = model.shown_vertices()
    played = np.concatenate([pose(model, clip, start + s * span)[0][shown] for s in np.linspace(0, 1, 4)])
    lowest = min(pose(model, clip, s * clip.duration)[0][shown, 1].min() for s in np.linspace(0, 1, 8))
    low, high = played.min(0), played.max(0)
    build = np.exp(rng.normal(0, 0.2, 3)) if rng.random() < 2 / 3 else np.ones(3)
    scale = build * size / float(np.linalg.norm((high - low) * build))
    anchor = np.array([(low[0] + high[0]) / 2, lowest, (low[2] + high[2]) / 2]) * scale
    lift = rng.uniform(0.1, 0.5) if "swim" in clip.name.lower() else 0.0
    yaw = float(rng.uniform(0, TURN))
    walks = span > 0 and rng.random() < (0.6 if any(gait in clip.name.lower() for gait in GAITS) else 0.1)
    speed = rng.uniform(0.2, 1.0) if walks else 0.0
    turn = float(rng.normal(0, 0.25)) if walks else 0.0
    walk = turn_y(yaw) @ np.array([0, 0, 1.0]) * size * speed * min(span, 0.6)
    tint = hue_matrix(
        rng.normal(0, 0.25) if rng.random() < 0.5 else rng.uniform(0, TURN),
        rng.uniform(0.6, 1.4),
        rng.uniform(0.8, 1.5),
    )
    return Actor(
        model=file, hidden=hidden, clip=clip.name, start=start, span=span, scale=scale, anchor=anchor, place=np.array([spot[0], lift, spot[1]]) - walk / 2,
        yaw=yaw, walk=walk, turn=turn, tint_33=tint, gloss=float(rng.choice([0, 0.1, 0.4])), height=float((high[1] - lowest) * scale[1]) + lift,
        radius=float(np.hypot(*((high - low) * scale)[[0, 2]]) / 2 + np.linalg.norm(walk) / 2),
    )  # fmt: skip
