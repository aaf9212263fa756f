"""Numbers that come over a link: ComfyUI compares only those typed into a widget with an input's limits, so every node does it for all."""

import math

import pytest


def numbers(inputs, place=()):
    """(path of ids and choices, input) of every number of a node, those of its choices too."""
    for each in inputs:
        if hasattr(each, "options") and each.options and hasattr(each.options[0], "inputs"):
            for option in each.options:
                yield from numbers(option.inputs, (*place, (each.id, option.key)))
        elif isinstance(getattr(each, "default", None), (int, float)) and not isinstance(each.default, bool):
            yield place, each


def test_every_number_of_every_node_is_checked_before_anything_else(comfy_inside):
    checked = 0
    for name, node in comfy_inside.node_classes.items():
        if not name.startswith("FourReal"):
            continue
        for place, each in numbers(node.define_schema().inputs):
            wrong = [math.nan]
            wrong += [each.min - 1] if each.min is not None else []
            wrong += [each.max + 1] if each.max is not None else []
            for value in wrong:
                given = {each.id: value}
                for choice, key in reversed(place):
                    given = {choice: {choice: key, **given}}
                with pytest.raises(ValueError, match=f"expected {each.id} to be from .* got {value}"):
                    comfy_inside.call(name, **given)
                checked += 1
    assert checked > 150


def test_limits_themselves_are_allowed(comfy_inside):
    settings = {"views": 1, "times": 1, "width": 64, "height": 64, "fps": 12.0}
    assert comfy_inside.call("FourRealEmptyGrid", **settings)[0].frames.shape == (1, 1, 64, 64, 3)
