"""The example videos and their first frame, laid into the host's input folder, so that the bundled workflows run on a fresh install.

The host's Load Video and Load Image list the files of that folder only, and its editor calls a workflow broken that names another.
"""

import logging
import os
import shutil
from pathlib import Path

import folder_paths

from ..fourreal_core.files.atomic import whole_file

log = logging.getLogger(__name__)

SOURCE = Path(__file__).resolve().parent.parent / "example_inputs"
KINDS = (".mp4", ".png")
PREFIX = "4real_"  # tells whose files they are, and keeps clear of the user's names


def lay_out_examples() -> None:
    """Copy every example that is not there yet. Files that are there stay as they are, whatever is in them.

    A folder that cannot be written is a warning only: everything but the examples works without them.
    """
    folder = Path(folder_paths.get_input_directory())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(SOURCE.iterdir()):
            if file.suffix in KINDS:
                copy_if_missing(file, folder / (PREFIX + file.name))
    except OSError as problem:
        log.warning(
            "The examples of 4Real-Video could not be copied to %s (%s): choose your own videos in Load Video.",
            folder,
            problem,
        )


def copy_if_missing(source: Path, target: Path) -> None:
    """The whole file or none. Raises OSError when the disk refuses."""
    if os.path.lexists(target):
        return
    with whole_file(target) as part:
        shutil.copyfile(source, part)
