"""Folders of Transformers' `save_pretrained`, of its networks for semantic segmentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError, first_names
from emsym.models.packaged.package import (
    DescribedOption,
    Package,
    cannot_be_built,
    check_size,
    read_description,
)
from emsym.models.packaged.preprocessing import Step, grey_level_option
from emsym.models.pretrained.tensor_names import COUNTER

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASSES = "architectures"
"""The key of a config.json that names the class, in a list."""
_SEMANTIC = re.compile(
    r"(?!Auto)[A-Za-z0-9]+For(Semantic|Universal)Segmentation|MaskFormerForInstanceSegmentation"
)
_PREPROCESSING = "preprocessor_config.json"
_OWN_SCALES = (
    f"By its {_PREPROCESSING} the network may have been shown each channel normalised by a mean "
    "and sd of its own, which was not done here: where it was, wrap that and the network in a "
    "module."
)
_ELSEWHERE = re.compile(r"implementation$|^auto_map$|^quantization_config$|^_name_or_path$")
"""Settings that may have code or weights fetched: kernels of a hub, a stranger's classes."""
_MOST = 1 << 20
"""The largest number of a setting; Transformers keeps a name for each class, however many."""
_WAY = "give --model FILE.py:NAME, a function of yours that returns the network with its logits"


def transformers_package(config: dict[str, Any], description: Path, weights: Path) -> Package:
    """Return the network that a config.json describes, whose weights lie in a file.

    It is built by Transformers' own class; nothing is fetched and no code of the folder is run.
    Raises `UserError` for a network that gives no map of classes, a backbone that is none of timm,
    and where Transformers is not installed.
    """
    names = config[CLASSES]
    name = names[0] if isinstance(names, list) and len(names) == 1 else names
    if not isinstance(name, str) or not _SEMANTIC.fullmatch(name):
        raise UserError(
            f"{description} describes a {first_names([name])}, which gives no map of classes as "
            f"those for semantic segmentation do: {_WAY}."
        )
    settings = _plain_settings(config, description)
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"{description} describes a network of Transformers: pip install 'emsym[transformers]'."
        ) from error
    kind: Any = getattr(transformers, name, None)
    if kind is None:
        raise UserError(
            f"This version of Transformers, {transformers.__version__}, has no {name}: install "
            f"another, or {_WAY}."
        )
    load = partial(_loaded, kind, settings, weights, description)
    options = (DescribedOption({"upsample": True}), *_grey_levels(description.parent))
    return Package(weights, name, load=load, options=options)


def _plain_settings(value: Any, description: Path) -> Any:
    """Return settings without those that lead elsewhere, however deep they lie."""
    if isinstance(value, list):
        return [_plain_settings(each, description) for each in value]
    if isinstance(value, int) and abs(value) > _MOST:
        raise UserError(f"{description} has a number beyond {_MOST:,}, as no network has.")
    if not isinstance(value, dict):
        return value
    backbone = value.get("backbone")
    of_timm = value.get("model_type") == "timm_backbone"
    if isinstance(backbone, str) and not (of_timm and re.fullmatch(r"[A-Za-z0-9_.]+", backbone)):
        raise UserError(
            f"{description} takes the settings of its backbone {first_names([backbone])} from a "
            f"hub, and nothing is fetched: {_WAY}."
        )
    kept = {
        key: _plain_settings(each, description)
        for key, each in value.items()
        if not _ELSEWHERE.search(key)
    }
    if "use_pretrained_backbone" in kept:
        kept["use_pretrained_backbone"] = False
    return kept


def _grey_levels(folder: Path) -> Iterator[DescribedOption]:
    """Yield what the preprocessing beside a network says of grey levels, where there is one."""
    if not (folder / _PREPROCESSING).is_file():
        return
    given = read_description(folder / _PREPROCESSING)
    factor = given.get("rescale_factor", 1 / 255) if given.get("do_rescale", True) else 1
    means, sds = (
        given.get(key) if given.get("do_normalize", True) else value
        for key, value in (("image_mean", [0.0]), ("image_std", [1.0]))
    )
    steps = [
        Step(id="scale_linear", kwargs={"gain": factor}),
        Step(id="fixed_zero_mean_unit_variance", kwargs={"mean": means, "std": sds}),
    ]
    option = grey_level_option(steps, _PREPROCESSING)
    yield option if not option.required else DescribedOption(option.values, _OWN_SCALES)


def _loaded(
    kind: Any, settings: Any, weights: Path, description: Path, state: Mapping[str, Tensor]
) -> nn.Module:
    """Return the network with weights under the names of any version of Transformers."""
    with _quiet_and_offline():
        config = kind.config_class.from_dict(settings)
        check_size(lambda: kind(config), weights, description)
        try:
            # from the tensors alone: without a path there is nothing that it could read or fetch
            model, info = kind.from_pretrained(
                None, config=config, state_dict=dict(state), output_loading_info=True
            )
        except Exception as error:  # whatever the library raises for values that it does not take
            raise cannot_be_built(description, error) from error
    wrong = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
    wrong = [name for name in wrong if not str(name).endswith(COUNTER)]
    if wrong:
        raise UserError(
            f"{weights} does not hold the weights of {description}: {first_names(wrong)}."
        )
    return model.float().eval()


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Let no hub be asked for whatever a network may still want of it, and no bar be drawn."""
    from huggingface_hub import constants
    from transformers.utils import logging

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
