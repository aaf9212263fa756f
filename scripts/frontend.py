"""The editor that the browser tests open: the one that ComfyUI pins, the newest one that pip finds, or one of a given version.

`FOURREAL_FRONTEND` chooses, by default both: pinned, newest or a version number, several of them separated by commas.
"""

import os
import shutil
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from environment import Environment, cache_folder, pip

PACKAGE = "comfyui-frontend-package"
PINNED, NEWEST = "pinned", "newest"


def wanted_frontends() -> list[str]:
    return [
        name.strip() for name in os.environ.get("FOURREAL_FRONTEND", f"{PINNED},{NEWEST}").split(",") if name.strip()
    ]


def frontend_folder(name: str, environment: Environment) -> Path | None:
    """The folder for ComfyUI's --front-end-root, None for the pinned one. It is kept in the cache folder under its version.

    Raises EnvironmentProblem when pip cannot install it.
    """
    if name == PINNED:
        return None
    kept = cache_folder().parent / f"frontend-{name}"
    if name != NEWEST and kept.is_dir():
        return kept
    requirement = PACKAGE if name == NEWEST else f"{PACKAGE}=={name}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        pip(environment.python, "install", "--no-deps", "--target", folder, requirement)
        [version] = [
            found.version
            for found in distributions(path=[folder])
            if found.metadata["Name"].replace("_", "-") == PACKAGE
        ]
        target = kept.with_name(f"frontend-{version}")
        if not target.is_dir():
            shutil.move(Path(folder) / PACKAGE.replace("-", "_") / "static", target)
    return target
