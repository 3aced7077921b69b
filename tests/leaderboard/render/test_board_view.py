"""The texts that the page's template shows of a board."""

from made_boards import board_of

from emsym.leaderboard.render.board_view import board_view
from emsym.protocol import load_protocol


def test_synthetic_data_are_called_a_demonstration(records) -> None:
    view = board_view(board_of(records))
    assert view["synthetic"].startswith("A demonstration on synthetic data")
    real = [
        record.model_copy(
            update={"dataset": record.dataset.model_copy(update={"modality": "serial-section TEM"})}
        )
        for record in records
    ]
    assert board_view(board_of(real))["synthetic"] == ""


def test_it_says_how_much_was_trained(records) -> None:
    told = board_view(board_of(records))["size"]
    assert told == "4 trained networks: 1 data set × 1 architecture × 2 seeds × 2 strategies"


def test_the_file_of_another_protocol_is_not_shown(records) -> None:
    assert board_view(board_of(records))["protocol"] == ""


def test_a_board_says_what_its_protocol_is_about(records) -> None:
    """A protocol that does not ship is known by what was measured."""
    assert board_view(board_of(records))["about"].startswith("Measured on tiny-a")
    for name, end in {"quick": "ImageNet).", "slices-9": "of the variant slices-9 alone."}.items():
        protocol = load_protocol(name)
        stamp = {"name": name, "version": protocol.version, "digest": protocol.digest}
        made = [
            r.model_copy(update={"protocol": r.protocol.model_copy(update=stamp)}) for r in records
        ]
        about = board_view(board_of(made))["about"]
        assert about.startswith(protocol.description)
        assert about.endswith(end)
