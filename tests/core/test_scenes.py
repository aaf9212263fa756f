"""What random scenes do with the camera, and where things cross the edge of the picture. Whole scenes: test_render.py."""

import numpy as np
import pytest

from fourreal_core.data.rendered.camera_arc import random_approach, random_arc, way_across_the_edge
from fourreal_core.data.rendered.scenes import random_sky_tint

H, W = 36, 64


def arcs(count):
    return [random_arc(np.random.default_rng(seed), bottom=0.0, top=0.8, radius=0.4) for seed in range(count)]


def test_arcs_turn_by_20_to_90_degrees_both_ways_and_rise():
    made = arcs(200)
    sweeps = np.degrees([arc.azimuth[1] - arc.azimuth[0] for arc in made])
    assert (20 <= abs(sweeps)).all() and (abs(sweeps) <= 90).all() and (sweeps > 0).any() and (sweeps < 0).any()
    rises = np.degrees([arc.elevation[1] - arc.elevation[0] for arc in made])
    assert np.std(rises) > 4 and abs(rises).max() > 15


def test_some_paths_are_a_dolly_a_zoom_or_both_against_each_other():
    rng = np.random.default_rng(0)
    approaches = np.array([random_approach(rng) for _ in range(400)])
    closer, zoom = approaches.T
    kinds = [zoom == 1.0, closer == 1.0, (closer == zoom) & (closer != 1)]
    for kind in kinds:
        large = np.log(approaches[kind]).max(1) - np.log(approaches[kind]).min(1)
        assert 0.07 < kind.mean() < 0.19
        assert kind is kinds[2] or (large > 0.2).all()
    same_size = kinds[2]
    assert (closer[same_size] < 0.8).any() and (closer[same_size] > 1.3).any()
    small = ~np.any(kinds, axis=0)
    assert closer[small].min() >= 0.85 and closer[small].max() <= 1.2


@pytest.mark.parametrize("seed", range(8))
def test_a_way_across_the_edge_begins_inside_and_ends_outside_or_the_other_way_round(seed):
    arc = arcs(8)[seed]
    middle, walk = way_across_the_edge(np.random.default_rng(seed), arc, radius=0.3)
    assert np.isclose(np.linalg.norm(walk), 0.72)
    poses, intrinsics = arc.cameras(3, H, W)
    places = []
    for end in (middle - walk / 2, middle, middle + walk / 2):
        seen = poses[1][:3, :3] @ (end[0], arc.target[1], end[1]) + poses[1][:3, 3]
        assert seen[2] > 0
        places.append((intrinsics[1] @ seen)[0] / seen[2])
    inside = [0 < place < W for place in places]
    assert inside[0] != inside[2] and min(abs(places[1]), abs(places[1] - W)) < 3


def test_half_the_skies_change_their_hue_and_none_its_brightness():
    rng = np.random.default_rng(1)
    tints = np.array([random_sky_tint(rng) for _ in range(200)])
    assert np.allclose(tints.mean(1), 1) and tints.min() > 0.5 and 0.4 < (tints == 1).all(1).mean() < 0.6
    assert len(set(tints[(tints != 1).any(1)].argmax(1))) == 3
