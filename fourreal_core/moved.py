"""Modules of version 0.1 under their old names: they still import, with a DeprecationWarning, until version 0.3.

`import fourreal_core.video` gives the module `fourreal_core.files.video` itself, so that classes stay the same under both names.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = __package__ or ""
MOVED = {  # old name -> new name, both inside the package
    "ablation": "evaluation.compare",
    "atlas": "show.atlas",
    "atomic": "files.atomic",
    "baselines": "evaluation.baselines",
    "benchmark": "evaluation.measure",
    "budget": "sampling.budget",
    "camera_path": "paths.drawn",
    "camera_path_text": "paths.drawn_text",
    "conditioning": "model.condition",
    "contact_sheet": "show.contact_sheet",
    "data.actors": "data.rendered.actors",
    "data.camera_arc": "data.rendered.camera_arc",
    "data.gltf": "data.rendered.gltf",
    "data.procedural": "data.invented.scenes",
    "data.procedural_figures": "data.invented.figures",
    "data.procedural_render": "data.invented.render",
    "data.procedural_shading": "data.invented.shading",
    "data.procedural_shapes": "data.invented.shapes",
    "data.render": "data.rendered.render",
    "data.scenes": "data.rendered.scenes",
    "data.shaders": "data.rendered.shaders",
    "data.shapes": "data.rendered.shapes",
    "data.skinning": "data.rendered.skinning",
    "data.sky": "data.rendered.sky",
    "extend": "sampling.tiles",
    "figures": "evaluation.plots",
    "latents": "sampling.latents",
    "marks": "redo",
    "metrics": "evaluation.image",
    "report": "evaluation.report",
    "storage": "grid_file",
    "sync_file": "model.sync_file",
    "training.examples": "training.footage.examples",
    "training.mixture": "training.footage.mixture",
    "training.prepare": "training.footage.prepare",
    "training.store": "training.footage.store",
    "training.sync_examples": "training.footage.sync_examples",
    "video": "files.video",
}


def renamed(module: str, names: dict[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that gives the things in `names` (old name -> new name) under their old names, with a DeprecationWarning."""

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{name} is now {names[name]}: the old name will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(sys.modules[module], names[name])

    return find


class MovedModules(MetaPathFinder, Loader):
    """Finds what no other finder found, by the table above."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        return (
            ModuleSpec(fullname, self)
            if fullname.removeprefix(f"{PACKAGE}.") in MOVED and fullname.startswith(f"{PACKAGE}.")
            else None
        )

    def exec_module(self, module: ModuleType) -> None:
        """Puts the moved module where its old name is looked up."""
        old = module.__name__.removeprefix(f"{PACKAGE}.")
        warnings.warn(
            f"fourreal_core.{old} is now fourreal_core.{MOVED[old]}: the old name will be removed in version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[module.__name__] = importlib.import_module(f"{PACKAGE}.{MOVED[old]}")


def keep_old_names() -> None:
    """Lets the old names be imported; called once, by the package itself."""
    sys.meta_path.append(MovedModules())
