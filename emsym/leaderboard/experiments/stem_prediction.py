"""The side that a network should lean to, by the norms of its stem as it is filled."""

from functools import cache

from emsym.errors import UserError
from emsym.leaderboard.board import Board
from emsym.models.inits import parse_init

EMBEDDED = "pretext"
"""The weights that every machine has, or can make."""


def stem_prediction(board: Board, init: str) -> float | None:
    """Return (after − before)/(after + before) of the norms of the stem's filters at z±1.

    The mean over a leaderboard's architectures. None where its weights may not be on this machine,
    for what a plug-in brought, and without pretrained weights.
    """
    sources = board.cells.loc[board.cells["init"] == init, ["init_source", "architecture_source"]]
    embedded = {board.first["weights"], board.first["identity"]} == {EMBEDDED}
    if not embedded or sources.notna().any(axis=None):
        return None
    architectures = dict.fromkeys(architecture for _, architecture in board.shared)
    try:
        if not parse_init(init).strategy.pretrained:
            return None
        values = [_stem_asymmetry(name, init, int(board.first["slices"])) for name in architectures]
    except UserError:  # of a strategy that this emsym does not know, or that needs a card
        return None
    return sum(values) / len(values)


@cache
def _stem_asymmetry(architecture: str, init: str, slices: int) -> float:
    from emsym.models.architectures import build_model
    from emsym.models.stem.profile import stem_profile

    share = stem_profile(build_model(architecture, init, slices, EMBEDDED, 0).model, slices).share
    before, after = share[slices // 2 - 1], share[slices // 2 + 1]
    return float((after - before) / (after + before))
