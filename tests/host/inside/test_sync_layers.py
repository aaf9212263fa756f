"""Trained synchronization layers of a file on the host's video models: exact starts, checks, and what the host does with them.

Letters and sizes: tests/host/inside/tiny_backbones.py. "Exact" is bit-equal in float32.
"""

import logging

import pytest
import tiny_backbones as tiny
import torch
from sampling import SAMPLER
from tiny_backbones import exchanged, sample


def masked(seed):
    return tiny.text(seed, attention_mask=torch.ones(1, 6, dtype=torch.long))


def pooled(width):
    return lambda seed: tiny.text(
        seed, pooled_output=torch.randn(1, width, generator=torch.Generator().manual_seed(seed))
    )


FAMILIES = {  # make, latent channels, text, (family, width, blocks)
    "Wan": (tiny.wan, 16, tiny.text, ("wan", 48, 3)),
    "LTXV": (tiny.ltxv, 8, masked, ("ltxv", 32, 3)),
    "HunyuanVideo": (tiny.hunyuan, 16, pooled(768), ("hunyuan_video", 32, 4)),
    "Mochi": (tiny.mochi, 12, masked, ("mochi", 32, 2)),
    "Kandinsky 5": (tiny.kandinsky, 16, pooled(8), ("kandinsky5", 32, 3)),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, comfy_inside):
    """(MODEL, noise, keyword arguments of `sample`, its family, width and number of blocks)"""
    make, channels, text, sizes = FAMILIES[request.param]
    return tiny.with_plain_attention(make()), tiny.noise(channels), {"positive": text(1), "negative": text(2)}, sizes


@pytest.fixture(scope="module")
def wan(comfy_inside):
    return tiny.wan()


@pytest.fixture
def two_streams(comfy_inside):
    def patch(model, **settings):
        settings = {"sync": "auto", "strength": 1.0, "output": "mean"} | settings
        return comfy_inside.call("FourRealTwoStream", model=model, **settings)[0]

    return patch


@pytest.fixture
def new_layers(comfy_inside):
    core = comfy_inside.core("model.sync_file")

    def make(sizes=("wan", 48, 3), kind="soft", rank=4, seed=None, **start):
        """Fresh layers; with a seed, ones whose every weight does something."""
        generator = torch.Generator().manual_seed(seed or 0)
        layers = core.SyncLayers(core.SyncConfig(*sizes, kind=kind, rank=rank, sigma_width=8)).initialize(
            **start, generator=generator
        )
        if seed is not None:
            with torch.no_grad():
                for parameter in layers.parameters():
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        return layers

    return make


@pytest.fixture
def load(comfy_inside):
    """Save layers where the node finds them, and load them with it."""

    def save_and_load(layers, name="layers.safetensors", **options):
        folder = comfy_inside.base / "models" / "fourreal_sync"
        folder.mkdir(exist_ok=True)
        comfy_inside.core("model.sync_file").save_sync(layers, folder / name, {"steps": 7}, **options)
        return comfy_inside.call("FourRealLoadSync", file=name)[0]

    return save_and_load


def with_streams_swapped(layers):
    """The soft layers for a grid whose views and times are exchanged."""
    swapped = type(layers)(layers.config)
    state = layers.state_dict()
    with torch.no_grad():
        for key, value in swapped.state_dict().items():
            given, D = state[key], layers.config.width
            axis = {"down.weight": 1, "modulation.weight": 0, "modulation.bias": 0}.get(key.partition(".")[2], 0)
            if "modulation" in key:  # scale (2 D), shift (2 D), two gates
                scale, shift, gates = given.split([2 * D, 2 * D, 2])
                given = torch.cat([scale.roll(D, 0), shift.roll(D, 0), gates.roll(1, 0)])
            else:
                given = given.roll(given.shape[axis] // 2, axis)
                given = given.roll(D, 1) if key.endswith("delta.weight") else given
            value.copy_(given)
    return swapped


@pytest.mark.parametrize("rank", [0, 4])
def test_soft_that_starts_as_nothing_is_off(family, two_streams, new_layers, load, rank):
    model, noise, settings, sizes = family
    layers = load(new_layers(sizes, rank=rank, averaging=False))
    for output in ("mean", "time only", "view only"):
        soft = sample(two_streams(model, sync="soft", sync_layers=layers, output=output), noise, **settings)
        assert torch.equal(soft, sample(two_streams(model, sync="off", output=output), noise, **settings))


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("rank", [0, 4])
def test_layers_that_start_as_averages_are_hard_sync(family, two_streams, new_layers, load, kind, rank):
    model, noise, settings, sizes = family
    averaging = sample(two_streams(model, sync="hard"), noise, **settings)
    started = sample(two_streams(model, sync=kind, sync_layers=load(new_layers(sizes, kind, rank))), noise, **settings)
    assert torch.allclose(started, averaging, atol=2e-5)
    trained = sample(
        two_streams(model, sync=kind, sync_layers=load(new_layers(sizes, kind, rank, seed=1))), noise, **settings
    )
    assert torch.isfinite(trained).all() and (trained - averaging).abs().max() > 0.001


@pytest.mark.parametrize("rank", [0, 4])
def test_exchanging_views_and_times_exchanges_the_result(family, two_streams, new_layers, load, rank):
    model, noise, settings, sizes = family
    layers = new_layers(sizes, rank=rank, seed=2)
    grid = sample(two_streams(model, sync_layers=load(layers)), noise, **settings)
    turned_layers = load(with_streams_swapped(layers), "swapped.safetensors")
    turned = sample(two_streams(model, sync_layers=turned_layers), exchanged(noise), **settings)
    assert torch.allclose(exchanged(turned), grid, atol=3e-5)
    unswapped = sample(two_streams(model, sync_layers=load(layers)), exchanged(noise), **settings)
    assert not torch.allclose(exchanged(unswapped), grid, atol=1e-3)


def test_a_file_gives_what_its_layers_give(comfy_inside, wan, two_streams, new_layers, load):
    """Attached from a file with the host's operations, and as plain modules without one."""
    patch, plan = comfy_inside.pack_host("two_stream.patch"), comfy_inside.pack_host("two_stream.plan").TwoStreamPlan
    layers = new_layers(seed=3)
    plain = patch.patch_two_streams(wan, plan("soft", trained=tuple(layers)))
    of_file = two_streams(wan, sync_layers=load(layers))
    with torch.no_grad():
        assert torch.equal(sample(of_file, tiny.noise(), cfg=4.0), sample(plain, tiny.noise(), cfg=4.0))


def test_auto_takes_what_there_is(wan, two_streams, new_layers, load):
    averaging, noise = sample(two_streams(wan, sync="hard"), tiny.noise()), tiny.noise()
    assert torch.equal(sample(two_streams(wan), noise), averaging)
    for kind in ("soft", "hard"):
        layers = load(new_layers(kind=kind, seed=1))
        auto = sample(two_streams(wan, sync_layers=layers), noise)
        assert torch.equal(auto, sample(two_streams(wan, sync=kind, sync_layers=layers), noise))
        assert not torch.allclose(auto, averaging, atol=1e-3)
    soft = load(new_layers(seed=1))
    assert torch.equal(sample(two_streams(wan, sync="hard", sync_layers=soft), noise), averaging)


def test_the_log_and_the_node_say_which_layers_ran(comfy_inside, wan, two_streams, new_layers, load, caplog):
    hard, soft = load(new_layers(kind="hard"), "hard.safetensors"), load(new_layers(), "soft.safetensors")
    cases = (
        ({"sync": "hard"}, "sync hard: averaging, nothing trained"),
        ({"sync": "hard", "sync_layers": soft}, "sync hard: averaging, nothing trained"),
        ({"sync": "hard", "sync_layers": hard}, "sync hard: trained layers of hard.safetensors"),
        ({"sync_layers": soft, "strength": 0.5}, "sync soft: trained layers of soft.safetensors, strength 0.5"),
        ({"sync": "sequential"}, "sync sequential: nothing trained"),
        ({"sync": "off", "sync_layers": soft}, "sync off"),
    )
    with caplog.at_level(logging.INFO):
        for settings, sentence in cases:
            caplog.clear()
            model = two_streams(wan, **settings)
            assert [record.message for record in caplog.records if record.message.startswith("sync")] == [sentence]
            caplog.clear()
            sample(model, tiny.noise(), steps=1)
            assert f"4Real Two-Stream runs {sentence}" in caplog.messages


def test_soft_without_layers_says_what_to_do(wan, two_streams, new_layers, load):
    with pytest.raises(ValueError, match="choose auto or hard, or connect layers from 4Real Load Sync"):
        two_streams(wan, sync="soft")
    with pytest.raises(
        ValueError, match="expected soft layers, got layers.safetensors, which holds hard ones: choose auto or hard"
    ):
        two_streams(wan, sync="soft", sync_layers=load(new_layers(kind="hard")))


@pytest.mark.parametrize("sizes", [("ltxv", 48, 3), ("wan", 64, 3), ("wan", 48, 4)])
@pytest.mark.parametrize("sync", ["auto", "off"])
def test_layers_of_another_backbone_are_refused(wan, two_streams, new_layers, load, sizes, sync):
    sentence = (
        f"were trained on {sizes[0]} .width {sizes[1]}, {sizes[2]} blocks., but the model is wan .width 48, 3 blocks."
    )
    with pytest.raises(ValueError, match=sentence):
        two_streams(wan, sync=sync, sync_layers=load(new_layers(sizes)))


def test_vace_takes_the_layers_of_its_base(two_streams, new_layers, load):
    model = tiny.wan("vace", layers=4, vace_layers=2, vace_in_dim=96)
    frames = {
        "positive": tiny.text(
            1, vace_frames=[torch.randn(tiny.V, 32, tiny.T, 4, 8, generator=torch.Generator().manual_seed(4))]
        )
    }
    soft = two_streams(model, sync_layers=load(new_layers(("wan", 48, 4))))
    assert torch.allclose(
        sample(soft, tiny.noise(), **frames), sample(two_streams(model), tiny.noise(), **frames), atol=2e-5
    )


def test_strength_and_ranges_act_as_without_layers(wan, two_streams, new_layers, load):
    layers, noise = load(new_layers(seed=1)), tiny.noise()

    def run(**settings):
        return sample(two_streams(wan, sync_layers=layers, **settings), noise, steps=4)

    whole, off = run(), run(sync="off")
    assert torch.equal(run(strength=0.0), off) and torch.equal(run(start_percent=0.999), off)
    for settings in ({"strength": 0.5}, {"first_layer": 0.67}, {"end_percent": 0.5}):
        part = run(**settings)
        assert (part - whole).abs().max() > 0.001 and (part - off).abs().max() > 0.001


def test_only_layers_in_range_matter(wan, two_streams, new_layers, load):
    one, other = new_layers(seed=1), new_layers(seed=1)
    with torch.no_grad():
        other[0].averaging.zero_()
    deep = [sample(two_streams(wan, sync_layers=load(each), first_layer=0.34), tiny.noise()) for each in (one, other)]
    assert torch.equal(*deep)
    assert not torch.allclose(
        *(sample(two_streams(wan, sync_layers=load(each)), tiny.noise()) for each in (one, other)), atol=1e-3
    )


def test_the_host_loads_and_offloads_the_layers_with_the_model(wan, two_streams, new_layers, load):
    import comfy.model_management as management

    patched = two_streams(wan, sync_layers=load(new_layers()))
    management.unload_all_models()
    sample(patched, tiny.noise())
    loaded = [entry.model.model for entry in management.current_loaded_models]
    [layers] = patched.get_additional_models()
    assert any(model is layers.model for model in loaded) and any(model is patched.model for model in loaded)
    assert layers.model_size() == sum(weight.nbytes for weight in layers.model.state_dict().values()) > 0
    expected = sample(patched, tiny.noise())
    management.unload_all_models()
    assert not management.current_loaded_models
    assert torch.equal(sample(patched, tiny.noise()), expected)


def test_memory_of_both_streams_is_announced(wan, two_streams, new_layers, load, monkeypatch):
    shapes, estimate = [], wan.model.memory_required
    monkeypatch.setattr(
        wan.model, "memory_required", lambda shape, **more: shapes.append(shape) or estimate(shape, **more)
    )
    sample(wan, tiny.noise())
    alone = [shape[0] for shape in shapes]
    shapes.clear()
    sample(two_streams(wan, sync_layers=load(new_layers())), tiny.noise())
    assert max(shape[0] for shape in shapes) == 2 * max(alone)


def test_patching_again_replaces_and_clones_run_side_by_side(comfy_inside, wan, two_streams, new_layers, load):
    key, noise = comfy_inside.pack_host("two_stream.patch").KEY, tiny.noise()
    before = sample(wan, noise)
    first, second = load(new_layers(seed=1), "first.safetensors"), load(new_layers(seed=2), "second.safetensors")
    models = [two_streams(wan, sync_layers=first), two_streams(wan, sync_layers=second), two_streams(wan)]
    expected = [sample(model, noise) for model in models]
    assert (expected[0] - expected[1]).abs().max() > 0.001
    again = two_streams(models[0], sync_layers=second)
    assert torch.equal(sample(again, noise), expected[1]) and again.get_additional_models_with_key(key) == [second]
    bare = two_streams(models[0])
    assert torch.equal(sample(bare, noise), expected[2]) and not bare.get_additional_models_with_key(key)
    assert all(torch.equal(sample(model, noise), alone) for model, alone in zip(models, expected))
    assert torch.equal(sample(models[0].clone(), noise), expected[0])
    assert torch.equal(sample(wan, noise), before) and not wan.get_additional_models_with_key(key)


def test_an_interrupted_run_leaves_nothing_behind(wan, two_streams, new_layers, load):
    import comfy.sample

    class Stop(BaseException):
        pass

    def stop(*_):
        raise Stop

    soft, noise = two_streams(wan, sync_layers=load(new_layers(seed=1))), tiny.noise()
    expected = sample(soft, noise)
    with pytest.raises(Stop), torch.inference_mode():
        comfy.sample.sample(
            soft,
            noise,
            3,
            1.0,
            "euler",
            "simple",
            tiny.text(1),
            tiny.text(2),
            torch.zeros_like(noise),
            callback=stop,
            disable_pbar=True,
        )
    assert torch.equal(sample(soft, noise), expected)


def test_loras_act_on_the_blocks_of_both_streams(wan, two_streams, new_layers, load):
    import comfy.sd

    generator = torch.Generator().manual_seed(6)
    lora = {
        f"diffusion_model.blocks.1.self_attn.q.lora_{side}.weight": torch.randn(*shape, generator=generator)
        for side, shape in (("down", (4, 48)), ("up", (48, 4)))
    }

    def with_lora(model):
        return comfy.sd.load_lora_for_models(model, None, dict(lora), 1.0, 0.0)[0]

    layers, noise = load(new_layers(seed=1)), tiny.noise()
    first, last = with_lora(two_streams(wan, sync_layers=layers)), two_streams(with_lora(wan), sync_layers=layers)
    assert torch.equal(sample(first, noise), sample(last, noise))
    assert (sample(first, noise) - sample(two_streams(wan, sync_layers=layers), noise)).abs().max() > 0.001


def test_number_formats_follow_the_model(two_streams, new_layers, load):
    """Layers in bfloat16 on a model in float32, and the other way round."""
    layers, noise, model = new_layers(seed=1), tiny.noise(), tiny.wan()
    exact = sample(two_streams(model, sync_layers=load(layers)), noise)
    half = load(layers, "half.safetensors", dtype=torch.bfloat16)
    assert {weight.dtype for weight in half.model.state_dict().values()} == {torch.bfloat16}
    assert 0 < (sample(two_streams(model, sync_layers=half), noise) - exact).abs().max() < 0.05
    model.model.diffusion_model.to(torch.bfloat16).dtype = torch.bfloat16
    model.model.diffusion_model.patch_embedding.float()  # as the host keeps it
    for given in (load(layers), half):
        assert 0 < (sample(two_streams(model, sync_layers=given), noise) - exact).abs().max() < 0.3


def test_loading_works_where_the_host_makes_weights_late(comfy_inside, wan, two_streams, new_layers, load, monkeypatch):
    """With dynamic memory on NVIDIA cards the host's linear layers have no weights until a state dict is loaded."""
    import comfy.memory_management

    layers = new_layers(seed=1)
    expected = sample(two_streams(wan, sync_layers=load(layers)), tiny.noise())
    with monkeypatch.context() as patched:
        patched.setattr(comfy.memory_management, "aimdo_enabled", True)
        late = load(layers)
    assert late.model.state_dict().keys() == layers.state_dict().keys()
    assert torch.equal(sample(two_streams(wan, sync_layers=late), tiny.noise()), expected)


def test_files_are_listed_checked_and_loaded_anew(comfy_inside, new_layers, load):
    import folder_paths

    load(new_layers(), "listed.safetensors")
    assert "listed.safetensors" in folder_paths.get_filename_list("fourreal_sync")
    assert "listed.safetensors" not in folder_paths.get_filename_list("fourreal")
    node, file = (
        comfy_inside.node_classes["FourRealLoadSync"],
        comfy_inside.base / "models" / "fourreal_sync" / "listed.safetensors",
    )
    before = node.fingerprint_inputs("listed.safetensors")
    assert node.fingerprint_inputs("listed.safetensors") == before
    file.write_bytes(file.read_bytes()[:-4])
    assert node.fingerprint_inputs("listed.safetensors") != before
    with pytest.raises(ValueError, match="listed.safetensors is not a complete safetensors file"):
        comfy_inside.call("FourRealLoadSync", file="listed.safetensors")


def test_something_else_on_the_socket_gets_one_sentence(wan, two_streams):
    with pytest.raises(ValueError, match="expected sync_layers from 4Real Load Sync, got WAN21"):
        two_streams(wan, sync_layers=wan)


def test_a_file_that_is_not_there_gets_one_sentence(comfy_inside):
    node = comfy_inside.node_classes["FourRealLoadSync"]
    assert "found no synchronization layers: put a file into models/fourreal_sync" in node.validate_inputs("")
    for name in ("gone.safetensors", "../fourreal/tiny.safetensors"):
        assert f"found no {name} in models/fourreal_sync" in node.validate_inputs(name)


def test_a_prompt_from_a_file_to_a_grid(comfy_inside, tiny_model, grid, new_layers, load):
    """The nodes as a workflow connects them, on a 4Real model; the grid says which layers made it."""
    network = comfy_inside.core("model.config").tiny()
    comfy_inside.core("grid_file").save_grid(grid, comfy_inside.base / "input" / "known.grid.safetensors")
    layers = load(new_layers(("fourreal", network.width, network.depth), seed=1), "tiny.safetensors")
    sampling = SAMPLER | {"sync": "soft", "steps": 1}
    prompt = {
        "known": {"class_type": "FourRealLoadGrid", "inputs": {"file": "known.grid.safetensors [input]"}},
        "model": {"class_type": "FourRealLoadModel", "inputs": {"checkpoint": tiny_model, "precision": "float32"}},
        "layers": {"class_type": "FourRealLoadSync", "inputs": {"file": "tiny.safetensors"}},
        "streams": {
            "class_type": "FourRealTwoStream",
            "inputs": {
                "model": ["model", 0],
                "sync": "auto",
                "strength": 1.0,
                "output": "mean",
                "sync_layers": ["layers", 0],
            },
        },
        "sampled": {
            "class_type": "FourRealSampler",
            "inputs": {"model": ["streams", 0], "grid": ["known", 0], **sampling},
        },
        "saved": {"class_type": "FourRealSaveGrid", "inputs": {"grid": ["sampled", 0], "filename_prefix": "synced"}},
    }
    comfy_inside.events.clear()
    comfy_inside.run(prompt)
    assert ("text", "sync soft: trained layers of tiny.safetensors") in [event[:2] for event in comfy_inside.events]
    [file] = (comfy_inside.base / "output").rglob("synced*.safetensors")
    provenance = comfy_inside.core("grid_file").load_grid(file).provenance
    assert (
        provenance["sync_layers"] == {"file": "tiny.safetensors", "hash": layers.model.file_hash}
        and provenance["sync_trained"]
    )
