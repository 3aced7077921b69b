"""Networks of other libraries, each saved by that library's own code, audited as they come.

An audit of the file must say what an audit of the network in memory does. The libraries are no
dependencies of the tests: what is not installed is skipped.
"""

import argparse
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import library_networks
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from emsym.auditing.audit import audit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),
]


@dataclass(frozen=True)
class Saved:
    """A file or folder, the network in it, and what a user must say of the file."""

    path: Path
    model: nn.Module
    options: dict[str, Any] = field(default_factory=dict)
    logits: Callable[[Any], Tensor] = lambda answer: answer
    """Takes the logits out of what the network in memory gives."""


def built(name: str, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
    model = getattr(library_networks, name)()
    return model, {"factory": f"{library_networks.__file__}:{name}", **options}


def segmentation_models_pytorch(folder: Path) -> Saved:
    import segmentation_models_pytorch as smp

    model = smp.Unet("tu-test_resnet", 3, encoder_weights=None, decoder_channels=(16, 8, 8))
    model.save_pretrained(folder / "saved")
    return Saved(folder / "saved", model)


def timm(folder: Path) -> Saved:
    from timm.utils import CheckpointSaver

    model, options = built("timm")
    arguments = argparse.Namespace(model="test_resnet", lr=0.1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    saver = CheckpointSaver(model, optimizer, args=arguments, checkpoint_dir=str(folder))
    saver.save_checkpoint(0, metric=np.float64(0.5))
    return Saved(folder / "checkpoint-0.pth.tar", model, options)


def torchvision(folder: Path) -> Saved:
    model, options = built("torchvision", channel=1)
    torch.save({"model": model.state_dict(), "epoch": 1}, folder / "model_1.pth")  # as its trainer
    return Saved(folder / "model_1.pth", model, options, lambda answer: answer["out"])


def transformers(folder: Path) -> Saved:
    import transformers

    sizes: Any = {"depths": [1] * 4, "hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4}
    config = transformers.SegformerConfig(num_labels=2, decoder_hidden_size=8, **sizes)
    model = transformers.SegformerForSemanticSegmentation(config)
    model.save_pretrained(folder / "saved")
    enlarge = functools.partial(nn.functional.interpolate, size=(64, 64), mode="bilinear")
    return Saved(folder / "saved", model, {"channel": 1}, lambda answer: enlarge(answer.logits))


def monai(folder: Path) -> Saved:
    from monai.networks.utils import save_state

    model, options = built("monai")
    save_state({"net": model, "opt": torch.optim.Adam(model.parameters())}, folder / "net_key.pt")
    return Saved(folder / "net_key.pt", model, options)


def pytorch_lightning(folder: Path) -> Saved:
    import pytorch_lightning as lightning
    import segmentation_models_pytorch as smp

    class Training(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = smp.create_model("linknet", "tu-test_resnet", encoder_weights=None)

    module = Training()
    trainer = lightning.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / "last.ckpt", weights_only=True)
    return Saved(folder / "last.ckpt", module.model, {"architecture": "Linknet-tu-test_resnet"})


def torch_em(folder: Path) -> Saved:
    from torch_em.trainer import DefaultTrainer

    model, options = built("torch_em", channel=0, activation="sigmoid")
    trainer = SimpleNamespace(
        checkpoint_folder=folder,
        model=model,
        optimizer=torch.optim.Adam(model.parameters()),
        init_data={"model_class": type(model), "model_kwargs": {"depth": 2}},
        scaler=None,
        lr_scheduler=None,
        _iteration=1,
        _epoch=1,
        _best_epoch=1,
    )
    DefaultTrainer.save_checkpoint(trainer, "best", np.float32(0.5), np.float32(0.5))
    return Saved(folder / "best.pt", model, options, lambda answer: answer[:, :1])


def fastai(folder: Path) -> Saved:
    from fastai.callback.schedule import Learner
    from fastai.data.core import DataLoaders

    model, options = built("fastai")
    batches = [(torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64))]
    learner = Learner(DataLoaders(batches, batches), model, nn.MSELoss(), path=folder)
    learner.create_opt()
    learner.save("net")
    return Saved(folder / "models" / "net.pth", model, options)


def segment_anything(folder: Path) -> Saved:
    model, options = built("segment_anything")
    torch.save(model.state_dict(), folder / "sam.pth")
    return Saved(folder / "sam.pth", model, options)


def dynamic_network_architectures(folder: Path) -> Saved:
    model, options = built("dynamic_network_architectures", channel=1)
    results = folder / "nnUNetTrainer__nnUNetPlans__2d"
    (results / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json"):
        (results / name).write_text("{}")
    state = {"network_weights": model.state_dict(), "logging": {"dice": [np.float64(0.5)]}}
    torch.save(state, results / "fold_0" / "checkpoint_final.pth")  # as its trainer
    return Saved(results, model, options)


def onnx(folder: Path) -> Saved:
    pytest.importorskip("onnxruntime")
    model = segmentation_models_pytorch(folder).model.eval()
    torch.onnx.export(model, (torch.zeros(2, 3, 64, 64),), folder / "net.onnx", verbose=False)
    return Saved(folder / "net.onnx", model, {"attribution": ["slice-occlusion"]})


LIBRARIES = (
    *(segmentation_models_pytorch, timm, torchvision, transformers, monai, pytorch_lightning),
    *(torch_em, fastai, segment_anything, dynamic_network_architectures, onnx),
)


class Logits(nn.Module):
    """A network in memory as an audit wants it."""

    def __init__(self, saved: Saved) -> None:
        super().__init__()
        self.model, self.logits = saved.model.eval(), saved.logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.model(x))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
def test_a_network_that_a_library_saved(library: Callable[[Path], Saved], tmp_path: Path) -> None:
    pytest.importorskip(library.__name__)
    torch.manual_seed(0)
    saved = library(tmp_path)
    values = gaussian_filter(np.random.default_rng(0).normal(size=(6, 64, 64)), (1, 2, 2))
    volume = np.uint8(255 * (values - values.min()) / np.ptp(values))
    options: Any = {"sections": 2, "size": 64, "attribution": ["saliency"]}
    options |= {"attribution": saved.options.pop("attribution", ["saliency"])}
    report = audit(saved.path, volume, **options, **saved.options).audit
    here = audit(Logits(saved), volume, **options, channel=saved.options.get("channel")).audit
    assert report.network.digest
    assert report.flip_error.value == pytest.approx(here.flip_error.value, abs=1e-5)
    # a program without layers gives none of what happens inside
    assert here.images.keys() - report.images.keys() <= {"stem_flip", "bottleneck_flip"}
    for name, values in report.images.items():
        expected = np.array(here.images[name], float)
        np.testing.assert_allclose(np.array(values, float), expected, atol=1e-3, err_msg=name)
