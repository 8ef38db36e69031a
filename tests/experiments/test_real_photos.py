"""Networks on degraded and clean pictures: the same chains for all, resuming, and the sums."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments import real_photos as study
from experiments import tables
from hatlib import models
from hatlib.data import builtin, datasets
from hatlib.evaluation import results
from hatlib.imaging import convert
from hatlib.imaging.resize import imresize
from hatlib.weights import files
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def pairs() -> list[datasets.Pair]:
    hrs = [
        convert.crop_to_multiple(builtin.builtin_image(name)[:128, :128], 4)
        for name in ("astronaut", "facade-1")
    ]
    return [datasets.Pair(str(k), imresize(hr, 1 / 4), hr) for k, hr in enumerate(hrs)]


def test_chains_are_the_same_each_time_and_more_of_them_change_none(pairs):
    few, many = dict(study.lrs(pairs[0], 0, 2)), dict(study.lrs(pairs[0], 0, 3))
    assert list(many) == ["clean", "0", "1", "2"]
    assert all(np.array_equal(few[chain], many[chain]) for chain in few)
    assert many["0"].shape == pairs[0].lr.shape
    assert not np.array_equal(many["0"], many["1"])
    assert not np.array_equal(dict(study.lrs(pairs[0], 1, 1))["0"], many["0"])


def test_it_is_resumed(pairs, tmp_path, monkeypatch):
    networks = {name: models.create(name, 4) for name in ("bicubic", "nearest")}
    out, said = tmp_path / "table.csv", []
    study.run(networks, pairs[:1], 2, out, said.append)
    table = study.run(networks, pairs, 2, out, said.append)
    assert said == ["0: 6 measured", "0: recorded before", "1: 6 measured"]
    assert len(table) == 12
    monkeypatch.setattr(study, "upscale", None)
    again = study.run(networks, pairs, 2, out, said.append)
    assert again.astype(str).equals(table.astype(str))


def test_the_difference_is_that_of_the_pictures_means():
    """Chains are no pictures: the mean over a picture's chains counts once."""
    chains = {"clean": (30.0, 29.5), "0": (24.0, 25.0), "1": (22.0, 25.0)}
    table = pd.DataFrame(
        [
            {"image": image, "chain": chain, "model": model, "psnr": value + shift}
            for image, shift in (("a", 0.0), ("b", 3.0))
            for chain, values in chains.items()
            for model, value in zip(("bicubic-trained", "real"), values, strict=True)
        ]
    )
    found = study.summary(table, "bicubic-trained", "real")
    assert found["degraded"] == pytest.approx((2.0, 2.0, 2.0))
    assert found["clean"] == pytest.approx((-0.5, -0.5, -0.5))


def test_three_pictures_are_drawn(pairs, tmp_path):
    networks = {name: models.create(name, 4) for name in ("bicubic", "nearest")}
    study.pictures(networks, [*pairs, pairs[0]._replace(name="2")], tmp_path / "drawn")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "0.png",
        "1.png",
        "2.png",
    ]


def test_what_is_recorded_is_of_these_weights_and_in_the_results_page():
    table = results.table("real-photos")
    for name in study.MODELS:
        (weights,) = table[table["model"] == name]["weights"].unique()
        assert weights == tables.fingerprint(files.load(name)), f"measure {name} again"
    assert (table.groupby("model").size() == 2 * study.EACH * (study.CHAINS + 1)).all()
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").replace("−", "-")
    for kind, (value, low, high) in study.summary(table, *study.MODELS).items():
        means = study.by_picture(table, kind == "clean").mean()
        cells = [f"{means[name]:.2f}" for name in ("bicubic", *study.MODELS)]
        assert f"| {' | '.join(cells)} | {value:+.2f} ({low:+.2f} to {high:+.2f}) |" in page
