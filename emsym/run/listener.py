"""The interface of whoever wants to hear how a run goes."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emsym.data.fetching.download_listener import DownloadListener
    from emsym.protocol import Protocol
    from emsym.run.executors.base import Note
    from emsym.run.job import Job
    from emsym.run.plan import Plan


class RunListener:
    """Is told how a run goes, and does nothing: a subclass overrides what it wants to hear.

    `note` is called from other threads, everything else from the thread that runs.
    """

    def downloading(self) -> "AbstractContextManager[DownloadListener]":
        """Give the listener of a download that begins; the context ends with the download."""
        return nullcontext(self)

    def bytes(self, name: str, done: int, total: int | None) -> None:
        """Hear that `done` of `total` bytes of a file have come."""

    def planned(self, protocol: "Protocol", plan: "Plan", chosen: "Sequence[Job]") -> None:
        """Hear which cells there are, and which of them are run now."""

    def phase(self, name: str, costs: Collection[float]) -> None:
        """Hear that pieces of work begin, which take about so long, in any unit."""

    def advance(self, what: str, cost: float, error: str | None = None) -> None:
        """Hear that one of them ended."""

    def note(self, note: "Note") -> None:
        """Hear what a worker is doing."""

    def say(self, text: str) -> None:
        """Hear one sentence for the user."""
