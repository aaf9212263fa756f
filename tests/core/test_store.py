"""From footage to examples on disk: every kind of source, as small real files; what is skipped; several processes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image

from fourreal_core.data.folder import find_captures, find_videos, random_stretch
from fourreal_core.data.shards import write_shard
from fourreal_core.files.video import write_video
from fourreal_core.grid import Cameras, FrameGrid
from fourreal_core.grid_file import save_grid
from fourreal_core.training.footage import prepare as sources
from fourreal_core.training.footage.mixture import load_examples
from fourreal_core.training.footage.prepare import prepare
from fourreal_core.training.footage.store import ENDING, read_examples, store_grid, write_examples

V, T, H, W = 3, 5, 16, 24
SHAPE = (V, T, H, W)


def moving_video(frames, seed, height=20, width=30):
    """A smooth picture that slides sideways, uint8."""
    coarse = torch.rand(1, 3, 4, 12, generator=torch.Generator().manual_seed(seed))
    wide = torch.nn.functional.interpolate(coarse, (height, width + frames), mode="bilinear")[0].permute(1, 2, 0)
    return (torch.stack([wide[:, n : n + width] for n in range(frames)]) * 255).round().to(torch.uint8)


def write_capture(folder, views=4, times=7):
    folder.mkdir(parents=True)
    for view in range(views):
        write_video(folder / f"cam{view}.mkv", moving_video(times + view % 2, seed=0), 10, lossless=True)
    return folder


def write_images(folder, count=9):
    folder.mkdir(parents=True)
    for number, frame in enumerate(moving_video(count, seed=1)):
        Image.fromarray(frame.numpy()).save(folder / f"{number}.png")
    return folder


def shapes(folder):
    return {tuple(grid.frames.shape) for grid in read_examples(folder)}


def test_videos_of_a_folder_become_pseudo_4d_and_broken_ones_are_skipped(tmp_path):
    footage = tmp_path / "footage"
    (footage / "day1").mkdir(parents=True)
    write_video(footage / "day1" / "walk.mkv", moving_video(9, 0), 10, lossless=True)
    write_video(footage / "short.mkv", moving_video(2, 0), 10, lossless=True)
    (footage / "broken.mp4").write_bytes(b"no video")
    (footage / "notes.txt").write_text("hello")
    said = []
    there = prepare(sources.pseudo_jobs([footage], SHAPE, 2), tmp_path / "out", said.append)
    assert there == 1 and [path.name for path in (tmp_path / "out").iterdir()] == ["footage-day1-walk" + ENDING]
    skipped = [line for line in said if line.startswith("skipped")]
    assert (
        len(skipped) == 2
        and "not a video" in skipped[0]
        and "expected at least 5 frames in short.mkv, got 2" in skipped[1]
    )
    assert any(
        line.startswith("footage-day1-walk.examples.safetensors: 2 grids  2/") and "min left" in line for line in said
    )
    grids = read_examples(tmp_path / "out")
    assert len(grids) == 2 and shapes(tmp_path / "out") == {(*SHAPE, 3)} and grids[0].along_time.shape == (*SHAPE, 3)


def test_captures_become_grids_of_the_real_frames(tmp_path):
    write_capture(tmp_path / "captures" / "fly")
    write_images(tmp_path / "captures" / "toy" / "left"), write_images(tmp_path / "captures" / "toy" / "right")
    assert set(find_captures([tmp_path / "captures"])) == {"captures-fly", "captures-toy"}
    assert set(find_captures([tmp_path / "captures" / "toy"])) == {"toy"}
    jobs = sources.capture_jobs([tmp_path / "captures"], (V, T, 20, 30), 4)
    assert prepare(jobs, tmp_path / "out") == 2
    assert shapes(tmp_path / "out") == {(V, T, 20, 30, 3), (2, T, 20, 30, 3)}
    first_frames = {bytes(grid.frames[0, 0].numpy().tobytes()) for grid in read_examples(tmp_path / "out")[:4]}
    footage = {frame.numpy().tobytes() for length in (7, 8) for frame in moving_video(length, 0)}
    assert len(first_frames) > 1 and first_frames <= footage


def test_static_scenes_and_plain_videos_become_lines_without_a_guess(tmp_path):
    write_images(tmp_path / "fox" / "images")
    write_video(tmp_path / "walk.mkv", moving_video(4, 0), 10, lossless=True)
    jobs = sources.sequence_jobs([tmp_path / "fox"], SHAPE, 3, "freeze-time") + sources.sequence_jobs(
        [tmp_path / "walk.mkv"], SHAPE, 3, "fixed-view"
    )
    assert prepare(jobs, tmp_path / "out") == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "fox-images.freeze-time" + ENDING,
        "walk.fixed-view" + ENDING,
    }
    static, plain = [
        [grid for grid in read_examples(tmp_path / "out") if grid.frames.shape[axis] == 1] for axis in (1, 0)
    ]
    assert len(static) == 3 and {tuple(grid.frames.shape) for grid in static} == {(V, 1, H, W, 3)}
    assert len(plain) == 1 and plain[0].frames.shape == (1, 4, H, W, 3)  # only one stretch of 4 frames
    assert all(grid.is_sequence and grid.along_time is None for grid in static + plain)


def test_saved_grids_shards_and_made_up_scenes(tmp_path):
    frames = torch.stack([moving_video(T, 0)] * V).float() / 255
    whole = FrameGrid(frames, torch.ones(V, T, dtype=torch.bool))
    save_grid(whole, tmp_path / "mine.grid.safetensors")
    save_grid(whole.replace(known=torch.eye(V, T, dtype=torch.bool)), tmp_path / "half.grid.safetensors")
    cameras = Cameras(torch.eye(4).repeat(V, 1, 1), torch.eye(3).repeat(V, 1, 1))
    write_shard(tmp_path / "shards" / "shard_1.safetensors", [whole.replace(cameras=cameras)] * 2)
    said = []
    jobs = sources.saved_grid_jobs([tmp_path], (9, 9, 20, 30)) + sources.shard_jobs(tmp_path / "shards")
    assert prepare(jobs, tmp_path / "out", said.append) == 2
    assert any("half.grid: expected a grid with all cells known" in line and "12 cells" in line for line in said)
    stored = read_examples(tmp_path / "out")
    assert len(stored) == 3 and all(torch.equal(grid.frames, (frames * 255).to(torch.uint8)) for grid in stored)
    prepare(sources.procedural_jobs(1, 7, (2, 2, 8, 16)), tmp_path / "made")
    assert shapes(tmp_path / "made") == {(2, 2, 8, 16, 3)}


def test_what_exists_is_kept_and_other_settings_are_said(tmp_path):
    write_video(tmp_path / "walk.mkv", moving_video(9, 0), 10, lossless=True)
    jobs = sources.sequence_jobs([tmp_path / "walk.mkv"], SHAPE, 2, "fixed-view")
    prepare(jobs, tmp_path / "out")
    file = tmp_path / "out" / ("walk.fixed-view" + ENDING)
    before, said = file.stat().st_mtime_ns, []
    assert prepare(jobs, tmp_path / "out", said.append) == 1 and not said
    prepare(sources.sequence_jobs([tmp_path / "walk.mkv"], SHAPE, 3, "fixed-view"), tmp_path / "out", said.append)
    assert len(said) == 1 and "other settings: delete it" in said[0] and file.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="two sources would both be written"):
        prepare(jobs + jobs, tmp_path / "out")


def test_a_source_that_breaks_in_the_middle_leaves_nothing(tmp_path):
    def read():
        yield moving_video(T, 0)[None], None
        raise ValueError("the disk is gone")

    whole = sources.Job("whole", 1, "", lambda: iter([(moving_video(T, 0)[None], None)]))
    single = sources.Job("single", 1, "", lambda: iter([(moving_video(1, 0)[None], None)]))
    said = []
    assert prepare([sources.Job("broken", 2, "", read), single, whole], tmp_path, said.append) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["whole" + ENDING] and len(read_examples(tmp_path)) == 1
    assert "skipped broken: the disk is gone\n" in said and any("got a single frame" in line for line in said)


def test_names_and_stretches(tmp_path):
    for name in ("a/walk.mkv", "b/walk.mkv"):
        (tmp_path / name).parent.mkdir()
        write_video(tmp_path / name, moving_video(2, 0), 10, lossless=True)
    assert set(find_videos([tmp_path / "a", tmp_path / "b"])) == {"a-walk", "b-walk"}
    with pytest.raises(ValueError, match="would get the same name, walk: rename one"):
        find_videos([tmp_path / "a" / "walk.mkv", tmp_path / "b" / "walk.mkv"])
    with pytest.raises(ValueError, match="there is no file or folder .*: check the name"):
        find_videos([tmp_path / "c"])
    generator = torch.Generator().manual_seed(0)
    drawn = [list(range(20))[random_stretch(20, 5, generator)] for _ in range(50)]
    assert all(len(places) == 5 for places in drawn) and {places[1] - places[0] for places in drawn} == {1, 2, 3}
    assert random_stretch(3, 5, generator) == slice(0, 3, 1)


def test_files_of_another_version_or_cut_short_are_named(tmp_path):
    with pytest.raises(ValueError, match="no training examples"):
        load_examples(tmp_path)
    (tmp_path / ("cut" + ENDING)).write_bytes(b"12345678")
    with pytest.raises(ValueError, match="cut.examples.safetensors is not a readable file of examples"):
        read_examples(tmp_path)
    (tmp_path / ("cut" + ENDING)).unlink()
    grid = store_grid(torch.rand(2, 2, 8, 16, 3))
    object.__setattr__(grid, "back_time", None)
    write_examples(tmp_path / ("old" + ENDING), [grid], "")
    with pytest.raises(ValueError, match="old.examples.safetensors was prepared by another version"):
        read_examples(tmp_path)


def test_several_workers_give_the_same_files(tmp_path, monkeypatch):
    """Threads stand for the processes here, which take seconds to start."""
    monkeypatch.setattr(sources, "ProcessPoolExecutor", lambda workers, context, begin: ThreadPoolExecutor(workers))
    write_video(tmp_path / "walk.mkv", moving_video(9, 0), 10, lossless=True)
    for workers in (1, 2):
        prepare(
            sources.pseudo_jobs([tmp_path / "walk.mkv"], (2, 3, 16, 24), 2), tmp_path / str(workers), workers=workers
        )
    one, two = (read_examples(tmp_path / str(workers)) for workers in (1, 2))
    assert len(one) == len(two) == 2
    assert all(torch.equal(getattr(a, name), getattr(b, name)) for a, b in zip(one, two) for name in vars(a))
