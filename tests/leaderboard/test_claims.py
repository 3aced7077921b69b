"""Claims are judged on every board of an output folder."""

from pathlib import Path

from emsym.leaderboard.claims import claims
from emsym.leaderboard.verdicts import load_claims


def test_each_claim_is_judged_on_each_board(store: Path) -> None:
    ((title, verdicts),) = claims(store).items()
    assert title == "tiny, version 1, 4 cells"
    assert [each.claim for each in verdicts] == list(load_claims())
    assert {each.verdict for each in verdicts} <= {"held", "failed", "undecided", "not tried"}
