"""Draws Gaussians, in plain PyTorch on any device, with a backward pass written by hand: no compiler, no extension.

Kerbl et al., "3D Gaussian Splatting", SIGGRAPH 2023, with its conventions: projection by the Jacobian at the centre (Zwicker et al., EWA splatting, 2001), 0.3 pixels^2 added to
every covariance, alphas below 1/255 left out, front to back. What is drawn where is found per tile; tiles with about equally many Gaussians form a bucket, which is a few
dense operations whose arrays stay in the processor's cache. The backward pass needs the alphas alone (see `_Blend.backward`).
Shape suffixes: N Gaussians, H W pixels, C features; in a bucket: B tiles, K Gaussians each, front to back, X pixels of a tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..side_by_side import ask
from . import graphics_card
from .gaussians import Gaussians

TILE = 8  # pixels
BUCKET = {"cpu": 200_000}  # numbers in one array of a bucket: about the size of a cache
BUCKET_ELSEWHERE = 2**25
KEPT = 2**27  # alphas that are kept for the backward pass; beyond, they are computed again
LEAST_ALPHA, MOST_ALPHA = 1 / 255, 0.999
LOW_PASS = 0.3  # pixels^2
BEYOND = 0.3  # of the half picture: how far outside of it the Jacobian is still taken where the Gaussian is
NEAREST = 0.02  # of the median depth; what is nearer is not drawn
SMALLEST = 1e-9


@dataclass(frozen=True)
class Rendered:
    """features [H, W, C], without any background, and transmittance [H, W] 0..1: the share of light that comes through from behind."""

    features_HWC: Tensor
    through_HW: Tensor

    def over(self, background_C: Tensor) -> Tensor:
        """[H, W, C]: in front of a plain background."""
        return self.features_HWC + self.through_HW[..., None] * background_C


@dataclass(frozen=True)
class Flattened:
    """Gaussians on the picture's plane: centres [N, 2] in pixels, covariances [N, 3] (xx, xy, yy), depth [N] along the view axis, shown [N]."""

    centres_N2: Tensor
    covariances_N3: Tensor
    depth_N: Tensor
    shown_N: Tensor


def render(
    gaussians: Gaussians,
    world_to_camera_44: Tensor,
    intrinsics_33: Tensor,
    height: int,
    width: int,
    *,
    features_NC: Tensor | None = None,
) -> Rendered:
    """What a pinhole camera sees (as in grid.Cameras: pixel (i, j) is centred at i + 0.5, j + 0.5). features: None draws the colours.

    Differentiable in everything that is given, but for the order by depth; float32 or float64. Raises nothing: Gaussians
    behind the camera or outside of the picture are not drawn. On an NVIDIA card gsplat draws, if it is installed (graphics_card.py).
    """
    features = gaussians.colours_N3 if features_NC is None else features_NC
    positions = gaussians.positions_N3
    if graphics_card.suits(positions.device, positions.dtype, intrinsics_33):
        depth_N = positions.detach() @ world_to_camera_44.detach()[2, :3] + world_to_camera_44.detach()[2, 3]
        camera = world_to_camera_44, intrinsics_33, height, width
        return Rendered(*graphics_card.blend(gaussians, features, *camera, nearest_depth(depth_N)))
    flat = flatten(gaussians.positions_N3, gaussians.shapes(), world_to_camera_44, intrinsics_33, height, width)
    covariances = flat.covariances_N3
    determinant = (covariances[:, 0] * covariances[:, 2] - covariances[:, 1] ** 2).clamp_min(SMALLEST)
    conics_N3 = torch.stack([covariances[:, 2], -covariances[:, 1], covariances[:, 0]], -1) / determinant[:, None]
    plan = plan_tiles(flat, gaussians.opacities_N, height, width)
    logs_N = gaussians.opacities_N.clamp_min(SMALLEST).log()
    return Rendered(*_Blend.apply(flat.centres_N2, conics_N3, logs_N, features, plan))


def flatten(
    positions_N3: Tensor, shapes_N33: Tensor, world_to_camera_44: Tensor, intrinsics_33: Tensor, height: int, width: int
) -> Flattened:
    """The picture of each Gaussian; shapes: A of each covariance A A^T."""
    rotation, shift = world_to_camera_44[:3, :3], world_to_camera_44[:3, 3]
    camera_N3 = positions_N3 @ rotation.T + shift
    depth = camera_N3[:, 2]
    nearest = nearest_depth(depth.detach())
    shown = depth.detach() > nearest
    z = depth.clamp_min(nearest)
    x, y = camera_N3[:, 0] / z, camera_N3[:, 1] / z
    fx, fy, skew = intrinsics_33[0, 0], intrinsics_33[1, 1], intrinsics_33[0, 1]
    cx, cy = intrinsics_33[0, 2], intrinsics_33[1, 2]
    centres = torch.stack([fx * x + skew * y + cx, fy * y + cy], -1)
    far_x, far_y = BEYOND * width / 2 / fx, BEYOND * height / 2 / fy
    x, y = x.clamp(-cx / fx - far_x, (width - cx) / fx + far_x), y.clamp(-cy / fy - far_y, (height - cy) / fy + far_y)
    seen_N33 = rotation @ shapes_N33
    slope_y = (seen_N33[:, 1] - y[:, None] * seen_N33[:, 2]) / z[:, None]
    slope_x = (seen_N33[:, 0] - x[:, None] * seen_N33[:, 2]) / z[:, None] * fx + skew * slope_y
    slope_y = slope_y * fy
    covariances = [
        (slope_x * slope_x).sum(-1) + LOW_PASS,
        (slope_x * slope_y).sum(-1),
        (slope_y * slope_y).sum(-1) + LOW_PASS,
    ]
    return Flattened(centres, torch.stack(covariances, -1), depth, shown)


def nearest_depth(depth_N: Tensor) -> float:
    """From where Gaussians are drawn: a share of the median depth of those ahead."""
    ahead = depth_N > 0
    return NEAREST * float(depth_N[ahead].median()) if bool(ahead.any()) else 1.0


@dataclass(frozen=True)
class Bucket:
    """tiles [B]: their numbers; which [B, K]: Gaussians front to back, N where there are fewer; centres [B, 2] in pixels."""

    tiles_B: Tensor
    which_BK: Tensor
    centres_B2: Tensor


@dataclass(frozen=True)
class Plan:
    """Which Gaussians each tile shows; `across` and `down` tiles cover the picture."""

    buckets: list[Bucket]
    across: int
    down: int
    height: int
    width: int

    def tiled(self, picture_HWC: Tensor) -> Tensor:
        """[down * across, X, C] of a picture; zero beyond it."""
        whole = picture_HWC.new_zeros(self.down * TILE, self.across * TILE, picture_HWC.shape[-1])
        whole[: self.height, : self.width] = picture_HWC
        return (
            whole.unflatten(0, (self.down, TILE))
            .unflatten(2, (self.across, TILE))
            .transpose(1, 2)
            .flatten(2, 3)
            .flatten(0, 1)
        )

    def picture(self, tiles_X: Tensor) -> Tensor:
        """[H, W, C] of [down * across, X, C]."""
        parts = tiles_X.view(self.down, self.across, TILE, TILE, -1).transpose(1, 2)
        return parts.reshape(self.down * TILE, self.across * TILE, -1)[: self.height, : self.width]


@torch.no_grad()
def plan_tiles(flat: Flattened, opacities_N: Tensor, height: int, width: int) -> Plan:
    """The tiles that a Gaussian touches are those in which its alpha may reach 1/255, within its bounding box."""
    across, down = -(-width // TILE), -(-height // TILE)
    drawn = flat.shown_N & (opacities_N > LEAST_ALPHA)
    reach = 2 * (opacities_N / LEAST_ALPHA).clamp_min(1).log()
    half_x, half_y = (reach * flat.covariances_N3[:, 0]).sqrt(), (reach * flat.covariances_N3[:, 2]).sqrt()
    x, y = flat.centres_N2.unbind(-1)
    left, right = _tiles_between(x - half_x, x + half_x, across)
    top, bottom = _tiles_between(y - half_y, y + half_y, down)
    columns = right - left
    counts = torch.where(drawn, columns * (bottom - top), torch.zeros_like(columns))
    order = flat.depth_N.argsort(stable=True)
    counts = counts[order]
    which = order.repeat_interleave(counts)
    place = torch.arange(len(which), device=which.device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    wide = columns[which].clamp_min(1)
    tile = (top[which] + place.div(wide, rounding_mode="floor")) * across + left[which] + place % wide
    which = which[_stable_order(tile, across * down)]
    return Plan(
        _buckets(which, tile.bincount(minlength=across * down), len(order), across), across, down, height, width
    )


def _tiles_between(low_N: Tensor, high_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """First tile and one past the last, [N] each, equal where there is none."""
    first = (low_N / TILE).floor().nan_to_num(0).clamp(0, count).long()
    last = ((high_N / TILE).floor() + 1).nan_to_num(0).clamp(0, count).long()
    return first, torch.maximum(first, last)


def _stable_order(keys: Tensor, limit: int) -> Tensor:
    if keys.device.type != "cpu":
        return keys.argsort(stable=True)
    small = keys.numpy().astype(np.int16 if limit < 2**15 else np.int32)  # NumPy sorts 16 bits by radix
    return torch.from_numpy(np.argsort(small, kind="stable"))


def _buckets(which: Tensor, counts: Tensor, nobody: int, across: int) -> list[Bucket]:
    """which: numbers of Gaussians, tile by tile; counts: how many each tile has; nobody: the number that stands for none."""
    device = which.device
    starts = counts.cumsum(0) - counts
    tiles = counts.argsort(stable=True, descending=True)
    sizes = counts[tiles].tolist()
    which = torch.cat([which, which.new_tensor([nobody])])
    room, buckets, first = BUCKET.get(device.type, BUCKET_ELSEWHERE) // TILE**2, [], 0
    while first < len(sizes) and sizes[first] > 0:
        last = min(first + max(1, room // sizes[first]), len(sizes))
        mine = tiles[first:last]
        mine = mine[counts[mine] > 0]
        rank = torch.arange(sizes[first], device=device)
        places = torch.where(rank < counts[mine, None], starts[mine, None] + rank, len(which) - 1)
        corner = torch.stack([mine % across, mine.div(across, rounding_mode="floor")], -1)
        buckets.append(Bucket(mine, which[places], corner * TILE + TILE / 2))
        first = last
    return buckets


def _pixel_terms(like: Tensor) -> Tensor:
    """[6, X]: 1, u, v, u^2, u v, v^2 of a tile's pixel centres, from the tile's centre."""
    offsets = torch.arange(TILE, device=like.device, dtype=like.dtype) + 0.5 - TILE / 2
    v, u = (axis.reshape(-1) for axis in torch.meshgrid(offsets, offsets, indexing="ij"))
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v])


def _alphas(packed_N6: Tensor, bucket: Bucket, terms_6X: Tensor) -> Tensor:
    """[B, K, X]: opacity times the Gaussian's value; its exponent is a polynomial of the pixel's place in the tile."""
    x, y, a, b, c, log_opacity = packed_N6[bucket.which_BK].unbind(-1)
    x, y = bucket.centres_B2[:, None, 0] - x, bucket.centres_B2[:, None, 1] - y
    ax, by = a * x + b * y, b * x + c * y
    exponent = torch.stack([log_opacity - 0.5 * (ax * x + by * y), -ax, -by, -0.5 * a, -b, -0.5 * c], -1)
    alpha = (exponent @ terms_6X).exp_()
    return alpha.clamp_max_(MOST_ALPHA).mul_(alpha >= LEAST_ALPHA)


def _reaching(alpha_BKX: Tensor) -> Tensor:
    """[B, K + 1, X]: the share of light that passes all Gaussians in front of each, and at last all of them."""
    through = alpha_BKX.new_ones(alpha_BKX.shape[0], alpha_BKX.shape[1] + 1, alpha_BKX.shape[2])
    torch.cumprod(1 - alpha_BKX, 1, out=through[:, 1:])
    return through


class _Blend(torch.autograd.Function):
    """Features blended front to back: sum_i f_i alpha_i prod_(j < i) (1 - alpha_j), and the product over all."""

    @staticmethod
    def forward(ctx, centres_N2, conics_N3, log_opacities_N, features_NC, plan: Plan):
        nobody = centres_N2.new_tensor([[0, 0, 1, 0, 1, -30]])
        packed = torch.cat([torch.cat([centres_N2, conics_N3, log_opacities_N[:, None]], 1), nobody])
        features = torch.cat([features_NC, features_NC.new_zeros(1, features_NC.shape[1])])
        terms, tiles = _pixel_terms(packed), plan.across * plan.down
        drawn = packed.new_zeros(tiles, TILE**2, features.shape[1])
        through = packed.new_ones(tiles, TILE**2)
        kept, room = [], KEPT
        for bucket in plan.buckets:
            ask()
            alpha = _alphas(packed, bucket, terms)
            reaching = _reaching(alpha)
            shares = alpha * reaching[:, :-1]
            drawn[bucket.tiles_B] = shares.transpose(1, 2) @ features[bucket.which_BK]
            through[bucket.tiles_B] = reaching[:, -1]
            room -= alpha.numel()
            kept.append(alpha if room > 0 else None)
        ctx.plan, ctx.kept = plan, kept
        ctx.save_for_backward(packed, features)
        return plan.picture(drawn), plan.picture(through[..., None])[..., 0]

    @staticmethod
    def backward(ctx, *gradients):
        """With w_i the share of Gaussian i in a pixel, g the pixel's gradient and S_i what lies behind i, sum_(j > i) w_j f_j g + T_all g_T:

            d / d alpha_i = T_i f_i g - S_i / (1 - alpha_i);  d / d exponent_i = alpha_i times that, 0 where alpha is clamped

        The exponent is a polynomial of the pixel's place, so that six sums per Gaussian and tile give the gradients of centre, conic and opacity.
        """
        plan: Plan = ctx.plan
        packed, features = ctx.saved_tensors
        terms = _pixel_terms(packed)
        wanted, behind = plan.tiled(gradients[0]), plan.tiled(gradients[1][..., None])[..., 0]
        packed_gradient, features_gradient = torch.zeros_like(packed), torch.zeros_like(features)
        for bucket, alpha in zip(plan.buckets, ctx.kept):
            ask()
            alpha = _alphas(packed, bucket, terms) if alpha is None else alpha
            reaching, wanted_BXC = _reaching(alpha), wanted[bucket.tiles_B]
            shares = alpha * reaching[:, :-1]
            mine = features[bucket.which_BK] @ wanted_BXC.transpose(1, 2)
            which = bucket.which_BK.reshape(-1)
            features_gradient.index_add_(0, which, (shares @ wanted_BXC).flatten(0, 1))
            shown = shares * mine
            later = shown.sum(1, keepdim=True) - shown.cumsum(1) + (reaching[:, -1] * behind[bucket.tiles_B])[:, None]
            exponent = alpha * (reaching[:, :-1] * mine - later / (1 - alpha)) * (alpha < MOST_ALPHA)
            sums = (exponent @ terms.T).unbind(-1)
            packed_gradient.index_add_(0, which, _packed_gradient(packed, bucket, sums).flatten(0, 1))
        ctx.kept = None
        return (
            packed_gradient[:-1, :2],
            packed_gradient[:-1, 2:5],
            packed_gradient[:-1, 5],
            features_gradient[:-1],
            None,
        )


def _packed_gradient(packed_N6: Tensor, bucket: Bucket, sums: tuple[Tensor, ...]) -> Tensor:
    """[B, K, 6] of centre, conic and log opacity, from the gradient of the exponent summed with each of the six terms."""
    x, y, a, b, c, _ = packed_N6[bucket.which_BK].unbind(-1)
    x, y = bucket.centres_B2[:, None, 0] - x, bucket.centres_B2[:, None, 1] - y
    one, u, v, uu, uv, vv = sums
    along_x, along_y = u + x * one, v + y * one
    return torch.stack(
        [
            a * along_x + b * along_y,
            b * along_x + c * along_y,
            -0.5 * (uu + 2 * x * u + x * x * one),
            -(uv + x * v + y * u + x * y * one),
            -0.5 * (vv + 2 * y * v + y * y * one),
            one,
        ],
        -1,
    )
