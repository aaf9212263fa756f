"""Makes videos like those of phones, cameras and editors, reads cells from each, and writes CPU seconds and peak memory to docs/inputs.md.

python scripts/inputs.py              all of them
python scripts/inputs.py 4K           only those whose name contains a text, printed and not written

Peak memory is read from Linux.
"""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from environment import PACK, enter_or_stop

TABLE = PACK / "docs" / "inputs.md"
CELLS, SIZE = 8, (288, 512)
MIB = 2**20
HEAD = """# Inputs

What can be read, with the work and the memory that it takes to make {cells} cells of {width}x{height} of it, above what Python with PyTorch
needs anyway. Frames are picked and shrunk while they are decoded, so that memory grows with the cells and with the size of one frame, not
with the length of the file. The seconds are those of one core; several share the work. Made by `python scripts/inputs.py`, which makes every
input itself.

| input | frames | size | CPU seconds | peak memory | remark |
|---|---|---|---|---|---|
"""
CHILD = """
import sys, time
def peak():  # of this program alone: what getrusage says includes the process that started it
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.path.insert(0, {pack!r})
import torch
from fourreal_core.files.recording import Measured, Recording
base, began = peak(), time.process_time()
try:
    clip = Measured(Recording.at({path!r}))
    height, width = clip.size
    _, remarks = clip.read(clip.pick(min({cells}, clip.length)), {size!r})
    sound = clip.sound(clip.length / clip.fps)
    if sound is not None:
        remarks.append(f"with {{len(sound.samples)}} channels of sound")
    said = f"{{clip.length}}|{{width}}x{{height}}", "; ".join(remarks)
except ValueError as error:
    said = "|", f"refused: {{error}}"
print("RESULT", said[0], f"{{time.process_time() - began:.1f}}", (peak() - base) // 1024, said[1].replace("|", "/"), sep="|")
"""


def picture(number: int, height: int, width: int):
    """uint8 [height, width, 3]: a gradient that a bar crosses."""
    import numpy as np

    frame_HW3 = np.empty((height, width, 3), np.uint8)
    frame_HW3[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    frame_HW3[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    frame_HW3[..., 2] = 128
    left = number * 8 % width
    frame_HW3[:, left : left + 40] = (255, 220, 40)
    return frame_HW3


def encode(
    path: Path, codec: str, pix_fmt: str, size: tuple[int, int], count: int, rate: int = 30, repeat: int = 1, **options
):
    """A video of `count` frames of (height, width), whose packets are written `repeat` times: long videos in short time."""
    import av

    tags = {name: options.pop(name) for name in ("color_trc", "color_primaries", "colorspace") if name in options}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.options = {"bf": "0", **options} if codec in ("libx264", "libx265") else options
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        unit, packets = Fraction(1, rate), []
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = number, unit
            packets += stream.encode(frame)
        packets += stream.encode()
        places = [(packet.pts, packet.dts, packet.time_base) for packet in packets]
        for turn in range(repeat):
            for packet, (pts, dts, base) in zip(packets, places):
                shift = int(turn * count * unit / base)
                packet.pts, packet.dts, packet.time_base = pts + shift, dts + shift, base
                container.mux(packet)


def add_sound(path: Path, layout: str, channels: int, seconds: float, codec: str):
    """The video at `path` with a sound of so many channels, each a tone of its own."""
    import av
    import numpy as np

    silent, rate = path.with_name(f"silent{path.suffix}"), 48000
    path.rename(silent)
    with av.open(str(silent)) as source, av.open(str(path), "w") as container:
        picture = container.add_stream_from_template(source.streams.video[0])
        track = container.add_stream(codec, rate=rate, layout=layout)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        times_N = np.arange(int(seconds * rate)) / rate
        samples_CN = 0.1 * np.sin(2 * np.pi * 110 * np.arange(1, channels + 1)[:, None] * times_N)
        for start in range(0, samples_CN.shape[1], rate):
            part_NC = samples_CN[:, start : start + rate].T.astype(np.float32)
            frame = av.AudioFrame.from_ndarray(part_NC.reshape(1, -1), format="flt", layout=layout)
            frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(track.encode(frame))
        container.mux(track.encode())
    silent.unlink()


def with_sound_around(path: Path):
    encode(path, *X264, HD, 30, 30, repeat=10, **FAST)
    add_sound(path, "7.1", 8, 10.0, "pcm_f32le")


def animation(path: Path, size: tuple[int, int], count: int):
    from PIL import Image

    images = [Image.fromarray(picture(number, *size)) for number in range(count)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=40)


def folder_of_stills(path: Path, size: tuple[int, int], count: int):
    from PIL import Image

    path.mkdir()
    for number in range(count):
        Image.fromarray(picture(number, *size)).save(path / f"camera{number}.jpg", quality=90)


X264 = ("libx264", "yuv420p")
HD, UHD = (1080, 1920), (2160, 3840)
FAST = {"preset": "ultrafast"}
QUIET = {"preset": "ultrafast", "x265-params": "log-level=none"}
HDR = {"color_primaries": 9, "colorspace": 9, **QUIET}
INPUTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "4K at 60 frames per second, 20 s, H.264": (
        "a.mp4",
        lambda path: encode(path, *X264, UHD, 60, 60, repeat=20, g="60", **FAST),
    ),
    "4K HLG as phones record it, 10 s, H.265 10-bit": (
        "a.mov",
        lambda path: encode(path, "libx265", "yuv420p10le", UHD, 15, 30, repeat=20, color_trc=18, **HDR),
    ),
    "1080p PQ, 2 s, H.265 10-bit": (
        "a.mp4",
        lambda path: encode(path, "libx265", "yuv420p10le", HD, 15, 30, repeat=4, color_trc=16, **HDR),
    ),
    "720p, 900 frames, one key frame": (
        "a.mp4",
        lambda path: encode(path, *X264, (720, 1280), 900, 30, g="1000", **FAST),
    ),
    "portrait 1080p, 10 s": ("a.mp4", lambda path: encode(path, *X264, (1920, 1080), 30, 30, repeat=10, **FAST)),
    "120 frames of 4096x4096 in a small file": (
        "a.mp4",
        lambda path: encode(path, *X264, (4096, 4096), 6, 30, repeat=20, **FAST),
    ),
    "ProRes 4444, 1080p, 1 s": (
        "a.mov",
        lambda path: encode(path, "prores_ks", "yuva444p10le", HD, 30, profile="4444"),
    ),
    "VP9 WebM, 720p, 2 s": (
        "a.webm",
        lambda path: encode(
            path, "libvpx-vp9", "yuv420p", (720, 1280), 15, 30, repeat=4, **{"cpu-used": "8", "deadline": "realtime"}
        ),
    ),
    "AVI (MPEG-4), 480p, 10 s": ("a.avi", lambda path: encode(path, "mpeg4", "yuv420p", (480, 640), 300)),
    "AVI (H.264 with frames out of order), 480p, 10 s": (
        "a.avi",
        lambda path: encode(path, *X264, (480, 640), 300, **{**FAST, "bf": "2"}),
    ),
    "1080p with 7.1 sound, 10 s": ("a.mkv", with_sound_around),
    "GIF, 640x360, 4 s": ("a.gif", lambda path: encode(path, "gif", "rgb8", (360, 640), 100, 25)),
    "animated WebP, 640x360, 4 s": ("a.webp", lambda path: animation(path, (360, 640), 100)),
    "animated PNG, 640x360, 2 s": ("a.png", lambda path: animation(path, (360, 640), 50)),
    "folder of 24 stills of 24 megapixels (JPEG)": ("stills", lambda path: folder_of_stills(path, (4000, 6000), 24)),
}


def measure(path: Path) -> list[str]:
    """[frames, size, CPU seconds, MiB above the baseline, remark] of reading cells from `path` in a process of its own."""
    code = CHILD.format(pack=str(PACK), path=str(path), cells=CELLS, size=SIZE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if "RESULT|" not in done.stdout:
        raise RuntimeError(f"reading {path.name} failed: {done.stderr[-2000:]}")
    return done.stdout.split("RESULT|")[1].strip().split("|")


def main() -> int:
    enter_or_stop()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    table = io.StringIO()
    table.write(HEAD.format(cells=CELLS, width=SIZE[1], height=SIZE[0]))
    for name, (file, make) in INPUTS.items():
        if wanted not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder) / file)
            frames, size, seconds, memory, remark = measure(Path(folder) / file)
        line = f"| {name} | {frames} | {size} | {seconds} | {memory} MiB | {remark} |"
        print(line, flush=True)
        table.write(line + "\n")
    if not wanted:
        TABLE.write_text(table.getvalue(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
