"""The study of attribution maps: its windows, resuming, and its statistics on numbers whose answer
is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments import lam_study as study
from experiments import tables
from hatlib.data import builtin, datasets
from hatlib.evaluation import results
from hatlib.imaging import convert
from hatlib.imaging.convert import luma
from hatlib.imaging.resize import imresize
from hatlib.weights import files


@pytest.fixture(scope="module")
def pairs() -> list[datasets.Pair]:
    hrs = {
        name: convert.crop_to_multiple(builtin.builtin_image(name), 4)
        for name in ("facade-1", "facade-2", "coffee")
    }
    return [datasets.Pair(name, imresize(hr, 1 / 4), hr) for name, hr in hrs.items()]


def test_windows_are_the_same_each_time_and_have_detail(pairs):
    first, second = list(study.places(pairs)), list(study.places(pairs))
    assert [(p.image, p.top, p.left) for p in first] == [(p.image, p.top, p.left) for p in second]
    assert len(first) == 3
    for place, pair in zip(first, pairs, strict=True):
        assert place.lr.shape == (64, 64, 3)
        assert luma(place.hr).std() >= 10
        top, left = 4 * place.top + 120, 4 * place.left + 120
        assert np.array_equal(place.hr, pair.hr[top : top + 16, left : left + 16])


def test_pictures_without_detail_or_room_have_no_window():
    gray = np.full((400, 400, 3), 128, np.uint8)
    assert study.draw(datasets.Pair("gray", gray[::4, ::4], gray), 0) is None
    assert study.draw(datasets.Pair("small", gray[:60, :60], gray[:240, :240]), 0) is None


def test_it_is_resumed(pairs, tmp_path, monkeypatch):
    networks = study.networks(["bicubic", "nearest"])
    out, said = tmp_path / "table.csv", []
    study.run(networks, pairs[:1], 2, out, said.append)
    assert len(said) == 1 and "DI" in said[0]
    table = study.run(networks, pairs, 2, out, said.append)
    assert ["recorded before" in line for line in said[1:]] == [True, False, False]
    assert len(table) == 6
    assert (
        table[table.model == "bicubic"].gain.abs() < 0.1
    ).all()  # rounding to uint8 is all that differs
    before = out.read_text()
    monkeypatch.setattr(study, "measure", None)
    again = study.run(networks, pairs, 2, out, said.append)
    assert out.read_text() == before and again.equals(table.astype(again.dtypes))


def test_rows_of_other_weights_are_dropped_and_those_of_other_networks_kept(
    pairs, tmp_path, monkeypatch
):
    networks = study.networks(["bicubic", "nearest"])
    out = tmp_path / "table.csv"
    study.run(networks, pairs[:1], 1, out, lambda line: None)
    monkeypatch.setattr(tables, "fingerprint", lambda model: "sha256:00000001")
    study.run({"nearest": networks["nearest"]}, pairs[:1], 1, out, lambda line: None)
    table = tables.read(out)
    assert sorted(table.model) == ["bicubic", "nearest"]
    assert table.set_index("model").weights["nearest"] == "sha256:00000001"


def made_up(slope: float, windows: int = 60) -> pd.DataFrame:
    """Three networks of rising DI; gain follows DI across windows, and between networks with
    `slope`."""
    rng, rows = np.random.default_rng(0), []
    for window in range(windows):
        easy = rng.normal()
        for k, name in enumerate("abc"):
            rows.append(
                {
                    "image": f"img{window}",
                    "model": name,
                    "di": 10 + 3 * k + easy + 0.1 * rng.normal(),
                    "gain": 1 + slope * k + easy + 0.1 * rng.normal(),
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("slope", [1, -1])
def test_correlations_within_and_between(slope):
    lines = {what: (value, low, high) for what, value, low, high in study.summary(made_up(slope))}
    value, low, high = lines["between networks in the same window: rank correlation"]
    assert value * slope > 0.8 and low * slope > 0.5 and high * slope > 0.5
    for name in "abc":
        assert lines[f"{name}: rank correlation of DI and gain"][0] > 0.9
    value, low, high = lines["c: DI"]
    assert low < value < high and low > 15 and high < 17


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    x, y = np.random.default_rng(0).integers(0, 9, (2, 40))
    assert study.rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert study.rank_correlation(x, np.ones(40)) == 0


def test_the_recorded_study_is_of_the_weights_in_the_package():
    table = results.table("lam-study")
    for name in (*study.NANO, *study.LIGHT):
        used = set(table[table.model == name].weights)
        assert used == {tables.fingerprint(files.load(name))}, (
            "other weights: run python -m experiments.lam_study"
        )
