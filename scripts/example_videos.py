"""Renders the example videos of example_inputs/: a T-rex that breathes in front of a mage, in a clearing.

python scripts/example_videos.py --data DIR --output example_inputs

DIR holds glb/ and props/ with the models and env/ with sky and ground; example_inputs/README.md says where they come from.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image

from fourreal_core.data.rendered.actors import open_model, turn_y
from fourreal_core.data.rendered.camera_arc import CameraArc
from fourreal_core.data.rendered.render import Renderer, RendererUnavailable, Stage, Surface
from fourreal_core.data.rendered.scenes import open_panorama, open_picture
from fourreal_core.data.rendered.skinning import pose
from fourreal_core.files.video import write_video

HEIGHT, WIDTH, SUPERSAMPLING = 288, 512, 3
FRAMES, FPS = 36, 24


@dataclass(frozen=True)
class Placed:
    """A model that stands at (x, z) of the ground, `height` units high, turned by `yaw` degrees, and plays `clip` from `start` for `span` seconds.

    None: it stands still. gain: of red, green and blue.
    """

    file: str
    at: tuple[float, float]
    height: float
    yaw: float = 0.0
    clip: str | None = None
    start: float = 0.0
    span: float = 0.0
    hidden: tuple[str, ...] = ()
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)


TREE, BARE_TREE = "props/quaternius_nature_PineTree_Autumn_2.glb", "props/quaternius_nature_CommonTree_Dead_2.glb"
PLANT, MUSHROOM = "props/quaternius_nature_Plant_5.glb", "props/quaternius_crops_Mushroom_Crop.glb"
SCENE = (
    Placed("glb/quaternius_Trex.glb", (-0.3, -0.3), 1.3, 62, "Armature|TRex_Idle", 0.75, 0.95, gain=(0.9, 1.35, 1.1)),
    Placed(
        "glb/kaykit_Mage.glb",
        (0.7, 0.22),
        0.72,
        -50,
        "Spellcasting",
        0.1,
        0.3,
        hidden=("Spellbook", "Spellbook_open", "1H_Wand"),
    ),
    Placed(TREE, (-2.5, -3.6), 3.0),
    Placed(TREE, (-0.35, -5.0), 3.0, 70),
    Placed(TREE, (3.8, -4.2), 3.0, 160),
    Placed(BARE_TREE, (2.9, -2.6), 3.4, 40),
    Placed(PLANT, (1.15, 0.5), 0.32),
    Placed(PLANT, (-1.5, -0.9), 0.42, 80),
    Placed(PLANT, (-0.55, 0.75), 0.24, 150),
    Placed(MUSHROOM, (-1.2, 0.35), 0.2, 30),
    Placed(MUSHROOM, (1.75, -0.9), 0.26, 130),
    Placed(MUSHROOM, (0.35, -1.7), 0.3, 200),
)
ARC = CameraArc(
    target=(0.05, 0.54, -0.1),
    azimuth=(np.radians(-20), np.radians(30)),
    elevation=(np.radians(12), np.radians(15)),
    distance=(4.5, 4.3),
    zoom=(1.0, 1.0),
    field=np.radians(26),
    jitter=((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    roll=(0.0, 0.0),
)


def clearing(env: Path) -> Stage:
    sun = np.array([0.55, 0.9, 0.7])
    return Stage(
        panorama=open_panorama(env / "forest_slope_1k.hdr"),
        sun_direction=sun / np.linalg.norm(sun),
        sun_colour=1.68 * np.array([1.08, 1.0, 0.9]),
        ground=open_picture(env / "ground_Grass001_512.jpg"),
        sky_turn=np.radians(120),
        sky_gain=1.05,
        ground_tile=2.6,
        ground_tint=np.array([1.0, 0.84, 0.7]),
        ground_radius=17.0,
    )


def surfaces_of(data: Path, placed: Placed) -> Callable[[float], list[Surface]]:
    """Its surfaces at s in 0..1 of the time span, one per material."""
    model = open_model(data / placed.file).without(placed.hidden)
    clip = model.clip(placed.clip) if placed.clip else None
    shown = model.shown_vertices()
    played = np.concatenate([pose(model, clip, placed.start + s * placed.span)[0][shown] for s in (0, 0.5, 1)])
    low, high = played.min(0), played.max(0)
    scale = placed.height / (high - low)[1]
    foot = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    turn_33, spot = turn_y(np.radians(placed.yaw)), np.array([placed.at[0], 0.0, placed.at[1]])

    def at(s: float) -> list[Surface]:
        positions_N3, normals_N3 = pose(model, clip, placed.start + s * placed.span)
        positions_N3 = (positions_N3 - foot) * scale @ turn_33.T + spot
        surfaces = []
        for texture in sorted({part.texture for part in model.parts}):
            ranges = [model.triangles_M3[part.start : part.stop] for part in model.parts if part.texture == texture]
            extra = {"texture": model.textures[texture]} if texture >= 0 else {}
            surfaces.append(
                Surface(
                    positions_N3, normals_N3 @ turn_33.T, model.colours_N3, model.uv_N2, np.concatenate(ranges),
                    tint_33=np.diag(placed.gain), **extra,
                )
            )  # fmt: skip
        return surfaces

    return at


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with glb/, props/ and env/")
    parser.add_argument("--output", type=Path, required=True, help="folder for the two videos and their first frame")
    options = parser.parse_args()
    scene = [surfaces_of(options.data, placed) for placed in SCENE]
    stage = clearing(options.data / "env")
    poses, intrinsics = ARC.cameras(FRAMES, HEIGHT, WIDTH)
    try:
        with Renderer(HEIGHT, WIDTH, SUPERSAMPLING) as renderer:
            moments = [[surface for one in scene for surface in one(s)] for s in np.linspace(0, 1, FRAMES)]
            fixed = [renderer.render(moment, stage, poses[:1], intrinsics[:1])[0] for moment in moments]
            freeze = renderer.render(moments[0], stage, poses, intrinsics)
    except RendererUnavailable as error:
        print(f"cannot render: {error}", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    write_video(options.output / "fixed_view.mp4", torch.from_numpy(np.stack(fixed)), FPS)
    write_video(options.output / "freeze_time.mp4", torch.from_numpy(freeze), FPS)
    Image.fromarray(fixed[0]).save(options.output / "first_frame.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
