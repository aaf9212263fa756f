"""The tiny Wan of scripts/train_tiny_wan.py: it is trained on what sampling shows it, stops and goes on, and every mode runs on it.

Letters: B = 2 clips, F frames, h w latent pixels.
"""

import pytest
import torch
from tiny_wan import clips, learning, network, streams
from tiny_wan.pixels import PixelLatents


@pytest.fixture(scope="module")
def data(comfy_inside):
    frames = torch.rand(4, 8, 8, 16, 3, generator=torch.Generator().manual_seed(0))
    small = torch.nn.functional.interpolate(frames.flatten(0, 1).movedim(-1, 1), size=clips.SIZE, mode="bilinear")
    pixels = (small.movedim(1, -1).unflatten(0, (4, 8)) * 255).to(torch.uint8)
    return clips.Clips(pixels, torch.tensor([clips.TIME, clips.VIEW, clips.TIME, clips.VIEW]))


@pytest.fixture(scope="module")
def latents(data):
    return PixelLatents.of(data.frames.flatten(0, 1))


@pytest.fixture
def trains(comfy_inside):
    import comfy.model_management

    comfy.model_management.in_training = True
    with torch.inference_mode(False), torch.enable_grad():
        yield
    comfy.model_management.in_training = False


def test_latents_are_the_nearest_in_their_components(latents, data):
    frames = data.frames[0].float() / 255
    back = latents.decode(latents.encode(frames))
    assert torch.allclose(latents.decode(latents.encode(back)), back, atol=1e-5)
    assert (back - frames).square().mean() < 0.1 * frames.var()
    assert latents.encode(frames).std() == pytest.approx(1, abs=0.4)


def test_a_training_that_was_stopped_goes_on_bit_for_bit(trains, data, tmp_path):
    plan, kept = learning.Plan(steps=4, batch=2, save_every=1), {}
    for name, stops in (("whole", ()), ("parts", (2,))):
        folder = tmp_path / name
        folder.mkdir()
        for _ in range(len(stops) + 1):
            learning.train(plan, data, folder, lambda step, losses, made, ema, stops=stops: step in stops)
            stops = ()
        kept[name] = torch.load(folder / "state.pt", weights_only=True)
    assert kept["whole"]["losses"] == kept["parts"]["losses"] and len(kept["whole"]["losses"]) == 4
    assert all(torch.equal(kept["whole"]["ema"][name], kept["parts"]["ema"][name]) for name in kept["whole"]["ema"])


@pytest.fixture(scope="module")
def model(comfy_inside, data, latents, tmp_path_factory):
    with torch.inference_mode(False):
        made = network.make_network(0)
        torch.nn.init.normal_(made.head.head.weight, std=0.05)
        path = tmp_path_factory.mktemp("tiny") / "tiny_wan.safetensors"
        network.save_model(made.state_dict(), path)
    return network.load_model(path)


@pytest.fixture
def task(data):
    grid = streams.part("fourreal_core.grid")
    frames = data.frames[:3, :3].float() / 255
    truth = grid.FrameGrid(frames, torch.ones(3, 3, dtype=torch.bool))
    confidence = torch.rand(3, 3, *clips.SIZE, generator=torch.Generator().manual_seed(2))
    confidence = (confidence > 0.005).float()
    return streams.Task("one", truth, truth.replace(frames=frames.flip(-1)), confidence)


@pytest.mark.parametrize("aid", ["", "warp"])
def test_sampling_shows_the_network_what_training_did(model, latents, task, aid):
    from comfy.patcher_extension import WrappersMP

    seen = []

    def watched(executor, x, *args, **kwargs):
        seen.append(x)
        return executor(x, *args, **kwargs)

    watching = model.clone()
    watching.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watched", watched)
    streams.sampled(watching, latents, task, streams.VIDEOS, aid)
    warps = streams.part("fourreal_core.sampling.warp")
    paint = (~task.grid.known)[:, :, None, None].expand(3, 3, *clips.SIZE)
    if aid:
        paint = warps.places_to_paint(task.confidence, task.grid.known, streams.THRESHOLD, streams.MARGIN)
    given = task.grid.filled(task.filled.frames).frames
    wanted = network.shown(latents, given, paint)
    along_time = next(x for x in seen if x.shape[0] == 3)
    assert torch.allclose(along_time[:, network.CHANNELS :], wanted, atol=1e-4)
    assert 0 < wanted[:, 0].mean() < 1


@pytest.mark.parametrize("aid", ["", "warp+guided"])
def test_every_mode_fills_the_grid_and_keeps_known_cells(model, latents, task, aid):
    made = {
        sync: streams.sampled(model, latents, task, sync, aid)
        for sync in (streams.VIDEOS, *streams.SYNCS)
        if sync != "soft"
    }
    for grid in made.values():
        assert torch.equal(grid.frames[task.grid.known], task.truth.frames[task.grid.known])
        assert grid.frames.isfinite().all()
    different = [made[sync].frames for sync in made]
    assert not any(torch.equal(one, two) for number, one in enumerate(different) for two in different[:number])


def test_layers_of_its_own_training_run(model, latents, task, tmp_path, comfy_inside):
    from safetensors.torch import save_file

    whole = (torch.rand(6, 6, 72, 128, 3, generator=torch.Generator().manual_seed(3)) * 255).to(torch.uint8)
    files = [tmp_path / f"scene_{number}.safetensors" for number in range(2)]
    for file in files:
        save_file({"frames_VTHW3": whole}, file)
    import folder_paths

    output, known = folder_paths.get_output_directory(), folder_paths.folder_names_and_paths
    folders = {name: (list(paths), set(endings)) for name, (paths, endings) in known.items()}
    try:
        with torch.inference_mode():  # as nodes run
            said = streams.train_sync(model, latents, files, tmp_path, 2, 1e-3)
    finally:  # later tests of this process find their own folders
        folder_paths.set_output_directory(output)
        known.update(folders)
    assert said.startswith("2 steps on 1 grids")
    layers = streams.part("host.load").load_sync_patcher(str(tmp_path / "models" / "tiny_wan.safetensors"), "layers")
    soft = streams.sampled(model, latents, task, "soft", "", layers)
    assert (soft.frames - streams.sampled(model, latents, task, "hard", "").frames).abs().max() > 1e-5


def test_the_table_has_the_means_of_grids_with_every_way():
    rows = [("a", "off", "", 20.0), ("a", "hard", "", 10.0), ("b", "off", "", 40.0)]
    records = [{"grid": grid, "sync": sync, "aid": aid, "all": value} for grid, sync, aid, value in rows]
    assert streams.table(records).splitlines()[2:] == [
        "| off |  | 20.00 |",
        "| hard |  | 10.00 |",
        "",
        "Means over 1 grids.",
    ]
