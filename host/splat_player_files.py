"""4D splats as a file in ComfyUI's temp folder for the browser: web/splat_player/ reads it.

What the browser reads was checked when the `Splats` were made (shapes, ranges, no NaN), wherever they come from, and is written anew from them.
"""

from uuid import uuid4
from weakref import WeakKeyDictionary

from ..fourreal_core.splats.gaussians import Splats
from ..fourreal_core.splats.splat_file import SUFFIX, save_splats
from .player_folders import folder_of, looked_at, make_room, place_of

FILE = "scene" + SUFFIX
_written: WeakKeyDictionary[Splats, dict] = WeakKeyDictionary()


def splat_player_files(splats: Splats) -> dict:
    """Write the splats, unless they lie there from before, and describe them (web/splat_player/view.mjs reads this).

    Raises SplatFileError when the disk refuses.
    """
    described = _written.get(splats)
    if described is None or not (folder_of(described["id"]) / FILE).is_file():
        described = _written[splats] = _write(splats)
    looked_at(described["id"])
    return described


def _write(splats: Splats) -> dict:
    identity = uuid4().hex
    file = folder_of(identity) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    save_splats(splats, file)
    make_room(file.parent)
    return {"id": identity, "file": FILE, "bytes": file.stat().st_size, **place_of(identity)}
