"""Scripts and notebooks written for version 0.1 still run: every old module name gives the very module that took its place."""

import importlib
import sys

import pytest
import torch

from fourreal_core.grid import FrameGrid, task_known
from fourreal_core.moved import MOVED
from fourreal_core.transport import transport
from fourreal_core.transport.predictions import OLD_NAMES


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_gives_the_moved_module_and_a_warning(old):
    sys.modules.pop(f"fourreal_core.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"fourreal_core.{old} is now fourreal_core.{MOVED[old]}"):
        module = importlib.import_module(f"fourreal_core.{old}")
    assert module is importlib.import_module(f"fourreal_core.{MOVED[old]}")


def test_names_from_an_old_module_are_the_same_objects():
    with pytest.warns(DeprecationWarning):
        sys.modules.pop("fourreal_core.storage", None)
        from fourreal_core.storage import GridFileError, load_grid
    import fourreal_core.grid_file

    assert load_grid is fourreal_core.load_grid and GridFileError is fourreal_core.grid_file.GridFileError


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("camera_path", "CameraPath", "DrawnPath"),
        ("camera_path", "camera_positions", "positions_along"),
        ("camera_path_text", "parse_camera_path", "parse_drawn_path"),
        ("camera_path_text", "camera_path_text", "drawn_path_text"),
        ("transport", "TransportGuess", "Predictions"),
        ("paths", "Path", "Positions"),
    ],
)
@pytest.mark.filterwarnings("default:fourreal_core:DeprecationWarning")
def test_what_has_a_new_name_is_found_under_the_old_one(module, old, new):
    module = importlib.import_module(f"fourreal_core.{MOVED.get(module, module)}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        assert getattr(module, old) is getattr(module, new)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        module.Nothing  # noqa: B018


def test_a_name_that_never_was_stays_unknown():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("fourreal_core.cameras_of_nobody")


@pytest.mark.filterwarnings("default:.*old name:DeprecationWarning")
def test_what_transport_gives_has_its_old_parts_too():
    known = task_known(2, 3)
    predictions = transport(FrameGrid(torch.rand(2, 3, 8, 16, 3) * known[..., None, None, None], known))
    for name, (direction, part) in OLD_NAMES.items():
        with pytest.warns(DeprecationWarning, match=f"{name} is now {direction}.{part}"):
            assert getattr(predictions, name) is getattr(getattr(predictions, direction), part)
    assert not hasattr(predictions, "sources")


def test_reading_a_video_is_found_under_its_old_name():
    from fourreal_core.files import recording, video

    with pytest.warns(DeprecationWarning, match=r"files\.recording"):
        assert video.read_video is recording.read_video
