"""Values that ComfyUI lets through: choices that it does not know, which it leaves out, and numbers that come over a link, which it does not check."""

import functools
from collections.abc import Callable, Iterable

from comfy_api.v0_0_2 import io


def known_choice(value: dict | None, name: str, choices: Iterable[str]) -> tuple[str, dict]:
    """(the choice, its own inputs) of a dynamic combo's value; ValueError that lists the choices for any other."""
    chosen = (value or {}).get(name)
    if chosen not in (listed := list(choices)):
        raise ValueError(f"expected {name} to be one of {', '.join(listed)}: choose one of them")
    return chosen, {setting: own for setting, own in value.items() if setting != name}


def within_limits(execute: Callable) -> Callable:
    """For a node's execute: its numbers are first compared with the limits in its schema. ValueError names the input and its limits."""

    @functools.wraps(execute)
    def checked(cls, *given, **named):
        _check(cls.define_schema().inputs, named)
        return execute(cls, *given, **named)

    return checked


def _check(inputs: Iterable, values: dict) -> None:
    for each in inputs:
        value = values.get(each.id)
        if isinstance(each, io.DynamicCombo.Input) and isinstance(value, dict):
            _check(next((option.inputs for option in each.options if option.key == value.get(each.id)), ()), value)
        if not isinstance(each, (io.Int.Input, io.Float.Input)) or not isinstance(value, (int, float)):
            continue
        low, high = (
            limit if limit is not None else open_end for limit, open_end in ((each.min, value), (each.max, value))
        )
        if not low <= value <= high:  # NaN is never
            raise ValueError(f"expected {each.id} to be from {low} to {high}, got {value}")
