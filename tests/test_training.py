import time

import numpy as np
import pytest
import torch

from hatlib import HatlibError, datasets, models, pictures, training
from hatlib.training import Recipe, Validation, fit

IMAGES = [pictures.builtin("coffee")[:200, :200], pictures.builtin("facade-1")[:200, :200]]
RECIPE = Recipe(options={"kernels": (5, 1, 3), "features": (8, 8)}, patch=8, batch=4, steps=60, precision="fp32")


def test_training_beats_bicubic_on_an_image_it_did_not_see():
    hr = pictures.builtin("facade-3")[:160, :160]
    pair = datasets.Pair("facade-3", datasets.imresize(hr, 1 / 4), hr)
    validation = Validation([pair], every=150)
    recipe = Recipe(options={"kernels": (9, 1, 5)}, patch=10, batch=4, steps=150, precision="fp32")
    run = fit(recipe, IMAGES, listeners=[validation], progress=False)
    bicubic = training.evaluate(models.create("bicubic"), [pair]).psnr.mean()
    assert validation.steps == [150]
    assert validation.psnr[-1] > bicubic + 0.1
    assert np.mean(run.losses[-20:]) < np.mean(run.losses[:20])
    assert not run.model.training


def test_half_of_notebook_03s_training_beats_bicubic_on_set5_by_half_a_decibel(needs_data):
    needs_data("set5", "t91")
    pairs = list(datasets.load("set5"))
    run = fit(Recipe(steps=150, batch=8, patch=12), datasets.hr_images("t91"), progress=False)
    bicubic, trained = (training.evaluate(m, pairs).psnr.mean() for m in (models.create("bicubic"), run.model))
    assert trained - bicubic >= 0.5


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def weights(**changes):
        return fit(Recipe(**{**RECIPE.__dict__, "steps": 5, **changes}), IMAGES, progress=False).model.conv1.weight

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights(seed=1))


def test_what_listeners_take_is_not_training_time():
    run = fit(Recipe(**{**RECIPE.__dict__, "steps": 2}), IMAGES, listeners=[lambda *_: time.sleep(2)], progress=False)
    assert 0 < run.seconds < 3  # the listener alone takes 4


def test_a_given_network_is_trained_further():
    first = fit(RECIPE, IMAGES, progress=False).model
    before = first.conv1.weight.clone()
    second = fit(RECIPE, IMAGES, model=first, progress=False).model
    assert second is first
    assert not torch.equal(first.conv1.weight, before)


def test_the_rate_rises_then_falls_to_zero():
    recipe = Recipe(steps=1000, warm_up=50)
    rates = [recipe.rate(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02) and rates[50] == 1 and rates[1000] == pytest.approx(0)
    assert np.all(np.diff(rates[:50]) > 0) and np.all(np.diff(rates[50:]) < 0)


def test_validation_measures_every_so_many_steps_and_leaves_the_network_training():
    model = models.create("bicubic").train()
    hr = pictures.builtin("cat")[:64, :64]
    validation = Validation([datasets.Pair("cat", datasets.imresize(hr, 1 / 4), hr)], every=3)
    for step in range(1, 8):
        validation(step, model)
    assert validation.steps == [3, 6] and len(validation.psnr) == 2
    assert model.training


def test_recipes_that_cannot_work_are_refused():
    with pytest.raises(HatlibError, match="unknown loss 'l2'"):
        Recipe(loss="l2")
    with pytest.raises(HatlibError, match="positive"):
        Recipe(steps=0)
    with pytest.raises(HatlibError, match="precision"):
        fit(Recipe(precision="fp16", steps=1), IMAGES, progress=False)
    with pytest.raises(HatlibError):
        fit(Recipe(patch=64, steps=1), IMAGES, progress=False)


def test_a_loss_that_is_not_finite_ends_the_run_with_advice():
    model = models.create("srcnn")
    with torch.no_grad():
        model.conv3.bias.fill_(float("inf"))
    with pytest.raises(HatlibError, match="at step 1; a smaller learning_rate"):
        fit(Recipe(steps=3, batch=2, patch=8), IMAGES, model=model, progress=False)
