"""A cache of arrays that are computed once per machine: phantoms and derived labels.

The first process that needs them computes them, others wait; all of them share their memory.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from emsym.paths import data_dir

Arrays = dict[str, np.ndarray]


def cached_arrays(deciding: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays that `make` gives, from this machine's cache where it has been called.

    `deciding` is a digest of everything that they follow from, beside the code in ``emsym/data``
    and the libraries that it uses. They are mapped into memory; what is written to them stays in
    this process. Where the folder cannot be written they are made in memory.
    """
    from filelock import FileLock

    name = hashlib.sha256(f"{deciding} {_code_version()}".encode()).hexdigest()[:32]
    folder = data_dir() / "made" / name
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            # the system frees it when its holder dies
            with FileLock(folder.with_suffix(".lock")):
                if not folder.is_dir():
                    _save_arrays(make(), folder)
        return {path.stem: np.load(path, mmap_mode="c") for path in folder.glob("*.npy")}
    except (OSError, ValueError, EOFError):  # a full disk, a folder not ours, a file cut short
        return make()


@cache
def _code_version() -> str:
    digest = hashlib.sha256()
    # what makes phantoms and reads labels; where a file lies does not matter, as names are not read
    for path in sorted((Path(__file__).parent / "data").rglob("*.py")):
        digest.update(path.read_bytes())
    libraries = [f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-image")]
    return " ".join([digest.hexdigest(), *libraries])


def _save_arrays(arrays: Arrays, folder: Path) -> None:
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
    try:
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)
        partial.chmod(0o755)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
