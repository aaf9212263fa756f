"""A workflow as ComfyUI's editor saves it, turned into the prompt that its server runs (the editor does this in JavaScript).

Needs the server's `/object_info`, which names every node's inputs in the order of the saved widget values. Subgraphs are not
supported. See server.py for running the result.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Prompt = dict[str, dict[str, Any]]

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR"}
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload")
NOTES = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4


class WorkflowProblem(ValueError):
    """The workflow does not fit the server's nodes; the message names the node."""


def workflow_to_prompt(workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> Prompt:
    """Convert a saved workflow. Every widget value must find its input; inputs newer than the workflow get their default.

    Raises WorkflowProblem for a node that the server does not know and for left-over widget values.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: (link[1], link[2]) for link in workflow["links"]}
    prompt: Prompt = {}
    for node in workflow["nodes"]:
        kind = node["type"]
        if kind in NOTES or kind in ("Reroute", "PrimitiveNode") or node.get("mode", 0) in (MUTED, BYPASSED):
            continue
        if kind not in object_info:
            raise WorkflowProblem(f"Node {node['id']} is a {kind!r}, which this ComfyUI does not have.")
        inputs = widget_values(node, object_info[kind])
        for socket in node.get("inputs", []):
            if socket.get("link") is not None:
                inputs.pop(socket["name"], None)
                source = follow(socket["link"], nodes, links)
                if source is not None:
                    inputs[socket["name"]] = source
        prompt[str(node["id"])] = {
            "class_type": kind,
            "inputs": inputs,
            "_meta": {"title": node.get("title") or object_info[kind].get("display_name") or kind},
        }
    return prompt


def widget_values(node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """The node's saved widget values by input name."""
    values = iter(node.get("widgets_values") or [])
    found = dict(read_widgets(info["input"], "", values, node))
    left_over = [value for value in values if value not in ("", None)]
    if left_over:
        raise WorkflowProblem(f"Node {node['id']} ({node['type']}) has values without an input: {left_over}.")
    return found


def read_widgets(
    declared: Mapping[str, Any], prefix: str, values: Iterator[Any], node: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Walk the declared inputs in order and give each widget its next saved value, as (input name, value)."""
    for section in ("required", "optional"):
        for name, specification in declared.get(section, {}).items():
            kind, options = specification[0], (specification[1] if len(specification) > 1 else {})
            if not is_widget(kind, options):
                continue
            value = next(values, default_value(kind, options))
            if value is None:
                continue
            yield prefix + name, value
            if kind == DYNAMIC_COMBO:
                chosen = next((option for option in options["options"] if option["key"] == value), None)
                if chosen is None:
                    raise WorkflowProblem(
                        f"Node {node['id']} ({node['type']}): {prefix + name!r} does not offer {value!r}."
                    )
                yield from read_widgets(chosen["inputs"], f"{prefix}{name}.", values, node)
            if has_companion(name, kind, options):
                next(values, None)


def is_widget(kind: str | list, options: Mapping[str, Any]) -> bool:
    if options.get("forceInput"):
        return False
    own_widget = "widgetType" in options or options.get("socketless", False)
    return isinstance(kind, list) or kind in WIDGET_TYPES or kind == DYNAMIC_COMBO or own_widget


def default_value(kind: str | list, options: Mapping[str, Any]) -> Any:
    """What an input gets that is newer than the saved workflow."""
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options", [])
    first = choices[0] if choices else None
    return first["key"] if kind == DYNAMIC_COMBO and first else first


def has_companion(name: str, kind: str | list, options: Mapping[str, Any]) -> bool:
    """Whether the editor saves one more value behind this one: what happens to a seed after a run, or an upload button."""
    is_seed = kind == "INT" and name in ("seed", "noise_seed")
    return bool(options.get("control_after_generate", is_seed)) or any(options.get(upload) for upload in UPLOADS)


def follow(link: int, nodes: Mapping[int, Any], links: Mapping[int, tuple[int, int]]) -> Any:
    """What a link brings: `[node id, output slot]`, a primitive's value, or None when a muted node stands at its start.

    Looks through reroutes and bypassed nodes as the editor does: a bypassed output is the first linked input of its type.
    """
    source, slot = links[link]
    node = nodes[source]
    mode = node.get("mode", 0)
    if mode == MUTED:
        return None
    if node["type"] == "PrimitiveNode":
        return node["widgets_values"][0]
    if node["type"] != "Reroute" and mode != BYPASSED:
        return [str(source), slot]
    kind = node["outputs"][slot]["type"]
    sockets = node["inputs"] if node["type"] == "Reroute" else [each for each in node["inputs"] if each["type"] == kind]
    linked = next((socket["link"] for socket in sockets if socket.get("link") is not None), None)
    return None if linked is None else follow(linked, nodes, links)


def set_inputs(prompt: Prompt, class_type: str, **values: Any) -> Prompt:
    """A copy of the prompt in which the given widgets of all nodes of one class have new values. Linked inputs stay linked.

    Raises WorkflowProblem when no node of this class has such a widget.
    """
    changed = {key: {**node, "inputs": dict(node["inputs"])} for key, node in prompt.items()}
    for name, value in values.items():
        holders = [node for node in changed.values() if node["class_type"] == class_type and name in node["inputs"]]
        if not holders:
            raise WorkflowProblem(f"The workflow has no {class_type} with an input {name!r}.")
        for node in holders:
            if not isinstance(node["inputs"][name], list):
                node["inputs"][name] = value
    return changed
