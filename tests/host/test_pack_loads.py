"""The pack inside a real ComfyUI: it loads silently, its nodes are complete, its pages, scripts and templates are served."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from comfyui import FOLDER
from environment import PACK

from fourreal_core.batch.server import Host

NODE_IDS = list(json.loads((PACK / "tests" / "pack" / "node_contract.json").read_text()))
HOSTS_OWN_WARNINGS = ("User settings have been changed", "For multi-user setups")
WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))


def test_the_pack_loads_without_a_warning_or_an_error(host: Host) -> None:
    start_up = host.log().split("Starting server")[0]
    assert re.search(rf"seconds: .*custom_nodes.{FOLDER}$", start_up, re.MULTILINE)
    warnings = re.findall(r"^.*(?:WARNING|ERROR|CRITICAL|Warning:|Traceback|FAILED).*$", start_up, re.MULTILINE)
    assert [line for line in warnings if not any(own in line for own in HOSTS_OWN_WARNINGS)] == []


def test_the_host_has_every_node_in_our_categories(object_info: dict[str, Any]) -> None:
    ours = [name for name, info in object_info.items() if info["python_module"] == f"custom_nodes.{FOLDER}"]
    assert ours == NODE_IDS
    for name in NODE_IDS:
        info = object_info[name]
        assert info["category"].startswith("4Real/") and info["display_name"].startswith("4Real "), name
        assert info["description"], name


@pytest.mark.parametrize("name", NODE_IDS)
def test_every_input_and_output_has_a_tooltip(object_info: dict[str, Any], name: str) -> None:
    without = [each for each, options in declared_inputs(object_info[name]["input"]) if not options.get("tooltip")]
    assert without == []
    outputs = object_info[name]
    assert all(outputs["output_tooltips"][: len(outputs["output"])]) or not outputs["output"]


def declared_inputs(sections: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every input with its options, those inside dynamic ones too."""
    for section in ("required", "optional"):
        for name, specification in sections.get(section, {}).items():
            options = specification[1] if len(specification) > 1 else {}
            yield name, options
            for choice in options.get("options", []) if specification[0] == "COMFY_DYNAMICCOMBO_V3" else []:
                yield from declared_inputs(choice["inputs"])
            yield from declared_inputs(options.get("template", {}).get("input", {}))


@pytest.mark.parametrize("name", NODE_IDS)
def test_every_node_has_a_help_page(host: Host, name: str) -> None:
    page = host.get(f"/extensions/{FOLDER}/docs/{name}.md").decode()
    assert page.startswith("# ") and len(page.splitlines()) > 3


def test_every_entry_script_is_served(host: Host) -> None:
    served = [path for path in host.get_json("/extensions") if path.startswith(f"/extensions/{FOLDER}/")]
    assert len(served) == len(list((PACK / "web").rglob("*.js")))
    for path in served:
        assert b"registerExtension" in host.get(path)


def test_every_workflow_is_a_template_with_a_picture(host: Host) -> None:
    names = [file.stem for file in WORKFLOWS]
    assert names and sorted(host.get_json("/api/workflow_templates")[FOLDER]) == names
    for file in WORKFLOWS:
        route = f"/api/workflow_templates/{FOLDER}/{file.stem}"
        assert json.loads(host.get(route + ".json")) == json.loads(file.read_text(encoding="utf-8"))
        assert host.get(route + ".jpg").startswith(b"\xff\xd8\xff"), f"{file.stem}.jpg is no JPEG"
