"""Saved trainings, checkpoints and datasets that are broken inside, and two runs in one folder: one clear error each."""

import json
import math
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from fourreal_core.exchange.nerfstudio_reading import read_dataset
from fourreal_core.exchange.rig import plan_rig
from fourreal_core.files.atomic import write_tensors
from fourreal_core.files.lock import held_alone
from fourreal_core.grid_file import load_grid
from fourreal_core.model.config import ModelConfig, tiny
from fourreal_core.model.sync_file import SyncConfig, SyncLayers
from fourreal_core.model.weights import load_model
from fourreal_core.training import sync_loop
from fourreal_core.training.sync_loop import SyncTraining, start, train

PACK = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("text", ["null", "[]", "3", "{", '"text"', "{}"])
def test_other_configs_get_one_clear_error(text):
    with pytest.raises(ValueError, match="model config"):
        ModelConfig.from_json(text)


def test_a_kind_of_synchronization_is_listed_once():
    values = json.loads(tiny().to_json())
    with pytest.raises(ValueError, match="each kind of synchronization layers once"):
        ModelConfig.from_json(json.dumps({**values, "sync": ["soft", "hard"] * 5000}))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(header, tensors, layers) of a training of two steps."""
    from safetensors import safe_open

    file, plan = tmp_path_factory.mktemp("saved") / "state.safetensors", SyncTraining(steps=2, warmup=1)
    state = start(fresh(), "base", plan, file)
    train(
        state,
        plan,
        [0],
        lambda draw: sum(weight.square().mean() for weight in state.layers.parameters()),
        file,
        lambda: False,
    )
    with safe_open(file, framework="pt") as opened:
        return opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}


def fresh():
    return SyncLayers(SyncConfig("wan", 16, 2, rank=4, sigma_width=8)).initialize(
        generator=torch.Generator().manual_seed(0)
    )


BREAKS = {
    "config is a list": (lambda header, tensors: header.update(config="[]"), "does not say which layers"),
    "config is no JSON": (lambda header, tensors: header.update(config="{"), "not a complete saved training"),
    "no step": (lambda header, tensors: header.pop("step"), "not a complete saved training .KeyError"),
    "no base": (lambda header, tensors: header.pop("base"), "not a complete saved training .KeyError"),
    "no losses": (lambda header, tensors: tensors.pop("losses"), "not a complete saved training .KeyError"),
    "a moment is missing": (
        lambda header, tensors: tensors.pop(moment(tensors)),
        "missing or unexpected values for parameter .*exp_avg",
    ),
    "a moment is NaN": (lambda header, tensors: tensors[moment(tensors)].fill_(math.nan), "NaN or infinity"),
    "a moment is too small": (
        lambda header, tensors: tensors.update({moment(tensors): torch.zeros(1)}),
        "to have its parameter's shape",
    ),
    "weights are NaN": (lambda header, tensors: tensors[weight(tensors)].fill_(math.nan), "NaN or infinity"),
    "a weight is missing": (lambda header, tensors: tensors.pop(weight(tensors)), "this model have different weights"),
    "an average is whole numbers": (
        lambda header, tensors: tensors.update({average(tensors): tensors[average(tensors)].int()}),
        "damaged",
    ),
}


def moment(tensors):
    return min(name for name in tensors if name.endswith(".exp_avg"))


def weight(tensors):
    return min(name for name in tensors if name.startswith("model."))


def average(tensors):
    return min(name for name in tensors if name.startswith("ema."))


@pytest.mark.parametrize("name", BREAKS)
def test_a_saved_training_that_is_broken_inside_gets_one_clear_error(name, saved, tmp_path):
    spoil, sentence = BREAKS[name]
    header, tensors = dict(saved[0]), {key: tensor.clone() for key, tensor in saved[1].items()}
    spoil(header, tensors)
    write_tensors(tmp_path / "state.safetensors", tensors, header)
    with pytest.raises(ValueError, match=sentence) as caught:
        start(fresh(), "base", SyncTraining(), tmp_path / "state.safetensors")
    assert type(caught.value) is ValueError and "\n" not in str(caught.value)


def test_a_whole_saved_training_goes_on(saved, tmp_path):
    write_tensors(tmp_path / "state.safetensors", saved[1], saved[0])
    assert start(fresh(), "base", SyncTraining(), tmp_path / "state.safetensors").step == 2


def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(saved, tmp_path, monkeypatch):
    file = tmp_path / "state.safetensors"
    write_tensors(file, saved[1], saved[0])
    state, content = start(fresh(), "base", SyncTraining(), file), file.read_bytes()

    def disk_full(tensor):
        raise OSError("No space left on device")

    monkeypatch.setattr("fourreal_core.files.atomic.tensor_bytes", disk_full)
    with pytest.raises(ValueError, match="could not save the training .*No space left on device"):
        sync_loop.save(state, SyncTraining(), file)
    assert file.read_bytes() == content and list(tmp_path.iterdir()) == [file]


HOLDER = """
import runpy, sys, time
held_alone = runpy.run_path(sys.argv[1])["held_alone"]  # alone, which saves importing PyTorch
with held_alone(sys.argv[2], "taken"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(PACK / "fourreal_core" / "files" / "lock.py"), str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match="another training is under way"),
            held_alone(tmp_path / ".lock", "another training is under way"),
        ):
            pass
        holder.kill()
        holder.wait()
    began = time.monotonic()
    with held_alone(tmp_path / ".lock", "taken"):
        assert time.monotonic() - began < 5


POSE = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def dataset(folder, described, name="images/a.png", bom=False):
    (folder / "images").mkdir()
    Image.new("RGB", (48, 32)).save(folder / "images" / "a.png")
    text = json.dumps({"frames": [{"file_path": name, "transform_matrix": POSE}], **described})
    (folder / "transforms.json").write_text(text, encoding="utf-8-sig" if bom else "utf-8")
    return folder


@pytest.mark.parametrize("name", ["images/a.png", "images/a", "./images/a", "images\\a.png"])
def test_datasets_of_instant_ngp_are_read(name, tmp_path):
    data = read_dataset(dataset(tmp_path, {"camera_angle_x": 2 * math.atan(0.5)}, name, bom=True))
    assert data.size == (32, 48) and data.recordings[0].images[0].name == "a.png"
    assert data.cameras.intrinsics[0].tolist() == [[48, 0, 24], [0, 48, 16], [0, 0, 1]]


def test_a_fisheye_lens_is_told_and_other_angles_are_refused(tmp_path):
    assert "fisheye" in read_dataset(dataset(tmp_path, {"fl_x": 40, "camera_model": "OPENCV_FISHEYE"})).distortion
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="camera_angle_x between 0 and pi"):
        read_dataset(dataset(tmp_path / "b", {"camera_angle_x": 4}))


@pytest.mark.parametrize(
    "lens", [{"camera_model": "EQUIRECTANGULAR"}, {"is_fisheye": True}, {"k5": 0.1}, {"s2": -0.01}]
)
def test_lenses_of_other_kinds_are_told(lens, tmp_path):
    assert "undistort" in read_dataset(dataset(tmp_path, {"fl_x": 40, **lens})).distortion


def test_what_a_grid_has_no_place_for_is_told_and_what_says_nothing_is_not(tmp_path):
    said = {"fl_x": 40, "camera_model": "OPENCV", "k5": None, "rolling_shutter": [0, 0, 0], "mask_path": "a.png"}
    data = read_dataset(dataset(tmp_path, {**said, "depth_file_path": "d.png", "aabb_scale": 16, "mask": None}))
    assert data.ignored.startswith("transforms.json also gives masks and depth pictures") and data.distortion == ""
    assert data.ignored in plan_rig(tmp_path).remarks
    (tmp_path / "b").mkdir()
    assert read_dataset(dataset(tmp_path / "b", {"fl_x": 40, "rolling_shutter": [0, 0, 0]})).ignored == ""


def test_links_in_a_circle_and_pipes_are_no_images(tmp_path):
    dataset(tmp_path, {"fl_x": 40}, "images/loop")
    (tmp_path / "images" / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match="'images/loop', is not in the folder"):
        read_dataset(tmp_path)


def test_a_message_does_not_repeat_a_header_of_megabytes(tmp_path):
    file = tmp_path / "a.grid.safetensors"
    text = json.dumps({"x": {"dtype": "9" * 10**6, "shape": [1], "data_offsets": [0, 4]}}).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    for load in (load_grid, load_model):
        with pytest.raises(ValueError, match=r"a\.grid\.safetensors .*\.\.\.\)") as caught:
            load(file)
        assert len(str(caught.value)) < 400
