"""The leaderboard as one HTML file that needs nothing else; without a script it is tables.

Every text is escaped, and a content security policy lets nothing run or load but the page's own
script and style, which it names by their digests.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emsym import wording
from emsym.leaderboard.board import Board
from emsym.leaderboard.experiments.families import last_variants
from emsym.leaderboard.experiments.reports import reports
from emsym.leaderboard.render import sentences, svg_charts
from emsym.leaderboard.render.board_numbers import board_numbers
from emsym.leaderboard.render.board_view import board_view
from emsym.leaderboard.render.row_texts import MEANINGS

FOLDER = Path(__file__).parent / "page_files"
SCRIPTS = ("statistics.js", "charts.js", "leaderboard.js")


@dataclass(frozen=True)
class CellExample:
    """One section, and what networks made of it: grey levels 0..1 (H, W), by what they show."""

    caption: str
    pictures: dict[str, np.ndarray]
    """The slices and the label, the same for all networks."""
    answers: dict[str, dict[str, np.ndarray]]
    """The answer of a network of each strategy."""


def page(
    boards: Sequence[Board],
    examples: Sequence[CellExample] = (),
    credits: Sequence[tuple[str, str]] = (),
    documents: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page of the leaderboards, with examples, and (name, who) of submissions.

    Of the variants of one protocol it has the last, with the report on all of them. `documents` are
    links: (text, address).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["named"] = _named
    parts = "\n".join(_text(FOLDER / name) for name in SCRIPTS)
    script, style = f'"use strict";\n(() => {{\n{parts}\n}})();', _text(FOLDER / "page.css")
    policy = (
        f"default-src 'none'; img-src data:; script-src '{_digest(script)}'; "
        f"style-src '{_digest(style)}'; base-uri 'none'; form-action 'none'"
    )
    # between < and > of a script element only </ and <!-- mean something
    made = reports(boards)
    boards = last_variants(boards)
    numbers = [board_numbers(board) for board in boards]
    data = json.dumps(numbers, separators=(",", ":"), allow_nan=False)
    return environment.get_template("page.html").render(
        policy=policy,
        script=Markup(script),
        style=Markup(style),
        data=Markup(data.replace("<", "\\u003c").replace("&", "\\u0026")),
        boards=[
            {**board_view(board), "experiments": [each for each in made if each.board is board]}
            for board in boards
        ],
        examples=[_example(example) for example in examples],
        credits=credits,
        documents=documents,
        paper=sentences.PAPER,
        method=[*MEANINGS.items(), *sentences.METHOD.items(), *sentences.plugin_meanings(boards)],
        charts=svg_charts,
        MISSING=wording.MISSING,
        drawings=_Drawings(),
    )


class _Drawings:
    """The drawings of strategies, each of which many rows of a page refer to."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        """The markup of each, and what it is referred to by."""

    def id_of(self, shapes: str) -> str:
        """Return what a drawing is referred to by, and keep it."""
        return self.ids.setdefault(shapes, f"drawing-{len(self.ids)}")


def _named(sentence: str) -> Any:
    """Return a sentence as HTML, in which names in quotation marks are bold instead."""
    from markupsafe import Markup, escape

    parts = re.split("“([^”]*)”", sentence)
    texts = (
        Markup("<b>{}</b>").format(part) if at % 2 else escape(part)
        for at, part in enumerate(parts)
    )
    return Markup("").join(texts)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _example(example: CellExample) -> dict[str, Any]:
    from emsym.images import data_uri, shrink

    def uris(pictures: dict[str, np.ndarray], longest: int) -> dict[str, str]:
        return {name: data_uri(shrink(each, longest)) for name, each in pictures.items()}

    return {
        "caption": example.caption,
        "pictures": uris(example.pictures, 288),
        "answers": {name: uris(each, 48) for name, each in example.answers.items()},
    }
