"""The interventions that come with emsym; each imports torch when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emsym.models.interventions.registry import TrainingBatch, register_intervention

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from emsym.models.stem.stem import Stem

ADAPTER = "adapter"
MIRROR_TIED, SHARED_STEM, A3D = "mirror-tied", "shared-stem", "a3d"
ZFLIP, SIDE_SHUFFLE, SLICE_DROPOUT = "zflip-augment", "side-shuffle", "slice-dropout"
FLIP_LOSS, DISTIL = "flip-loss", "distil"
FLIP_AVERAGE = "flip-average"


@register_intervention(ADAPTER, acts_on="network")
def adapter(model: nn.Module) -> nn.Module:
    """Puts a 1 × 1 convolution before the pretrained stem, and the strategy fills that."""
    from emsym.models.interventions.adapter import Adapted

    return Adapted(model)


@register_intervention(MIRROR_TIED, acts_on="stem")
def mirror_tied(model: nn.Module, stem: Stem) -> None:
    """Keeps w_s = w_−s while training, so that f(x) = f(mirror x) always holds."""
    from emsym.models.interventions.mirror_tied import mirror_tie

    mirror_tie(model, stem)


@register_intervention(SHARED_STEM, acts_on="stem")
def shared_stem(model: nn.Module, stem: Stem) -> None:
    """Reads every slice by one and the same stem, and fuses the sides symmetrically."""
    from emsym.models.interventions.slice_stems import SharedStem, replace_stem

    replace_stem(model, stem, SharedStem, SHARED_STEM)


@register_intervention(A3D, acts_on="stem")
def a3d(model: nn.Module, stem: Stem) -> None:
    """Reads every slice by one stem, and fuses slices by free weights: asymmetric by intent."""
    from emsym.models.interventions.slice_stems import AsymmetricStem, replace_stem

    replace_stem(model, stem, AsymmetricStem, A3D)


@register_intervention(ZFLIP, acts_on="stacks")
def zflip_augment(stacks: Tensor, generator: Generator) -> Tensor:
    """Shows each training stack reversed with probability one half."""
    from emsym.models.interventions.shown_stacks import zflip

    return zflip(stacks, generator)


@register_intervention(SIDE_SHUFFLE, acts_on="stacks")
def sides_shuffled(stacks: Tensor, generator: Generator) -> Tensor:
    """Swaps the two slices of each distance with probability one half in training."""
    from emsym.models.interventions.shown_stacks import side_shuffle

    return side_shuffle(stacks, generator)


@register_intervention(SLICE_DROPOUT, acts_on="stacks")
def slices_dropped(stacks: Tensor, generator: Generator) -> Tensor:
    """Replaces each neighbour by the mean with probability one fifth in training."""
    from emsym.models.interventions.shown_stacks import slice_dropout

    return slice_dropout(stacks, generator)


@register_intervention(FLIP_LOSS, acts_on="loss")
def weighted_flip_loss(batch: TrainingBatch) -> Tensor:
    """Adds the squared difference of the probabilities of x and mirror x to the loss."""
    from emsym.models.interventions.losses import FLIP_LOSS_WEIGHT, flip_loss

    return FLIP_LOSS_WEIGHT * flip_loss(batch.model, batch.stacks, batch.logits)


@register_intervention(DISTIL, acts_on="loss", taught=True)
def distil(batch: TrainingBatch) -> Tensor:
    """Adds the cross-entropy with the probabilities of a plain network, trained before it."""
    from emsym.models.interventions.losses import distillation_loss

    return distillation_loss(batch)


@register_intervention(FLIP_AVERAGE, acts_on="answer")
def flip_average(model: nn.Module) -> nn.Module:
    """Averages the logits of each stack and of its mirror image, once it is trained."""
    from emsym.models.interventions.flip_average import MirrorAverage

    return MirrorAverage(model)
