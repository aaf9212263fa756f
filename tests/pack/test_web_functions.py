"""The pure functions of web/, tested with Node's own test runner (tests/web/pure), and the rules that its files keep."""

import re
import subprocess

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


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_import_their_neighbours_and_the_hosts_two_modules_only(file):
    imported = re.findall(r'(?:^import|\bfrom|\bimport\()\s*"([^"]+)"', file.read_text(), re.MULTILINE)
    own = [name for name in imported if name not in ("../../scripts/app.js", "../../scripts/api.js")]
    assert all(name.startswith(("./", "../player/")) and (file.parent / name).is_file() for name in own), imported


def test_only_entry_scripts_end_in_js():
    """The host imports every .js of the folder as an extension of its own."""
    assert all("registerExtension" in file.read_text() for file in WEB.rglob("*.js"))
