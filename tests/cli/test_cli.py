"""How every command ends: signals, mistakes, and what is printed of them."""

import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emsym import cli
from emsym.errors import UserError, error_with_type

BENCH = Path(sys.executable).with_name("emsym-bench")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Begin as a terminal does, whatever these tests are run from, and put back what was."""
    usual = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    kept = {number: signal.signal(number, handler) for number, handler in usual.items()}
    shown = warnings.showwarning
    yield
    warnings.showwarning = shown
    for number, handler in kept.items():
        signal.signal(number, handler)


def end(monkeypatch: pytest.MonkeyPatch, command: Callable[..., object]) -> int | str | None:
    """Run `main` with that command in the place of all; return its exit code."""
    monkeypatch.setattr(cli, "cli", command)
    monkeypatch.setattr(sys, "argv", ["emsym-bench"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_as_ctrl_c_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def signalled(**_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    assert end(monkeypatch, signalled) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [SystemExit(), SystemExit(0), SystemExit(3), Stop("enough")])
def test_code_of_a_user_never_ends_a_command_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def ended(**_: object) -> None:
        raise error

    assert end(monkeypatch, ended) == 2
    told = capsys.readouterr().err
    assert f"ended before it was done, by {error_with_type(error)} ({__file__}:" in told
    assert told.count("\n") == 1


def test_code_of_a_user_may_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    assert end(monkeypatch, interrupted) == 130


def test_a_hangup_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    assert end(monkeypatch, lambda **_: os.kill(os.getpid(), signal.SIGHUP)) is None


def test_what_a_code_page_lacks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    assert end(monkeypatch, lambda **_: print("z−1")) is None
    assert stream.buffer.getvalue() == b"z?1\n"


def test_nothing_in_a_message_begins_a_line_or_hides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistaken(**_: object) -> None:
        warnings.warn("two\n::error::lines\u202e", stacklevel=1)
        raise UserError("\x1b[2J\n::error::")

    assert end(monkeypatch, mistaken) == 2
    assert capsys.readouterr().err.splitlines() == [
        r"emsym-bench: two ::error::lines\u202e",
        r"emsym-bench: \x1b[2J\n::error::",
    ]


def completed(shell: str, words: str, at: int) -> str:
    """What a shell is told that the last of these words may be, by a process of its own."""
    asked = {
        "_EMSYM_BENCH_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": words.rpartition(" ")[2] if shell == "fish" else str(at),
    }
    done = subprocess.run(
        [BENCH], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    assert "run" in re.split(r"[,\s]", completed(shell, "emsym-bench ru", 1))
    assert "--retry-failed" in completed(shell, "emsym-bench run --retr", 2)
    assert "plan" not in completed(shell, "emsym-bench ru", 1)


@pytest.mark.parametrize("words", [("list", "encoders"), ("list", "encoders", "--help")])
def test_a_reader_that_has_enough_is_no_mistake(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([BENCH, *words], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
