"""Makes the pictures of the workflows that run without downloads anew, each from a real run of that workflow in a real ComfyUI.

    python scripts/thumbnails.py                   all of them
    python scripts/thumbnails.py transport_only    some of them

Each shows 4 x 4 cells of the grid that the workflow's player gets, known cells framed, and the path of its video.
"""

import argparse
import io
import json
import os
import sys
from pathlib import Path

from environment import PACK, TOOLS, EnvironmentProblem, enter

WORKFLOWS = PACK / "workflows"
PICKED = 4  # views and times
CELL = (160, 90)
KNOWN, LINE, EDGE = (255, 184, 38), (92, 190, 255), (12, 12, 12)
QUALITY = 85


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "workflows", nargs="*", metavar="NAME", help="names of workflows (default: all that need no download)"
    )
    arguments = parser.parse_args()
    try:
        environment = enter(TOOLS)
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        return 3
    sys.path.insert(0, str(PACK))
    from comfyui import HostProblem, RunProblem, running_host

    try:
        with running_host(environment) as host:
            for name in arguments.workflows or [
                file.stem for file in sorted(WORKFLOWS.glob("*.json")) if needs_nothing(file)
            ]:
                keep(picture(*run(host, name)), WORKFLOWS / f"{name}.jpg")
    except (HostProblem, RunProblem) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def needs_nothing(file: Path) -> bool:
    nodes = json.loads(file.read_text(encoding="utf-8"))["nodes"]
    has_player = any(node["type"] == "FourRealGridPlayer" for node in nodes)
    return has_player and not any(node["properties"].get("models") for node in nodes)


def run(host, name: str) -> tuple:
    """(the grid that the workflow's player shows, the [view, time] positions of its video)."""
    from workflow_prompt import workflow_to_prompt

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
    from PIL import Image, ImageDraw

    (width, height), shape = CELL, (grid.views, grid.times)
    sheet = Image.new("RGB", (width * PICKED, height * PICKED))
    draw = ImageDraw.Draw(sheet)
    for v in range(PICKED):
        for t in range(PICKED):
            view, time = (round(index * (count - 1) / (PICKED - 1)) for index, count in zip((v, t), shape))
            cell = Image.fromarray((grid.frames[view, time] * 255).round().byte().numpy()).resize(
                CELL, Image.Resampling.LANCZOS
            )
            sheet.paste(cell, (t * width, v * height))
            box = (t * width, v * height, (t + 1) * width - 1, (v + 1) * height - 1)
            draw.rectangle(box, outline=KNOWN if grid.known[view, time] else EDGE, width=2)
    share = [(time / (grid.times - 1), view / (grid.views - 1)) for view, time in path]
    points = [((x * (PICKED - 1) + 0.5) * width, (y * (PICKED - 1) + 0.5) * height) for x, y in share]
    draw.line(points, fill=EDGE, width=10, joint="curve")
    draw.line(points, fill=LINE, width=5, joint="curve")
    end = points[-1] if points[-1] != points[0] else max(points, key=sum)  # where a path that comes back turns
    for (x, y), color in ((points[0], LINE), (end, "white")):
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=color, outline=EDGE, width=3)
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
