"""hatlib train: what it says of a run that was interrupted, and where the weights go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hatlib.cli import app
from hatlib.training import checkpoint, loop, recipes
from tests.helpers.training import IMAGES

SMALL = ["srcnn-x4", "--set", "steps=2", "batch_size=2", "patch_size=8"]


def interrupted(recipe: Any) -> Iterator[Any]:
    """Images whose reading is interrupted, as Ctrl-C does it."""
    yield IMAGES[0]
    raise KeyboardInterrupt


def test_ctrl_c_before_the_first_step_keeps_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recipes, "training_images", interrupted)
    assert app.main(["train", *SMALL, "--out", str(tmp_path / "run")]) == 130
    out = capfd.readouterr().out
    assert out == "interrupted; no step was done, so there is nothing to keep\n"
    assert not list((tmp_path / "run").iterdir())


def test_weights_are_written_though_the_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    monkeypatch.setattr(recipes, "training_images", lambda recipe: iter(IMAGES))
    fit = loop.fit

    def fit_and_lose(*arguments: Any, **options: Any) -> Any:
        run = fit(*arguments, **options)
        shutil.rmtree(folder)
        return run

    monkeypatch.setattr(loop, "fit", fit_and_lose)
    assert app.main(["train", *SMALL, "--out", str(folder)]) == 0
    assert [path.name for path in folder.iterdir()] == ["srcnn-x4.safetensors"]
    assert not (folder / checkpoint.NAME).exists()


@pytest.mark.parametrize("degradation", ["bicubic", "real-world"])
def test_that_random_chains_take_their_time_is_said_before_they_do(
    degradation: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recipes, "training_images", lambda recipe: iter(IMAGES[:1]))
    asked = [*SMALL, f"degradation={degradation}", "--out", str(tmp_path / "run")]
    assert app.main(["train", *asked]) == 0
    said = capfd.readouterr().out.startswith("first, LR of all images by random chains")
    assert said is (degradation == "real-world")
