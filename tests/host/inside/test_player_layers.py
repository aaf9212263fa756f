"""What 4Real Grid Player lays over its grid, and what it serves: a second grid, a confidence, single cells as PNG, what plays as MP4.

Letters: V = 3 views, T = 5 times, H = 16, W = 24.
"""

import asyncio
import gc
import io

import av
import numpy as np
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

V, T, H, W = 3, 5, 16, 24


@pytest.fixture
def play(comfy_inside):
    """4Real Grid Player as a function of its inputs: what goes to the browser."""
    kind = comfy_inside.node_classes["FourRealGridPlayer"]

    def run(**inputs):
        with torch.inference_mode():
            [sent] = kind.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).execute(**inputs).ui["fourreal_player"]
        return sent

    return run


@pytest.fixture
def filled(comfy_inside, grid):
    return comfy_inside.call("FourRealTransportFill", grid=grid, method="transport")


def ask(comfy_inside, method, path, **options):
    """(status, body) of a request to the routes that the pack added."""

    async def answered():
        app = web.Application()
        app.add_routes(comfy_inside.routes)
        async with TestClient(TestServer(app)) as client, client.request(method, path, **options) as answer:
            return answer.status, await answer.read()

    return asyncio.run(answered())


def frame(comfy_inside, **query):
    return ask(comfy_inside, "GET", "/fourreal/player/frame", params=query)


def video(comfy_inside, **body):
    return ask(comfy_inside, "POST", "/fourreal/player/video", json=body)


def test_a_second_grid_is_sent_along(play, grid, filled):
    sent = play(grid=filled[0], compare=grid)
    assert (sent["compare"]["views"], sent["compare"]["times"]) == (V, T)
    assert sent["compare"]["id"] == play(grid=grid)["id"] != sent["id"] == play(grid=filled[0])["id"]
    assert "compare" not in play(grid=filled[0])


@pytest.mark.parametrize("frames", [(V, T - 1, H, W), (V, T, H, W + 2)])
def test_a_second_grid_of_another_shape_or_size_is_refused(play, comfy_inside, filled, frames):
    other = comfy_inside.core("grid").FrameGrid(torch.zeros(*frames, 3), torch.ones(frames[:2], dtype=torch.bool))
    expected = f"expected compare to have the grid's 3 views and 5 times of 24x16, got 3 views and {frames[1]} times of {frames[3]}x16"
    with pytest.raises(ValueError, match=expected):
        play(grid=filled[0], compare=other)


def test_the_confidence_is_sent_cell_by_cell_and_written_once(play, comfy_inside, filled):
    grid, confidence_NHWC, _ = filled
    sent = play(grid=grid, confidence=confidence_NHWC)["confidence"]
    folder = comfy_inside.base / "temp" / sent["subfolder"]
    (width, height), pitch = sent["strips"]["cell"], sent["strips"]["pitch"]
    for view, name in enumerate(sent["strips"]["files"]):
        picture = np.asarray(Image.open(folder / name)) / 255
        for time in range(T):
            left, top = time % sent["strips"]["across"] * pitch[0], time // sent["strips"]["across"] * pitch[1]
            expected = confidence_NHWC[view * T + time].numpy()
            assert np.abs(picture[top : top + height, left : left + width] - expected).mean() < 0.03
    assert play(grid=grid, confidence=confidence_NHWC)["confidence"] is sent


def test_a_confidence_of_another_grid_is_refused(play, filled):
    grid, confidence_NHWC, _ = filled
    with pytest.raises(
        ValueError, match="expected confidence with one image per cell, 15 for 3 views and 5 times, got 14"
    ):
        play(grid=grid, confidence=confidence_NHWC[1:])
    with pytest.raises(ValueError, match="expected confidence with the aspect ratio of the cells, 24x16, got 12x16"):
        play(grid=grid, confidence=confidence_NHWC[:, :, ::2])
    assert play(grid=grid, confidence=confidence_NHWC[:, ::2, ::2])["confidence"]["width"] == W // 2


def test_a_saved_frame_is_the_cell_itself(play, comfy_inside, filled):
    grid = filled[0]
    status, body = frame(comfy_inside, id=play(grid=grid)["id"], view=2, time=3)
    picture = Image.open(io.BytesIO(body))
    assert (status, picture.format, picture.size) == (200, "PNG", (W, H))
    assert np.array_equal(np.asarray(picture), (grid.frames[2, 3] * 255).round().to(torch.uint8).numpy())


def test_a_saved_video_has_the_cells_in_the_order_of_playing(play, comfy_inside, tmp_path, filled):
    plain_VTHWC = torch.full((V, T, H, W, 3), 0.5)  # H.264 would blur noise
    plain_VTHWC[..., 0] = torch.linspace(0.2, 0.8, V)[:, None, None, None]
    plain_VTHWC[..., 1] = torch.linspace(0.2, 0.8, T)[None, :, None, None]
    grid, order = filled[0].replace(frames=plain_VTHWC), [(2, 4), (2, 3), (2, 4), (0, 0)]
    status, body = video(comfy_inside, id=play(grid=grid)["id"], cells=order, fps=12.5)
    (tmp_path / "played.mp4").write_bytes(body)
    frames_NHWC, fps = comfy_inside.core("files.recording").read_video(tmp_path / "played.mp4")
    assert (status, fps, tuple(frames_NHWC.shape)) == (200, 12.5, (4, H, W, 3))
    for shown_HWC, cell in zip(frames_NHWC.float() / 255, order, strict=True):
        apart_VT = (grid.frames - shown_HWC).abs().mean((2, 3, 4))
        assert divmod(int(apart_VT.argmin()), T) == cell and apart_VT.min() < 0.03


def test_a_saved_video_has_sound_where_time_runs_forward(play, comfy_inside, filled):
    sound = comfy_inside.core("files.sound").Sound(torch.rand(1, 8000) - 0.5, 8000)
    grid = filled[0].replace(sound=sound)
    identity, forward = play(grid=grid)["id"], [(1, time) for time in range(T)]

    def streams(cells):
        _, body = video(comfy_inside, id=identity, cells=cells, fps=grid.fps)
        with av.open(io.BytesIO(body)) as container:
            return len(container.streams.video), len(container.streams.audio)

    assert [streams(forward), streams(forward[::-1])] == [(1, 1), (1, 0)]


def test_what_cannot_be_served_is_told_in_one_sentence(play, comfy_inside, filled):
    identity = play(grid=filled[0])["id"]
    assert frame(comfy_inside, id=identity, view=V, time=0) == (400, b"expected cells of a grid of 3 views and 5 times")
    assert frame(comfy_inside, id=identity, view="x", time=0)[0] == 400
    assert video(comfy_inside, id=identity, cells=[[0, 0.5]], fps=6)[1].endswith(b"(a cell is [view, time])")
    assert video(comfy_inside, id=identity, cells=[], fps=6)[0] == 400
    assert b"frames per second" in video(comfy_inside, id=identity, cells=[[0, 0]], fps=0)[1]


def test_a_grid_that_is_no_longer_in_memory_is_told(play, comfy_inside):
    grid_class = comfy_inside.core("grid").FrameGrid
    identity = play(grid=grid_class(torch.rand(1, 2, H, W, 3), torch.ones(1, 2, dtype=torch.bool)))["id"]
    gc.collect()
    status, body = frame(comfy_inside, id=identity, view=0, time=0)
    assert (status, body) == (410, b"The grid is no longer in ComfyUI's memory: run the workflow again, then save.")


def test_the_contact_sheet_shows_the_confidence_in_the_grids_own_shape(comfy_inside, filled):
    grid, confidence_NHWC, _ = filled
    settings = {"max_side": 0, "mark_known": False, "gap": 0}
    [sheet_1HWC] = comfy_inside.call("FourRealContactSheet", grid=grid, images=confidence_NHWC, **settings)
    assert tuple(sheet_1HWC.shape) == (1, V * H, T * W, 3)
    assert torch.equal(sheet_1HWC[0, 2 * H : 3 * H, 3 * W : 4 * W], confidence_NHWC[2 * T + 3])
    with pytest.raises(ValueError, match="expected images with one image per cell, 15 for 3 views and 5 times, got 14"):
        comfy_inside.call("FourRealContactSheet", grid=grid, images=confidence_NHWC[1:], **settings)
