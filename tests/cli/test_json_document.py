import json
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from click.testing import CliRunner

from emsym.cli.json_document import JSON, print_json


@dataclass
class Cell:
    name: str
    dice: float


@click.command()
@JSON
def command(as_json: bool) -> None:
    cells = [Cell("z−1", np.float64(0.5)), Cell("z", float("nan"))]
    print_json({"as_json": as_json, "cells": cells, "folder": Path("a")})


def test_a_document_is_read_back_as_it_was() -> None:
    done = CliRunner().invoke(command, ["--json"], catch_exceptions=False)
    assert json.loads(done.stdout_bytes) == {
        "as_json": True,
        "cells": [{"name": "z−1", "dice": 0.5}, {"name": "z", "dice": None}],
        "folder": "a",
    }
