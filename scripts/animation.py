"""Makes the animation at the top of README: the example's grid, scrubbed through time, then cut as a bullet-time shot.

    python scripts/animation.py                     fills the grid of the example videos
    python scripts/animation.py my.grid.safetensors uses a grid that was filled before

It goes to docs/images/grid.webp. In its corner: the cells of the grid, the given ones in yellow, and where the picture is.
"""

import sys

from environment import PACK, enter_or_stop

TARGET = PACK / "docs" / "images" / "grid.webp"
CELLS, HEIGHT, WIDTH = 8, 216, 384
BETWEEN = 3  # frames per cell
FREEZE_AT = 4  # the moment of the bullet-time shot
FRAME_MS, HOLD_MS, QUALITY = 60, 500, 62
SQUARE, MARGIN = 7, 8  # of the map, in pixels
GIVEN, GENERATED, HERE, BEHIND = (245, 184, 61), (120, 110, 200), (255, 255, 255), (23, 21, 31)


def main() -> int:
    enter_or_stop()
    sys.path.insert(0, str(PACK))
    from PIL import Image

    from fourreal_core import load_grid
    from fourreal_core.paths.between import moved_slice

    grid = load_grid(sys.argv[1]).resized(HEIGHT, WIDTH) if sys.argv[1:] else filled_example()
    places, durations = shots(grid.views, grid.times)
    frames = []
    for (view, time), frame_HW3 in zip(places, moved_slice(grid, places)):
        frame = Image.fromarray((frame_HW3 * 255).round().byte().numpy())
        draw_map(frame, grid.known, round(view), round(time))
        frames.append(frame)
    frames[0].save(
        TARGET, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=QUALITY, method=6
    )
    print(TARGET.relative_to(PACK), f"{len(frames)} frames, {TARGET.stat().st_size / 1000:.0f} kB")
    return 0


def filled_example():
    """The example videos' grid with every cell filled; the first row and column as they were given."""
    from fourreal_core import FrameGrid, fill_grid
    from fourreal_core.files.recording import read_video
    from fourreal_core.files.video import fit_frames, pick_frames

    fixed_view, fps = read_video(PACK / "example_inputs" / "fixed_view.mp4")
    freeze_time, _ = read_video(PACK / "example_inputs" / "freeze_time.mp4")
    videos = [fit_frames(pick_frames(video, CELLS), HEIGHT, WIDTH) for video in (fixed_view, freeze_time)]
    given = FrameGrid.from_videos(*videos, fps=fps)
    return fill_grid(given).grid


def shots(views: int, times: int) -> tuple[list[tuple[float, float]], list[int]]:
    """(view, time) and milliseconds of every frame."""
    from fourreal_core.paths.between import paced

    freeze_at = min(FREEZE_AT, times - 1)
    forward = [(0, time) for time in range(times)]
    cells = forward + forward[-2::-1]  # scrub
    cells += forward[1 : freeze_at + 1]  # time runs, then stands still while the camera moves
    around = [(view, freeze_at) for view in range(1, views)]
    cells += around + around[-2::-1]
    cells += forward[freeze_at:]
    places = paced(cells, BETWEEN * (len(cells) - 1) + 1)
    turns = {BETWEEN * (times - 1), len(places) - 1}
    return places, [HOLD_MS if frame in turns else FRAME_MS for frame in range(len(places))]


def draw_map(frame, known, view: int, time: int) -> None:
    from PIL import ImageDraw

    pen = ImageDraw.Draw(frame, "RGBA")
    views, times = known.shape
    left, top = frame.width - MARGIN - times * SQUARE, frame.height - MARGIN - views * SQUARE
    pen.rectangle((left - 3, top - 3, frame.width - MARGIN + 1, frame.height - MARGIN + 1), fill=(*BEHIND, 190))
    for row in range(views):
        for column in range(times):
            color = HERE if (row, column) == (view, time) else GIVEN if known[row, column] else GENERATED
            alpha = 255 if color is HERE else 200 if color is GIVEN else 130
            x, y = left + column * SQUARE, top + row * SQUARE
            pen.rectangle((x, y, x + SQUARE - 2, y + SQUARE - 2), fill=(*color, alpha))


if __name__ == "__main__":
    sys.exit(main())
