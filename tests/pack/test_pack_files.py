"""The pack as a folder, without a host: its entry point, its node contract, its help pages and its workflows."""

import ast
import asyncio
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2]
CONTRACT = json.loads((Path(__file__).parent / "node_contract.json").read_text())
WORKFLOWS = sorted((PACK / "workflows").glob("*.json"))


def import_by_path(name):
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_importing_the_pack_imports_no_node(monkeypatch):
    name = "/some where/custom_nodes/4Real-Video"  # the host names the module after its folder
    monkeypatch.setitem(sys.modules, name, None)
    pack = import_by_path(name)
    assert sorted(pack.__all__) == ["WEB_DIRECTORY", "comfy_entrypoint"]
    assert not hasattr(pack, "NODE_CLASS_MAPPINGS")  # the host would ignore comfy_entrypoint
    assert asyncio.iscoroutinefunction(pack.comfy_entrypoint)
    assert not [loaded for loaded in sys.modules if loaded.startswith(name + ".")]


def test_the_web_folder_exists():
    source = ast.parse((PACK / "__init__.py").read_text())
    [folder] = [
        node.value.value
        for node in source.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "WEB_DIRECTORY"
    ]
    assert (PACK / folder).is_dir()


def node_sources():
    return {file.name: ast.parse(file.read_text(), file.name) for file in (PACK / "nodes").glob("*.py")}


def test_node_ids_are_the_contract():
    calls = [node for tree in node_sources().values() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ids = [keyword.value.value for call in calls for keyword in call.keywords if keyword.arg == "node_id"]
    assert sorted(ids) == sorted(CONTRACT)


def test_the_one_list_of_nodes_has_the_contracts_order():
    [nodes] = [
        node
        for node in node_sources()["__init__.py"].body
        if isinstance(node, ast.AnnAssign) and node.target.id == "NODES"
    ]
    assert [element.id for element in nodes.value.elts] == list(CONTRACT)


def test_nodes_import_the_pack_relatively_and_no_host_node_classes():
    for name, tree in node_sources().items():
        absolute = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0]
        absolute += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        forbidden = [
            module for module in absolute if module.split(".")[0] in ("fourreal_core", "nodes", "comfy_extras")
        ]
        assert not forbidden, f"{name} imports {forbidden}"


def test_every_node_has_a_help_page():
    assert sorted(page.stem for page in (PACK / "web" / "docs").glob("*.md")) == sorted(CONTRACT)


@pytest.mark.parametrize("node", CONTRACT)
def test_help_pages_name_every_setting(node):
    page = (PACK / "web" / "docs" / f"{node}.md").read_text()
    settings = [name.rpartition(".")[2] for name in CONTRACT[node]["inputs"] if name not in ("grid", "videos")]
    assert [name for name in settings if name not in page] == []


def test_there_is_one_templates_folder():
    accepted = ["example_workflows", "example", "examples", "workflow", "workflows"]
    assert [name for name in accepted if (PACK / name).is_dir()] == ["workflows"]  # the host serves the first one only


def test_installation_tests_run_the_workflows_that_need_no_download():
    listed = re.search(r"^cpu = (\[.*\])$", (PACK / "comfy-test.toml").read_text(), re.MULTILINE)
    downloads = re.compile(r'"url": *"https://[^"]*\.safetensors')
    assert sorted(json.loads(listed[1])) == [file.name for file in WORKFLOWS if not downloads.search(file.read_text())]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_workflow_has_a_picture_and_a_note(file):
    workflow = json.loads(file.read_text())
    assert file.with_suffix(".jpg").is_file()
    assert any(node["type"] == "MarkdownNote" for node in workflow["nodes"])


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_open_with_the_examples(file):
    """Those that host/examples.py lays into the input folder: any other name would be missing on a fresh install."""
    laid_out = {
        "4real_" + example.name for example in (PACK / "example_inputs").iterdir() if example.suffix in (".mp4", ".png")
    }
    opened = {
        node["widgets_values"][0]
        for node in json.loads(file.read_text())["nodes"]
        if node["type"] in ("LoadVideo", "LoadImage")
    }
    assert opened <= laid_out


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_the_links_of_every_workflow_are_whole(file):
    workflow = json.loads(file.read_text())
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, out_slot, target, in_slot, kind in workflow["links"]:
        output, socket = nodes[source]["outputs"][out_slot], nodes[target]["inputs"][in_slot]
        assert link in output["links"] and socket["link"] == link
        assert kind == output["type"] and (kind in socket["type"].split(",") or socket["type"] == "*")
    listed = [socket["link"] for node in nodes.values() for socket in node["inputs"] if socket["link"] is not None]
    assert sorted(listed) == sorted(link[0] for link in workflow["links"])


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_workflow_uses_nodes_of_the_contract(file):
    for node in json.loads(file.read_text())["nodes"]:
        if node["type"].startswith("FourReal"):
            names = [socket["name"] for socket in node["inputs"]]
            assert set(names) <= set(CONTRACT[node["type"]]["inputs"]), node["type"]
            types = [output["type"] for output in node["outputs"]]  # the editor adds outputs that were appended later
            assert types == CONTRACT[node["type"]]["outputs"][: len(types)]
