"""The folder that ``--output`` names, and where each thing lies in it."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT = Path("emsym-results")
"""The output folder of every command that is given no other; nothing in it is committed."""
COMMITTED = Path("results")
"""The folder of a clone with the committed submissions and their leaderboard."""


@dataclass(frozen=True)
class OutputFolder:
    """The paths of everything that runs, submissions and the leaderboard keep in one folder.

    >>> OutputFolder(Path("results")).network("ab12").as_posix()
    'results/networks/ab12.pt'
    """

    path: Path

    @property
    def records(self) -> Path:
        """The folder of the store: a JSON file for each cell."""
        return self.path / "records"

    @property
    def networks(self) -> Path:
        """The folder of the trained networks that were kept."""
        return self.path / "networks"

    @property
    def examples(self) -> Path:
        """The folder of examples: one test section with what a network made of it."""
        return self.path / "examples"

    @property
    def training(self) -> Path:
        """The folder of the training logs that were asked for."""
        return self.path / "training"

    @property
    def tensorboard(self) -> Path:
        """The folder that TensorBoard is shown: a folder for each training."""
        return self.training / "tensorboard"

    @property
    def submissions(self) -> Path:
        """The folder of the submissions, a folder each.

        The default output folder of a clone has none of its own: its leaderboard shows the
        committed ones beside the cells of one's own.
        """
        committed = self.path.parent / COMMITTED / "submissions"
        own = self.path / "submissions"
        borrows = self.path.name == DEFAULT.name and committed.is_dir() and not own.is_dir()
        return committed if borrows else own

    @property
    def markdown(self) -> Path:
        """The leaderboard as Markdown, which shows its pictures."""
        return self.path / "leaderboard.md"

    @property
    def page(self) -> Path:
        """The leaderboard as a web page."""
        return self.path / "index.html"

    @property
    def scores_table(self) -> Path:
        """The CSV table with a line for each cell and score."""
        return self.path / "leaderboard.csv"

    @property
    def cells_table(self) -> Path:
        """The CSV table with a line for each cell."""
        return self.path / "cells.csv"

    @property
    def texts(self) -> tuple[Path, ...]:
        """The leaderboard's texts, which the same records give again to the last byte."""
        return self.markdown, self.page, self.scores_table, self.cells_table

    def network(self, key: str) -> Path:
        """The weights of the network that the cell of that key trained."""
        return self.networks / f"{key}.pt"

    def training_log(self, key: str) -> Path:
        """The CSV table with a line for each training step of the cell of that key."""
        return self.training / f"{key}.csv"

    def example(self, key: str) -> Path:
        """One test section with what the network of the cell of that key made of it."""
        return self.examples / f"{key}.npz"

    def comparison(self, one: str, other: str) -> Path:
        """The picture that compares two strategies or submissions."""
        return self.path / f"compare-{one}-{other}.png"
