"""Real runs: real worker processes, a real Ctrl-C, a real full disk."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(sys.executable).with_name("emsym-bench")

SLOW_INIT = """
import time
from emsym import register_init

@register_init("slow-after-the-check")
def slow(rgb, slices):
    "Quick in the check, which builds one network, and then slow."
    slow.calls = getattr(slow, "calls", 0) + 1
    if slow.calls > 1:
        time.sleep(60)
    return rgb[:, [1] * slices]
"""


def bench(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BENCH, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def records(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "records").glob("*")}


@pytest.fixture(scope="module")
def first_run(tiny_files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny protocol's first seed; not to be written to."""
    folder = tmp_path_factory.mktemp("first")
    for name, content in tiny_files.items():
        (folder / name).write_bytes(content)
    done = bench("run", "--protocol", "tiny.toml", "--seed", 0, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def ended(first_run: Path, tmp_path: Path) -> Path:
    """A copy of the folder of that run."""
    return Path(shutil.copytree(first_run, tmp_path / "ended"))


def test_a_run_ends_with_the_leaderboard_and_a_second_does_nothing(ended: Path) -> None:
    before = records(ended / "results")
    assert len(before) == 2
    markdown = (ended / "results" / "leaderboard.md").read_text()
    assert "`uniform-green`" in markdown
    start = time.monotonic()
    again = bench("run", "--protocol", "tiny.toml", "--seed", 0, cwd=ended)
    assert again.returncode == 0
    assert "2 stored, 0 to run" in again.stdout
    assert "uniform-green" in again.stdout
    assert records(ended / "results") == before
    assert time.monotonic() - start < 10, "nothing that needs torch was imported"


def test_what_is_missing_is_added_and_the_rest_left(ended: Path) -> None:
    before = records(ended / "results")
    done = bench("run", "--protocol", "tiny.toml", "--all", "--workers", 2, cwd=ended)
    assert done.returncode == 0, done.stderr
    assert "4 cells, 2 stored, 2 to run" in done.stdout
    assert "Wall time: preparing data and weights" in done.stdout
    after = records(ended / "results")
    assert len(after) == 4
    assert before.items() <= after.items()


def test_any_number_of_workers_gives_the_same_numbers(ended: Path) -> None:
    words = ("run", "--protocol", "tiny.toml", "--seed", 0, "--workers", 2, "--output", "other")
    assert bench(*words, cwd=ended).returncode == 0

    def numbers(folder: str) -> dict[str, object]:
        found = {name: json.loads(text) for name, text in records(ended / folder).items()}
        return {name: (r["scores"], r["images"], r["curve"]) for name, r in found.items()}

    assert numbers("results") == numbers("other")


def test_a_plugin_strategy_runs_and_reaches_the_leaderboard(ended: Path) -> None:
    (ended / "mine.py").write_text(SLOW_INIT.replace("slow-after-the-check", "mine"))
    (ended / "broken.py").write_text("raise RuntimeError('oh dear')")
    words = ("--protocol", "tiny.toml", "--plugin", "mine.py", "--plugin", "broken.py")
    listed = bench("list", "inits", "mi*", *words[2:], cwd=ended)
    assert listed.stdout.startswith("mine  ")
    (ended / "mine.py").write_text(
        SLOW_INIT.replace("slow-after-the-check", "mine").replace("60", "0")
    )
    done = bench("run", *words, "--init", "mine", "--seed", 0, cwd=ended)
    assert done.returncode == 0, done.stderr
    assert "broken.py is skipped: RuntimeError: oh dear" in done.stderr
    assert "`mine`" in (ended / "results" / "leaderboard.md").read_text()
    made = [json.loads(text) for text in records(ended / "results").values()]
    sources = {record["init"]: record["init_source"] for record in made}
    assert re.fullmatch(r"[0-9a-f]{64}", sources["mine"])
    assert sources["rgb"] is None


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(ended: Path) -> None:
    """As a terminal sends it: to every process of the group at once."""
    before = records(ended / "results")
    (ended / "slow.py").write_text(SLOW_INIT)
    words = ["run", "--protocol", "tiny.toml", "--plugin", "slow.py", "--workers", "1"]
    words += ["--init", "uniform-green", "--init", "slow-after-the-check"]
    process = subprocess.Popen(
        [BENCH, *words],
        cwd=ended,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background jobs ignore it, and their children with them
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(600):  # uniform-green of seed 0 is stored: the slow cell is the first to run
        time.sleep(0.1)
        if process.poll() is not None or _children(process.pid):
            break
    time.sleep(12)
    os.killpg(process.pid, signal.SIGINT)
    said, complained = process.communicate(timeout=30)
    assert process.returncode == 130, complained
    assert complained.strip().count("\n") == 0, "one plain sentence"
    assert "Whatever is finished is kept" in complained
    assert "Traceback" not in said + complained
    assert before.items() <= records(ended / "results").items()
    assert not _group(process.pid), "no worker is left behind"
    done = bench("run", "--protocol", "tiny.toml", "--all", cwd=ended)
    assert done.returncode == 0, done.stderr
    assert len(records(ended / "results")) == 4


def _children(pid: int) -> str:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text() if path.exists() else ""


def _group(pgid: int) -> str:
    ps = subprocess.run(["ps", "-eo", "pgid,stat,pid"], capture_output=True, text=True).stdout
    rows = [line.split() for line in ps.splitlines()[1:]]
    return " ".join(pid for group, state, pid in rows if group == str(pgid) and state[0] != "Z")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a record or two and what is kept to look at of them."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=56k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_keeps_what_is_done(tiny: Path, small_disk: Path) -> None:
    done = bench(
        "run", "--protocol", tiny, "--all", "--workers", 1, "--output", small_disk, cwd=tiny.parent
    )
    assert done.returncode == 2
    assert "The disk is full at" in done.stderr
    assert "Traceback" not in done.stderr
    kept = records(small_disk)
    assert 1 <= len(kept) < 4
    assert all(json.loads(text)["status"] == "done" for text in kept.values())


def test_a_cell_that_fails_is_told_and_the_rest_goes_on(ended: Path) -> None:
    (ended / "flaky.py").write_text(
        SLOW_INIT.replace("slow-after-the-check", "flaky").replace(
            "time.sleep(60)", "raise ValueError('not this time')"
        )
    )
    words = ("--protocol", "tiny.toml", "--seed", 0, "--plugin", "flaky.py", "--workers", 1)
    done = bench("run", *words, "--init", "flaky", "--init", "rgb", cwd=ended)
    assert done.returncode == 1
    assert "flaky · 0: The init 'flaky' fails: ValueError: not this time" in done.stderr
    assert "Traceback" not in done.stderr
    assert "rgb" in done.stdout


def test_a_worker_that_dies_is_one_sentence(ended: Path) -> None:
    (ended / "killer.py").write_text(
        SLOW_INIT.replace("slow-after-the-check", "killer").replace(
            "time.sleep(60)", "__import__('os').kill(__import__('os').getpid(), 9)"
        )
    )
    words = ("--protocol", "tiny.toml", "--seed", 0, "--plugin", "killer.py")
    before = records(ended / "results")
    done = bench("run", *words, "--init", "killer", cwd=ended)
    assert done.returncode == 2
    assert "A worker process died" in done.stderr
    assert "Traceback" not in done.stderr
    assert records(ended / "results") == before


def test_a_network_that_does_not_read_the_patches_is_told_before_anything_is_trained(
    tiny: Path,
) -> None:
    tiny.write_text(tiny.read_text().replace("linknet-tu-test_efficientnet", "pan-tu-test_resnet"))
    done = bench("run", "--protocol", tiny, "--init", "random", cwd=tiny.parent)
    assert done.returncode == 2
    assert "does not read patches of 32 × 32 pixels" in done.stderr
    assert "emsym-bench list architectures pan-tu-test_resnet" in done.stderr
    assert "Traceback" not in done.stderr
