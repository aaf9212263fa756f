"""Cameras along the arc, on an orbit and their pictures; files for other programs, read back by the libraries that define them."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_splats import T, V, made

from fourreal_core.grid import Cameras
from fourreal_core.splats.exports import (
    HARMONIC,
    LibraryMissing,
    write_4dgs,
    write_glb,
    write_ply,
    write_sequence,
    write_usd,
)
from fourreal_core.splats.gaussians import Gaussians, NodePaths, rotation_matrices
from fourreal_core.splats.views import camera_between, draw, orbit, pivot_of, shots_along, up_of


def arc(splats, degrees: float = 30.0):
    """Cameras at distance 4 around (0, 0, 4), `degrees` apart, level."""
    poses = torch.eye(4).repeat(V, 1, 1)
    for view in range(V):
        angle = math.radians(degrees * view)
        poses[view, :3, :3] = torch.tensor(
            [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
        )
        eye = torch.tensor([0, 0, 4.0]) - poses[view, 2, :3] * 4
        poses[view, :3, 3] = -poses[view, :3, :3] @ eye
    return replace(splats, cameras=Cameras(poses, splats.cameras.intrinsics), motion=NodePaths.none())


def test_between_two_views_the_camera_is_between():
    splats = arc(made())
    pose, lens = camera_between(splats, 1.5)
    angle = math.radians(45)
    wanted = torch.tensor([[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]])
    assert torch.allclose(pose[:3, :3], wanted, atol=1e-5) and torch.allclose(lens, splats.cameras.intrinsics[0])
    assert torch.equal(camera_between(splats, 2.0)[0], splats.cameras.world_to_camera[2])
    with pytest.raises(ValueError, match="expected positions within"):
        shots_along(splats, [(V - 0.5, 0)])


def test_an_orbit_goes_through_the_views_and_beyond():
    splats = arc(made())
    assert torch.allclose(pivot_of(splats), torch.tensor([0, 0, 4.0]), atol=0.1)
    assert torch.allclose(up_of(splats), torch.tensor([0, -1.0, 0]), atol=1e-6)
    shots = orbit(splats, 0, [0, -60, 120], [0, 1, 2])
    assert torch.allclose(shots[0].pose_44, splats.cameras.world_to_camera[0], atol=1e-5)
    placed = [-shot.pose_44[:3, :3].T @ shot.pose_44[:3, 3] for shot in shots]
    second = splats.cameras.world_to_camera[2]
    assert torch.allclose(placed[1], -second[:3, :3].T @ second[:3, 3], atol=0.15) or torch.allclose(
        orbit(splats, 0, [60], [0])[0].pose_44, second, atol=0.1
    )
    for shot, place in zip(shots, placed):
        assert float((place - pivot_of(splats)).norm()) == pytest.approx(4, abs=0.2)
        assert float(shot.pose_44[2, :3] @ (pivot_of(splats) - place)) == pytest.approx(4, abs=0.2)  # looks there
    high = orbit(splats, 0, [0], [0], height=30.0)[0]
    place = -high.pose_44[:3, :3].T @ high.pose_44[:3, 3]
    assert float((place - pivot_of(splats)) @ up_of(splats)) == pytest.approx(2, abs=0.1)  # 4 sin 30
    near = orbit(splats, 0, [0], [0], closer=2.0)[0]
    place = -near.pose_44[:3, :3].T @ near.pose_44[:3, 3]
    assert float((place - pivot_of(splats)).norm()) == pytest.approx(2, abs=0.1)


def pitched(splats, degrees: float, down: float):
    """The cameras of `arc`, looking down on the point that they circle."""
    level = arc(splats, degrees).cameras
    angle = math.radians(down)
    look = torch.tensor([[1.0, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    turns = look @ level.world_to_camera[:, :3, :3]
    eyes = torch.tensor([0, 0, 4.0]) - turns[:, 2] * 4
    poses = level.world_to_camera.clone()
    poses[:, :3, :3], poses[:, :3, 3] = turns, -torch.einsum("vij,vj->vi", turns, eyes)
    return replace(splats, cameras=Cameras(poses, level.intrinsics))


@pytest.mark.parametrize("degrees", [6.0, 30.0])
def test_cameras_that_look_down_on_an_arc_tell_what_is_up_and_an_orbit_keeps_the_horizon_level(degrees):
    splats = pitched(made(), degrees, 35)
    assert float(up_of(splats) @ torch.tensor([0, -1.0, 0])) > math.cos(math.radians(1.5))
    for shot in orbit(splats, 0, [-90, 45, 160], [0, 1, 2]):
        assert abs(float(shot.pose_44[0, 1])) < 0.04  # what is to the right is level
    alone = replace(splats, cameras=Cameras(splats.cameras.world_to_camera[:1], splats.cameras.intrinsics[:1]))
    assert torch.allclose(up_of(alone), -alone.cameras.world_to_camera[0, 1, :3], atol=1e-5)


def test_frames_of_another_size_show_all_of_a_cell():
    splats = arc(made())
    splats = replace(
        splats,
        gaussians=replace(
            splats.gaussians, positions_N3=splats.gaussians.positions_N3 * 0.3 + torch.tensor([0, 0, 4.0])
        ),
    )
    seen = []
    small, large = (
        draw(splats, shots_along(splats, [(0, 3.0)]), size, lambda done, total: seen.append((done, total)))
        for size in (None, (48, 64))
    )
    assert small.shape == (1, 16, 32, 3) and large.shape == (1, 48, 64, 3) and seen == [(1, 1)] * 2
    shrunk = torch.nn.functional.avg_pool2d(large[0, 8:40].movedim(-1, 0), 2).movedim(
        0, -1
    )  # 32 of 48 lines hold the cell
    assert float((shrunk - small[0]).abs().mean()) < 0.03
    with pytest.raises(ValueError, match="frames"):
        draw(splats, [])


def test_a_ply_file_holds_what_3dgs_programs_expect(tmp_path):
    splats = made()
    told = []
    files = write_sequence(
        splats,
        lambda time, file: write_ply(splats.at(time), file),
        tmp_path,
        "a",
        ".ply",
        lambda *done: told.append(done),
    )
    assert [file.name for file in files] == [f"a_{time:04}.ply" for time in range(1, T + 1)] and told[-1] == (T, T)
    header, _, body = files[3].read_bytes().partition(b"end_header\n")
    names = [line.split()[-1] for line in header.decode().splitlines() if line.startswith("property")]
    table = dict(zip(names, np.frombuffer(body, "<f4").reshape(len(splats.gaussians), -1).T))
    there = splats.at(3)
    assert np.allclose(np.stack([table[axis] for axis in "xyz"], 1), there.positions_N3)
    assert np.allclose(np.exp(table["scale_1"]), there.scales_N3[:, 1], rtol=1e-5)
    assert np.allclose(1 / (1 + np.exp(-table["opacity"])), there.opacities_N, atol=1e-5)
    assert np.allclose(0.5 + 0.28209479 * table["f_dc_2"], there.colours_N3[:, 2], atol=1e-5)
    assert np.allclose(table["rot_0"], there.rotations_N4[:, 0])


def test_a_4dgs_file_passes_its_librarys_validator_and_moves_as_the_splats_do(tmp_path):
    fourdgs = pytest.importorskip("fourdgs")
    from fourdgs.validate import validate

    splats, file = made(), tmp_path / "a.4dgs"
    write_4dgs(splats, file)
    report = validate(file.read_bytes())
    assert report.ok, [str(finding) for finding in report.findings]
    scene = fourdgs.read(str(file))
    up = torch.tensor([1.0, -1, -1])
    for time in (0.0, 2.0, 5.0):
        state = scene.gaussians.state_at(time / splats.fps + 1e-6)
        there = splats.at(time)
        assert len(state["centers"]) == len(there)
        found = torch.from_numpy(state["centers"]).float()
        apart = torch.cdist(found, there.positions_N3 * up)
        assert float(apart.min(1).values.max()) < 0.02 and len(set(apart.argmin(1).tolist())) == len(there)
        nearest = apart.argmin(1)
        assert np.allclose(state["opacity"], there.opacities_N[nearest], atol=0.01)
        assert np.allclose(scene.gaussians.scales[state["indices"]], there.scales_N3[nearest], rtol=0.02)
    # turns: the axes of a Gaussian that does not move
    still = [
        index
        for index in state["indices"]
        if scene.gaussians.win_hi[index] >= T / splats.fps - 1e-6 and scene.gaussians.win_lo[index] == 0
    ]
    if still:
        quaternion = torch.from_numpy(scene.gaussians.rotations[still[0]])[[3, 0, 1, 2]][None].float()
        which = int(
            torch.cdist(
                torch.from_numpy(scene.gaussians.positions[still[:1]]).float(), splats.gaussians.positions_N3 * up
            ).argmin()
        )
        turn = torch.diag(up) @ rotation_matrices(splats.gaussians.rotations_N4[which])
        assert torch.allclose(rotation_matrices(quaternion)[0], turn, atol=0.01)


def test_a_glb_file_is_read_back(tmp_path):
    fourdgs = pytest.importorskip("fourdgs")
    splats = made()
    write_glb(splats, 4, tmp_path / "a.glb")
    read = fourdgs.from_gltf(str(tmp_path / "a.glb")).gaussians
    there = splats.at(4).positions_N3 * torch.tensor([1.0, -1, -1])
    apart = torch.cdist(torch.from_numpy(np.asarray(read.positions)).float(), there)
    assert read.count == len(there) and float(apart.min(1).values.max()) < 0.01
    assert (tmp_path / "a.glb").read_bytes()[:4] == b"glTF"


def test_a_usd_file_has_every_time(tmp_path):
    """Read by USD itself (usd-core, which is no requirement of the tests)."""
    pytest.importorskip("fourdgs")
    usd = pytest.importorskip("pxr.Usd")
    splats, file = made(), tmp_path / "a.usdc"
    write_usd(splats, file)
    stage = usd.Stage.Open(str(file))
    assert (stage.GetTimeCodesPerSecond(), stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (12.5, 0, T - 1)
    prim = stage.GetPrimAtPath("/GaussianSplats")
    assert prim.GetTypeName() == "ParticleField3DGaussianSplat"
    for time in range(T):
        there = splats.at(time)
        found = torch.from_numpy(np.array(prim.GetAttribute("positions").Get(time)))
        apart = torch.cdist(found, there.positions_N3 * torch.tensor([1.0, -1, -1]))
        assert found.shape == there.positions_N3.shape and float(apart.min(1).values.max()) < 1e-5
        nearest = apart.argmin(1)
        opacities = np.array(prim.GetAttribute("opacities").Get(time))
        assert np.allclose(opacities, there.opacities_N[nearest], atol=1e-6)
        harmonics = np.array(prim.GetAttribute("radiance:sphericalHarmonicsCoefficients").Get(time))
        moves = nearest >= len(there) - splats.moving  # colours of the others are those of all times in the mean
        assert np.allclose(harmonics[moves] * HARMONIC + 0.5, there.colours_N3[nearest[moves]], atol=1e-5)


def test_a_format_whose_library_is_missing_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("fourreal_core.splats.exports.find_spec", lambda name: None)
    for write, package in ((write_4dgs, "fourdgs"), (write_usd, "fourdgs[usd]")):
        with pytest.raises(LibraryMissing, match=re.escape(f"pip install {package}`")):
            write(made(), tmp_path / "a.file")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = tmp_path / "a.ply"
    write_ply(made().gaussians, file)
    before = file.read_bytes()
    monkeypatch.setattr("fourreal_core.splats.exports.HARMONIC", None)
    with pytest.raises(TypeError):
        write_ply(made().gaussians, file)
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]
    assert isinstance(made().at(0), Gaussians)
