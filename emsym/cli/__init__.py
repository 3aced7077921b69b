"""emsym-bench, the command line: words in, calls to the rooms, one plain sentence when wrong.

Everything slow is imported where it is used, so that help and mistakes answer at once.
"""

import io
import signal
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Any, NoReturn

import click
import cloup

from emsym.cli.audit import audit
from emsym.cli.claims import claims
from emsym.cli.compare import compare
from emsym.cli.data import data
from emsym.cli.demo import demo
from emsym.cli.env import env
from emsym.cli.examples import examples
from emsym.cli.failures import failures
from emsym.cli.figures import figures
from emsym.cli.leaderboard import leaderboard
from emsym.cli.list import list_
from emsym.cli.plan import plan
from emsym.cli.protocol import protocol
from emsym.cli.recommend import recommend
from emsym.cli.run import run
from emsym.cli.sanity import sanity
from emsym.cli.store import store
from emsym.cli.submit import submit
from emsym.cli.symmetrize import symmetrize
from emsym.cli.validate import validate
from emsym.cli.verify import verify
from emsym.cli.weights import weights
from emsym.errors import UserError, ended_by, escape_unseen, one_line

INTERRUPTED = 130
ENDING = ("click.core", "rich.console")
"""Modules that exit by themselves, without a word: when a shell has completed a word, and when
nobody reads on, as of `emsym-bench … | head`."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 some cells failed, 2 a mistake, 130 Ctrl-C."""
    warnings.showwarning = _one_line
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a code page may lack a minus or an arrow
            stream.reconfigure(errors="replace")
    _end_as_by_ctrl_c()
    debug = "--debug" in sys.argv
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except UserError as error:
        _fail(str(error), debug)
    except (KeyboardInterrupt, click.Abort):
        with suppress(OSError):  # the terminal may be gone
            click.echo(
                "\nStopped. Whatever is finished is kept: the same command goes on from here.",
                err=True,
            )
        sys.exit(INTERRUPTED)
    except Exception:
        raise
    except SystemExit as error:
        if _raised_in(error) in ENDING:
            sys.exit(error.code)
        _fail(ended_by(error), debug)
    except BaseException as error:  # a plug-in's own
        _fail(ended_by(error), debug)
    sys.exit(code)


def _fail(sentence: str, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    click.echo(f"emsym-bench: {escape_unseen(sentence)}", err=True)
    sys.exit(2)


def _raised_in(error: BaseException) -> str:
    """Return the name of the module that raised an error."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "")


def _end_as_by_ctrl_c() -> None:
    """Let what a job queue sends before it kills, and a terminal that is closed, end a command."""
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as of `nohup`
            signal.signal(number, _interrupt)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"emsym-bench: {one_line(str(message))}", err=True)


@cloup.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    sections=[
        cloup.Section("Run a benchmark", [demo, run, plan, failures, protocol, list_, store]),
        cloup.Section("Read results", [leaderboard, compare, recommend, claims, figures]),
        cloup.Section("Your own network", [audit, sanity, symmetrize]),
        cloup.Section("Data and weights", [data, weights]),
        cloup.Section("Submit", [submit, validate, verify]),
        cloup.Section("Report an error", [env]),
    ],
    epilog=examples(
        "emsym-bench demo",
        "emsym-bench run --all",
        "emsym-bench audit network.pt volume.tif --architecture unet-resnet34",
        "emsym-bench run --help",
    ),
)
@click.option("--debug", is_flag=True, help="Show the traceback of a mistake.")
@click.version_option(package_name="emsym")
def cli(debug: bool) -> None:
    """Benchmark: does a 2.5D network treat the slices on either side alike?"""
