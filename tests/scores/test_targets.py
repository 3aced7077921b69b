"""Targets: the prediction, the truth, what neither has, or everything."""

import pytest
import torch

from emsym.scores.targets import target_mask


def test_target_is_the_prediction_the_truth_what_is_not_predicted_or_all():
    predicted = torch.tensor([[[True, True], [False, False]]])
    truth = torch.tensor([[[True, False], [True, False]]])
    assert torch.equal(target_mask("foreground", predicted, truth), predicted)
    assert torch.equal(target_mask("true-foreground", predicted, truth), truth)
    assert torch.equal(target_mask("background", predicted, truth), ~predicted)
    assert torch.equal(target_mask("all", predicted, truth), torch.ones(1, 2, 2).bool())
    assert torch.equal(target_mask("foreground", predicted, None), predicted)


def test_truth_that_is_not_there_is_no_target():
    with pytest.raises(ValueError, match="no labels"):
        target_mask("true-foreground", torch.ones(1, 2, 2).bool(), None)
