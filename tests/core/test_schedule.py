"""The learning rate of every training: up, level, down to a twentieth; and both plans use it."""

import pytest

from fourreal_core.training.loop import TrainingPlan
from fourreal_core.training.schedule import rate
from fourreal_core.training.sync_loop import SyncTraining


def test_up_level_and_down_to_a_twentieth():
    rates = [rate(step, 100, 4) for step in range(100)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0] and rates[50] == 1.0
    assert rates[75] == 0.5 and rates[98] == 0.05 and rates[99] == 0.05 and min(rates) == 0.05


@pytest.mark.parametrize("plan", [TrainingPlan(steps=10, warmup=0), SyncTraining(steps=10, warmup=0)])
def test_without_warmup_the_first_step_is_a_full_one(plan):
    assert plan.rate(0) == 1.0 and plan.rate(9) == rate(9, 10, 0)
