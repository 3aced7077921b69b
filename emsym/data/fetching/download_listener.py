"""The interface through which a fetch reports its progress."""

from typing import Protocol


class DownloadListener(Protocol):
    """An object that is told how a fetch goes, such as `DownloadBar`."""

    def bytes(self, name: str, done: int, total: int | None) -> None:
        """Note that `done` bytes of a file are here, of `total` if the server said how many."""

    def say(self, text: str) -> None:
        """Show one sentence."""
