"""Peak memory grows with the cells that are asked for, never with the file: measured in a process that may take no more.

The inputs repeat the packets of a few frames, so that large files are made in no time.
"""

import sys

import pytest
from memory_limit import read_within
from processes import PROCESSES

from scripts.inputs import MIB, encode

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are measured on Linux")


def peak(path, most, cells, height, width):
    """(MiB above the baseline, frames in the file)"""
    answer, told = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=read_within, args=(most, path, cells, (height, width), told))
    process.start()
    told.close()
    process.join()
    assert process.exitcode == 0, "see the process's error above"
    return answer.recv()


@pytest.mark.slow
def test_a_small_file_of_huge_frames(tmp_path):
    encode(tmp_path / "a.mp4", "libx264", "yuv420p", (4096, 4096), 2, 30, repeat=12, preset="ultrafast")
    mebibytes, frames = peak(tmp_path / "a.mp4", 1500, 3, 24, 32)
    assert frames == 24 and mebibytes < 600  # 1,152 when all are kept


@pytest.mark.slow
def test_a_long_clip_of_4k_at_60_frames_per_second(tmp_path):
    encode(tmp_path / "a.mp4", "libx264", "yuv420p", (2160, 3840), 4, 60, repeat=16, preset="ultrafast")
    mebibytes, frames = peak(tmp_path / "a.mp4", 1500, 8, 288, 512)
    assert frames == 64 and mebibytes < 1000  # 1,520 when all are kept


def test_twice_the_length_takes_no_more(tmp_path):
    peaks = []
    for repeat in (10, 80):
        path = tmp_path / f"{repeat}.mp4"
        encode(path, "libx264", "yuv420p", (360, 640), 6, 30, repeat=repeat, preset="ultrafast")
        peaks.append(peak(path, 1000, 8, 72, 128)[0])
    assert peaks[1] < peaks[0] + 30 and path.stat().st_size < 40 * MIB
