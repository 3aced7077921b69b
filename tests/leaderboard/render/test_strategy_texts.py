"""Every strategy has a line from its docstring and a drawing of its slices."""

from emsym.leaderboard.render.strategy_texts import SIDE, strategy_texts
from emsym.models.inits import list_inits


def test_a_symmetric_strategy_is_drawn_as_its_own_mirror_image() -> None:
    for name, symmetric in {"mirror": True, "uniform-green": True, "rgb": False}.items():
        (text,) = strategy_texts([name], 3)
        places = {(each.x, each.y, each.size) for each in text.squares}
        width = 3 * (SIDE + 1) - 1
        mirrored = {(round(width - x - size, 1), y, size) for x, y, size in places}
        assert (places == mirrored) == symmetric, name


def test_an_area_is_as_large_as_its_weight() -> None:
    (text,) = strategy_texts(["mirror"], 3)
    sizes = sorted({each.size for each in text.squares})
    assert sizes[-1] == SIDE
    assert abs((sizes[0] / SIDE) ** 2 - 0.5) < 0.02


def test_what_is_taken_away_is_told() -> None:
    (text,) = strategy_texts(["difference"], 3)
    assert sum(each.negative for each in text.squares) == 6
    assert text.reading.startswith("z−1: −0.5 R − 0.5 G − 0.5 B; z: 2 R + 2 G + 2 B")


def test_interventions_are_told_by_name_and_time() -> None:
    (text,) = strategy_texts(["rgb+mirror-tied+flip-average-0.25"], 3)
    (tied, average) = text.more
    assert tied[:2] == ("mirror-tied", "initialisation")
    assert tied[2].startswith("Keeps w_s = w_−s")
    assert average[1] == "inference"
    assert average[2].startswith("Averages the logits")


def test_a_line_that_is_told_of_the_strategy_itself_is_told_once() -> None:
    plain, more = strategy_texts(["rgb", "rgb+flip-average"], 3)
    assert more.line == "As “rgb”, and more."
    (alone,) = strategy_texts(["rgb+flip-average"], 3)
    assert alone.line == plain.line


def test_what_is_not_registered_here_has_a_name_alone() -> None:
    (text,) = strategy_texts(["theirs+unknown"], 3)
    assert (text.line, text.kind, text.squares) == ("", "", [])
    assert text.more == [("unknown", "", "")]


def test_every_strategy_that_ships_has_a_line() -> None:
    names = [name for name in list_inits() if name not in ("timm", "smp")]
    assert all(text.line and text.kind and text.reading for text in strategy_texts(names, 3))
