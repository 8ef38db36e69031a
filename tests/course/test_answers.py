"""The learner's functions go on: handed out after their checks, put into networks, taken out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import hatlib
from hatlib.course import exercises
from hatlib.course.exercises import answers

LR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
# weights → exercises whose functions stand in that network, and in how many layers
PARTS = {
    "srcnn-x4": {"03.4": 1},
    "rcan-nano-x4": {"04.3": 14, "04.4": 14, "04.5": 2},
    "swinir-nano-x4": {"05.6": 8, "06.1": 8, "06.2": 2},
    "hat-nano-x4": {"08.1": 4, "08.2": 4, "08.3": 2, "08.4": 2, "08.5": 2, "08.6": 2},
}


@pytest.fixture(autouse=True)
def nothing_passed() -> Iterator[None]:
    answers._passed.clear()
    yield
    answers._passed.clear()


def solve(id: str) -> None:
    exercises.check(id, exercises.get(id).solution)


def test_every_part_stands_in_a_network() -> None:
    everything = {id for ids in PARTS.values() for id in ids}
    assert everything == {item.id for item in exercises.all_exercises() if item.part}


@pytest.mark.parametrize("weights", PARTS)
def test_answers_make_the_same_picture(weights: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = hatlib.load_model(weights)
    for id in PARTS[weights]:
        solve(id)
    capsys.readouterr()
    before = hatlib.upscale(model, LR, precision="fp32")
    after = exercises.same_picture(model, LR, *PARTS[weights])
    lines = capsys.readouterr().out.splitlines()
    for line, (id, count) in zip(lines[:-1], PARTS[weights].items(), strict=True):
        layers = "1 layer" if count == 1 else f"{count} layers"
        assert line == f"{id}: your {exercises.get(id).name} is used, in {layers}"
    assert lines[-1] == "upscaled with your network: the same picture"
    assert np.abs(after.astype(int) - before).max() <= 1
    assert np.array_equal(hatlib.upscale(model, LR, precision="fp32"), before)


def _other(solution: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
    """Another result than the solution's, of the same shape and type."""
    result = solution(*arguments)
    return 0.5 * result if result.is_floating_point() else result.flip(0)


@pytest.mark.parametrize("weights", PARTS)
def test_each_answer_does_the_work_of_its_layers(weights: str) -> None:
    """With another function in its place, the picture changes."""
    model = hatlib.load_model(weights)
    image = hatlib.to_tensor(LR)
    for id in PARTS[weights]:
        answers.remember(id, functools.partial(_other, exercises.get(id).solution))
        with torch.inference_mode(), exercises.put_in(model, id):
            with_answer = model(image)
        with torch.inference_mode():
            assert not torch.allclose(with_answer, model(image), atol=1e-5), id
        answers.forget(id)


def test_the_courses_own_is_used_until_the_check_has_passed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    item = exercises.get("04.4")
    assert exercises.answer("04.4") is item.solution
    assert capsys.readouterr().out == (
        "04.4: the course's own rcab (yours once its check has passed)\n"
    )

    def mine(*arguments: object) -> object:
        return item.solution(*arguments)

    exercises.check("04.4", mine)
    assert exercises.answer("04.4") is mine
    assert capsys.readouterr().out.endswith("04.4: your rcab is used\n")
    exercises.check("04.4", lambda x, *rest: x)  # a later version is wrong
    assert exercises.answer("04.4") is item.solution


def test_a_network_with_some_parts_of_ones_own_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    model = hatlib.load_model("rcan-nano-x4")
    exercises.same_picture(model, LR, "04.3", "04.4")
    assert "with the course's own functions: the same picture" in capsys.readouterr().out
    solve("04.4")
    exercises.same_picture(model, LR, "04.3", "04.4")
    assert "with a network with 1 of 2 parts yours: the same" in capsys.readouterr().out
    answers.remember("04.4", lambda x, *rest: x)
    exercises.same_picture(model, LR, "04.4")
    assert "with your network: another picture, up to" in capsys.readouterr().out


def test_what_does_not_fit_is_told_and_leaves_the_network_as_it_was() -> None:
    model = hatlib.load_model("srcnn-x4")
    with pytest.raises(hatlib.HatlibError, match=r"03\.1 is not a part of a network"):
        exercises.same_picture(model, LR, "03.1")
    with (
        pytest.raises(hatlib.HatlibError, match=r"SRCNN has no layer that 04\.3's"),
        exercises.put_in(model, "03.4", "04.3"),
    ):
        pass
    assert not any("enhance" in vars(layer) for layer in model.modules())
