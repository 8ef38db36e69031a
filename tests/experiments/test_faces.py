"""Buildings against faces: regions, sets that do not overlap, resuming, and what is recorded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments import faces, tables
from hatlib import HatlibError, models
from hatlib.data import builtin, datasets
from hatlib.data.datasets import Pair
from hatlib.evaluation import results
from hatlib.imaging import convert, metrics
from hatlib.imaging.resize import imresize
from hatlib.training import loop
from hatlib.weights import files

ASTRONAUT = builtin.builtin_image("astronaut")


def pair(name: str, hr: np.ndarray) -> Pair:
    hr = convert.crop_to_multiple(hr, 4)
    return Pair(name, imresize(hr, 1 / 4), hr)


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 128×160 in place of the public sets, of which no two are the same."""
    scenes = {
        "urban100": "facade-1",
        "portraits": "coffee",
        "set5": "cat",
        "set14": "rocket",
        "bsds500": "tissue",
    }

    counts = {"urban100": 10, "portraits": 6, "set5": 2, "set14": 2, "bsds500": 6}

    def hrs(name: str) -> dict[str, np.ndarray]:
        image = builtin.builtin_image(scenes[name])
        return {f"{name}-{k}": image[k : k + 128, 2 * k : 2 * k + 160] for k in range(counts[name])}

    def load(name: str, scale: int, gray: str, limit: int | None = None) -> list[Pair]:
        return [pair(label, hr) for label, hr in hrs(name).items()][:limit]

    monkeypatch.setattr(datasets, "load", load)
    monkeypatch.setattr(
        datasets, "hr_images", lambda name: [hr[:64, :80] for hr in hrs(name).values()] * 9
    )


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = faces.plan
    monkeypatch.setattr(
        faces, "plan", lambda *asked: dataclasses.replace(plan(*asked), patch_size=8, batch_size=1)
    )


# --- regions --------------------------------------------------------------------------------------


def test_the_face_is_found_where_it_is_and_nowhere_else():
    top, left, height, width = faces.face(ASTRONAUT)
    assert top < 110 < top + height and left < 225 < left + width  # between her eyes
    assert height < 200
    assert faces.face(builtin.builtin_image("facade-1")) is None


def test_detail_is_the_length_of_the_gradient():
    assert faces.detail(np.full((20, 30, 3), 99, np.uint8)) == 0
    down, right = np.mgrid[0:40, 0:40]
    slope = np.repeat(
        (3 * down + 4 * right)[..., None] / 300, 3, axis=2
    )  # in [0, 1], 5/300 a pixel
    assert faces.detail(slope) == pytest.approx(
        5 / 300 * 219
    )  # luma of white minus that of black is 219


def test_regions_are_measured_by_themselves():
    shown = pair("astronaut", ASTRONAUT[:256, 100:356])
    box = faces.face(shown.hr)
    rows = faces.measure(shown, "as it is", models.create("bicubic", 4), box, True)
    named = {row["region"]: row for row in rows}
    assert list(named)[:2] == ["whole", "face"] and all(
        region.startswith("tiles ") for region in list(named)[2:]
    )
    for row in rows:
        assert row["psnr"] == pytest.approx(
            row["bicubic"], abs=0.1
        )  # rounding to uint8 is all that differs
    top, left, height, width = box
    inside = np.s_[top : top + height, left : left + width]
    baseline = metrics.psnr(imresize(shown.lr, 4)[inside], shown.hr[inside])
    assert named["face"]["bicubic"] == pytest.approx(baseline, abs=1e-4)
    assert named["face"]["pixels"] == height * width
    tiled = [row for row in rows if row["region"].startswith("tiles")]
    assert (
        0 < sum(row["pixels"] for row in tiled) <= 9 * 64**2
    )  # nine tiles fit; those too easy are left out
    for row in tiled:
        low, high = map(int, row["region"].removeprefix("tiles ").split("-"))
        assert low <= row["bicubic"] < high


def test_conditions_change_hr_before_lr_is_made():
    shown, network = pair("astronaut", ASTRONAUT), models.create("bicubic", 4)
    box = faces.face(ASTRONAUT)
    plain, half = (
        faces.measure(shown, name, network, box, False) for name in ("as it is", "half size")
    )
    assert [4 * row["pixels"] for row in half] == pytest.approx(
        [row["pixels"] for row in plain], rel=0.02
    )
    assert (
        half[0]["detail"] > 1.2 * plain[0]["detail"]
    )  # a smaller picture of the same thing has more of it a pixel
    fine, coarse = (
        faces.measure(shown, name, network, None, False)[0] for name in ("JPEG 99", "JPEG 75")
    )
    assert (
        0
        < abs(fine["bicubic"] - plain[0]["bicubic"])
        < abs(coarse["bicubic"] - plain[0]["bicubic"])
        < 1
    )


# --- the table of contents ------------------------------------------------------------------------


def test_content_is_resumed(small_sets, tmp_path, monkeypatch):
    out, said = tmp_path / "content.csv", []
    faces.content(["srcnn-x4"], 1, out, said.append)
    assert len(said) == 4  # a picture of each set
    table = faces.content(["srcnn-x4", "hat-nano-x4"], 1, out, said.append)
    assert len(said) == 8
    assert set(table[table.model == "srcnn-x4"].condition) == {"as it is"}
    assert set(table[table.model == "hat-nano-x4"].condition) == set(faces.CONDITIONS)
    assert list(dict.fromkeys(table.content)) == ["buildings", "portraits", "others"]
    assert (table[table.region == "whole"].psnr > 15).all()
    before = out.read_text()
    monkeypatch.setattr(faces, "measure", None)
    faces.content(["srcnn-x4", "hat-nano-x4"], 1, out, said.append)
    assert len(said) == 12 and all("recorded before" in line for line in said[8:])
    assert out.read_text() == before
    assert len(faces.content_summary(table)) > 10


def test_rows_of_other_weights_are_dropped_and_those_of_other_networks_kept(
    small_sets, tmp_path, monkeypatch
):
    out = tmp_path / "content.csv"
    faces.content(["srcnn-x4", "rcan-nano-x4"], 1, out, lambda line: None)
    monkeypatch.setattr(tables, "fingerprint", lambda model: "sha256:00000001")
    faces.content(["srcnn-x4"], 1, out, lambda line: None)
    used = pd.read_csv(out).groupby("model").weights.unique()
    assert (
        list(used["srcnn-x4"]) == ["sha256:00000001"]
        and "sha256:00000001" not in used["rcan-nano-x4"]
    )


# --- fine-tuning ----------------------------------------------------------------------------------


def test_no_picture_is_trained_on_and_measured_on(small_sets):
    sets = faces.Pictures()
    measured = {one.name for pairs in sets.tests.values() for one in pairs}
    for seed in range(5):
        drawn = [one.name for one in sets.drawn(3, seed)]
        assert len(set(drawn)) == 3 and not measured & set(drawn)
        assert [one.name for one in sets.drawn(1, seed)] == drawn[:1]
    assert not measured & {one.name for one in sets.buildings}
    assert len(sets.buildings) + len(sets.tests["buildings"]) == 10
    chosen_on = {one.name for one in faces.Pictures().choosing["portraits"]}
    assert (
        not chosen_on & {one.name for one in sets.drawn(4, faces.CHOOSING)}
        and not chosen_on & measured
    )


def test_the_control_has_as_many_pixels(small_sets):
    sets = faces.Pictures()
    portraits = sum(hr.shape[0] * hr.shape[1] for hr in sets.training("portraits", 3, 0))
    photos = sets.training("photos", 3, 0)
    assert {hr.shape for hr in photos} == {(64, 80, 3)} and 64 * 80 * len(photos) == portraits
    assert len(sets.training("buildings", 3, 0)) == 3
    again = sets.training("photos", 3, 0)
    assert all(np.array_equal(one, other) for one, other in zip(photos, again, strict=True))


def test_each_run_is_recorded_once(small_sets, small_runs, tmp_path, monkeypatch, capsys):
    asked = [
        "tuning",
        "--steps",
        "2",
        "--counts",
        "1",
        "2",
        "--rates",
        "1e-4",
        "1e-2",
        "--out",
        str(tmp_path),
        "--runs",
        str(tmp_path / "runs"),
    ]
    faces.main([*asked, "--seeds", "0"])
    faces.main([*asked, "--seeds", "0", "1"])
    assert capsys.readouterr().out.count("recorded before") == 2 + 5
    table = pd.read_csv(tmp_path / "faces.csv")
    kinds = ["portraits", "photos", "portraits", "photos", "buildings"]
    assert list(table.kind) == ["untouched", "portraits", "portraits", *kinds, *kinds]
    measured = table[table.stage == "measured"]
    assert (
        list(measured.k) == [1, 1, 2, 2, 2] * 2
        and set(measured.steps) == {2}
        and measured.rate.nunique() == 1
    )
    own = [name for name in table if "/" in name]
    assert {name.split("/")[0] for name in own} == {"portraits", "buildings", "others"}
    for content, count in (("portraits", 3), ("buildings", 1), ("others", 4)):
        found = faces.change(table, measured, content)
        assert (
            found.shape == (10, count)
            and found.abs().max().max() < 3
            and (found != 0).any(axis=None)
        )
    assert len(faces.tuning_summary(table)) > 10

    def broken(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "fit", broken)
    before = (tmp_path / "faces.csv").read_text()
    faces.main([*asked, "--seeds", "0", "1"])
    assert (tmp_path / "faces.csv").read_text() == before


def test_the_rate_is_the_one_that_helped_most(small_sets, tmp_path):
    study = faces.Tuning(2, None, tmp_path / "faces.csv", tmp_path, print)
    rows = [
        {"stage": "untouched", "steps": 0, "rate": 0.0, "portraits/a": 30.0, "portraits/b": 20.0}
    ]
    rows += [
        {
            "stage": "rate",
            "steps": steps,
            "rate": rate,
            "portraits/a": 30 + gain,
            "portraits/b": 20 + gain,
        }
        for steps, rate, gain in ((2, 1e-4, 0.1), (2, 4e-4, 0.2), (2, 1e-3, -1), (9, 1e-2, 3))
    ]
    study.table.rows = pd.DataFrame(rows)
    assert study.rate() == 4e-4


def test_parts_are_known(tmp_path):
    with pytest.raises(HatlibError, match="content and tuning, got contents"):
        faces.main(["contents", "--out", str(tmp_path)])


# --- what is recorded -----------------------------------------------------------------------------


def test_what_is_recorded_is_of_the_weights_in_the_package():
    content, tuned = results.table("content"), results.table("faces")
    for name in faces.NETWORKS:
        used = {tables.fingerprint(files.load(name))}
        assert set(content[content.model == name].weights) == used, (
            "other weights: run python -m experiments.faces"
        )
    assert set(tuned.weights) == {tables.fingerprint(files.load(faces.TUNED))}


def test_what_is_recorded_is_complete():
    content, tuned = results.table("content"), results.table("faces")
    whole = content[(content.condition == "as it is") & (content.region == "whole")]
    assert whole.groupby("content").image.nunique().to_dict() == {
        "buildings": 100,
        "portraits": 24,
        "others": 17,
    }
    assert (whole.groupby("model").size() == 141).all() and set(whole.model) == set(faces.NETWORKS)
    assert len(content[(content.condition == "as it is") & (content.region == "face")]) == 4 * 24
    assert sorted(tuned[tuned.stage == "measured"].seed.unique()) == list(faces.SEEDS)
    for seed in faces.SEEDS:
        runs = tuned[
            (tuned.stage == "measured") & (tuned.seed == seed) & (tuned.steps == faces.STEPS)
        ]
        assert sorted(zip(runs.kind, runs.k, strict=True)) == [
            ("buildings", 12),
            *((kind, k) for kind in ("photos", "portraits") for k in (1, 4, 12)),
        ]
        for where, count in (("portraits", 12), ("faces", 12), ("buildings", 12), ("others", 17)):
            assert faces.change(tuned, runs, where).shape == (7, count)
            assert faces.change(tuned, runs, where).notna().all(axis=None)
