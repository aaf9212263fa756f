"""Makes the pictures of the workflows.

    python scripts/thumbnails.py                                    all of them
    python scripts/thumbnails.py 03_fill_without_a_video_model    some of them

A workflow that needs no download is run in a real ComfyUI; its picture shows 4 x 4 cells of the player's grid, with known cells framed, and the
path of its video, or, of splats, 3 x 3 frames of their video. The pictures of the others show the idea, drawn with the example videos, and say so.
"""

import argparse
import io
import json
import os
import sys
from pathlib import Path

from environment import PACK, TOOLS, enter_or_stop

WORKFLOWS = PACK / "workflows"
PICKED = 4  # views and times
CELL = (160, 90)
KNOWN, LINE, EDGE = (255, 184, 38), (92, 190, 255), (12, 12, 12)
QUALITY = 85
UNKNOWN = 0.4  # brightness of cells that are to be made, in the picture of an idea
FILMS = {"05_grid_to_4d_splats": 3}  # whose picture shows frames of a video of splats: how many across and down
# Workflows with downloads: what is given ("videos", "picture" or nothing), and what the picture says.
IDEAS = {
    "06_fill_refined_by_wan": ("videos", "Filled first,", "then refined by Wan"),
    "07_two_videos_wan_vace": ("videos", "Two videos,", "completed by Wan VACE"),
    "08_two_videos_ltxv": ("videos", "Two videos,", "completed by LTX-Video"),
    "09_image_to_4d_wan22_14b": ("picture", "One picture", "to every view and time"),
    "10_text_to_4d_wan22_5b": ("", "Two prompts, two videos,", "every view and time"),
    "11_text_to_4d_in_one_pass_wan21": ("", "Two prompts, one pass,", "every view and time"),
    "12_train_sync_layers_for_wan": ("videos", "Train layers for Wan", "on your own footage"),
    "13_warp_and_paint_with_vace": ("videos", "Warped from two videos,", "holes painted by VACE"),
    "14_alternating_with_wan": ("videos", "Along views, along time,", "in turns with Wan"),
    "15_long_shot_in_tiles_with_vace": ("videos", "15 views of 33 times,", "tile by tile with VACE"),
    "16_give_the_fill_depth": ("videos", "Depth Anything 3 sees", "what moves nearer or away"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workflows", nargs="*", metavar="NAME", help="names of workflows (default: all)")
    arguments = parser.parse_args()
    environment = enter_or_stop(TOOLS)
    sys.path.insert(0, str(PACK))
    from comfyui import running_host
    from pictures import example_grid

    from fourreal_core.batch.server import HostProblem, RunProblem

    names = arguments.workflows or [file.stem for file in sorted(WORKFLOWS.glob("*.json"))]
    ideas = [name for name in names if name in IDEAS]
    if ideas:
        grid = example_grid()
        for name in ideas:
            keep(idea(grid, *IDEAS[name]), WORKFLOWS / f"{name}.jpg")
    if len(ideas) == len(names):
        return 0
    try:
        with running_host(environment) as host:
            for name in sorted(set(names) - set(ideas)):
                made = film(host, name) if name in FILMS else picture(*run(host, name))
                keep(made, WORKFLOWS / f"{name}.jpg")
    except (HostProblem, RunProblem) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def run(host, name: str) -> tuple:
    """(the grid that the workflow's player shows, the [view, time] positions of its video)."""
    from fourreal_core.batch.prompt import workflow_to_prompt
    from fourreal_core.grid_file import load_grid

    prompt = workflow_to_prompt(
        json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")), host.object_info()
    )
    of_kind = {node["class_type"]: node["inputs"] for node in prompt.values()}
    saved = {"grid": of_kind["FourRealGridPlayer"]["grid"], "filename_prefix": f"thumbnails/{name}"}
    outputs = host.run({**prompt, "thumbnail": {"class_type": "FourRealSaveGrid", "inputs": saved}})
    [file] = host.files({"thumbnail": outputs["thumbnail"]})
    grid = load_grid(file)
    return grid, positions(of_kind, (grid.views, grid.times))


def film(host, name: str):
    """A PIL image of frames, evenly picked, of the video that the workflow renders from splats."""
    from PIL import Image

    from fourreal_core.batch.prompt import workflow_to_prompt

    prompt = workflow_to_prompt(
        json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")), host.object_info()
    )
    [drawn] = [number for number, node in prompt.items() if node["class_type"] == "FourRealRenderSplats"]
    prompt[drawn]["inputs"] |= {"back": False, "fps": 1.0, "seconds": float(FILMS[name] ** 2 - 1)}  # no frame too many
    saving = {"images": [drawn, 1], "filename_prefix": f"thumbnails/{name}"}
    outputs = host.run({**prompt, "thumbnail": {"class_type": "SaveImage", "inputs": saving}})
    files, side = host.files({"thumbnail": outputs["thumbnail"]}), FILMS[name]
    width, height = CELL[0] * PICKED // side, CELL[1] * PICKED // side
    sheet = Image.new("RGB", (width * side, height * side))
    for place in range(side**2):
        frame = Image.open(files[round(place * (len(files) - 1) / (side**2 - 1))]).convert("RGB")
        sheet.paste(
            frame.resize((width, height), Image.Resampling.LANCZOS), (place % side * width, place // side * height)
        )
    return sheet


def positions(of_kind: dict, shape: tuple[int, int]):
    """[view, time] of every frame of the workflow's video: along the drawn path if there is one, else along the chosen preset."""
    from fourreal_core.paths import presets as paths
    from fourreal_core.paths.drawn import positions_along
    from fourreal_core.paths.drawn_text import parse_drawn_path

    if "FourRealPath" in of_kind:
        return positions_along(parse_drawn_path(of_kind["FourRealPath"]["path"]), shape)
    presets = {"bullet time": paths.bullet_time, "diagonal": paths.diagonal, "ping-pong": paths.ping_pong}
    return presets[of_kind["FourRealGridToVideo"]["path"]](shape)


def picture(grid, path):
    """A PIL image of `PICKED` x `PICKED` cells, evenly picked, with the path, a list of [view, time], drawn over it."""
    sheet, draw = cells(grid, lambda view, time: bool(grid.known[view, time]), 1.0)
    width, height = CELL
    share = [(time / (grid.times - 1), view / (grid.views - 1)) for view, time in path]
    points = [((x * (PICKED - 1) + 0.5) * width, (y * (PICKED - 1) + 0.5) * height) for x, y in share]
    draw.line(points, fill=EDGE, width=10, joint="curve")
    draw.line(points, fill=LINE, width=5, joint="curve")
    near = max(abs(a - b) for a, b in zip(points[0], points[-1])) < width
    end = max(points, key=sum) if near else points[-1]  # where a path that comes back turns
    for (x, y), color in ((points[0], LINE), (end, "white")):
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=color, outline=EDGE, width=3)
    return sheet


def cells(grid, given, brightness: float):
    """(a PIL image of `PICKED` x `PICKED` cells, its ImageDraw): those for which given(view, time) is true are framed, the others are dimmed."""
    from PIL import Image, ImageDraw

    (width, height), shape = CELL, (grid.views, grid.times)
    sheet = Image.new("RGB", (width * PICKED, height * PICKED))
    draw = ImageDraw.Draw(sheet)
    for v in range(PICKED):
        for t in range(PICKED):
            view, time = (round(index * (count - 1) / (PICKED - 1)) for index, count in zip((v, t), shape))
            known = given(view, time)
            frame = grid.frames[view, time] * (1.0 if known else brightness)
            cell = Image.fromarray((frame * 255).round().byte().numpy()).resize(CELL, Image.Resampling.LANCZOS)
            sheet.paste(cell, (t * width, v * height))
            box = (t * width, v * height, (t + 1) * width - 1, (v + 1) * height - 1)
            draw.rectangle(box, outline=KNOWN if known else EDGE, width=2)
    return sheet, draw


def idea(grid, given: str, first: str, second: str):
    """A PIL image of what goes in (bright) and what comes out (dimmed cells of the example grid), with two lines of text."""
    from PIL import ImageFont

    bright = {"videos": lambda view, time: view == 0 or time == 0, "picture": lambda view, time: view == time == 0}
    sheet, draw = cells(grid, bright.get(given, lambda view, time: False), UNKNOWN)
    left, top = CELL[0] + 22, sheet.height // 2 - 34
    draw.text((left, top), first, fill=KNOWN, font=ImageFont.load_default(34))
    draw.text((left, top + 46), second, fill="white", font=ImageFont.load_default(34))
    draw.text(
        (left, sheet.height - 30),
        "idea, drawn with the example videos",
        fill="#bbbbbb",
        font=ImageFont.load_default(15),
    )
    return sheet


def keep(image, target: Path) -> None:
    """Write the picture whole or not at all."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(encoded.getvalue())
    os.replace(part, target)
    print(target.relative_to(PACK), f"{target.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
