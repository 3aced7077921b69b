"""The cost of a strategy is counted and timed."""

import time

import pytest
import torch
from torch import nn

from emsym.models.interventions.flip_average import MirrorAverage
from emsym.run.cost import StepClock, cost


def test_passes_and_parameters_are_counted() -> None:
    model = nn.Conv2d(3, 2, 3, padding=1).eval()
    x = torch.rand(1, 3, 8, 8)
    plain, twice = cost(model, model, x, 4.0), cost(MirrorAverage(model), model, x, 4.0)
    assert (plain.passes, twice.passes) == (1, 2)
    assert plain.parameters == twice.parameters == 2 * 3 * 9 + 2
    assert plain.step_ms == 4.0
    assert plain.answer_ms > 0
    assert not model._forward_hooks


def test_a_step_is_the_median_times_the_networks_that_were_trained() -> None:
    clock = StepClock(torch.device("cpu"))
    for pause in (0.1, 0.01, 0.01, 0.01):  # one look at the scores, which is no step's cost
        time.sleep(0.02)  # which costs the processor nothing
        end = time.process_time() + pause
        while time.process_time() < end:
            pass
        clock()
    assert clock.per_step_ms(4) == pytest.approx(10, rel=0.5)
    assert clock.per_step_ms(2) == pytest.approx(20, rel=0.5)
