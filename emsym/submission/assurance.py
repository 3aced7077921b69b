"""The levels of assurance: how much of a submission was seen to hold by others than its authors."""

from enum import StrEnum


class Assurance(StrEnum):
    """A level of assurance; each includes those before it.

    None of them says that a submission's networks were trained as its protocol wants: that is seen
    where cells are run again, of these cells alone.
    """

    SELF_ATTESTED = "self-attested"
    """The scores are the authors' word."""
    RECOMPUTED = "recomputed"
    """The scores follow from the packed values of sections, as `validate` finds."""
    REPRODUCED = "reproduced"
    """Cells that were run again agree with the claimed scores, as `verify` finds."""

    @property
    def meaning(self) -> str:
        """The level in a phrase: what it says, and what it does not.

        >>> f"{Assurance.SELF_ATTESTED}: {Assurance.SELF_ATTESTED.meaning}"
        "self-attested: the scores are its authors' word, and nobody computed them again"
        """
        return _MEANINGS[self]


_MEANINGS = {
    Assurance.SELF_ATTESTED: "the scores are its authors' word, and nobody computed them again",
    Assurance.RECOMPUTED: "the scores that come of single sections were computed again from the "
    "values that it holds of them; these are its authors' word, and no network was run",
    Assurance.REPRODUCED: "cells that were run again here agree with their claimed scores within "
    "the protocol's tolerance; what it says of all others is recomputed alone",
}
