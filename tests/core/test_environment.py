"""Choosing the environment for the demo and the tests: a user's own ComfyUI is used as it is, problems are said plainly."""

import subprocess
import sys
from pathlib import Path

import environment
import pytest
from environment import EnvironmentProblem


def make_comfyui(folder: Path) -> Path:
    folder.mkdir()
    (folder / "main.py").touch()
    return folder


def test_a_users_comfyui_is_used_with_the_python_beside_it(monkeypatch, tmp_path):
    comfyui = make_comfyui(tmp_path / "Comfy UI")
    python = environment.venv_python(comfyui / ".venv")
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.setattr(environment, "missing", lambda python, requirements: [])
    assert environment.find_or_build([]) == environment.Environment(python, comfyui)


def test_what_a_users_comfyui_lacks_is_named_and_not_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_PATH", str(make_comfyui(tmp_path / "ComfyUI")))
    monkeypatch.setattr(environment, "pip", lambda *arguments: pytest.fail("installed into the user's Python"))
    with pytest.raises(EnvironmentProblem, match=r"run `.* -m pip install no-such-package`"):
        environment.find_or_build(["no_such.package>=2"])


def test_a_folder_without_comfyui_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="has no main.py"):
        environment.find_or_build([])


def test_any_build_of_opencv_will_do(monkeypatch):
    answer = environment.subprocess.CompletedProcess([], 0, stdout="opencv-contrib-python==5.0 Pillow==12.0\n")
    monkeypatch.setattr(environment.subprocess, "run", lambda *arguments, **options: answer)
    assert environment.missing(Path("python"), ["opencv-python-headless", "pillow>=10", "PyAV"]) == ["pyav"]


def test_a_requirement_counts_where_its_condition_holds(monkeypatch, tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text(
        '# none\n\nav\nwheel-a; sys_platform == "linux" and platform_machine == "x86_64"\nb==2; sys_platform == "win32"\n'
    )
    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    assert [environment.canonical(line) for line in environment.read_requirements(file)] == ["av", "wheel-a"]
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    assert environment.read_requirements(file) == ["av"]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("", True),
        ('sys_platform != "linux"', False),
        ('(sys_platform == "darwin" and platform_machine == "arm64") or sys_platform == "linux"', True),
        ('python_version >= "99"', True),  # left to pip
    ],
)
def test_conditions_on_system_and_processor(monkeypatch, condition, holds):
    monkeypatch.setattr(environment.sys, "platform", "linux")
    assert environment.holds_here(condition) is holds


def test_a_condition_is_no_version(monkeypatch):
    answer = environment.subprocess.CompletedProcess([], 0, stdout="a==4.2.1\n")
    monkeypatch.setattr(environment.subprocess, "run", lambda *arguments, **options: answer)
    assert environment.missing(Path("python"), ['a>=4.0; sys_platform == "linux"'], pinned=True) == []


def test_a_script_says_what_is_wrong_and_ends_with_exit_code_3(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit) as stopped:
        environment.enter_or_stop()
    assert stopped.value.code == 3 and "has no main.py" in capsys.readouterr().err


def test_changed_pins_get_an_environment_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setenv("FOURREAL_CACHE", str(tmp_path / "cache"))
    folder = environment.cache_folder()
    assert folder == environment.cache_folder() and folder.parent == tmp_path / "cache"
    monkeypatch.setattr(environment, "TORCH", ["torch==1.0"])
    assert environment.cache_folder() != folder


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache that holds ComfyUI and a Python with PyTorch, ruff and nothing else; and the calls of pip."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setenv("FOURREAL_CACHE", str(tmp_path))
    folder = environment.cache_folder()
    folder.mkdir()
    make_comfyui(folder / "ComfyUI")
    (folder / "ComfyUI" / "requirements.txt").write_text("aiohttp\n")
    python = environment.venv_python(folder / "venv-whole")
    python.parent.mkdir(parents=True)
    python.touch()
    (folder / "finished").write_text("venv-whole")
    calls = []
    installed = {python: "ruff==0.1 torch==2.11.0 aiohttp==3.0", Path(sys.executable).absolute(): "pip==26.0"}
    installed[python] += "".join(
        f" {name}==1.0" for name in environment.read_requirements(environment.PACK / "requirements.txt")
    )
    answer = lambda words, **_: subprocess.CompletedProcess(words, 0, stdout=installed[Path(words[0])])
    monkeypatch.setattr(environment, "subprocess", type("Answers", (), {"run": staticmethod(answer)}))
    monkeypatch.setattr(environment, "pip", lambda *arguments: calls.append(arguments))
    return python, installed, calls


def test_changed_tools_are_added_to_the_environment_that_stands(cache):
    python, _, calls = cache
    assert environment.find_or_build(["ruff==0.1"]).python == python and calls == []
    assert environment.find_or_build(["ruff==0.2", "pytest", "torch"]).python == python
    assert calls == [(python, "install", "ruff==0.2", "pytest")]


def test_without_comfyui_a_current_python_that_has_the_rest_will_do(cache):
    python, installed, calls = cache
    current = Path(sys.executable).absolute()
    assert environment.find_or_build([], comfyui=False).python == python
    installed[current] = installed[python].replace(" aiohttp==3.0", "")
    assert environment.find_or_build([], comfyui=False).python == current
    assert environment.find_or_build([], comfyui=True).python == python and calls == []


def test_a_build_that_was_interrupted_starts_again(monkeypatch, tmp_path):
    calls = []

    def make_venv(folder):
        environment.venv_python(folder).parent.mkdir(parents=True)
        environment.venv_python(folder).touch()
        return environment.venv_python(folder)

    def pip(python, *arguments):
        calls.append(python)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(environment, "make_venv", make_venv)
    monkeypatch.setattr(environment, "pip", pip)
    monkeypatch.setattr(environment, "wants_cpu_torch", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        environment.built_python(tmp_path)
    python = environment.built_python(tmp_path)
    assert python == calls[1] and not calls[0].exists()
    assert environment.built_python(tmp_path) == python and len(calls) == 2


def test_only_one_process_builds_at_a_time(tmp_path):
    wait = f"import environment; lock = environment.locked({str(tmp_path / 'lock')!r}); lock.__enter__()"
    with environment.locked(tmp_path / "lock"):
        other = subprocess.Popen([sys.executable, "-c", wait], cwd=environment.PACK / "scripts")
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.5)
    assert other.wait(10) == 0
