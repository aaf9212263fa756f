"""What happens to every kind of file that is written when the disk refuses in the middle: one clear error, the old file whole, nothing left beside it.

The system itself refuses here: a limit on the size of files, which writing runs into as it runs into a full disk.
"""

import contextlib
import sys
from functools import partial

import pytest
import torch
from made_splats import made
from PIL import Image

from fourreal_core.data.shards import write_shard
from fourreal_core.evaluation.kept import NUMBERS, KeptStudy
from fourreal_core.evaluation.page import write_page
from fourreal_core.evaluation.study import Study
from fourreal_core.exchange.folders import write_image, write_images
from fourreal_core.exchange.nerfstudio import write_nerfstudio
from fourreal_core.files.atomic import save_picture, write_tensors, write_text
from fourreal_core.files.marked_part import write_part
from fourreal_core.files.records import add_record, read_records
from fourreal_core.files.video import write_video
from fourreal_core.geometry.networks import GeometryNetworks, save_networks
from fourreal_core.grid import Cameras, FrameGrid
from fourreal_core.grid_file import save_grid
from fourreal_core.model.config import tiny
from fourreal_core.model.sync_file import SyncConfig, SyncLayers, save_sync
from fourreal_core.model.two_stream import GridModel
from fourreal_core.model.weights import save_checkpoint
from fourreal_core.splats.exports import write_4dgs, write_glb, write_ply, write_usd
from fourreal_core.splats.splat_file import save_splats
from fourreal_core.training.footage.store import store_grid, write_examples
from fourreal_core.training.parts import write_set

resource = pytest.importorskip("resource")  # systems that limit the size of files
LIMIT = 512  # bytes that a file may have
SOURCE = torch.Generator().manual_seed(0)
FRAMES = torch.rand(2, 2, 32, 48, 3, generator=SOURCE)  # noise: no format makes little of it
CAMERAS = Cameras(torch.eye(4).expand(2, 4, 4), torch.tensor([[30.0, 0, 24], [0, 30, 16], [0, 0, 1]]).expand(2, 3, 3))
GRID = FrameGrid(FRAMES, torch.ones(2, 2, dtype=torch.bool), cameras=CAMERAS)
PICTURE = Image.fromarray((FRAMES[0, 0] * 255).byte().numpy())


@contextlib.contextmanager
def full_disk():
    """No file grows beyond LIMIT bytes; Python ignores the signal that comes with it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def long_page(file):
    kept = KeptStudy(file.parent)
    write_page(kept, Study())


def long_numbers(file):
    kept = KeptStudy(file.parent)
    kept.plain["grids"] = {f"grid {number}": {} for number in range(200)}
    kept.write()


def marked(file):
    if not file.exists():
        file.write_text("<!-- part -->\n<!-- end of part -->\n")
    write_part(file, "part", "a table\n" * 200)


TINY = tiny()
FILES = {  # the name of a file, and what writes it
    "a.grid.safetensors": partial(save_grid, GRID),
    "a.splats.safetensors": partial(save_splats, made()),
    "a.ply": lambda file: write_ply(made().gaussians, file),
    "a.4dgs": partial(write_4dgs, made()),
    "a.glb": partial(write_glb, made(), 0.0),
    "a.usdc": partial(write_usd, made()),
    "a.safetensors": lambda file: save_checkpoint(file, GridModel(TINY)),
    "a.sync.safetensors": lambda file: save_sync(SyncLayers(SyncConfig("wan", 16, 2, "hard", 4)), file),
    "geometry.safetensors": lambda file: save_networks(GeometryNetworks(), file),
    "examples.safetensors": lambda file: write_examples(file, [store_grid(FRAMES)], "test"),
    "shard.safetensors": lambda file: write_shard(file, [GRID]),
    "tensors.safetensors": lambda file: write_tensors(file, {"a": FRAMES}),
    "a.mp4": lambda file: write_video(file, FRAMES[0], 24),
    "lossless.mkv": lambda file: write_video(file, FRAMES[0], 24, lossless=True),
    "a.png": lambda file: write_image(file, FRAMES[0, 0]),
    "a.jpg": lambda file: write_image(file, FRAMES[0, 0]),
    "sheet.jpg": partial(save_picture, PICTURE, quality=95),
    NUMBERS: long_numbers,
    "index.html": long_page,
    "table.md": marked,
    "text.md": lambda file: write_text(file, "words " * 500),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_whole_or_the_old_one(name, tmp_path):
    try:
        FILES[name](tmp_path / name)
    except ImportError as library:
        pytest.skip(str(library))
    content = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert len(content[tmp_path / name]) > LIMIT
    with full_disk(), pytest.raises((ValueError, OSError)) as caught:
        FILES[name](tmp_path / name)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == content
    assert "\n" not in str(caught.value) and name.split(".")[0] in str(caught.value)
    FILES[name](tmp_path / name)  # and the next one works
    assert len(list(tmp_path.iterdir())) == len(content)


@pytest.mark.parametrize(
    "write",
    [
        write_images,
        lambda grid, folder: write_nerfstudio(grid, folder, time=0),
    ],
)
def test_a_folder_is_whole_or_not_there(write, tmp_path):
    with full_disk(), pytest.raises(ValueError, match="taken") as caught:
        write(GRID, tmp_path / "taken")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    write(GRID, tmp_path / "taken")


def test_a_training_keeps_its_older_state(tmp_path):
    write_set(tmp_path, "base", 1, {"a": torch.zeros(1000)}, {})
    content = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with full_disk(), pytest.raises(ValueError) as caught:
        write_set(tmp_path, "base", 2, {"a": torch.ones(1000)}, {})
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == content
    assert "\n" not in str(caught.value)


def test_records_go_on_after_a_line_that_was_cut(tmp_path):
    file = tmp_path / "results.jsonl"
    add_record(file, {"a": 1})
    with full_disk(), pytest.raises(OSError):
        add_record(file, {"b": "x" * 2 * LIMIT})
    assert read_records(file) == [{"a": 1}]
    add_record(file, {"c": 3})
    assert read_records(file) == [{"a": 1}, {"c": 3}] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="asks for processes")
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    import subprocess

    command = [sys.executable, "-c", KILLED, str(tmp_path / "a.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        writer.kill()
    assert [".part" in file.name for file in tmp_path.iterdir()] == [True]
    save_picture(PICTURE, tmp_path / "b.png")
    assert [file.name for file in tmp_path.iterdir()] == ["b.png"]


KILLED = """
import sys, time
from fourreal_core.files.atomic import whole_file
with whole_file(sys.argv[1]) as part:
    part.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""
