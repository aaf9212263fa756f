"""This pack as ComfyUI loads it, so that its parts and ComfyUI's share their classes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from environment import PACK

NAME = "fourreal_pack"


def part(name: str) -> ModuleType:
    """A module of the pack by its dotted name, such as "host.guided"."""
    if NAME not in sys.modules:
        where = {"submodule_search_locations": [str(PACK)]}
        spec = importlib.util.spec_from_file_location(NAME, PACK / "__init__.py", **where)
        if spec is None:
            raise ValueError(f"found no pack in {PACK}")
        sys.modules[NAME] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{NAME}.{name}")
