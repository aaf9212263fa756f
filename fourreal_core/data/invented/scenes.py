"""Endless view x time grids of made-up scenes, drawn on the device that trains: jointed figures, moving and standing solids, textured ground, sky, sun.

One seed is one scene, on every device and in every batch. No files and no OpenGL. Lengths are in units of about the main figure's height. Read
`procedural_grids`, then `random_scenes`; figures.py moves the figures, render.py draws.
Legend: N scenes, F figures, B figures of all scenes, V views, T times, P solids, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...grid import Cameras, FrameGrid
from ..rendered.camera_arc import random_arc
from .figures import ANATOMY, BONES, KINDS, WORN, Motion, draw_anatomy, figure_solids, rotation
from .render import Daylight, Materials, Scenes, render_scenes
from .shapes import Solids, join_solids

FIGURES, WORN_MATERIALS = 2, 5  # the last one of these is that of eyes
MOVERS, PROPS = 3, 11
NUMBERS = 4096  # uniform numbers that a scene may use
SCENES_AT_ONCE = {"cpu": 1, "cuda": 4}


def procedural_grids(
    count: int, *, views: int = 8, times: int = 8, height: int = 72, width: int = 128, seed: int = 0, device: torch.device | str | None = None,
    supersample: int = 2,
) -> Tensor:  # fmt: skip
    """Frames float32 [count, V, T, H, W, 3] in 0..1 of the scenes seed, seed + 1, ..., on `device` (None: the CPU).

    Neither the other scenes nor how many are drawn at once changes a scene. supersample: every pixel is the mean of supersample^2 rays.
    Raises ValueError when a size is below 1.
    """
    chunks = [
        render_scenes(scenes, height, width, supersample)
        for scenes in _in_chunks(count, views, times, height, width, seed, device, supersample)
    ]
    return torch.cat(chunks)


def procedural_frame_grids(
    count: int, *, views: int = 8, times: int = 8, height: int = 72, width: int = 128, seed: int = 0, device: torch.device | str | None = None,
    supersample: int = 2,
) -> Iterator[FrameGrid]:  # fmt: skip
    """The same scenes one after the other as FrameGrids on the CPU, with their cameras and every cell known. Raises as `procedural_grids`."""
    for scenes in _in_chunks(count, views, times, height, width, seed, device, supersample):
        for i, frames in enumerate(render_scenes(scenes, height, width, supersample).cpu()):
            cameras = Cameras(scenes.pose_NV44[i], scenes.intrinsics_NV33[i])
            yield FrameGrid(
                frames,
                torch.ones(views, times, dtype=torch.bool),
                cameras=cameras,
                provenance={"source": "procedural", "seed": seed},
            )
            seed += 1


def _in_chunks(
    count: int,
    views: int,
    times: int,
    height: int,
    width: int,
    seed: int,
    device: torch.device | str | None,
    supersample: int,
) -> Iterator[Scenes]:
    sizes = {
        "count": count,
        "views": views,
        "times": times,
        "height": height,
        "width": width,
        "supersample": supersample,
    }
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"expected {name} to be at least 1, got {size}.")
    device = torch.device(device or "cpu")
    at_once = SCENES_AT_ONCE.get(device.type, 1)
    for first in range(seed, seed + count, at_once):
        seeds = range(first, min(first + at_once, seed + count))
        yield random_scenes(seeds, views, times, height, width).map(lambda value: value.to(device))


class Dice:
    """Uniform numbers [N, NUMBERS], one line per seed, handed out in order; so a scene's numbers depend on its seed alone."""

    def __init__(self, seeds: Sequence[int]):
        self.numbers = torch.stack(
            [torch.rand(NUMBERS, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        self.used = 0

    def __call__(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """[N, *shape] in low..high."""
        count = int(np.prod(shape))
        taken = self.numbers[:, self.used : self.used + count]
        self.used += count
        return low + (high - low) * taken.reshape(-1, *shape)

    def chance(self, *shape: int, of: float) -> Tensor:
        """bool [N, *shape], True with probability `of`."""
        return self(*shape) < of


def random_scenes(seeds: Sequence[int], views: int, times: int, height: int, width: int) -> Scenes:
    """One scene per seed, on the CPU; intrinsics in pixels of a picture of `height` x `width`."""
    dice = Dice(seeds)
    moment_T = torch.linspace(0, 1, times) if times > 1 else torch.tensor([0.5])
    figures, worn_NP = random_figures(dice, moment_T)
    pose_NV44, intrinsics_NV33 = arc_cameras(seeds, figures, views, height, width)
    movers = random_movers(dice, moment_T)
    props = random_props(dice, times, pose_NV44)
    materials = random_materials(dice, worn_NP)
    return Scenes(join_solids(figures, movers, props), materials, random_daylight(dice), pose_NV44, intrinsics_NV33)


def arc_cameras(seeds: Sequence[int], figures: Solids, views: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Poses [N, V, 4, 4] and intrinsics [N, V, 3, 3] on an arc round the first figure (the first len(BONES) solids)."""
    centre_NTP3, radius_NTP = (bound[:, :, : len(BONES)] for bound in figures.bounds())
    top_N = (centre_NTP3[..., 1] + 0.4 * radius_NTP).amax((1, 2)).clamp(0.4, 1.6)
    reach_N = (0.8 * centre_NTP3[..., ::2].norm(dim=-1)).amax((1, 2)).clamp(0.2, 0.7)
    arcs = [
        random_arc(np.random.default_rng(seed), 0.0, float(top), float(reach), width / height)
        for seed, top, reach in zip(seeds, top_N, reach_N, strict=True)
    ]
    poses, intrinsics = zip(*(arc.cameras(views, height, width) for arc in arcs), strict=True)
    return torch.from_numpy(np.stack(poses)).float(), torch.from_numpy(np.stack(intrinsics)).float()


def random_figures(dice: Dice, moment_T: Tensor) -> tuple[Solids, Tensor]:
    """The figures of each scene as its solids, and which of the scene's materials they wear, int64 [N, F * J].

    The first one is in the middle. Half the scenes have a second one, which may stand still, or come and go.
    """
    count, times, joints = len(dice.numbers), len(moment_T), len(BONES)
    second_F = torch.arange(FIGURES) > 0
    kind_NF = (dice(FIGURES) * KINDS).long().clamp(max=KINDS - 1)
    body = draw_anatomy(dice(FIGURES, len(ANATOMY)).flatten(0, 1), kind_NF.flatten())
    tremor_B3J = dice(FIGURES, 3, joints).flatten(0, 1)
    lively_NF = (~(second_F & dice.chance(FIGURES, of=0.25))).float()
    cycles_NF = dice(FIGURES, low=0.25, high=1.1)
    heading_NF = dice(FIGURES, low=0, high=2 * torch.pi)
    turning_NF = dice(FIGURES, low=-0.6, high=0.6) * lively_NF
    # The second figure may cross the picture.
    pace_NF = (
        torch.where(second_F, dice(FIGURES, low=0.0, high=2.5), dice(FIGURES, low=0.0, high=0.7))
        * cycles_NF
        * lively_NF
    )
    place_NF2 = dice(FIGURES, 2, low=-1, high=1) * torch.where(second_F, 2.2, 0.08)[:, None]
    since_T = moment_T - 0.5
    heading_NFT = heading_NF[..., None] + turning_NF[..., None] * since_T
    walked_NFT = pace_NF[..., None] * since_T
    high_NF = dice(FIGURES, high=0.5) * (dice.chance(FIGURES, of=0.3)) * lively_NF
    phase_NFT = dice(FIGURES)[..., None] + cycles_NF[..., None] * moment_T
    motion = Motion(*(value.flatten(0, 1) for value in (
        place_NF2[..., :1] + walked_NFT * heading_NFT.sin(), place_NF2[..., 1:] + walked_NFT * heading_NFT.cos(), heading_NFT,
        high_NF[..., None] * torch.sin(2 * torch.pi * phase_NFT).abs(), phase_NFT, lively_NF,
        torch.where(dice.chance(FIGURES, of=0.75), 0.5, dice(FIGURES, high=0.2)))))  # fmt: skip
    size_NF = torch.where(second_F, dice(FIGURES, low=0.4, high=1.2), dice(FIGURES, low=0.9, high=1.1))
    solids = figure_solids(body, motion, tremor_B3J, size_NF.flatten())
    shown_NFJ = (~second_F | dice.chance(FIGURES, of=0.5))[..., None].expand(-1, -1, joints)
    # Some have no tail, no ears.
    plain_NF2 = dice.chance(FIGURES, 2, of=0.25)
    shown_NFJ = shown_NFJ & ~torch.stack(
        [plain_NF2[..., 0] & bone.startswith("tail") | plain_NF2[..., 1] & bone.endswith("_ear") for bone in BONES], -1
    )
    worn_NFJ = WORN[kind_NF] + WORN_MATERIALS * torch.arange(FIGURES)[:, None]
    return Solids(
        solids.centre_NTP3.view(count, FIGURES, times, joints, 3).transpose(1, 2).flatten(2, 3),
        solids.frame_NTP33.view(count, FIGURES, times, joints, 3, 3).transpose(1, 2).flatten(2, 3),
        solids.length_NP.view(count, -1), solids.tip_NP.view(count, -1), solids.box_NP.view(count, -1), shown_NFJ.flatten(1),
    ), worn_NFJ.flatten(1)  # fmt: skip


def _random_forms(dice: Dice, amount: int) -> tuple[Tensor, Tensor, Tensor]:
    """length, tip [N, amount] and whether a box: boxes, balls, and rounded cones."""
    box_NP, ball_NP = dice.chance(amount, of=0.5), dice.chance(amount, of=0.4)
    return (
        torch.where(box_NP | ball_NP, 0, dice(amount, low=1, high=4)),
        torch.where(box_NP | ball_NP, 1, dice(amount, low=0.3, high=1.1)),
        box_NP,
    )


def random_movers(dice: Dice, moment_T: Tensor) -> Solids:
    """Solids that roll, bounce, fly and pulse, often into the picture or out of it."""
    length_NP, tip_NP, box_NP = _random_forms(dice, MOVERS)
    size_NP3 = dice(MOVERS, 1, low=0.08, high=0.3) * dice(MOVERS, 3, low=0.7, high=1.3)
    place_NP3, speed_NP3 = dice(MOVERS, 3, low=-1.6, high=1.6), dice(MOVERS, 3, low=-1.8, high=1.8)
    since_T = moment_T - 0.5
    path_NTP3 = place_NP3[:, None] + since_T[:, None, None] * speed_NP3[:, None]
    bounce_NTP = (
        dice(MOVERS, high=0.8)[:, None]
        * (torch.pi * (dice(MOVERS)[:, None] + dice(MOVERS, high=2)[:, None] * moment_T[:, None])).sin().abs()
    )
    pulse_NTP = dice(MOVERS, high=0.2)[:, None] * (2 * torch.pi * (dice(MOVERS)[:, None] + moment_T[:, None])).sin()
    squash_NTP3 = torch.stack([1 - pulse_NTP, (1 + pulse_NTP).square(), 1 - pulse_NTP], -1)
    spin_NTP = dice(MOVERS, low=-3, high=3)[:, None] * moment_T[:, None] + dice(MOVERS, high=6.28)[:, None]
    tilt_NTP = dice(MOVERS, low=-1, high=1)[:, None] * (0 * moment_T[:, None] + 1) + 0.4 * spin_NTP
    scale_NTP3 = size_NP3[:, None] * squash_NTP3
    frame_NTP33 = rotation(1, spin_NTP) @ rotation(0, tilt_NTP) * scale_NTP3[..., None, :]
    path_NTP3[..., 1] = bounce_NTP + scale_NTP3.norm(dim=-1) * 0.8 + 0.2 * size_NP3[:, None, :, 1] * length_NP[:, None]
    return Solids(path_NTP3, frame_NTP33, length_NP, tip_NP, box_NP, dice.chance(MOVERS, of=0.4))


def random_props(dice: Dice, times: int, pose_NV44: Tensor) -> Solids:
    """Solids that stand still on the ground, small ones near and large ones far, none with a camera in it and few between a camera and the middle."""
    length_NP, tip_NP, box_NP = _random_forms(dice, PROPS)
    far_P = torch.arange(PROPS) >= PROPS // 2
    size_NP1 = torch.where(far_P, dice(PROPS, low=0.3, high=1.6), dice(PROPS, low=0.05, high=0.22))[..., None]
    size_NP3 = size_NP1 * torch.exp(dice(PROPS, 3, low=-0.5, high=0.5))
    size_NP3 = torch.where(box_NP[..., None], size_NP3, size_NP3 / (1 + 0.35 * length_NP[..., None]))
    angle_NP, distance_NP = (
        dice(PROPS, high=6.28),
        torch.where(far_P, dice(PROPS, low=2.5, high=8), dice(PROPS, low=0.6, high=2.6)),
    )
    spot_NP2 = distance_NP[..., None] * torch.stack([angle_NP.sin(), angle_NP.cos()], -1)
    eye_NV2 = -(pose_NV44[..., :3, :3].mT @ pose_NV44[..., :3, 3:])[..., ::2, 0]
    along_NVP = ((spot_NP2[:, None] * eye_NV2[:, :, None]).sum(-1) / eye_NV2.square().sum(-1)[..., None]).clamp(
        0.1, 1.3
    )
    clearance_NP = (spot_NP2[:, None] - along_NVP[..., None] * eye_NV2[:, :, None]).norm(dim=-1).amin(1)
    occluder_NP = dice.chance(PROPS, of=0.25) & ~far_P & (distance_NP < 0.5 * eye_NV2.norm(dim=-1).amin(1)[:, None])
    wide_NP = size_NP3[..., ::2].norm(dim=-1) * torch.maximum(tip_NP, torch.ones_like(tip_NP))
    shown_NP = ((clearance_NP > wide_NP + 0.15) | occluder_NP) & dice.chance(PROPS, of=0.65)
    frame_NP33 = rotation(1, dice(PROPS, high=6.28)) * size_NP3[..., None, :]
    centre_NP3 = torch.stack(
        [spot_NP2[..., 0], size_NP3[..., 1] * torch.where(box_NP | (length_NP == 0), 0.98, 0.5), spot_NP2[..., 1]], -1
    )
    return Solids(
        centre_NP3[:, None].repeat(1, times, 1, 1),
        frame_NP33[:, None].repeat(1, times, 1, 1, 1),
        length_NP,
        tip_NP,
        box_NP,
        shown_NP,
    )


def linear_rgb(hsv: Tensor) -> Tensor:
    """Linear RGB [..., 3] of hue, saturation and value [..., 3] in 0..1 (the value meant as a display value)."""
    hue, saturation, value = hsv.split(1, -1)
    sector = (hue * 6 + torch.tensor([5.0, 3.0, 1.0])) % 6
    return (value * (1 - saturation * torch.minimum(sector, 4 - sector).clamp(0, 1))).clamp(0, 1).pow(2.2)


def random_materials(dice: Dice, worn_NP: Tensor) -> Materials:
    """Materials of the figures' bones (as `worn` says), the movers, the props and the ground, in this order."""
    parts = FIGURES * WORN_MATERIALS + MOVERS + PROPS
    ground_P = torch.arange(parts + 1) == parts
    eye_P = (torch.arange(parts + 1) % WORN_MATERIALS == WORN_MATERIALS - 1) & (
        torch.arange(parts + 1) < FIGURES * WORN_MATERIALS
    )
    parts += 1
    colours_NP33 = _random_colours(dice, parts, ground_P)
    colours_NP33 = torch.where(eye_P[:, None, None], 0.02, colours_NP33)
    longest_P, finest_P = (
        torch.where(ground_P, 2.0, 5.0),
        torch.where(ground_P, 18.0, 45.0),
    )  # waves, in radians per length
    waves_NP33 = _random_waves(dice, parts) * (longest_P * (finest_P / longest_P) ** dice(parts))[..., None, None]
    choice_NP = (dice(parts) * 5).long()  # four kinds, and one that is a mixture
    pure_NP4 = torch.nn.functional.one_hot(choice_NP.clamp(max=3), 4).float()
    mix_NP4 = torch.where((choice_NP == 4)[..., None], dice(parts, 4, low=-0.6, high=0.6), pure_NP4)
    edge_NP = torch.exp(dice(parts, low=0.3, high=2.8))
    surface = torch.stack([dice(parts, low=-0.3, high=1.0), edge_NP, dice(parts, high=1.5) * dice(parts)], -1)
    grain = torch.stack(
        [
            torch.where(ground_P, dice(parts, low=2.0, high=11.0), dice(parts, low=4, high=25)),
            dice(parts, low=0.15, high=0.95),
        ],
        -1,
    )
    gloss_NP1 = (dice(parts, 1) ** 2 * 0.6 * ~ground_P[:, None]) + 0.8 * eye_P[:, None]
    every = (colours_NP33, waves_NP33, dice(parts, 3, high=6.28), mix_NP4, surface, grain, gloss_NP1)
    others_NP = torch.arange(FIGURES * WORN_MATERIALS, parts).expand(len(worn_NP), -1)
    index_NP = torch.cat([worn_NP, others_NP], 1)
    return Materials(*(value[torch.arange(len(index_NP))[:, None], index_NP] for value in every))


def _random_colours(dice: Dice, parts: int, ground_P: Tensor) -> Tensor:
    """Three colours each [N, parts, 3, 3]: any hue, or those of fur, earth and stone; the three are related in half of them."""
    natural_NP1 = dice.chance(parts, 1, of=0.45) | (ground_P[:, None] & dice.chance(parts, 1, of=0.7))
    base_NP3 = dice(parts, 3) * torch.tensor([1.0, 0.75, 0.8]) + torch.tensor([0.0, 0.15, 0.2])
    earthy_NP3 = dice(parts, 3) * torch.tensor([0.22, 0.45, 0.65]) + torch.tensor([0.02, 0.05, 0.25])
    first_NP3 = torch.where(natural_NP1, earthy_NP3, base_NP3)
    related_NP3 = first_NP3 + dice(parts, 3, low=-1, high=1) * torch.tensor([0.08, 0.3, 0.4])
    other_NP3 = torch.where(
        dice.chance(parts, 1, of=0.5) | ground_P[:, None],
        related_NP3,
        torch.stack([dice(parts), dice(parts), dice(parts, low=0.2, high=1)], -1),
    )
    third_NP3 = first_NP3 * torch.tensor([1.0, 0.9, 0.55]) + dice(parts, 1, low=-0.05, high=0.25)
    hsv_NP33 = torch.stack([first_NP3, other_NP3, third_NP3], -2)
    return linear_rgb(torch.cat([hsv_NP33[..., :1] % 1, hsv_NP33[..., 1:].clamp(0.02, 0.97)], -1))


def _random_waves(dice: Dice, parts: int) -> Tensor:
    """Three perpendicular directions [N, parts, 3, 3] as lines; those of a third of the materials lie along the solid's own axes."""
    turn = (
        rotation(0, dice(parts, high=6.28)) @ rotation(1, dice(parts, high=6.28)) @ rotation(2, dice(parts, high=6.28))
    )
    straight = dice.chance(parts, 1, 1, of=0.33)
    return torch.where(straight, torch.eye(3)[[1, 0, 2]], turn)


def random_daylight(dice: Dice) -> Daylight:
    """Sun at 22 to 75 degrees of height, from strong to hardly any; blue, grey or coloured skies, a quarter of them plain as in a studio."""
    azimuth_N, height_N = dice(1, high=6.28)[:, 0], dice(1, low=0.38, high=1.3)[:, 0]
    sun_N3 = torch.stack([height_N.cos() * azimuth_N.sin(), height_N.sin(), height_N.cos() * azimuth_N.cos()], -1)
    strength_N1 = torch.where(dice.chance(1, of=0.25), dice(1, low=0.1, high=0.35), dice(1, low=0.5, high=1.2))
    warmth_N1 = dice(1, low=-0.08, high=0.2)
    sky_N3 = linear_rgb(
        torch.stack([dice(1, low=0.5, high=0.68), dice(1, low=0.05, high=0.7), dice(1, low=0.45, high=0.95)], -1)[:, 0]
    )
    studio_N1 = dice.chance(1, of=0.25)
    plain_N3 = linear_rgb(torch.stack([dice(1), dice(1, high=0.6), dice(1, low=0.15, high=0.95)], -1)[:, 0])
    zenith_N3 = torch.where(studio_N1, plain_N3, sky_N3)
    horizon_N3 = torch.where(
        studio_N1,
        plain_N3 * dice(1, low=0.8, high=1.1),
        torch.lerp(sky_N3, torch.ones(3) * sky_N3.amax(-1, keepdim=True), dice(1, low=0.3, high=0.9)),
    )
    ambient_N1 = (0.95 - 0.5 * strength_N1) * dice(1, low=0.7, high=1.1)
    above_N3 = ambient_N1 * torch.lerp(torch.ones(3), zenith_N3 / zenith_N3.amax(-1, keepdim=True), 0.35)
    return Daylight(
        sun_N3=sun_N3,
        sun_colour_N3=1.4 * strength_N1 * (1 + warmth_N1 * torch.tensor([1.0, 0.0, -1.0])),
        above_N3=above_N3,
        below_N3=0.5 * above_N3 * dice(1, low=0.6, high=1.0),
        horizon_N3=horizon_N3.clamp(0, 1),
        zenith_N3=zenith_N3.clamp(0, 1),
        clouds_N=dice(1)[:, 0] * ~studio_N1[:, 0],
        softness_N=dice(1)[:, 0],
    )
