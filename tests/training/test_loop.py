"""Training: the recipe, the loop, what goes wrong in it, and runs that are stopped and go on."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hatlib import HatlibError, models
from hatlib.data import builtin, datasets
from hatlib.imaging import io
from hatlib.imaging.resize import imresize
from hatlib.training import callbacks, loop, recipes
from hatlib.training.callbacks import Validation
from hatlib.training.loop import Recipe, fit
from hatlib.training.state import Run
from tests.helpers import ROOT

IMAGES = [
    builtin.builtin_image("coffee")[:200, :200],
    builtin.builtin_image("facade-1")[:200, :200],
]
RECIPE = Recipe(
    options={"kernels": (5, 1, 3), "features": (8, 8)}, patch=8, batch=4, steps=60, precision="fp32"
)


def train(folder=None, listeners=(), **changes):
    return fit(
        dataclasses.replace(RECIPE, **changes),
        IMAGES,
        listeners=listeners,
        progress=False,
        folder=folder,
    )


def same(first: Run, second: Run) -> bool:
    """Whether two runs have the same weights, averages and losses, bit for bit."""
    states = [
        [network.state_dict() for network in (run.network, run.model)] for run in (first, second)
    ]
    equal = all(torch.equal(a[key], b[key]) for a, b in zip(*states, strict=True) for key in a)
    return equal and first.losses == second.losses


# --- learning -------------------------------------------------------------------------------------


def test_training_beats_bicubic_on_an_image_it_did_not_see():
    hr = builtin.builtin_image("facade-3")[:160, :160]
    pair = datasets.Pair("facade-3", imresize(hr, 1 / 4), hr)
    validation = Validation([pair], every=150)
    recipe = Recipe(options={"kernels": (9, 1, 5)}, patch=10, batch=4, steps=150, precision="fp32")
    run = fit(recipe, IMAGES, listeners=[validation], progress=False)
    bicubic = loop.evaluate(models.create("bicubic"), [pair]).psnr.mean()
    assert validation.steps == [150]
    assert validation.psnr[-1] > bicubic + 0.1
    assert np.mean(run.losses[-20:]) < np.mean(run.losses[:20])
    assert not run.model.training


def test_half_of_notebook_03s_training_beats_bicubic_on_set5_by_half_a_decibel(needs_data):
    needs_data("set5", "t91")
    pairs = list(datasets.load("set5"))
    run = fit(Recipe(steps=150, batch=8, patch=12), datasets.hr_images("t91"), progress=False)
    bicubic, trained = (
        loop.evaluate(m, pairs).psnr.mean() for m in (models.create("bicubic"), run.model)
    )
    assert trained - bicubic >= 0.5


@pytest.mark.parametrize("name", ["rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4"])
def test_a_few_steps_of_each_nano_recipe_beat_the_enlargement_that_it_starts_with(name):
    pair = datasets.Pair("coffee", imresize(IMAGES[0], 1 / 4), IMAGES[0])
    start = models.create(name.removesuffix("-x4"), 4).eval()
    run = fit(
        recipes.recipe(name, patch=16, batch=4, steps=80, warm_up=5, ema=0.9),
        IMAGES,
        start,
        progress=False,
    )
    before, after = (loop.evaluate(model, [pair]).psnr.mean() for model in (start, run.model))
    assert after > before + 0.3
    assert run.skipped == 0


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    assert same(train(steps=5), train(steps=5))
    assert not same(train(steps=5), train(steps=5, seed=1))


def test_what_listeners_take_is_not_training_time():
    run = train(steps=2, listeners=[lambda run: time.sleep(2)])
    assert 0 < run.waiting < run.seconds < 3  # the listener alone takes 4


def test_a_given_network_is_where_training_starts_and_stays_as_it_is():
    first = train().model
    before = first.conv1.weight.clone()
    second = fit(RECIPE, IMAGES, model=first, progress=False)
    assert torch.equal(first.conv1.weight, before)
    assert second.losses[0] == pytest.approx(train(steps=1).losses[0], rel=0.5)
    assert not torch.equal(second.model.conv1.weight, before)


def test_the_loop_that_notebook_09_writes_by_hand_is_this_one():
    path = ROOT / "notebooks" / "09_train_hat.ipynb"
    cells = [
        "".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    names: dict = {}
    for start in ("import copy\n", "def train_by_hand("):
        (cell,) = [cell for cell in cells if cell.startswith(start)]
        exec(cell, names)
    recipe = dataclasses.replace(
        RECIPE, loss="l1", clip=0.1, schedule="trapezoid", warm_up=3, steps=12
    )
    by_hand, lengths = names["train_by_hand"](recipe, IMAGES)
    whole = fit(recipe, IMAGES, progress=False)
    assert 0 < sum(length > recipe.clip for length in lengths) <= len(lengths) == 12, (
        "clipping has to matter here"
    )
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value.cpu(), by_hand.state_dict()[key].cpu()), key


def test_the_average_follows_the_weights():
    still = train(learning_rate=1e-9)
    assert torch.allclose(still.model.conv1.weight, still.network.conv1.weight, atol=1e-6)
    moving, plain = train(ema=0.9), train(ema=0.0)
    assert not torch.equal(moving.model.conv1.weight, moving.network.conv1.weight)
    assert torch.equal(plain.model.conv1.weight, plain.network.conv1.weight)
    assert torch.equal(plain.network.conv1.weight, moving.network.conv1.weight)  # it only watches


def test_validation_measures_every_so_many_steps_and_leaves_the_network_training():
    hr = builtin.builtin_image("cat")[:64, :64]
    validation = Validation([datasets.Pair("cat", imresize(hr, 1 / 4), hr)], every=3)
    run = train(steps=7, listeners=[validation])
    assert validation.steps == [3, 6] and len(validation.psnr) == 2
    assert run.network.training


# --- recipes --------------------------------------------------------------------------------------


def test_the_rate_rises_then_falls_to_zero():
    recipe = Recipe(steps=1000, warm_up=50)
    rates = [recipe.rate(step) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02) and rates[50] == 1 and rates[1000] == pytest.approx(0)
    assert np.all(np.diff(rates[:50]) > 0) and np.all(np.diff(rates[50:]) < 0)


def test_the_other_schedules():
    trapezoid = Recipe(steps=1000, warm_up=50, schedule="trapezoid", cooldown=0.2)
    assert {trapezoid.rate(step) for step in range(50, 801)} == {1.0}
    assert trapezoid.rate(900) == pytest.approx(0.5) and trapezoid.rate(1000) == 0
    halving = Recipe(steps=1000, warm_up=0, schedule="halving", milestones=(500, 800))
    assert [halving.rate(step) for step in (0, 499, 500, 799, 800)] == [1, 1, 0.5, 0.5, 0.25]


def test_named_recipes_train_what_they_are_called():
    for name in recipes.names():
        recipe = recipes.recipe(name)
        assert name == f"{recipe.model}-x{recipe.scale}"
    nano = [
        dataclasses.asdict(recipes.recipe(f"{name}-nano-x4")) for name in ("rcan", "swinir", "hat")
    ]
    assert len({str({**recipe, "model": ""}) for recipe in nano}) == 1, (
        "a comparison has to be fair"
    )


def test_settings_are_read_as_they_are_typed():
    read = recipes.settings(
        ["steps=2000", "learning_rate=1e-4", "data=DIV2K,extra", "clip=None", "milestones=(5, 6)"]
    )
    assert read == {
        "steps": 2000,
        "learning_rate": 1e-4,
        "data": ("DIV2K", "extra"),
        "clip": None,
        "milestones": (5, 6),
    }
    with pytest.raises(HatlibError, match=r"NAME=VALUE.*'steps'"):
        recipes.settings(["steps"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "l2"}, "unknown loss 'l2'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"learning_rate": 0}, "positive"),
        ({"precision": "fp16"}, "precision"),
        ({"model": "hat-nanno"}, "did you mean 'hat-nano'"),
        ({"ema": 1}, "ema"),
        ({"model": "hat-nano", "patch": 20}, "windows of 8.*such as 24, got 20"),
    ],
)
def test_recipes_that_cannot_work_are_refused(changes, words):
    with pytest.raises(HatlibError, match=words):
        Recipe(**changes)


def test_an_unknown_setting_and_a_patch_larger_than_the_images_are_refused(tmp_path):
    with pytest.raises(HatlibError, match="did you mean 'steps'"):
        recipes.recipe("srcnn-x4", step=5)
    with pytest.raises(HatlibError, match="needs images of at least 256"):
        train(patch=64, steps=1)
    io.save_image(tmp_path / "small.png", IMAGES[0][:30, :30])
    with pytest.raises(HatlibError, match="none of the 1 images has the 32×32 pixels"):
        list(loop.images(dataclasses.replace(RECIPE, data=(str(tmp_path),))))


# --- gradients that are not finite ----------------------------------------------------------------


def test_a_step_that_is_not_finite_is_left_out_and_counted():
    def spoil(run):
        if run.step == 3:  # the next batch has a hole
            run.sampler.hr[:] = 0
            run.network.conv3.bias.data.fill_(float("nan"))
        if run.step == 4:
            run.network.conv3.bias.data.zero_()

    run = train(steps=8, listeners=[spoil])
    assert run.skipped == 1 and np.isnan(run.losses[3]) and np.isfinite(run.losses[4:]).all()
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_too_many_of_them_end_the_run_with_advice():
    model = models.create("srcnn")
    with torch.no_grad():
        model.conv3.bias.fill_(float("inf"))
    with pytest.raises(
        HatlibError, match="20 steps in a row, up to step 20; try a smaller learning_rate"
    ):
        fit(Recipe(steps=30, batch=2, patch=8), IMAGES, model=model, progress=False)


# --- stopped and gone on with ---------------------------------------------------------------------


def stop_at(step, error=KeyboardInterrupt):
    def listener(run):
        if run.step == step:
            raise error

    return listener


def test_ctrl_c_lets_the_step_end_and_one_more_call_goes_on(tmp_path):
    whole = train(steps=12)
    with pytest.raises(KeyboardInterrupt):
        train(
            tmp_path,
            steps=12,
            listeners=[lambda run: signal.raise_signal(signal.SIGINT) if run.step == 5 else None],
        )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    steps = []
    assert same(train(tmp_path, steps=12, listeners=[lambda run: steps.append(run.step)]), whole)
    assert steps == list(range(6, 13))
    assert same(
        train(tmp_path, steps=12, listeners=[stop_at(13)]), whole
    )  # finished: nothing is done again


def test_a_second_ctrl_c_stops_at_once_and_the_snapshot_before_is_good(tmp_path):
    def twice(run):
        if run.step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    train(tmp_path, steps=3, schedule="trapezoid", cooldown=0.0)
    before = (tmp_path / callbacks.SNAPSHOT).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, steps=12, schedule="trapezoid", cooldown=0.0, listeners=[twice])
    assert (tmp_path / callbacks.SNAPSHOT).read_bytes() == before
    assert os.listdir(tmp_path) == [callbacks.SNAPSHOT]


def test_a_trapezoid_can_be_made_longer_before_its_end_begins(tmp_path):
    changes = {"schedule": "trapezoid", "warm_up": 2, "cooldown": 0.5}
    with pytest.raises(KeyboardInterrupt):
        train(
            tmp_path,
            steps=20,
            listeners=[lambda run: signal.raise_signal(signal.SIGINT) if run.step == 10 else 0],
            **changes,
        )
    assert same(train(tmp_path, steps=24, **changes), train(steps=24, **changes))
    with pytest.raises(
        HatlibError, match="is at step 24 of 24, and with steps=30 the learning rates"
    ):
        train(tmp_path, steps=30, **changes)


def test_a_snapshot_of_another_recipe_or_none_of_ours_is_refused(tmp_path):
    train(tmp_path, steps=2)
    with pytest.raises(HatlibError, match=r"another recipe \(batch 4, now 2\)"):
        train(tmp_path, steps=2, batch=2)
    (tmp_path / callbacks.SNAPSHOT).write_text("not a snapshot")
    with pytest.raises(HatlibError, match="is not a snapshot of a training run"):
        train(tmp_path, steps=2)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import torch
from tests.training import test_loop
from hatlib.training import callbacks
torch.set_num_threads(1)
callbacks.Snapshots.__init__.__defaults__ = (True, 0.0)  # after every step
def slowly(run): print(run.step, flush=True); time.sleep({pause})
test_loop.train({folder!r}, [slowly], steps={steps}, **{changes!r})
print("done")
"""


def launch(folder, pause=0.0, steps=60, launcher=(), **changes):
    text = SCRIPT.format(
        tests=str(ROOT), folder=str(folder), pause=pause, steps=steps, changes=changes
    )
    script = Path(folder).with_suffix(".py")
    script.write_text(text, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, *launcher, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_run_that_was_killed_five_times_ends_with_the_same_weights(tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "run"
    for _ in range(5):
        process = launch(folder, pause=0.02)
        assert process.stdout is not None
        process.stdout.readline()  # it has done a step
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.communicate()
    killed = launch(folder)
    out, errors = killed.communicate(timeout=120)
    assert out.endswith("done\n"), errors
    assert 1 < int(out.split()[0]) <= 60, "the five runs before left it something to go on from"
    torch.set_num_threads(1)
    assert same(train(folder), train())


def test_a_full_disk_ends_the_run_and_leaves_the_last_snapshot(tmp_path):
    resource = pytest.importorskip("resource", reason="this system has no limits on file sizes")
    folder = tmp_path / "run"
    before = train(folder, steps=3, schedule="trapezoid", cooldown=0.0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (1000, limits[1])
    )  # writing more fails, as on a disk with 1000 bytes
    try:
        with pytest.raises(HatlibError, match=r"cannot write .*run.safetensors: File too large"):
            train(folder, steps=6, schedule="trapezoid", cooldown=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(folder) == [callbacks.SNAPSHOT]
    assert same(train(folder, steps=3, schedule="trapezoid", cooldown=0.0), before)


def test_two_processes_with_half_the_batch_follow_one_with_all_of_it(tmp_path):
    pytest.importorskip("torch.distributed")
    port = str(29500 + os.getpid() % 1000)
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port)
    process = launch(tmp_path / "two", launcher=launcher, steps=20)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0 and out.count("done") == 2, errors
    one, two = train(steps=20), train(tmp_path / "two", steps=20)
    assert two.step == 20
    for key, value in one.network.state_dict().items():
        assert torch.allclose(value, two.network.state_dict()[key], rtol=0, atol=1e-5), key
