"""The sections that an optional score is computed of, with all that was measured of them.

Importing this module imports neither torch nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from emsym.scores.dense_logits import DenseLogits
    from emsym.scores.layers import LayerFlips


@dataclass(frozen=True)
class ScoredSections:
    """The predictions and attributions of n test sections, for an optional score.

    Stacks have S slices, and all arrays are in the order of the sections.
    """

    x: np.ndarray
    """The stacks, float32 (n, S, H, W), normalised by the training split's mean and deviation."""
    truth: np.ndarray
    """The labels, bool (n, H, W)."""
    probability: np.ndarray
    """The predicted probability of the foreground, (n, H, W) in 0..1."""
    mirrored: np.ndarray
    """That of the reversed stacks, (n, H, W) in 0..1."""
    threshold: float
    """The protocol's first threshold of the probability."""
    masks: Mapping[str, np.ndarray]
    """The pixels of each target, bool (n, H, W)."""
    attributions: Mapping[tuple[str, str], np.ndarray]
    """The map of each attribution and target, float32 (n, S, H, W), for the stacks as they are."""
    known: np.ndarray
    """The pixels that have a label, bool (n, H, W); where there are no labels none has."""
    predicted: np.ndarray
    """The predicted foreground, bool (n, H, W)."""
    mirror_predicted: np.ndarray
    """That of the reversed stacks, bool (n, H, W)."""
    slice_truth: np.ndarray | None
    """The labels of every slice, bool (n, S, H, W); None where they are not at hand."""
    instances: np.ndarray | None
    """The ids of the true instances, (n, H, W), 0 for none; None where they are not at hand."""
    instances_lie: Literal["foreground", "between"]
    """Whether instances are pieces of the foreground, or of what lies between it."""
    voxel_size_nm: tuple[float, float, float]
    """Along z, y and x; the distance of sections first. NaN where nobody knows, so that lengths
    are missing."""
    slice_values: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """The exact Shapley values of the slices of x, and of those of mirror x in its own order, each
    (n, S), for each target; empty where ``slice-shapley`` is not scored."""
    network: DenseLogits
    """The network, for a score that needs further passes."""
    predictions: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict, repr=False)
    """The foreground that is predicted from other stacks, as `predicted_from` has it, where it is
    known already."""

    def predicted_from(self, arrangement: tuple[int, ...]) -> np.ndarray:
        """Return the foreground that is predicted from other stacks, bool (n, H, W).

        They are made of the slices of x: `arrangement` says which stands at each place, −1 for
        none, which is the training mean. Scores that ask for the same share its passes.
        """
        import numpy as np
        import torch

        if arrangement not in self.predictions:
            n, _, *size = self.x.shape
            padded = np.concatenate([self.x, np.zeros_like(self.x[:, :1])], 1)
            stacks = torch.from_numpy(padded[:, list(arrangement)]).to(self.network.device)

            def run(part: slice) -> torch.Tensor:
                with torch.no_grad():
                    outputs = self.network.outputs(stacks[part])
                    return self.network.predicted(outputs, self.threshold)

            parts = [made for _, made in self.network.in_chunks(run, n, size[0] * size[1])]
            self.predictions[arrangement] = torch.cat(parts).numpy(force=True)
        return self.predictions[arrangement]

    @cached_property
    def layer_flips(self) -> LayerFlips:
        """How far each layer's answer moves when the stacks are reversed."""
        import torch

        from emsym.scores.layers import layer_flips

        return layer_flips(self.network, torch.from_numpy(self.x).to(self.network.device))
