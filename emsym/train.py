"""Training: one loop."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from emsym.cuda_graph import captured
from emsym.errors import UserError
from emsym.models.upsampling import with_merged_upsampling
from emsym.protocol import Recipe

Batch = tuple[Tensor, Tensor]


READ_EVERY = 32
"""Steps after which the loss is read from a GPU; one that is not finite is told so late."""

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy + (1 − soft Dice) over the batch; both (N, 1, H, W), target 0 or 1."""
    p = logits.sigmoid()
    dice = (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    return nn.functional.binary_cross_entropy_with_logits(logits, target) + 1 - dice


def labelled_loss(logits: Tensor, target: Tensor) -> Tensor:
    """`loss` over the pixels that have a label, where others are −1; 0 where none has."""
    known = target >= 0
    return loss(logits[known], target[known]) if known.any() else logits.sum() * 0


def train(
    model: nn.Module,
    batches: Callable[[], Batch],
    recipe: Recipe,
    progress: Callable[["LossCurve", float], object] = lambda curve, rate: None,
    visit: Callable[[int], object] = lambda step: None,
    visits: Collection[int] = (),
    objective: Callable[[Tensor, Tensor], Tensor] = loss,
) -> list[float]:
    """Train `model` in place by AdamW under a one-cycle schedule; leave it in eval mode.

    `batches` gives the next (images (N, S, H, W), labels (N, 1, H, W)) at each call; `progress` is
    called after each step, with the losses up to it and the step's learning rate. `visit` is called
    with the number of steps taken, where `visits` holds it, while the network is in eval mode.
    `objective` is called with logits and labels, both (N, 1, H, W). Returns the loss of every step.
    Raises `ArithmeticError` when the loss is not finite, and `UserError` when the network does not
    give one logit per pixel.
    """
    device = next(model.parameters()).device
    answer: Callable[[Tensor], Tensor] = model
    if device.type == "cpu":  # where both make convolutions faster; they decide roundings
        _lay_out(model, torch.channels_last)
        answer = with_merged_upsampling(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=max(recipe.steps, 2)
    )
    devices = [device] if device.type == "cuda" else []
    precise = recipe.precision in ("float32", "float64")
    exact = recipe.precision == "float64"
    if exact:
        model.double()
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
    curve = LossCurve(1 if device.type == "cpu" else READ_EVERY)
    model.train()
    for step in range(recipe.steps):
        if step in visits:
            model.eval()
            # lest dropout draw other numbers than unseen
            with torch.random.fork_rng(devices), _in_single_precision(model):
                visit(step)
            model.train()
        images, labels = batches()
        if exact:
            images, labels = images.double(), labels.double()
        if step == 0 and device.type == "cuda" and not exact:  # visits move doubles' weights
            answer = captured(model, images, _AUTOCAST.get(recipe.precision))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, _AUTOCAST.get(recipe.precision), enabled=not precise):
            logits = answer(images)
        if logits.shape != labels.shape:
            raise UserError(
                f"The network gives {tuple(logits.shape)} in training instead of one logit of the "
                f"foreground per pixel, {tuple(labels.shape)}."
            )
        error = objective(logits if precise else logits.float(), labels)
        scaler.scale(error).backward()
        scaler.step(optimizer)
        scaler.update()
        rate = float(optimizer.param_groups[0]["lr"])
        schedule.step()
        curve.append(error.detach())
        progress(curve, rate)
    if exact:
        model.float()
    _lay_out(model, torch.contiguous_format)  # as one that is loaded from a file
    model.eval()
    if recipe.steps in visits:
        visit(recipe.steps)
    return curve.values()


class LossCurve:
    """The loss of every step, read from the device now and then: reading waits for its work."""

    def __init__(self, every: int) -> None:
        """Read it after `every` steps."""
        self._every = every
        self.read: list[float] = []
        """The losses that were read so far; the last one may be the first that is not finite."""
        self._waiting: list[Tensor] = []

    @property
    def last(self) -> float:
        """The last loss that was read; NaN before there is one."""
        return self.read[-1] if self.read else math.nan

    def append(self, error: Tensor) -> None:
        """Add a step's loss, (); raise `ArithmeticError` where one that is read is not finite."""
        self._waiting.append(error)
        if len(self._waiting) >= self._every:
            self.values()

    def values(self) -> list[float]:
        """Return the losses of all steps; raise as `append` does."""
        for value in torch.stack(self._waiting).tolist() if self._waiting else []:
            self.read.append(value)
            if not math.isfinite(value):
                raise ArithmeticError(f"the loss is {value} at step {len(self.read)}")
        self._waiting.clear()
        return self.read


@contextmanager
def _in_single_precision(model: nn.Module) -> Iterator[None]:
    """Let a network of double precision be one of single precision, which it was trained from."""
    if next(model.parameters()).dtype != torch.float64:
        yield
        return
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.float()
    try:
        yield
    finally:
        model.double().load_state_dict(kept)


def _lay_out(model: nn.Module, order: torch.memory_format) -> None:
    """Lay out the weights of 2D convolutions in memory; those of others know no such order."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=order)
