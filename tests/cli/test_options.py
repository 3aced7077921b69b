from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from emsym.cli.options import OUTPUT, PLUGIN, load_plugins
from emsym.errors import UserError
from emsym.registry import PluginWarning


@click.command()
@PLUGIN
@OUTPUT
@click.pass_context
def command(ctx: click.Context, plugins: tuple[Path, ...], output: Path) -> None:
    again = load_plugins(ctx, plugins)
    click.echo(f"{[path.name for path in plugins]} {again == plugins} {output}")


def test_plugins_are_loaded_once_and_one_that_fails_stops_the_command(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "good.py").write_text(f"open({str(log)!r}, 'a').write('loaded ')\n")
    (tmp_path / "bad.py").write_text("1 / 0")
    good, bad = (f"--plugin={tmp_path / name}.py" for name in ("good", "bad"))
    with pytest.warns(PluginWarning):  # it registers nothing
        done = CliRunner().invoke(command, [good, good])
    assert "['good.py', 'good.py'] True emsym-results" in done.output
    assert log.read_text() == "loaded "
    with pytest.warns(PluginWarning):
        done = CliRunner().invoke(command, [bad])
    assert isinstance(done.exception, UserError)
    assert "bad.py could not be loaded" in str(done.exception)


def test_a_plugin_that_is_not_there_is_a_mistake() -> None:
    done = CliRunner().invoke(command, ["--plugin", "none.py"])
    assert done.exit_code == 2
    assert "does not exist" in done.output
