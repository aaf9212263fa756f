"""Cancelling takes effect inside a step: the network stops at its next part, in every kind of network that we run."""

import pytest
import tiny_backbones as tiny
import torch


def leaves(network):
    return [part for part in network.modules() if next(part.children(), None) is None]


@pytest.fixture
def cancelled_inside(comfy_inside):
    """Run something whose network is cancelled in the middle; how many parts of it ran after that."""
    import comfy.model_management

    def run(network, work):
        parts, ran = leaves(network), []

        def cancel(part, inputs, output):
            ran.append(part)
            if len(ran) == len(parts) // 2:
                comfy.model_management.interrupt_current_processing()

        handles = [part.register_forward_hook(cancel) for part in parts]
        try:
            with pytest.raises(comfy.model_management.InterruptProcessingException):
                work()
        finally:
            comfy.model_management.interrupt_current_processing(False)
            for handle in handles:
                handle.remove()
        assert all(not part._forward_pre_hooks for part in parts)
        return len(ran) - len(parts) // 2

    return run


def test_a_grid_model_stops_within_a_step(comfy_inside, tiny_model, grid, cancelled_inside):
    [model] = comfy_inside.call("FourRealLoadModel", checkpoint=tiny_model, precision="float32")
    settings = {"sync": "soft", "strength": 1.0, "seed": 3, "steps": 1, "sampler": "euler", "scheduler": "simple"}

    def sample():
        comfy_inside.call("FourRealSampler", model=model, grid=grid, cfg=1.0, denoise=1.0, **settings)

    assert cancelled_inside(model.model.diffusion_model, sample) == 0
    sample()


def test_a_part_that_is_not_cancelled_runs_as_ever(comfy_inside):
    cancellable = comfy_inside.pack_host("cancel").cancellable
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    given = torch.randn(3, 4)
    with cancellable(network):
        inside = network(given)
    assert torch.equal(inside, network(given))


def test_a_host_models_two_streams_stop_within_a_step(comfy_inside, two_streams, cancelled_inside):
    model = two_streams(tiny.wan())
    noise = tiny.noise()
    assert cancelled_inside(model.model.diffusion_model, lambda: tiny.sample(model, noise)) == 0
