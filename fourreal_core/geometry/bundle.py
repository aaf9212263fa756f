"""Cameras, focal lengths and points refined together, so that the points are seen where they were found. Used by cameras.py.

Levenberg-Marquardt on the reduced camera system (Triggs et al., "Bundle Adjustment - A Modern Synthesis", 1999), with
Cauchy's robust weights and, other than pycolmap's, one focal length per view that may only change slowly from view to view.
Letters: N cameras, P points, O observations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .products import product

MOST_STEPS = 40
SETTLED = 1e-5  # relative change of the cost at which it stops


@dataclass(frozen=True)
class Scene:
    """world_to_camera [N, 4, 4], focals [N] in pixels, centre [2] of the picture, points [P, 3]; observation o is point
    `point[o]` seen by camera `camera[o]` at pixel `pixel[o]`, measured from the picture's corner. All float64 and int64."""

    world_to_camera: np.ndarray
    focals: np.ndarray
    centre: np.ndarray
    points: np.ndarray
    camera: np.ndarray
    point: np.ndarray
    pixel: np.ndarray

    def errors(self) -> np.ndarray:
        """[O]: distance in pixels of every observation from where its point is seen; infinite behind the camera."""
        seen = self._in_camera()
        residual = _project(seen, self.focals[self.camera], self.centre) - self.pixel
        return np.where(seen[:, 2] > 0, np.linalg.norm(residual, axis=1), np.inf)

    def depths(self) -> np.ndarray:
        """[O]: distance of every observation's point in front of its camera, in units of the scene."""
        return self._in_camera()[:, 2]

    def angles(self) -> np.ndarray:
        """[P]: degrees between the rays to every point from the first and from the last camera that sees it."""
        poses = self.world_to_camera
        places = -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])
        ends = [np.full(len(self.points), start) for start in (len(poses), -1)]
        np.minimum.at(ends[0], self.point, self.camera)
        np.maximum.at(ends[1], self.point, self.camera)
        first, last = (self.points - places[end] for end in ends)
        cosines = (first * last).sum(1) / np.maximum(
            np.linalg.norm(first, axis=1) * np.linalg.norm(last, axis=1), 1e-12
        )
        return np.degrees(np.arccos(np.clip(cosines, -1, 1)))

    def without(self, dropped: np.ndarray) -> Scene:
        """The scene without these observations [O] bool and without points that fewer than two cameras are left to see."""
        kept = ~dropped
        kept &= np.bincount(self.point[kept], minlength=len(self.points))[self.point] >= 2
        numbers, point = np.unique(self.point[kept], return_inverse=True)
        seen = {"camera": self.camera[kept], "point": point, "pixel": self.pixel[kept]}
        return replace(self, points=self.points[numbers], **seen)

    def _in_camera(self) -> np.ndarray:
        poses = self.world_to_camera[self.camera]
        return np.einsum("oij,oj->oi", poses[:, :3, :3], self.points[self.point]) + poses[:, :3, 3]


def refine(scene: Scene, noise: float, zoom: float, on_step: Callable[[], None] | None = None) -> tuple[Scene, float]:
    """(the scene with all cameras, focal lengths and points refined, its cost: mean robust squared error over noise).

    noise: expected error of an observation, pixels; larger ones count less and less. zoom: how much the logarithm of
    the focal length may change from one camera to the next (standard deviation); 1e-4: all the same.
    """
    damping, cost = 1e-3, _cost(scene, noise, zoom)
    for _ in range(MOST_STEPS):
        if on_step is not None:
            on_step()
        normal = _normal_equations(scene, noise, zoom)
        better = None
        while damping < 1e8:
            moved = _moved(scene, *_solved(*normal, damping))
            new = _cost(moved, noise, zoom)
            if new < cost:
                better, damping = moved, max(damping / 5, 1e-9)
                break
            damping *= 4
        if better is None:
            break
        settled = cost - new < SETTLED * cost
        scene, cost = better, new
        if settled:
            break
    return scene, cost / max(len(scene.pixel), 1)


def _project(seen: np.ndarray, focals: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return focals[:, None] * seen[:, :2] / np.where(np.abs(seen[:, 2:]) < 1e-9, 1e-9, seen[:, 2:]) + centre


def _cost(scene: Scene, noise: float, zoom: float) -> float:
    squares = np.minimum(scene.errors() / noise, 1e6) ** 2
    return float(np.log1p(squares).sum() + (np.diff(np.log(scene.focals)) ** 2).sum() / zoom**2)


def _normal_equations(scene: Scene, noise: float, zoom: float):
    """Blocks of J'J and J'r: cameras [7N, 7N], points [P, 3, 3], both [7N, P, 3]; gradients [7N] and [P, 3]."""
    poses, count = scene.world_to_camera[scene.camera], len(scene.focals)
    turned = np.einsum("oij,oj->oi", poses[:, :3, :3], scene.points[scene.point])
    x, y, z = (turned + poses[:, :3, 3]).T
    z = np.where(np.abs(z) < 1e-9, 1e-9, z)
    focal = scene.focals[scene.camera]
    slope = np.zeros((len(z), 2, 3))  # of the pixel by the point in the camera's frame
    slope[:, 0, 0] = slope[:, 1, 1] = focal / z
    slope[:, 0, 2], slope[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
    residual = np.stack([focal * x / z, focal * y / z], 1) + scene.centre - scene.pixel
    by_turn = -np.einsum("oij,ojk->oik", slope, _cross(turned))
    by_zoom = (residual + scene.pixel - scene.centre)[..., None]
    by_camera = np.concatenate([by_turn, slope, by_zoom], 2)
    by_point = np.einsum("oij,ojk->oik", slope, poses[:, :3, :3])
    weight = 1 / (noise**2 + (residual**2).sum(1))  # Cauchy's
    weighted = by_camera * weight[:, None, None]
    each = np.arange(count)
    cameras = np.zeros((count, 7, count, 7))
    cameras[each, :, each] = _summed(np.einsum("oia,oib->oab", weighted, by_camera), scene.camera, count)
    points = _summed(np.einsum("oia,oib,o->oab", by_point, by_point, weight), scene.point, len(scene.points))
    both = np.zeros((count, len(scene.points), 7, 3))
    np.add.at(both, (scene.camera, scene.point), np.einsum("oia,oib->oab", weighted, by_point))
    to_cameras = _summed(np.einsum("oia,oi->oa", weighted, residual), scene.camera, count)
    to_points = _summed(np.einsum("oia,oi,o->oa", by_point, residual, weight), scene.point, len(scene.points))
    _add_zoom(cameras, to_cameras, np.log(scene.focals), zoom)
    both = both.transpose(0, 2, 1, 3).reshape(7 * count, len(scene.points), 3)
    return cameras.reshape(7 * count, 7 * count), points, both, to_cameras.ravel(), to_points


def _add_zoom(cameras: np.ndarray, gradient: np.ndarray, logs: np.ndarray, zoom: float) -> None:
    for left in range(len(logs) - 1):
        change = (logs[left + 1] - logs[left]) / zoom**2
        for at, sign in ((left, -1), (left + 1, 1)):
            gradient[at, 6] += sign * change
            cameras[at, 6, at, 6] += 1 / zoom**2
        cameras[left, 6, left + 1, 6] -= 1 / zoom**2
        cameras[left + 1, 6, left, 6] -= 1 / zoom**2


def _solved(cameras, points, both, to_cameras, to_points, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """The step of cameras [N, 7] and of points [P, 3]: points are eliminated first."""
    cameras = cameras + np.diag(damping * np.diag(cameras) + 1e-12)
    own = np.einsum("pii->pi", points)
    inverse = np.linalg.inv(points + (damping * own + 1e-12)[:, :, None] * np.eye(3))
    through = np.empty_like(both)
    np.matmul(both.transpose(1, 0, 2), inverse, out=through.transpose(1, 0, 2))
    reduced = cameras - product(through.reshape(len(cameras), -1), both.reshape(len(cameras), -1).T)
    step = np.linalg.lstsq(reduced, -(to_cameras - np.einsum("cpj,pj->c", through, to_points)), rcond=1e-12)[0]
    of_points = -np.einsum("pij,pj->pi", inverse, to_points + np.einsum("cpi,c->pi", both, step))
    return step.reshape(-1, 7), of_points


def _moved(scene: Scene, step: np.ndarray, of_points: np.ndarray) -> Scene:
    poses = scene.world_to_camera.copy()
    poses[:, :3, :3] = _rotations(step[:, :3]) @ poses[:, :3, :3]
    poses[:, :3, 3] += step[:, 3:6]
    focals = scene.focals * np.exp(np.clip(step[:, 6], -1, 1))
    return replace(scene, world_to_camera=poses, focals=focals, points=scene.points + of_points)


def _rotations(vectors: np.ndarray) -> np.ndarray:
    """Rodrigues: [N, 3] axes times angles in radians to rotations [N, 3, 3]."""
    angles = np.linalg.norm(vectors, axis=1)[:, None, None]
    cross = _cross(vectors)
    first = np.where(angles < 1e-8, 1.0, np.sin(angles) / np.maximum(angles, 1e-12))
    second = np.where(angles < 1e-4, 0.5, (1 - np.cos(angles)) / np.maximum(angles, 1e-12) ** 2)
    return np.eye(3) + first * cross + second * cross @ cross


def _cross(vectors: np.ndarray) -> np.ndarray:
    matrices = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    matrices[:, 0, 1], matrices[:, 0, 2], matrices[:, 1, 2] = -z, y, -x
    return matrices - matrices.transpose(0, 2, 1)


def _summed(values: np.ndarray, into: np.ndarray, count: int) -> np.ndarray:
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, into, values)
    return sums
