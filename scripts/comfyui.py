"""A real ComfyUI, started headless on a free port with a temporary folder for everything it writes.

Used by demo.py, other scripts and tests/host. What starts it and talks to it is fourreal_core/batch/server.py.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from environment import PACK, Environment

sys.path.insert(0, str(PACK))

from fourreal_core.batch.server import Host, started

FOLDER = "ComfyUI-4Real-Video"


@contextlib.contextmanager
def running_host(
    environment: Environment,
    *,
    cpu: bool = True,
    folder: str = FOLDER,
    frontend: Path | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Host]:
    """Start ComfyUI with this pack as its only one, under the given folder name, and stop it with all it started at the end.

    `frontend`: a folder with another editor than the one that this ComfyUI pins (see frontend.py). `meanwhile` and what is raised: as
    of `started`.
    """
    with tempfile.TemporaryDirectory(prefix="fourreal-host-", ignore_cleanup_errors=True) as temporary:
        base = Path(temporary).resolve()
        (base / "input").mkdir()
        install_pack(base / "custom_nodes" / folder)
        options = ["--base-directory", str(base), *only_pack(folder), *(["--cpu"] if cpu else [])]
        options += ["--front-end-root", str(frontend)] if frontend else []
        with started(environment.python, environment.comfyui, base, options, meanwhile) as host:
            yield host


def only_pack(folder: str = FOLDER) -> list[str]:
    """ComfyUI's options that leave out all other packs."""
    return ["--disable-api-nodes", "--disable-all-custom-nodes", "--whitelist-custom-nodes", folder]


def install_pack(target: Path) -> None:
    target.parent.mkdir(parents=True)
    try:
        target.symlink_to(PACK, target_is_directory=True)
    except OSError:  # Windows allows links to administrators only
        shutil.copytree(PACK, target, ignore=shutil.ignore_patterns(".git", "__pycache__"))
