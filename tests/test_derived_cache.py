import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from emsym.derived_cache import cached_arrays


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMSYM_DATA_DIR", str(tmp_path))
    return tmp_path / "made"


def arrays() -> dict[str, np.ndarray]:
    return {"image": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "ids": np.ones(2, np.int32)}


def never() -> dict[str, np.ndarray]:
    raise AssertionError("it was made already")


def test_what_was_made_is_not_made_again(kept: Path) -> None:
    first, second = cached_arrays("a", arrays), cached_arrays("a", never)
    for name, array in arrays().items():
        assert np.array_equal(first[name], array)
        assert np.array_equal(second[name], array)
        assert second[name].dtype == array.dtype
    assert not [path for path in kept.iterdir() if path.name.startswith(".partial")]


@pytest.mark.parametrize("kept_bytes", [0, 60, 130])
def test_what_was_cut_short_on_disk_is_made_in_memory(kept: Path, kept_bytes: int) -> None:
    cached_arrays("a", arrays)
    (path,) = kept.glob("*/image.npy")
    path.write_bytes(path.read_bytes()[:kept_bytes])
    assert np.array_equal(cached_arrays("a", arrays)["image"], arrays()["image"])


def test_another_thing_is_another(kept: Path) -> None:
    cached_arrays("a", arrays)
    with pytest.raises(AssertionError):
        cached_arrays("b", never)
    assert cached_arrays("b", arrays).keys() == arrays().keys(), (
        "what failed left nothing in the way"
    )


def test_what_is_written_to_it_stays_here(kept: Path) -> None:
    cached_arrays("a", arrays)["image"][:] = 0
    assert np.array_equal(cached_arrays("a", never)["image"], arrays()["image"])


def test_where_nothing_can_be_kept_it_is_made_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMSYM_DATA_DIR", str(tmp_path / "file"))
    assert np.array_equal(cached_arrays("a", arrays)["image"], arrays()["image"])


CODE = """
import sys, time
from pathlib import Path
import numpy as np
from emsym.derived_cache import cached_arrays

def make():
    with Path(sys.argv[1]).open("a") as file:
        file.write("made\\n")
    time.sleep(float(sys.argv[2]))
    return {"image": np.full(9, 7)}

print(cached_arrays("shared", make)["image"].sum())
"""


def test_of_several_processes_at_once_one_makes_it(kept: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path / "log"), "1"]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in several] == ["63\n"] * 4
    assert (tmp_path / "log").read_text() == "made\n"


def test_one_that_was_killed_while_making_is_in_nobodys_way(kept: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = subprocess.Popen([sys.executable, "-c", CODE, str(log), "60"])
    while not log.exists():
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    again = subprocess.run(
        [sys.executable, "-c", CODE, str(log), "0"], capture_output=True, text=True, timeout=60
    )
    assert again.stdout == "63\n"
