"""Sound from a loaded video through a grid, a fill and a file to the videos along time.

Letters: V = 3 views, T = 5 times.
"""

import pytest
import torch

RATE, FPS = 8000, 10.0


@pytest.fixture
def loud(comfy_inside, videos):
    """A VIDEO of 10 frames at 10 per second with a tone, and the freeze-time images."""
    tone = torch.sin(torch.arange(RATE, dtype=torch.float32) / 4)[None, None].repeat(1, 2, 1)
    frames = videos[0].repeat_interleave(2, 0)
    audio = {"waveform": tone, "sample_rate": RATE}
    return comfy_inside.call("CreateVideo", images=frames, fps=FPS, audio=audio)[0], videos[1]


def build(comfy_inside, fixed_view, freeze_time, **changes):
    inputs = {"views": 3, "times": 5, "width": 0, "height": 0, "fit": "crop", "pick": "even", "fps": 0.0} | changes
    return comfy_inside.call("FourRealBuildGrid", fixed_view=fixed_view, freeze_time=freeze_time, **inputs)[0]


def cut(comfy_inside, grid, path, fps=0.0, **more):
    return comfy_inside.call("FourRealGridToVideo", grid=grid, path=path, fps=fps, **more)[0].get_components().audio


def test_a_file_on_disk_is_heard_in_a_saved_video(comfy_inside, loud):
    from comfy_api.v0_0_2 import InputImpl

    source, cut_out = (str(comfy_inside.base / "output" / name) for name in ("loud.mp4", "cut.mp4"))
    loud[0].save_to(source)
    grid = build(comfy_inside, InputImpl.VideoFromFile(source), loud[1])
    assert grid.fps == pytest.approx(5) and grid.sound.seconds == pytest.approx(1.0, abs=1e-3)
    [video, _] = comfy_inside.call(
        "FourRealGridToVideo", grid=grid, path={"path": "fixed view", "view": 1.0}, fps=20.0, between="blend"
    )
    video.save_to(cut_out)
    heard = InputImpl.VideoFromFile(cut_out).get_components().audio
    assert heard["waveform"].shape[-1] / heard["sample_rate"] == pytest.approx(17 / 20, abs=0.15)  # AAC has frames
    assert 0.4 < heard["waveform"].abs().max() < 1.2


def test_it_is_heard_where_time_runs_at_its_speed_only(comfy_inside, loud):
    grid = build(comfy_inside, *loud)
    fixed, frozen = {"path": "fixed view", "view": 0.0}, {"path": "freeze time", "time": 0.0}
    assert torch.equal(cut(comfy_inside, grid, fixed)["waveform"][0], grid.sound.samples)
    assert cut(comfy_inside, grid, frozen) is None and cut(comfy_inside, grid, fixed, fps=12.0) is None
    assert cut(comfy_inside, grid, fixed, back=True) is None


def test_a_speed_of_ones_own_leaves_it_out(comfy_inside, loud):
    assert build(comfy_inside, *loud, fps=12.0).sound is None
    assert build(comfy_inside, *loud, fps=5.0).sound is not None


def test_a_fill_and_a_file_keep_it(comfy_inside, loud):
    grid = build(comfy_inside, *loud)
    filled = comfy_inside.call("FourRealTransportFill", grid=grid, method="transport")[0]
    comfy_inside.call("FourRealSaveGrid", grid=filled, filename_prefix="grids/loud")
    file = sorted((comfy_inside.base / "output" / "grids").glob("loud*"))[-1]
    [loaded] = comfy_inside.call("FourRealLoadGrid", file=f"grids/{file.name} [output]")
    assert torch.equal(loaded.sound.samples, grid.sound.samples) and loaded.sound.rate == RATE


def test_stereo_along_time_has_it_too(comfy_inside, loud):
    grid = build(comfy_inside, *loud)
    settings = {"spacing": 1, "viewing": "parallel", "half_width": False, "fps": 0.0}
    along = comfy_inside.call("FourRealStereo", grid=grid, view=0, time=-1, **settings)[0]
    frozen = comfy_inside.call("FourRealStereo", grid=grid, view=0, time=0, **settings)[0]
    assert along.get_components().audio is not None and frozen.get_components().audio is None
