"""Scores of whole sections through a network: shared passes, the plain way's numbers, guards."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from emsym.models.architectures import create_model
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.faithfulness import shared_passes
from emsym.scores.faithfulness.metrics import METRICS, faithfulness, list_metrics
from emsym.scores.faithfulness.shared_passes import Totals, scores

pytestmark = pytest.mark.numerical

SIZE, STEPS = 32, 4
PLAIN = Path(__file__).parents[3] / "benchmark/speed/plain_faithfulness.py"


class Counted(nn.Module):
    """Σ over slices of w · x and of a product, in double precision; counts its inputs."""

    def __init__(self, scale=1.0, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(3, SIZE, SIZE, generator=generator, dtype=torch.float64)
        self.scale, self.count = scale, 0

    def forward(self, x):
        self.count += len(x)
        return self.scale * ((self.weight * x).sum(1, True) + x[:, :1] * x.mean((1, 2, 3), True))


def drawn(count=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x, a = torch.randn(2, count, 3, SIZE, SIZE, generator=generator)
    return x, torch.rand(count, SIZE, SIZE, generator=generator) > 0.5, a


def found(model, x, mask, a, metrics=None, steps=STEPS):
    metrics = list_metrics() if metrics is None else metrics
    made = faithfulness(DenseLogits(model), x, mask, {"it": a}, metrics, steps)
    return {metric: values for (_, metric), values in made.items()}


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("plain_faithfulness", PLAIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["unet-tu-test_resnet", "linknet-tu-test_efficientnet"])
def test_scores_are_those_of_one_quantus_call_per_section_and_metric(plain, name):
    """Through Quantus' public call, one image after the other; ROAD it cannot do on 3 slices."""
    model = create_model(name, seed=0).eval()
    x, mask, _ = drawn()
    leaf = x.clone().requires_grad_()
    (model(leaf)[:, 0] * mask).sum().backward()
    a = leaf.grad
    ours = found(model, x, mask, a, plain.METRICS)
    theirs = plain.faithfulness(model, x, mask, a, plain.METRICS, STEPS)
    for metric in plain.METRICS:
        np.testing.assert_allclose(ours[metric], theirs[metric], rtol=1e-3, atol=1e-5)
        assert np.ptp(ours[metric]) > 0, metric
    assert set(plain.METRICS) == set(list_metrics()) - {"road"}


@pytest.mark.slow
def test_section_does_not_depend_on_the_others_nor_on_what_else_is_asked():
    model = create_model("linknet-tu-test_efficientnet", seed=0).eval()
    x, mask, a = drawn()
    together = found(model, x, mask, a)
    again = found(model, x, mask, a)
    for metric, values in together.items():
        np.testing.assert_array_equal(again[metric], values)
        alone = [
            found(model, *(t[n : n + 1] for t in (x, mask, a)), [metric])[metric][0]
            for n in range(len(x))
        ]
        np.testing.assert_allclose(alone, values, rtol=1e-3, atol=1e-5)


def test_global_generator_is_left_as_it_was_and_does_not_matter():
    x, mask, a = drawn(1)
    np.random.seed(7)  # noqa: NPY002
    before = found(Counted(), x, mask, a)
    after = np.random.rand(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    np.testing.assert_array_equal(np.random.rand(3), after)  # noqa: NPY002
    for metric, values in found(Counted(), x, mask, a).items():
        np.testing.assert_array_equal(values, before[metric])


def test_every_distinct_stack_goes_through_the_network_once():
    x, mask, a = drawn(2)
    alone = {}
    for metric in list_metrics():
        model = Counted()
        found(model, x, mask, a, [metric])
        alone[metric] = model.count
    # 12 groups of pixels, 16 squares, x and nothing where they are asked for; 4 of ROAD; 6 sets
    squares = 2 * (16 + 1)
    assert alone == {
        "faithfulness-correlation": 2 * 13,
        "faithfulness-estimate": 2 * 13,
        "infidelity": squares,
        "monotonicity-correlation": 2 * 13,
        "pixel-flipping": 2 * 13,
        "region-perturbation": squares,
        "road": 2 * 5,
        "selectivity": squares,
        "sensitivity-n": 2 * 13,
        "slice-removal": 2 * 6,
    }
    model = Counted()
    faithfulness(DenseLogits(model), x, mask, {"a": a, "b": a}, list_metrics(), STEPS)
    assert model.count < sum(alone.values()) - 2 * 16 - 8 * 2
    model = Counted()
    found(model, x, mask, a.abs(), ["faithfulness-estimate", "monotonicity-correlation"])
    assert model.count == 2 * 13  # the same groups in the opposite order


def test_stacks_that_wait_are_bounded_and_bounds_change_nothing(monkeypatch):
    x, mask, a = drawn(2)
    expected = found(Counted(), x, mask, a)
    stack = x[0].numpy().nbytes
    longest = []
    evaluate = Totals.evaluate

    def noted(self):
        longest.append(len(self._waiting))
        evaluate(self)

    monkeypatch.setattr(Totals, "evaluate", noted)
    monkeypatch.setattr(shared_passes, "WAITING", 5 * stack)
    for metric, values in found(Counted(), x, mask, a).items():
        np.testing.assert_allclose(values, expected[metric], rtol=1e-9)
    assert max(longest) == 5


def test_metric_whose_questions_follow_the_answers_is_right_as_well():
    x, mask, a = drawn(2)

    def bisected(total, x, a, steps):
        """The scale at which T is half of T(x)."""
        whole, low, high = total(x[None])[0], 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            above = total(middle * x[None])[0] / whole > 0.5
            low, high = (low, middle) if above else (middle, high)
        return low

    class Linear(nn.Module):
        def forward(self, x):
            return x.double().abs().sum(1, keepdim=True)

    made = scores(DenseLogits(Linear()), x, mask, {"it": a}, {"half": bisected}, STEPS)
    np.testing.assert_allclose(made["it", "half"], 0.5, atol=1e-6)


def test_metric_that_writes_over_what_it_gets_harms_no_other():
    x, mask, a = drawn(1)
    expected = found(Counted(), x, mask, a, ["pixel-flipping"])["pixel-flipping"]

    def careless(total, x, a, steps):
        x[:] = 7
        value = total(x[None])[0]
        x[:], a[:] = 8, 9
        return value

    metrics = {"careless": careless, "pixel-flipping": METRICS.get("pixel-flipping").compute}
    made = scores(DenseLogits(Counted()), x, mask, {"it": a}, metrics, STEPS)
    np.testing.assert_array_equal(made["it", "pixel-flipping"], expected)
    sevens = Counted()(torch.full_like(x, 7))[0, 0][mask[0]].sum()
    assert made["it", "careless"][0] == pytest.approx(float(sevens))


# --- what has no score ----------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [[1], [0, 1, 2]], ids=["one", "all"])
def test_empty_mask(empty):
    x, mask, a = drawn()
    mask[empty] = False
    for values in found(Counted(), x, mask, a).values():
        assert np.isnan(values).tolist() == [n in empty for n in range(3)]


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0, float("nan"), float("inf")])
def test_attribution_that_says_nothing(value):
    x, mask, a = drawn()
    a[1] = value
    for values in found(Counted(), x, mask, a).values():
        assert np.isnan(values).tolist() == [False, True, False]


def test_attribution_with_a_single_nan():
    x, mask, a = drawn()
    a[2, 0, 3, 3] = float("nan")
    for values in found(Counted(), x, mask, a).values():
        assert np.isnan(values).tolist() == [False, False, True]


@pytest.mark.parametrize("level", [0.0, 3.25, float("nan"), float("-inf")])
def test_network_that_never_changes_its_answer(level):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.full_like(x[:, :1], level)

    x, mask, a = drawn()
    for values in found(Constant(), x, mask, a).values():
        assert np.isnan(values).all()


def test_network_that_answers_nan_once():
    class Fragile(Counted):
        def forward(self, x):
            logits = super().forward(x)
            logits[(x == 0).all(3).all(2).all(1)] = float("nan")
            return logits

    x, mask, a = drawn()
    sees_nothing = {"pixel-flipping", "region-perturbation", "selectivity", "slice-removal"}
    for metric, values in found(Fragile(), x, mask, a).items():
        assert np.isnan(values).all() == (metric in sees_nothing), metric


def test_attribution_below_zero_everywhere_has_scores():
    x, mask, a = drawn()
    for values in found(Counted(), x, mask, -1 - a.abs()).values():
        assert np.isfinite(values).all()


def test_nothing_that_is_given_is_changed():
    given = drawn()
    copies = [tensor.clone() for tensor in given]
    found(Counted(), *given)
    for one, other in zip(given, copies, strict=True):
        assert torch.equal(one, other)


def test_no_sections():
    x, mask, a = drawn()
    for values in found(Counted(), x[:0], mask[:0], a[:0]).values():
        assert values.shape == (0,)


def test_sections_of_any_size():
    generator = torch.Generator().manual_seed(0)
    x, a = torch.randn(2, 2, 3, 37, 45, generator=generator)
    mask = torch.ones(2, 37, 45, dtype=torch.bool)
    model = create_model("linknet-tu-test_efficientnet", seed=0).eval()
    for metric, values in found(model, x, mask, a, steps=5).items():
        assert np.isfinite(values).all(), metric


@pytest.mark.gpu
def test_gpu_gives_the_same_scores():
    x, mask, a = drawn()
    model = create_model("unet-tu-test_resnet", seed=0).eval()
    expected = found(model, x, mask, a)
    gpu = found(model.cuda(), x.cuda(), mask.cuda(), a.cuda())
    for metric, values in expected.items():
        np.testing.assert_allclose(gpu[metric], values, rtol=2e-2, atol=1e-3)
