"""`run` as a user meets them, mistakes above all: real processes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emsym.cli.run import FAILURES, _failures
from emsym.data.cards import load_card
from emsym.errors import UserError
from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import record_of
from emsym.run.workers.tasks import check_dataset

BENCH = Path(sys.executable).with_name("emsym-bench")


def bench(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BENCH, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_help_imports_nothing_slow(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['emsym-bench', '--help']\n"
        "from emsym.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'timm', 'pandas', 'numpy', 'pydantic', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "emsym-bench run --all" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "Say --all"),
        (("run", "--all", "--init", "rgb"), "--all is every cell, or with --seed"),
        (("run", "--all", "--timeout", "nan"), "no number to wait for"),
        (("run", "--init", "uniform-gren"), "did you mean 'uniform-green'"),
        (("run", "--init", "mine"), "One of your own is given with --plugin FILE."),
        (("plan", "--architecture", "unet-mine"), "One of your own is given with --plugin FILE."),
        (("run", "--dataset", "phantom-fibre"), "did you mean 'phantom-fibres'"),
        (("run", "--architecture", "unett-resnet34"), "There is no architecture"),
        (
            ("run", "--architecture", "unet-resnt34", "--init", "random"),
            "did you mean 'unet-resnet34'",
        ),
        (("run", "--all", "--protocol", "quik"), "did you mean 'quick'"),
        (("run", "--all", "--protocol", "none.toml"), "cannot be read"),
        (("run", "--all", "--workers", 0), "--workers"),
        (("run", "--all", "--plugin", "none.py"), "does not exist"),
        (("run", "--seed", "x"), "--seed"),
        (("leaderboard",), "There are no finished records"),
        (("list", "nonsense"), "nonsense"),
        (("list", "inits", "zzz*"), "None of the inits matches 'zzz*'"),
        (("run", "--seed", 0, "--output", "/proc/none"), "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_code_2(
    tmp_path: Path, words: tuple, said: str
) -> None:
    done = bench(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_debug_shows_where_a_mistake_was_found(tmp_path: Path) -> None:
    assert "Traceback" in bench("--debug", "run", cwd=tmp_path).stderr


def write_volume(folder: Path, image: np.ndarray, labels: np.ndarray, **changes: str) -> Path:
    np.save(folder / "image.npy", image)
    np.save(folder / "labels.npy", labels)
    text = (folder / "tiny-a.toml").read_text().replace("tiny-a", "own")
    phantom = text[text.index("[phantom]") : text.index("[tasks")]
    files = (
        '[sources.own]\nimage = { path = "image.npy" }\n'
        'labels.semantic = { path = "labels.npy" }\n\n'
    )
    text = text.replace(phantom, files).replace('ids = "instances"\n', "")
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path = folder / "own.toml"
    path.write_text(text)
    return path


IMAGE = np.random.default_rng(0).integers(0, 255, (12, 40, 40), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "labels", "changes", "said"),
    [
        (IMAGE, IMAGE[:, :-1] > 99, {}, "must be the same"),
        (IMAGE[0], IMAGE[0] > 99, {}, "must be (Z, Y, X)"),
        (IMAGE[:8], IMAGE[:8] > 99, {}, "ends at section 12"),
        (IMAGE, IMAGE > 99, {"a": ("train = [0, 7]", "train = [5, 7]")}, "fewer than the 3"),
        (IMAGE[:, :16], IMAGE[:, :16] > 99, {}, "smaller than the protocol's patch"),
        (np.where(IMAGE > 9, np.nan, 1.0), IMAGE > 99, {}, "NaN"),
        (IMAGE, np.zeros_like(IMAGE), {}, "without foreground"),
        (np.zeros_like(IMAGE), IMAGE > 99, {}, "is 0 everywhere in its train split"),
        (IMAGE, IMAGE, {"a": ("image.npy", "none.npy")}, "There is no file at"),
        (IMAGE, IMAGE, {"a": ("image.npy", "own.toml")}, "unknown kind"),
        (IMAGE, IMAGE % 3, {}, "holds 2, which belongs to none of the classes inside (== 0)"),
        (IMAGE, IMAGE, {"a": ("[split]", "[splitt]")}, "'split' is missing"),
    ],
)
def test_a_wrong_volume_is_one_sentence(
    tiny: Path, image: np.ndarray, labels: np.ndarray, changes: dict, said: str
) -> None:
    """As the worker tells it that reads a volume before anything is trained."""
    path = write_volume(tiny.parent, image, labels, **changes)
    with pytest.raises(UserError) as refused:
        check_dataset("own", load_card(str(path)), 3, 32, "skip")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_wrong_volume_is_told_before_anything_is_trained(tiny: Path) -> None:
    write_volume(tiny.parent, IMAGE, np.zeros_like(IMAGE))
    done = bench("run", "--protocol", tiny, "--dataset", "own.toml", "--seed", 0, cwd=tiny.parent)
    assert done.returncode == 2
    assert "without foreground" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tiny.parent.glob("emsym-results/records/*"))


@pytest.mark.slow
def test_weights_that_do_not_fit_are_one_sentence(tiny: Path) -> None:
    words = ("run", "--protocol", tiny, "--architecture", "linknet-tu-test_resnet", "--seed", 0)
    done = bench(*words, cwd=tiny.parent)
    assert done.returncode == 2
    assert "do not fit" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_of_many_failures_the_first_are_named(tiny: Path) -> None:
    job = jobs(load_protocol(str(tiny)))[0]
    failed = [record_of(job, status="failed", error="no\nway")] * (FAILURES + 2)
    lines = _failures(failed[:FAILURES], Path("out"))
    assert len(lines) == FAILURES
    assert lines[0].endswith("· rgb · 0: no way")
    *first, last = _failures(failed, Path("out"))
    assert first == lines
    assert last == "and 2 more failed: `emsym-bench failures --output out` says why"
