"""What sampling will take, in words. The numbers are made in fourreal_core/sampling/budget.py."""

from ..fourreal_core.sampling import budget
from ..fourreal_core.sampling.budget import GridSize, Plan, VideoNetwork

GIB = 2**30


def report(
    network: VideoNetwork, plan: Plan, weights: int, free: int, on_cpu: bool, filled: GridSize | None = None
) -> str:
    """The budget as the node shows it, line by line. filled: the grid that is filled before a grid model samples it, or a copy of it."""
    size, (frames, frame_tokens) = plan.size, budget.frames_and_tokens(network, plan.size)
    peak, cost = budget.peak_bytes(network, plan), budget.relative_cost(network, plan)
    needed = budget.filled_and_sampled_bytes(network, plan, filled) if filled and on_cpu else peak
    lines = [
        f"{_described(size)}: {size.views} x {frames} latent frames of {frame_tokens:,} tokens = {budget.tokens(network, size):,} tokens"
        if size.encoding
        else f"{_described(size)}: {budget.tokens(network, size):,} tokens, {frame_tokens:,} in each cell",
        (
            f"Memory: about {_gib(peak)} at the peak of a step (within a factor of {budget.FACTOR:g}), plus "
            f"{_gib(weights)} of weights."
        ),
        *_fill_lines(filled, plan, needed, on_cpu),
        f"Work: {cost:.1f} times that of a single view, {_streams(plan)}.",
        f"Free: {_gib(free)}. {verdict(needed, weights, free, on_cpu)}",
    ]
    if budget.FACTOR * needed > free:
        better = budget.plans_that_fit(network, plan, free, filled if on_cpu else None)
        found = [
            f"  {_change(changed, other)} ({_gib(budget.peak_bytes(network, other))})" for changed, other in better
        ]
        lines += (
            ["One of these would fit:", *found]
            if found
            else ["No single change makes it fit: use smaller cells and a smaller grid."]
        )
    return "\n".join(lines)


def _fill_lines(filled: GridSize | None, plan: Plan, needed: int, on_cpu: bool) -> list[str]:
    """What comes before and around the steps of a grid model, in main memory."""
    if filled is None:
        return []
    lines = [f"Before it, 4Real Fill: about {_gib(budget.fill_bytes(filled))} of main memory."]
    if (filled.height, filled.width) != (plan.size.height, plan.size.width):
        lines.append(f"The model works on a copy: the grid has cells of {filled.width}x{filled.height}.")
    if (filled.views, filled.times) != (plan.size.views, plan.size.times):
        lines.append(
            f"The model works in tiles, of {plan.size.views} views x {plan.size.times} times at most: the grid has {filled.views} x {filled.times}."
        )
    return [*lines, f"Together at most about {_gib(needed)} on this CPU."] if on_cpu else lines


def verdict(peak: int, weights: int, free: int, on_cpu: bool) -> str:
    """One sentence: whether it fits. On a CPU the weights lie in the same memory already."""
    beside = 0 if on_cpu else weights
    if budget.FACTOR * peak + beside <= free:
        return "It fits."
    if budget.FACTOR * peak <= free:
        outside = budget.FACTOR * peak + beside - free
        return f"It fits if ComfyUI keeps {_gib(outside)} of the weights in system memory, which is slower."
    return "It does not fit."


def prompts_at_once(network: VideoNetwork, plan: Plan, free: int) -> Plan:
    """The host runs both prompts in one call if one and a half times the memory is there, else one after the other."""
    return plan if 1.5 * budget.peak_bytes(network, plan) < free else Plan(plan.size, plan.sync)


def _described(size: GridSize) -> str:
    return f"{size.views} views x {size.times} times of {size.width}x{size.height}" + (
        f", {size.encoding}" if size.encoding else ""
    )


def _streams(plan: Plan) -> str:
    prompts = f"; {plan.prompts} prompts at once" if plan.prompts > 1 else ""
    if plan.sync == budget.VIDEOS:
        return "which has no second stream: add 4Real Two-Stream, or views will not agree" + prompts
    return f"with sync {plan.sync}{prompts}"


def _change(changed: str, plan: Plan) -> str:
    size = plan.size
    said = {
        "sync": f"sync {plan.sync}",
        "encoding": f"encoding {size.encoding}" + f" and {size.times} times",
        "cells": f"cells of {size.width}x{size.height}",
        "times": f"{size.times} times",
        "views": f"{size.views} views",
    }
    return said[changed]


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= 0.1 * GIB else f"{count / 2**20:.0f} MiB"
