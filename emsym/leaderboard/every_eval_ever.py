"""Cells as records of Every Eval Ever, a common format for results of evaluations of all kinds.

The format: the EvalEval Coalition's `eval.schema.json` of version 0.3.0, MIT licence, which its
package `every-eval-ever` holds. It was made for language models; docs/reference/results.md says how
a cell was put into it, and what found no place.
"""

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from emsym.data.cards import list_cards, load_card
from emsym.files import write_atomically
from emsym.leaderboard.collection import StoredResults
from emsym.leaderboard.results import LOCAL, score_names
from emsym.scores.catalogue import score_of
from emsym.submission.schema import Sheet

SCHEMA_VERSION = "0.3.0"

_OWN_CELLS = "none: cells of the machine that exported them"

_MODEL = {
    "dataset": "training_data",
    "architecture": "architecture",
    "architecture_source": "architecture_plugin_sha256",
    "init": "init_strategy",
    "init_source": "init_plugin_sha256",
    "gain": "gain",
    "seed": "seed",
    "slices": "slices",
    "weights": "pretrained_weights",
    "identity": "pretrained_weights_identity",
    "parameters": "parameters",
}
_RUN = {
    "key": "cell_key",
    "protocol": "protocol",
    "version": "protocol_version",
    "digest": "protocol_digest",
    "device": "device",
    "processor": "processor",
    "minutes": "minutes",
    "peak_memory_mb": "peak_memory_mb",
}
_DATA = {
    "data": "data_digest",
    "source": "source",
    "modality": "modality",
    "licence": "licence",
    "citation": "citation",
}
"""Columns of `emsym.leaderboard.results.FACTS`, and what they are called in a record."""


def write_records(stored: StoredResults, folder: Path, now: float) -> list[Path]:
    """Write a record of each finished cell into a folder; return the files.

    They lie as in the project's store, ``data/COLLECTION/DEVELOPER/MODEL/UUID.json``. A cell's file
    has the same name each time. `now` is the time of the export, in seconds since 1970.
    """
    sheets = {each.name: each.sheet for each in stored.submissions}
    written = []
    for name, record in _records(stored, sheets, now):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(path, f"{text}\n")
        written.append(path)
    return written


def _records(
    stored: StoredResults, sheets: Mapping[str, Sheet], now: float
) -> Iterator[tuple[PurePosixPath, dict[str, Any]]]:
    """Yield the place and the record of each finished cell, of all submissions and local runs."""
    cells = stored.results.cells
    names = score_names(cells)
    for row in cells[cells["status"] == "done"].to_dict("records"):
        facts = {str(fact): value for fact, value in row.items() if not _is_missing(value)}
        collection = _part(f"emsym-{facts['protocol']}-{facts['version']}")
        submission = facts["submission"]
        model = _part(
            f"{facts['dataset']}--{facts['architecture']}--{facts['init']}--seed-{facts['seed']}"
        )
        digest = hashlib.sha256(f"{submission} {facts['key']}".encode()).digest()
        place = PurePosixPath("data", collection, submission, model)
        source_data = _source_data(facts)
        record = {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": f"{collection}/{submission}/{model}/{now}",
            "retrieved_timestamp": f"{now}",
            "source_metadata": _source(
                facts,
                sheets.get(submission),
                _OWN_CELLS if submission == LOCAL else stored.assurance[submission],
            ),
            "eval_library": _library(facts),
            "model_info": _model(facts, f"{submission}/{model}"),
            "evaluation_results": [
                _result(facts, name, source_data) for name in names if _is_exported(facts, name)
            ],
        }
        yield place / f"{uuid.UUID(bytes=digest[:16], version=4)}.json", record


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _part(name: str) -> str:
    """Return a name as a folder's.

    >>> _part("vnc:mitochondria--unet-resnet34--mirror+adapter--seed-0")
    'vnc-mitochondria--unet-resnet34--mirror+adapter--seed-0'
    """
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", name)


def _is_exported(facts: Mapping[str, Any], name: str) -> bool:
    """Whether a score is there, and one that is better high or low, which a record must say."""
    return name in facts and score_of(name).better is not None


def _texts(facts: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Return facts as the texts that the format wants of all details."""
    return {
        to: _text(facts[name]) for name, to in names.items() if name in facts and facts[name] != ""
    }


def _text(value: object) -> str:
    """Return a fact as text; a table makes whole numbers decimal where some are missing.

    >>> _text(1_234_567.0), _text(0.25), _text("rgb")
    ('1234567', '0.25', 'rgb')
    """
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.6g}"
    return str(value)


def _source(facts: Mapping[str, Any], sheet: Sheet | None, assurance: str) -> dict[str, Any]:
    about = {"assurance": str(assurance)}
    if sheet:
        about |= {"title": sheet.title, "licence": sheet.licence, "code": sheet.code}
    return {
        "source_name": f"emsym, protocol {facts['protocol']}, version {facts['version']}",
        "source_type": "evaluation_run",
        "source_organization_name": ", ".join(sheet.authors) if sheet else "unknown",
        # who submits cells has trained the networks and measured them
        "evaluator_relationship": "first_party",
        "additional_details": about | _texts(facts, _RUN),
    }


def _library(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": "emsym",
        "version": facts.get("commit", "unknown"),
        "additional_details": {"scoring_version": _text(facts["scoring_version"])},
    }


def _model(facts: Mapping[str, Any], identifier: str) -> dict[str, Any]:
    return {
        "name": f"{facts['architecture']}, init {facts['init']}, seed {facts['seed']}, trained on "
        f"{facts['dataset']}",
        "id": identifier,
        "developer": facts["submission"],
        "additional_details": {
            "deployment_type": "self_deployed",
            "model_availability": "unknown",
            "task": "2.5D segmentation",
            **_texts(facts, _MODEL),
        },
    }


def _result(facts: Mapping[str, Any], name: str, source_data: dict[str, Any]) -> dict[str, Any]:
    score, value = score_of(name), float(facts[name])
    low, high = score.compared_bounds
    details = {"signed_score": repr(value)} if score.absolute else {}
    return {
        "evaluation_result_id": name,
        "evaluation_name": f"{facts['dataset']}, test split",
        "source_data": source_data,
        "metric_config": {
            "evaluation_description": score.meaning,
            "metric_id": f"emsym.{name}",
            "metric_name": score.term,
            "metric_kind": score.name,
            "lower_is_better": score.better == "low",
            "score_type": "continuous",
            "min_score": _bound(low),
            "max_score": _bound(high),
        },
        "score_details": {
            "score": abs(value) if score.absolute else value,
            **({"details": details} if details else {}),
        },
    }


def _bound(value: float) -> float | str:
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _source_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    page = _homepage(facts["dataset"], facts.get("citation", ""))
    return {
        "dataset_name": facts["dataset"],
        **({"source_type": "url", "url": [page]} if page else {"source_type": "other"}),
        "additional_details": _texts(facts, _DATA),
    }


@cache
def _homepage(dataset: str, citation: str) -> str:
    """Return the page of a data set that ships with emsym; "" of another, and where it has none.

    A data set of the same name that cites another work is another one.
    """
    name = dataset.partition(":")[0]
    card = load_card(name) if name in list_cards() else None
    return card.homepage if card and card.citation == citation else ""
