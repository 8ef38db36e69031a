"""What is attached to the loop: validation, progress on and off a terminal."""

from __future__ import annotations

import time

import pytest

from hatlib.data import builtin, datasets
from hatlib.data.patches import PatchSampler
from hatlib.imaging.resize import imresize
from hatlib.models import create
from hatlib.training.callbacks import Progress, Validation
from hatlib.training.state import Run
from tests.helpers.training import IMAGES, RECIPE, train


@pytest.fixture
def pair() -> datasets.Pair:
    hr = builtin.builtin_image("cat")[:64, :64]
    return datasets.Pair("cat", imresize(hr, 1 / 4), hr)


def new_run() -> Run:
    sampler = PatchSampler(IMAGES, RECIPE.scale, RECIPE.patch_size, RECIPE.batch_size)
    return Run(RECIPE, create(RECIPE.model, RECIPE.scale, **RECIPE.options), sampler)


def test_validation_measures_every_so_many_steps_and_leaves_the_network_training(
    pair: datasets.Pair,
) -> None:
    validation = Validation([pair], every=3)
    run = train(steps=7, callbacks=[validation])
    assert validation.steps == [3, 6] and len(validation.psnr) == 2
    assert run.curves == {"PSNR": list(zip([3, 6], validation.psnr, strict=True))}
    assert run.model.training and not run.ema_model.training


def test_two_validations_keep_two_curves(pair: datasets.Pair) -> None:
    watched = [Validation([pair], 2, "first"), Validation([pair], 3, "second")]
    curves = train(steps=6, callbacks=watched).curves
    assert {name: [step for step, _ in curve] for name, curve in curves.items()} == {
        "first": [2, 4, 6],
        "second": [3, 6],
    }


def test_off_a_terminal_a_line_is_printed_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run()
    progress = Progress(run, seconds=1000.0)
    for step, loss in enumerate((0.5, 0.3, float("nan"), 0.1), start=1):
        run.step = step
        run.losses.append(loss)
        if step == 3:
            progress.last = time.monotonic() - 2000  # the time has come
        progress(run)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("step 3 of 60: loss 0.40000, 0.00 steps/s, ") and "h left" in line


def test_off_a_terminal_what_is_measured_is_printed_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run()
    progress = Progress(run)
    for step in (1, 2, 3):
        run.step = step
        run.losses.append(0.5)
        if step == 2:
            run.curves["PSNR on set5"] = [(2, 27.318)]
        progress(run)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("step 2 of 60: loss 0.50000, PSNR on set5 27.32, ")


def test_progress_that_is_not_wanted_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run()
    progress = Progress(run, shown=False, seconds=0.0)
    run.step = 1
    run.losses.append(0.5)
    progress(run)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_that_is_gone_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise OSError(5, "Input/output error")

    run = new_run()
    progress = Progress(run, seconds=0.0)
    run.step = 1
    run.losses.append(0.5)
    monkeypatch.setattr("sys.stderr", Gone())
    progress(run)
    progress.close()
