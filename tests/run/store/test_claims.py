import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from emsym.run.store import claims
from emsym.run.store.claims import PREFIX, Claims


def test_what_one_run_is_at_another_does_not_get(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.claim(["a", "b"]) == {"a", "b"}
        assert other.claim(["b", "c"]) == {"c"}
        assert one.others() == {"c"}
        assert one.claim(["d"], at=["b"]) == {"d"}
        assert other.claim(["a"]) == {"a"}, "the first is not at it any more"
    assert not list(tmp_path.iterdir())


def test_of_two_that_want_the_same_in_the_same_moment_one_gets_it(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        first, second = sorted((one, other), key=lambda each: each._path.name)
        # both have looked, neither has told: as `claim` does between its two looks
        first._mine, second._mine = {"a"}, {"a"}
        first._write()
        second._write()
        assert first.others(before=first._path.name) == set()
        assert second.others(before=second._path.name) == {"a"}


def test_a_run_that_was_killed_counts_for_nothing_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from emsym.run.store.claims import Claims\n"
        "with Claims(Path(sys.argv[1])) as mine:\n"
        "    mine.claim(['a']); print('ready', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    with Claims(tmp_path) as mine:
        assert mine.claim(["a", "b"]) == {"b"}
        other.send_signal(signal.SIGKILL)
        other.communicate()
        assert mine.claim(["a"]) == {"a"}
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1, "left behind, and believed by nobody"


def test_a_run_on_another_machine_is_believed_while_it_touches_its_file(tmp_path: Path) -> None:
    path = tmp_path / f"{PREFIX}elsewhere"
    claim = {"host": "not-" + socket.gethostname(), "pid": 1, "started": 0.0, "keys": ["a"]}
    path.write_text(json.dumps(claim))
    with Claims(tmp_path) as mine:
        assert mine.claim(["a"]) == set()
        silent = time.time() - claims.STALE - 5
        os.utime(path, (silent, silent))
        assert mine.claim(["a"]) == {"a"}


def test_a_claim_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    for number, text in enumerate(("", "[]", "{}", '{"keys": 3}', "\0\xff")):
        (tmp_path / f"{PREFIX}{number}").write_bytes(text.encode("latin1"))
    with Claims(tmp_path) as mine:
        assert mine.claim(["a"]) == {"a"}


def test_a_run_goes_on_touching_its_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.05)
    with Claims(tmp_path) as mine:
        mine.claim(["a"])
        os.utime(mine._path, (0, 0))
        time.sleep(0.4)
        assert mine._path.stat().st_mtime > time.time() - 10
