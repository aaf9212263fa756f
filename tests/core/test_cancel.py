"""Whatever takes long for large cells or many of them asks in between whether to go on, and leaves nothing half-done behind when it shall not."""

import pytest
import torch
from PIL import Image

from fourreal_core.evaluation.agreement.measure import measure_agreement
from fourreal_core.evaluation.reference import measure_reference
from fourreal_core.exchange.batch import grid_from_images, grid_images
from fourreal_core.exchange.folders import write_images, write_view_videos
from fourreal_core.exchange.quilt import one_tile_per_view, quilts
from fourreal_core.exchange.stereo import stereo_video
from fourreal_core.files import atomic
from fourreal_core.files.atomic import save_picture
from fourreal_core.files.recording import Measured, Recording
from fourreal_core.files.video import fit_frames, write_video
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import load_grid, save_grid
from fourreal_core.paths.presets import fixed_view, slice_grid
from fourreal_core.sampling.lifted import Changes
from fourreal_core.show.atlas import grid_atlases
from fourreal_core.show.contact_sheet import contact_sheet
from fourreal_core.side_by_side import asking
from fourreal_core.transport import Predictor, transport, transport_fill

V, T, H, W = 3, 2, 32, 48
FRAMES = torch.rand(V, T, H, W, 3, generator=torch.Generator().manual_seed(0))
GRID = FrameGrid(FRAMES, torch.ones(V, T, dtype=torch.bool))
OPEN = GRID.replace(known=torch.tensor([[True, True], [True, False], [True, False]]))
TRUTH = FrameGrid(FRAMES.flip(3), GRID.known)


class Cancelled(BaseException):
    """As ComfyUI's own: no Exception."""


def loading(folder):
    save_grid(GRID, folder / "there")
    return lambda: load_grid(folder / "there")


def looking_through_a_video(folder):
    write_video(folder / "there.mp4", FRAMES[0].repeat(9, 1, 1, 1), 24)
    return lambda: Measured(Recording.at(folder / "there.mp4")).read(range(0, 18, 5), (16, 24))


def looking_through_an_animation(folder):
    pictures = [Image.fromarray((frame * 255).byte().numpy()) for frame in FRAMES.flatten(0, 1)]
    pictures[0].save(folder / "there.webp", save_all=True, append_images=pictures[1:])
    return lambda: Measured(Recording.at(folder / "there.webp")).read(range(V * T), (16, 24))


def blending(folder):
    predictions = transport(OPEN)
    return lambda: predictions.blend


def changing(folder):
    changes, guess = Changes(torch.zeros(V, T, 16, 24, 3)), OPEN.replace(frames=FRAMES)
    return lambda: changes.over_grid(OPEN, guess)


WORKS = {  # what is done in a folder, and how often it asks at least
    "save a grid": (lambda folder: lambda: save_grid(GRID, folder / "grid"), 1 + 2 * FRAMES.numel() * 4 // 2**10),
    "load a grid": (loading, V * T),
    "write a video": (lambda folder: lambda: write_video(folder / "a.mp4", FRAMES[0].repeat(9, 1, 1, 1), 24), 2 * 18),
    "write videos": (lambda folder: lambda: write_view_videos(GRID, folder / "videos", lossless=True), 2 * V * T),
    "write images": (lambda folder: lambda: write_images(GRID, folder / "images"), V * T),
    "look through a video": (looking_through_a_video, 18 + 16),
    "look through an animation": (looking_through_an_animation, 2 * V * T),
    "fit frames": (lambda folder: lambda: fit_frames(FRAMES[0], 16, 24), T),
    "images of a grid": (lambda folder: lambda: grid_images(GRID), V * T),
    "a grid of images": (
        lambda folder: lambda: grid_from_images(FRAMES.flatten(0, 1), V, order="time by time"),
        V * T,
    ),
    "quilts": (lambda folder: lambda: quilts(GRID, one_tile_per_view(V, H, W), range(V), range(T)), V * T),
    "stereo": (lambda folder: lambda: stereo_video(GRID), T),
    "a video along a path": (lambda folder: lambda: slice_grid(GRID, fixed_view((V, T))), T),
    "atlases of a player": (lambda folder: lambda: grid_atlases(GRID), V),
    "a contact sheet": (lambda folder: lambda: contact_sheet(GRID, max_side=60), V * T),
    "transport": (lambda folder: lambda: transport(OPEN), 4 * 2),
    "a fill by transport": (lambda folder: lambda: transport_fill(OPEN), 4 * 2),
    "correspondences of transport": (lambda folder: lambda: Predictor(OPEN).find_flows(lambda *done: None), V + T - 2),
    "predictions blended": (blending, V * T),
    "small predictions": (lambda folder: lambda: Predictor(OPEN).all_cells(size=(16, 24)), 4 * 2 + 6 * V * T),
    "changes laid over a guess": (changing, 2),
    "agreement": (lambda folder: lambda: measure_agreement(GRID), 3 * V * T),
    "errors": (lambda folder: lambda: measure_reference(GRID, TRUTH), 3 * V * T),
}


@pytest.mark.parametrize("name", WORKS)
def test_it_asks_often_and_can_be_ended_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "PIECE", 2**10)
    make, least = WORKS[name]
    work, there = make(tmp_path), sorted(tmp_path.iterdir())
    for place in (1, max(1, least // 2), least):
        left = iter(range(place - 1))

        def cancel(left=left):
            if next(left, None) is None:
                raise Cancelled

        with pytest.raises(Cancelled), asking(cancel):
            work()
        assert sorted(tmp_path.iterdir()) == there


def test_a_large_png_asks_while_it_is_encoded(tmp_path):
    noise = torch.randint(0, 256, (700, 700, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)).numpy()
    asked = []
    with asking(lambda: asked.append(1)):
        save_picture(Image.fromarray(noise), tmp_path / "a.png")
    assert len(asked) > 10
