"""`fourreal_core` runs without the host: nothing in it imports ComfyUI, directly or through a package that does, nor an old name of its own."""

import ast
import subprocess
import sys
from pathlib import Path

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


def test_no_file_names_the_host_or_leaves_its_package():
    wrong = []
    for file in FILES:
        depth = len(file.relative_to(CORE).parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            place = f"{file.relative_to(CORE).as_posix()}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import) and {alias.name.partition(".")[0] for alias in node.names} & set(HOST):
                wrong.append(f"{place}: imports the host")
            if isinstance(node, ast.ImportFrom) and node.level > depth:
                wrong.append(f"{place}: imports from outside fourreal_core")
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.partition(".")[0] in HOST:
                wrong.append(f"{place}: imports the host")
    assert not wrong
