"""Training of the geometry networks: losses with known answers, learning from one scene, going on after a stop, the whole way to one file."""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import pytest
import torch
from made_scenes import sliding_square
from processes import command

from fourreal_core.data.rendered.exact_files import save_exact
from fourreal_core.files.lock import held_alone
from fourreal_core.geometry.motion import MotionState
from fourreal_core.geometry.networks import GeometryNetworks, load_networks
from fourreal_core.geometry.projection import pixel_centres, project, unproject
from fourreal_core.geometry.sweep import PLANES
from fourreal_core.model.weights import load_model
from fourreal_core.training.geometry import run
from fourreal_core.training.geometry.depth import DepthTask, depth_loss
from fourreal_core.training.geometry.fusion import FusionTask
from fourreal_core.training.geometry.loop import GeometryPlan, Pool, Task, resume_plan, start, state_file, train
from fourreal_core.training.geometry.motion import MotionTask, _changed, motion_loss
from fourreal_core.training.geometry.movers import MoverTask, _mirrored

NAMES = ("depth", "motion", "movers", "fusion")
TRIED = [
    "depth",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("movers", "motion", "fusion")),
]  # the others go the same way


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def saved_scenes(folder, **sizes):
    for seed in range(3):
        save_exact(sliding_square(seed, **sizes), folder / f"scene_{seed:08d}.safetensors")
    return folder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return saved_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def small_scenes(tmp_path_factory):
    """Too small to learn from, large enough to go on with."""
    return saved_scenes(tmp_path_factory.mktemp("small_scenes"), views=3, times=2, height=20, width=36, side=8)


def make_task(name: str, scenes: Path, count: int = 1) -> Task:
    torch.manual_seed(0)
    networks, files = GeometryNetworks().eval().requires_grad_(False), sorted(scenes.iterdir())[:count]
    if name == "fusion":
        return FusionTask(networks, load_model(), files, files)
    if name == "movers":
        return MoverTask(networks, files, files)
    if name == "depth":
        return DepthTask(networks.depth, files, files)
    return MotionTask(networks.motion, networks.depth, files, files)


# steps and learning rate on one example, where little is to be averaged
TRAININGS = {"depth": (12, 4e-4), "motion": (20, 5e-4), "movers": (12, 3e-3), "fusion": (10, 2e-3)}


@pytest.mark.parametrize("name", TRIED)
def test_a_few_steps_on_one_scene_lower_its_loss_and_the_scores_are_numbers(name, scenes, tmp_path):
    task = make_task(name, scenes)
    example = task.prepare(0, generator())

    def loss():
        with torch.no_grad():
            return float(task.loss([example], generator(5)))

    before = loss()
    steps, rate = TRAININGS[name]
    plan = GeometryPlan(steps, batch=1, learning_rate=rate, first=1, fresh=0, warmup=1, precision="float32")
    train(start(task, plan, tmp_path), plan, tmp_path, lambda state: None)
    assert loss() < (0.98 if name in ("depth", "fusion") else 0.8) * before  # these two are nearly right from the start
    scores = task.scores()
    assert scores and all(value == value and abs(value) < 1e3 for value in scores.values())


@pytest.mark.parametrize("name", ["depth", pytest.param("movers", marks=pytest.mark.slow)])
def test_going_on_after_a_stop_equals_never_having_stopped(name, small_scenes, tmp_path):
    plan = GeometryPlan(steps=5, batch=2, first=2, fresh=1.0, pool=3, save_every=2, precision="float32")
    whole = start(make_task(name, small_scenes, 3), plan, tmp_path / "whole")
    train(whole, plan, tmp_path / "whole", lambda state: None)
    first = start(make_task(name, small_scenes, 3), plan, tmp_path / "parts")
    train(first, plan, tmp_path / "parts", lambda state: state.step == 3)
    assert first.step == 3
    again = start(make_task(name, small_scenes, 3), plan, tmp_path / "parts")
    assert again.step == 3 and again.losses == first.losses
    train(again, plan, tmp_path / "parts", lambda state: None)
    assert again.losses == whole.losses and len(set(whole.losses)) == 5
    for key, value in whole.task.network.state_dict().items():
        assert torch.equal(value, again.task.network.state_dict()[key]), key
        assert torch.equal(whole.ema[key], again.ema[key]), key


def test_the_pool_takes_in_examples_forgets_the_oldest_and_goes_through_all():
    class Numbers(Task):
        name, count = "numbers", 5

        def __init__(self):
            self.asked = []

        def prepare(self, index, generator):
            self.asked.append(index)
            return None if index == 3 else index

        def loss(self, examples, generator):
            raise NotImplementedError

        def scores(self):
            return {}

    task = Numbers()
    pool = Pool(task, GeometryPlan(batch=3, first=2, fresh=1.0, pool=4))
    drawn = [pool.draw(step, generator(step)) for step in range(40)]
    assert all(len(batch) == 3 and 3 not in batch for batch in drawn)
    assert len(pool._prepared) <= 4 and sorted(set(task.asked)) == [0, 1, 2, 3, 4]
    assert len(task.asked) <= 42  # each place of the sequence once
    later = Pool(Numbers(), GeometryPlan(batch=3, first=2, fresh=1.0, pool=4))
    assert later.draw(30, generator(30)) == drawn[30]
    task.count = 0
    with pytest.raises(ValueError, match="found no scenes to train the numbers network"):
        Pool(task, GeometryPlan())


def test_the_depth_loss_is_lowest_at_the_truth_and_counts_movers_more():
    position = torch.tensor([[[7.0, 7.25]]])
    right = torch.full((1, PLANES, 1, 2), -30.0)
    right[0, 7, 0, 0], right[0, 7, 0, 1], right[0, 8, 0, 1] = 0, torch.tensor(0.75).log(), torch.tensor(0.25).log()
    still = torch.zeros(1, 1, 2, dtype=torch.bool)
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    assert torch.isclose(depth_loss(right, position, still), entropy / 2, atol=1e-4)
    wrong = right.roll(20, 1)
    mover = torch.tensor([[[True, False]]])
    one_wrong = torch.cat([wrong[..., :1], right[..., 1:]], -1)
    # class error 30 and distance 3 on the first pixel, the entropy on the second
    assert torch.isclose(depth_loss(one_wrong, position, still), (33 + entropy) / 2, atol=1e-3)
    assert torch.isclose(depth_loss(one_wrong, position, mover), (5 * 33 + entropy) / 6, atol=1e-3)


def exact_state(example, flow_off=0.0, depth_off=0.0) -> MotionState:
    """What a network says that knows everything, but for constant errors."""
    sign = [(value.float() * 2 - 1) * 30 for value in (example.moving_THW, example.mover_THW, example.seen_THW)]
    flow = example.flow_THW2.float().movedim(-1, 1) + torch.tensor([flow_off, 0.0])[:, None, None]
    nothing = torch.zeros_like(example.parallax_THW)
    return MotionState(flow, example.parallax_THW + depth_off, sign[0], sign[1], nothing, nothing, sign[2])


def test_the_motion_loss_of_known_errors(scenes):
    task = make_task("motion", scenes)
    example = task.prepare(0, generator())
    assert motion_loss([exact_state(example)], example) < 1e-4
    # with a guessed error of 1 pixel an error e costs e (likelihood) + 0.3 e
    assert torch.isclose(motion_loss([exact_state(example, flow_off=2.0)], example), torch.tensor(2.6), atol=1e-3)
    assert torch.isclose(motion_loss([exact_state(example, depth_off=-3.0)], example), torch.tensor(3.9), atol=1e-3)
    both = [exact_state(example, flow_off=2.0), exact_state(example, depth_off=1.0)]
    assert torch.isclose(motion_loss(both, example), torch.tensor(0.5 * 2.6 + 1.3), atol=1e-3)


def test_a_mirrored_video_moves_the_other_way(scenes):
    example = make_task("motion", scenes).prepare(0, generator())
    seeds = [seed for seed in range(20) if _changed(example, generator(seed)) is not example]
    assert 4 < len(seeds) < 16
    mirrored = _changed(example, generator(seeds[0]))
    assert torch.equal(mirrored.flow_THW2[..., 0], -example.flow_THW2[..., 0].flip(-1))
    assert torch.equal(mirrored.flow_THW2[..., 1], example.flow_THW2[..., 1].flip(-1))
    for name in {field.name for field in fields(example)} - {"flow_THW2", "guess_THW2"}:
        value = getattr(example, name)
        assert torch.equal(getattr(mirrored, name), value.flip(2 if name == "frames_THW3" else -1)), name


def test_a_mirrored_scene_is_seen_by_mirrored_cameras(scenes):
    """Its points, unprojected by its cameras, are those of the scene with the other sign of x, and are seen at mirrored pixels in every view."""
    example = make_task("movers", scenes).prepare(0, generator())
    mirrored = _mirrored(example)
    known, other = example.known, mirrored.known
    height, width = known.depth_VHW.shape[1:]
    centres = pixel_centres(height, width)
    for view, (camera, again) in enumerate(zip(known.cameras, other.cameras)):
        points = unproject(centres, known.depth_VHW[view], *camera)
        mirror = unproject(centres, other.depth_VHW[view], *again).flip(1) * torch.tensor([-1.0, 1.0, 1.0])
        assert torch.allclose(points, mirror, rtol=1e-3, atol=1e-3)
        seen, inverse = project(points, *known.cameras[0])
        seen_again, inverse_again = project(points * torch.tensor([-1.0, 1.0, 1.0]), *other.cameras[0])
        assert torch.allclose(inverse, inverse_again, rtol=1e-4)
        assert torch.allclose(seen[..., 0], width - seen_again[..., 0], atol=1e-2)
    twice = _mirrored(mirrored)
    assert torch.equal(twice.known.state.flow_T2HW, known.state.flow_T2HW)
    assert torch.equal(mirrored.time_mover_THW, example.time_mover_THW.flip(-1))
    assert torch.equal(other.state.flow_T2HW[:, 0], -known.state.flow_T2HW[:, 0].flip(-1))


@pytest.mark.slow
def test_from_scenes_to_one_file_of_networks(scenes, tmp_path):
    told = []

    def reporter(plan):
        return lambda state: told.append((state.task.name, state.step, plan.precision))

    chosen = {"steps": 1, "batch": 1, "first": 1}
    with pytest.raises(ValueError, match="found no trained depth network"):
        run.train_network("motion", scenes, tmp_path, reporter, chosen=chosen)
    for name in NAMES:
        run.train_network(name, scenes, tmp_path, reporter, chosen=chosen)
    assert [entry[:2] for entry in told] == [(name, 1) for name in NAMES]
    assert all(entry[2] in ("float32", "bfloat16") for entry in told)
    assert resume_plan(run.PLANS["depth"], tmp_path, "depth", {"steps": 9}).batch == 1
    output = tmp_path / "networks.safetensors"
    run.export(tmp_path, output)
    networks = load_networks(output)
    trained = run.trained_networks(tmp_path, NAMES)
    for name, weight in trained.state_dict().items():
        assert torch.equal(networks.state_dict()[name], weight.bfloat16().float()), name
    state_file(tmp_path, "depth").unlink()
    with pytest.raises(ValueError, match="found no trained depth network"):
        run.export(tmp_path, output)
    run.export(tmp_path, tmp_path / "again.safetensors", others=output)
    assert torch.equal(
        load_networks(tmp_path / "again.safetensors").depth.unet.stem.weight, networks.depth.unet.stem.weight
    )


def test_states_that_do_not_fit_are_refused(scenes, tmp_path):
    task, plan = make_task("movers", scenes), GeometryPlan(steps=1, batch=1, first=1, precision="float32")
    train(start(task, plan, tmp_path), plan, tmp_path, lambda state: None)
    state_file(tmp_path, "movers").rename(state_file(tmp_path, "depth"))
    with pytest.raises(ValueError, match="belongs to another depth network"):
        start(make_task("depth", scenes), plan, tmp_path)
    state_file(tmp_path, "depth").write_bytes(b"cut")
    with pytest.raises(ValueError, match="cannot be read"):
        start(make_task("depth", scenes), plan, tmp_path)
    for change in ({"steps": 0}, {"learning_rate": 0.0}, {"precision": "half"}):
        with pytest.raises(ValueError, match="expected|unknown"):
            replace(plan, **change)


def test_the_command_trains_and_tells_its_errors(scenes, tmp_path):
    train_geometry = partial(command, "train_geometry.py")
    assert {"render", *NAMES, "export"} <= set(train_geometry("--help").split())
    words = ("--scenes", scenes, "--run", tmp_path, "--steps", 1, "--batch", 1)
    told = train_geometry("depth", *words, "--held-out", scenes)
    assert "depth step 1/1  loss" in told and "movers, mean px:" in told
    with pytest.raises(SystemExit, match=r"train_geometry\.py: found no trained motion network"):
        train_geometry("fusion", "--scenes", scenes, "--run", tmp_path)


def test_two_trainings_of_one_network_in_one_folder(scenes, tmp_path):
    with (
        held_alone(tmp_path / ".depth.lock", "taken"),
        pytest.raises(ValueError, match="another training of the depth"),
    ):
        run.train_network("depth", scenes, tmp_path, lambda plan: lambda state: True)
    assert [file.name for file in tmp_path.iterdir()] == [".depth.lock"]
