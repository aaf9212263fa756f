"""Measures what a fill and the bundled model take of a process's memory on this CPU, beside what fourreal_core/sampling/budget.py says.

python scripts/measure_budget.py              all of them
python scripts/measure_budget.py transport    those whose name holds a text

Each in a process of its own, on the example videos. Exit code 1 when an estimate is not within the stated factor. Reads memory from Linux.
"""

import os
import subprocess
import sys

from environment import PACK, enter_or_stop

CASES = [  # what, height, width, views, times
    ("transport", 72, 128, 8, 8),
    ("transport", 144, 256, 4, 12),
    ("transport", 288, 512, 8, 8),
    ("transport", 720, 1280, 8, 8),
    ("fill", 72, 128, 8, 8),
    ("fill", 288, 512, 8, 8),
    ("fill", 720, 1280, 8, 8),
    ("bases", 288, 512, 4, 6),
    ("again", 288, 512, 8, 8),
    ("model", 72, 128, 4, 8),
    ("model", 72, 128, 8, 8),
    ("model", 144, 256, 8, 8),
    ("copy", 288, 512, 8, 8),
    ("copy", 720, 1280, 8, 8),
]
CHILD = """
import sys
sys.path.insert(0, {pack!r})
what, (height, width, views, times) = {what!r}, {size!r}
import torch
from fourreal_core import FrameGrid, fill_grid, load_model, sample_grid
from fourreal_core.files.recording import read_video
from fourreal_core.files.video import fit_frames, pick_frames
from fourreal_core.geometry.fill import find_sources
from fourreal_core.sampling import budget
from fourreal_core.sampling.lifted import home_size, lifted
from fourreal_core.transport import transport
def said(name):
    return int(open("/proc/self/status").read().split(name + ":")[1].split()[0]) * 1024
examples = [read_video({pack!r} + "/example_inputs/" + name)[0] for name in ("fixed_view.mp4", "freeze_time.mp4")]
videos = [fit_frames(pick_frames(v, n), height, width) for v, n in zip(examples, (times, views))]
grid, tiny = FrameGrid.from_videos(*videos), FrameGrid.from_videos(*(fit_frames(v[:2], 16, 24) for v in videos))
del examples, videos
if what == "bases":  # the last view and the last time are known as well
    known, frames = grid.known.clone(), fill_grid(grid, method="transport").grid.frames
    known[-1] = known[:, -1] = True
    grid = FrameGrid(torch.where(known[..., None, None, None], frames, 0), known)
    del frames
fill_grid(tiny, method="transport")  # what is loaded at the first use is no part of it
model = load_model()
sample_grid(model, tiny, steps=1, predictions=transport(tiny))
predictions = transport(grid) if what == "model" else None
open("/proc/self/clear_refs", "w").write("5")  # forgets the peak so far
before = said("VmRSS")
size = budget.GridSize.of(grid)
network = budget.of_grid_model(model.config, model.base.compute_dtype.itemsize)
if what == "transport":
    kept, estimate = fill_grid(grid, method="transport"), budget.fill_bytes(size, scene=False)
elif what in ("fill", "bases"):
    kept, estimate = fill_grid(grid, method="scene"), budget.fill_bytes(size)
elif what == "again":  # after sampling: each pixel is chosen from what the model drew and the other sources
    sources = find_sources(grid, method="scene", predicted=(height, width))
    drawn = sources.predictions.blend
    kept, estimate = sources.fill(drawn), budget.fill_bytes(size, predicted=True)
elif what == "model":
    kept = sample_grid(model, grid, steps=1, predictions=predictions)
    estimate = budget.ON_CPU * budget.peak_bytes(network, budget.Plan(size, "soft"))
else:  # all that 4Real Sampler does with large cells
    small = home_size(height, width)
    sources = find_sources(grid, method="scene", predicted=small)
    told = sources.predictor.all_cells(size=small)
    changes = lifted(grid, told, None, lambda g, told, _: sample_grid(model, g, steps=1, predictions=told))
    kept = sources.fill(changes.drawn)
    plan = budget.Plan(budget.GridSize(views, times, *small), "soft")
    estimate = budget.filled_and_sampled_bytes(network, plan, size)
print("RESULT", said("VmHWM") - before, round(estimate))
"""


def measure(what: str, size: tuple[int, int, int, int]) -> tuple[int, int]:
    """(measured, estimated) bytes."""
    code = CHILD.format(pack=str(PACK), what=what, size=size)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    if "RESULT" not in done.stdout:
        raise RuntimeError(f"measuring {what} failed: {done.stderr[-2000:]}")
    measured, estimated = done.stdout.split("RESULT")[1].split()
    return int(measured), int(estimated)


def main() -> int:
    enter_or_stop()
    sys.path.insert(0, str(PACK))
    from fourreal_core.sampling.budget import FACTOR

    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    wrong = 0
    print(f"{'':10}{'cells':>9}{'grid':>8}{'measured':>10}{'said':>7}  MiB")
    for what, height, width, views, times in CASES:
        if wanted not in what:
            continue
        measured, estimated = measure(what, (height, width, views, times))
        ratio = estimated / measured
        wrong += not 1 / FACTOR < ratio < FACTOR
        cells, grid = f"{width}x{height}", f"{views}x{times}"
        print(f"{what:10}{cells:>9}{grid:>8}{measured / 2**20:10.0f}{estimated / 2**20:7.0f}  {ratio:.2f}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
