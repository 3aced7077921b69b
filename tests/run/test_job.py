import subprocess
import sys
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.protocol import load_protocol
from emsym.run.job import jobs


def keys(tiny: Path) -> list[str]:
    return [job.key for job in jobs(load_protocol(str(tiny)))]


def test_every_cell_has_a_key_of_its_own_and_keeps_it(tiny: Path) -> None:
    assert len(set(keys(tiny))) == 4
    assert keys(tiny) == keys(tiny)


def test_the_key_follows_the_weights(tiny: Path) -> None:
    before = keys(tiny)
    path = tiny.parent / "encoder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert not set(before) & set(keys(tiny))


def test_each_network_of_a_folder_has_the_identity_of_its_own_file(tiny: Path) -> None:
    text = tiny.read_text().replace('"encoder.safetensors"', '"files/"')
    pair = '"linknet-tu-test_efficientnet", "linknet-tu-test_resnet"'
    tiny.write_text(text.replace('"linknet-tu-test_efficientnet"', pair))
    folder = tiny.parent / "files"
    folder.mkdir()
    for name in ("test_efficientnet", "test_resnet"):
        (folder / f"{name}.pt").write_bytes(name.encode())
    before = jobs(load_protocol(str(tiny)))
    assert {(Path(job.weights).stem, job.weights_origin) for job in before} == {
        ("test_efficientnet", "files/"),
        ("test_resnet", "files/"),
    }
    (folder / "test_resnet.pt").write_bytes(b"others")
    after = jobs(load_protocol(str(tiny)))
    changed = {job.cell.architecture for job in after if job.key not in [j.key for j in before]}
    assert changed == {"linknet-tu-test_resnet"}


def test_the_key_follows_the_card(tiny: Path) -> None:
    before = keys(tiny)
    card = tiny.parent / "tiny-a.toml"
    card.write_text(card.read_text().replace("seed = 0", "seed = 5"))
    assert not set(before) & set(keys(tiny))


def test_the_key_ignores_where_things_lie(tiny: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("elsewhere")
    for path in tiny.parent.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert keys(tiny) == keys(other / tiny.name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"uniform-green"', '"uniform-gren"', "did you mean 'uniform-green'"),
        ('"linknet-tu', '"linkmet-tu', "There is no architecture"),
        ('"tiny-a.toml"', '"tiny-c.toml"', "cannot be read"),
        ('"tiny-a.toml"', '"phantom-fibre"', "did you mean 'phantom-fibres'"),
        ('"encoder.safetensors"', '"none.safetensors"', "There are no weights"),
        ('"encoder.safetensors"', '"imagenett"', "There are no weights"),
        (
            '"slice-removal"',
            '"slice-removel"',
            "no metric .* did you mean 'slice-removal'",
        ),
        ('"slice-removal"', '"irof"', "The metric 'irof' of Quantus 0.6.0 is not offered"),
        (
            "[scoring]",
            '[scoring]\nattributions = ["grad-cam"]',
            "There is no attribution 'grad-cam'",
        ),
        (
            "[scoring]",
            '[scoring]\nprimary = "saliency/foreground/asymmetry"',
            "The primary score 'saliency/foreground/asymmetry' is none of those",
        ),
        (
            "[scoring]",
            '[scoring]\nprimary = "saliency/true-foreground/neighbour_asymmetry"',
            "neither high nor low values",
        ),
    ],
)
def test_a_wrong_name_is_told_before_anything_runs(
    tiny: Path, old: str, new: str, said: str
) -> None:
    tiny.write_text(tiny.read_text().replace(old, new))
    with pytest.raises(UserError, match=said):
        keys(tiny)


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys; from emsym.run.job import jobs; from emsym.protocol import load_protocol;"
        "assert len(jobs(load_protocol('quick'))) == 90; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whether_a_run_is_offline_travels_with_its_jobs_and_changes_no_key(tiny: Path) -> None:
    online, offline = (jobs(load_protocol(str(tiny)), offline=way) for way in (False, True))
    assert [job.offline for job in offline] == [True] * 4
    assert [job.key for job in offline] == [job.key for job in online]
    assert not any(job.offline for job in online)


def test_cells_of_all_variants_are_run_seed_by_seed(tiny: Path) -> None:
    tiny.write_text(f"{tiny.read_text()}\n[vary]\nslices = [3, 9]\n")
    made = jobs(load_protocol(str(tiny)))
    assert len({job.key for job in made}) == 8
    assert [job.cell.seed for job in made] == [0] * 4 + [1] * 4
    assert [job.protocol.slices for job in made[:4]] == [3, 3, 9, 9]
    assert str(made[2]) == f"tiny-9 · {made[2].cell}"
