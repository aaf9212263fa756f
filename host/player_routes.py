"""What a player asks the server for: one cell as PNG, and what it plays as MP4. Both are made from the grid in memory, not from the player's pictures.

web/player/save.mjs asks. Answers to bad requests are one sentence of text.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from aiohttp import web
from PIL import Image
from server import PromptServer

from ..fourreal_core.files.video import write_video
from ..fourreal_core.grid import FrameGrid
from ..fourreal_core.paths.sound import sound_along
from ..fourreal_core.show.atlas import to_bytes
from .player_files import shown_grid
from .types import even_frames

FRAME, VIDEO = "/fourreal/player/frame", "/fourreal/player/video"
MOST_FRAMES = 10_000  # of one video
GONE = "The grid is no longer in ComfyUI's memory: run the workflow again, then save."
Cells = list[tuple[int, int]]  # (view, time)


def add_player_routes() -> None:
    """Serve FRAME (GET ?id=&view=&time=) and VIDEO (POST {"id", "cells": [[view, time], ...], "fps"}), where nodes run in a server."""
    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.routes.get(FRAME)(_frame)
        server.routes.post(VIDEO)(_video)


async def _frame(request: web.Request) -> web.Response:
    asked = request.query
    try:
        cells = _cells([[int(asked["view"]), int(asked["time"])]])
    except (KeyError, ValueError) as error:
        return web.Response(status=400, text=f"expected the view and time of a cell ({error})")
    return await _made(asked.get("id", ""), cells, cell_png, "image/png")


async def _video(request: web.Request) -> web.Response:
    try:
        asked = await request.json()
        identity, cells, fps = str(asked["id"]), _cells(asked["cells"]), float(asked["fps"])
    except (KeyError, TypeError, ValueError) as error:
        return web.Response(status=400, text=f"expected id, cells and fps of a video ({error})")
    return await _made(identity, cells, lambda grid, cells: cells_mp4(grid, cells, fps), "video/mp4")


def _cells(asked) -> Cells:
    """ValueError unless this is a list of pairs of whole numbers of a length that can be served."""
    if not isinstance(asked, list) or not 1 <= len(asked) <= MOST_FRAMES:
        raise ValueError(f"a video has 1 to {MOST_FRAMES} frames")
    if not all(isinstance(cell, list) and len(cell) == 2 and all(type(at) is int for at in cell) for cell in asked):
        raise ValueError("a cell is [view, time]")
    return [(view, time) for view, time in asked]


async def _made(identity: str, cells: Cells, make: Callable[[FrameGrid, Cells], bytes], kind: str) -> web.Response:
    """Made in a thread of its own, so that ComfyUI goes on meanwhile."""
    grid = shown_grid(identity)
    if grid is None:
        return web.Response(status=410, text=GONE)
    if not all(0 <= view < grid.views and 0 <= time < grid.times for view, time in cells):
        return web.Response(status=400, text=f"expected cells of a grid of {grid.views} views and {grid.times} times")
    try:
        return web.Response(body=await asyncio.to_thread(make, grid, cells), content_type=kind)
    except ValueError as error:
        return web.Response(status=400, text=str(error))


def cell_png(grid: FrameGrid, cells: Cells) -> bytes:
    """The one cell of `cells` as an 8-bit PNG of the cell's own size."""
    [cell] = cells
    file = io.BytesIO()
    Image.fromarray(to_bytes(grid.frames[cell][None])[0]).save(file, "PNG")
    return file.getvalue()


def cells_mp4(grid: FrameGrid, cells: Cells, fps: float) -> bytes:
    """These cells one after the other as H.264, of even size, with the fixed-view video's sound where time runs forward at its speed.

    Raises ValueError where fps is none that video files hold.
    """
    used = sorted(set(cells))
    place = {cell: index for index, cell in enumerate(used)}
    frames_NHWC = torch.from_numpy(np.concatenate([to_bytes(grid.frames[cell][None]) for cell in used]))
    sound = sound_along(grid, cells, fps)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "played.mp4"
        write_video(file, even_frames(frames_NHWC), fps, order=[place[cell] for cell in cells], sound=sound)
        return file.read_bytes()
