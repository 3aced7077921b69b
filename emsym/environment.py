"""The machine and the software that a record was made with."""

import importlib.metadata
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

PACKAGES = (
    "captum",
    "emsym",
    "numpy",
    "quantus",
    "scikit-image",
    "segmentation-models-pytorch",
    "timm",
    "torch",
)


@cache
def environment() -> dict[str, str | int | bool | None]:
    """Return versions, the processor, and emsym's git commit where it runs from a checkout."""
    commit = _git("rev-parse", "HEAD")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "commit": commit,
        "dirty": None if commit is None else bool(_git("status", "--porcelain")),
        **{name: _version(name) for name in PACKAGES},
    }


def peak_memory_mb() -> float | None:
    """Return this process's largest resident memory so far, in MB; None where not known."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def _version(package: str) -> str | None:
    """Return the version that is installed, without importing it; None where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git(*words: str) -> str | None:
    """Return Git's answer about this package's checkout; None for an installed package."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
