"""What the browser tests need is installed where that may be done, and named where not."""

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from browser import BrowserProblem, find_browser, install_missing


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds all commands that can be found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FOURREAL_CHROMIUM", raising=False)
    install_missing.cache_clear()
    yield tmp_path
    install_missing.cache_clear()


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_without_node_one_sentence_says_so(commands: Path) -> None:
    with pytest.raises(BrowserProblem, match="Node.js is missing"):
        find_browser()


def test_an_old_node_is_named(commands: Path) -> None:
    put(commands, "node", "echo v18.1.0")
    with pytest.raises(BrowserProblem, match="20 or newer is needed, .* is v18.1.0"):
        find_browser()


@pytest.mark.parametrize("user", [0, 1000])
def test_root_installs_what_is_missing_and_nobody_else_does(
    commands: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setattr(browser.os, "geteuid", lambda: user)
    put(commands, "node", "echo v20.0.0")
    put(commands, "apt-get", f'echo "$@" >> {commands}/asked')
    with pytest.raises(BrowserProblem, match="No Chromium was found"):
        find_browser()  # this apt-get brings nothing
    asked = (commands / "asked").read_text().splitlines() if (commands / "asked").exists() else []
    assert asked == (["-q update", "-qy install --no-install-recommends npm chromium"] if user == 0 else [])
