"""Records of Every Eval Ever, held against the schema of its package."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from emsym.leaderboard.collection import StoredResults
from emsym.leaderboard.every_eval_ever import SCHEMA_VERSION, write_records
from emsym.scores.catalogue import score_of

FIXTURES = Path(__file__).parents[1] / "fixtures"
NOW = 1_760_492_095.5
pytestmark = pytest.mark.filterwarnings("ignore:.*does not ship with emsym")


@pytest.fixture
def stored(submission: Path) -> StoredResults:
    """The results of a folder with one submission."""
    return StoredResults(submission.parents[1])


@pytest.fixture
def written(stored: StoredResults, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The records of each cell, by their files."""
    folder = tmp_path / "exported"
    paths = write_records(stored, folder, NOW)
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text("utf-8")) for path in paths
    }


def test_every_record_is_of_the_schema(written: dict[str, dict[str, Any]]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="pip install 'emsym[test]'")
    schema = json.loads((FIXTURES / "every-eval-ever-0.3.0.schema.json").read_text())
    assert schema["version"] == SCHEMA_VERSION
    for record in written.values():
        jsonschema.validate(record, schema)
    (record, *_) = written.values()
    for change in ({"evaluation_results": [{}]}, {"model_info": {}}, {"cells": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**record, **change}, schema)


def test_each_cell_has_a_file_where_the_projects_store_wants_it(
    written: dict[str, dict[str, Any]], stored: StoredResults
) -> None:
    assert len(written) == len(stored.results.cells) == 4
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    for path, record in written.items():
        assert re.fullmatch(rf"data/emsym-tiny-1/ours-1/[a-z0-9_+.-]+/{uuid}\.json", path)
        collection, developer, model = path.split("/")[1:4]
        assert record["model_info"]["id"] == f"{developer}/{model}"
        assert record["evaluation_id"] == f"{collection}/{developer}/{model}/{NOW}"
        assert record["retrieved_timestamp"] == str(NOW)
    assert len({record["evaluation_id"] for record in written.values()}) == len(written)


def test_a_cell_is_written_again_into_its_own_file(
    written: dict[str, dict[str, Any]], stored: StoredResults, tmp_path: Path
) -> None:
    write_records(stored, tmp_path / "exported", NOW + 1)
    again = {path.relative_to(tmp_path / "exported") for path in tmp_path.rglob("????????-*.json")}
    assert {path.as_posix() for path in again} == set(written)


def test_scores_are_those_of_the_cell_and_say_which_way_is_better(
    written: dict[str, dict[str, Any]], stored: StoredResults
) -> None:
    cells = stored.results.cells.set_index("key")
    for record in written.values():
        cell = cells.loc[record["source_metadata"]["additional_details"]["cell_key"]]
        results = {each["evaluation_result_id"]: each for each in record["evaluation_results"]}
        with_better = {
            name for name in stored.submissions[0].score_names if score_of(name).better is not None
        }
        assert set(results) == {name for name in with_better if cell[name] == cell[name]}
        for name, result in results.items():
            score, metric = score_of(name), result["metric_config"]
            value = abs(cell[name]) if score.absolute else cell[name]
            assert result["score_details"]["score"] == value
            assert metric["lower_is_better"] == (score.better == "low")
            assert metric["metric_id"] == f"emsym.{name}"
            if isinstance(metric["min_score"], float | int):
                assert metric["min_score"] <= value
        dice = next(each for name, each in results.items() if name.startswith("dice@"))
        assert dice["metric_config"]["lower_is_better"] is False
        assert (dice["metric_config"]["min_score"], dice["metric_config"]["max_score"]) == (0, 1)


def test_a_signed_score_has_its_size_and_keeps_its_sign_beside_it(
    written: dict[str, dict[str, Any]], stored: StoredResults
) -> None:
    cells = stored.results.cells.set_index("key")
    signed = "saliency/true-foreground/model_asymmetry"
    for record in written.values():
        cell = cells.loc[record["source_metadata"]["additional_details"]["cell_key"]]
        (result,) = [
            each for each in record["evaluation_results"] if each["evaluation_result_id"] == signed
        ]
        details = result["score_details"]
        assert details["score"] == abs(cell[signed])
        assert float(details["details"]["signed_score"]) == cell[signed]
        assert (result["metric_config"]["min_score"], result["metric_config"]["max_score"]) == (
            0,
            1,
        )


def test_it_tells_who_measured_what_and_what_of_it_is_assured(
    written: dict[str, dict[str, Any]], stored: StoredResults
) -> None:
    sheet = stored.submissions[0].sheet
    for record in written.values():
        source, model = record["source_metadata"], record["model_info"]
        assert source["source_organization_name"] == ", ".join(sheet.authors)
        assert source["additional_details"]["assurance"] == "self-attested"
        assert source["additional_details"]["licence"] == sheet.licence
        assert model["additional_details"]["init_strategy"] in ("rgb", "uniform-green")
        assert model["additional_details"]["seed"] in ("0", "1")
        assert model["additional_details"]["training_data"] == "tiny-a"
        data = record["evaluation_results"][0]["source_data"]
        assert (data["dataset_name"], data["source_type"]) == ("tiny-a", "other")


def test_cells_of_the_machine_itself_are_nobodys_submission(store: Path, tmp_path: Path) -> None:
    stored = StoredResults(store)
    paths = write_records(stored, tmp_path / "exported", NOW)
    assert len(paths) == (stored.results.cells["status"] == "done").sum()
    record = json.loads(paths[0].read_text("utf-8"))
    source = record["source_metadata"]
    assert source["source_organization_name"] == "unknown"
    assert source["additional_details"]["assurance"].startswith("none:")
    assert record["model_info"]["developer"] == "local"
