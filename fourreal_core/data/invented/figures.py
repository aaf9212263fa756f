"""Jointed figures in motion for procedural scenes: four-footed, upright and bird-like, from 23 rounded cones each. Used by scenes.py.

All bodies share one skeleton; what they are is a matter of numbers (ANATOMY). A figure stands on the lowest point of its body at every time. Figure frame: x to its
left, y up, z forward. A bone's angle is 0 upwards, 90 forwards, 180 down (degrees), then spread sidewards, then turned about y.
Legend: B figures, T times, J bones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes import Solids

BONES = (
    "hips", "chest", "neck", "head", "snout", "tail", "tail_end",
    "left_thigh", "left_shin", "left_foot", "right_thigh", "right_shin", "right_foot",
    "left_arm", "left_forearm", "left_hand", "right_arm", "right_forearm", "right_hand",
    "left_ear", "right_ear", "left_eye", "right_eye",
)  # fmt: skip
PARENT = {
    "chest": "hips", "neck": "chest", "head": "neck", "snout": "head", "tail": "hips", "tail_end": "tail",
    **{f"{side}_{bone}": parent for side in ("left", "right") for bone, parent in (("thigh", "hips"), ("arm", "chest"), ("ear", "head"), ("eye", "head"))},
    **{f"{side}_{bone}": f"{side}_{parent}" for side in ("left", "right")
       for bone, parent in (("shin", "thigh"), ("foot", "shin"), ("forearm", "arm"), ("hand", "forearm"))},
}  # fmt: skip
FROM_START = (
    "snout",
    "tail",
    "left_thigh",
    "right_thigh",
    "left_ear",
    "right_ear",
    "left_eye",
    "right_eye",
)  # these hang at their parent's start
KINDS = 3
# Ranges for four-footed, upright and bird-like figures: lengths in units of about the figure's height, angles in degrees.
ANATOMY = {
    "torso_angle": ((80, 100), (-6, 14), (35, 75)),
    "torso_length": ((0.20, 0.36), (0.15, 0.2), (0.12, 0.22)),
    "torso_radius": ((0.10, 0.19), (0.09, 0.13), (0.10, 0.17)),
    "torso_width": ((0.75, 1.1), (1.1, 1.5), (0.8, 1.2)),
    "torso_bend": ((-10, 10), (-5, 5), (-15, 15)),
    "neck_angle": ((5, 75), (-5, 15), (-5, 35)),
    "neck_length": ((0.10, 0.42), (0.13, 0.18), (0.12, 0.36)),
    "neck_radius": ((0.05, 0.09), (0.04, 0.055), (0.035, 0.07)),
    "head_angle": ((85, 130), (0, 15), (80, 105)),
    "head_radius": ((0.08, 0.13), (0.085, 0.13), (0.07, 0.11)),
    "head_length": ((0.04, 0.12), (0.03, 0.07), (0.02, 0.06)),
    "snout_length": ((0.08, 0.22), (0.08, 0.1), (0.10, 0.24)),
    "snout_radius": ((0.5, 0.7), (0.2, 0.25), (0.25, 0.5)),
    "tail_angle": ((-150, -50), (-170, -160), (-115, -75)),
    "tail_length": ((0.06, 0.30), (0.03, 0.04), (0.06, 0.28)),
    "tail_radius": ((0.02, 0.05), (0.03, 0.04), (0.03, 0.07)),
    "leg_length": ((0.15, 0.40), (0.23, 0.32), (0.14, 0.30)),
    "leg_radius": ((0.04, 0.085), (0.055, 0.085), (0.04, 0.07)),
    "leg_angle": ((170, 185), (165, 180), (140, 165)),
    "knee_angle": ((5, 35), (10, 45), (35, 75)),
    "arm_length": ((0.95, 1.05), (0.7, 0.95), (0.8, 1.6)),
    "arm_angle": ((175, 195), (140, 190), (170, 230)),
    "arm_spread": ((0, 6), (6, 50), (30, 110)),
    "arm_width": ((1, 1), (1, 1), (1.5, 4.0)),
    "elbow_angle": ((-30, 10), (-100, -10), (-20, 20)),
    "ear_length": ((0.06, 0.16), (0.03, 0.04), (0.03, 0.10)),
    "ear_radius": ((0.25, 0.45), (0.2, 0.25), (0.1, 0.2)),
    "leg_swing": ((12, 42), (10, 45), (8, 40)),
    "arm_swing": ((12, 42), (10, 80), (5, 30)),
    "arm_flap": ((0, 3), (0, 35), (10, 60)),
    "knee_swing": ((5, 30), (5, 35), (5, 30)),
    "head_turn": ((5, 45), (5, 50), (5, 45)),
    "sway": ((1, 9), (1, 12), (1, 9)),
}  # fmt: skip
# Which of a figure's materials a bone wears, by kind: 0 and 1 large parts, 2 face and hands, 3 feet, 4 eyes.
_BY_BONE = {
    0: {"snout": 2, "foot": 3, "hand": 3, "ear": 2, "tail_end": 2, "eye": 4},
    1: {
        "thigh": 1,
        "shin": 1,
        "neck": 2,
        "head": 2,
        "snout": 2,
        "hand": 2,
        "foot": 3,
        "ear": 2,
        "eye": 4,
        "tail": 1,
        "tail_end": 1,
    },
    2: {
        "snout": 3,
        "thigh": 1,
        "shin": 3,
        "foot": 3,
        "arm": 1,
        "forearm": 1,
        "hand": 1,
        "neck": 2,
        "head": 2,
        "eye": 4,
    },
}
WORN = torch.tensor(
    [
        [_BY_BONE[kind].get(bone.split("_")[-1] if bone != "tail_end" else bone, 0) for bone in BONES]
        for kind in range(KINDS)
    ]
)


@dataclass(frozen=True, eq=False)
class Motion:
    """How figures go about, all [B] or [B, T]: where they are (x, z), `heading` in radians, `lift` above the ground, `phase` in cycles, and how lively (0 frozen)."""

    x_BT: Tensor
    z_BT: Tensor
    heading_BT: Tensor
    lift_BT: Tensor
    phase_BT: Tensor
    lively_B: Tensor
    trot_B: Tensor  # phase between left and right, in cycles: 0.5 walks, 0 hops


def rotation(axis: int, angle: Tensor) -> Tensor:
    """Right-handed rotations [..., 3, 3] by `angle` radians about the x (0), y (1) or z (2) axis."""
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    i, j, k = axis, (axis + 1) % 3, (axis + 2) % 3
    entries = {(i, i): one, (j, j): cosine, (k, k): cosine, (j, k): -sine, (k, j): sine}
    return torch.stack([torch.stack([entries.get((i, j), zero) for j in range(3)], -1) for i in range(3)], -2)


def draw_anatomy(uniform_BA: Tensor, kind_B: Tensor) -> dict[str, Tensor]:
    """Every number of ANATOMY [B] from uniform numbers [B, len(ANATOMY)] and the kinds int64 [B]."""
    ranges_A32 = torch.tensor(list(ANATOMY.values()), dtype=torch.float32)
    low_BA, high_BA = ranges_A32[:, :, 0].T[kind_B], ranges_A32[:, :, 1].T[kind_B]
    return dict(zip(ANATOMY, (low_BA + uniform_BA * (high_BA - low_BA)).unbind(1), strict=True))


def bone_sizes(body: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Length, radius at the start, radius at the end and relative width, each [B, J]."""
    torso, leg, head, neck, tail = (
        body["torso_radius"],
        body["leg_radius"],
        body["head_radius"],
        body["neck_radius"],
        body["tail_radius"],
    )
    long, one = body["leg_length"], torch.ones_like(torso)
    arm, wing, snout = long * body["arm_length"], body["arm_width"], head * body["snout_radius"]
    ear = head * body["ear_radius"]
    sizes = {
        "hips": (body["torso_length"], torso, torso * 0.85, body["torso_width"]), "chest": (body["torso_length"], torso * 0.85, torso, body["torso_width"]),
        "neck": (body["neck_length"], neck * 1.4, neck, one), "head": (body["head_length"], head, head * 0.85, one * 0.9),
        "snout": (body["snout_length"], snout, snout * 0.6, one), "tail": (body["tail_length"], tail * 1.3, tail, one),
        "tail_end": (body["tail_length"], tail, tail * 0.4, one),
        "thigh": (long, leg * 1.25, leg * 0.8, one), "shin": (long, leg * 0.8, leg * 0.55, one), "foot": (leg * 1.6, leg * 0.6, leg * 0.5, one * 1.1),
        "arm": (arm, leg * 0.95, leg * 0.7, wing), "forearm": (arm, leg * 0.7, leg * 0.5, wing), "hand": (leg * 0.8, leg * 0.6, leg * 0.45, wing),
        "ear": (body["ear_length"], ear, ear * 0.4, one), "eye": (0 * head, head * 0.2, head * 0.2, one),
    }  # fmt: skip
    table = [sizes[bone if bone in sizes else bone.split("_")[1]] for bone in BONES]
    length_BJ, start_BJ, end_BJ, width_BJ = (torch.stack(each, 1) for each in zip(*table, strict=True))
    return torch.maximum(length_BJ, 1.05 * (start_BJ - end_BJ).abs()), start_BJ, end_BJ, width_BJ


def _wave(phase_BT: Tensor, shift: Tensor | float) -> Tensor:
    shift = shift[:, None] if isinstance(shift, Tensor) else shift
    return torch.sin(2 * torch.pi * (phase_BT + shift))


def joint_angles(body: dict[str, Tensor], motion: Motion, tremor_B3J: Tensor) -> Tensor:
    """Angles in radians [B, T, 3 (forwards, sidewards, turn), J] of all bones; those of lower limbs and of tail ends do not yet hold their parents'.

    tremor: small movements of every joint of its own, uniform numbers 0..1 for amplitude, pace and phase.
    """
    phase_BT, zero_BT = motion.phase_BT, torch.zeros_like(motion.phase_BT)
    body = {name: value[:, None] for name, value in body.items()}
    turn_BT = body["head_turn"] * _wave(0.5 * phase_BT, tremor_B3J[:, 2, 0])
    sway_BT = body["sway"] * _wave(phase_BT, 0.1)
    bend_BT = body["sway"] * _wave(phase_BT, 0.35)
    angles = {
        "hips": (body["torso_angle"] + bend_BT, sway_BT, zero_BT),
        "chest": (body["torso_angle"] + body["torso_bend"] - bend_BT, -sway_BT, sway_BT),
        "neck": (body["neck_angle"] + bend_BT, -sway_BT, 0.4 * turn_BT),
        "head": (body["head_angle"] + 1.5 * bend_BT, zero_BT, turn_BT),
        "snout": (90 + 1.5 * bend_BT + zero_BT, zero_BT, turn_BT),
        "tail": (body["tail_angle"] + bend_BT, 3 * sway_BT, zero_BT),
        "tail_end": (20 + 2 * bend_BT, 2 * _wave(phase_BT, 0.3) * body["sway"], zero_BT),
    }
    for side, sign, shift in (("left", 1, 0.0), ("right", -1, motion.trot_B)):
        leg_BT, late_BT = _wave(phase_BT, shift), _wave(phase_BT, shift + 0.3)
        arm_BT = -leg_BT
        flap_BT = body["arm_flap"] * _wave(phase_BT, 0.2)
        angles |= {
            f"{side}_thigh": (body["leg_angle"] + body["leg_swing"] * leg_BT, sign * 3 + zero_BT, zero_BT),
            f"{side}_shin": (body["knee_angle"] + body["knee_swing"] * late_BT, zero_BT, zero_BT),
            f"{side}_foot": (-110 + 0.4 * body["knee_swing"] * leg_BT, zero_BT, zero_BT),
            f"{side}_arm": (body["arm_angle"] + body["arm_swing"] * arm_BT, sign * (body["arm_spread"] + flap_BT), zero_BT),
            f"{side}_forearm": (body["elbow_angle"] * (1 + 0.5 * _wave(phase_BT, shift + 0.6)), -0.3 * sign * flap_BT, zero_BT),
            f"{side}_hand": (-20 + zero_BT, zero_BT, zero_BT),
            f"{side}_ear": (-15 + zero_BT, -sign * 25 + zero_BT, turn_BT),
            f"{side}_eye": (zero_BT, zero_BT, turn_BT),
        }  # fmt: skip
    angles_BT3J = torch.stack([torch.stack(torch.broadcast_tensors(*angles[bone]), -1) for bone in BONES], -1)
    small_B3J = 7 * tremor_B3J
    shake_BTJ = small_B3J[:, None, 0] * torch.sin(
        6.28 * (phase_BT[..., None] * (0.5 + tremor_B3J[:, None, 1]) + tremor_B3J[:, None, 2])
    )
    return torch.deg2rad(angles_BT3J + shake_BTJ[:, :, None] * torch.tensor([1.0, 0.5, 0.0])[:, None])


def pose(body: dict[str, Tensor], motion: Motion, tremor_B3J: Tensor) -> tuple[Tensor, Tensor]:
    """Where bones start [B, T, J, 3] and their rotations [B, T, J, 3, 3] (y along the bone), in the world."""
    length_BJ, start_BJ, end_BJ, width_BJ = bone_sizes(body)
    # A frozen figure keeps its first pose, whatever the phase does.
    phase_BT = motion.phase_BT[:, :1] + motion.lively_B[:, None] * (motion.phase_BT - motion.phase_BT[:, :1])
    angles_BT3J = joint_angles(body, Motion(**{**vars(motion), "phase_BT": phase_BT}), tremor_B3J)
    head_B, torso_B = start_BJ[:, BONES.index("head")], (start_BJ * width_BJ)[:, 0]
    starts, turns, bends = {}, {}, {}
    for j, bone in enumerate(BONES):
        bend_BT3, parent = angles_BT3J[..., j], PARENT.get(bone)
        if bone.endswith(("shin", "foot", "forearm", "hand", "tail_end")):
            bend_BT3 = bend_BT3 + bends[parent]
        bends[bone] = bend_BT3
        turns[bone] = rotation(1, bend_BT3[..., 2]) @ rotation(2, bend_BT3[..., 1]) @ rotation(0, bend_BT3[..., 0])
        if parent is None:
            starts[bone] = torch.zeros(*phase_BT.shape, 3)
            continue
        k = BONES.index(parent)
        along_B = 0 * length_BJ[:, k] if bone in FROM_START else length_BJ[:, k]
        starts[bone] = (
            starts[parent] + turns[parent][..., 1] * along_B[:, None, None] + _aside(bone, head_B, torso_B, turns[bone])
        )
    start_BTJ3, turn_BTJ33 = (
        torch.stack([starts[bone] for bone in BONES], 2),
        torch.stack([turns[bone] for bone in BONES], 2),
    )
    heading_BT133 = rotation(1, motion.heading_BT)[:, :, None]
    start_BTJ3, turn_BTJ33 = (heading_BT133 @ start_BTJ3[..., None])[..., 0], heading_BT133 @ turn_BTJ33
    end_BTJ3 = start_BTJ3 + turn_BTJ33[..., 1] * length_BJ[:, None, :, None]
    lowest_BT = torch.minimum(start_BTJ3[..., 1] - start_BJ[:, None], end_BTJ3[..., 1] - end_BJ[:, None]).amin(-1)
    root_BT3 = torch.stack([motion.x_BT, motion.lift_BT - lowest_BT, motion.z_BT], -1)
    return start_BTJ3 + root_BT3[:, :, None], turn_BTJ33


def _aside(bone: str, head_B: Tensor, torso_B: Tensor, turn_BT33: Tensor) -> Tensor:
    """How far from its parent's axis a bone starts: limbs beside the body, ears and eyes on the head; from the radii of head and torso."""
    side = 1.0 if bone.startswith("left") else -1.0
    if bone.endswith("eye"):
        return head_B[:, None, None] * (turn_BT33 @ torch.tensor([0.45 * side, 0.35, 0.82]))
    if bone.endswith("ear"):
        return head_B[:, None, None] * (turn_BT33 @ torch.tensor([0.5 * side, 0.8, 0.0]))
    if bone.endswith(("thigh", "_arm")):
        return torso_B[:, None, None] * torch.tensor([side * (0.55 if bone.endswith("thigh") else 0.9), 0.0, 0.0])
    return torch.zeros(3)


def figure_solids(body: dict[str, Tensor], motion: Motion, tremor_B3J: Tensor, size_B: Tensor) -> Solids:
    """The J bones of each figure as solids of a scene of its own, `size` times as large as ANATOMY says; motion is in final units."""
    small = Motion(
        **{**vars(motion), **{name: getattr(motion, name) / size_B[:, None] for name in ("x_BT", "z_BT", "lift_BT")}}
    )
    start_BTJ3, turn_BTJ33 = pose(body, small, tremor_B3J)
    length_BJ, radius_BJ, end_BJ, width_BJ = bone_sizes(body)
    is_wing = torch.tensor(
        [bone.endswith(("arm", "hand")) for bone in BONES]
    )  # wide from front to back, bodies from side to side
    one_BJ = torch.ones_like(width_BJ)
    scale_BJ3 = radius_BJ[..., None] * torch.stack(
        [torch.where(is_wing, 1, width_BJ), one_BJ, torch.where(is_wing, width_BJ, 1)], -1
    )
    frame_BTJ33 = turn_BTJ33 * (size_B[:, None, None] * scale_BJ3)[:, None, :, None]
    is_eye = torch.tensor([bone.endswith("eye") for bone in BONES])
    length_BJ = torch.where(is_eye, 0, length_BJ / radius_BJ)
    nothing_BJ = torch.zeros_like(length_BJ, dtype=torch.bool)
    return Solids(
        start_BTJ3 * size_B[:, None, None, None], frame_BTJ33, length_BJ, end_BJ / radius_BJ, nothing_BJ, ~nothing_BJ
    )
