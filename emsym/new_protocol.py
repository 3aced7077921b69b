"""A protocol for one's own question: each value was asked for, or says why it is the default."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

from emsym.data.cards import load_card
from emsym.errors import UserError
from emsym.files import write_atomically
from emsym.protocol import SHAPLEY_SLICES, Protocol, load_protocol, ships, split_task
from emsym.run.job import jobs


class Choice(NamedTuple):
    """A value of a protocol as TOML, and why it is the default; no reason where it was asked for.

    Without a value it is left out, and the reason says what that means.
    """

    value: str | None
    why: str = ""


def write_protocol(
    path: Path,
    name: str,
    *,
    datasets: Sequence[str] = (),
    architectures: Sequence[str] = (),
    inits: Sequence[str] = (),
    seeds: int | None = None,
    steps: int | None = None,
    slices: int | None = None,
    weights: str | None = None,
) -> Protocol:
    """Write a protocol of that name to a new TOML file, and return it.

    What is not given gets a default, with its reason in a comment. Cards and weights that are paths
    are relative to the working directory here, and in the file to its folder. Raises `UserError`
    where the file exists or is no ``.toml``, the name ships with emsym, or a value is wrong.
    """
    if path.suffix != ".toml":
        raise UserError(f"A protocol is a TOML file: let {path} end in .toml.")
    if path.exists():
        raise UserError(f"{path} exists: give another --output, or remove it first.")
    if ships(name):
        raise UserError(f"A protocol '{name}' ships with emsym: give yours another name.")
    given: dict[str, Any] = {
        "datasets": [_seen_from(path.parent, entry) for entry in datasets],
        "architectures": list(architectures),
        "inits": list(inits),
        "seeds": None if seeds is None else list(range(seeds)),
        "weights": _seen_from(path.parent, weights) if weights else None,
        "slices": slices,
        "recipe.steps": steps,
    }
    made_up = all(load_card(entry).phantom is not None for entry in datasets)
    write_atomically(path, protocol_text(name, given, made_up))
    try:
        protocol = load_protocol(str(path))
        jobs(protocol)  # whether its names are known and its files are there
    except BaseException:
        path.unlink()
        raise
    return protocol


def protocol_text(name: str, given: dict[str, Any], synthetic: bool = True) -> str:
    """Return the TOML of a protocol; of `given`, keys such as ``recipe.steps``, None is a default.

    `synthetic` says whether its data are phantoms.
    """
    choices = {"name": Choice(_toml(name)), **_defaults(synthetic, given.get("slices") or 3)}
    asked = {key: Choice(_toml(value)) for key, value in given.items() if value not in (None, [])}
    choices |= asked
    lines, table = ["# Written by `emsym-bench protocol new`; keys: docs, Write a protocol."], ""
    for key, choice in choices.items():
        inside, _, short = key.rpartition(".")
        lines.append("")
        if inside != table:
            lines += [f"[{inside}]"]
            table = inside
        lines += [f"# {line}" for line in wrap(choice.why, 96)]
        if choice.value is not None:
            lines.append(f"{short} = {choice.value}")
    return "\n".join(lines) + "\n"


def _seen_from(folder: Path, entry: str) -> str:
    """Return a name as it is, and a path as seen from a folder."""
    path, task = split_task(entry)
    if not (path.endswith(".toml") or Path(path).exists()):
        return entry
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        relative = Path(path).absolute().as_posix()
    return f"{relative}:{task}" if task else relative


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _defaults(synthetic: bool, slices: int) -> dict[str, Choice]:
    """Return every key of a protocol but its name, in the order in which they are written."""
    weights = Choice(
        '"pretext"',
        "Default, as the data are synthetic: made on this machine from a handful of photographs, "
        "without a network connection. It is not ImageNet.",
    )
    architectures = Choice(
        '["linknet-tu-test_efficientnet"]',
        "Default: the fastest of those in `quick`, about half a minute for a cell. Take the one "
        "that you use: `emsym-bench list architectures`.",
    )
    steps = Choice("100", "Default: enough for a small network on a phantom.")
    patch = Choice("64", "Default: pixels, a multiple of 32; what a phantom has room for.")
    if not synthetic:
        weights = Choice(
            '"imagenet"',
            "Default, as the data are real: the weights that most networks begin from. They are "
            "downloaded, or taken from EMSYM_WEIGHTS_DIR.",
        )
        architectures = Choice(
            '["linknet-tu-mobilenetv2_100"]',
            "Default: one of `micrographs`, which two cores can train. Take the one that you use: "
            "`emsym-bench list architectures`.",
        )
        steps = Choice(
            "200", "Default: as in `micrographs`, as few as will do; `paper` takes 4000."
        )
        patch = Choice(
            "128", "Default: pixels, a multiple of 32, as in `micrographs`; `paper` takes 256."
        )
    shapley = slices <= SHAPLEY_SLICES
    return {
        "version": Choice(
            '"1"', "Default: raise it whenever something changes that decides the numbers."
        ),
        "description": Choice('""', "Default: say in a sentence what it asks; boards show it."),
        "datasets": Choice(
            '["phantom-neurites-2"]',
            "Default: a synthetic volume that neither direction of z is special in, made on this "
            "machine. It shows that there is an effect, and nothing of its size on real data.",
        ),
        "architectures": architectures,
        "inits": Choice(
            '["rgb", "uniform-green"]',
            "Default: the pretrained filters as they are, which boards compare all others with, "
            "and the paper's fix.",
        ),
        "seeds": Choice(
            "[0, 1, 2]",
            "Default: three, as two let a board conclude nothing. More tell smaller differences.",
        ),
        "weights": weights,
        "slices": Choice("3", "Default: one for each channel of the RGB-pretrained filters."),
        "border": Choice(
            '"skip"',
            "Default: no stack is centred on a section that lacks a neighbour. `mirror` lets the "
            "sections on the other side stand in.",
        ),
        "vary": Choice(
            None,
            "Default: nothing varies beside the strategies. A table [vary] would name one thing "
            "and its values.",
        ),
        "recipe.steps": steps,
        "recipe.batch_size": Choice("8", "Default: little enough for two cores; `paper` takes 16."),
        "recipe.patch": patch,
        "recipe.learning_rate": Choice(
            "2e-3",
            "Default: the peak of a one-cycle schedule, at which small networks learn fast. Large "
            "ones want less, such as 1e-3; the protocol `learning-rate` asks what it does.",
        ),
        "recipe.weight_decay": Choice("0.01", "Default: that of AdamW."),
        "recipe.augment": Choice(
            '["flip", "turn", "brightness"]',
            "Default: what changes no section's texture; `elastic` bends it, too.",
        ),
        "recipe.precision": Choice(
            '"float32"',
            "Default: `bfloat16` is faster on a GPU; in `float64` processors agree.",
        ),
        "recipe.patch_places": Choice(
            '"cell"',
            "Default: patches of its own for each cell but for its strategy, so that cells are "
            "independent and strategies compare in pairs.",
        ),
        "recipe.threads": Choice(
            "1", "Default: a cell then gives the same numbers whatever runs beside it."
        ),
        "scoring.primary": Choice(
            '"saliency/true-foreground/model_asymmetry"',
            "Default: how much more the network counts z−1 than z+1; boards order by it.",
        ),
        "scoring.thresholds": Choice("[0.5]", "Default: the plain threshold of a probability."),
        "scoring.targets": Choice(
            '["true-foreground"]',
            "Default: the labelled pixels, which are the same for all strategies.",
        ),
        "scoring.attributions": Choice(
            '["saliency", "slice-shapley"]' if shapley else '["saliency"]',
            "Default: the headline's method, and exact Shapley values beside it."
            if shapley
            else f"Default: the headline's method; exact Shapley values are for {SHAPLEY_SLICES} "
            "slices at most.",
        ),
        "scoring.scores": Choice(
            "[]", "Default: none of the optional ones of `emsym-bench list scores`; they take time."
        ),
        "scoring.sections": Choice(
            None, "Default: no `sections`, so that all sections of the test split are scored."
        ),
        "scoring.size": Choice(None, "Default: no `size`, so that sections are scored whole."),
        "scoring.arand_3d": Choice(
            '"foreground"',
            "Default: ARAND of the volume only where instances are pieces of the foreground; "
            "between membranes one hole merges all.",
        ),
        "scoring.faithfulness": Choice(
            '{ metrics = ["slice-removal"], steps = 2, sections = 1, target = "true-foreground" }',
            "Default: the cheapest check of an attribution. `emsym-bench list metrics` has more.",
        ),
        "scoring.over_training": Choice(
            None,
            "Default: no `over_training`, which takes the symmetry scores during training, too.",
        ),
        "tolerance.cpu": Choice(
            None,
            "Default: empty. `emsym-bench verify` of a submission needs to know here how far "
            "scores may differ on another machine: `quick` shows how.",
        ),
    }
