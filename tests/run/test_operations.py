"""The operations of cells: what was measured, and what they grow with."""

from dataclasses import replace

import pytest

from emsym.errors import UserError
from emsym.protocol import Protocol
from emsym.run import operations as counting
from emsym.run.job import jobs
from emsym.run.operations import operations


@pytest.mark.parametrize(
    ("architecture", "billions"),
    [("unet-tu-test_resnet", 8.06), ("linknet-tu-test_efficientnet", 0.56)],
)
def test_a_step_is_what_a_profiler_counts(
    protocol: Protocol, monkeypatch: pytest.MonkeyPatch, architecture: str, billions: float
) -> None:
    """Counted once by a profiler, of eight patches of 64²."""
    monkeypatch.setattr(counting, "_passes", lambda protocol: (0.0, 0.0))
    recipe = protocol.recipe.model_copy(update={"steps": 1, "batch_size": 8, "patch": 64})
    changed = protocol.model_copy(update={"recipe": recipe, "architectures": (architecture,)})
    training, scoring = operations(jobs(changed)[:1])
    assert training == pytest.approx(billions * 1e9, rel=0.1)
    assert scoring == 0


def test_scoring_grows_with_sections_and_their_passes(protocol: Protocol) -> None:
    without = protocol.scoring.faithfulness.model_copy(update={"metrics": ()})

    def scored(**changes: object) -> float:
        plain = {"faithfulness": without, "over_training": None, "attributions": ("saliency",)}
        scoring = protocol.scoring.model_copy(update={**plain, **changes})
        return operations(jobs(protocol.model_copy(update={"scoring": scoring}))[:1])[1]

    few = scored(sections=1)
    assert scored(sections=2) == pytest.approx(2 * few)
    assert scored(sections=1, size=24) == pytest.approx(few / 4)  # of 48
    assert scored(sections=1, attributions=("saliency", "slice-shapley")) > 2 * few
    assert scored(sections=1, faithfulness=protocol.scoring.faithfulness) > 2 * few


def test_a_card_without_a_shape_is_a_sentence(protocol: Protocol) -> None:
    job = jobs(protocol)[0]
    unsized = replace(job, card=job.card.model_copy(update={"shape": None, "phantom": None}))
    with pytest.raises(UserError, match=r"does not say how large the volume is.*--calibrate"):
        operations([unsized])
