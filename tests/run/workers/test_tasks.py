import pytest

from emsym.errors import UserError
from emsym.run.workers.tasks import check_model

NETWORK = "linknet-tu-test_efficientnet"


@pytest.mark.usefixtures("one_thread")
def test_a_network_is_tried_with_each_strategy(encoder_weights) -> None:
    words = (NETWORK, ("rgb", "mirror"), 3, str(encoder_weights), 32, ("saliency",))
    assert check_model(*words) == {}


@pytest.mark.usefixtures("one_thread")
def test_what_is_wrong_with_all_strategies_is_raised() -> None:
    with pytest.raises(UserError, match="There are no weights"):
        check_model(NETWORK, ("rgb", "mirror"), 3, "none.safetensors", 32, ())


@pytest.mark.usefixtures("one_thread")
def test_offline_no_hub_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("it was asked")
    )
    with pytest.raises(UserError, match="--offline or HF_HUB_OFFLINE forbids to fetch them"):
        check_model("unet-resnet18", ("rgb",), 3, "imagenet", 32, (), True)
