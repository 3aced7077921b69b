"""A segmentation network as the scores see it: one logit per pixel, sections of any size."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from emsym.errors import UserError
from emsym.models.upsampling import with_merged_upsampling
from emsym.scores.chunks import ChunkedNetwork, is_out_of_memory

STRIDE = 32
"""Networks halve their input five times, so height and width must be multiples of this."""

ROUNDING = 1e-6
"""Relative differences of T up to this are what single precision leaves of none."""


class DenseLogits(ChunkedNetwork):
    """(N, S, H, W) → (N, H, W): reflects the input up to the network's stride and crops the logit.

    The network gives (N, C, H, W) for H and W that are multiples of the stride: with C = 1 the
    logit of the foreground, else those of C classes, of which one, `channel`, is looked at.
    Raises `UserError` when the network gives anything else.
    """

    def __init__(self, model: nn.Module, channel: int = 0, *, differentiable: bool = True) -> None:
        """`model` is in eval mode; its parameters' gradients are never asked for.

        `differentiable` says whether its answer can be traced back to the stack.
        """
        super().__init__(model)
        self.channel = channel
        self.differentiable = differentiable
        self.reversed = False
        # Convolutions on a CPU are up to twice as fast this way; a network that cannot is told from
        # its first answer.
        self.channels_last = self.device.type == "cpu"

    def outputs(self, x: Tensor) -> Tensor:
        """The logits of all classes, (N, C, H, W)."""
        if self.reversed:
            x = x.flip(1)
        height, width = x.shape[-2:]
        below, right = -height % STRIDE, -width % STRIDE
        mode = "reflect" if below < height and right < width else "replicate"
        padded = nn.functional.pad(x, (0, right, 0, below), mode=mode) if below + right else x
        logits = self._answer(padded)
        size = (len(x), "classes", *padded.shape[-2:])
        if not isinstance(logits, Tensor):
            raise UserError(
                f"The network gives a {type(logits).__name__} instead of the logits, {size}: wrap "
                "it in a module that returns them alone."
            )
        if logits.ndim != 4 or (len(logits), *logits.shape[2:]) != (size[0], *size[2:]):
            raise UserError(
                f"The network gives {tuple(logits.shape)} instead of one logit per pixel and "
                f"class, {size}."
            )
        if logits.is_complex():
            raise UserError("The network gives complex numbers instead of real logits.")
        if self.channel >= logits.shape[1]:
            raise UserError(
                f"There is no class {self.channel}: the network gives {logits.shape[1]} of them, "
                "counted from 0."
            )
        if logits.dtype in (torch.float16, torch.bfloat16):  # as autocast gives them
            logits = logits.float()
        return logits[..., :height, :width]

    def _answer(self, x: Tensor) -> object:
        model: Callable[[Tensor], object] = self.thread_model
        if not torch.is_grad_enabled():  # rounding moves gradients more than answers
            model = with_merged_upsampling(self.thread_model)
        if self.channels_last:
            try:
                return model(x.contiguous(memory_format=torch.channels_last))
            except RuntimeError as error:  # as of `view`, where a network counts on the order
                if is_out_of_memory(error):
                    raise
                answer = model(x)
                self.channels_last = False
                return answer
        return model(x)

    def forward(self, x: Tensor) -> Tensor:
        """The logit that is looked at, (N, H, W)."""
        return self.outputs(x)[:, self.channel]

    def probability(self, outputs: Tensor) -> Tensor:
        """(N, C, H, W) logits → (N, H, W) in 0..1, of the class that is looked at.

        The logistic function of one logit, softmax over several.
        """
        if outputs.shape[1] == 1:
            return outputs[:, 0].sigmoid()
        return outputs.softmax(1)[:, self.channel]

    def predicted(self, outputs: Tensor, threshold: float) -> Tensor:
        """(N, C, H, W) logits → (N, H, W) bool, where the class is predicted.

        One logit: its probability is above `threshold`. Several: it is the greatest of them.
        """
        if outputs.shape[1] == 1:
            return outputs[:, 0].sigmoid() > threshold
        return outputs.argmax(1) == self.channel

    def predicted_from_average(self, one: Tensor, other: Tensor, threshold: float) -> Tensor:
        """As `predicted`, of the mean of two answers' probabilities, of which each is as there."""
        if one.shape[1] == 1:
            return (one[:, 0].sigmoid() + other[:, 0].sigmoid()) / 2 > threshold
        return (one.softmax(1) + other.softmax(1)).argmax(1) == self.channel

    def mirrored(self) -> "DenseLogits":
        """The network that sees every stack reversed; it shares the weights.

        A(mirror x) is the mirror image of what explains this network's answer to x: so methods
        that draw noise see the same noise on the same slice, and a mirror-symmetric network has
        no asymmetry but rounding by any of them.
        """
        other = copy.copy(self)
        other.reversed = not self.reversed
        return other
