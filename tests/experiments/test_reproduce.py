"""Whole sets, image by image: how the table grows, and what is recorded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from experiments import reproduce, tables
from hatlib import models
from hatlib.data import builtin
from hatlib.evaluation import results
from hatlib.imaging import io
from hatlib.weights import files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("cat", "coffee", "rocket"):
        io.save_image(folder / f"{name}.png", builtin.builtin_image(name)[100:148, 100:164])
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network that differs from bicubic."""
    torch.manual_seed(0)
    files.save(models.create("srcnn", 4), tmp_path / "mine.safetensors", "srcnn")
    return tmp_path / "mine.safetensors"


def test_rows_that_are_measured_again_replace_the_old_ones(
    photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "PLAN", (((str(photos), "set5"), 1, ("matlab", "torch")),))
    out = tmp_path / "table.csv"

    def record(models: str) -> pd.DataFrame:
        reproduce.main(
            [
                "--models",
                models,
                "--data",
                str(photos),
                "--folder",
                str(tmp_path / "run"),
                "--out",
                str(out),
            ]
        )
        return pd.read_csv(out)

    first = record("bicubic")
    assert list(first.columns) == ["data", "lr", "image", "model", "weights", "psnr", "ssim"]
    assert list(first.lr) == 3 * ["matlab"] + 3 * ["torch"] and list(first.image) == 2 * [
        "cat",
        "coffee",
        "rocket",
    ]
    both = record(str(weights))
    assert len(both) == 12 and both[both.model == "bicubic"].psnr.tolist() == first.psnr.tolist()
    io.save_image(photos / "cat.png", builtin.builtin_image("cat")[50:98, 100:164])
    again = record("bicubic")
    assert len(again) == 12 and (again.psnr != both.psnr).sum() == 2, (
        "bicubic's two rows of the cat, and no other"
    )


def test_what_is_recorded_is_whole_sets_and_the_weights_in_the_package() -> None:
    table = results.table("reproduction")
    whole = table[(table.data == "Urban100") & (table.lr == "matlab")]
    assert (
        set(whole.model) >= {"bicubic", *files.trained("bicubic")}
        and (whole.groupby("model").size() == 100).all()
    )
    assert whole[whole.model == "bicubic"].psnr.mean() == pytest.approx(23.14, abs=0.005)
    for name in files.trained("bicubic"):
        (recorded,) = table[table.model == name].weights.unique()
        assert recorded == tables.fingerprint(files.load(name)), f"measure {name} again"
    measured = results.table("trained").query("data == 'urban100'").set_index("name").psnr
    measured = measured[files.trained("bicubic")]
    assert whole.groupby("model").psnr.mean()[measured.index].to_numpy() == pytest.approx(
        measured.to_numpy(), abs=1e-3
    )
