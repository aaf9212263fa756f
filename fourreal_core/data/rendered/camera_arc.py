"""Cameras on an arc round a point, exact and in the OpenCV frame, and a random arc that frames a model. Used by scenes.py. Legend: V views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .render import look_at


@dataclass(frozen=True)
class CameraArc:
    """Cameras on an arc round `target`; angles in radians, pairs are the values at the first and the last view, between them linear.

    `zoom` multiplies the focal length, `field` is the vertical field of view before it; `jitter` moves the point looked at.
    """

    target: tuple[float, float, float]
    azimuth: tuple[float, float]
    elevation: tuple[float, float]
    distance: tuple[float, float]
    zoom: tuple[float, float]
    field: float
    jitter: tuple[tuple[float, float, float], tuple[float, float, float]]
    roll: tuple[float, float]

    def cameras(self, views: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """World-to-camera [V, 4, 4] and intrinsics [V, 3, 3] in pixels (pixel centres at +0.5) of `views` cameras from end to end of the arc."""
        poses, intrinsics = [], []
        for s in np.linspace(0, 1, views) if views > 1 else [0.0]:
            azimuth, elevation, distance, zoom, roll = (
                a + s * (b - a) for a, b in (self.azimuth, self.elevation, self.distance, self.zoom, self.roll)
            )
            outward = np.array(
                [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)]
            )
            target = np.array(self.target)
            poses.append(
                look_at(
                    target + distance * outward,
                    target + (1 - s) * np.array(self.jitter[0]) + s * np.array(self.jitter[1]),
                    roll,
                )
            )
            focal = zoom * 0.5 * height / np.tan(0.5 * self.field)
            intrinsics.append([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return np.stack(poses), np.array(intrinsics)

    def eyes(self) -> np.ndarray:
        """16 camera positions [16, 3] along the arc."""
        poses, _ = self.cameras(16, 2, 2)
        return -np.einsum("vji,vj->vi", poses[:, :3, :3], poses[:, :3, 3])


def random_arc(rng: np.random.Generator, bottom: float, top: float, radius: float, aspect: float = 16 / 9) -> CameraArc:
    """An arc of 20 to 90 degrees round a thing that reaches from `bottom` to `top` and `radius` sidewards.

    It fills at most 45 to 80 % of the picture height and 85 % of the width; less where it turns its narrow side to the camera. Most arcs
    change distance and focal length a little; one in eight each is a dolly, a zoom, or both against each other, so that the thing keeps its size.
    """
    field = float(np.radians(rng.uniform(25, 55)))
    share = rng.uniform(0.45, 0.8)
    extent = max((top - bottom) / share, 2 * radius / (0.85 * aspect))
    distance = 0.5 * extent / np.tan(0.5 * field) + 0.4 * radius
    azimuth = rng.uniform(0, 2 * np.pi)
    sweep = np.radians(rng.uniform(20, 90)) * rng.choice([-1, 1])
    elevation = np.radians(rng.uniform(4, 38))
    rise = np.radians(rng.normal(0, 9))
    closer, zoom = random_approach(rng)
    jitter = rng.normal(0, 0.06, (2, 3))
    jitter[1] = jitter[0] + 0.5 * jitter[1]
    roll = rng.normal(0, 0.02, 2)
    return CameraArc(
        target=(0.0, (top + bottom) / 2, 0.0),
        azimuth=(float(azimuth), float(azimuth + sweep)),
        elevation=(float(elevation), float(np.clip(elevation + rise, np.radians(3), np.radians(55)))),
        distance=(float(distance), float(distance * closer)),
        zoom=(1.0, float(zoom)),
        field=field,
        jitter=(tuple(jitter[0]), tuple(jitter[1])),
        roll=(float(roll[0]), float(roll[1])),
    )


def random_approach(rng: np.random.Generator) -> tuple[float, float]:
    """(distance, focal length) at the last view over those at the first: both little changed, or a dolly, a zoom, or a dolly zoom."""
    small = rng.uniform(0.85, 1.2), rng.uniform(0.9, 1.12)
    large = rng.uniform(0.65, 0.8) if rng.random() < 0.5 else rng.uniform(1.3, 1.6)
    kind = rng.choice(4, p=[0.625, 0.125, 0.125, 0.125])
    return [small, (large, 1.0), (1.0, 1 / large), (large, large)][kind]


def way_across_the_edge(
    rng: np.random.Generator, arc: CameraArc, radius: float, aspect: float = 16 / 9
) -> tuple[np.ndarray, np.ndarray]:
    """(middle, walk), both (x, z) on the ground: of a thing of `radius` that enters or leaves the picture of the middle view sidewards."""
    pose = arc.cameras(3, 2, 2)[0][1]
    right, ahead = (axis / np.linalg.norm(axis) for axis in (pose[0, [0, 2]], pose[2, [0, 2]]))
    spot = np.array(arc.target)[[0, 2]] + ahead * rng.uniform(-0.2, 0.6) * sum(arc.distance) / 2
    across, _, depth = pose[:3, :3] @ (spot[0], arc.target[1], spot[1]) + pose[:3, 3]
    edge = depth * np.tan(0.5 * arc.field) * aspect / (0.5 * sum(arc.zoom))
    side = rng.choice([-1, 1])
    outwards = side * 2.4 * radius * right
    return spot + (side * edge - across) * right, outwards if rng.random() < 0.5 else -outwards


def in_the_way(spot: np.ndarray, radius: float, arc: CameraArc) -> bool:
    """Whether a thing of `radius` at `spot` (x, z) touches a camera or the line from a camera to the middle of the main model."""
    target = np.array(arc.target)[[0, 2]]
    rays = arc.eyes()[:, [0, 2]] - target
    along = np.clip(((spot - target) * rays).sum(1) / (rays**2).sum(1), 0.15, 1.3)
    return bool((np.linalg.norm(target + along[:, None] * rays - spot, axis=1) < radius + 0.1).any())
