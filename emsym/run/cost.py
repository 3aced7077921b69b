"""The cost of a strategy: the time of a training step and of an answer, and the parameters."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from emsym.run.store.record import Cost

ANSWERS = 3
"""How often the answer to one section is timed, after one that is not."""


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return a clock in seconds: of a processor's own time, which other work beside hardly moves.

    On a GPU, whose time a processor does not know, that of the wall.
    """
    return time.process_time if device.type == "cpu" else time.perf_counter


class StepClock:
    """Takes the time of training steps: it is called after each."""

    def __init__(self, device: torch.device) -> None:
        """Started now."""
        self._waits = device.type == "cpu"
        self._now = clock_of(device)
        self._times: list[float] = []
        self._last = self._now()

    def __call__(self) -> float:
        """Note a step, and return how many seconds it took."""
        now = self._now()
        took = now - self._last
        self._times.append(took)
        self._last = now
        return took

    def per_step_ms(self, steps: int) -> float:
        """Return the median step in milliseconds, × how many networks were trained for `steps`.

        On a GPU, where a step is only launched, the mean, with the looks at the scores in it.
        """
        middle = statistics.median if self._waits else statistics.fmean
        return 1000 * middle(self._times) * len(self._times) / steps


def cost(answering: nn.Module, trained: nn.Module, stack: Tensor, step_ms: float) -> Cost:
    """Return what a strategy cost a cell.

    `answering` is the network as it is used, `trained` the one in it that was trained, and `stack`
    (1, S, H, W) one section, H and W multiples of the networks' stride.
    """
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    now = clock_of(stack.device)
    hook = trained.register_forward_hook(count)
    times = []
    try:
        with torch.inference_mode():
            answering(stack)
            hook.remove()
            for _ in range(ANSWERS):
                start = now()
                answering(stack).sum().item()  # waits for a GPU
                times.append(now() - start)
    finally:
        hook.remove()
    return Cost(
        parameters=sum(each.numel() for each in answering.parameters()),
        passes=passes,
        step_ms=round(step_ms, 3),
        answer_ms=round(1000 * statistics.median(times), 3),
    )
