import pytest
from click.testing import CliRunner, Result

from emsym.cli.verify import verify
from emsym.protocol import Cell
from emsym.submission import verify as module
from emsym.submission.verify import ScoreMismatch


def call(monkeypatch: pytest.MonkeyPatch, *cells: list[ScoreMismatch]) -> Result:
    """Verify a submission whose cells, run again, differ by so much."""
    made = [module.Verified(Cell("em", "unet", "rgb", n), each) for n, each in enumerate(cells)]
    monkeypatch.setattr(module, "verify_submission", lambda *_: made)
    words = ["ours", "--sample", str(len(cells))]
    return CliRunner().invoke(verify, words, standalone_mode=False, catch_exceptions=False)


SAME = ScoreMismatch("dice@0.5", 0.5, 0.5, 0.0)
CLOSE = ScoreMismatch("flip_error", 0.2, 0.201, 0.01)
FAR = ScoreMismatch("arand_3d", 0.01, 0.4, 0.02)


def test_cells_within_the_tolerance_are_as_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call(monkeypatch, [SAME], [SAME, CLOSE])
    assert done.return_value == 0
    assert "seed 0: every score is exactly as claimed." in done.output
    assert "furthest is flip_error, by 0.001 of 0.01." in done.output
    assert "2 of 2 cells that were run again are as claimed." in done.output
    assert "\nassurance: reproduced: cells that were run again here agree" in done.output


def test_each_score_beyond_is_told_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    done = call(monkeypatch, [SAME, FAR], [SAME])
    assert done.return_value == 1
    assert "seed 0: arand_3d is 0.4 here, and 0.01 is claimed: 0.39 apart, 0.02 all" in done.output
    assert "1 of 2 cells that were run again are as claimed." in done.output
    assert "\nassurance: recomputed, and not reproduced: scores that were run" in done.output
    assert "another kind of processor may be why" in done.output
