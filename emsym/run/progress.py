"""What a run tells whoever watches it."""

from collections.abc import Collection
from typing import Protocol


class Progress(Protocol):
    """Who watches a run."""

    def phase(self, name: str, costs: Collection[float]) -> None:
        """Pieces of work begin, which take about so long, in any unit."""

    def advance(self, what: str, cost: float, error: str | None = None) -> None:
        """One of them ended."""

    def say(self, text: str) -> None:
        """One sentence for the user."""
