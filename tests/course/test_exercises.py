"""Every exercise: its solution passes, its stub is open, and wrong answers hear what is wrong."""

import importlib
import json
import re

import pytest

from hatlib import HatlibError
from hatlib.course import exercises
from hatlib.course.exercises.probes import Draw
from tests.helpers import ROOT

NOTEBOOKS = ROOT / "notebooks"
ALL = exercises.all_exercises()
WRONG = {
    id: answers
    for module in exercises.MODULES.values()
    for id, answers in importlib.import_module(f"tests.course.wrong_answers.{module}").WRONG.items()
}


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)
def test_the_solution_passes_and_the_stub_is_open(item, capsys):
    assert exercises.verdict(item.id, item.solution) == ("passed", item.title)

    def stub(*arguments):
        raise NotImplementedError

    exercises.check(item.id, stub)
    assert "not done yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    "id, k", [(id, k) for id, answers in WRONG.items() for k in range(len(answers))]
)
def test_a_wrong_answer_is_told_its_mistake(id, k):
    answer, part = WRONG[id][k]
    state, message = exercises.verdict(id, answer)
    assert state == "wrong"
    assert part in message


# Beside the parts of networks: what LAM's map and the training loop are made of.
GOES_ON = {"07.2", "07.3", "07.4", "09.1", "09.2", "09.3"}


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)
def test_each_exercise_has_enough_wrong_answers_and_cases(item):
    goes_on = item.part is not None or item.id in GOES_ON
    assert len(WRONG[item.id]) >= (10 if goes_on else 5)
    cases = item.cases(Draw())
    assert len(cases) >= 2 or item.id == "02.4"  # whose answers are all different, and all right


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.id)
@pytest.mark.parametrize("result", [None, "text", 3j, object(), {}, (), [None], float("nan")])
def test_nothing_that_is_returned_blames_the_check(item, result):
    state, message = exercises.verdict(item.id, lambda *arguments: result)
    assert state == "wrong"
    assert "docstring" not in message and "the check" not in message


def test_a_result_instead_of_the_function_is_told():
    assert exercises.verdict("03.1", 57184) == (
        "wrong",
        "hand over the function itself, count_weights, not what it returns",
    )


def test_each_notebook_shows_its_exercises_and_their_solutions():
    for number, module in exercises.MODULES.items():
        (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        own = [item for item in ALL if item.id.startswith(number)]
        assert len(own) >= 4, module
        for item in own:
            difficulty = "●" * item.difficulty + "○" * (5 - item.difficulty)
            title = rf"### Exercise {re.escape(item.id)} · {re.escape(item.title)}"
            header = rf"{title}\n+{difficulty} · {item.minutes} min"
            assert re.search(header, text), f"{path.name} lacks the header of {item.id}: {header}"
            assert f'exercises.check("{item.id}", {item.solution.__name__})' in text
            assert f"```python\n{item.source}\n```" in text, (
                f"{path.name} shows another solution of {item.id}"
            )


def test_an_error_in_the_learners_function_is_told_in_one_line(capsys):
    exercises.check("00.1", lambda image, scale: 1 / 0)
    assert capsys.readouterr().out.count("\n") == 1
    answer = lambda image, scale: 1 / 0  # noqa: E731
    _, message = exercises.verdict("00.1", answer)
    assert message == (
        "the function stopped at `answer = lambda image, scale: 1 / 0  # noqa: E731` "
        "with ZeroDivisionError: division by zero"
    )


def test_a_forgotten_return_is_told_also_where_none_can_be_an_answer():
    assert exercises.verdict("09.1", lambda *arguments: None) == (
        "wrong",
        "the function returned nothing: does it end with `return`?",
    )
    state, message = exercises.verdict("09.3", lambda *arguments: None)
    assert state == "wrong" and message.startswith("a list with a tensor for each")
    assert [item.id for item in ALL if item.none_is_an_answer] == ["09.3"]


def test_an_unknown_exercise_is_told_the_nearest():
    with pytest.raises(HatlibError, match="did you mean"):
        exercises.get("00.11")


def test_a_function_that_ends_python_is_wrong():
    def attempt(*arguments, **options):
        raise SystemExit

    state, message = exercises.verdict("00.1", attempt)
    assert state == "wrong" and "ends Python" in message
