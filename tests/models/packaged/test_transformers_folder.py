"""Folders of Transformers are read without fetching or running anything that they name."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from audited_networks import loaded

from emsym.auditing.adapters import PickedOutput
from emsym.errors import UserError
from emsym.models.packaged.transformers_folder import (
    _grey_levels,
    _plain_settings,
    transformers_package,
)

SEGFORMER = {"architectures": ["SegformerForSemanticSegmentation"], "model_type": "segformer"}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"architectures": ["AutoModelForSemanticSegmentation"]}, "gives no map of classes"),
        ({"architectures": ["DetrForObjectDetection"]}, "gives no map of classes"),
        ({"architectures": []}, "gives no map of classes"),
        (SEGFORMER | {"backbone": "someone/network"}, "from a hub, and nothing is fetched"),
        (SEGFORMER | {"num_labels": 10**999}, "a number beyond 1,048,576, as no network has"),
        (
            SEGFORMER | {"x": [{"model_type": "timm_backbone", "backbone": "local-dir:/etc"}]},
            "from a hub, and nothing is fetched",
        ),
    ],
)
def test_what_is_not_built_is_told(config: dict, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        transformers_package(config, tmp_path / "config.json", tmp_path / "model.safetensors")


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'emsym\[transformers\]'"):
        transformers_package(SEGFORMER, tmp_path / "config.json", tmp_path / "w.safetensors")


def test_settings_that_lead_elsewhere_are_left_out(tmp_path: Path) -> None:
    inner = {
        "model_type": "timm_backbone",
        "backbone": "resnet18.a1_in1k",
        "use_pretrained_backbone": True,
        "attn_implementation": "someone/kernel",
    }
    config: dict[str, Any] = {
        "depths": [1, 2],
        "auto_map": {"AutoModel": "evil.Model"},
        "_attn_implementation_internal": "eager",
        "_experts_implementation": "someone/kernel",
        "backbone_config": inner,
    }
    del config["_attn_implementation_internal"]
    assert _plain_settings(config, tmp_path) == {
        "depths": [1, 2],
        "backbone_config": {
            "model_type": "timm_backbone",
            "backbone": "resnet18.a1_in1k",
            "use_pretrained_backbone": False,
        },
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"mean": 127.5, "sd": 51}),
        ({"do_normalize": False}, {"mean": 0, "sd": 255}),
        ({"do_rescale": False}, {"mean": 0.5, "sd": 0.2}),
        ({"image_mean": [0.4, 0.5, 0.6]}, {"mean": None, "sd": None}),
    ],
)
def test_grey_levels_are_those_of_the_preprocessing(
    changes: dict, expected: dict, tmp_path: Path
) -> None:
    assert not list(_grey_levels(tmp_path))
    plain = {"rescale_factor": 1 / 255, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(plain | changes))
    [option] = _grey_levels(tmp_path)
    assert option.values == pytest.approx(expected)
    assert not option.required
    assert ("mean and sd of its own" in option.sentence) == (expected["mean"] is None)


@pytest.mark.slow
def test_a_segformer_that_was_saved(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is an optional extra")
    torch.manual_seed(0)
    sizes = {"depths": [1] * 4, "hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4}
    config = transformers.SegformerConfig(num_labels=2, decoder_hidden_size=8, **sizes)
    model = transformers.SegformerForSemanticSegmentation(config).eval()
    model.save_pretrained(tmp_path)
    found = loaded(tmp_path)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found.model(x).logits, model(x).logits)
    assert [option.values for option in found.options] == [{"upsample": True}]
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="20KB")
    assert len([*sharded.glob("*.safetensors")]) > 1
    again = loaded(sharded)
    with torch.no_grad():
        torch.testing.assert_close(again.model(x).logits, model(x).logits)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"decoder_hidden_size": 9}))
    with pytest.raises(UserError, match=r"does not hold the weights|cannot be built"):
        loaded(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(content | {"hidden_sizes": [10**6] * 4}))
    with pytest.raises(UserError, match="parameters, more than"):
        loaded(tmp_path)


@pytest.mark.slow
def test_queries_of_a_mask2former_are_what_transformers_makes_of_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is an optional extra")
    torch.manual_seed(0)
    backbone = transformers.SwinConfig(
        embed_dim=8,
        depths=[1] * 4,
        num_heads=[1] * 4,
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        num_labels=3,
        num_queries=5,
        decoder_layers=2,
        encoder_layers=1,
        hidden_dim=32,
        feature_size=32,
        mask_feature_size=32,
        num_attention_heads=2,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
    )
    model = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    with torch.no_grad():  # untrained, it would give one class alone
        for name, weight in model.named_parameters():
            if "class_predictor" in name or "mask_embedder" in name:
                weight.normal_()
    model.save_pretrained(tmp_path)
    x = torch.randn(1, 3, 384, 384)  # the size that Transformers brings masks to
    with torch.no_grad():
        maps = PickedOutput(loaded(tmp_path).model, None, upsample=True)(x)
        processor = transformers.Mask2FormerImageProcessor()
        (expected,) = processor.post_process_semantic_segmentation(model(x), [(384, 384)])
    assert maps.shape == (1, 3, 384, 384)
    assert len(expected.unique()) > 1
    assert (maps[0].argmax(0) == expected).float().mean() > 0.999
