"""Real runs: real worker processes, a real Ctrl-C, a real full disk."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


DEEDS = {
    "killed": (
        "os.kill(os.getpid(), 9)",
        "was killed (SIGKILL), most often because memory ran out",
    ),
    "crashes": ("os.abort()", "crashed (SIGABRT): File"),
    "leaves": ("os._exit(3)", "ended by itself, with code 3"),
    "exits": ("exit()", "SystemExit"),
    "hangs": ("time.sleep(999)", "longer than the --timeout of 90 s"),
    "grows": ("allocate()", "more than the 1.5 GB of one worker"),
    "nan": ("rgb.fill_(float('nan'))", "not finite"),
}
KILLERS = """
import os, time
from emsym import register_init

def allocate():
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20)) * 50)
        time.sleep(0.01)

def register(name, deed):
    @register_init(name)
    def killer(rgb, slices):
        "Quick in the check, which builds one network, and then not."
        filters, rgb = len(rgb), rgb[:, [1] * slices].clone()
        if filters == 64:  # of no network here: what its shape is tried with
            return rgb
        if os.path.exists(f"tried-{name}"):
            eval(deed)
        open(f"tried-{name}", "w").close()
        return rgb

for name, deed in DEEDS.items():
    register(name, deed)
"""


def bench(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BENCH, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=500
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
    before = records(ended / "emsym-results")
    assert len(before) == 2
    markdown = (ended / "emsym-results" / "leaderboard.md").read_text()
    assert "`uniform-green`" in markdown
    words = ["-X", "importtime", "-m", "emsym", "run", "--protocol", "tiny.toml", "--seed", "0"]
    again = subprocess.run([sys.executable, *words], cwd=ended, capture_output=True, text=True)
    assert again.returncode == 0
    assert "2 stored, 0 to run" in again.stdout
    assert "uniform-green" in again.stdout
    assert records(ended / "emsym-results") == before
    assert not re.search(r"\| +torch$", again.stderr, re.MULTILINE), "what needs it was imported"


@pytest.mark.slow
def test_what_is_missing_is_added_and_the_rest_left(ended: Path) -> None:
    before = records(ended / "emsym-results")
    words = ("--protocol", "tiny.toml", "--all", "--workers", 2, "--log", "log.txt")
    done = bench("run", *words, cwd=ended)
    assert done.returncode == 0, done.stderr
    assert "4 cells, 2 stored, 2 to run" in done.stdout
    assert "wall time: preparing data and weights" in (ended / "log.txt").read_text()
    after = records(ended / "emsym-results")
    assert len(after) == 4
    assert before.items() <= after.items()


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_numbers(ended: Path) -> None:
    words = ("run", "--protocol", "tiny.toml", "--seed", 0, "--workers", 2, "--output", "other")
    assert bench(*words, cwd=ended).returncode == 0

    def numbers(folder: str) -> dict[str, object]:
        found = {name: json.loads(text) for name, text in records(ended / folder).items()}
        return {name: (r["scores"], r["images"], r["curve"]) for name, r in found.items()}

    assert numbers("emsym-results") == numbers("other")


@pytest.mark.slow
def test_a_plugin_strategy_runs_and_reaches_the_leaderboard(ended: Path) -> None:
    (ended / "mine.py").write_text(SLOW_INIT.replace("slow-after-the-check", "mine"))
    words = ("--protocol", "tiny.toml", "--plugin", "mine.py")
    listed = bench("list", "inits", "mi*", *words[2:], cwd=ended)
    assert listed.stdout.startswith("mine  ")
    (ended / "mine.py").write_text(
        SLOW_INIT.replace("slow-after-the-check", "mine").replace("60", "0")
    )
    done = bench("run", *words, "--init", "mine", "--seed", 0, cwd=ended)
    assert done.returncode == 0, done.stderr
    assert "`mine`" in (ended / "emsym-results" / "leaderboard.md").read_text()
    made = [json.loads(text) for text in records(ended / "emsym-results").values()]
    sources = {record["init"]: record["init_source"] for record in made}
    assert re.fullmatch(r"[0-9a-f]{64}", sources["mine"])
    assert sources["rgb"] is None


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BENCH, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell's background jobs ignore it, and their children with them
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until(happened: Callable[[], object], process: subprocess.Popen[str], seconds: int = 120):
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def log_says(path: Path, *words: str) -> Callable[[], bool]:
    def says() -> bool:
        return path.exists() and any(
            all(word in line for word in words) for line in path.read_text().splitlines()
        )

    return says


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_finishes_what_runs_and_a_second_stops_at_once(ended: Path, times: int) -> None:
    """As a terminal sends it: to every process of the group at once."""
    before = records(ended / "emsym-results")
    slow = SLOW_INIT.replace("60", "4" if times == 1 else "60")
    (ended / "slow.py").write_text(slow)
    words = ["run", "--protocol", "tiny.toml", "--plugin", "slow.py", "--workers", "1"]
    words += ["--init", "slow-after-the-check", "--init", "rgb", "--log", "log.txt"]
    process = start(*words, cwd=ended)
    until(log_says(ended / "log.txt", "worker 1", "slow-after-the-check · seed 0"), process)
    time.sleep(1)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130, complained
    assert "Stopping: what runs is finished first" in said
    assert complained.strip().count("\n") == 0, "one plain sentence"
    assert "Whatever is finished is kept" in complained
    assert "Traceback" not in said + complained
    after = records(ended / "emsym-results")
    assert before.items() <= after.items()
    assert len(after) - len(before) == (1 if times == 1 else 0)
    for _ in range(100):  # what forks workers notices the end of the run by itself
        if not _group(process.pid):
            break
        time.sleep(0.05)
    assert not _group(process.pid), "no worker is left behind"
    assert not list((ended / "emsym-results" / "records").glob(".*")), "nor a claim"
    done = bench("run", "--protocol", "tiny.toml", "--all", cwd=ended)
    assert done.returncode == 0, done.stderr


def _group(pgid: int) -> str:
    ps = subprocess.run(["ps", "-eo", "pgid,stat,pid"], capture_output=True, text=True).stdout
    rows = [line.split() for line in ps.splitlines()[1:]]
    return " ".join(pid for group, state, pid in rows if group == str(pgid) and state[0] != "Z")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a record or two and what is kept to look at of them."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
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


def test_a_folder_that_cannot_be_written_is_one_sentence_before_anything_runs(
    tiny: Path, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    words = ("run", "--protocol", tiny, "--all", "--output", small_disk)
    start = time.monotonic()
    done = bench(*words, cwd=tiny.parent)
    assert done.returncode == 2
    assert f"{small_disk / 'records'}" in done.stderr
    assert "Read-only file system" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - start < 15, "no network was built"


def test_a_store_of_a_newer_emsym_is_one_sentence_and_left_alone(ended: Path) -> None:
    path = next((ended / "emsym-results" / "records").iterdir())
    newer = path.read_text().replace('"schema_version": 1', '"schema_version": 2')
    path.write_text(newer)
    for words in (("run",), ("plan",), ("store", "check"), ("leaderboard",)):
        more = () if words[0] in ("store", "leaderboard") else ("--protocol", "tiny.toml")
        done = bench(*words, *more, *(("--all",) if words == ("run",) else ()), cwd=ended)
        assert done.returncode == 2, words
        assert "was written by a newer emsym" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert path.read_text() == newer


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_strategy_that_ends_the_process_from_the_start_fails_its_own_cells(
    ended: Path,
) -> None:
    for name in ("killed", "exits"):
        (ended / f"tried-{name}").touch()
    deeds = {name: deed for name, (deed, _) in DEEDS.items() if name in ("killed", "exits")}
    deeds["interrupts"] = "(_ for _ in ()).throw(KeyboardInterrupt)"
    (ended / "tried-interrupts").touch()
    (ended / "killers.py").write_text(f"DEEDS = {deeds}\n{KILLERS}")
    words = ["--protocol", "tiny.toml", "--seed", 1, "--plugin", "killers.py", "--workers", 1]
    words += [word for name in (*deeds, "rgb") for word in ("--init", name)]
    done = bench("run", *words, cwd=ended)
    assert done.returncode == 1, done.stdout + done.stderr
    told = {line.split(" · ")[2]: line for line in done.stderr.splitlines()}
    assert "was killed (SIGKILL)" in told["killed"]
    assert "SystemExit" in told["exits"]
    assert "KeyboardInterrupt" in told["interrupts"]
    made = [json.loads(text) for text in records(ended / "emsym-results").values()]
    assert {r["init"] for r in made if r["seed"] == 1 and r["status"] == "done"} == {"rgb"}


@pytest.mark.slow
def test_what_a_job_queue_sends_stops_a_run_as_ctrl_c_does(ended: Path) -> None:
    (ended / "slow.py").write_text(SLOW_INIT)
    words = ["run", "--protocol", "tiny.toml", "--plugin", "slow.py", "--workers", "1"]
    process = start(*words, "--init", "slow-after-the-check", "--log", "log.txt", cwd=ended)
    until(log_says(ended / "log.txt", "worker 1", "slow-after-the-check · seed"), process)
    process.send_signal(signal.SIGTERM)
    _, complained = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Whatever is finished is kept" in complained
    assert not list((ended / "emsym-results" / "records").glob(".*")), "nor a claim"


@pytest.fixture(scope="module")
def killing_run(
    first_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple, subprocess.CompletedProcess[str]]:
    """The folder, words and end of a run most of whose cells end their workers."""
    folder = Path(shutil.copytree(first_run, tmp_path_factory.mktemp("killing") / "run"))
    deeds = {name: deed for name, (deed, _) in DEEDS.items()}
    (folder / "killers.py").write_text(f"DEEDS = {deeds}\n{KILLERS}")
    words = ("--protocol", "tiny.toml", "--seed", 1, "--plugin", "killers.py")
    words += tuple(word for name in (*DEEDS, "rgb") for word in ("--init", name))
    limits = ("--workers", 2, "--timeout", 90, "--memory", 1.5)
    return folder, words, bench("run", *words, *limits, cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", DEEDS)
def test_what_ends_a_worker_is_the_failed_record_of_one_cell(
    killing_run: tuple[Path, tuple, subprocess.CompletedProcess[str]], name: str
) -> None:
    folder, _, done = killing_run
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if f" · {name} · 1: " in line]
    assert len(lines) == 1
    assert DEEDS[name][1] in lines[0]
    made = [json.loads(text) for text in records(folder / "emsym-results").values()]
    (record,) = [each for each in made if each["init"] == name]
    assert record["status"] == "failed"
    assert record["error"] in lines[0]


@pytest.mark.slow
def test_the_rest_goes_on_and_what_failed_is_not_run_again_unasked(
    killing_run: tuple[Path, tuple, subprocess.CompletedProcess[str]],
) -> None:
    folder, words, done = killing_run
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == len(DEEDS)
    before = records(folder / "emsym-results")
    made = [json.loads(text) for text in before.values()]
    assert {r["init"] for r in made if r["seed"] == 1 and r["status"] == "done"} == {"rgb"}
    again = bench("run", *words, cwd=folder)
    assert again.returncode == 1
    assert "1 stored, 0 to run, 7 failed earlier (--retry-failed runs them again)" in again.stdout
    assert again.stderr.splitlines() == done.stderr.splitlines()
    planned = bench("plan", *words, cwd=folder)
    assert planned.stdout.count("failed  tiny-a") == 7
    assert "1 stored, 0 to run, 7 failed (--retry-failed)" in planned.stdout
    assert records(folder / "emsym-results") == before


@pytest.mark.slow
def test_what_failed_is_run_again_where_asked(ended: Path) -> None:
    plugin = ended / "flaky.py"
    plugin.write_text(SLOW_INIT.replace("> 1", "> 99"))
    words = ("run", "--protocol", "tiny.toml", "--seed", 1, "--plugin", "flaky.py")
    words += ("--init", "slow-after-the-check", "--init", "rgb")
    assert bench(*words, cwd=ended).returncode == 0
    (path,) = [
        p for p in (ended / "emsym-results/records").iterdir() if "after-the" in p.read_text()
    ]
    record = json.loads(path.read_text())
    failed = {**record, "status": "failed", "error": "a power cut"}
    path.with_suffix(".failed.json").write_text(json.dumps(failed, indent=1))
    path.unlink()
    kept = bench(*words, cwd=ended)
    assert kept.returncode == 1
    assert kept.stderr.endswith("· slow-after-the-check · 1: a power cut\n")
    done = bench(*words, "--retry-failed", cwd=ended)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["scores"] == record["scores"]
    assert not path.with_suffix(".failed.json").exists()


@pytest.mark.slow
def test_a_strategy_that_is_wrong_from_the_start_fails_its_cells_and_no_others(ended: Path) -> None:
    (ended / "wrong.py").write_text(
        SLOW_INIT.replace("slow-after-the-check", "wrong")
        .replace("> 1", "> 0")
        .replace("time.sleep(60)", "raise ValueError('never')")
    )
    words = ("--protocol", "tiny.toml", "--seed", 1, "--plugin", "wrong.py", "--init", "wrong")
    done = bench("run", *words, "--init", "rgb", cwd=ended)
    assert done.returncode == 1
    assert "wrong · 1: The init 'wrong' fails: ValueError: never" in done.stderr
    assert len(records(ended / "emsym-results")) == 4
    alone = bench("run", *words, "--output", "other", cwd=ended)
    assert alone.returncode == 2, "nothing can be run"
    assert not list(ended.glob("other/records/*"))


@pytest.mark.slow
def test_a_damaged_record_is_set_aside_and_its_cell_run_again(ended: Path) -> None:
    before = records(ended / "emsym-results")
    name, text = next(iter(before.items()))
    path = ended / "emsym-results" / "records" / name
    path.write_text(text[:100])
    planned = bench("plan", "--protocol", "tiny.toml", "--seed", 0, cwd=ended)
    assert f"The record emsym-results/records/{name} is damaged" in planned.stdout
    assert "1 stored, 1 to run" in planned.stdout
    done = bench("run", "--protocol", "tiny.toml", "--seed", 0, cwd=ended)
    assert done.returncode == 0, done.stderr
    assert f"{name} is damaged (it is cut short)" in done.stderr
    after = records(ended / "emsym-results")
    assert after.pop(f"{name}.damaged") == text[:100]
    assert json.loads(after[name])["scores"] == json.loads(text)["scores"]


def test_a_plan_learns_from_cells_that_were_not_chosen(ended: Path) -> None:
    planned = bench("plan", "--protocol", "tiny.toml", "--seed", 1, cwd=ended)
    assert "0 stored, 2 to run" in planned.stdout
    assert "by what 2 cells took" in planned.stdout


@pytest.mark.slow
def test_two_runs_on_one_folder_share_the_work(tiny: Path) -> None:
    words = ("run", "--protocol", tiny, "--all", "--workers", 1, "--log")
    both = [start(*words, f"log-{number}.txt", cwd=tiny.parent) for number in (1, 2)]
    for process in both:
        said, complained = process.communicate(timeout=200)
        assert process.returncode == 0, complained
        assert "uniform-green" in said
    logs = [(tiny.parent / f"log-{number}.txt").read_text() for number in (1, 2)]
    begun = [line for log in logs for line in log.splitlines() if "worker 1: tiny-a · " in line]
    assert len(begun) == len({line.partition("worker")[2] for line in begun}) == 4
    assert len(records(tiny.parent / "emsym-results")) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "cuda:17"), "There is no device 'cuda"),
        (("--device", "tpu"), "There is no device 'tpu': say auto, cpu, mps, cuda"),
        (("--timeout", 0), "--timeout"),
        (("--memory", -1), "--memory"),
        (("--executor", "lokal"), "did you mean 'local'"),
        (("--scheduler", "tcp://127.0.0.1:1"), "--executor dask"),
        (("--executor", "dask"), "needs either --scheduler"),
        (("--executor", "dask", "--cluster", "none.toml"), "does not exist"),
        (("--log", "/proc/none/log"), "The log /proc/none/log cannot be written"),
    ],
)
def test_a_machine_that_is_not_there_is_one_sentence(tiny: Path, words: tuple, said: str) -> None:
    done = bench("run", "--protocol", tiny, "--all", *words, cwd=tiny.parent)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tiny.parent.glob("emsym-results/records/*"))


@pytest.mark.slow
def test_a_network_that_does_not_read_the_patches_is_told_before_anything_is_trained(
    tiny: Path,
) -> None:
    tiny.write_text(tiny.read_text().replace("linknet-tu-test_efficientnet", "pan-tu-test_resnet"))
    done = bench("run", "--protocol", tiny, "--init", "random", cwd=tiny.parent)
    assert done.returncode == 2
    assert "does not read patches of 32 × 32 pixels" in done.stderr
    assert "emsym-bench list architectures pan-tu-test_resnet" in done.stderr
    assert "Traceback" not in done.stderr
