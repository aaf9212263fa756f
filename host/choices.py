"""Choices that carry inputs of their own. ComfyUI leaves a choice out that it does not know, instead of refusing it."""

from collections.abc import Iterable


def known_choice(value: dict | None, name: str, choices: Iterable[str]) -> tuple[str, dict]:
    """(the choice, its own inputs) of a dynamic combo's value; ValueError that lists the choices for any other."""
    chosen = (value or {}).get(name)
    if chosen not in (listed := list(choices)):
        raise ValueError(f"expected {name} to be one of {', '.join(listed)}: choose one of them")
    return chosen, {setting: own for setting, own in value.items() if setting != name}
