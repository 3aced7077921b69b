"""Records whose every number hangs together, made up in a moment, and a submission of them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emsym.leaderboard.submission.expected import bounds, counts, image_scores, look_scores
from emsym.leaderboard.submission.pack import pack
from emsym.protocol import Protocol, load_protocol
from emsym.run.plan import Job, jobs
from emsym.run.record import Record
from emsym.run.scoring import summarise
from emsym.run.store import Store

SECTIONS = [8, 9, 10]
MACHINE = {"device": "cpu", "processor": "A & B", "commit": "0" * 40, "dirty": False, "threads": 1}


def made_up(job: Job) -> Record:
    """A finished record of a job, as if a network had been trained."""
    rng = np.random.default_rng(int(job.key[:8], 16))
    protocol, n = job.protocol, len(SECTIONS)
    pixels = np.random.default_rng(0).integers(400, 600, n)  # the labels of all cells alike
    images: dict[str, np.ndarray] = {}
    pooled = {"arand_3d": 0.25}
    for at, threshold in enumerate(protocol.scoring.thresholds):
        tp = (pixels * rng.uniform(0.5, 0.9, n)).astype(int)
        fp, fn = rng.integers(10, 99, n), pixels - tp
        images |= {f"{k}@{threshold}": v for k, v in (("tp", tp), ("fp", fp), ("fn", fn))}
        for name, part, whole in (("dice", 2 * tp, 2 * tp + fp + fn), ("iou", tp, tp + fp + fn)):
            images[f"{name}@{threshold}"] = part / whole
            pooled[f"{name}@{threshold}"] = float(part.sum() / whole.sum())
        if at == 0:
            images |= {"foreground/pixels": tp + fp, "true-foreground/pixels": pixels}
    images |= symmetric(image_scores(protocol) - images.keys(), n, rng)
    looks = symmetric(look_scores(protocol), 2, rng)
    columns = {name: [float(v) for v in values] for name, values in images.items()}
    columns["arand_2d"][1] = None
    scores, missing = summarise({k: v for k, v in columns.items() if k not in counts(protocol)})
    return job.record(
        status="done",
        scores=scores | pooled,
        missing=missing,
        images={"section": SECTIONS, **columns},
        over_training={
            "steps": list(protocol.scoring.over_training.steps),
            "sections": [8, 10],
            "images": {name: [v.tolist()] * 2 for name, v in looks.items()},
        },
        seconds={"train": 1.5, "data": 0.25},
        peak_memory_mb=500.0,
        environment=MACHINE,
    )


def symmetric(names: set[str], n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of symmetry scores, in which shares add up to one and asymmetries to the whole."""
    order = sorted(names, key=lambda name: (not name.startswith("saliency/"), name))
    found = {name: rng.uniform(*np.clip(bounds(name), 0, 1), n) for name in order}
    for before in {name.rpartition("/")[0] for name in names if "slice_share[" in name}:
        shares = sorted(k for k in found if k.startswith(f"{before}/slice_share["))
        for name, values in zip(shares, rng.dirichlet(np.ones(len(shares)), n).T, strict=True):
            found[name] = values
        model, data = rng.uniform(-0.5, 0.5, (2, n))
        found[f"{before}/model_asymmetry"], found[f"{before}/data_asymmetry"] = model, data
        found[f"{before}/neighbour_asymmetry"] = model + data
    return found


@pytest.fixture
def protocol(tiny: Path) -> Protocol:
    return load_protocol(str(tiny))


@pytest.fixture
def store(tiny: Path, protocol: Protocol) -> Path:
    """The folder of a run, with four cells and what is kept to look at of each."""
    for job in jobs(protocol):
        keep(tiny.parent / "run", made_up(job))
    return tiny.parent / "run"


def keep(folder: Path, record: Record) -> None:
    Store(folder / "records").save(record)
    (folder / "examples").mkdir(exist_ok=True)
    look = np.random.default_rng(0).integers(0, 255, (3, 8, 8), dtype=np.uint8)
    flat = {"truth": look[0] // 128, "probability": look[1]}
    with (folder / "examples" / f"{record.key}.npz").open("wb") as file:
        section = np.array(9, np.int32)
        np.savez_compressed(file, image=look, attribution=look, section=section, **flat)


@pytest.fixture
def submission(tiny: Path, store: Path, protocol: Protocol) -> Path:
    """The folder of a sound submission."""
    folder = tiny.parent / "results" / "submissions" / "ours-1"
    pack(store, protocol, folder)
    fill_in(folder)
    return folder


def fill_in(folder: Path) -> None:
    sheet = folder / "submission.toml"
    words = {"title": "Ours", "contact": "us@example.org", "code": "https://example.org/ours"}
    text = sheet.read_text().replace('authors = [""]', 'authors = ["A. Author"]')
    for key, word in words.items():
        text = re.sub(rf'(?m)^{key} = ""', f'{key} = "{word}"', text)
    sheet.write_text(text)


class Packed:
    """A folder with the tiny protocol, and the files of a sound submission."""

    def __init__(self, root: Path, files: dict[str, bytes]) -> None:
        self.root, self.files = root, files


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, tiny_files: dict[str, bytes]) -> Packed:
    root = tmp_path_factory.mktemp("packed")
    for name, content in tiny_files.items():
        (root / name).write_bytes(content)
    protocol = load_protocol(str(root / "tiny.toml"))
    for job in jobs(protocol):
        keep(root / "run", made_up(job))
    folder = root / "ours-1"
    pack(root / "run", protocol, folder)
    fill_in(folder)
    names = [path for path in folder.rglob("*") if path.is_file()]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}
    shutil.rmtree(folder)
    return Packed(root, files)


@pytest.fixture(name="made_up")
def _made_up() -> Callable[[Job], Record]:
    return made_up


@pytest.fixture(name="keep")
def _keep() -> Callable[[Path, Record], None]:
    return keep


@pytest.fixture(name="fill_in")
def _fill_in() -> Callable[[Path], None]:
    return fill_in
