from pathlib import Path

import pytest

from emsym.data.cards import list_cards
from emsym.errors import UserError
from emsym.models.architectures import ARCHITECTURES
from emsym.models.inits import parse_init
from emsym.protocol import (
    Cell,
    Protocol,
    list_protocols,
    load_protocol,
    shipped_protocol,
    ships,
    split_task,
)


def change(tiny: Path, old: str, new: str) -> Protocol:
    text = tiny.read_text()
    assert old in text
    tiny.write_text(text.replace(old, new))
    return load_protocol(str(tiny))


def test_quick_is_what_the_project_promises() -> None:
    quick = load_protocol("quick")
    assert len([name for name in quick.datasets if name.startswith("phantom-")]) == 3
    assert len(quick.architectures) == 2
    assert {"rgb", "uniform-green", "uniform-mean", "mirror", "random"} <= set(quick.inits)
    assert len(quick.seeds) >= 3
    assert quick.weights == "pretext"


def test_older_versions_of_a_shipped_protocol_are_found() -> None:
    """The digest of the first `quick`, of which results were published."""
    first, now = shipped_protocol("quick", "1"), load_protocol("quick")
    assert first is not None
    assert first.digest.startswith("3082d832")
    assert shipped_protocol("quick", now.version) == now
    assert shipped_protocol("quick", "0") is None
    assert shipped_protocol("none", "1") is None


@pytest.mark.parametrize("name", list_protocols())
def test_every_shipped_protocol_names_things_that_exist(name: str) -> None:
    protocol = load_protocol(name)
    assert {split_task(entry)[0] for entry in protocol.datasets} <= set(list_cards())
    for architecture in protocol.architectures:
        ARCHITECTURES.get(architecture)
    for init in protocol.inits:
        parse_init(init)


def test_cells_are_the_product_with_seeds_outermost(tiny: Path) -> None:
    protocol = load_protocol(str(tiny))
    cells = protocol.cells()
    assert len(set(cells)) == len(cells) == 4
    assert [cell.seed for cell in cells] == [0, 0, 1, 1]
    assert cells[0] == Cell("tiny-a", "linknet-tu-test_efficientnet", "rgb", 0)


def test_the_digest_follows_what_decides_a_number(tiny: Path) -> None:
    before = load_protocol(str(tiny)).digest
    assert change(tiny, "steps = 2", "steps = 3").digest != before
    assert change(tiny, "steps = 3", "steps = 2").digest == before
    assert change(tiny, "[scoring]", '[scoring]\nprimary = "flip_error"').digest != before
    assert change(tiny, '\nprimary = "flip_error"', "").digest == before
    assert change(tiny, 'version = "1"', 'version = "2"').digest != before
    whole = load_protocol(str(tiny)).digest
    assert change(tiny, "[scoring]", "[scoring]\nsections = 2").digest != whole
    assert change(tiny, "[scoring]\nsections = 2", "[scoring]").digest == whole
    assert change(tiny, "[scoring]", "[scoring]\nsize = 64").digest != whole
    assert change(tiny, "[scoring]\nsize = 64", "[scoring]").digest == whole
    assert change(tiny, "[scoring]", '[scoring]\narand_3d = "foreground"').digest != before
    assert change(tiny, 'arand_3d = "foreground"', 'arand_3d = "all"').digest == (
        change(tiny, 'arand_3d = "all"', "").digest
    )


def test_patches_of_a_cell_are_its_own_where_the_protocol_says_so(tiny: Path) -> None:
    """The same for all strategies; protocols that do not say it keep their digest."""
    old = load_protocol(str(tiny))
    tiny.write_text(tiny.read_text().replace("[recipe]\n", '[recipe]\npatch_places = "cell"\n'))
    new = load_protocol(str(tiny))
    assert old.digest != new.digest
    assert {cell.patch_seed(old.recipe) for cell in old.cells()} == set(old.seeds)
    cells = [
        Cell(dataset, architecture, init, seed)
        for dataset in "ab"
        for architecture in "xy"
        for init in ("rgb", "random")
        for seed in range(3)
    ]
    seeds = {cell._replace(init=""): cell.patch_seed(new.recipe) for cell in cells}
    assert len(set(seeds.values())) == len(seeds) == 12
    assert all(seeds[cell._replace(init="")] == cell.patch_seed(new.recipe) for cell in cells)
    assert all(0 <= seed < 2**31 for seed in seeds.values())


def test_the_tolerance_is_of_a_device_and_of_no_digest(tiny: Path) -> None:
    before = load_protocol(str(tiny)).digest
    with pytest.raises(UserError, match="does not say how far scores may be apart on 'cpu'"):
        load_protocol(str(tiny)).allowed("cpu", "dice@0.5", 0.9)
    patterns = '[tolerance.cuda]\n"*/slice_shapley*" = 0.1\n"dice@*" = 0.01\n\n'
    protocol = change(tiny, "[scoring]", f"{patterns}[scoring]")
    assert protocol.digest == before
    assert protocol.allowed("cuda:1", "dice@0.5", 0.9) == 0.01
    assert protocol.allowed("cuda", "a/b/slice_shapley[+1]", -200.0) == pytest.approx(20)
    assert protocol.allowed("cuda", "flip_error", 0.9) == 0, "no pattern, no leave"


def test_the_digest_ignores_which_cells_there_are_and_words(tiny: Path) -> None:
    before = load_protocol(str(tiny)).digest
    assert change(tiny, "seeds = [0, 1]", "seeds = [0, 1, 2]").digest == before
    assert change(tiny, "For tests.", "For people.").digest == before
    assert change(tiny, "learning_rate = 1e-3", "learning_rate = 0.001").digest == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps = 2", "stepz = 2", "unknown key 'recipe.stepz'"),
        ("steps = 2", "steps = 0", "'recipe.steps'"),
        ("patch = 32", "patch = 33", "'recipe.patch'"),
        ("learning_rate = 1e-3", "learning_rate = nan", "'recipe.learning_rate'"),
        ('version = "1"', "", "'version' is missing"),
        ("seeds = [0, 1]", "seeds = [0, 0]", "'seeds' names something twice"),
        ("seeds = [0, 1]", "seeds = []", "'seeds'"),
        ("[recipe]", "slices = 4\n[recipe]", "odd number"),
        ('name = "tiny"', 'name = "../evil"', "'name'"),
        ("[recipe]", "[recipe", "not valid TOML"),
    ],
)
def test_a_wrong_protocol_names_the_file_and_the_key(
    tiny: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        change(tiny, old, new)
    assert said in str(caught.value)
    assert str(tiny) in str(caught.value)


def test_an_unknown_protocol_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'quick'"):
        load_protocol("quik")


def test_an_unreadable_protocol_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_protocol(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('attributions = ["slice-shapley"]', "the first is the headline"),
        ('attributions = ["saliency", "saliency"]', "'attributions' names something twice"),
        ("over_training = {steps = [0, 3]}", "names step 3 of 2"),
        ("over_training = {steps = []}", "over_training.steps"),
        ("faithfulness = {metrics = []}", "faithfulness.metrics"),
        ('targets = ["nothing"]', "targets"),
    ],
)
def test_scoring_that_makes_no_sense_is_told(tiny: Path, change: str, told: str) -> None:
    head = tiny.read_text().partition("[scoring]")[0]
    tiny.write_text(f"{head}[scoring]\n{change}\n")
    with pytest.raises(UserError, match=told):
        load_protocol(str(tiny))


def test_shapley_values_of_many_slices_are_refused(tiny: Path) -> None:
    tiny.write_text(tiny.read_text().replace("[recipe]", "slices = 9\n[recipe]", 1))
    with pytest.raises(UserError, match="'slice-shapley' is for 7 slices at most"):
        load_protocol(str(tiny))
    tiny.write_text(tiny.read_text().replace("[scoring]", '[scoring]\nattributions = ["saliency"]'))
    assert load_protocol(str(tiny)).slices == 9


def varied(tiny: Path, vary: str) -> Path:
    tiny.write_text(f"{tiny.read_text()}\n[vary]\n{vary}\n")
    return tiny


def test_a_variant_is_what_would_be_written_by_hand(tiny: Path) -> None:
    plain = tiny.read_text()
    variants = load_protocol(str(varied(tiny, "slices = [3, 5, 9]"))).variants()
    assert [variant.name for variant in variants] == ["tiny-3", "tiny-5", "tiny-9"]
    assert variants[1].folder == tiny.parent
    five = plain.replace('"tiny"', '"tiny-5"').replace("[recipe]", "slices = 5\n[recipe]", 1)
    tiny.write_text(five)
    assert load_protocol(str(tiny)) == variants[1]
    assert load_protocol(str(tiny)).digest == variants[1].digest
    assert "slice-shapley" in variants[1].scoring.attributions
    assert "slice-shapley" not in variants[2].scoring.attributions, "of 512 coalitions"


def test_a_number_of_the_recipe_can_vary_and_selected_cells_stay_selected(tiny: Path) -> None:
    protocol = load_protocol(str(varied(tiny, '"recipe.learning_rate" = [1e-5, 0.1]')))
    variants = protocol.select(inits=["rgb"], seeds=[1]).variants()
    assert [variant.recipe.learning_rate for variant in variants] == [1e-5, 0.1]
    assert [variant.name for variant in variants] == ["tiny-1e-05", "tiny-0.1"]
    assert [len(variant.cells()) for variant in variants] == [1, 1]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("slices = [3, 4]", "with slices = 4: 'slices': a slice stack has an odd number"),
        ("slices = [3, 3]", "'vary' names a value twice"),
        ("slices = [3]", "'vary.slices': needs at least 2 entries"),
        ('slices = [3, "x"]', "with slices = x: 'slices': should be a whole number"),
        ("seeds = [3, 4]", "'vary.seeds': only slices, border and recipe.… may vary"),
        ('"recipe.a.b" = [3, 4]', "only slices, border and recipe.… may vary"),
        ('"recipe.speed" = [1, 2]', "unknown key 'recipe.speed'"),
        ('"recipe.steps" = [1, 9]', "over_training names step 2 of 1"),
        ('slices = [3, 5]\nborder = ["skip", "mirror"]', "'vary'"),
    ],
)
def test_what_cannot_vary_is_told(tiny: Path, vary: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_protocol(str(varied(tiny, vary)))


def test_variants_of_a_protocol_that_ships_have_names() -> None:
    assert load_protocol("slices-5").slices == 5
    assert shipped_protocol("weight-decay-10.0", "1").recipe.weight_decay == 10
    assert ships("slices-9")
    assert not ships("slices-4")
    with pytest.raises(UserError, match="did you mean 'slices'"):
        load_protocol("slices-4")
