"""What Gaussians are at a time, and that a file gives back what was saved and refuses everything else."""

import json
import math
from dataclasses import fields, replace

import pytest
import torch
from made_splats import D, N, P, T, made
from safetensors import safe_open
from safetensors.torch import save_file

from fourreal_core.splats.gaussians import Gaussians, NodePaths, path_basis, quaternions, rotation_matrices
from fourreal_core.splats.splat_file import SplatFileError, load_splats, save_splats


def test_nothing_has_moved_at_the_time_of_rest():
    splats = made()
    rested = splats.at(2.0)
    for part in fields(Gaussians):
        assert torch.allclose(getattr(rested, part.name), getattr(splats.gaussians, part.name), atol=1e-6)


def test_a_gaussian_that_follows_one_node_turns_about_it():
    splats, time = made(), 5.0
    basis = path_basis(time, T, 2.0, D)
    x, y = 2 * 5 / 6 - 1, 2 * 2 / 6 - 1
    polynomials = [lambda u: u, lambda u: (3 * u * u - 1) / 2, lambda u: (5 * u**3 - 3 * u) / 2]
    assert torch.allclose(basis, torch.tensor([p(x) - p(y) for p in polynomials]))
    shift, turn = (basis @ splats.motion.paths_MD6[0]).split(3)
    angle, axis = float(turn.norm()), turn / turn.norm()
    away = splats.gaussians.positions_N3[2] - splats.motion.nodes_M3[0]  # the first of the moving ones
    turned = (
        away * math.cos(angle)
        + torch.linalg.cross(axis, away) * math.sin(angle)
        + axis * (axis @ away) * (1 - math.cos(angle))
    )
    there = splats.at(time)
    assert torch.allclose(there.positions_N3[2], turned + splats.motion.nodes_M3[0] + shift, atol=1e-5)
    before, after = (rotation_matrices(q[2]) for q in (splats.gaussians.rotations_N4, there.rotations_N4))
    assert torch.allclose(after, rotation_matrices(quaternions(turn)) @ before, atol=1e-5)
    assert torch.equal(there.positions_N3[:2], splats.gaussians.positions_N3[:2])  # still ones
    shade = path_basis(time, T, 2.0, 2) @ splats.shades_NC3
    assert torch.allclose(there.colours_N3, (splats.gaussians.colours_N3 + shade).clamp(0, 1), atol=1e-6)


def test_times_beyond_the_ends_are_those_of_the_ends():
    splats = made()
    assert torch.equal(splats.at(-3).positions_N3, splats.at(0).positions_N3)
    assert torch.equal(splats.at(99).positions_N3, splats.at(T - 1).positions_N3)
    assert torch.equal(path_basis(0, 1, 0, 3), torch.zeros(3))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rest": 7.0}, "time of rest"),
        ({"fps": 0.0}, "fps"),
        ({"background_3": torch.tensor([0.0, 0, 2])}, "background"),
        ({"shades_NC3": torch.full((N, 2, 3), math.nan)}, "shades"),
        ({"motion": replace(made().motion, near_PK=torch.full((P, 2), 9))}, "numbers from 0 to 1"),
        ({"motion": replace(made().motion, shares_PK=torch.full((P, 2), 0.9))}, "sum 1"),
        ({"gaussians": replace(made().gaussians, rotations_N4=torch.zeros(N, 4))}, "unit"),
        ({"gaussians": replace(made().gaussians, positions_N3=torch.full((N, 3), math.inf))}, "positions"),
    ],
)
def test_bad_splats_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        replace(made(), **change)


def test_a_file_gives_back_what_was_saved(tmp_path):
    splats, file = made(), tmp_path / "a.splats.safetensors"
    save_splats(splats, file)
    read = load_splats(file)
    for time in (0.0, 3.3):
        for part in fields(Gaussians):
            assert torch.equal(getattr(read.at(time), part.name), getattr(splats.at(time), part.name))
    assert (read.times, read.fps, read.size, read.rest, read.facts) == (T, 12.5, (16, 32), 2.0, {"score": 31.5})
    assert torch.equal(read.background_3, splats.background_3) and torch.equal(
        read.cameras.intrinsics, splats.cameras.intrinsics
    )
    first = file.read_bytes()
    save_splats(read, file)
    assert file.read_bytes() == first


def test_still_splats_have_no_nodes(tmp_path):
    still = replace(made(), motion=NodePaths.none(), shades_NC3=torch.zeros(N, 0, 3))
    save_splats(still, tmp_path / "still.splats.safetensors")
    read = load_splats(tmp_path / "still.splats.safetensors")
    assert read.moving == 0 and torch.equal(read.at(4).positions_N3, still.gaussians.positions_N3)


def test_files_that_are_something_else_are_refused(tmp_path):
    file = tmp_path / "a.splats.safetensors"
    save_splats(made(), file)
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:100], b"", b"\xff" * 64, whole[:-5] + b"abcde"):
        file.write_bytes(damaged)
        with pytest.raises(SplatFileError):
            load_splats(file)
    file.write_bytes(whole)
    with safe_open(file, "pt") as opened:
        arrays, header = {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata())
    for change, said in (
        ({"format": "fourreal.grid"}, "another kind"),
        ({"version": "2"}, "update the pack"),
        ({"splats": "[1]"}, "an object"),
        ({"splats": json.dumps(json.loads(header["splats"]) | {"fps": "x"})}, "damaged"),
    ):
        save_file(arrays, file, header | change)
        with pytest.raises(SplatFileError, match=said):
            load_splats(file)
    for change in (
        {"scales": torch.zeros(N + 1, 3)},
        {"near": torch.zeros(P, 2, dtype=torch.int32)},
        {"extra": torch.zeros(1)},
    ):
        save_file(arrays | change, file, header)
        with pytest.raises(SplatFileError, match="expected"):
            load_splats(file)
    with pytest.raises(SplatFileError, match="no splat file"):
        load_splats(tmp_path / "missing.splats.safetensors")
    with pytest.raises(SplatFileError, match="no folder"):
        save_splats(made(), tmp_path / "missing" / "a.splats.safetensors")
