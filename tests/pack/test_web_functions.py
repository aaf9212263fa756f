"""The pure functions of web/, tested with Node's own test runner (tests/web/pure), and the rules that its files keep."""

import re
import subprocess
from graphlib import TopologicalSorter

import pytest
from browser import BrowserProblem, find_node
from environment import PACK

WEB = PACK / "web"
SCRIPTS = sorted([*WEB.rglob("*.js"), *WEB.rglob("*.mjs")])


def test_pure_functions():
    try:
        node = find_node()
    except BrowserProblem as problem:
        pytest.skip(str(problem))
    files = sorted(map(str, (PACK / "tests" / "web" / "pure").glob("*.test.mjs")))
    done = subprocess.run([str(node), "--test", *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def imports_of(file):
    return re.findall(r'(?:^import|\bfrom|\bimport\()\s*"([^"]+)"', file.read_text(), re.MULTILINE)


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: str(file.relative_to(WEB)))
def test_scripts_import_their_own_room_the_shared_one_and_the_hosts_two_modules_only(file):
    host = ("../../scripts/app.js", "../../scripts/api.js")
    own = [name for name in imports_of(file) if file.suffix != ".js" or name not in host]
    assert all(name.startswith(("./", "../shared/")) and (file.parent / name).is_file() for name in own), own


def test_no_imports_run_in_a_circle():
    TopologicalSorter(
        {file: [(file.parent / name).resolve() for name in imports_of(file)] for file in SCRIPTS}
    ).prepare()


def test_only_entry_scripts_end_in_js():
    """The host imports every .js of the folder as an extension of its own."""
    assert all("registerExtension" in file.read_text() for file in WEB.rglob("*.js"))
