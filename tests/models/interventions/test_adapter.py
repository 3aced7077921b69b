"""An adapter starts as the strategy on the stem would, and leaves the stem as it was."""

import pytest
import torch

from emsym.models.architectures import create_model

pytestmark = pytest.mark.numerical


@pytest.mark.parametrize("slices", [3, 5])
@pytest.mark.parametrize("strategy", ["rgb", "uniform-green", "mirror"])
def test_it_starts_as_the_strategy_on_the_stem(strategy: str, slices: int) -> None:
    x = torch.randn(2, slices, 64, 64)
    plain = create_model("linknet-tu-test_efficientnet", strategy, slices).eval()
    adapted = create_model("linknet-tu-test_efficientnet", f"{strategy}+adapter", slices).eval()
    torch.testing.assert_close(adapted(x), plain(x), rtol=1e-3, atol=1e-4)


def test_the_stem_keeps_its_weights_and_both_are_trained() -> None:
    plain = create_model("linknet-tu-test_efficientnet", "rgb")
    adapted = create_model("linknet-tu-test_efficientnet", "uniform-mean+adapter", 5)
    assert adapted.adapter.weight.shape == (3, 5, 1, 1)
    assert torch.equal(next(adapted.model.parameters()), next(plain.parameters()))
    adapted(torch.randn(2, 5, 64, 64)).sum().backward()
    assert adapted.adapter.weight.grad.abs().min() > 0
    assert next(adapted.model.parameters()).grad.abs().max() > 0


def test_a_tied_adapter_stays_symmetric() -> None:
    model = create_model("linknet-tu-test_efficientnet", "rgb+adapter+mirror-tied")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(2, 3, 64, 64)).square().mean().backward()
        optimizer.step()
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.eval()(x), model(x.flip(1)), rtol=1e-4, atol=1e-5)
