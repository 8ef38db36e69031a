"""The six weeks of docs/teachers.md name exercises that exist, and their minutes are right."""

from __future__ import annotations

import re

from hatlib.course import exercises
from tests.helpers import ROOT

TEXT = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
MINUTES = {item.id: item.minutes for item in exercises.all_exercises()}


def test_all_exercises_that_are_named_exist() -> None:
    assert not set(re.findall(r"\b\d\d\.\d\b", TEXT)) - set(MINUTES)


def test_the_minutes_of_a_week_are_those_of_its_exercises() -> None:
    weeks = [line.split(" | ") for line in TEXT.splitlines() if re.match(r"\| \d \|", line)]
    assert len(weeks) == 6
    for _, notebooks, ids, minutes, _ in weeks:
        named = ids.split(", ")
        assert {id[:2] for id in named} == set(re.findall(r"\[(\d\d)\]", notebooks))
        assert sum(MINUTES[id] for id in named) == int(minutes)
