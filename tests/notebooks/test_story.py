"""What a reader is promised in every notebook: each prediction is answered, and the end says what
was learned, asks five questions, and leads on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))

QUESTION = re.compile(r"\*\*Predict first", re.IGNORECASE)
ANSWER = re.compile(r"\*\*Answers?\b|\bAnswers?[ :,]")


def sources(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


def unanswered(texts: list[str]) -> list[str]:
    """The predictions after which no answer comes before the next one."""
    events: list[tuple[str, str]] = []
    for text in texts:
        for found in re.finditer(f"{QUESTION.pattern}|{ANSWER.pattern}", text, re.IGNORECASE):
            kind = "question" if QUESTION.match(found[0]) else "answer"
            events.append((kind, text[found.start() : found.start() + 90]))
    following = [*events[1:], ("question", "")]
    return [
        text
        for (kind, text), (after, _) in zip(events, following, strict=True)
        if kind == "question" and after == "question"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_prediction_is_answered(path: Path) -> None:
    assert unanswered(sources(path)) == []


def test_a_question_without_an_answer_is_found() -> None:
    assert unanswered(["**Predict first.** More?", "Seen."]) == ["**Predict first.** More?"]
    assert unanswered(["**Predict first.** More?", "**Answer.** Less."]) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_end_looks_back_asks_and_leads_on(path: Path) -> None:
    text = "\n".join(sources(path))
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    for wanted in ("What you learned", "Test yourself", "Read next"):
        assert headings.count(wanted) == 1, f"{path.name} needs one section '{wanted}'"
    questions = text.split("## Test yourself")[1].split("\n## ")[0]
    assert questions.count("<details><summary>") == 5
