"""Advice on an audit's finding, ordered by what it does to the network's answer."""

import shlex
from pathlib import Path

from emsym.auditing.network import Loaded
from emsym.auditing.result import Advice, Finding
from emsym.auditing.verdict import Measured
from emsym.models.encoders import DECODERS
from emsym.wording import number, significant


def advise(
    finding: Finding,
    measured: Measured,
    loaded: Loaded,
    classes: int,
    probabilities: bool,
    most: int,
) -> list[Advice]:
    """Advise on a finding: first what makes the answer exactly symmetric, then what may.

    `probabilities` is whether the network gives these instead of logits, and `most` how many
    sections would have been looked at, had the finding not been decided by fewer.
    """
    if measured.slices == 1:
        return []
    if finding == "symmetric":
        return [Advice(text="Both sides count alike: nothing needs to be done.")]
    if finding == "unmeasurable":
        way = (
            "Choose sections that hold some, give labels with --labels, or lower --threshold."
            if measured.empty == measured.sections
            else "Check that these are the weights of a trained network, and that the volume is "
            "normalised as in training (--mean and --sd)."
        )
        return [Advice(text=way)]
    advice = []
    if finding == "unclear" and measured.more_would_tell:
        advice.append(
            Advice(
                text=f"Look at more sections: {measured.sections} of {measured.available} were "
                "audited. The interval narrows with their number: "
                f"--sections {measured.available} takes them all."
            )
        )
    elif measured.effect.matters == "unclear" and measured.sections < most:
        advice.append(
            Advice(
                text="The finding is decided, but not whether a user would notice: look at more "
                f"sections to tell that, too, --sections {most}."
            )
        )
    if measured.effect.matters == "no":
        advice.append(
            Advice(
                text="For the sake of the answer nothing needs to be done, as it hardly depends on "
                "the direction. What follows serves those who read the attributions."
            )
        )
    return [
        *advice,
        _average(measured, classes, probabilities),
        _tied(loaded),
        *_mirrored_file(loaded, classes),
        _uniform(measured.slices, loaded),
    ]


def _average(measured: Measured, classes: int, probabilities: bool) -> Advice:
    into = "" if probabilities else ".sigmoid()" if classes == 1 else ".softmax(1)"
    now = f" instead of {significant(measured.flip_error.value)}" if measured.flip_error else ""
    averaged = measured.effect.dice_averaged
    dice = (
        "" if averaged is None else f", and Dice against the labels {number(averaged, 3)}, measured"
    )
    return Advice(
        text="Without any training: average the predictions of each stack and of its mirror image. "
        f"The flip error is then 0{now}{dice}, at twice the time; an audit with --flip-average "
        "(of logits) shows the rest.",
        command=f"p = (net(x){into} + net(x.flip(1)){into}) / 2",
    )


def _tied(loaded: Loaded) -> Advice:
    where = {"TorchScript": "scripted", "torch.export": "exported", "ONNX": "exported"}.get(
        loaded.kind
    )
    before = f" before it is {where}" if where else ""
    return Advice(
        text=f"With training: tie the stem of this network{before} to its own mirror image, and "
        "fine-tune it for some steps, because its other layers are used to the old one. The flip "
        "error is 0 for as long as it is tied, at no cost in time.",
        command='emsym.symmetrize(model, "rgb+mirror-tied")',
    )


def _mirrored_file(loaded: Loaded, classes: int) -> list[Advice]:
    """Return the command that mirrors a file, where `symmetrize` builds the network as it is."""
    if loaded.repair is None or ("--architecture" in loaded.repair and classes > 1):
        return []
    path = Path(loaded.path)
    suffix = ".safetensors" if path.is_dir() else path.suffix
    output = path.with_name(f"{path.stem}-mirrored{suffix}")
    words = ["emsym-bench", "symmetrize", loaded.path, *loaded.repair]
    words += ["--init", "rgb+mirror-tied", "-o", str(output)]
    return [
        Advice(
            text="The same as a file, for a program that knows nothing of tied weights. There, "
            "fine-tuning can make the answer lean again even where the attributions stay even, "
            "so audit it again afterwards.",
            command=shlex.join(words),
        )
    ]


def _uniform(slices: int, loaded: Loaded) -> Advice:
    name = loaded.architecture or ""
    known = name if name.partition("-")[0] in DECODERS else "unet-resnet34"
    return Advice(
        text="Before you fine-tune another network: start from a stem that treats all slices alike "
        "(uniform channel initialisation, arXiv 2505.14105). It evens out the attributions, and "
        "not always the answer.",
        command=f'model = emsym.create_model("{known}", '
        f'init="uniform-green", slices={slices}, weights="imagenet")',
    )
