"""`fourreal_core` runs without the host: nothing in it imports ComfyUI, directly or through a package that does, nor an old name of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "fourreal_core"
HOST = (
    "comfy",
    "comfy_api",
    "comfy_extras",
    "comfy_execution",
    "folder_paths",
    "server",
    "nodes",
    "execution",
    "node_helpers",
    "latent_preview",
)
FILES = sorted(CORE.rglob("*.py"))

IMPORT_EVERYTHING = f"""
import importlib, pkgutil, sys

class NoHost:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HOST!r}:
            raise ImportError(f"fourreal_core must not import the host's {{name}}")

sys.meta_path.insert(0, NoHost())
import fourreal_core
for module in pkgutil.walk_packages(fourreal_core.__path__, "fourreal_core."):
    importlib.import_module(module.name)
    print(module.name)
for name in fourreal_core.__all__:
    getattr(fourreal_core, name)
"""


def test_every_module_imports_without_the_host_and_uses_no_old_name():
    python = [sys.executable, "-W", "error:fourreal_core:DeprecationWarning"]
    run = subprocess.run(
        [*python, "-c", IMPORT_EVERYTHING], cwd=CORE.parent, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    imported = {name.removeprefix("fourreal_core.").replace(".", "/") for name in run.stdout.split()}
    expected = {file.relative_to(CORE).with_suffix("").as_posix().removesuffix("/__init__") for file in FILES} - {
        "__init__"
    }
    assert expected <= imported


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(CORE).as_posix())
def test_no_file_names_the_host_or_leaves_its_package(file):
    depth = len(file.relative_to(CORE).parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & set(HOST), f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom):
            assert node.level <= depth, f"line {node.lineno} imports from outside fourreal_core"
            assert node.level > 0 or node.module.partition(".")[0] not in HOST, f"line {node.lineno}"
