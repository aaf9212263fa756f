"""The interactive nodes in the real editor of a real ComfyUI: runs tests/web/browser and checks what it left behind.

The tests themselves are JavaScript (tests/web/browser/*.test.mjs, helpers in tests/web/harness.mjs), each file with a browser of its own. They run with
the editor that ComfyUI pins and with the newest one; FOURREAL_FRONTEND chooses (scripts/frontend.py).
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from browser import BrowserProblem, BrowserTools, find_browser
from comfyui import running_host
from environment import PACK, Environment, EnvironmentProblem
from frontend import PINNED, frontend_folder, wanted_frontends
from splat_scene import moving_ball

from fourreal_core.batch.server import Host
from fourreal_core.files.recording import read_video
from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.grid_file import load_grid, save_grid
from fourreal_core.splats.gaussians import Splats
from fourreal_core.splats.rasterizer import render
from fourreal_core.splats.splat_file import save_splats

V, T, H, W = 3, 5, 72, 128
FOLDER = PACK / "tests" / "web" / "browser"
LONGEST_S = 1200  # for one file, on a machine that does other things

JPEG_ERROR = 0.01  # of the mean colours of blocks, with what scaling on a canvas adds, at most


@pytest.fixture(scope="module")
def browser() -> BrowserTools:
    try:
        return find_browser()
    except BrowserProblem as problem:
        pytest.skip(str(problem))


def coloured_grid(blue: int = 120) -> FrameGrid:
    """Each cell has one colour, which tells its view and its time."""
    frames_VTHWC = torch.empty(V, T, H, W, 3)
    frames_VTHWC[..., 0] = torch.linspace(40, 220, V).round()[:, None, None, None]
    frames_VTHWC[..., 1] = torch.linspace(40, 220, T).round()[None, :, None, None]
    frames_VTHWC[..., 2] = blue
    return FrameGrid(frames_VTHWC / 255, task_known(V, T), fps=6.0)


def grey_grid() -> FrameGrid:
    """A confidence: black, unsure, in the last view, grey in the middle one, white, sure, in the first."""
    frames_VTHWC = torch.linspace(1, 0, V)[:, None, None, None, None].expand(V, T, H, W, 3).contiguous()
    return FrameGrid(frames_VTHWC, torch.ones(V, T, dtype=torch.bool))


def quartered_grid() -> FrameGrid:
    """The quarters of every cell, line by line: red, green, blue, white."""
    frames_VTHWC = torch.zeros(V, T, H, W, 3)
    frames_VTHWC[:, :, : H // 2, : W // 2, 0] = 1
    frames_VTHWC[:, :, : H // 2, W // 2 :, 1] = 1
    frames_VTHWC[:, :, H // 2 :, : W // 2, 2] = 1
    frames_VTHWC[:, :, H // 2 :, W // 2 :] = 1
    return FrameGrid(frames_VTHWC, task_known(V, T), fps=6.0)


def shorter_grid() -> FrameGrid:
    grid = coloured_grid()
    return FrameGrid(grid.frames[:, 1:], grid.known[:, 1:])


def moving_grid() -> FrameGrid:
    """A textured square that slides before a textured wall, seen from places side by side."""
    generator = torch.Generator().manual_seed(0)
    wall = F.interpolate(torch.rand(1, 3, 12, 32, generator=generator), (H, 2 * W), mode="bilinear")[0].movedim(0, -1)
    square = torch.rand(20, 20, 3, generator=generator)
    frames_VTHWC = torch.stack([wall[:, 4 * view : 4 * view + W].expand(T, H, W, 3) for view in range(V)]).clone()
    for view in range(V):
        for time in range(T):
            left = 40 - 8 * view + 2 * time
            frames_VTHWC[view, time, 20:40, left : left + 20] = square
    return FrameGrid(frames_VTHWC, task_known(V, T), fps=6.0)


def torn_grid() -> FrameGrid:
    """The same; view 3 at time 4 stands on its head."""
    grid = moving_grid()
    frames_VTHWC = grid.frames.clone()
    frames_VTHWC[2, 3] = frames_VTHWC[2, 3].flip(0)
    return grid.replace(frames=frames_VTHWC)


def frozen_grid() -> FrameGrid:
    grid = moving_grid()
    return grid.filled(grid.frames[:, :1].expand_as(grid.frames))


GRIDS = {
    "coloured": coloured_grid,
    "compared": lambda: coloured_grid(blue=250),
    "grey": grey_grid,
    "quartered": quartered_grid,
    "shorter": shorter_grid,
    "moving": moving_grid,
    "torn": torn_grid,
    "frozen": frozen_grid,
}


def splat_scene() -> Splats:
    """Few Gaussians: the test machine's graphics card is its processor."""
    return moving_ball(still=500, moving=250)


BLOCKS = (18, 32)  # lines and columns of mean colours in a picture of the splats


def splat_blocks(splats: Splats, pose_44: torch.Tensor, lens_33: torch.Tensor, time: float) -> torch.Tensor:
    """[18 * 32, 3] 0..255: mean colours of the rasterizer's picture, line by line."""
    drawn_HWC = render(splats.at(time), pose_44, lens_33, *splats.size).over(splats.background_3).clamp(0, 1)
    return F.adaptive_avg_pool2d(drawn_HWC.movedim(-1, 0), BLOCKS).flatten(1).T * 255


def write_splat_scene(base: Path) -> dict:
    """The splats and a grid of their negatives into the input folder; what splat_player.test.mjs expects to see."""
    splats = splat_scene()
    file, grid_file = base / "input" / "ball.splats.safetensors", base / "input" / "negative.grid.safetensors"
    save_splats(splats, file)
    views, cameras = len(splats.cameras.intrinsics), splats.cameras
    lookups = list(zip(cameras.world_to_camera, cameras.intrinsics))
    cells = [
        [render(splats.at(time), *camera, *splats.size).over(splats.background_3) for time in range(splats.times)]
        for camera in lookups
    ]
    frames_VTHWC = 1 - torch.stack([torch.stack(line) for line in cells]).clamp(0, 1)
    save_grid(FrameGrid(frames_VTHWC, torch.ones(views, splats.times, dtype=torch.bool)), grid_file)
    seen = [(0, 0), (0, 1), (0, 1.5), (0, splats.times - 1), (views - 1, 0), (views - 1, splats.times - 1)]
    blocks = {f"{view} {time}": splat_blocks(splats, *lookups[view], time).tolist() for view, time in seen}
    return {
        "file": f"{file.name} [input]",
        "path": str(file),
        "grid": f"{grid_file.name} [input]",
        "height": splats.size[0],
        "width": splats.size[1],
        "views": views,
        "times": splats.times,
        "count": BLOCKS[::-1],
        "blocks": blocks,
    }


@pytest.fixture(scope="module", params=wanted_frontends())
def editor_host(request: pytest.FixtureRequest, environment: Environment) -> Iterator[Host]:
    """A ComfyUI with one of the editors; the pinned one is that of all host tests."""
    if request.param == PINNED:
        yield request.getfixturevalue("host")
        return
    try:
        folder = frontend_folder(request.param, environment)
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))
    with running_host(environment, frontend=folder) as host:
        yield host


@pytest.fixture(scope="module")
def shown(editor_host: Host) -> Path:
    """The file that tells what the players of a first visit showed."""
    return editor_host.base / "shown.json"


@pytest.fixture(scope="module")
def variables(editor_host: Host, browser: BrowserTools, shown: Path) -> dict[str, str]:
    host = editor_host
    for name, make in GRIDS.items():
        save_grid(make(), host.base / "input" / f"{name}.grid.safetensors")
    files = {name: f"{name}.grid.safetensors [input]" for name in GRIDS}
    shown_colors = (coloured_grid().frames[:, :, 0, 0] * 255).round().int().tolist()
    colors = host.base / "colors.json"
    colors.write_text(json.dumps({"file": files["coloured"], "files": files, "colors": shown_colors}))
    splats = host.base / "splats.json"
    splats.write_text(json.dumps(write_splat_scene(host.base)))
    return {
        **browser.variables(),
        "FOURREAL_HOST": host.address,
        "FOURREAL_SPLATS": str(splats),
        "FOURREAL_FREE": str(host.base / "free_*.json"),
        "FOURREAL_GRID_COLORS": str(colors),
        "FOURREAL_SHOWN": str(shown),
    }


@pytest.mark.parametrize("file", sorted(file.name for file in FOLDER.glob("*.test.mjs")))
def test_in_the_browser(file: str, browser: BrowserTools, variables: dict[str, str]) -> None:
    try:
        ran = subprocess.run(
            [str(browser.node), str(FOLDER / file)],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired as late:
        pytest.fail(
            f"{file} had not ended after {LONGEST_S} s. It printed last:\n{(late.stdout or b'').decode()[-8000:]}"
        )
    assert ran.returncode == 0, ran.stdout[-8000:]


def test_the_cells_marked_in_the_browser_are_unknown_in_the_grid_that_came_out(editor_host: Host) -> None:
    """Both renderers mark cells (0, 0) and (2, 0) in their second run; the first has no marks."""
    files = sorted((editor_host.base / "output").glob("redo_*"))
    if not files:
        pytest.skip("player.test.mjs did not run")
    saved = [load_grid(file) for file in files]
    assert [(~grid.known).nonzero().tolist() for grid in saved] == [[], [[0, 0], [2, 0]]] * 2
    assert all(torch.equal(grid.frames, coloured_grid().frames) for grid in saved)


def test_videos_saved_in_the_browser_hold_the_cells_that_played(editor_host: Host) -> None:
    """Both renderers save view 0 from time 3 back to time 1, at twice the grid's 6 frames per second."""
    files = sorted(editor_host.base.glob("played_*.mp4"))
    if not files:
        pytest.skip("player_tools.test.mjs did not run")
    assert [file.stem for file in files] == ["played_classic", "played_vue"]
    for file in files:
        frames_NHWC, fps = read_video(file)
        assert fps == 12
        expected_NHWC = coloured_grid().frames[0, [3, 2, 1]]
        assert (frames_NHWC / 255 - expected_NHWC).abs().max() < 0.05


def test_splats_seen_from_a_free_camera_look_as_the_rasterizer_draws_them(editor_host: Host) -> None:
    """Both renderers turn, move and zoom, and tell where the camera was and what was on the canvas."""
    files = sorted(editor_host.base.glob("free_*.json"))
    if not files:
        pytest.skip("splat_player.test.mjs did not run")
    assert [file.stem for file in files] == ["free_classic", "free_vue"]
    for file in files:
        seen = json.loads(file.read_text())
        rotation, shift, lens = (seen["camera"][name] for name in ("rotation", "shift", "lens"))
        pose_44 = torch.eye(4)
        pose_44[:3, :3], pose_44[:3, 3] = torch.tensor(rotation).view(3, 3), torch.tensor(shift)
        lens_33 = torch.tensor([[lens["fx"], lens["skew"], lens["cx"]], [0, lens["fy"], lens["cy"]], [0, 0, 1]])
        apart = (torch.tensor(seen["blocks"]) - splat_blocks(splat_scene(), pose_44, lens_33, seen["time"])).abs()
        assert apart.mean() < 1.5 and apart.max() < 6, (float(apart.mean()), float(apart.max()))


def test_what_was_shown_after_a_first_visit_are_the_grids_own_cells(editor_host: Host, shown: Path) -> None:
    """The cell that the player named looks nearly as what was on its canvas, and no other cell of the saved grid more so: strictly where
    a cell differs from the named one by more than JPEG's error, else but for that."""
    if not shown.is_file():
        pytest.skip("first_visit.test.mjs did not run")
    report = json.loads(shown.read_text())
    assert len(report["shown"]) >= (4 + 1) * 5  # of each workflow, and of the first in the other renderer
    for cell in report["shown"]:
        [file] = (editor_host.base / "output" / "first_visit").glob(f"{cell['grid']}_*")
        blocks_VTNC = blocks_of(load_grid(file).frames, report["edge"])
        apart_VT = (blocks_VTNC - torch.tensor(cell["blocks"]) / 255).abs().mean((-1, -2))
        other_VT = (blocks_VTNC - blocks_VTNC[cell["view"], cell["time"]]).abs().mean((-1, -2)) > JPEG_ERROR
        name = f"{cell['grid']}, view {cell['view']}, time {cell['time']}"
        apart = apart_VT[cell["view"], cell["time"]]
        assert apart < 0.01 and apart < apart_VT.min() + 0.001, name
        assert other_VT.any() and apart < apart_VT[other_VT].min(), name


def blocks_of(frames_VTHWC: torch.Tensor, edge: float) -> torch.Tensor:
    """[V, T, 8 * 6, 3]: mean colours of blocks, line by line, of every cell without a share `edge` of it on each side."""
    views, times, height, width, _ = frames_VTHWC.shape
    fine_NCHW = F.interpolate(frames_VTHWC.flatten(0, 1).movedim(-1, 1), scale_factor=4)
    top, left = round(4 * height * edge), round(4 * width * edge)
    inner_NCHW = fine_NCHW[:, :, top : 4 * height - top, left : 4 * width - left]
    return F.adaptive_avg_pool2d(inner_NCHW, (6, 8)).flatten(2).movedim(1, -1).reshape(views, times, 48, 3)
