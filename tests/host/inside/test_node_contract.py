"""Node ids, inputs and outputs are a contract with every saved workflow: inputs may be appended, never renamed or moved."""

import json

from environment import PACK

CONTRACT = json.loads((PACK / "tests" / "pack" / "node_contract.json").read_text())


def declared(inputs, prefix=""):
    for section in ("required", "optional"):
        for name, (kind, *options) in inputs.get(section, {}).items():
            yield prefix + name
            if kind == "COMFY_DYNAMICCOMBO_V3":
                for option in options[0]["options"]:
                    yield from declared(option["inputs"], f"{prefix}{name}.")


def test_the_host_sees_the_contracts_nodes_inputs_and_outputs(comfy_inside):
    found = {}
    for node_id, kind in comfy_inside.node_classes.items():
        if node_id.startswith("FourReal"):
            info = kind.GET_NODE_INFO_V1()
            found[node_id] = {"inputs": list(declared(info["input"])), "outputs": list(info["output"])}
    assert list(found) == list(CONTRACT)
    assert found == CONTRACT
