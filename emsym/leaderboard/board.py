"""One leaderboard: the records that may stand side by side, and what is shown of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from emsym.leaderboard.table import BOARD, GROUP, Score, aggregate, cells, headline, summary
from emsym.models.weights import ORIGINS
from emsym.protocol import digest
from emsym.run.record import Record

SUMMARY = "Summary"


@dataclass(frozen=True)
class Board:
    """One protocol version with one kind of weights: its records, and what it shows of them."""

    records: list[Record]
    cells: pd.DataFrame

    @property
    def headline(self) -> tuple[str, str]:
        """The attribution and target shown: the labels' pixels, the same for every network."""
        shares = [name.split("/") for name in self.records[0].scores if "/slice_share[" in name]
        found = sorted(shares, key=lambda parts: parts[1] != "true-foreground")  # else in order
        return found[0][0], found[0][1]

    @property
    def prefix(self) -> str:
        """What the names of the shown attribution scores begin with."""
        return "/".join(self.headline)

    @property
    def scores(self) -> list[Score]:
        """The columns, in order."""
        threshold = next(
            float(name.removeprefix("dice@")) for name in self.cells if name.startswith("dice@")
        )
        return headline(self.prefix, threshold)

    @property
    def shares(self) -> list[str]:
        """The columns of the slice shares, in the order of the slices."""
        return [name for name in self.cells if name.startswith(f"{self.prefix}/slice_share")]

    @property
    def title(self) -> str:
        """The protocol's name and version."""
        stamp = self.records[0].protocol
        return f"{stamp.name}, version {stamp.version} ({stamp.digest[:8]})"

    @property
    def picture(self) -> str:
        """The name of its picture's file."""
        shared = {name: str(self.cells[name].iloc[0]) for name in BOARD}
        return f"{shared['protocol']}-{shared['version']}-{digest(shared)[:8]}.png"

    def facts(self) -> list[tuple[str, str]]:
        """What a reader must know before comparing: (word, text)."""
        first = self.records[0]
        weights = first.weights
        origin = ORIGINS.get(weights.origin, "as published with timm")
        if weights.identity.startswith("sha256:"):
            origin = f"a local file, {weights.identity[:19]}…"
        from_scratch = any(record.init == "random" for record in self.records)
        seeds = sorted({record.seed for record in self.records})
        licences = dict.fromkeys(
            f"{record.dataset.name} ({record.dataset.modality}; {record.dataset.licence})"
            for record in self.records
        )
        citations = dict.fromkeys(r.dataset.citation for r in self.records if r.dataset.citation)
        words = {
            "copy": "copied, not rescaled",
            "preserve": "rescaled where a name ends in -preserve",
        }
        gains = [word for gain, word in words.items() if any(r.gain == gain for r in self.records)]
        processors = dict.fromkeys(str(r.environment["processor"]) for r in self.records)
        return [
            ("Protocol", f"{first.protocol.name}, digest {first.protocol.digest}"),
            ("Weights", f"{weights.origin}: {origin}" + "; random uses none" * from_scratch),
            ("Stacks", f"{first.slices} slices; filters {' and '.join(gains)}"),
            ("Attribution", "{} of the {} logits".format(*self.headline)),
            ("Cells", f"{len(self.cells)}, seeds {', '.join(map(str, seeds))}"),
            ("Data", "; ".join(licences)),
            *([("Cite", "; ".join(citations))] if citations else []),
            ("Made on", "; ".join(processors)),
        ]

    def groups(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """(heading, rows): first the summary where there is more than one group, then each.

        Strategies stand in one order in all of them: by the summary's model asymmetry, or by that
        of all cells where no data set and architecture has them all.
        """
        over = summary(self.cells)
        ranked = over if len(over) else aggregate(self.cells, ["init"])
        asymmetry = (f"{self.prefix}/abs_model_asymmetry", "mean")
        if asymmetry in ranked:  # a stack of one slice has none
            ranked = ranked.sort_values([asymmetry], kind="stable")
        order = ranked.index
        groups = list(self.cells.groupby(GROUP, sort=False))
        if len(groups) > 1 and len(over):
            shared = int(over.xs("n", axis=1, level=1).max(axis=None))
            told = f"the {shared} of {len(groups)} data set · architecture pairs that all rows have"
            yield f"{SUMMARY}: mean ± sd over {told}", over.reindex(order)
        for (dataset, network), part in groups:
            rows = aggregate(part, ["init"])
            kept = [init for init in order if init in rows.index]
            yield f"{dataset} · {network}", rows.reindex(kept)


def boards(records: Iterable[Record]) -> list[Board]:
    """The finished records, apart by protocol version, weights and number of slices."""
    done = sorted(
        (record for record in records if record.status == "done"),
        key=lambda record: (
            record.protocol.name,
            record.protocol.version,
            record.dataset.name,
            record.architecture,
            record.seed,
        ),
    )
    if not done:
        return []
    table = cells(done)
    return [
        _board([done[row] for row in rows.index], rows)
        for _, rows in table.groupby(BOARD, sort=False)
    ]


def _board(records: list[Record], rows: pd.DataFrame) -> Board:
    """With the columns that have a value, and those of the records' shares even if they have none.

    Other boards' records may have other slices, and so other columns.
    """
    shares = {name for name in records[0].scores if "/slice_share[" in name}
    kept = [name for name in rows if name in shares or rows[name].notna().any()]
    return Board(records, rows[kept])
