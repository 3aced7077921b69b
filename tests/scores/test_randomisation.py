"""The model-randomisation test tells what explains a network from what draws the image."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from emsym.errors import UserError
from emsym.scores import randomisation
from emsym.scores.attribution.methods import ATTRIBUTIONS, register_attribution
from emsym.scores.dense_logits import DenseLogits

pytestmark = [pytest.mark.numerical, pytest.mark.usefixtures("one_thread")]


def edges(dense, x, mask):
    """How steep the image is: an edge detector, whatever the network."""
    down, right = torch.gradient(x, dim=(2, 3))
    return (down.square() + right.square()).sqrt()


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_attribution("edges-for-a-test")(edges)
    yield
    ATTRIBUTIONS._entries.pop("edges-for-a-test")


def stacks(count=4, size=32):
    generator = torch.Generator().manual_seed(0)
    return nn.functional.avg_pool2d(
        torch.randn(count, 3, size + 4, size + 4, generator=generator), 5, 1
    )


@pytest.fixture(scope="module")
def trained(one_thread):
    """A small network that has learned to find what is bright in the centre and dark after it."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 1, 1),
    )
    optimiser, x = torch.optim.Adam(network.parameters(), 1e-2), stacks(8)
    truth = ((x[:, 1] > 0) & (x[:, 2] < 0)).float()
    for _ in range(60):
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], truth)
        loss.backward()
        optimiser.step()
    assert loss < 0.2
    return DenseLogits(network.eval())


def test_edge_detector_fails_and_saliency_passes(trained):
    x = stacks()
    mask = torch.ones(4, 32, 32, dtype=torch.bool)
    found = randomisation.randomisation(trained, x, mask, ["saliency", "edges-for-a-test"])
    assert found.verdicts() == {"saliency": True, "edges-for-a-test": False}
    for row in found.rows:
        assert row.images == 4
        assert row.missing == 0
        if row.attribution == "edges-for-a-test":
            assert row.similarity == pytest.approx(1)
            assert row.signed == pytest.approx(1)
    drawn = found.redraws["edges-for-a-test"]
    assert drawn.random == pytest.approx([1] * 5)
    assert drawn.null == pytest.approx([1] * 10)


def test_redraws_are_the_rank_correlations_of_independent_random_networks(trained):
    x, maps = stacks(2), []

    def kept(dense, x, mask):
        maps.append(ATTRIBUTIONS.get("input-x-gradient")(dense, x, mask))
        return maps[-1]

    register_attribution("kept-for-a-test")(kept)
    try:
        found = randomisation.randomisation(trained, x, x[:, 0] > 0, ["kept-for-a-test"])
    finally:
        ATTRIBUTIONS._entries.pop("kept-for-a-test")
    original, *cascade = maps
    random = cascade[3:]  # of the first draw, the last stage; of the others, that alone
    assert len(random) == randomisation.REDRAWS

    def rho(one, other):
        pairs = zip(one.abs().flatten(1), other.abs().flatten(1), strict=True)
        return np.mean([spearmanr(a, b).statistic for a, b in pairs])

    drawn = found.redraws["kept-for-a-test"]
    assert drawn.random == pytest.approx([rho(original, each) for each in random], abs=1e-6)
    null = [rho(a, b) for n, a in enumerate(random) for b in random[n + 1 :]]
    assert drawn.null == pytest.approx(null, abs=1e-6)
    assert len(set(null)) == 10
    last = found.rows[-1]
    assert last.similarity == drawn.random[0]
    signed = [
        spearmanr(a.flatten(), b.flatten()).statistic
        for a, b in zip(original, random[0], strict=True)
    ]
    assert last.signed == pytest.approx(np.mean(signed), abs=1e-6)


@pytest.mark.parametrize(
    ("random", "null", "values", "verdict"),
    [
        ((0.1, 0.7), (0.2,), 20, True),
        ((0.1, 0.7), (0.99,), 20, True),  # the image counts, and training shows all the same
        ((0.8, 0.9), (0.8, 0.95), 20, False),
        ((0.8, 0.9), (0.3,), 20, False),
        ((0.8, 0.9), (0.9, 0.95), 20, None),  # most is the image's, and training shows
        ((0.7, 0.9), (0.7,), 20, None),  # the redraws disagree
        ((0.1, 0.2), (0.2,), 19, None),
        ((np.nan, 0.2), (np.nan,), 20, None),  # no two random networks have a map
        ((np.nan, 0.1, 0.2), (np.nan, 0.2), 20, True),
    ],
)
def test_verdict(random, null, values, verdict):
    assert randomisation.Redraws(random, null, values).verdict is verdict


def test_stages_go_from_the_output_to_the_input_and_reach_all_weights(trained):
    x = stacks()
    found = randomisation.randomisation(trained, x, x[:, 0] > 0, ["saliency"])
    assert [row.stage for row in found.rows] == [1, 2, 3, 4]
    assert [row.from_module for row in found.rows] == ["5", "3", "1", "0"]


def test_many_modules_are_grouped_into_few_stages():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 3, 1) for _ in range(14)]
    dense, x = DenseLogits(nn.Sequential(*layers, nn.Conv2d(3, 1, 1))), stacks(2)
    found = randomisation.randomisation(dense, x, x[:, 0] > 0, ["input-x-gradient"])
    assert [row.stage for row in found.rows] == list(range(1, randomisation.STAGES + 1))
    assert found.rows[-1].from_module == "0"


def test_network_and_random_state_are_left_as_they_were(trained):
    x = stacks()
    weights = {name: value.clone() for name, value in trained.model.state_dict().items()}
    state = torch.get_rng_state()
    first = randomisation.randomisation(trained, x, x[:, 0] > 0, ["saliency", "deeplift"], seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(weights[k], v) for k, v in trained.model.state_dict().items())
    assert all(not module._forward_pre_hooks for module in trained.model.modules())
    assert (
        randomisation.randomisation(trained, x, x[:, 0] > 0, ["saliency", "deeplift"], seed=3)
        == first
    )
    assert (
        randomisation.randomisation(trained, x, x[:, 0] > 0, ["saliency", "deeplift"], 4) != first
    )


def test_image_without_a_map_is_missing_and_counted(trained):
    x = stacks()
    mask = x[:, 0] > 0
    mask[1] = False
    found = randomisation.randomisation(trained, x, mask, ["saliency"])
    assert {(row.images, row.missing) for row in found.rows} == {(3, 1)}
    nothing = randomisation.randomisation(trained, x, mask & False, ["saliency"])
    assert {(row.images, row.missing) for row in nothing.rows} == {(0, 4)}
    assert all(np.isnan(row.similarity) for row in nothing.rows)
    assert nothing.verdicts() == {"saliency": None}
    assert np.isnan(nothing.redraws["saliency"].null).all()


def test_progress_counts_every_map_and_reaches_the_end(trained):
    x, told = stacks(1), []
    randomisation.randomisation(
        trained, x, x[:, 0] > 0, ["saliency", "deeplift"], progress=lambda *at: told.append(at)
    )
    whole = (4 + randomisation.REDRAWS - 1) * 2
    assert told == [
        *(("As it is", done, 2) for done in range(3)),
        *(("Randomised", done, whole) for done in range(whole + 1)),
    ]


def test_weights_without_a_way_to_reset_them_are_drawn_anew_with_the_same_spread():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.weights = nn.Parameter(5 + 2 * torch.randn(1, 3, 64, 64, generator=generator))

        def forward(self, x):
            return (x * self.weights).sum(1, keepdim=True)

    x = stacks(2, size=64)
    dense, seen = DenseLogits(Own()), []

    def watch(dense, x, mask):
        seen.append(dense.model.weights.detach().clone())
        return ATTRIBUTIONS.get("input-x-gradient")(dense, x, mask)

    register_attribution("watch-for-a-test")(watch)
    try:
        randomisation.randomisation(dense, x, x[:, 0] > 0, ["watch-for-a-test"])
    finally:
        ATTRIBUTIONS._entries.pop("watch-for-a-test")
    before, after, *others = seen
    assert len(others) == randomisation.REDRAWS - 1
    assert all(not torch.equal(after, other) for other in others)
    assert after.mean() == pytest.approx(5, abs=0.1)
    assert after.std() == pytest.approx(2, abs=0.1)
    assert np.corrcoef(before.flatten(), after.flatten())[0, 1] == pytest.approx(0, abs=0.05)


def test_unknown_method_is_refused(trained):
    x = stacks()
    with pytest.raises(UserError, match="saliency"):
        randomisation.randomisation(trained, x, x[:, 0] > 0, ["salience"])
