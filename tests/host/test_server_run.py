"""Runs over the real server's HTTP API: results, repeatability, untouched inputs, interruption, preview, plain errors."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fourreal_core.batch.prompt import Prompt, set_inputs
from fourreal_core.batch.server import Event, Host, RunInterrupted, RunProblem
from fourreal_core.grid import FrameGrid
from fourreal_core.grid_file import load_grid


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def build_prompt() -> Prompt:
    """Two small videos into a grid of 3 views and 4 times."""
    return {
        "fixed": node("LoadVideo", file="small_fixed_view.mp4"),
        "freeze": node("LoadVideo", file="small_freeze_time.mp4"),
        "build": node(
            "FourRealBuildGrid",
            fixed_view=["fixed", 0],
            freeze_time=["freeze", 0],
            views=3,
            times=4,
            width=48,
            height=32,
            fit="crop",
            pick="even",
            fps=0.0,
        ),
    }


def sample_prompt(*, steps: int = 2, seed: int = 0, name: str = "sampled") -> Prompt:
    settings = {"strength": 1.0, "sampler": "euler", "scheduler": "simple", "cfg": 1.0, "denoise": 1.0}
    return build_prompt() | {
        "model": node("FourRealLoadModel", checkpoint="tiny.safetensors", precision="float32"),
        "sample": node(
            "FourRealSampler", model=["model", 0], grid=["build", 0], sync="soft", seed=seed, steps=steps, **settings
        ),
        "save": node("FourRealSaveGrid", grid=["sample", 0], filename_prefix=name),
    }


def built_grid(host: Host, name: str) -> tuple[FrameGrid, list[str]]:
    """The grid as the build node gives it, and the nodes whose result the host had kept from before."""
    kept: list[str] = []

    def remember(event: Event) -> None:
        if event["type"] == "execution_cached":
            kept.extend(event["data"]["nodes"])

    prompt = build_prompt() | {"save": node("FourRealSaveGrid", grid=["build", 0], filename_prefix=name)}
    return only_grid(host, host.run(prompt, remember)), kept


def only_grid(host: Host, outputs: dict[str, Any]) -> FrameGrid:
    (file,) = host.files(outputs)
    return load_grid(file)


def test_sampling_fills_the_unknown_cells_and_keeps_the_known_ones(host: Host) -> None:
    grid, _ = built_grid(host, "known")
    sampled = only_grid(host, host.run(sample_prompt()))
    assert grid.frames.shape == sampled.frames.shape == (3, 4, 32, 48, 3)
    assert grid.known.sum() == 3 + 4 - 1
    assert torch.equal(sampled.frames[grid.known], grid.frames[grid.known])
    assert all(cell.std() > 0 for cell in sampled.frames[~grid.known])
    assert sampled.provenance["steps"] == 2 and sampled.fps == grid.fps


def test_equal_inputs_give_equal_outputs_and_another_seed_does_not(host: Host) -> None:
    first = only_grid(host, host.run(sample_prompt(seed=3, name="first")))
    ran: list[str] = []
    same = set_inputs(
        sample_prompt(seed=3, name="again"), "FourRealBuildGrid", fps=12.0
    )  # the videos' own, only written out
    again = only_grid(host, host.run(same, lambda event: ran.append(event["data"].get("node"))))
    assert "sample" in ran, "the second run took the first one's result"
    assert torch.equal(first.frames, again.frames)
    other = only_grid(host, host.run(sample_prompt(seed=4)))
    assert not torch.equal(first.frames, other.frames)


def test_no_node_writes_into_the_grid_that_it_was_given(host: Host) -> None:
    before, _ = built_grid(host, "before")
    users = {
        "transport": node("FourRealTransportFill", grid=["build", 0]),
        "view": node("PreviewImage", images=["transport", 1]),
        "conditioning": node("FourRealGridConditioning", model=["model", 0], grid=["build", 0], guess=["transport", 0]),
        "noise": node(
            "KSampler",
            model=["model", 0],
            positive=["conditioning", 0],
            negative=["conditioning", 1],
            latent_image=["conditioning", 2],
            seed=1,
            steps=2,
            cfg=1.0,
            denoise=0.5,
            sampler_name="euler",
            scheduler="simple",
        ),
        "decode": node("FourRealGridDecode", latent=["noise", 0]),
        "video": node("FourRealGridToVideo", grid=["decode", 0], path="fixed view", **{"path.view": 0.0}, fps=0.0),
        "sheet": node("FourRealContactSheet", grid=["build", 0], max_side=512, mark_known=True, gap=2),
        "show": node("PreviewImage", images=["sheet", 0]),
        "frames": node("PreviewImage", images=["video", 1]),
    }
    host.run(sample_prompt(seed=9) | users)
    after, kept = built_grid(host, "after")
    assert "build" in kept, "the grid was built anew, so this test shows nothing"
    assert torch.equal(before.frames, after.frames) and torch.equal(before.known, after.known)


def test_a_run_interrupted_while_sampling_leaves_nothing_and_the_next_one_works(host: Host) -> None:
    seen: list[int] = []

    def interrupt_after_two_steps(event: Event) -> None:
        if event["type"] == "progress" and event["data"]["node"] == "sample":
            seen.append(event["data"]["value"] / event["data"]["max"])
            if seen[-1] > 0.56:  # of a bar over everything, on which the steps are from 0.54 or less to 0.61 or more
                host.interrupt()

    with pytest.raises(RunInterrupted):
        host.run(sample_prompt(steps=1000, name="interrupted"), interrupt_after_two_steps)
    assert seen and seen[-1] < 0.9
    assert saved_files(host, "interrupted") == []
    only_grid(host, host.run(sample_prompt(steps=2, seed=11, name="interrupted")))
    assert len(saved_files(host, "interrupted")) == 1


def saved_files(host: Host, name: str) -> list[Path]:
    return [file for file in (host.base / "output").rglob("*") if file.name.startswith((name, "." + name))]


def test_a_saved_grid_can_be_loaded_in_the_next_run(host: Host) -> None:
    host.run(sample_prompt(seed=5, name="kept"))
    (file,) = saved_files(host, "kept")
    loaded = {
        "load": node("FourRealLoadGrid", file=f"{file.name} [output]"),
        "save": node("FourRealSaveGrid", grid=["load", 0], filename_prefix="loaded"),
    }
    assert torch.equal(only_grid(host, host.run(loaded)).frames, load_grid(file).frames)


@pytest.mark.parametrize(
    ("class_type", "changes", "said"),
    [
        ("FourRealBuildGrid", {"views": 11}, "at least 11 frames"),
        ("FourRealLoadModel", {"checkpoint": "absent.safetensors"}, "not in list"),
        ("LoadVideo", {"file": "absent.mp4"}, "Invalid video file"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(
    host: Host, class_type: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunProblem, match=said) as refused:
        host.run(set_inputs(sample_prompt(seed=6), class_type, **changes))
    assert "Traceback" not in str(refused.value)
    host.run(sample_prompt(seed=6))
