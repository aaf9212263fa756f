"""pyproject.toml and requirements.txt agree, and leave the versions of torch and numpy to the host."""

import ast
import re
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]


def test_both_lists_of_dependencies_are_the_same():
    project = (PACK / "pyproject.toml").read_text()
    listed = ast.literal_eval(re.search(r"^dependencies = (\[\n.*?^\])$", project, re.MULTILINE | re.DOTALL)[1])
    assert listed == (PACK / "requirements.txt").read_text().splitlines()


def test_both_pins_of_ruff_are_the_same():
    hook = re.search(r"ruff-pre-commit\n +rev: v(\S+)", (PACK / ".pre-commit-config.yaml").read_text())
    assert f"ruff=={hook[1]}" in (PACK / "requirements-dev.txt").read_text().split()


def test_no_dependency_can_replace_the_hosts_torch_or_numpy():
    required = (PACK / "requirements.txt").read_text().splitlines()
    assert "numpy" in required and not any(name.startswith("torch") for name in required)
