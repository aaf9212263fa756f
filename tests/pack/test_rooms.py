"""Who may import whom: fourreal_core knows nobody, host/ knows the core, nodes/ know both, and there is no circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
ROOMS = ("fourreal_core", "host", "nodes")  # each may import itself and those before it
FILES = sorted(file for room in ROOMS for file in (PACK / room).rglob("*.py"))
MOST_AT_THE_ROOT = 8  # files of fourreal_core beside its __init__.py; the others have rooms


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(PACK).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file): file for file in FILES}


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(file: Path, also_inside: bool) -> set[str]:
    """The pack's own modules that a file imports; also_inside: imports within functions and for type checkers too."""
    package = module_of(file).split(".") if file.name == "__init__.py" else module_of(file).split(".")[:-1]
    tree, found = tree_of(file), set()
    for node in ast.walk(tree) if also_inside else tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            base = ".".join(part for part in base if part)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= (names & set(MODULES)) or ({base} & set(MODULES))
            assert base in MODULES or names & set(MODULES), f"{module_of(file)} imports {base}, which is not there"
    return found - {module_of(file)}


def test_imports_go_down_only():
    upwards = []
    for name, file in MODULES.items():
        allowed = ROOMS[: ROOMS.index(name.split(".")[0]) + 1]
        upwards += [(name, other) for other in imported(file, also_inside=True) if other.split(".")[0] not in allowed]
    assert not upwards


def test_there_is_no_circle_of_imports():
    list(TopologicalSorter({name: imported(file, also_inside=False) for name, file in MODULES.items()}).static_order())


def test_the_core_has_rooms():
    at_the_root = {file.name for file in (PACK / "fourreal_core").glob("*.py")} - {"__init__.py"}
    assert len(at_the_root) <= MOST_AT_THE_ROOT, sorted(at_the_root)
