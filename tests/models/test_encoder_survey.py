"""The table of encoders is what is measured with the libraries that are installed."""

from pathlib import Path

import pytest

from emsym.models.encoder_survey import measure_encoder, measure_encoders, write_table
from emsym.models.encoders import FILE, Encoder, encoders

KINDS = """
    mit_b0 vgg11 tu-test_byobnet tu-crossvit_9_240 tu-naflexvit_base_patch16_gap tu-csatv2
    tu-vit_tiny_patch16_224
    """.split()  # noqa: SIM905
"""One of each kind of row: plain, branches, patches, refused, no decoder."""

EVERY = 6
"""A slow test measures every sixth row: `python -m emsym.models.encoder_survey` measures all anew,
in a quarter of an hour, and `git diff` then shows what has changed."""


def _difference(told: Encoder, found: Encoder) -> str:
    fields = [key for key, value in vars(told).items() if value != getattr(found, key)]
    return "".join(f"{told.name}: {key} is {getattr(found, key)!r}; " for key in fields)


def test_it_is_written_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(encoders())
    assert names == sorted(names)
    text = FILE.read_text(encoding="utf-8")
    monkeypatch.setattr("emsym.models.encoder_survey.FILE", tmp_path / "again.csv")
    write_table(list(encoders().values())[::-1])
    assert (tmp_path / "again.csv").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", KINDS)
def test_a_row_is_what_is_measured(name: str) -> None:
    assert measure_encoder(name) == encoders()[name]


@pytest.mark.slow
def test_every_sixth_row_is_what_is_measured() -> None:
    rows = encoders()
    told = [_difference(rows[row.name], row) for row in measure_encoders(list(rows)[::EVERY])]
    assert not [line for line in told if line]
