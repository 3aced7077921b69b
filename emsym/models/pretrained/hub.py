"""Published weights: from the cache of timm's and segmentation-models-pytorch's hub, or fetched.

A hub that cannot be reached is found out in seconds: the library that talks to it would go on
asking for minutes.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from emsym.errors import UserError, first_line, first_names

T = TypeVar("T")
IMAGENET = "imagenet"
WEIGHTS_DIR = "EMSYM_WEIGHTS_DIR"
"""The environment variable of a folder that is looked into before ``imagenet`` is fetched."""
PATIENCE = 5
"""Seconds that a hub has for its first answer, unless HF_HUB_ETAG_TIMEOUT gives it other ones."""


def published_weights(encoder: str, weights: str, offline: bool = False) -> tuple[str, Path]:
    """Name and file of published weights, fetched unless they are in a cache.

    `encoder` is a name of segmentation-models-pytorch; `weights` ``imagenet`` or a name of timm.
    """
    if encoder.startswith("tu-"):
        return _timm_weights(encoder.removeprefix("tu-"), weights, offline)
    from segmentation_models_pytorch.encoders import encoders

    if weights != IMAGENET:
        raise UserError(
            f"The weights '{weights}' are timm's, and the encoder '{encoder}' is not: take the "
            f"encoder 'tu-{weights.partition('.')[0]}' for them, or the weights 'imagenet'."
        )
    settings = encoders.get(encoder, {}).get("pretrained_settings", {})
    if IMAGENET not in settings:
        raise UserError(
            f"segmentation-models-pytorch has no 'imagenet' weights for '{encoder}': give the path "
            "of a weights file, or 'pretext'."
        )
    repository, revision = settings[IMAGENET]["repo_id"], settings[IMAGENET]["revision"]
    tag = f"{repository}@{revision}"
    return tag, _hub_file(tag, repository, revision, ["model.safetensors"], offline)


def _timm_weights(encoder: str, weights: str, offline: bool) -> tuple[str, Path]:
    import timm

    architecture = encoder.partition(".")[0]
    known = timm.list_pretrained()
    same = [name for name in known if name.startswith(f"{architecture}.")]
    if weights != IMAGENET and weights not in known:
        near = get_close_matches(weights, same, n=3, cutoff=0.5) or get_close_matches(
            weights, known, n=3, cutoff=0.5
        )
        hint = f"did you mean {' or '.join(near)}?" if near else "`timm.list_pretrained()` has all."
        raise UserError(f"There are no weights '{weights}' among timm's; {hint}")
    if weights != IMAGENET and weights not in same:
        raise UserError(
            f"The weights '{weights}' are those of timm's {weights.partition('.')[0]}, and the "
            f"encoder is {architecture}: take weights that are called '{architecture}.…'."
        )
    config = timm.models.get_pretrained_cfg(encoder if weights == IMAGENET else weights)
    if config is None or not config.has_weights:
        others = f"one of {first_names(same)}, " if same else ""
        raise UserError(
            f"timm chooses no weights for '{encoder}': give {others}the path of a weights file, or "
            "'pretext'."
        )
    tag = f"{config.architecture}.{config.tag}"
    if not config.hf_hub_id:
        url: Any = config.url
        return tag, _address_file(tag, url if isinstance(url, str) else url[0], offline)
    repository, _, revision = config.hf_hub_id.partition("@")
    file = config.hf_hub_filename
    files = [file] if file else ["model.safetensors", "pytorch_model.bin"]
    return tag, _hub_file(tag, repository, revision or None, files, offline)


def _hub_file(
    tag: str, repository: str, revision: str | None, files: Sequence[str], offline: bool
) -> Path:
    """Return the first of `files` that a repository of the hub has, cached or fetched."""
    from huggingface_hub import (
        constants,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.errors import (
        EntryNotFoundError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    for file in files:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)

    cache = f"the hub's cache {constants.HF_HUB_CACHE}"
    fail = partial(_raise_unavailable, tag, constants.ENDPOINT, cache)
    if offline:
        fail(OfflineModeIsEnabled())
    wait = int(os.environ.get("HF_HUB_ETAG_TIMEOUT") or PATIENCE)
    for file in files:
        url = hf_hub_url(repository, file, revision=revision)
        try:
            # `hf_hub_download` asks the same, but goes on asking for minutes
            _answer_within(wait, partial(get_hf_file_metadata, url, timeout=wait))
        except EntryNotFoundError as error:
            if file == files[-1]:
                fail(error)
            continue
        except Exception as error:  # each version of the hub's library has its own
            fail(error)
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except Exception as error:
            cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
            fail(cause or error, "breaks the download off")
    raise AssertionError("a repository has files")


def _address_file(tag: str, url: str, offline: bool) -> Path:
    """Return the file of weights that are on no hub, from torch's cache or fetched."""
    import requests
    import torch
    from filelock import FileLock
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled

    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
    if path.is_file():
        return path
    fail = partial(_raise_unavailable, tag, url, f"torch's cache {path.parent}")

    def ask() -> None:
        with requests.get(url, stream=True, timeout=PATIENCE) as answer:
            answer.raise_for_status()

    try:
        if offline or constants.HF_HUB_OFFLINE:
            raise OfflineModeIsEnabled
        _answer_within(PATIENCE, ask)  # torch waits for ever
    except Exception as error:
        fail(error)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = torch.hub.HASH_REGEX.search(path.name)  # type: ignore[attr-defined]
        with FileLock(f"{path}.lock"):  # of several processes one downloads
            if not path.is_file():
                torch.hub.download_url_to_file(url, str(path), part and part[1])
    except Exception as error:
        fail(error, "breaks the download off")
    return path


def _answer_within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what `ask` answers in time, else raise `TimeoutError`.

    A host name's look-up knows no time limit of its own.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return answer.result(seconds)


def _raise_unavailable(
    tag: str, url: str, cache: str, error: BaseException, what: str = "cannot be reached"
) -> NoReturn:
    """Raise the `UserError` about published weights: what went wrong, and the ways out."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    host = urlsplit(url).netloc
    response = getattr(error, "response", None)
    if isinstance(error, OfflineModeIsEnabled):
        why = "--offline or HF_HUB_OFFLINE forbids to fetch them"
    elif response is not None:
        phrase = http.client.responses.get(response.status_code, "")
        why = f"{host} answers {response.status_code} {phrase}".strip()
    elif isinstance(error, TimeoutError):
        why = f"{host} does not answer in time"
    else:
        why = f"{host} {what} ({first_line(error)})"
    raise UserError(
        f"The weights '{tag}' cannot be had, {why}: check the network, copy {cache} from a machine "
        f"that has fetched them, name a folder of 'imagenet' files with {WEIGHTS_DIR}, or give the "
        "path of a weights file, or 'pretext'."
    ) from error
