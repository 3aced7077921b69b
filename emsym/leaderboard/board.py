"""One leaderboard: what its cells come to, score by score."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from emsym.leaderboard.eligibility import (
    EXACT,
    Field,
    fields,
    largest_complete,
    shared_identity,
    shown_scores,
)
from emsym.leaderboard.estimates import PAIR, UNIT, Estimates, estimate_means
from emsym.leaderboard.intervals import average_ranks, intervals, pair_intervals, ratio_intervals
from emsym.leaderboard.results import Results, section_values
from emsym.leaderboard.statistics import (
    against,
    agreement,
    better_beyond_doubt,
    discriminative_power,
    non_inferiority,
    pareto,
    rank_ranges,
    tie_groups,
)
from emsym.protocol import SHAPLEY, json_digest
from emsym.scores.catalogue import MARGIN, score_of
from emsym.scores.score import BASELINE, Score

SYNTHETIC = "synthetic"
"""The beginning of the modality of data that were made up."""

SECTIONS = 5_000
"""Up to so many cells, sections are drawn, too; beyond, reading them all takes too long."""


@dataclass(frozen=True)
class Column:
    """One score of all strategies, over all cells; NaN for a strategy that has no value."""

    key: str
    score: Score
    summary: pd.DataFrame
    """Ranked strategies over the shared pairs: `mean`, `low`, `high`; where one way is better,
    `first`, `last` and `group` (see `statistics`); of the first score `rank`, on average over
    pairs; where there is a baseline, `less`, `less_low`, `less_high` of the difference from it,
    `p`, `p_holm`, `above`, and `cut`, `cut_low`, `cut_high`, the reduction in per cent."""
    pairs: pd.DataFrame
    """The same `mean`, `low`, `high` of single pairs: index (*PAIR, "init")."""
    estimates: Estimates
    """All that these come from: of all pairs and strategies."""
    shared: Estimates
    """Those of the shared pairs and the ranked strategies."""
    values: pd.DataFrame
    """The shared cells that these come from: index `UNIT`, a column per ranked strategy."""
    cells: pd.DataFrame
    """All cells that count, as `Board.cell_values` has them."""
    sections: pd.DataFrame | None
    """Their sections, as `Board.sections` has them; None where unknown."""

    def of_pair(
        self, pair: tuple[str, str], names: Sequence[str]
    ) -> list[tuple[float, float, float]]:
        """Mean, low and high of these strategies in one pair."""
        rows = self.pairs.loc[pair].loc[list(names)]
        return list(rows[["mean", "low", "high"]].itertuples(index=False, name=None))


class Board:
    """One protocol's newest version with one kind of weights."""

    def __init__(self, field: Field, results: Results) -> None:
        """Nothing is computed before it is asked for."""
        self.cells, self.apart = field.cells, field.apart
        self.done = field.cells[field.cells["status"] == "done"].dropna(axis=1, how="all")
        self._results = results
        self.first = self.done.iloc[0]
        self.names = list(dict.fromkeys(self.done["init"]))
        self.baseline = BASELINE if BASELINE in self.ranked else None

    @cached_property
    def headline(self) -> str:
        """The attribution and target shown: the labels' pixels, the same for every network."""
        # of failed and of empty cells, too: what they lack is shown as missing
        names = [name for name in self.cells if "/slice_share[" in name]
        names = [name for name in names if name in self.done] or names
        prefixes = [name.rpartition("/")[0] for name in names]
        chosen = sorted(prefixes, key=lambda prefix: not prefix.endswith("/true-foreground"))
        return chosen[0] if chosen else "saliency/true-foreground"

    @cached_property
    def threshold(self) -> str:
        """The headline's threshold of the probability, from which on a pixel is in a mask."""
        return next((name[5:] for name in self.done if name.startswith("dice@")), "0.5")

    @cached_property
    def scores(self) -> dict[str, Score]:
        """The scores that have a value, by their keys, in the order of the columns."""
        return shown_scores(self.headline, self.threshold, self.done, self.primary)

    @property
    def primary(self) -> str | None:
        """The key of the score that decides, where the protocol names one."""
        named = self.first.get("primary")
        return named if isinstance(named, str) else None

    @cached_property
    def shares(self) -> list[str]:
        """The names of the slice shares, in the order of the slices.

        Columns without a value are those of other leaderboards, whose stacks have more slices.
        """
        names = (name for name in self.cells if name.startswith(f"{self.headline}/slice_share["))
        own = (name for name in names if self.cells[name].notna().any())
        return sorted(own, key=lambda name: int(name.rpartition("[")[2].rstrip("]")))

    @property
    def title(self) -> str:
        """The protocol's name and version."""
        return f"{self.first['protocol']}, version {self.first['version']}"

    @property
    def stem(self) -> str:
        """The beginning of the names of its pictures' files."""
        identity = shared_identity(self.done[:1]).iloc[0]
        shared = [*map(str, self.first[["protocol", "version", "digest"]]), str(identity)]
        return f"{shared[0]}-{shared[1]}-{json_digest(shared)[:8]}"

    @property
    def is_synthetic(self) -> bool:
        """Whether all of its data were made up."""
        return bool(self.done["modality"].str.startswith(SYNTHETIC).all())

    @property
    def by_sections(self) -> bool:
        """Whether intervals are over sections, too."""
        return len(self.done) <= SECTIONS

    @cached_property
    def present(self) -> pd.DataFrame:
        """How many cells are done: a row per pair, a column per strategy."""
        counts = self.done.groupby([*PAIR, "init"], sort=False).size().unstack(fill_value=0)
        return counts.reindex(columns=self.names)

    @cached_property
    def entered(self) -> pd.DataFrame:
        """Bool, a row per strategy and a column per cell that counts of a pair (`UNIT`).

        In a pair those seeds count that are the most for the most strategies; a strategy that lacks
        one of them is left out of the pair.
        """
        has = self.done.assign(has=True).pivot(index="init", columns=UNIT, values="has")
        has = has.reindex(self.names).notna()
        parts = []
        for _, part in has.T.groupby(level=PAIR, sort=False):
            parts.append(largest_complete(part.T).reindex(self.names, fill_value=False))
        return pd.concat(parts, axis=1)

    @cached_property
    def has(self) -> pd.Series:
        """How many of the `needed` cells each strategy has, whether they count or not."""
        has = self.present.reindex(index=self.pairs).T
        return has.clip(upper=self.seeds.reindex(self.pairs), axis=1).sum(axis=1)

    @cached_property
    def needed(self) -> int:
        """How many cells count, of the strategies that have the most."""
        return int(self.seeds.sum())

    @cached_property
    def seeds(self) -> pd.Series:
        """How many seeds count in each pair."""
        return self.entered.any().groupby(level=PAIR, sort=False).sum()

    @cached_property
    def _shared(self) -> pd.DataFrame:
        return largest_complete(self.entered.T.groupby(level=PAIR, sort=False).any().T)

    @cached_property
    def ranked(self) -> list[str]:
        """The strategies that are ranked: those that have all of the shared cells."""
        return list(self._shared.index)

    @cached_property
    def shared(self) -> list[tuple[str, str]]:
        """The pairs of data set and architecture that all ranked strategies have."""
        return list(self._shared.columns)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """All pairs."""
        return list(
            dict.fromkeys(zip(self.done["dataset"], self.done["architecture"], strict=True))
        )

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns by their scores' keys."""
        return {key: self._column(key, score) for key, score in self.scores.items()}

    @property
    def lead(self) -> Column:
        """The first score's column, which strategies are ordered by."""
        return self.columns[next(iter(self.scores))]

    @cached_property
    def order(self) -> list[str]:
        """The strategies as they are shown: by the first score, then those that are not ranked."""
        means = self.lead.summary["mean"]
        rises = self.lead.score.better != "high"
        ranked = means.sort_values(ascending=rises, kind="stable").index
        return [*ranked, *(name for name in self.names if name not in ranked)]

    def column(self, name: str) -> Column | None:
        """The column of a score, by the name in the catalogue; None where no cell has it."""
        return next((c for c in self.columns.values() if c.score.name == name), None)

    @cached_property
    def data_asymmetry(self) -> Column | None:
        """The column of what the images themselves bring; None where no cell has it."""
        key = f"{self.headline}/data_asymmetry"
        return self._column(key, score_of(key)) if key in self.done else None

    @cached_property
    def front(self) -> pd.DataFrame:
        """Dice against model asymmetry: `front`, and `beaten` by one strategy in both. Bool.

        `front` is of the means as they are; `beaten` is beyond doubt, and so may be neither.
        """
        dice, bias = self.column("dice"), self.column("model_asymmetry")
        if dice is None or bias is None:
            return pd.DataFrame({"front": False, "beaten": False}, self.ranked)
        both = better_beyond_doubt(dice.shared, "high") & better_beyond_doubt(bias.shared, "low")
        front = pareto(dice.summary["mean"], bias.summary["mean"])
        return pd.DataFrame({"front": front, "beaten": both.any()})

    @cached_property
    def power(self) -> pd.DataFrame:
        """How well each data set tells the ranked strategies apart: a column per compared score."""
        columns = [c for c in self.columns.values() if c.score.glance]
        powers = {c.score.title: discriminative_power(c.values) for c in columns}
        return pd.DataFrame(powers)

    @cached_property
    def methods(self) -> pd.DataFrame:
        """How far attribution methods agree with exact Shapley values on a cell's asymmetry.

        A row per method, as `agreement` has it; none where cells have no exact values. And `own`:
        the mean |asymmetry| that it gives networks whose answer does not change when stacks are
        reversed, all of which is the method's own fault (explanation equivariance, arXiv
        2304.06715); NaN where no cell has such a network.
        """
        end = f"/{self.headline.rpartition('/')[2]}/{EXACT.name}"
        keys = {name.removesuffix(end): name for name in self.done if name.endswith(end)}
        if SHAPLEY not in keys:
            return agreement(pd.DataFrame({SHAPLEY: []}), SHAPLEY)
        values = self.done[list(keys.values())].set_axis(list(keys), axis=1)
        flip = score_of("flip_error")
        moved = self.done.get(flip.key, pd.Series(np.nan, self.done.index))
        symmetric = moved < flip.floor
        table = agreement(values[~symmetric], SHAPLEY)
        return table.assign(own=values[symmetric].abs().mean())

    @property
    def told_apart(self) -> tuple[int, int]:
        """How many neighbours in the order of the first score are told apart, and of how many."""
        lead, better = self.lead, self.lead.score.better
        ranked = list(lead.summary["mean"].dropna().sort_values(ascending=better != "high").index)
        if better is None:
            return 0, 0
        ahead = better_beyond_doubt(lead.shared, better)
        neighbours = list(pairwise(ranked))
        return sum(bool(ahead.loc[one, other]) for one, other in neighbours), len(neighbours)

    @cached_property
    def verdict(self) -> pd.Series:
        """Whether the Dice of each ranked strategy but the baseline is non-inferior."""
        dice = self.column("dice")
        if dice is None or self.baseline is None:
            return pd.Series(dtype=str)
        return non_inferiority(dice.shared, self.baseline, MARGIN)

    def share_means(self, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
        """Mean slice shares of each strategy over these pairs; NaN where it lacks one."""
        means = self._share_means.reindex(pairs).mean(skipna=False).unstack(0)
        return means.reindex(index=self.names, columns=self.shares)

    @cached_property
    def _share_means(self) -> pd.DataFrame:
        """A row per pair, columns (share, strategy)."""
        names = [name for name in self.shares if name in self.done]
        rows = self.entered_cells()[[*PAIR, "init", *names]].groupby([*PAIR, "init"], sort=False)
        return rows.mean().unstack("init")

    @cached_property
    def over_training(self) -> pd.DataFrame:
        """The model asymmetry's size while networks were trained: index step, a column per init."""
        named = (key for key, score in self.scores.items() if score.name == "model_asymmetry")
        key = next(named, None)
        if key is None or not self.by_sections:
            return pd.DataFrame()
        looks = self.looks[self.looks["score"] == key]
        looks = looks[pd.MultiIndex.from_frame(looks[PAIR]).isin(self.shared)]
        if not len(looks):
            return pd.DataFrame()
        sizes = looks.assign(value=looks["value"].abs())
        means = sizes.groupby(["step", *PAIR, "init"])["value"].mean()
        return means.groupby(["step", "init"]).mean().unstack().reindex(columns=self.ranked)

    @cached_property
    def looks(self) -> pd.DataFrame:
        """The scores while the cells that count were trained, a line each.

        Columns: `key`, `step`, `score`, `value`, a mean of sections, *`UNIT` and `init`.
        """
        cells = self.entered_cells()
        looks = self._results.over_training(list(cells["key"]))
        return looks.merge(cells[["key", *UNIT, "init"]], on="key")

    def entered_cells(self) -> pd.DataFrame:
        """Return the rows of the cells that count."""
        return self.done[self._enters]

    @cached_property
    def _enters(self) -> np.ndarray:
        rows = self.entered.index.get_indexer(self.done["init"])
        columns = self.entered.columns.get_indexer(pd.MultiIndex.from_frame(self.done[UNIT]))
        return self.entered.to_numpy()[rows, columns] & (columns >= 0)

    def cell_values(self, key: str) -> pd.DataFrame:
        """Return a score of the cells that count, with its sign: `UNIT`, a column per strategy."""
        wide = self.entered_cells().pivot(index=UNIT, columns="init", values=key)
        # units in the order of the pairs, and strategies in that of the records
        return wide.reindex(index=self.entered.columns[self.entered.any()], columns=self.names)

    def measured_sections(self, key: str) -> pd.DataFrame:
        """Return a score of their sections as measured: (*UNIT, "section"), strategies."""
        cells = self.entered_cells()
        return self._wide_sections(self._results.per_image(list(cells["key"]), key), cells)

    def _column(self, key: str, score: Score) -> Column:
        cells, wide = self.entered_cells(), self.cell_values(key)
        sections = self.sections(cells, key) if self.by_sections else None
        block = int(self.first["slices"])
        estimates = estimate_means(
            wide, sections, squared=score.absolute, block=block, floor=score.floor
        )
        shared = estimates.take(self.shared, self.ranked)
        values = (wide.abs() if score.absolute else wide)[self.ranked]
        values = values[values.index.droplevel("seed").isin(self.shared)]
        summary = self._summary(key, score, shared, values)
        pairs = pair_intervals(estimates, score.compared_bounds)
        return Column(key, score, summary, pairs, estimates, shared, values, wide, sections)

    def sections(self, cells: pd.DataFrame, key: str) -> pd.DataFrame | None:
        """A score of each section as `estimate_means` wants it; None where unknown."""
        long = section_values(self._results, list(cells["key"]), key)
        return self._wide_sections(long, cells) if len(long) else None

    def _wide_sections(self, long: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
        known = cells[["key", *UNIT, "init"]]
        long = long.drop_duplicates(["key", "section"]).merge(known, on="key")
        wide = long.pivot(index=[*UNIT, "section"], columns="init", values="value")
        return wide.reindex(columns=self.names)

    def _summary(
        self, key: str, score: Score, shared: Estimates, values: pd.DataFrame
    ) -> pd.DataFrame:
        bounds = score.compared_bounds
        table = intervals(shared, bounds)
        if score.better is not None:
            table = table.join(rank_ranges(shared, score.better))
            table["group"] = tie_groups(table[["first", "last"]])
        if key == next(iter(self.scores)) and score.better is not None:
            table["rank"] = average_ranks(shared, score.better)
        if self.baseline is not None:
            width = bounds[1] - bounds[0]
            rows = against(self.baseline, values, shared, width)
            names = {"mean": "less", "low": "less_low", "high": "less_high"}
            table = table.join(rows.rename(columns=names))
            if score.better == "low" and bounds[0] == 0:
                cut = ratio_intervals(shared, self.baseline).drop(index=self.baseline)
                table = table.join(cut.add_prefix("cut_").rename(columns={"cut_mean": "cut"}))
        return table


def boards(results: Results) -> list[Board]:
    """Return the leaderboards that there are cells of.

    Those of real data come first, then those of more pairs of data set and architecture.
    """
    made = [Board(field, results) for field in fields(results.cells)]
    return sorted(made, key=lambda board: (board.is_synthetic, -len(board.pairs)))
