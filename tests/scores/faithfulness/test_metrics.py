"""Metrics by name: what is listed, what is refused, and what a plug-in adds."""

import subprocess
import sys

import numpy as np
import pytest
import quantus
import torch
from quantus.metrics import faithfulness as shipped

from emsym.errors import UserError
from emsym.plugins import load_plugin
from emsym.scores.dense_logits import DenseLogits
from emsym.scores.faithfulness.metrics import (
    METRICS,
    REFUSED,
    faithfulness,
    list_metrics,
    register_metric,
)

pytestmark = pytest.mark.numerical

PLUGIN = '''
from emsym import register_metric

@register_metric("brightness", better="low")
def brightness(total, x, attribution, steps):
    """Mean of T over x and 2 x, times the steps."""
    return steps * total([x, 2 * x]).mean()
'''


def kebab(name):
    words = "".join(f"-{c}" if c.isupper() else c for c in name).lower().strip("-")
    return {"i-r-o-f": "irof", "r-o-a-d": "road"}.get(words, words)


def test_every_faithfulness_metric_of_quantus_is_offered_or_refused():
    classes = {kebab(name) for name in vars(shipped) if isinstance(getattr(shipped, name), type)}
    assert len(classes) > 10
    assert classes <= {*list_metrics(), *REFUSED}
    assert not {*list_metrics()} & {*REFUSED}
    assert {*list_metrics()} - classes == {"slice-removal"}


def test_directions():
    low = {name for name in list_metrics() if METRICS.get(name).better == "low"}
    assert low == {"infidelity", "pixel-flipping", "road", "selectivity"}


@pytest.mark.parametrize("name", list_metrics())
def test_summary_names_its_source(name):
    summary = METRICS.summary(name)
    assert len(summary) <= 100
    assert summary.endswith(".")
    assert name == "slice-removal" or any(c.isdigit() for c in summary)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_metric_says_why(name):
    with pytest.raises(UserError) as error:
        METRICS.get(name)
    assert REFUSED[name] in str(error.value)


def test_unknown_metric_gets_the_nearest_names():
    with pytest.raises(UserError, match="did you mean 'pixel-flipping'"):
        METRICS.get("pixel-fliping")


def test_listing_imports_neither_torch_nor_quantus():
    code = (
        "import sys; from emsym.scores.faithfulness.metrics import list_metrics;"
        "assert list_metrics();"
        "print(sorted({'torch', 'quantus', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_plugin_adds_a_metric(tmp_path, monkeypatch):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    assert load_plugin(path)
    assert METRICS.get("brightness").better == "low"
    assert METRICS.summary("brightness") == "Mean of T over x and 2 x, times the steps."
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 32, 32, dtype=torch.bool)
    found = faithfulness(DenseLogits(Sum()), x, mask, {"saliency": x}, ["brightness"], 3)
    expected = 3 * 1.5 * x.double().sum((1, 2, 3))
    np.testing.assert_allclose(found["saliency", "brightness"], expected, rtol=1e-5)


class Sum(torch.nn.Module):
    def forward(self, x):
        return x.sum(1, keepdim=True)


def test_wrong_registrations():
    with pytest.raises(UserError, match="registered by its name"):
        register_metric(lambda total, x, a, steps: 0.0)
    with pytest.raises(UserError, match="'high' or 'low'"):
        register_metric("mine", better="higher")
    with pytest.raises(UserError, match="registered twice"):
        register_metric("road")(lambda total, x, a, steps: 0.0)


# --- what is wrong with those that are refused, or worked around: where one of these fails after
# --- an update of Quantus, the metric may be offered as it is ---------------------------------


class Totalled(torch.nn.Module):
    """(N, S, H, W) → (N, columns): Σ w · x, or with two columns that and 0."""

    def __init__(self, weight, columns=1):
        super().__init__()
        self.weight, self.columns = weight, columns

    def forward(self, x):
        total = (x * self.weight).sum((1, 2, 3))[:, None]
        return total if self.columns == 1 else torch.cat([total, 0 * total], 1)


def call(metric, model, x, a, **settings):
    return metric(
        model=model.eval(),
        x_batch=x,
        y_batch=np.zeros(len(x), dtype=int),
        a_batch=a,
        channel_first=True,
        softmax=False,
        device="cpu",
        **settings,
    )


PLAIN = {"abs": False, "normalise": False, "disable_warnings": True, "return_aggregate": False}


def drawn(shape=(4, 3, 16, 16)):
    return np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)


@pytest.mark.filterwarnings("ignore")
def test_monotonicity_finds_every_attribution_monotonic():
    x, a = drawn()
    metric = quantus.Monotonicity(features_in_step=16, perturb_baseline=0.0, **PLAIN)
    for sign in (1, -1):
        assert all(call(metric, Totalled(torch.tensor(a[0])), x, sign * a))


@pytest.mark.filterwarnings("ignore")
def test_sufficiency_of_a_section_depends_on_its_batch():
    x, a = drawn()
    a[1] = a[0] + 0.01 * a[1]
    metric = quantus.Sufficiency(**PLAIN)
    model = Totalled(torch.ones(3, 16, 16), columns=2)
    together, halves = (call(metric, model, x, a, batch_size=size) for size in (4, 2))
    assert not np.allclose(together, halves)


@pytest.mark.filterwarnings("ignore")
def test_irof_fails_on_three_slices_and_gives_a_constant_network_one():
    x, a = drawn()
    metric = quantus.IROF(**{**PLAIN, "perturb_baseline": 0.0})
    model = Totalled(torch.ones(3, 16, 16))
    with pytest.raises((AssertionError, ValueError)):
        call(metric, model, x, a)

    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 1)

    np.testing.assert_allclose(call(metric, Constant(), x[:, :1], a[:, :1]), 1)


@pytest.mark.filterwarnings("ignore")
def test_sensitivity_n_of_quantus_does_not_know_an_exact_attribution():
    """Σ w x alone explains a linear network; over sections and single steps it does not."""
    x, weight = drawn()
    metric = quantus.SensitivityN(features_in_step=16, perturb_baseline=0.0, **PLAIN)
    found = call(metric, Totalled(torch.tensor(weight[0])), x, weight[0] * x)
    assert len(found) != len(x)  # one for each n, not for each section
    assert np.min(found) < 0.9


@pytest.mark.filterwarnings("ignore")
def test_infidelity_of_quantus_fails_where_squares_do_not_divide_the_section():
    x, a = drawn()
    metric = quantus.Infidelity(
        perturb_patch_sizes=[5], n_perturb_samples=1, **{**PLAIN, "perturb_baseline": 0.0}
    )
    with pytest.raises((ValueError, IndexError)):
        call(metric, Totalled(torch.tensor(a[0])), x, a)
