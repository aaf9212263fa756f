"""The editor's workflow format turned into the server's prompt, on hand-made nodes with known answers."""

import pytest

from fourreal_core.batch.prompt import WorkflowProblem, set_inputs, workflow_to_prompt

MODES = {
    "required": {
        "mode": [
            "COMFY_DYNAMICCOMBO_V3",
            {
                "options": [
                    {"key": "plain", "inputs": {"required": {}}},
                    {
                        "key": "weighted",
                        "inputs": {"required": {"weight": ["FLOAT", {"default": 0.5}], "image": ["IMAGE", {}]}},
                    },
                ]
            },
        ],
        "note": ["STRING", {"default": "none"}],
    }
}
OBJECT_INFO = {
    "Load": {
        "input": {"required": {"file": [["a.mp4", "b.mp4"], {"video_upload": True}], "frames": ["INT", {"default": 8}]}}
    },
    "Sample": {
        "display_name": "The Sampler",
        "input": {
            "required": {"image": ["IMAGE", {}], "seed": ["INT", {"default": 0}], "steps": ["INT", {"default": 16}]},
            "optional": {
                "mask": ["MASK", {}],
                "forced": ["FLOAT", {"forceInput": True}],
                "sync": [["soft", "off"], {}],
            },
        },
    },
    "Modes": {"input": MODES},
    "Filter": {"input": {"required": {"mask": ["MASK", {}], "image": ["IMAGE", {}]}}},
}


def node(identity, kind, values=(), *, inputs=(), outputs=("IMAGE",), **extra):
    sockets = [{"name": name, "type": kind, "link": link} for name, kind, link in inputs]
    slots = [{"type": kind} for kind in outputs]
    return {"id": identity, "type": kind, "widgets_values": list(values), "inputs": sockets, "outputs": slots, **extra}


def convert(nodes, links=()):
    return workflow_to_prompt({"nodes": nodes, "links": [[*link, "*"] for link in links]}, OBJECT_INFO)


def test_widget_values_meet_their_inputs_and_upload_and_seed_companions_are_dropped():
    load = node(1, "Load", ["b.mp4", "image", 5])
    sample = node(2, "Sample", [7, "randomize", 3, "off"], inputs=[("image", "IMAGE", 9)])
    prompt = convert([load, sample], [(9, 1, 0, 2, 0)])
    assert prompt["1"]["inputs"] == {"file": "b.mp4", "frames": 5}
    assert prompt["2"]["inputs"] == {"seed": 7, "steps": 3, "sync": "off", "image": ["1", 0]}
    assert prompt["2"]["_meta"]["title"] == "The Sampler"


def test_a_seed_without_a_control_has_no_companion():
    plain_seed = {"required": {"seed": ["INT", {"control_after_generate": False}], "steps": ["INT", {}]}}
    prompt = workflow_to_prompt({"nodes": [node(1, "Train", [7, 3])], "links": []}, {"Train": {"input": plain_seed}})
    assert prompt["1"]["inputs"] == {"seed": 7, "steps": 3}


def test_inputs_newer_than_the_workflow_get_their_default():
    assert convert([node(1, "Load", ["b.mp4", "image"])])["1"]["inputs"]["frames"] == 8
    assert convert([node(2, "Sample", [7, "fixed"])])["2"]["inputs"] == {"seed": 7, "steps": 16, "sync": "soft"}


def test_a_dynamic_choice_brings_its_own_widgets_and_sockets():
    plain = convert([node(1, "Modes", ["plain", "text"])])
    assert plain["1"]["inputs"] == {"mode": "plain", "note": "text"}
    nodes = [
        node(1, "Modes", ["weighted", 0.25, "text"], inputs=[("mode.image", "IMAGE", 4)]),
        node(3, "Load", ["a.mp4"]),
    ]
    weighted = convert(nodes, [(4, 3, 0, 1, 0)])
    assert weighted["1"]["inputs"] == {"mode": "weighted", "mode.weight": 0.25, "note": "text", "mode.image": ["3", 0]}
    with pytest.raises(WorkflowProblem, match="'mode' does not offer 'other'"):
        convert([node(1, "Modes", ["other"])])


def test_a_link_takes_the_place_of_a_widget_value():
    primitive = node(5, "PrimitiveNode", [12, "fixed"], outputs=("INT",))
    sample = node(2, "Sample", [7, "fixed", 3, "off"], inputs=[("steps", "INT", 1), ("seed", "INT", 2)])
    load = node(3, "Load", ["a.mp4"], outputs=("IMAGE", "INT"))
    prompt = convert([primitive, sample, load], [(1, 5, 0, 2, 0), (2, 3, 1, 2, 1)])
    assert prompt["2"]["inputs"] == {"steps": 12, "seed": ["3", 1], "sync": "off"}
    assert set(prompt) == {"2", "3"}


def test_reroutes_bypassed_and_muted_nodes_and_notes_are_not_part_of_the_prompt():
    nodes = [
        node(1, "Load", ["a.mp4"]),
        node(2, "Reroute", inputs=[("", "*", 1)]),
        node(3, "Filter", inputs=[("mask", "MASK", None), ("image", "IMAGE", 2)], mode=4),
        node(4, "Load", ["a.mp4"], outputs=("MASK",), mode=2),
        node(5, "Sample", [7, "fixed", 3, "off"], inputs=[("image", "IMAGE", 3), ("mask", "MASK", 4)]),
        node(6, "MarkdownNote", ["read me"]),
    ]
    prompt = convert(nodes, [(1, 1, 0, 2, 0), (2, 2, 0, 3, 1), (3, 3, 0, 5, 0), (4, 4, 0, 5, 1)])
    assert set(prompt) == {"1", "5"}
    assert prompt["5"]["inputs"]["image"] == ["1", 0]
    assert "mask" not in prompt["5"]["inputs"]


def test_unknown_nodes_and_left_over_values_are_refused():
    with pytest.raises(WorkflowProblem, match="Node 3 is a 'Missing'"):
        convert([node(3, "Missing")])
    with pytest.raises(WorkflowProblem, match=r"Node 1 \(Load\) has values without an input: \[99\]"):
        convert([node(1, "Load", ["a.mp4", "image", 5, 99, ""])])


def test_set_inputs_changes_a_copy_and_keeps_links():
    prompt = {"1": {"class_type": "Sample", "inputs": {"steps": 3, "seed": ["4", 0]}}}
    changed = set_inputs(prompt, "Sample", steps=1, seed=5)
    assert changed["1"]["inputs"] == {"steps": 1, "seed": ["4", 0]}
    assert prompt["1"]["inputs"]["steps"] == 3
    with pytest.raises(WorkflowProblem, match="no Sample with an input 'stops'"):
        set_inputs(prompt, "Sample", stops=1)
