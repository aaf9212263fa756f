"""One real ComfyUI for all host tests, with the pack installed under a folder name with a hyphen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environment import PACK, TOOLS, Environment, find_or_build
from host import Host, running_host


@pytest.fixture(scope="session")
def environment() -> Environment:
    return find_or_build(TOOLS)


@pytest.fixture(scope="session")
def host(environment: Environment) -> Iterator[Host]:
    with running_host(environment) as running:
        yield running


@pytest.fixture(scope="session")
def object_info(host: Host) -> dict[str, Any]:
    return host.object_info()
