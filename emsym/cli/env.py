"""`env`: what a report of an error needs to say of the machine and the software."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cloup

from emsym.cli.examples import examples
from emsym.cli.json_document import JSON, print_json


@dataclass(frozen=True)
class Machine:
    """The software and the machine that a command runs with; None is what is not known."""

    emsym: str
    commit: str | None
    """The Git commit, where emsym runs from a checkout."""
    dirty: bool | None
    """Whether that checkout was changed since."""
    python: str
    platform: str
    processor: str
    cores: int
    """Those that this process may use."""
    memory_gb: float
    """The memory that this process may use, in 10⁹ bytes."""
    gpus: list[str]
    packages: dict[str, str | None]
    data_folder: Path | None
    weights_folder: str | None
    """The value of EMSYM_WEIGHTS_DIR, be there such a folder or not."""


@cloup.command(epilog=examples("emsym-bench env", "emsym-bench env --json"))
@JSON
def env(as_json: bool) -> None:
    """Say what a report of an error needs of machine and software.

    Versions, processor, memory, GPUs, and the folders of data and weights.
    """
    machine = this_machine()
    if as_json:
        print_json(machine)
        return
    changed = ", changed since" if machine.dirty else ""
    lines = {
        "emsym": machine.emsym + (f", commit {machine.commit}{changed}" if machine.commit else ""),
        "python": machine.python,
        "platform": machine.platform,
        "processor": f"{machine.processor}, {machine.cores} cores for this process",
        "memory": f"{machine.memory_gb:.1f} GB",
        "GPU": ", ".join(machine.gpus) or "none that torch sees",
        **{name: version or "not installed" for name, version in machine.packages.items()},
        "data": machine.data_folder or "nowhere: set EMSYM_DATA_DIR",
        "weights": machine.weights_folder or "of the hub: EMSYM_WEIGHTS_DIR is not set",
    }
    width = max(map(len, lines)) + 2
    for word, text in lines.items():
        click.echo(f"{word:<{width}}{text}")


def this_machine() -> Machine:
    """Look at this machine. Torch is imported for its GPUs alone, where it is installed."""
    from emsym.environment import PACKAGES, environment
    from emsym.errors import UserError
    from emsym.models.pretrained.hub import WEIGHTS_DIR
    from emsym.paths import data_dir
    from emsym.run.workers.hardware import cores, memory
    from emsym.version import __version__

    known: dict[str, Any] = {**environment()}
    packages = {name: known.pop(name) for name in PACKAGES if name != "emsym"}
    try:
        data = data_dir()
    except UserError:
        data = None
    return Machine(
        **{**known, "emsym": __version__},
        cores=cores(),
        memory_gb=round(memory() / 1e9, 1),
        gpus=_gpus(),
        packages=packages,
        data_folder=data,
        weights_folder=os.environ.get(WEIGHTS_DIR),
    )


def _gpus() -> list[str]:
    """Return the GPUs' names; what is wrong with torch, where it cannot tell."""
    if importlib.util.find_spec("torch") is None:
        return []
    try:
        import torch

        count = torch.cuda.device_count()
        names = [torch.cuda.get_device_name(index) for index in range(count)]
        return names or ["mps"] * torch.backends.mps.is_available()
    except Exception as error:  # a broken installation is what is to be reported
        return [f"torch fails: {type(error).__name__}: {error}"]
