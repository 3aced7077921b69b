"""The options of `audit` and `sanity` are the fields of their inputs."""

from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner

from emsym.auditing.inputs import AuditInputs, SanityInputs, described_fields
from emsym.cli.network_volume_options import following, network_volume_options
from emsym.scores.targets import Target


def parsed(*words: str, inputs: type = AuditInputs) -> dict[str, Any]:
    values: dict[str, Any] = {}

    @click.command()
    @network_volume_options(inputs)
    def command(**options: Any) -> None:
        values.update(options)

    done = CliRunner().invoke(command, ["net.pt", "em.tif", *words])
    assert done.exit_code == 0, done.output
    return values


@pytest.mark.parametrize("inputs", [AuditInputs, SanityInputs])
def test_without_options_they_are_the_defaults_of_the_fields(inputs: type) -> None:
    options = parsed(inputs=inputs)
    assert (options.pop("network"), options.pop("volume")) == ("net.pt", "em.tif")
    assert options == {
        field.name: field.default
        for field, _, _ in described_fields(inputs)
        if field.name not in ("model", "volume")
    }


def test_words_become_values_of_the_fields_types() -> None:
    words = "--labels l.tif --slices 5 --mean 1.5 --attribution saliency --attribution grad-cam"
    options = parsed(*words.split())
    assert (options["labels"], options["slices"], options["mean"]) == ("l.tif", 5, 1.5)
    assert options["attribution"] == ("saliency", "grad-cam")
    assert parsed("--voxel-size", "50", "4", "4.5")["voxel_size"] == (50, 4, 4.5)
    assert parsed("--probabilities")["probabilities"] is True
    assert parsed("--logits")["probabilities"] is False


def test_every_target_may_be_chosen_and_no_other() -> None:
    assert [parsed("--target", name)["target"] for name in get_args(Target)] == [*get_args(Target)]
    for words in (("--target", "some"), ("--channel", "-1"), ("--size", "31")):
        with pytest.raises(AssertionError, match="Invalid value"):
            parsed(*words)


def test_each_phase_is_followed_to_its_end() -> None:
    class Display:
        calls: list[object] = []

        def phase(self, name: str, weights: list[float]) -> None:
            self.calls.append((name, len(weights)))

        def advance(self, name: str, weight: float) -> None:
            self.calls.append(name)

    progress = following(Display())
    for done in (0, 2, 3):
        progress("Sections", done, 3)
    progress("Maps", 0, 1)
    progress("Maps", 1, 1)
    assert Display.calls == [("Sections", 3), "1", "2", "3", ("Maps", 1), "1"]
