"""The names and arguments that scripts and notebooks may rely on: a change here breaks someone else's code."""

import inspect

import pytest
import torch

import fourreal_core
from fourreal_core import FrameGrid

REQUIRED = inspect.Parameter.empty
FUNCTIONS = {
    "load_model": {"path": None},
    "sample_grid": {
        "model": REQUIRED,
        "grid": REQUIRED,
        "sync": "soft",
        "strength": 1.0,
        "steps": 4,
        "seed": 0,
        "sampler": "euler",
        "output": "mean",
        "guess": None,
        "denoise": 1.0,
        "on_step": None,
    },
    "slice_grid": {"grid": REQUIRED, "path": REQUIRED},
    "save_grid": {"grid": REQUIRED, "file": REQUIRED},
    "load_grid": {"file": REQUIRED},
    "fixed_view": {"grid_shape": REQUIRED, "view": 0},
    "freeze_time": {"grid_shape": REQUIRED, "time": 0},
    "bullet_time": {"grid_shape": REQUIRED, "freeze_at": None},
    "diagonal": {"grid_shape": REQUIRED},
    "ping_pong": {"grid_shape": REQUIRED},
    "transport_fill": {"grid": REQUIRED},
    "fill_grid": {
        "grid": REQUIRED,
        "method": "auto",
        "cameras": None,
        "depth": None,
        "flow": None,
        "moving": None,
        "networks": None,
        "on_stage": None,
        "on_cell": None,
    },
}
CONSTRUCTORS = {
    "from_videos": {"fixed_view_THWC": REQUIRED, "freeze_time_VHWC": REQUIRED, "fps": 24.0},
    "from_views": {"videos": REQUIRED, "fps": 24.0},
    "from_folder": {"folder": REQUIRED, "fps": None, "views": None, "times": None, "size": None},
}


def check_parameters(function, expected):
    """The expected parameters come first and in order, with their defaults; any further ones are optional."""
    found = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    assert list(found)[: len(expected)] == list(expected)
    assert {name: found[name] for name in expected} == expected
    assert all(default is not REQUIRED for name, default in found.items() if name not in expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_keep_their_parameters(name):
    check_parameters(getattr(fourreal_core, name), FUNCTIONS[name])


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors_keep_their_parameters(name):
    check_parameters(getattr(FrameGrid, name), CONSTRUCTORS[name])


def test_all_lists_exactly_the_public_names():
    assert set(fourreal_core.__all__) == {"FrameGrid", "Filled", *FUNCTIONS}
    with pytest.raises(AttributeError, match="no attribute 'save_model'"):
        _ = fourreal_core.save_model


def test_grids_keep_their_fields():
    fields = list(inspect.signature(FrameGrid).parameters)
    assert fields == ["frames", "known", "fps", "cameras", "provenance", "sound"]
    grid = FrameGrid(torch.zeros(3, 5, 8, 16, 3), torch.ones(3, 5, dtype=torch.bool))
    assert (grid.views, grid.times, grid.height, grid.width, grid.fps) == (3, 5, 8, 16, 24.0)
    assert (grid.cameras, grid.provenance, grid.sound) == (None, {}, None)


def test_fills_keep_their_fields():
    fields = list(inspect.signature(fourreal_core.Filled).parameters)
    assert fields == ["grid", "confidence", "report", "method"]


def test_the_way_from_two_videos_to_a_path_through_the_grid(tmp_path):
    grid = FrameGrid.from_videos(torch.rand(5, 8, 16, 3), torch.rand(3, 8, 16, 3), fps=12)
    fourreal_core.save_grid(grid, tmp_path / "a.grid.safetensors")
    loaded = fourreal_core.load_grid(tmp_path / "a.grid.safetensors")
    assert fourreal_core.slice_grid(loaded, fourreal_core.bullet_time((loaded.views, loaded.times))).shape == (
        7,
        8,
        16,
        3,
    )
