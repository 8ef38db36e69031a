"""Parts of the work: whose is which, and what is refused."""

from __future__ import annotations

import pytest

from hatlib import HatlibError
from hatlib.system import processes
from hatlib.system.processes import Part


@pytest.mark.parametrize(("of", "inner"), [(1, 1), (3, 1), (1, 4), (3, 2), (7, 5)])
def test_each_item_is_in_one_part(of: int, inner: int) -> None:
    items = list(range(23))
    taken: list[int] = []
    for outer in (Part(k + 1, of) for k in range(of)):
        for process in (Part(k + 1, inner) for k in range(inner)):
            own = outer.split(process).take(items)
            assert own == process.take(outer.take(items))
            taken += own
    assert sorted(taken) == items


@pytest.mark.parametrize(
    ("text", "part"), [(None, Part(1, 1)), ("3/100", Part(3, 100)), (" 2/2", Part(2, 2))]
)
def test_what_a_shard_names(text: str | None, part: Part) -> None:
    assert processes.parse(text) == part


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1/3/5", "1.5/3"])
def test_what_no_shard_is(text: str) -> None:
    with pytest.raises(HatlibError, match="K/N with K from 1 to N, such as 3/100"):
        processes.parse(text)


TORCHRUN = {"WORLD_SIZE": "4", "RANK": "2", "MASTER_ADDR": "localhost"}


@pytest.mark.parametrize(
    ("variables", "part"),
    [
        ({}, Part(1, 1)),
        (TORCHRUN, Part(3, 4)),
        ({**TORCHRUN, "WORLD_SIZE": "1", "RANK": "0"}, Part(1, 1)),
    ],
)
def test_a_launcher_tells_which_process_this_is(
    variables: dict[str, str], part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes.launched() == part


def test_processes_that_cannot_be_reached_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    with pytest.raises(HatlibError, match="MASTER_ADDR is not set: use torchrun"):
        processes.launched()
