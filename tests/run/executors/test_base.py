from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from emsym.errors import UserError
from emsym.run.executors import registry
from emsym.run.executors.base import EXECUTORS, ExecutorOption, Pool, Setup, executor_kind


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list:
    """The calls of an executor that is registered with an option of its own."""
    calls: list = []
    monkeypatch.setattr(EXECUTORS, "_entries", dict(EXECUTORS._entries))

    @registry.register_executor("mine", options=[ExecutorOption("queue", "Which one.")])
    @contextmanager
    def mine(setup: Setup, **options: str) -> Iterator[Pool]:
        """Machines of mine."""
        calls.append((setup, options))
        yield Pool(None, 3, lambda: None)  # type: ignore[arg-type]

    return calls


def test_an_executor_is_given_the_setup_and_its_own_options(opened: list) -> None:
    setup = Setup(2)
    with executor_kind("mine", {"queue": "long"}).open(setup, {"queue": "long"}) as pool:
        assert pool.places == 3
    with executor_kind("mine", {}).open(setup):
        pass
    assert opened == [(setup, {"queue": "long"}), (setup, {})]
    assert EXECUTORS.summary("mine") == "Machines of mine."
    assert [option.name for option in registry.executor_options()][-1] == "queue"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("local", {"scheduler": "x"}, "--scheduler and --cluster are of --executor dask: say that"),
        ("dask", {"queue": "x"}, "--queue are of --executor mine: say that, too"),
        ("local", {"nonsense": 1}, "The executor 'local' has no option 'nonsense'"),
        ("lokal", {}, "There is no executor 'lokal'; did you mean 'local'"),
    ],
)
def test_a_foreign_option_is_a_sentence(opened: list, name: str, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        executor_kind(name, options)
