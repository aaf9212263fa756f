"""Lets every test import `fourreal_core`, the scripts' modules and what tests share from the checkout, and marks tests by what they need."""

import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
for folder in (CHECKOUT / "tests", CHECKOUT / "scripts", CHECKOUT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

NEEDS = {"renderer": "gl", "browser": "browser"}  # fixture: the marker of tests that use it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if CHECKOUT / "tests" / "host" in item.path.parents:
            item.add_marker("host")
        for fixture in NEEDS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(NEEDS[fixture])
