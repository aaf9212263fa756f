"""Peak memory grows with the cells that are asked for, never with the file: measured in a process that may take no more.

The inputs repeat the packets of a few frames, so that large files are made in no time.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.inputs import MIB, encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are measured on Linux")
PACK = Path(__file__).resolve().parents[2]
CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import torch
from fourreal_core.files.recording import Measured, Recording
torch.nn.functional.interpolate(torch.zeros(1, 1, 9, 9), size=(4, 4), mode="bicubic", antialias=True)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]) * 2**20,) * 2)
peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])
base = peak()
clip = Measured(Recording.at(sys.argv[2]))
told = []
frames, _ = clip.read(clip.pick(int(sys.argv[4])), (int(sys.argv[5]), int(sys.argv[6])), report=lambda *step: told.append(step))
assert len(frames) == int(sys.argv[4]) and told[-1][0] == told[-1][1] and len(told) > 2
print((peak() - base) // 1024, clip.length)
"""


def peak(path, most, cells, height, width):
    """(MiB above the baseline, frames in the file)"""
    command = [sys.executable, "-c", CHILD, str(PACK), str(path), str(most), str(cells), str(height), str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(int(word) for word in done.stdout.split())


@pytest.mark.slow
def test_a_small_file_of_huge_frames(tmp_path):
    encode(tmp_path / "a.mp4", "libx264", "yuv420p", (4096, 4096), 2, 30, repeat=60, preset="ultrafast")
    mebibytes, frames = peak(tmp_path / "a.mp4", 1500, 3, 24, 32)
    assert frames == 120 and mebibytes < 600


@pytest.mark.slow
def test_a_long_clip_of_4k_at_60_frames_per_second(tmp_path):
    encode(tmp_path / "a.mp4", "libx264", "yuv420p", (2160, 3840), 4, 60, repeat=60, preset="ultrafast")
    mebibytes, frames = peak(tmp_path / "a.mp4", 1500, 8, 288, 512)
    assert frames == 240 and mebibytes < 1000


def test_twice_the_length_takes_no_more(tmp_path):
    peaks = []
    for repeat in (10, 80):
        path = tmp_path / f"{repeat}.mp4"
        encode(path, "libx264", "yuv420p", (360, 640), 6, 30, repeat=repeat, preset="ultrafast")
        peaks.append(peak(path, 1000, 8, 72, 128)[0])
    assert peaks[1] < peaks[0] + 30 and path.stat().st_size < 40 * MIB
