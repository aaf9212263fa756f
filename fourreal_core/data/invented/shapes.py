"""Balls, rounded cones, boxes and their exact first hits by many rays at once, on any device. Used by render.py.

Every solid is a simple shape in its own (affine, moving) frame, so that textures evaluated there stick to it. Rays come in tiles: solids whose bounding ball
misses a tile are dropped before anything is intersected.
Legend: N scenes, G groups of rays (the views, or one light), T times, P solids, S tiles, K rays of a tile, M pairs of tile and solid, R any rays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEAR, FAR, MISS = 0.05, 1e4, 2e4  # hits lie between the first two
MOST_SOLIDS = 254
PAIRED_RAYS_AT_ONCE = {"cpu": 2**15, "cuda": 2**24}  # bounds memory; on a CPU small enough for its cache


@dataclass(frozen=True, eq=False)
class Solids:
    """P solids per scene. A point x of the world is at frame^-1 (x - centre) in the solid's own frame.

    There a box is -1..1 on all axes; a rounded cone is the convex hull of a ball of radius 1 at 0 and one of radius `tip` at (0, length, 0), where
    length > |1 - tip|; a ball is the cone with tip 1 and length 0. The columns of a frame are perpendicular to each other. Solids that are not `shown`
    do not exist.
    """

    centre_NTP3: Tensor
    frame_NTP33: Tensor
    length_NP: Tensor
    tip_NP: Tensor
    box_NP: Tensor
    shown_NP: Tensor

    @property
    def inverse_NTP33(self) -> Tensor:
        """World to own frame; perpendicular columns make it the transpose over the squared lengths."""
        return self.frame_NTP33.mT / self.frame_NTP33.square().sum(-2).unsqueeze(-1)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Balls round the solids in the world: centres [N, T, P, 3], radii [N, T, P]."""
        scale_NTP3 = self.frame_NTP33.norm(dim=-2)
        radius_NP = torch.where(self.box_NP, 0, (1 + self.length_NP + self.tip_NP) / 2)
        middle_NP = torch.where(self.box_NP, 0, (self.length_NP + self.tip_NP - 1) / 2)
        centre_NTP3 = self.centre_NTP3 + self.frame_NTP33[..., 1] * middle_NP[:, None, :, None]
        return centre_NTP3, torch.where(
            self.box_NP[:, None], scale_NTP3.norm(dim=-1), radius_NP[:, None] * scale_NTP3.amax(-1)
        )


def join_solids(*parts: Solids) -> Solids:
    """All solids of the same scenes in one, in the order given."""
    return Solids(
        *(
            torch.cat([getattr(part, name) for part in parts], 2 if "T" in name else 1)
            for name in Solids.__dataclass_fields__
        )
    )


@dataclass(frozen=True, eq=False)
class Rays:
    """Rays origin + t * direction in tiles, the same for all times; t is a distance where directions have length 1.

    origin [N, G, S, 3, K or 1], direction [N, G, S, 3, K or 1]; around each tile a cone (or cylinder) that holds its rays: axis_origin and axis (length 1)
    [N, G, S, 3], sine of the half angle and radius at the origin [N, G, S].
    """

    origin_NGS3K: Tensor
    direction_NGS3K: Tensor
    axis_origin_NGS3: Tensor
    axis_NGS3: Tensor
    sine_NGS: Tensor
    width_NGS: Tensor


def perspective_rays(origin_NG3: Tensor, direction_NGSK3: Tensor) -> Rays:
    """Rays from one point per group through tiles of unit directions."""
    axis_NGS3 = torch.nn.functional.normalize(direction_NGSK3.mean(-2), dim=-1)
    cosine_NGS = (direction_NGSK3 * axis_NGS3[..., None, :]).sum(-1).amin(-1)
    sine_NGS = (1 - cosine_NGS.square()).clamp_min(0).sqrt() + 1e-4
    origin_NGS3 = origin_NG3[:, :, None].expand_as(axis_NGS3)
    return Rays(
        origin_NGS3[..., None],
        direction_NGSK3.mT.contiguous(),
        origin_NGS3,
        axis_NGS3,
        sine_NGS,
        torch.zeros_like(sine_NGS),
    )


def parallel_rays(origin_NGSK3: Tensor, direction_NG3: Tensor) -> Rays:
    """Rays in one unit direction per group from tiles of points."""
    middle_NGS3 = origin_NGSK3.mean(-2)
    width_NGS = (origin_NGSK3 - middle_NGS3[..., None, :]).norm(dim=-1).amax(-1)
    direction_NGS3 = direction_NG3[:, :, None].expand_as(middle_NGS3)
    return Rays(
        origin_NGSK3.mT.contiguous(),
        direction_NGS3[..., None],
        middle_NGS3,
        direction_NGS3,
        torch.zeros_like(width_NGS),
        width_NGS,
    )


def first_hits(rays: Rays, solids: Solids) -> tuple[Tensor, Tensor]:
    """What each ray meets first: t float32 [N, G, T, S, K] (FAR where nothing), and which solid or ground, int64 of the same shape.

    Solids count from 0; the ground (the plane y = 0, seen from above) is P, nothing is P + 1. Raises ValueError for more than 254 solids.
    """
    count = solids.length_NP.shape[1]
    if count > MOST_SOLIDS:
        raise ValueError(f"expected at most {MOST_SOLIDS} solids in a scene, got {count}: use fewer.")
    key_NGTSK = _ground_keys(rays, solids.centre_NTP3.shape[1], count)
    # A positive float's bits sort as the float does: one minimum over (distance, solid) finds both.
    key_QK = key_NGTSK.view(-1, key_NGTSK.shape[-1])
    pairs_M5 = _touching(rays, solids).nonzero()
    share = max(PAIRED_RAYS_AT_ONCE.get(rays.axis_NGS3.device.type, 2**15) // key_QK.shape[-1], 1)
    for part_M5 in pairs_M5.split(share):
        n, g, t, s, p = part_M5.unbind(-1)
        distance_MK = _pair_hits(rays, solids, n, g, t, s, p)
        row_M = ((n * key_NGTSK.shape[1] + g) * key_NGTSK.shape[2] + t) * key_NGTSK.shape[3] + s
        key_QK.scatter_reduce_(0, row_M[:, None].expand_as(distance_MK), _key(distance_MK, p[:, None]), "amin")
    return (key_NGTSK >> 8).int().view(torch.float32), key_NGTSK & 255


def _key(distance: Tensor, solid: Tensor | int) -> Tensor:
    return (distance.contiguous().view(torch.int32).long() << 8) | solid


def _ground_keys(rays: Rays, times: int, count: int) -> Tensor:
    height, slope = rays.origin_NGS3K[..., 1, :], rays.direction_NGS3K[..., 1, :]
    distance_NGSK = -height / slope.clamp(max=-1e-6)
    hit_NGSK = (slope < -1e-6) & (distance_NGSK > NEAR) & (distance_NGSK < FAR)
    key_NGSK = torch.where(hit_NGSK, _key(distance_NGSK, count), _key(torch.full_like(distance_NGSK, FAR), count + 1))
    return key_NGSK[:, :, None].repeat(1, 1, times, 1, 1)


def _touching(rays: Rays, solids: Solids) -> Tensor:
    """bool [N, G, T, S, P]: whether the solid's ball meets the tile's cone."""
    times = solids.centre_NTP3.shape[1]
    centre_NTP3, radius_NTP = solids.bounds()
    centre_N1EP = centre_NTP3.flatten(1, 2).mT[:, None]  # times and solids in one line for the products
    origin_NGS3, axis_NGS3 = rays.axis_origin_NGS3, rays.axis_NGS3
    along = axis_NGS3 @ centre_N1EP - (axis_NGS3 * origin_NGS3).sum(-1, keepdim=True)
    square = (
        centre_N1EP.square().sum(-2, keepdim=True)
        + origin_NGS3.square().sum(-1, keepdim=True)
        - 2 * origin_NGS3 @ centre_N1EP
    )
    sine = rays.sine_NGS[..., None]
    # The products of large numbers leave an error of about a hundredth in short distances.
    room = radius_NTP.flatten(1)[:, None, None] + rays.width_NGS[..., None] + 0.02
    reach = (room + along * sine).clamp_min(0).square()
    meets = ((square - along.square()) * (1 - sine.square()) <= reach) & (along > -room)
    meets_NGSTP = meets.unflatten(-1, (times, -1)) & solids.shown_NP[:, None, None, None]
    return meets_NGSTP.transpose(2, 3)


def _pair_hits(rays: Rays, solids: Solids, n: Tensor, g: Tensor, t: Tensor, s: Tensor, p: Tensor) -> Tensor:
    """t [M, K] at which the rays of tile (n, g, s) first meet solid (n, t, p)."""
    inverse_M33 = solids.inverse_NTP33[n, t, p]
    origin = inverse_M33 @ (rays.origin_NGS3K[n, g, s] - solids.centre_NTP3[n, t, p][..., None])
    direction = inverse_M33 @ rays.direction_NGS3K[n, g, s]
    origin, direction = torch.broadcast_tensors(origin, direction)
    box_M = solids.box_NP[n, p]
    distance_MK = torch.empty_like(direction[:, 0])
    box, cone = box_M.nonzero()[:, 0], (~box_M).nonzero()[:, 0]
    distance_MK[box] = box_hits(origin[box], direction[box])
    distance_MK[cone] = cone_hits(
        origin[cone], direction[cone], solids.length_NP[n, p][cone, None], solids.tip_NP[n, p][cone, None]
    )
    return distance_MK


def box_hits(origin_M3K: Tensor, direction_M3K: Tensor) -> Tensor:
    """t [M, K] of the first hit of the box -1..1, MISS where there is none."""
    inverse = 1 / torch.where(direction_M3K.abs() < 1e-9, 1e-9, direction_M3K)
    middle, half = -origin_M3K * inverse, inverse.abs()
    enter, leave = (middle - half).amax(1), (middle + half).amin(1)
    return torch.where((enter < leave) & (enter > NEAR), enter, MISS)


def cone_hits(origin_M3K: Tensor, direction_M3K: Tensor, length_M1: Tensor, tip_M1: Tensor) -> Tensor:
    """t [M, K] of the first hit of the rounded cone (see Solids), MISS where there is none.

    The hull is entered through one of its balls or through the cone x^2 + z^2 = ((1 - s y) / c)^2 that touches both, s = (1 - tip) / length, c^2 = 1 - s^2,
    which counts where s <= y <= s + length c^2. Rays that start inside are not treated.
    """
    (ox, oy, oz), (dx, dy, dz) = origin_M3K.unbind(1), direction_M3K.unbind(1)
    dd, od, oo = dx * dx + dy * dy + dz * dz, ox * dx + oy * dy + oz * dz, ox * ox + oy * oy + oz * oz
    first = _near_root(dd, od, oo - 1)
    lifted = oo + length_M1 * (length_M1 - 2 * oy) - tip_M1.square()
    first = torch.minimum(first, _near_root(dd, od - length_M1 * dy, lifted))
    s = (1 - tip_M1) / length_M1.clamp_min(1e-6)
    c2 = (1 - s * s).clamp_min(0)
    rest = 1 - s * oy
    # c2 |o|^2 and friends hold y too, hence the differences
    a = c2 * (dd - dy * dy) - (s * dy).square()
    b = c2 * (od - oy * dy) + s * dy * rest
    c = c2 * (oo - oy * oy) - rest.square()
    root = (b * b - a * c).clamp_min(0).sqrt()
    crossed = b * b > a * c
    a = torch.where(a.abs() < 1e-9, 1e-9, a)
    for sign in (-1, 1):
        t = (sign * root - b) / a
        y = oy + t * dy
        first = torch.where(crossed & (t > NEAR) & (y >= s) & (y <= s + length_M1 * c2), torch.minimum(first, t), first)
    return first


def _near_root(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The smaller root of a t^2 + 2 b t + c above NEAR, else MISS."""
    inside = b * b - a * c
    t = -(b + inside.clamp_min(0).sqrt()) / a
    return torch.where((inside > 0) & (t > NEAR), t, MISS)


def own_normals(point_3R: Tensor, length_R: Tensor, tip_R: Tensor, box_R: Tensor) -> Tensor:
    """Outward directions [3, R], of any length, at surface points, both in the solid's own frame."""
    x, y, z = point_3R
    s = (1 - tip_R) / length_R.clamp_min(1e-6)
    foot_R = (y - (x * x + z * z).sqrt() * s * (1 - s * s).clamp_min(1e-6).rsqrt()).clamp_min(0).minimum(length_R)
    size_3R = point_3R.abs()
    flat_3R = torch.where(size_3R >= size_3R.amax(0), point_3R, 0)
    return torch.where(box_R, flat_3R, torch.stack([x, y - foot_R, z]))
