"""What the browser tests need: node and a Chromium, which root gets from apt, and playwright-core, which is installed once into the cache folder."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from environment import cache_folder

PLAYWRIGHT = "1.65.1"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = {"nodejs": ("node",), "npm": ("npm",), "chromium": CHROMIUMS}  # of Debian, and the commands that they bring
APT_S = 600


class BrowserProblem(RuntimeError):
    """The browser tests cannot run here; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class BrowserTools:
    node: Path
    chromium: Path
    modules: Path  # a folder node_modules that holds playwright-core

    def variables(self) -> dict[str, str]:
        """The environment that tests/web reads."""
        return {**os.environ, "FOURREAL_CHROMIUM": str(self.chromium), "FOURREAL_NODE_MODULES": str(self.modules)}


@cache
def install_missing() -> None:
    """As root on a machine with apt: install what lacks of Node.js, npm and Chromium. Elsewhere nothing happens; a failure is printed."""
    missing = [package for package, commands in PACKAGES.items() if not any(map(shutil.which, commands))]
    if "FOURREAL_CHROMIUM" in os.environ and "chromium" in missing:
        missing.remove("chromium")
    apt = shutil.which("apt-get")
    if not missing or apt is None or os.geteuid() != 0:
        return
    print(f"Installing {', '.join(missing)} for the browser tests ...", flush=True)
    for command in ([apt, "-q", "update"], [apt, "-qy", "install", "--no-install-recommends", *missing]):
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                capture_output=True,
                text=True,
                timeout=APT_S,
            )
        except subprocess.TimeoutExpired:
            print(f"{' '.join(command)} took more than {APT_S} s.")
            return
        if done.returncode:
            print(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")
            return


def find_node() -> Path:
    """Raises BrowserProblem without Node.js 20 or newer."""
    install_missing()
    found = shutil.which("node")
    if found is None:
        raise BrowserProblem("Node.js is missing: install Node.js 20 or newer (on Debian: apt install nodejs npm).")
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < 20:
        raise BrowserProblem(f"Node.js 20 or newer is needed, {found} is {version or 'none'}.")
    return Path(found)


def find_browser() -> BrowserTools:
    """Raises BrowserProblem when something is missing and cannot be installed."""
    node = find_node()
    named = os.environ.get("FOURREAL_CHROMIUM")
    chromium = named or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None or not Path(chromium).is_file():
        raise BrowserProblem(
            "No Chromium was found: install one (on Debian: apt install chromium) or name it in FOURREAL_CHROMIUM."
        )
    return BrowserTools(node, Path(chromium), playwright_modules())


def playwright_modules() -> Path:
    folder = cache_folder().parent / f"playwright-core-{PLAYWRIGHT}"
    modules = folder / "node_modules"
    if (modules / "playwright-core" / "package.json").is_file():
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise BrowserProblem(
            "npm, which installs playwright-core for the browser tests, is missing (on Debian: apt install npm)."
        )
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
        str(folder),
        f"playwright-core@{PLAYWRIGHT}",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BrowserProblem(f"npm could not install playwright-core {PLAYWRIGHT}: {done.stderr.strip()[-300:]}")
    return modules
