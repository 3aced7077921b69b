"""Every command's help ends with examples, and they are commands that there are."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from emsym.cli import cli
from emsym.data.cards import load_card
from emsym.models.inits import parse_init
from emsym.protocol import load_protocol


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, f"{path} {name}")


def shown(command: click.Command) -> list[str]:
    head, _, rest = (command.epilog or "").partition("Examples:\n")
    assert head.strip() == "\b", "click would wrap them"
    return [line.strip() for line in rest.splitlines()]


COMMANDS = dict(commands(cli, "emsym-bench"))
EXAMPLES = [(path, line) for path, command in COMMANDS.items() for line in shown(command)]


def parsed(line: str) -> click.Context:
    """The context of the command that is called, its words read as they would be."""
    _, *words = shlex.split(line)
    context = cli.make_context("emsym-bench", words)
    while isinstance(context.command, click.Group):
        left = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, left)
        assert command is not None
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that examples name and that must be there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("emsym.cli.options.load_plugins", lambda _, paths: tuple(paths))
    (tmp_path / "my_init.py").touch()
    for name in ("weights", "downloads"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_examples_of_itself(path: str) -> None:
    examples = shown(COMMANDS[path])
    assert len(set(examples)) >= 2
    assert all(line.startswith(path) for line in examples)
    assert max(map(len, examples)) < 95


@pytest.mark.parametrize(("path", "line"), EXAMPLES)
@pytest.mark.usefixtures("folder")
def test_an_example_can_be_read_and_what_it_names_exists(path: str, line: str) -> None:
    if line.endswith("--help"):
        line = line.removesuffix("--help")
        assert line.strip() in COMMANDS
        return
    context = parsed(line)
    assert context.command_path.startswith(path)
    given = context.params
    for name in (given.get("protocol_name"), *given.get("protocols", ())):
        assert not name or name.endswith(".toml") or load_protocol(name)
    for name in (given.get("init"), *given.get("inits", ())):
        assert not name or parse_init(name)
    if path.startswith("emsym-bench data"):
        for name in (given.get("name"), *given.get("names", ())):
            assert not name or load_card(name)


CHEAP = [line for _, line in EXAMPLES if " list " in line or line.endswith((" plan", "neurites"))]


@pytest.mark.parametrize("line", sorted({*CHEAP}))
@pytest.mark.usefixtures("folder")
def test_an_example_that_costs_little_runs(line: str) -> None:
    done = CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output


def test_options_and_commands_stand_in_groups() -> None:
    def text(*words: str) -> str:
        return CliRunner().invoke(cli, [*words, "--help"]).output

    run = text("run")
    heads = ["Which cells:", "Where they run:", "Limits:", "Output:", "Your own code:", "Examples:"]
    assert sorted(heads, key=run.index) == heads
    assert run.index("Where they run:") < run.index("--cluster") < run.index("Limits:")
    assert run.count("--cluster") == 1
    assert text("run") == run, "asking twice changes nothing"
    whole = text()
    assert whole.index("Run a benchmark:") < whole.index("Read results:") < whole.index("Submit:")
    assert "Other commands" not in whole


@pytest.mark.parametrize(
    "path", [path for path, command in COMMANDS.items() if isinstance(command, click.Group)]
)
def test_no_command_is_cut_short_in_a_list_of_commands(path: str) -> None:
    """In a terminal of 80 columns."""
    words = [*path.split()[1:], "--help"]
    lines = CliRunner().invoke(cli, words, env={"COLUMNS": "80"}).output.splitlines()
    assert not [line for line in lines[1:] if line.endswith("...")]
