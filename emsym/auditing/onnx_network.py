"""ONNX files as networks that give answers and no gradients."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emsym.errors import UserError, first_line

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxNetwork(nn.Module):
    """A network (N, S, H, W) → (N, C, H, W) that onnxruntime runs on the processor.

    Its first output counts. Stacks are run one by one where it is made for one at a time.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises `UserError` where onnxruntime is not there or cannot read it."""
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"{path} is an ONNX file, which needs onnxruntime: pip install 'emsym[onnx]'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what is wrong is raised, too
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # each kind of damage has its own
            raise UserError(
                f"{path} cannot be read by onnxruntime ({first_line(error)}): export it again."
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            shapes = ", ".join(f"{each.name} {each.shape} {each.type}" for each in inputs)
            raise UserError(
                f"{path} takes {shapes or 'nothing'}, and an audit shows one stack (N, S, H, W) of "
                "floating-point numbers: export a network that takes it alone."
            )
        self._input = inputs[0]
        self.shape: list[int | None] = [
            side if isinstance(side, int) else None for side in self._input.shape
        ]
        """N, S, H and W that it is made for, None where it takes any."""

    def forward(self, x: Tensor) -> Tensor:
        """Answer stacks (N, S, H, W); no gradient leads back to them."""
        stacks = x.numpy(force=True).astype(_TYPES[self._input.type])
        size = self.shape[0] or len(stacks)
        answers = [self._run(stacks[at : at + size]) for at in range(0, len(stacks), size)]
        return torch.from_numpy(np.concatenate(answers).astype(np.float32))

    def _run(self, stacks: np.ndarray) -> Any:
        size = self.shape[0] or len(stacks)
        missing = size - len(stacks)
        filled = np.concatenate([stacks, np.repeat(stacks[:1], missing, 0)]) if missing else stacks
        return self._session.run(None, {self._input.name: filled})[0][: len(stacks)]
