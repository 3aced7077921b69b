"""A job queue is described by a TOML file, and asked through its own command."""

from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.run.workers import job_queue
from emsym.run.workers.job_queue import SUBMIT, queue_cluster


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(job_queue.shutil, "which", lambda command: None)
    return tmp_path / "cluster.toml"


@pytest.mark.parametrize("system", SUBMIT)
def test_a_queue_that_this_machine_does_not_have_is_a_sentence(cluster: Path, system: str) -> None:
    pytest.importorskip("dask_jobqueue")
    cluster.write_text(f'system = "{system}"\noptions = {{ cores = 1, memory = "4GB" }}\n')
    with (
        pytest.raises(UserError, match=f"no `{SUBMIT[system]}` on this machine"),
        queue_cluster(cluster),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('system = "slurn"\noptions = { cores = 1 }', "'system'"),
        ('system = "slurm"\noptions = {}', "'options'"),
        ('system = "slurm"', "'options' is missing"),
        ('system = "slurm"\noptions = { cores = 1 }\nqueue = "long"', "'queue'"),
        ("system =", "cluster.toml"),
    ],
)
def test_a_wrong_file_is_a_sentence(cluster: Path, text: str, said: str) -> None:
    cluster.write_text(text)
    with pytest.raises(UserError, match=said), queue_cluster(cluster):
        pass


def test_what_the_queue_s_class_refuses_is_told_with_the_file(cluster: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    cluster.write_text('system = "local"\noptions = { cores = 1, nonsense = 2 }')
    with pytest.raises(UserError, match=r"cluster\.toml: local says: "), queue_cluster(cluster):
        pass
