"""Leaderboards of the variants of one protocol, found by the protocols' digests."""

from collections.abc import Sequence
from dataclasses import dataclass

from emsym.leaderboard.board import Board
from emsym.leaderboard.eligibility import shared_identity
from emsym.protocol import Protocol, list_protocols, load_protocol


@dataclass(frozen=True)
class Family:
    """The leaderboards of several variants of a protocol that ships, from the same weights."""

    name: str
    key: str
    """The key that varies, such as ``recipe.learning_rate``."""
    base: str
    """The value that the others are compared with: the protocol's own, or the first there is."""
    boards: dict[str, Board]
    """By the values, in the order of the protocol."""

    @property
    def what(self) -> str:
        """The words for what varies."""
        word = self.key.rpartition(".")[2].replace("_", " ")
        return "number of slices" if word == "slices" else word

    @property
    def strategies(self) -> list[str]:
        """The strategies that all of them rank."""
        first, *others = self.boards.values()
        return [name for name in first.ranked if all(name in each.ranked for each in others)]


def families(boards: Sequence[Board]) -> list[Family]:
    """Return the families of which there are two leaderboards at least."""
    weights_of = {board: _weights(board) for board in boards}
    made = []
    for protocol in (load_protocol(name) for name in list_protocols()):
        for key, values in protocol.vary.items():
            digests = [variant.digest for variant in protocol.variants()]
            for weights in dict.fromkeys(weights_of.values()):
                members = {
                    str(value): board
                    for value, digest in zip(values, digests, strict=True)
                    for board in boards
                    if (board.first["digest"], weights_of[board]) == (digest, weights)
                }
                if len(members) > 1:
                    base = own_value(protocol, key)
                    base = base if base in members else next(iter(members))
                    made.append(Family(protocol.name, key, base, members))
    return made


def last_variants(boards: Sequence[Board]) -> list[Board]:
    """Return the leaderboards less those of a family that come before its last.

    The report of the family, which stands with the last, has the numbers of all.
    """
    earlier = [
        board
        for family in families([each for each in boards if each.ranked])
        if family.strategies
        for board in list(family.boards.values())[:-1]
    ]
    return [board for board in boards if not any(board is each for each in earlier)]


def _weights(board: Board) -> str:
    return str(shared_identity(board.cells[:1]).iloc[0])


def own_value(protocol: Protocol, key: str) -> str:
    """Return the value that a protocol has for what varies, beside the variants'."""
    value = protocol.model_dump()
    for part in key.split("."):
        value = value[part]
    return str(value)
