"""Networks whose outputs are not one map of logits per class are audited, or asked about."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from emsym.auditing.adapters import QUERIES, PickedOutput
from emsym.auditing.audit import audit
from emsym.auditing.result import Audit
from emsym.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(0).normal(size=(12, 64, 64)), (1, 2, 2))
    return np.uint8(255 * (values - values.min()) / np.ptp(values))


def network(channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, channels, 1)).eval()


class Answers(nn.Module):
    """A network whose answer a function turns into another."""

    def __init__(self, turn, channels: int = 1) -> None:
        super().__init__()
        self.network, self.turn = network(channels), turn

    def forward(self, x: Tensor) -> object:
        return self.turn(self.network(x))


INSIDE = {"stem_flip", "bottleneck_flip"}
"""Scores of a network's layers, which one that gives the same by others need not share."""


def audited(model: object, volume: np.ndarray, **options: object) -> Audit:
    options = {"sections": 3, "size": 64, "attribution": ("saliency",), **options}
    return audit(model, volume, **options).audit


def assert_same(one: Audit, other: Audit, tolerance: float = 1e-5) -> None:
    assert one.finding == other.finding
    assert one.images.keys() ^ other.images.keys() <= INSIDE
    for name in one.images.keys() - INSIDE:
        values, there = one.images[name], other.images[name]
        np.testing.assert_allclose(
            np.array(values, float), np.array(there, float), atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize(
    ("turn", "taken"),
    [
        (lambda y: {"out": y}, "out"),
        (lambda y: OrderedDict(out=y, features=y.mean((2, 3))), "out"),
        (lambda y: (y, y.mean((1, 2, 3))), "0"),
        (lambda y: [y], "0"),
    ],
)
def test_the_only_map_of_several_outputs_is_taken(volume, turn, taken) -> None:
    found = audited(Answers(turn), volume)
    assert_same(found, audited(network(), volume))
    assert f"Of the network's outputs '{taken}' was looked at." in found.notes


def test_of_several_maps_one_must_be_named(volume) -> None:
    model = Answers(lambda y: {"out": y, "aux": -y})
    with pytest.raises(UserError, match=r"several maps, out, aux: say with --output-key"):
        audited(model, volume)
    assert_same(audited(model, volume, output_key="out"), audited(network(), volume))
    with pytest.raises(UserError, match="no output 'other': it gives out, aux"):
        audited(model, volume, output_key="other")
    with pytest.raises(UserError, match="leave --output-key out"):
        audited(network(), volume, output_key="out")


def test_a_map_without_an_axis_of_classes_is_one_class(volume) -> None:
    assert_same(audited(Answers(lambda y: y[:, 0]), volume), audited(network(), volume))


def test_a_smaller_map_is_brought_to_size_where_it_is_said(volume) -> None:
    model = Answers(lambda y: nn.functional.avg_pool2d(y, 4))
    with pytest.raises(UserError, match=r"16 × 16 pixels for sections of 64 × 64: say --upsample"):
        audited(model, volume)
    with torch.no_grad():
        x = torch.rand(2, 3, 64, 64)
        answer = PickedOutput(model, None, upsample=True)(x)
    assert answer.shape == (2, 1, 64, 64)
    assert audited(model, volume, upsample=True).flip_error.value > 0


def test_independent_sigmoids_are_looked_at_one_by_one(volume) -> None:
    alone = network(2)
    alone[2].weight.data, alone[2].bias.data = alone[2].weight.data[1:], alone[2].bias.data[1:]
    expected = audited(alone, volume)
    logits = audited(network(2), volume, activation="sigmoid", channel=1)
    assert_same(logits, expected)
    assert "Channel 1 was taken for one of 2 independent sigmoids." in logits.notes
    several = Answers(torch.sigmoid, 2)
    with pytest.raises(UserError, match=r"2 channels in 0 to 1 that do not add up to 1"):
        audited(several, volume, channel=1)
    with pytest.raises(UserError, match=r"2 channels: say with --channel"):
        audited(several, volume, activation="none")
    assert_same(audited(several, volume, activation="none", channel=1), expected, 1e-4)


def test_of_two_classes_the_second_is_the_foreground(volume) -> None:
    found = audited(network(2), volume)
    assert_same(found, audited(network(2), volume, channel=1))
    assert any("number 1 was taken for the foreground" in note for note in found.notes)
    with pytest.raises(UserError, match="3 classes: say with --channel"):
        audited(network(3), volume)


def test_probabilities_times_255_are_asked_about(volume) -> None:
    scaled = Answers(lambda y: 255 * y.sigmoid())
    with pytest.raises(UserError, match="as probabilities times 255 do"):
        audited(scaled, volume)
    audited(scaled, volume, probabilities=False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_answers_in_half_precision_are_taken(volume, dtype) -> None:
    half = audited(Answers(lambda y: y.to(dtype)), volume)
    assert half.finding == audited(network(), volume).finding


def test_slices_may_come_from_last_to_first(volume) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x.flip(1))

    found = audited(Turned(), volume, descending=True)
    assert_same(found, audited(network(), volume))
    assert any("from the last to the first" in note for note in found.notes)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: network()(x).detach().numpy(),
        lambda x: torch.no_grad()(network())(x),
    ],
)
def test_a_function_without_gradients_is_audited_by_forward_passes(volume, function) -> None:
    found = audit(function, volume, sections=3, size=64).audit
    assert found.headline == "slice-occlusion/foreground"
    assert any("gives no gradients" in note for note in found.notes)
    methods = ("slice-occlusion", "slice-shapley")
    assert_same(found, audited(network(), volume, attribution=methods))
    with pytest.raises(UserError, match="no gradients, which saliency may need: take"):
        audited(function, volume, attribution=("saliency", "slice-occlusion"))


def test_a_compiled_network_is_audited_uncompiled(volume) -> None:
    assert_same(audited(torch.compile(network()), volume), audited(network(), volume))


def test_a_network_of_any_library_comes_from_a_function(tmp_path: Path, volume) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n"
        "def build():\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)\n"
        "    )\n"
        "\ndef fails():\n    raise ValueError('no')\n"
    )
    torch.save({"net": network().state_dict(), "step": 3}, tmp_path / "net.pt")
    factory = str(tmp_path / "mine.py")
    found = audited(tmp_path / "net.pt", volume, factory=f"{factory}:build")
    assert_same(found, audited(network(), volume))
    for place, told in [
        (f"{factory}:other", "defines no function 'other'"),
        (f"{factory}:fails", r"fails' fails \(ValueError: no\)"),
        ("none.py:build", "check the path"),
        (factory, "check the path"),
    ]:
        with pytest.raises(UserError, match=told):
            audited(tmp_path / "net.pt", volume, factory=place)
    with pytest.raises(UserError, match=r"--model FILE\.py:NAME"):
        audited(tmp_path / "net.pt", volume)


def test_averaged_weights_beside_plain_ones_are_told(tmp_path: Path, volume) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nbuild = lambda: nn.Conv2d(3, 1, 3, padding=1)\n"
    )
    torch.manual_seed(0)
    plain, averaged = (nn.Conv2d(3, 1, 3, padding=1) for _ in range(2))
    content = {"state_dict": plain.state_dict(), "state_dict_ema": averaged.state_dict()}
    torch.save(content, tmp_path / "net.ckpt")
    options = {"factory": f"{tmp_path / 'mine.py'}:build"}
    found = audited(tmp_path / "net.ckpt", volume, **options)
    assert_same(found, audited(plain, volume))
    assert any("also holds state_dict_ema: --weights-key" in note for note in found.notes)
    other = audited(tmp_path / "net.ckpt", volume, weights_key="state_dict_ema", **options)
    assert_same(other, audited(averaged, volume))


class Queries(nn.Module):
    """Two queries, of which the first is class 0 where z−1 is bright, the second class 1 else."""

    def __init__(self, classes: Tensor, names: tuple[str, str] = QUERIES[0]) -> None:
        super().__init__()
        self.names = names
        self.classes, self.scale = classes, nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        bright = self.scale * nn.functional.avg_pool2d(x[:, :1], 2)
        return {
            self.names[0]: self.classes.expand(len(x), -1, -1),
            self.names[1]: torch.cat([bright, -bright], 1),
            "encoder_last_hidden_state": x,
        }


@pytest.mark.parametrize("names", QUERIES)
def test_queries_become_a_map_of_each_class(names: tuple[str, str]) -> None:
    classes = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    x = torch.randn(2, 3, 8, 8)
    picked = PickedOutput(Queries(classes, names), None, upsample=True)
    maps = picked(x)
    masks = nn.functional.interpolate(
        3 * nn.functional.avg_pool2d(x[:, :1], 2), (8, 8), mode="bilinear"
    ).sigmoid()
    high, low = classes.softmax(1)[0, :2]
    expected = torch.cat([high * masks + low * (1 - masks), low * masks + high * (1 - masks)], 1)
    torch.testing.assert_close(maps.exp(), expected)
    assert picked.joined
    assert not picked.taken
    alone = classes[:, [0, 2]]
    weights = alone.softmax(1)[:, 0]
    one = PickedOutput(Queries(alone), None, upsample=True)(x)
    torch.testing.assert_close(one.sigmoid(), weights[0] * masks + weights[1] * (1 - masks))


def test_an_audit_says_what_it_made_of_queries(volume: np.ndarray) -> None:
    model = Queries(torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]]))
    found = audited(model, volume, upsample=True, channel=0, target="all")
    assert any("The network gives masks of queries" in note for note in found.notes)
    assert found.shown.share[0].value == pytest.approx(1)
