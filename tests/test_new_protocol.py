import tomllib
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.new_protocol import protocol_text, write_protocol
from emsym.protocol import Faithfulness, Protocol, Recipe, Scoring, load_protocol
from emsym.run.job import jobs


def test_every_key_is_asked_for_or_says_why_it_is_the_default() -> None:
    text = protocol_text("mine", {"recipe.steps": 7, "inits": ["rgb"]})
    for model in (Protocol, Recipe, Scoring, Faithfulness):
        for key in model.model_fields:
            assert key in text, key
    lines = text.splitlines()
    values = [place for place, line in enumerate(lines) if line[:1] not in ("", "#", "[")]
    given = {'name = "mine"', 'inits = ["rgb"]', "steps = 7"}
    for place in values:
        assert lines[place - 1].startswith("# ") != (lines[place] in given), lines[place]


@pytest.mark.parametrize("synthetic", [True, False])
@pytest.mark.parametrize("slices", [None, 9])
def test_what_it_writes_is_a_protocol(synthetic: bool, slices: int | None) -> None:
    text = protocol_text("mine", {"slices": slices}, synthetic)
    protocol = Protocol.model_validate(tomllib.loads(text))
    assert protocol.slices == (slices or 3)
    assert protocol.weights == ("pretext" if synthetic else "imagenet")


def test_paths_are_as_seen_from_the_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent)
    (tiny.parent / "protocols").mkdir()
    path = Path("protocols") / "mine.toml"
    protocol = write_protocol(
        path, "mine", datasets=["tiny-a.toml"], weights="encoder.safetensors", seeds=2, slices=5
    )
    assert protocol.datasets == ("../tiny-a.toml",)
    assert protocol.weights == "../encoder.safetensors"
    assert len(jobs(load_protocol(str(path)))) == 4
    assert protocol == load_protocol(str(path))


def test_a_default_is_never_that_of_a_protocol_that_ships() -> None:
    """Its digest is its own, so that its cells are of no other board."""
    protocol = Protocol.model_validate(tomllib.loads(protocol_text("mine", {})))
    assert protocol.digest != load_protocol("quick").digest


@pytest.mark.parametrize(
    ("path", "name", "given", "said"),
    [
        ("mine.toml", "quick", {}, "'quick' ships with emsym"),
        ("mine.toml", "slices-5", {}, "'slices-5' ships with emsym"),
        ("mine.txt", "mine", {}, "end in .toml"),
        ("tiny.toml", "mine", {}, "tiny.toml exists"),
        ("mine.toml", "mi ne", {}, "name"),
        ("mine.toml", "mine", {"slices": 4}, "an odd number of slices"),
        ("mine.toml", "mine", {"inits": ["uniform-gren"]}, "did you mean 'uniform-green'"),
        ("mine.toml", "mine", {"datasets": ["none.toml"]}, "cannot be read"),
        ("mine.toml", "mine", {"architectures": ["unett-resnet34"]}, "There is no architecture"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_no_file(
    path: str,
    name: str,
    given: dict[str, object],
    said: str,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny.parent)
    before = {each.name: each.read_bytes() for each in tiny.parent.iterdir()}
    with pytest.raises(UserError, match=said):
        write_protocol(Path(path), name, **given)  # type: ignore[arg-type]
    assert {each.name: each.read_bytes() for each in tiny.parent.iterdir()} == before
