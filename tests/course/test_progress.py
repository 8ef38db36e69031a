"""The learner's passed exercises: stored on this machine, listed by notebook, never in the way."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from hatlib.course import exercises, pages, progress
from hatlib.course.result import Result

ALL = exercises.all_exercises()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HATLIB_PROGRESS", str(tmp_path / "new folder" / "progress.json"))
    return tmp_path / "new folder" / "progress.json"


def solve(id: str) -> None:
    exercises.check(id, exercises.get(id).solution)


def test_a_pass_is_kept_and_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solve("00.3")
    solve("01.1")
    capsys.readouterr()
    exercises.progress()
    lines = capsys.readouterr().out.splitlines()
    own = [item.id for item in exercises.all_exercises() if item.id.startswith("00")]
    assert lines[0].split()[:5] == ["00", "start", "1", "of", str(len(own))]
    counts = [re.fullmatch(r"\d\d \w+ +\d of \d   [✓○].*", line) for line in lines[:-1]]
    assert all(counts)  # a name never runs into its count
    assert len({line.index(" of ") for line in lines[:-1]}) == 1  # the counts are aligned
    assert (
        "○ 00.1" in lines[0]
        and "✓ 00.3" in lines[0]
        and "✓ 01.1" in lines[1]
        and "○ 01.2" in lines[1]
    )
    assert lines[-1] == f"passed: 2 of {len(exercises.all_exercises())}"
    assert len(lines) == len(exercises.MODULES) + 1


def test_what_has_passed_is_exported_as_a_table(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    solve("00.3")
    path = exercises.export(tmp_path / "mine.csv")
    assert capsys.readouterr().out.endswith(f"1 of {len(ALL)} exercises passed: {path}\n")
    with path.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["exercise"] for row in rows] == [item.id for item in ALL]
    (row,) = [row for row in rows if row["passed"]]
    assert row == {
        "notebook": "00",
        "exercise": "00.3",
        "title": exercises.get("00.3").title,
        "difficulty": "1",
        "minutes": "5",
        "passed": json.loads(file.read_text())["00.3"],
    }


def test_only_passes_are_kept_and_the_first_one_counts(file: Path) -> None:
    def stub(image: object) -> None:
        raise NotImplementedError

    exercises.check("00.3", stub)
    exercises.check("00.3", lambda image: image)
    assert not file.exists()
    solve("00.3")
    content = {id: "2020-01-01 00:00" for id in json.loads(file.read_text())}
    file.write_text(json.dumps(content))
    exercises.check("00.3", lambda image: image)  # a wrong answer later takes nothing away
    solve("00.3")
    assert json.loads(file.read_text()) == {"00.3": "2020-01-01 00:00"}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b'{"00.1": 3}', b"\xff\xfe\x00"])
def test_a_damaged_file_counts_as_empty_and_is_replaced(file: Path, damage: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(damage)
    assert progress.passed() == {}
    solve("00.3")
    assert list(progress.passed()) == ["00.3"]


def test_a_place_that_cannot_be_written_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("HATLIB_PROGRESS", str(tmp_path / "file" / "progress.json"))
    solve("00.3")
    assert capsys.readouterr().out.startswith("✓ 00.3")
    assert progress.passed() == {}


def test_off_keeps_nothing_and_the_data_folder_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path))
    solve("00.3")  # the tests run with it off
    assert progress.passed() == {} and not list(tmp_path.iterdir())
    monkeypatch.delenv("HATLIB_PROGRESS")
    solve("00.3")
    assert list(progress.passed()) == ["00.3"] and (tmp_path / "progress.json").is_file()


def test_the_index_of_the_course_counts_them(file: Path) -> None:
    result = Result("00_start_here", "Start", "A promise.", 3, state="passed")
    assert "exercises passed" not in pages.index_page([result], {})
    solve("00.3")
    assert "exercises passed: 1" in pages.index_page([result], {})


@pytest.mark.parametrize(
    "text", ["[]", "5", "nope", "[" * 100_000, '{"1.1": 5}', "null"], ids=lambda text: text[:9]
)
def test_a_damaged_record_is_kept_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = tmp_path / "progress.json"
    file.write_text(text)
    monkeypatch.setenv("HATLIB_PROGRESS", str(file))
    progress.record_pass("2.1")
    assert list(progress.passed()) == ["2.1"]
    assert (tmp_path / "progress.json.damaged").read_text() == text
