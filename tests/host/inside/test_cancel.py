"""Cancelling takes effect inside a step: the network stops at its next part, in every kind of network that we run."""

import pytest
import tiny_backbones as tiny
import torch


def leaves(network):
    return [part for part in network.modules() if next(part.children(), None) is None]


@pytest.fixture
def cancelled_inside(comfy_inside):
    """Run something whose network is cancelled in the middle; how many parts of it ran after that."""
    import comfy.model_management

    def run(network, work):
        parts, ran = leaves(network), []

        def cancel(part, inputs, output):
            ran.append(part)
            if len(ran) == len(parts) // 2:
                comfy.model_management.interrupt_current_processing()

        handles = [part.register_forward_hook(cancel) for part in parts]
        try:
            with pytest.raises(comfy.model_management.InterruptProcessingException):
                work()
        finally:
            comfy.model_management.interrupt_current_processing(False)
            for handle in handles:
                handle.remove()
        assert all(not part._forward_pre_hooks for part in parts)
        return len(ran) - len(parts) // 2

    return run


def test_a_grid_model_stops_within_a_step(comfy_inside, tiny_model, grid, cancelled_inside):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")
    settings = {"sync": "soft", "strength": 1.0, "seed": 3, "steps": 1, "sampler": "euler", "scheduler": "simple"}

    def sample():
        comfy_inside.call("FourRealSampler", model=model, grid=grid, cfg=1.0, denoise=1.0, **settings)

    assert cancelled_inside(model.model.diffusion_model, sample) == 0
    sample()


def test_a_part_that_is_not_cancelled_runs_as_ever(comfy_inside):
    cancellable = comfy_inside.pack_host("cancel").cancellable
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    given = torch.randn(3, 4)
    with cancellable(network):
        inside = network(given)
    assert torch.equal(inside, network(given))


def test_a_host_models_two_streams_stop_within_a_step(comfy_inside, two_streams, cancelled_inside):
    model = two_streams(tiny.wan())
    noise = tiny.noise()
    assert cancelled_inside(model.model.diffusion_model, lambda: tiny.sample(model, noise)) == 0


@pytest.mark.parametrize(
    "node, settings",
    [
        ("FourRealSaveGrid", {"filename_prefix": "grids/cancelled"}),
        (
            "FourRealSaveGridFolder",
            {"filename_prefix": "grids/cancelled", "layout": {"layout": "images", "kind": "png"}},
        ),
        ("FourRealGridToImages", {"order": "time by time"}),
        ("FourRealContactSheet", {"max_side": 64, "mark_known": True, "gap": 2}),
        ("FourRealTransportFill", {"method": "transport"}),
        ("FourRealMeasureGrid", {}),
    ],
)
def test_a_nodes_work_is_ended_in_the_middle(comfy_inside, monkeypatch, tmp_path, node, settings):
    import comfy.model_management

    frames = torch.rand(3, 3, 32, 48, 3, generator=torch.Generator().manual_seed(0))
    known = torch.zeros(3, 3, dtype=torch.bool)
    known[0], known[:, 0] = True, True
    grid, asked = comfy_inside.core("grid").FrameGrid(frames=frames, known=known, fps=24.0), []
    ask = comfy.model_management.throw_exception_if_processing_interrupted

    def counting():
        asked.append(1)
        if len(asked) == 3:
            comfy.model_management.interrupt_current_processing()
        ask()

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", counting)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        comfy_inside.call(node, grid=grid, **settings)
    assert len(asked) == 3
    saved = comfy_inside.base / "output" / "grids"
    assert not saved.exists() or not [file for file in saved.iterdir() if "cancelled" in file.name]


def test_comfyuis_save_video_stops_within_a_frame_and_leaves_no_half_file(comfy_inside, monkeypatch):
    """It asks nobody while it encodes; the video asks for it."""
    import comfy.model_management as management

    asked, ask, files = [], management.throw_exception_if_processing_interrupted, comfy_inside.base / "output"
    video = comfy_inside.pack_host("types").frames_to_video(torch.rand(9, 16, 24, 3), 8.0)

    def save(cancel_at):
        asked.clear()

        def asking():
            asked.append(1)
            if len(asked) == cancel_at:
                management.interrupt_current_processing()
            ask()

        monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", asking)
        comfy_inside.call("SaveVideo", video=video, filename_prefix="cancelled", format="auto", codec={"codec": "auto"})

    with pytest.raises(management.InterruptProcessingException):
        save(cancel_at=4)
    assert len(asked) == 4 and not list(files.glob("cancelled*"))
    save(cancel_at=0)
    [file] = files.glob("cancelled*")
    frames_NHWC, fps = comfy_inside.core("files.recording").read_video(file)
    assert frames_NHWC.shape == (9, 16, 24, 3) and fps == 8 and len(asked) == 9
