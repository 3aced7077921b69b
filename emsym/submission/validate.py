"""All that can be checked of a submission without running anything of it."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emsym.data.cards import Card, list_cards, load_card
from emsym.data.fetching.availability import locate_data
from emsym.data.fetching.data_digest import data_digest, published_digest
from emsym.errors import UserError, escape_unseen
from emsym.models.architectures import ARCHITECTURES, encoder_name
from emsym.models.inits import INITS, PRESERVE, parse_init
from emsym.models.pretrained.chosen_weights import choose_weights
from emsym.models.pretrained.hub import IMAGENET
from emsym.protocol import (
    Cell,
    Protocol,
    cell_key,
    dataset_name,
    load_protocol,
    shipped_protocol,
    ships,
)
from emsym.registry import Registry
from emsym.scores.attribution.methods import ATTRIBUTIONS
from emsym.scores.catalogue import SCORES
from emsym.scores.expected_scores import image_scores, pooled_alone
from emsym.scores.faithfulness.metrics import METRICS
from emsym.submission import layout
from emsym.submission.assurance import Assurance
from emsym.submission.pack import cells_of
from emsym.submission.read import Submission
from emsym.submission.schema import Row
from emsym.submission.score_check import check_values
from emsym.version import SCORING_VERSION


@dataclass
class Validation:
    """The findings on a submission that is sound."""

    submission: Submission
    protocol: Protocol
    sections: int = 0
    """Test sections whose values its scores were computed from again, over all cells."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what could not be checked, and what else a reader should know."""

    @property
    def assurance(self) -> Assurance:
        """The level that every sound submission has."""
        return Assurance.RECOMPUTED

    @property
    def counts(self) -> dict[str, int]:
        """How many cells are done, failed and marked missing."""
        statuses = [row.status for row in self.submission.rows]
        return {status: statuses.count(status) for status in ("done", "failed", "missing")}


def validate(folder: Path, protocol_name: str | None = None) -> Validation:
    """Check a submission against a protocol: that of its name which ships, or the one given.

    Nothing of the submission is run; the protocol, its cards and its weights are the caller's.
    Raises `UserError` with the first thing that is wrong, naming the file.
    """
    try:
        return _validate(folder, protocol_name)
    except UserError as error:
        if str(folder) in str(error):
            raise
        raise UserError(f"{escape_unseen(str(folder))}: {error}") from error


def _validate(folder: Path, protocol_name: str | None) -> Validation:
    layout.check_name(folder.resolve().name)
    submission = Submission(folder)
    report = Validation(submission, _protocol(submission, protocol_name))
    _check_shared(report)
    _check_data(report)
    _check_rows(report)
    _check_complete(report)
    _check_scores(report)
    _check_plugins(report)
    _check_examples(report)
    _note_uncommitted(report)
    return report


def _protocol(submission: Submission, given: str | None) -> Protocol:
    stamp, path = submission.manifest.protocol, submission.files[layout.MANIFEST]
    if given is None and not ships(stamp.name):
        raise UserError(
            f"{path}: the protocol '{stamp.name}' does not ship with emsym: give its TOML file "
            "with --protocol."
        )
    shipped = None if given else shipped_protocol(stamp.name, stamp.version)
    protocol = shipped or load_protocol(given or stamp.name)
    protocol = next((v for v in protocol.variants() if v.name == stamp.name), protocol)
    expected = {
        "name": protocol.name,
        "version": protocol.version,
        "digest": protocol.digest,
        "primary": protocol.scoring.primary,
    }
    for what, ours in expected.items():
        theirs = getattr(stamp, what)
        if ours != theirs:
            raise UserError(
                f"{path}: it is of a protocol of the {what} {str(theirs)[:80]}, and not {ours}: "
                "run its cells again with the protocol as it is."
            )
    return protocol


def _check_shared(report: Validation) -> None:
    manifest, protocol = report.submission.manifest, report.protocol
    path = report.submission.files[layout.MANIFEST]
    if manifest.scoring_version != SCORING_VERSION:
        raise UserError(
            f"{path}: it was scored by version {manifest.scoring_version}, and this emsym checks "
            f"version {SCORING_VERSION}: check it with the emsym that made it."
        )
    if manifest.slices != protocol.slices:
        raise UserError(f"{path}: it has {manifest.slices} slices, and not {protocol.slices}.")
    _check_weights(report)
    _check_sources(report)


def _check_weights(report: Validation) -> None:
    """Hold the weights of each architecture against the protocol's on this machine.

    Of ``imagenet``, files are those of the submission's authors, who may have had others than the
    hub's: they are noted where they are not here, and a board keeps different ones apart.
    """
    weights, protocol = report.submission.manifest.weights, report.protocol
    path = report.submission.files[layout.MANIFEST]
    rows = report.submission.rows
    architectures = dict.fromkeys(row.architecture for row in rows if row.status != "missing")
    elsewhere = []
    for architecture in architectures:
        ours = choose_weights(protocol.weights, protocol.folder, encoder_name(architecture))
        theirs = weights.of(architecture)
        if weights.origin != ours.origin:
            raise UserError(f"{path}: its weights have not the name that the protocol gives them.")
        if theirs == ours.identity:
            continue
        if protocol.weights != IMAGENET or not (
            theirs == IMAGENET or re.fullmatch("sha256:[0-9a-f]{64}", str(theirs))
        ):
            raise UserError(f"{path}: its weights are not those of the protocol.")
        elsewhere.append(f"{architecture} from {theirs}")
    if elsewhere:
        report.notes.append(f"weights that are not on this machine: {'; '.join(elsewhere)}")


def _check_sources(report: Validation) -> None:
    """Methods, metrics and scores of plug-ins have a source, emsym's own have none."""
    scoring, given = report.protocol.scoring, dict(report.submission.manifest.scoring_sources)
    path = report.submission.files[layout.MANIFEST]
    kinds: list[tuple[str, Registry, tuple[str, ...]]] = [
        ("attribution", ATTRIBUTIONS, scoring.maps),
        ("metric", METRICS, scoring.faithfulness.metrics),
        ("score", SCORES, scoring.scores),
    ]
    for kind, registry, names in kinds:
        for name in names:
            source = given.pop(f"{kind} {name}", None)
            if _own(registry, name) == (source is not None):
                raise UserError(
                    f"{path}: the source of the {kind} '{name}' is not as it should be."
                )
    if given:
        raise UserError(f"{path}: it has sources of what the protocol does not score.")


def _own(registry: Registry, name: str) -> bool:
    """Whether a name is emsym's own. Nothing of a plug-in is imported for it."""
    try:
        return registry.entry(name).own
    except UserError:
        return False


def _check_data(report: Validation) -> None:
    path = report.submission.files[layout.MANIFEST]
    cards = _cards(report, report.submission.manifest.datasets)
    for name, data in report.submission.manifest.datasets.items():
        card = cards[name]
        if card is None:
            raise UserError(
                f"{path}: the data set '{name}' is neither the protocol's nor one that ships with "
                "emsym."
            )
        if data.source not in (card.sources or ("phantom",)):
            raise UserError(f"{path}: the card of '{name}' has no source of that name.")
        known = published_digest(card, data.source) or _digest_here(card, data.source)
        if known is None:
            report.notes.append(f"the data of '{name}' was not checked: its card has no checksums")
        elif data.digest != known:
            raise UserError(f"{path}: the data of '{name}' is not what its card says.")
        for what in ("modality", "licence", "citation"):
            if getattr(data, what) != getattr(card, what):
                raise UserError(f"{path}: the {what} of '{name}' is not the one of its card.")


def _cards(report: Validation, names: Iterable[str]) -> dict[str, Card | None]:
    """Return the cards of data sets; None of one that is unknown."""
    listed = {dataset_name(entry): entry for entry in report.protocol.datasets}
    return {name: _card(name, listed, report.protocol.folder) for name in names}


def _volume(card: Card | None, seed: int) -> int:
    """Return a number that cells of a data set share whose seeds have the same volume."""
    per_seed = card is not None and card.phantom is not None and card.phantom.volume_per_seed
    return seed if per_seed else 0


def _card(name: str, listed: dict[str, str], folder: Path) -> Card | None:
    if name in listed:
        return load_card(listed[name], folder)
    return load_card(name) if name.partition(":")[0] in list_cards() else None


def _digest_here(card: Card, source: str) -> str | None:
    """That of the data on this machine, where it came from the same source."""
    place = locate_data(card)
    return data_digest(card) if place and place.source == source else None


def _check_rows(report: Validation) -> None:
    path = report.submission.files[layout.CELLS]
    for row in report.submission.rows:
        if row.status == "missing":
            continue
        cell = Cell(row.dataset, row.architecture, row.init, row.seed)
        if row.key != _key(report, row, cell):
            raise UserError(f"{path}: the key of {cell} is another cell's, or of other sources.")
        strategy = row.init.partition("+")[0]
        if _own(INITS, strategy) == (row.init_source is not None):
            raise UserError(f"{path}: the source of the init '{row.init}' is not as it should be.")
        if row.init_source is None:
            parse_init(row.init)
        if row.gain != ("preserve" if strategy.endswith(PRESERVE) else "copy"):
            raise UserError(f"{path}: the gain of '{row.init}' is not {row.gain}.")
        if _own(ARCHITECTURES, row.architecture) == (row.architecture_source is not None):
            raise UserError(
                f"{path}: the source of the architecture '{row.architecture}' is not as it should "
                "be."
            )


def _key(report: Validation, row: Row, cell: Cell) -> str:
    manifest = report.submission.manifest
    return cell_key(
        report.protocol.digest,
        cell,
        data=manifest.datasets[row.dataset].digest,
        weights=manifest.weights.of(row.architecture),
        init=row.init_source,
        architecture=row.architecture_source,
        scoring=manifest.scoring_sources,
        scoring_version=manifest.scoring_version,
    )


def _check_complete(report: Validation) -> None:
    path = report.submission.files[layout.CELLS]
    rows = report.submission.rows
    listed = {Cell(row.dataset, row.architecture, row.init, row.seed) for row in rows}
    for init in sorted({row.init for row in rows}):
        for cell in cells_of(report.protocol, init):
            if cell not in listed:
                raise UserError(f"{path}: {cell} is neither there nor marked missing.")
    for status in ("failed", "missing"):
        if count := report.counts[status]:
            report.notes.append(f"{count} {'cell is' if count == 1 else 'cells are'} {status}")
    if not report.counts["done"]:
        raise UserError(f"{path}: no cell of it is done.")


def _check_scores(report: Validation) -> None:
    submission, protocol = report.submission, report.protocol
    path = submission.files[layout.CELLS]
    expected = image_scores(protocol) | set(pooled_alone())
    if odd := sorted(expected ^ set(submission.score_names)):
        what = "lacks" if odd[0] in expected else "has no use for"
        raise UserError(f"{path} {what} the score {odd[0]}.")
    _check_headlines(submission, protocol)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, row in enumerate(submission.rows):
        if row.status == "done":
            groups[row.dataset, row.architecture].append(at)
    cards = _cards(report, {dataset for dataset, _ in groups})
    sections: dict[str, np.ndarray] = {}
    for (dataset, architecture), places in groups.items():
        group = submission.group(dataset, architecture)
        keys = [submission.rows[at].key or "" for at in places]
        claimed = {n: submission.scores[places, k] for k, n in enumerate(submission.score_names)}
        volumes = [_volume(cards[dataset], submission.rows[at].seed) for at in places]
        report.sections += check_values(group, keys, claimed, protocol, volumes) * len(keys)
        section = group.get("section", "<i4", None)
        if not np.array_equal(sections.setdefault(dataset, section), section):
            raise UserError(f"{group.path}: its sections are not those of other architectures.")
    files = {layout.group_file("images", *at) for at in groups}
    if odd := sorted(n for n in submission.files if n.startswith("images/") and n not in files):
        raise UserError(f"{submission.folder / odd[0]} is of no cell of the submission.")
    report.notes.append(
        f"{', '.join(pooled_alone())} is of a whole volume and was not computed again"
    )


def _check_headlines(submission: Submission, protocol: Protocol) -> None:
    """The first of its kind is what a leaderboard shows, so it is to be the protocol's first."""
    for start in (f"{protocol.scoring.attributions[0]}/", f"dice@{protocol.scoring.thresholds[0]}"):
        sign = "/slice_share[" if start.endswith("/") else "dice@"
        first = next((name for name in submission.score_names if sign in name), start)
        if not first.startswith(start):
            raise UserError(
                f"{submission.files[layout.CELLS]}: its first such score is {first}, and not one "
                f"of {start.rstrip('/')}: keep the columns in the order that `submit` gives them."
            )


def _check_plugins(report: Validation) -> None:
    submission = report.submission
    needed = {
        *submission.manifest.scoring_sources.values(),
        *(row.init_source for row in submission.rows if row.init_source),
        *(row.architecture_source for row in submission.rows if row.architecture_source),
    }
    for path in submission.plugins():
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        if source not in needed:
            raise UserError(f"{path} is not the source of any cell of the submission.")
        needed.discard(source)
        report.notes.append(f"{path.name} is code of the authors, and was not run")
    if needed:
        report.notes.append(
            f"the source of {len(needed)} plug-in{'s' * (len(needed) > 1)} is not packed "
            f"({', '.join(sorted(s[:12] for s in needed))})"
        )


def _note_uncommitted(report: Validation) -> None:
    """Say so where no commit holds what the cells were made with."""
    numbers = (row.environment for row in report.submission.rows)
    machines = report.submission.manifest.environments
    made = [machines[number] for number in numbers if number is not None]
    if count := sum(bool(each.get("dirty")) for each in made):
        report.notes.append(
            f"{count} of {len(made)} cells were made with changes that their commit does not hold"
        )


def _check_examples(report: Validation) -> None:
    submission, keys = report.submission, defaultdict(set)
    for row in submission.rows:
        if row.status == "done":
            name = layout.group_file("examples", row.dataset, row.architecture)
            keys[name].add(row.key)
    for name in submission.files:
        if name.startswith("examples/") and not submission.examples(name).keys() <= keys[name]:
            raise UserError(f"{submission.folder / name} is of no done cell of the submission.")
    packed = sum(name in submission.files for name in keys)
    report.notes.append(
        f"pictures are packed for {packed} of {len(keys)} pairs of data set and architecture; what "
        "they show was not checked"
    )
