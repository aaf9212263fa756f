"""Sound: read on the clock of the frames, cut to what is shown, kept with a grid, and heard only where time runs at its speed."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from fourreal_core.files.recording import Measured, Recording
from fourreal_core.files.sound import Sound
from fourreal_core.files.video import write_video
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import GridFileError, load_grid, save_grid
from fourreal_core.paths.presets import bullet_time, diagonal, fixed_view, freeze_time, ping_pong
from fourreal_core.paths.sound import sound_along

RATE, FPS = 8000, 10
V, T = 3, 5


def film(path, seconds: float = 1.0, sound_from: float = 0.0, with_sound: bool = True):
    """A video whose sound is silent until `sound_from`, then a tone of 440 Hz; PCM, so that samples survive."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=FPS)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=RATE, layout="mono") if with_sound else None
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, np.uint8), format="rgb24")
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        if track is not None:
            clock = np.arange(round((seconds - sound_from) * RATE))
            samples = (16000 * np.sin(2 * np.pi * 440 * clock / RATE)).astype(np.int16)
            part = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = RATE, round(sound_from * RATE), Fraction(1, RATE)
            container.mux(track.encode(part))
            container.mux(track.encode())
    return path


@pytest.fixture
def grid():
    frames = torch.rand(V, T, 8, 16, 3, generator=torch.Generator().manual_seed(0))
    tone = torch.sin(torch.arange(RATE, dtype=torch.float32) / 3)[None].repeat(2, 1)
    return FrameGrid(frames, torch.ones(V, T, dtype=torch.bool), fps=FPS, sound=Sound(tone, RATE))


def test_sound_begins_with_the_first_frame_and_is_as_long_as_asked(tmp_path):
    sound = Measured(Recording.at(film(tmp_path / "a.mkv"))).sound(0.5)
    assert sound.rate == RATE and sound.samples.shape == (1, RATE // 2)
    expected = 16000 / 32768 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE // 2) / RATE)
    assert torch.allclose(sound.samples[0], expected, atol=1e-3)


def test_sound_that_begins_later_is_silent_first_and_ends_in_silence(tmp_path):
    sound = Measured(Recording.at(film(tmp_path / "a.mkv", sound_from=0.25))).sound(2.0)
    loud = sound.samples[0].abs() > 0.01
    assert loud.nonzero().min() in range(2000, 2010) and loud.nonzero().max() < RATE
    assert sound.seconds == 2.0


def test_a_trimmed_video_is_heard_from_where_it_starts(tmp_path):
    whole = Recording.at(film(tmp_path / "a.mkv", sound_from=0.5))
    trimmed = Measured(Recording("a", whole.video, start=0.4, duration=0.5)).sound(0.4)
    assert (trimmed.samples[0].abs() > 0.01).nonzero().min() in range(800, 810)


def test_videos_without_sound_and_pictures_have_none(tmp_path):
    assert Measured(Recording.at(film(tmp_path / "a.mkv", with_sound=False))).sound(1.0) is None
    from PIL import Image

    (tmp_path / "stills").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "stills" / "a.png")
    assert Measured(Recording.at(tmp_path / "stills")).sound(1.0) is None


def test_more_than_ten_minutes_are_not_kept(tmp_path):
    assert Measured(Recording.at(film(tmp_path / "a.mkv"))).sound(601.0) is None


@pytest.mark.parametrize(
    "path", [fixed_view((V, T), 2), fixed_view((V, T)), diagonal((V, T)), [(0, 1), (2, 2), (1, 3)]], ids=str
)
def test_where_time_runs_at_its_speed_it_is_heard(grid, path):
    heard, first = sound_along(grid, path, FPS), round(path[0][1] * RATE / FPS)
    assert torch.equal(heard.samples, grid.sound.samples[:, first : first + len(path) * RATE // FPS])


def test_frames_between_cells_keep_the_sound(grid):
    path = [(1.0, time / 4) for time in range(4 * T - 3)]
    assert sound_along(grid, path, 4 * FPS).seconds == pytest.approx(len(path) / 4 / FPS, abs=1e-3)
    assert sound_along(grid, path, FPS) is None  # slow motion


@pytest.mark.parametrize("path", [bullet_time((V, T)), freeze_time((V, T)), ping_pong((V, T)), [(0, 2)]], ids=str)
def test_where_time_stops_or_turns_there_is_none(grid, path):
    assert sound_along(grid, path, FPS) is None


def test_a_grid_without_sound_gives_none(grid):
    assert sound_along(grid.replace(sound=None), fixed_view((V, T)), FPS) is None


def test_sound_is_saved_with_the_grid_and_files_without_stay_as_they_were(grid, tmp_path):
    save_grid(grid, tmp_path / "loud.grid.safetensors")
    loaded = load_grid(tmp_path / "loud.grid.safetensors")
    assert torch.equal(loaded.sound.samples, grid.sound.samples) and loaded.sound.rate == RATE
    save_grid(grid.replace(sound=None), tmp_path / "mute.grid.safetensors")
    assert load_grid(tmp_path / "mute.grid.safetensors").sound is None
    assert b"sound" not in (tmp_path / "mute.grid.safetensors").read_bytes()[:2000]


@pytest.mark.parametrize("rate", [None, 0, 12.5, True])
def test_a_file_whose_sound_has_no_sensible_rate_gets_one_clear_error(grid, tmp_path, rate, monkeypatch):
    object.__setattr__(grid.sound, "rate", rate)
    save_grid(grid, tmp_path / "odd.grid.safetensors")
    with pytest.raises(GridFileError, match="samples of sound per second"):
        load_grid(tmp_path / "odd.grid.safetensors")


@pytest.mark.parametrize(
    "samples", [torch.zeros(4), torch.zeros(9, 4), torch.zeros(1, 0), torch.full((1, 4), torch.nan)]
)
def test_what_is_no_sound_gets_one_clear_error(samples):
    with pytest.raises(ValueError, match="sound"):
        Sound(samples, RATE)


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_videos_are_written_with_their_sound(channels, tmp_path):
    clock, frames = torch.arange(RATE) / RATE, torch.zeros(FPS, 16, 16, 3)
    loudness = 0.02 * torch.arange(1, channels + 1)[:, None]  # each channel its own
    sound = Sound(loudness * torch.sin(2 * torch.pi * 200 * clock), RATE)
    write_video(tmp_path / "a.mkv", frames, FPS, lossless=True, sound=sound)
    read = Measured(Recording.at(tmp_path / "a.mkv")).sound(1.0)
    assert torch.equal(read.samples, sound.samples) and read.rate == RATE
    write_video(tmp_path / "a.mp4", frames, FPS, sound=sound)
    read = Measured(Recording.at(tmp_path / "a.mp4")).sound(1.0)
    assert read.samples.shape == (min(channels, 2), RATE)
    assert channels > 2 or torch.allclose(read.samples[:, 2000:6000], sound.samples[:, 2000:6000], atol=0.01)
    assert float(read.samples.abs().max()) > 0.015


def test_sound_of_a_rate_that_aac_does_not_know_is_written_at_the_next(tmp_path):
    sound = Sound(torch.full((1, 50_000), 0.1), 50_000)
    write_video(tmp_path / "a.mp4", torch.zeros(FPS, 16, 16, 3), FPS, sound=sound)
    assert Measured(Recording.at(tmp_path / "a.mp4")).sound(1.0).rate == 64_000
