from typing import Any

import cloup
import pytest
from click.testing import CliRunner

from emsym.cli.cell_options import CELLS, MACHINE, chooses_cells


def parsed(*words: str) -> dict[str, Any]:
    options: dict[str, Any] = {}

    @cloup.command()
    @cloup.option_group("Where they run", *MACHINE)
    @cloup.option_group("Which cells", *CELLS)
    def command(**given: Any) -> None:
        options.update(given)

    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    return options


def test_without_words_every_cell_of_quick_is_meant_on_any_device() -> None:
    options = parsed()
    assert not chooses_cells(options)
    names = ("protocol_name", "workers", "device", "cells_per_gpu")
    assert [options[name] for name in names] == ["quick", None, "auto", 1]


@pytest.mark.parametrize("name", ["dataset", "architecture", "init", "seed"])
def test_any_of_four_options_chooses_and_may_be_repeated(name: str) -> None:
    options = parsed(f"--{name}", "1", f"--{name}", "2")
    assert chooses_cells(options)
    assert options[f"{name}s"] in (("1", "2"), (1, 2))
