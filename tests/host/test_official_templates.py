"""The converter on ComfyUI's own templates: a check against hundreds of workflows that we did not write."""

import json
from pathlib import Path
from typing import Any

import comfyui_workflow_templates

from fourreal_core.batch.prompt import NOTES, WorkflowProblem, workflow_to_prompt

PACKAGES = Path(comfyui_workflow_templates.__file__).parent.parent
EDITOR_NODES = {*NOTES, "Reroute", "PrimitiveNode"}


def test_templates_made_of_this_hosts_nodes_convert(object_info: dict[str, Any]) -> None:
    converted, refused = 0, {}
    for file in PACKAGES.glob("comfyui_workflow_templates*/**/*.json"):
        workflow = json.loads(file.read_text(encoding="utf-8"))
        if (
            not isinstance(workflow, dict)
            or {node["type"] for node in workflow.get("nodes", [])} - set(object_info) - EDITOR_NODES
        ):
            continue  # an index, a subgraph, or nodes of a paid service
        try:
            prompt = workflow_to_prompt(workflow, object_info) if "nodes" in workflow else {}
            converted += bool(prompt)
        except WorkflowProblem as problem:
            refused[file.stem] = str(problem)
    # Nodes that draw their own panel save values there that are no inputs: 4 of 76 templates of ComfyUI 0.30.0.
    assert converted > 50 and len(refused) < converted / 10, refused
