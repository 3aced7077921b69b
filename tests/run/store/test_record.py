import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from emsym.protocol import load_protocol
from emsym.run.job import jobs
from emsym.run.store.record import Record, record_of


def test_a_record_begins_with_its_schema_version_and_refuses_what_it_does_not_know(
    tiny: Path,
) -> None:
    record = record_of(jobs(load_protocol(str(tiny)))[0], status="done", scores={"dice@0.5": 0.5})
    text = record.model_dump_json()
    assert text.startswith('{"schema_version":1,'), "a store looks for it there"
    assert Record.model_validate_json(text) == record
    with pytest.raises(ValidationError, match="other"):
        Record.model_validate({**json.loads(text), "other": 1})
    with pytest.raises(ValidationError, match="frozen"):
        record.seed = 2  # type: ignore[misc]
