"""4Real Train Sync on the host's own classes, tiny and with random weights: what it learns, what it leaves alone, how it goes on.

Letters: V = 3 views, T = 5 times, H = 32, W = 64; C latent channels, L latent frames of a view.
"""

import json
import threading

import pytest
import tiny_backbones as tiny
import torch
from latent_fixtures import codec, load_model, random_weights, vae, wan_i2v, wan_vace  # noqa: F401
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_model_files import LTX_SIZES, LTX_VAE

V, T, H, W = 3, 5, 32, 64
FOOTAGE = {
    "videos": "footage", "captures": "", "grids": "", "views": V, "times": T, "width": W, "height": H, "encoding": "hold",
    "grids_per_source": 2, "tiled": False,
}  # fmt: skip
SETTINGS = {
    "sync": "soft", "rank": 8, "steps": 6, "learning_rate": 3e-3, "seed": 0, "grids_per_step": 1, "save_every": 50, "sheet_steps": 2,
    "precision": "auto", "checkpointing": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def footage(comfy_inside):
    """Two videos of a striped square that moves over a shaded ground, in the host's input folder."""
    write = comfy_inside.core("files.video").write_video
    folder = comfy_inside.base / "input" / "footage"
    folder.mkdir(exist_ok=True)  # two modules train on it
    for number in range(2):
        frames = torch.linspace(0, 1, 96)[None, None, :, None].expand(9, 48, 96, 3).clone()
        for time, frame in enumerate(frames):
            left = (8 + 5 * number) * time // 2 + 4
            frame[12:34, left : left + 22] = torch.tensor([0.9, 0.3 + 0.3 * number, 0.1])
            frame[20:24, left : left + 22] = 0
        write(folder / f"clip{number}.mkv", frames, fps=12, lossless=True)
    return folder


@pytest.fixture
def train(comfy_inside, vae, footage):
    """4Real Encode Footage and 4Real Train Sync, one after the other; each takes the settings that it has."""

    def call(model, **changes):
        given = {"vae": vae, "name": "fox"} | changes
        encoding = {"vae": given.pop("vae"), "name": given["name"]} | FOOTAGE
        encoding |= {name: given.pop(name) for name in FOOTAGE if name in given}
        [encoded] = comfy_inside.call("FourRealEncodeFootage", model=model, **encoding)
        usual = {"positive": tiny.text(1), **SETTINGS}
        return comfy_inside.call("FourRealTrainSync", model=model, footage=encoded, **(usual | given))

    return call


@pytest.fixture(scope="module")
def wan_file(comfy_inside):
    """A tiny Wan in models/diffusion_models, which the host's loader reads in inference mode."""
    path = comfy_inside.base / "models" / "diffusion_models" / "tiny_wan.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"config": json.dumps({"transformer": {"text_dim": 16, "freq_dim": 16, "num_heads": 2}})}
    save_file(dict(tiny.wan(layers=2).model.diffusion_model.state_dict()), path, metadata)
    return path.name


@pytest.fixture
def loaded_wan(comfy_inside, wan_file):
    return lambda dtype="default": comfy_inside.call("UNETLoader", unet_name=wan_file, weight_dtype=dtype)[0]


@pytest.fixture
def place(comfy_inside):
    """(folder of a run, file of its layers)"""
    base = comfy_inside.base
    return lambda name: (
        base / "output" / "fourreal_training" / name,
        base / "models" / "fourreal_sync" / f"{name}.safetensors",
    )


def facts_of(file):
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["about"])


def test_training_lowers_the_error_on_a_grid_that_was_kept_aside(comfy_inside, train, loaded_wan, place):
    model = loaded_wan()
    before = {name: weight.clone() for name, weight in model.model.state_dict().items()}
    layers, losses, sheet, name = train(model, name="learns", steps=60)
    about = facts_of(place("learns")[1])
    assert about["error_after"] < 0.8 * about["error_before"]
    assert len(losses["loss"]) == 60 and sum(losses["loss"][-15:]) < 0.8 * sum(losses["loss"][:15])
    assert about["steps"] == 60 and about["grids"] == 3 and about["encoding"] == "hold"
    assert sheet.ndim == 4 and sheet.shape[0] == 1 and 0 <= sheet.min() and sheet.max() <= 1
    # nothing but the file, the state and the latents has changed
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.state_dict().items())
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert not comfy_inside.pack_host("training.trainee").comfy.model_management.in_training
    assert name == "learns.safetensors"
    # the layers work in Two-Stream at once, and as they come out of the file
    [patched] = comfy_inside.call(
        "FourRealTwoStream", model=model, sync="auto", strength=1.0, output="mean", sync_layers=layers
    )
    [again] = comfy_inside.call("FourRealLoadSync", file=name)
    [from_file] = comfy_inside.call(
        "FourRealTwoStream", model=model, sync="auto", strength=1.0, output="mean", sync_layers=again
    )
    [averaging] = comfy_inside.call("FourRealTwoStream", model=model, sync="hard", strength=1.0, output="mean")
    made = [tiny.sample(each, tiny.noise()) for each in (patched, from_file, averaging)]
    assert torch.equal(made[0], made[1]) and (made[0] - made[2]).abs().max() > 1e-3


def test_a_cancelled_run_goes_on_bit_for_bit(comfy_inside, train, loaded_wan, place, monkeypatch):
    import comfy.model_management

    session = comfy_inside.pack_host("training.session")
    train(loaded_wan(), name="whole", sync="hard")
    shown = session.LossPreview.__call__

    def cancel(preview, losses):
        shown(preview, losses)
        if len(losses) == 3:
            comfy.model_management.interrupt_current_processing()

    monkeypatch.setattr(session.LossPreview, "__call__", cancel)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        train(loaded_wan(), name="stopped", sync="hard")
    folder, file = place("stopped")
    assert not file.exists() and sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") == [
        "state.safetensors"
    ]
    monkeypatch.setattr(session.LossPreview, "__call__", shown)
    _, losses, sheet, _ = train(loaded_wan(), name="stopped", sync="hard")
    whole, stopped = load_file(place("whole")[1]), load_file(file)
    assert all(torch.equal(stopped[name], whole[name]) for name in whole) and len(losses["loss"]) == 6
    _, again, same_sheet, _ = train(loaded_wan(), name="stopped", sync="hard")  # finished: nothing more to do
    assert again == losses and torch.equal(same_sheet, sheet)
    assert len(train(loaded_wan(), name="stopped", sync="hard", steps=8)[1]["loss"]) == 8


def test_the_vae_runs_once(train, vae, loaded_wan, monkeypatch):
    calls, encode = [], vae.encode
    monkeypatch.setattr(vae, "encode", lambda video: calls.append(len(video)) or encode(video))
    train(loaded_wan(), name="encoded", steps=2, sheet_steps=0)
    first = len(calls)
    train(loaded_wan(), name="encoded", steps=3, sheet_steps=0)
    assert len(calls) == first == 4 * V


def test_eight_bit_weights_are_trained_on_as_they_are(comfy_inside, train, loaded_wan):
    model = loaded_wan("fp8_e4m3fn")
    assert model.model.diffusion_model.blocks[0].ffn[0].weight.dtype == torch.float8_e4m3fn
    assert all(torch.isfinite(torch.tensor(train(model, name="eight bits", sheet_steps=0)[1]["loss"])))


def test_a_lora_on_the_model_takes_part_and_belongs_to_the_run(train, loaded_wan):
    import comfy.sd

    with torch.inference_mode():
        sizes = {"lora_down": (4, 48), "lora_up": (64, 4)}
        lora = {f"diffusion_model.blocks.0.ffn.0.{part}.weight": torch.randn(size) for part, size in sizes.items()}
        patched, _ = comfy.sd.load_lora_for_models(loaded_wan(), None, lora, 1.0, 0)
    plain, with_lora = (
        train(model, name=f"lora {number}", steps=2, sheet_steps=0)[1]["loss"]
        for number, model in enumerate((loaded_wan(), patched))
    )
    assert with_lora[0] != plain[0]
    with pytest.raises(
        ValueError,
        match="was trained on another model, or with other patches on it: delete it to start over, or choose another name",
    ):
        train(loaded_wan(), name="lora 1", steps=3)


@pytest.mark.parametrize("encoding", ["frame", "native"])
def test_other_encodings_and_image_to_video_weights(train, wan_i2v, encoding):
    losses = train(wan_i2v, name=f"i2v {encoding}", encoding=encoding, steps=3, sheet_steps=1)[1]["loss"]
    assert len(losses) == 3 and min(losses) > 0


def test_vace_weights_and_two_prompts(train, wan_vace):
    prompts = {"positive_view": tiny.text(3, length=4), "negative": tiny.text(4)}
    assert min(train(wan_vace, name="vace", steps=3, sheet_steps=1, **prompts)[1]["loss"]) > 0


def test_hunyuan(train):
    prompt = tiny.text(1, pooled_output=torch.randn(1, 768, generator=torch.Generator().manual_seed(1)))
    assert min(train(tiny.hunyuan(), name="hunyuan", positive=prompt, steps=3, rank=4)[1]["loss"]) > 0


def test_ltxv_behind_its_own_vae(train):
    """8 frames and 32 pixels per latent, timesteps per token."""
    import comfy.ldm.lightricks.model
    import comfy.ldm.lightricks.vae.causal_video_autoencoder as ltx
    import comfy.ops
    import comfy.sd

    own = comfy.sd.VAE(
        sd=random_weights(ltx.VideoVAE(config=LTX_VAE)), metadata={"config": json.dumps({"vae": LTX_VAE})}
    )
    network = comfy.ldm.lightricks.model.LTXVModel(
        **LTX_SIZES, operations=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    prompt = tiny.text(1, attention_mask=torch.ones(1, 6, dtype=torch.long))
    settings = {"positive": prompt, "name": "ltxv", "width": 96, "height": 64, "steps": 3, "rank": 4, "sheet_steps": 1}
    losses = train(load_model(network, LTX_SIZES), vae=own, **settings)[1]["loss"]
    assert len(losses) == 3 and min(losses) > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"videos": ""}, "no footage to train on: name a folder of videos, captures or grids"),
        (
            {"videos": "nowhere"},
            "found no nowhere in the input or output folder .videos.",
        ),
        (
            {"videos": "../models"},
            "found no ../models in the input or output folder .videos.",
        ),
        ({"grids": "footage"}, "found no saved grids"),
        ({"name": "../evil"}, "expected a name of letters, digits, spaces, dots and dashes, got '../evil'"),
        ({"name": " "}, "expected a name of letters"),
        ({"rank": 999}, "expected a rank of at most 48, the width of this model, got 999"),
        ({"encoding": "native", "times": 4}, "expected 4 n . 1 times for the native encoding"),
        ({"times": 99}, "none of the footage can be used for training"),
    ],
)
def test_bad_inputs_get_one_sentence_and_leave_nothing(train, place, changes, sentence):
    name = changes.get("name", "bad")
    with pytest.raises(ValueError, match=sentence):
        train(tiny.wan(layers=1), **({"name": name} | changes))
    folder, file = place("bad")
    assert not file.exists() and not [path for path in folder.rglob("*") if path.is_file()]


def test_footage_of_another_model_is_refused(comfy_inside, train, vae, footage, wan_i2v):
    """Image-to-video weights are shown the known cells, and the footage holds what they see."""
    [encoded] = comfy_inside.call("FourRealEncodeFootage", model=wan_i2v, vae=vae, name="for i2v", **FOOTAGE)
    with pytest.raises(ValueError, match="this footage was encoded for another model"):
        comfy_inside.call(
            "FourRealTrainSync",
            model=tiny.wan(layers=1),
            footage=encoded,
            positive=tiny.text(1),
            name="other",
            **SETTINGS,
        )


def test_footage_is_encoded_anew_when_a_file_in_it_changes(comfy_inside, footage):
    kind = comfy_inside.node_classes["FourRealEncodeFootage"]
    before = kind.fingerprint_inputs(**FOOTAGE)
    (footage / "clip0.mkv").touch()
    assert kind.fingerprint_inputs(**FOOTAGE) != before


def test_models_that_cannot_be_trained_are_refused(comfy_inside, train, vae, tiny_model):
    [own] = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")
    with pytest.raises(
        ValueError,
        match="expected one of ComfyUI's video models, got a 4Real model: train its layers with scripts/train.py",
    ):
        train(own)
    with pytest.raises(ValueError, match="expected the VAE of this model, with 128 latent channels, got one with 16"):
        train(tiny.ltxv())
    with torch.inference_mode():
        lost = tiny.wan(layers=1)
    with pytest.raises(
        ValueError,
        match="this model cannot be loaded a second time for training",
    ):
        train(lost, name="lost")


def test_a_file_from_elsewhere_is_never_overwritten(train, place):
    _, file = place("mine")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"mine")
    with pytest.raises(ValueError, match="the name mine is taken"):
        train(tiny.wan(layers=1), name="mine")
    assert file.read_bytes() == b"mine"


def test_the_curve_of_the_loss_shows_means(comfy_inside, monkeypatch):
    pictures, drawn = comfy_inside.pack_host("training.pictures"), []
    monkeypatch.setattr(pictures, "line_plot", lambda lines, **texts: drawn.append(lines))
    pictures.loss_curve([3.0, 1.0])
    pictures.loss_curve([float(step % 2) for step in range(120)] + [7.0])  # what does not fill a mean waits
    assert drawn[0] == {"each step": [(1, 3.0), (2, 1.0)]}
    [(name, points)] = drawn[1].items()
    assert name == "mean of 3" and points[0] == (3, pytest.approx(1 / 3)) and points[-1][0] == 120


def test_the_host_that_closes_waits_for_the_step(comfy_inside, monkeypatch):
    """What runs at the end of the host's process asks the training to stop, and returns when it has."""
    session, waiting = comfy_inside.pack_host("training.session"), []
    monkeypatch.setattr(session.atexit, "register", waiting.append)
    with session._closing_host() as closing:
        end = threading.Thread(target=waiting[0])
        end.start()
        assert closing.wait(5) and end.is_alive()
    end.join(5)
    assert not end.is_alive()
