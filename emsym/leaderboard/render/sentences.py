"""The sentences of a leaderboard, the same in all renderings."""

import math
from collections.abc import Callable, Sequence

import pandas as pd

from emsym.leaderboard.board import Board, Column
from emsym.leaderboard.costs import cost_table
from emsym.leaderboard.eligibility import EXACT
from emsym.leaderboard.estimates import UNIT
from emsym.leaderboard.recommendation import SURE, bias_columns, enough_seeds, less_biased
from emsym.leaderboard.statistics import non_inferiority
from emsym.models.pretrained.chosen_weights import has_file_per_encoder
from emsym.models.pretrained.weights import ORIGINS
from emsym.scores.catalogue import MARGIN, is_optional, score_of
from emsym.scores.score import BASELINE
from emsym.version import __version__
from emsym.wording import interval, number, p_value, rank_range

ALPHA = 0.05
PAPER = "https://arxiv.org/abs/2505.14105"
"""The address of the paper whose finding is measured."""

_BIBTEX = """\
@misc{molnar2025,
  author = {Molnár, Zsófia and Szabó, Gergely and Horváth, András},
  title  = {Mitigating Pretraining-Induced Attention Asymmetry in 2D+ Electron Microscopy Image
            Segmentation},
  year   = {2025},
  eprint = {2505.14105},
  archiveprefix = {arXiv},
  url    = {%s},
  note   = {The bias that emsym measures, and uniform channel initialisation}
}

@software{emsym,
  author  = {{The emsym authors}},
  title   = {emsym: does a 2.5D network treat the slices on either side alike?},
  year    = {2026},
  version = {%s},
  note    = {Leaderboard of %s}
}
"""


def _p_equals(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def conclusions(board: Board, code: Callable[[str], str]) -> list[str]:
    """The conclusions that a reader who chooses a strategy needs, each a sentence or two."""
    table = board.lead.summary
    where = f"{len(board.shared)} of {len(board.pairs)} pairs of data set and architecture"
    if not board.ranked:
        return ["No two strategies share a cell yet, so that nothing is ranked."]
    lines = [*_best(board, code), _ahead(board, table, code)]
    if board.baseline is not None:
        lines += _what_it_costs(board, code)
    least = int(board.seeds.loc[board.shared].min())
    few = {
        1: "One seed gives no interval, and tells nothing apart.",
        2: "Two seeds a pair are too few to advise a strategy: another run may find others.",
    }
    count = len(board.ranked)
    both = f"all {count} ranked strategies have" if count > 1 else "the one ranked strategy has"
    lines.append(f"Ranked over the {where} that {both}.")
    apart, neighbours = board.told_apart
    if neighbours > 1 and least > 1:
        lines.append(
            f"Of the {neighbours} pairs of neighbours in this order, ranks tell {apart} apart."
        )
    if least in few:
        lines.append(few[least])
    return lines


def measures(board: Board) -> dict[str, Column]:
    """Return the columns that measure the bias, each by how a sentence says it."""
    method = board.headline.partition("/")[0]

    def how(column: Column) -> str:
        if column.score is EXACT:
            return "by exact Shapley values"
        return f"by {method}" if column.score.name == EXACT.name else f"by {column.score.term}"

    return {how(column): column for column in bias_columns(board)}


def measured(column: Column, how: str) -> str:
    """Return the noun for what a column of `measures` holds."""
    return f"model asymmetry {how}" if column.score.name == EXACT.name else column.score.term


def score_term(board: Board, column: Column) -> str:
    """Return the name of a score in a sentence, with the method of one that measures the bias."""
    hows = {each.key: how for how, each in measures(board).items()}
    return measured(column, hows[column.key]) if column.key in hows else column.score.term


def _best(board: Board, code: Callable[[str], str]) -> list[str]:
    """Which strategies to take, where some are shown to be less biased at no loss."""
    dice, columns = board.column("dice"), measures(board)
    if board.baseline is None or dice is None or not columns:
        return []
    if not enough_seeds(board):
        return []
    verdict = non_inferiority(dice.shared, board.baseline, MARGIN, SURE)
    shown = {how: less_biased(board, column, SURE) for how, column in columns.items()}
    fine = [name for name in board.order if verdict.get(name) == "non-inferior"]
    each = {name: [how for how in shown if name in shown[how]] for name in fine}
    alike = [name for name in fine if len(each[name]) == len(columns)]
    parts = [", ".join(map(code, alike))] if alike else []
    parts += [
        f"{code(name)} {' and '.join(hows)} alone"
        for name, hows in each.items()
        if hows and name not in alike
    ]
    if not parts:
        return []
    how = f" {listed(list(columns))}" if alike and len(columns) > 1 else ""
    more = ""
    if len(alike) > 1:
        table = board.lead.summary.loc[alike]
        # in one group of ties as long as no two of them are told apart by their ranks
        more = "; nothing tells these apart" * bool(table["first"].max() <= table["last"].min())
    base = code(board.baseline)
    loss = f"at no loss of Dice beyond {MARGIN}"
    return [f"Less biased than {base}{how}, {loss}: {'; '.join(parts)}{more}."]


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does.

    >>> listed(["one"]), listed(["one", "two", "three"])
    ('one', 'one, two and three')
    """
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def measured_on(board: Board) -> str:
    """The data and weights that were measured, which no reader should overlook."""
    modalities: dict[str, list[str]] = {}
    for row in data_sets(board).itertuples():
        modalities.setdefault(str(row.modality), []).append(str(row.dataset))
    named = "; ".join(f"{', '.join(names)}, {what}" for what, names in modalities.items())
    return f"Measured on {named}. Weights: {_weights(board, digests=False)}."


def _ahead(board: Board, table: pd.DataFrame, code: Callable[[str], str]) -> str:
    first = board.lead.score
    table = table.dropna(subset=["mean"])
    if first.better is None or len(table) < 2:
        return f"{len(table)} strategy is ranked." if len(table) == 1 else "Nothing is ranked."
    what = "Least biased" if first.name == "model_asymmetry" else f"Best by {first.term}"
    best, term = next(n for n in board.order if n in table.index), score_term(board, board.lead)
    mean, low, high = table.loc[best, ["mean", "low", "high"]]
    value = interval(mean, low, high, first.digits)
    if table.loc[best, "last"] == 1:
        return f"{what}: {code(best)}, {term} {value}, beyond doubt."
    ranks = rank_range(table.loc[best, "first"], table.loc[best, "last"])
    return f"{what} on average: {code(best)}, {term} {value}; its rank may be any of {ranks}."


def _what_it_costs(board: Board, code: Callable[[str], str]) -> list[str]:
    bias, dice = board.column("model_asymmetry"), board.column("dice")
    base, lines = board.baseline, []
    best = next((name for name in board.order if name != base and name in board.ranked), None)
    if best is None or base is None:
        return []
    if bias is not None and "cut" in bias.summary:
        lines.append(f"Against {code(base)}, {code(best)} has {_reductions(board, best)}.")
    if dice is not None:
        row = dice.summary.loc[best]
        less = interval(row["less"], row["less_low"], row["less_high"], 3)
        verdict = board.verdict[best]
        means = {
            "non-inferior": f"so no more than the margin of {MARGIN} is lost",
            "inferior": f"a loss of more than the margin of {MARGIN}",
            "inconclusive": f"which does not settle whether more than the margin of {MARGIN} is "
            "lost",
        }
        lines.append(f"Its Dice differs by {less}: {verdict}, {means[verdict]}.")
        fine = [name for name in board.order if board.verdict.get(name) == "non-inferior"]
        if fine:
            lines.append(f"Dice non-inferior to {code(base)}: {', '.join(map(code, fine))}.")
    if bias is not None and "p_holm" in bias.summary and bias.summary["p_holm"].notna().any():
        better = less_biased(board, bias, ALPHA)
        named = ", ".join(map(code, better)) if better else "none"
        table = bias.summary.reindex([*better, base])
        overlap = table.loc[better, "last"] >= table.loc[base, "first"]
        open_ = bool(better) and bool(overlap.any())
        lines.append(
            f"Shown to be less biased than {code(base)}, at p < .05 corrected for all strategies: "
            f"{named}."
            + (" Ranks, which take tests of all pairs of rows, leave some of this open." * open_)
        )
    return lines


def _reductions(board: Board, best: str) -> str:
    """By how much a strategy has less of the bias, by each measure of it."""
    parts, ends, tested = [], [], False
    for how, column in measures(board).items():
        row = column.summary.loc[best]
        if pd.isna(row.get("cut", math.nan)):
            continue
        if row["cut"] < 0:
            cut = f"{interval(-row['cut'], -row['cut_high'], -row['cut_low'], 0)} % more"
        else:
            cut = f"{interval(row['cut'], row['cut_low'], row['cut_high'], 0)} % less"
        is_asymmetry, what = column.score.name == EXACT.name, measured(column, how)
        known = not pd.isna(row["p_holm"])
        p = f" (p {_p_equals(row['p_holm'])})" if known else ""
        parts.append(f"{cut} {what}{p}")
        tested |= known
        if is_asymmetry:
            ends.append((row["cut_low"], row["cut_high"]))
    apart = len(ends) == 2 and (ends[0][0] > ends[1][1] or ends[1][0] > ends[0][1])
    return (
        listed(parts)
        + (", p being corrected for all strategies" if tested else "")
        + (": how much depends on the method" if apart else "")
    )


def _weights(board: Board, digests: bool = True) -> str:
    random = "; the strategy random has none" if (board.done["init"] == "random").any() else ""
    return f"{board.first['weights']}: {_weights_origin(board, digests)}{random}"


def _weights_origin(board: Board, digests: bool) -> str:
    """Say where the weights came from, and which file each architecture has, if any."""
    first = board.first
    published = ORIGINS.get(first["weights"], "as published with timm")
    if not has_file_per_encoder(first["weights"]):
        is_file = str(first["identity"]).startswith("sha256:")
        return f"a local file, {first['identity'][:19]}…" if is_file else published
    files = board.done.drop_duplicates("architecture").set_index("architecture")["identity"]
    if (files == first["weights"]).all():
        return published
    if not digests:
        return "a local file for each encoder"
    each = (
        f"{name} {identity[:19]}…" if identity.startswith("sha256:") else f"{name} {published}"
        for name, identity in files.sort_index().items()
    )
    return f"a local file for each encoder, {', '.join(each)}"


def facts(board: Board) -> list[tuple[str, str]]:
    """The facts that a reader must know before comparing: (word, text)."""
    first, done = board.first, board.done
    gains = {"copy": "copied, not rescaled", "preserve": "rescaled where a name ends in -preserve"}
    seeds = sorted(done["seed"].unique())
    processors = (
        [str(p) for p in done["processor"].dropna().unique()] if "processor" in done else []
    )
    attribution, _, target = board.headline.partition("/")
    how = "seeds and sections" if board.by_sections else "seeds alone: there are too many cells"
    return [
        ("Protocol", f"{first['protocol']}, version {first['version']}, digest {first['digest']}"),
        ("Weights", _weights(board)),
        (
            "Stacks",
            f"{first['slices']} slices; filters "
            + " and ".join(text for gain, text in gains.items() if (done["gain"] == gain).any()),
        ),
        ("Masks", f"of probability > {board.threshold}: Dice, IoU and ARAND"),
        ("Attribution", f"{attribution} of the {target} logits"),
        (
            "Endpoint",
            f"{board.lead.score.title} is the primary one"
            + (", as the protocol says" if board.primary else "")
            + "; all other scores are secondary, and not corrected for their number",
        ),
        ("Cells", f"{len(done)}, seeds {', '.join(map(str, seeds))}"),
        ("Intervals", f"95 %, paired, over {how}"),
        *([("Made on", "; ".join(processors))] if processors else []),
    ]


def data_sets(board: Board) -> pd.DataFrame:
    """The data sets: name, modality, licence, citation and the digest of what was read."""
    names = ["dataset", "modality", "licence", "citation", "data"]
    table = board.done.reindex(columns=names)[names].fillna("")
    return table.drop_duplicates().reset_index(drop=True)


def bibtex(board: Board) -> str:
    """The entries to cite: the finding, this benchmark, and every data set as its card says."""
    leaderboard = _braced(f"{board.title}, digest {board.first['digest']}")
    entries = [_BIBTEX % (PAPER, __version__, leaderboard)]
    for number_, row in enumerate(data_sets(board).itertuples(), 1):
        if row.citation:
            entries.append(
                f"@misc{{dataset{number_},\n  title = {{Data set {_braced(row.dataset)}}},\n"
                f"  note  = {{{_braced(row.citation)}}}\n}}\n"
            )
    return "\n".join(entries)


def _braced(text: object) -> str:
    """A text that cannot end the braces it stands in."""
    return " ".join(str(text).replace("\\", "").replace("{", "(").replace("}", ")").split())


def gaps(board: Board) -> list[str]:
    """The cells that are missing or failed, and so not ranked: a sentence each."""
    lines = []
    for name in board.names:
        if board.has[name] < board.needed:
            ranked = "ranked over the others" if name in board.ranked else "not ranked"
            lines.append(f"{name}: {board.has[name]} of {board.needed} cells, {ranked}")
    facts = [*UNIT, "init", "error"]  # a named tuple of all scores takes long to make
    failed = board.cells.loc[board.cells["status"] != "done", facts]
    for row in failed.head(20).itertuples():
        where = f"{row.dataset} · {row.architecture} · {row.init} · seed {row.seed}"
        lines.append(f"failed: {where}: {str(row.error)[:300]}")
    if len(failed) > 20:
        lines.append(f"… and {len(failed) - 20} more failed")
    return lines


_EXPLAINED = (
    *("model_asymmetry", "flip_error", "neighbour_asymmetry", "imbalance"),
    *("dice", "iou", "arand_2d", "arand_3d", "faithfulness-estimate", "slice_share"),
)


def cost_columns(board: Board) -> list[tuple[str, list[str]]]:
    """Return the table of what strategies cost beside the baseline: heads with a text a row.

    The first column has the strategies' names; empty where no cost is known.
    """
    table = cost_table(board)
    if not len(table):
        return []
    heads = {"step_ms": "training step", "answer_ms": "answer", "parameters": "parameters"}
    columns = [(COST, list(table.index))]
    for key, head in heads.items():
        ends = table[[key, f"{key}_low", f"{key}_high"]].itertuples(index=False, name=None)
        texts = [interval(mean, low, high, 2) for mean, low, high in ends]
        columns.append((f"{head}, ×", texts))
    return [*columns, ("passes", [number(value, 0) for value in table["passes"]])]


def _meanings() -> dict[str, str]:
    """The meanings of the scores shown, each under the titles of the scores that share it."""
    titles: dict[str, list[str]] = {}
    for score in map(score_of, _EXPLAINED):
        titles.setdefault(score.meaning, []).append(score.title)
    return {_shared_words(each) or ", ".join(each): text for text, each in titles.items()}


def _shared_words(titles: Sequence[str]) -> str:
    """The words that all titles have at the same place, as ARAND of ARAND 2D and ARAND 3D."""
    words = zip(*(title.split() for title in titles), strict=False)
    return " ".join(same[0] for same in words if len(set(same)) == 1)


POWER, AGREEMENT = "discriminative power", "agreement with exact values"
COST = f"cost beside {BASELINE}"

METHOD = {
    **_meanings(),
    EXACT.title: EXACT.meaning,
    "rank": "the ranks that a row may have at 95 % for all rows together, by t-tests of all pairs "
    "of rows with Holm's correction: rows that share a rank are tied.",
    "intervals": "95 %: the mean ± Student's t × the standard error, to which seeds add and blocks "
    "of neighbouring sections, which all networks of a data set share; differences are paired "
    "(emsym.leaderboard.estimates).",
    "average rank": "over the pairs of data set and architecture, 1 the best.",
    f"{score_of('dice').title} − {BASELINE}": f"non-inferior: a loss of {MARGIN} or more is ruled "
    "out, at a one-sided 2.5 % corrected for all strategies (Holm); inferior: a lesser one is; "
    "else inconclusive. An interval is of its row alone.",
    POWER: "the standard deviation of the strategies' means on a data set, over that of seeds "
    "within a strategy: where it is small, the data set tells little (arXiv 2404.09556).",
    AGREEMENT: "Spearman's correlation over cells of each method's signed model asymmetry with "
    "that of exact Shapley values, and how often both name the same side; its own asymmetry is the "
    "mean size of what it finds in networks whose answer never changes when a stack is reversed.",
    COST: "of a training step (its median, a teacher's with it), of the answer to one patch, and "
    "of parameters: geometric means over couples of cells on one kind of machine; passes of the "
    "network for one answer.",
    "front": "yes: no other strategy has as much Dice at as little asymmetry, by the means as they "
    "are; no: another is shown to be better in both; not shown: neither.",
}
"""The meanings of the columns, by their titles."""


def plugin_meanings(boards: Sequence[Board]) -> list[tuple[str, str]]:
    """The titles and meanings of the optional scores that these leaderboards show."""
    plugins = {
        key: score for board in boards for key, score in board.scores.items() if is_optional(key)
    }
    return [(score.title, score.meaning) for score in plugins.values()]
