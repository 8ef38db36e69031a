"""Recipes: schedules, named recipes, settings as they are typed, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hatlib import HatlibError, Recipe
from hatlib.imaging import io
from hatlib.training import recipes
from hatlib.weights import catalogue, files
from tests.helpers.training import IMAGES, RECIPE, train


def test_the_rate_rises_then_falls_to_zero() -> None:
    recipe = Recipe(steps=1000, warmup_steps=50, learning_rate=1)
    rates = [recipe.learning_rate_at(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02) and rates[50] == 1 and rates[1000] == pytest.approx(0)
    assert np.all(np.diff(rates[:50]) > 0) and np.all(np.diff(rates[50:]) < 0)


def test_the_other_schedules() -> None:
    trapezoid = Recipe(
        steps=1000, warmup_steps=50, schedule="trapezoid", cooldown=0.2, learning_rate=2e-3
    )
    assert {trapezoid.learning_rate_at(step) for step in range(50, 801)} == {2e-3}
    assert trapezoid.learning_rate_at(900) == pytest.approx(1e-3)
    assert trapezoid.learning_rate_at(1000) == 0
    multistep = Recipe(
        steps=1000, warmup_steps=0, schedule="multistep", milestones=(500, 800), learning_rate=1
    )
    steps = (0, 499, 500, 799, 800)
    assert [multistep.learning_rate_at(step) for step in steps] == [1, 1, 0.5, 0.5, 0.25]


def test_the_decay_of_the_average_rises_unless_it_is_constant() -> None:
    warm, constant = Recipe(), Recipe(ema_warmup=False)
    assert warm.ema_decay_at(0) == pytest.approx(0.1)
    assert warm.ema_decay_at(8989) < 0.999 == warm.ema_decay_at(8990)
    assert {constant.ema_decay_at(step) for step in (0, 10, 8990)} == {0.999}


def test_named_recipes_train_what_they_are_called() -> None:
    for name in recipes.names():
        recipe = recipes.recipe(name)
        real = "-real" if recipe.degradation == "real-world" else ""
        course = "-course" if recipe.model == "swinir-light" and recipe.scale == 4 else ""
        assert name == f"{recipe.model}{real}{course}-x{recipe.scale}"
        published = recipe.milestones == recipes.AS_PUBLISHED.milestones
        assert published or name not in catalogue.names(), "the authors' weights have that name"
    light = [
        dataclasses.asdict(recipes.recipe(name))
        for name in ("swinir-light-course-x4", "hat-light-x4")
    ]
    assert len({str({**recipe, "model": ""}) for recipe in light}) == 1
    nano = [
        dataclasses.asdict(recipes.recipe(f"{name}-nano-x4")) for name in ("rcan", "swinir", "hat")
    ]
    assert len({str({**recipe, "model": ""}) for recipe in nano}) == 1, (
        "a comparison has to be fair"
    )


@pytest.mark.parametrize(("name", "batch_size"), [("swinir-light-x2", 64), ("hat-x2", 32)])
def test_recipes_as_published_are_those_of_the_papers(name: str, batch_size: int) -> None:
    recipe = recipes.recipe(name)
    assert (recipe.batch_size, recipe.patch_size, recipe.steps) == (batch_size, 64, 500_000)
    rates = [recipe.learning_rate_at(step) for step in (0, 249_999, 250_000, 499_999)]
    assert rates == [2e-4, 2e-4, 1e-4, 2e-4 / 16]
    assert recipe.ema_decay_at(0) == 0.999


@pytest.mark.parametrize("name", files.trained())
def test_the_cards_of_our_weights_hold_recipes(name: str) -> None:
    trained = Recipe(**files.card(name)["training"]["recipe"])
    named = recipes.recipe(name)
    assert (trained.model, trained.degradation) == (named.model, named.degradation)


def test_settings_are_read_as_they_are_typed() -> None:
    typed = ["steps=2000", "learning_rate=1e-4", "data=DIV2K,extra", "max_grad_norm=None"]
    assert recipes.settings([*typed, "milestones=(5, 6)", "ema_warmup=False"]) == {
        "steps": 2000,
        "learning_rate": 1e-4,
        "data": ("DIV2K", "extra"),
        "max_grad_norm": None,
        "milestones": (5, 6),
        "ema_warmup": False,
    }
    with pytest.raises(HatlibError, match=r"NAME=VALUE.*'steps'"):
        recipes.settings(["steps"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "l2"}, "unknown loss 'l2'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": "halving"}, "did you mean 'multistep'"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"batch_size": "8"}, "batch_size is '8'"),
        ({"learning_rate": 0}, "learning_rate is 0; it is a number above 0 and up to 1,000"),
        ({"max_grad_norm": -1}, "max_grad_norm is -1; it is a number above 0, or None"),
        ({"precision": "fp16"}, "precision"),
        ({"model": "hat-nanno"}, "did you mean 'hat-nano'"),
        ({"ema_decay": 1}, "ema_decay is 1"),
        ({"cooldown": 2}, "cooldown is 2"),
        ({"model": "hat-nano", "patch_size": 20}, "windows of 8.*such as 24, got 20"),
    ],
)
def test_recipes_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(HatlibError, match=words):
        Recipe(**changes)


@pytest.mark.parametrize(("old", "new"), recipes.RENAMED.items())
def test_a_field_of_hatlib_01_is_refused_with_the_name_of_today(old: str, new: str) -> None:
    with pytest.raises(HatlibError, match=f"unknown setting '{old}'; did you mean '{new}'"):
        recipes.recipe("srcnn-x4", **{old: 8})


def test_an_unknown_setting_and_a_patch_larger_than_the_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match="did you mean 'steps'"):
        recipes.recipe("srcnn-x4", step=5)
    with pytest.raises(HatlibError, match="needs images of at least 256"):
        train(patch_size=64, steps=1)
    io.save_image(tmp_path / "small.png", IMAGES[0][:30, :30])
    with pytest.raises(HatlibError, match="none of the 1 images has the 32×32 pixels"):
        list(recipes.training_images(dataclasses.replace(RECIPE, data=(str(tmp_path),))))


def test_images_smaller_than_a_patch_are_left_out(tmp_path: Path) -> None:
    io.save_image(tmp_path / "a.png", IMAGES[0][:30, :90])
    io.save_image(tmp_path / "b.png", IMAGES[0][:32, :90])
    images = recipes.training_images(dataclasses.replace(RECIPE, data=(str(tmp_path),)))
    assert [image.shape for image in images] == [(32, 90, 3)]
