"""The main job as a function; cells are made up in this process, so that nothing is trained."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from emsym.errors import UserError
from emsym.models.inits import INITS
from emsym.output_folder import OutputFolder
from emsym.protocol import Protocol
from emsym.run.benchmark import run_benchmark
from emsym.run.executors.base import ExecutorOption, Pool, Setup
from emsym.run.executors.registry import EXECUTORS, register_executor
from emsym.run.job import Job, jobs
from emsym.run.listener import RunListener
from emsym.run.store.record import Record
from emsym.run.store.store import Store
from emsym.run.workers import tasks


def test_what_the_libraries_alone_take_is_no_memory_for_a_worker(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"--memory 0\.01: a worker takes over 0\.5 GB"):
        run_benchmark(tiny, memory=0.01)


@pytest.mark.slow
def test_a_strategy_of_another_shape_is_told_before_anything_is_made(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INITS, "_entries", dict(INITS._entries))
    path = tiny.parent / "flat.py"
    path.write_text(
        "from emsym import register_init\n"
        "@register_init('flat')\ndef flat(rgb, slices):\n    return rgb[:, :1]\n"
    )
    output = tiny.parent / "run"
    with pytest.raises(UserError, match=r"'flat' gives \(64, 1, 7, 7\)"):
        run_benchmark(tiny, output, inits=["flat"], plugins=[path])
    assert not output.exists()


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, made_up: Callable[[Job], Record], tmp_path: Path, tiny: Path
) -> Callable:
    """`run_benchmark` of the tiny protocol in threads, where no cell trains anything."""
    monkeypatch.setattr(EXECUTORS, "_entries", dict(EXECUTORS._entries))

    @register_executor("threads", options=[ExecutorOption("shift", "Added to a seed.", int)])
    @contextmanager
    def threads(setup: Setup, shift: int = 0) -> Iterator[Pool]:
        assert setup.workers >= 1
        with ThreadPoolExecutor(1) as executor:
            yield Pool(executor, 1, executor.shutdown)

    def run_cell(job: Job, output: OutputFolder, *_: object) -> Record:
        if job.cell.seed == 1 and (tmp_path / "broken").exists():
            raise RuntimeError("it broke")
        return made_up(job)

    monkeypatch.setattr(tasks, "run_cell", run_cell)
    monkeypatch.setattr(tasks, "check_model", lambda *_: {})
    monkeypatch.setattr(tasks, "check_dataset", lambda *_: None)

    def call(**options: object):
        return run_benchmark(tiny, tmp_path / "out", **{"executor": "threads", **options})

    return call


def test_cells_are_run_stored_and_ranked_and_a_second_call_does_nothing(
    run: Callable, tmp_path: Path
) -> None:
    first = run()
    assert (len(first.done), len(first.stored), first.failed) == (4, 0, ())
    assert set(first.board.index) == {"rgb", "uniform-green"}
    assert {"mean", "low", "high"} == set(first.board.columns.get_level_values(1))
    folder = OutputFolder(tmp_path / "out")
    assert first.output == folder.path
    assert all(path.is_file() for path in folder.texts)
    before = folder.page.stat().st_mtime_ns
    second = run()
    assert (len(second.done), len(second.stored), dict(second.seconds)) == (0, 4, {})
    assert second.board.equals(first.board)
    assert folder.page.stat().st_mtime_ns == before


def test_what_is_chosen_is_run_and_no_other_cell(run: Callable, protocol: Protocol) -> None:
    result = run(inits=["rgb"], seeds=[1], datasets=["tiny-a"])
    assert [(record.init, record.seed) for record in result.done] == [("rgb", 1)]
    cells = [protocol.cells()[0], protocol.cells()[3]]  # no product of names gives these two
    result = run(cells=cells)
    assert {(r.init, r.seed) for r in (*result.done, *result.stored)} == {
        (cell.init, cell.seed) for cell in cells
    }


def test_what_fails_is_told_and_run_again_where_asked(run: Callable, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    result = run()
    assert [record.seed for record in result.failed] == [1, 1]
    assert "it broke" in (result.failed[0].error or "")
    assert [record.init for record in run().failed] == ["rgb", "uniform-green"]
    (tmp_path / "broken").unlink()
    mended = run(retry_failed=True)
    assert (len(mended.done), len(mended.stored), mended.failed) == (2, 2, ())


def test_a_notebook_shows_boards_and_what_failed(run: Callable, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    shown = run()._repr_html_()
    assert "Cells: 2 done, 0 stored, 2 failed" in shown
    assert shown.count("it broke") == 2
    assert shown.count("<table>") == 1
    assert "<th>uniform-green</th>" in shown


def test_no_finished_cell_has_no_board(run: Callable, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    result = run(seeds=[1])
    assert result.boards == []
    assert result.board.empty
    assert not OutputFolder(tmp_path / "out").page.exists()


def test_a_listener_hears_the_plan_and_every_cell(run: Callable, tiny: Path) -> None:
    heard: list[object] = []

    class Listener(RunListener):
        def planned(self, protocol, plan, chosen):
            heard.append((protocol.name, len(plan.stored), len(chosen)))

        def phase(self, name, costs):
            heard.append((name, len(costs)))

        def advance(self, what, cost, error=None):
            heard.append(error)

    run(seeds=[0], listener=Listener())
    assert heard[:2] == [("tiny", 0, 2), ("preparing", 2)]
    assert heard[-3:] == [("cells", 2), None, None]


def test_where_a_folder_gives_an_encoder_its_weights_the_listener_is_told(
    run: Callable, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Listener(RunListener):
        def say(self, text):
            said.append(text)

    tiny.write_text(tiny.read_text().replace('"encoder.safetensors"', '"imagenet"'))
    monkeypatch.setenv("EMSYM_WEIGHTS_DIR", str(tiny.parent))
    run(inits=["rgb"], seeds=[0], listener=Listener())
    file = tiny.parent / "test_efficientnet.safetensors"
    (tiny.parent / "encoder.safetensors").rename(file)
    result = run(inits=["rgb"], seeds=[0], listener=Listener())
    assert said == [
        "Weights of tu-test_efficientnet: 'imagenet' as published, as the folder has none",
        f"Weights of tu-test_efficientnet: {file}",
    ]
    (stamp,) = (record.weights for record in result.done)
    assert stamp.origin == "imagenet"
    assert stamp.identity.startswith("sha256:")


def test_options_of_another_executor_are_refused_before_anything_is_done(
    run: Callable, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="--shift are of --executor threads: say that, too"):
        run(executor="local", executor_options={"shift": 1})
    with pytest.raises(UserError, match="The executor 'threads' has no option 'shfit'"):
        run(executor_options={"shfit": 1})
    with pytest.raises(UserError, match="There is no device 'cud'"):
        run(device="cud")
    assert not (tmp_path / "out").exists()
    assert len(run(executor_options={"shift": 1}).done) == 4


def test_a_damaged_record_is_set_aside_and_its_cell_run_again(
    run: Callable, tmp_path: Path, protocol: Protocol
) -> None:
    run()
    path = Store(OutputFolder(tmp_path / "out").records).path(jobs(protocol)[0].key)
    path.write_text(path.read_text()[:100])
    with pytest.warns(UserWarning, match="is damaged"):
        assert len(run().done) == 1
