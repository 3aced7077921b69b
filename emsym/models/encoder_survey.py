"""Measuring which encoders can be treated, and which decoders go with them.

``python -m emsym.models.encoder_survey`` measures every row of the table of `emsym.models.encoders`
anew, with the libraries that are installed, and rewrites it; that takes some six minutes on two
cores. To add encoders, append lines with their names alone first.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from emsym.errors import UserError
from emsym.files import write_atomically
from emsym.models.architectures import SmpFactory
from emsym.models.encoders import DECODERS, FILE, TIMM, Encoder, encoders

if TYPE_CHECKING:
    from torch import nn

    from emsym.models.stem.stem import Stem

COLUMNS = ("encoder", "family", "parameters", "stem", "inputs", "slices", "decoders", "refused")
SLICES = (1, 3, 5, 7, 9)
"""The sizes of stacks that a stem is tried with."""
_DRAWS = frozenset(
    ["normal_", "uniform_", "erfinv_", "mul_", "add_", "clamp_", "fill_", "zero_", "copy_"]
)


def measure_encoder(name: str) -> Encoder:
    """Measure one encoder anew.

    Networks are built and run on PyTorch's meta device, which computes and holds nothing.
    Raises what the libraries raise for a name that they do not know, and for an encoder that
    counts with values on the way.
    """
    with warnings.catch_warnings():  # of deprecated names, and of DPT about encoders that it takes
        warnings.simplefilter("ignore")
        decoders, encoder = _fitting_decoders(name)
        encoder = encoder or _timm_network(name)
        stem, refused = _stem_or_refusal(encoder)
        return Encoder(
            name,
            _family(name),
            round(sum(weight.numel() for weight in encoder.parameters()) / 1e6, 2),
            str(stem or ""),
            tuple(read.slots.count(0) for read in stem.reads) if stem else (),
            tuple(count for count in SLICES if _can_read(encoder, stem, count)) if stem else (),
            decoders,
            refused,
        )


def measure_encoders(names: Iterable[str], workers: int = 2) -> Iterator[Encoder]:
    """Measure encoders anew, in several processes; the rows come in the order of the names."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, context, initializer=_use_one_thread) as pool:
        yield from pool.map(measure_encoder, names)


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def write_table(rows: Iterable[Encoder]) -> None:
    """Write the table, sorted by names. Raises `UserError` where it cannot be written."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_to_row(row) for row in sorted(rows, key=lambda row: row.name))
    write_atomically(FILE, text.getvalue())


def _to_row(row: Encoder) -> dict[str, str]:
    return {
        "encoder": row.name,
        "family": row.family,
        "parameters": f"{row.parameters:.2f}",
        "stem": row.stem,
        "inputs": " ".join(map(str, row.inputs)),
        "slices": " ".join(map(str, row.slices)),
        "decoders": " ".join(f"{name}:{size}" for name, size in row.decoders.items()),
        "refused": row.refused,
    }


def _fitting_decoders(name: str) -> tuple[dict[str, int], nn.Module | None]:
    """Return the decoders that run with an encoder, by their sizes, and the encoder in one."""
    sizes: dict[str, int] = {}
    encoder = None
    with shared_encoders():
        for decoder in DECODERS:
            try:
                network: Any = build_on_meta(SmpFactory(decoder, name))
                sizes[decoder] = _smallest_size(network)
            except Exception as error:  # each pair that does not go together has its own
                if "meta tensor" in str(error):  # it tells nothing of the pair
                    raise
                continue
            encoder = encoder or network.encoder
    return sizes, encoder


@contextmanager
def shared_encoders() -> Iterator[None]:
    """Let networks share the encoders that timm builds for them: building takes half the time."""
    import timm

    library: Any = timm
    original = timm.create_model
    library.create_model = lru_cache(original)
    try:
        yield
    finally:
        library.create_model = original


def build_on_meta(factory: Callable[[], nn.Module]) -> nn.Module:
    """Return a network on the meta device, where nothing is drawn for it."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Building(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if getattr(func, "__name__", "") in _DRAWS and args and args[0].is_meta:
                return args[0]  # PyTorch would follow shapes through each step of a distribution
            if func is torch.linspace:  # constructors count with its values
                kwargs = {"device": "cpu", **kwargs}
            return func(*args, **kwargs)

    with torch.device("meta"), Building():
        return factory().to("meta").eval()


def _smallest_size(network: nn.Module) -> int:
    """Return the height of the first stack that a network makes a mask of; raise as it does."""
    import torch

    from emsym.models.stem.traced_run import SIZES

    first: Exception | None = None
    for size in SIZES:
        try:
            with torch.device("meta"), torch.no_grad():
                shape = tuple(network(torch.zeros(1, 3, size, size)).shape)
        except Exception as error:  # whatever a network raises
            first = first or error
            continue
        if shape == (1, 1, size, size):
            return size
    raise first or UserError("The network gives no mask of the size of its stack.")


def _timm_network(name: str) -> nn.Module:
    """Return timm's own network."""
    import timm

    return build_on_meta(partial(timm.create_model, name.removeprefix(TIMM), num_classes=0))


def _stem_or_refusal(encoder: nn.Module) -> tuple[Stem | None, str]:
    """Return the stem of an encoder, or why it cannot be treated."""
    from emsym.models.stem.find import find_stem

    try:
        return find_stem(encoder, 3), ""
    except UserError as error:
        return None, str(error).removeprefix("The stem cannot be treated: ")


def _can_read(encoder: nn.Module, stem: Stem, slices: int) -> bool:
    """Return whether the stem can be filled for so many slices."""
    from emsym.models.stem.find import wider_stem

    try:
        wider_stem(encoder, stem, slices)
    except UserError:
        return False
    return True


def _family(name: str) -> str:
    import segmentation_models_pytorch as smp
    import timm

    if name.startswith(TIMM):
        module = timm.models.model_entrypoint(name.removeprefix(TIMM)).__module__
    else:
        module = smp.encoders.encoders[name]["encoder"].__module__
    return module.rpartition(".")[2]


def _rewrite_table() -> None:
    import time

    start = time.perf_counter()
    names = list(encoders())
    rows = []
    for row in measure_encoders(names):
        rows.append(row)
        outcome = row.refused or f"{row.stem}, {len(row.decoders)} decoders"
        print(
            f"{len(rows)} of {len(names)}, {time.perf_counter() - start:.0f} s: {row.name}: "
            f"{outcome}"
        )
    write_table(rows)


if __name__ == "__main__":
    _rewrite_table()
