"""Two ways to begin a training: which stage starts from which, and what is recorded."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest
import torch

from experiments import pretraining
from hatlib.data import builtin, datasets
from hatlib.data.datasets import Pair
from hatlib.evaluation import results
from hatlib.imaging.resize import imresize
from hatlib.training import loop, recipes


@pytest.fixture
def small(monkeypatch) -> Any:
    """The experiment on one small image, with patches of 8 and a batch of 1."""
    hr = builtin.builtin_image("facade-3")[:128, :128]
    monkeypatch.setattr(pretraining.builtin, "facade", lambda seed: hr)
    monkeypatch.setattr(datasets, "stream", lambda name: iter([hr]))
    monkeypatch.setattr(
        datasets, "load", lambda name, scale: [Pair(name, imresize(hr, 1 / scale), hr)] * 5
    )
    recipe = pretraining.recipe
    monkeypatch.setattr(
        pretraining,
        "recipe",
        lambda *asked: dataclasses.replace(recipe(*asked), patch_size=8, batch_size=1),
    )
    return pretraining


def test_every_way_to_train_has_the_same_number_of_steps():
    whole = {name: pretraining.total_steps(name, 840) for name in pretraining.STAGES}
    assert {
        whole[name] for name in ("together", "t91", "plain-t91", "plain-t91-fast", "x2-x4")
    } == {840}
    assert (whole["plain"], whole["x2"], whole["x4-third"]) == (630, 560, 280)


def test_stages_differ_in_nothing_but_what_they_say():
    ours = recipes.recipe("hat-nano-x4")
    for name, stage in pretraining.STAGES.items():
        plan = pretraining.recipe(name, 3, 840)
        same = dataclasses.replace(
            plan,
            data=ours.data,
            scale=4,
            steps=ours.steps,
            seed=ours.seed,
            warmup_steps=ours.warmup_steps,
            learning_rate=ours.learning_rate,
        )
        assert same == ours and plan.scale == stage.scale
        assert (plan.seed == 3) == (stage.start is None), (
            "a second stage would see the first one's patches again"
        )
    assert pretraining.recipe("plain-t91", 0, 840).learning_rate == pytest.approx(
        ours.learning_rate / 20
    )


def test_a_stage_begins_with_the_weights_of_the_one_before(small, tmp_path, monkeypatch):
    starts = {}
    fit = loop.fit

    def watched(plan, images, model, folder):
        starts[folder.name] = model
        return fit(plan, images, model, folder=folder)

    monkeypatch.setattr(loop, "fit", watched)
    runs = {name: small.train(name, 0, 12, tmp_path) for name in ("plain-t91", "x2-x4")}
    assert (
        starts["pretraining-plain-seed0-12"] is None and starts["pretraining-x2-seed0-12"] is None
    )
    before = {
        name: small.train(name, 0, 12, tmp_path).ema_model.state_dict() for name in ("plain", "x2")
    }
    for stage, start in (("plain-t91", "plain"), ("x2-x4", "x2")):
        weights = starts[f"pretraining-{stage}-seed0-12"].state_dict()
        differing = {
            key
            for key in weights
            if weights[key].shape != before[start][key].shape
            or not torch.equal(weights[key], before[start][key])
        }
        assert differing == (
            set() if stage == "plain-t91" else {"upsample.0.weight", "upsample.0.bias"}
        )
        assert not torch.equal(
            runs[stage].ema_model.conv_first.weight, weights["conv_first.weight"]
        ), "the stage has to be trained"
    again = small.train("x2-x4", 0, 12, tmp_path / "again").ema_model.state_dict()
    assert all(
        torch.equal(value, again[key])
        for key, value in runs["x2-x4"].ema_model.state_dict().items()
    )


def test_facades_are_drawn_and_the_other_data_are_read(small):
    plan = small.recipe("together", 0, 12)
    assert len(list(small.images(plan))) == len(small.FACADES) + 2
    assert len(list(small.images(dataclasses.replace(plan, data=("t91",))))) == 1
    assert not {f"facade-{seed}" for seed in small.FACADES} & set(builtin.builtin_names())


def test_each_stage_is_recorded_once(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "recorded" / "pretraining.csv"
    asked = [
        "--steps",
        "12",
        "--sets",
        "set5",
        "urban25",
        "--out",
        str(out),
        "--runs",
        str(tmp_path / "runs"),
    ]
    small.main([*asked, "--seeds", "0", "--stages", "plain"])
    small.main([*asked, "--seeds", "0", "1", "--stages", "plain", "plain-t91"])
    assert capsys.readouterr().out.count("plain, seed 0, budget 12: recorded before") == 1
    table = pd.read_csv(out)
    assert list(zip(table["stage"], table["seed"], table["steps"], strict=True)) == [
        ("plain", 0, 9),
        ("plain-t91", 0, 12),
        ("plain", 1, 9),
        ("plain-t91", 1, 12),
    ]
    assert {"psnr_set5", "ssim_set5", "psnr_urban25", "loss", "seconds"} <= set(
        table
    ) and "psnr_set14" not in table
    assert table["psnr_set5"].between(10, 60).all()

    def broken(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "fit", broken)
    small.main([*asked, "--seeds", "0", "1", "--stages", "plain", "plain-t91"])
    assert len(pd.read_csv(out)) == 4


def test_what_is_recorded_is_what_the_experiment_runs():
    table = results.table("pretraining")
    assert set(table["stage"]) == set(pretraining.STAGES)
    for row in table.itertuples():
        plan = pretraining.recipe(row.stage, row.seed, row.budget)
        assert row.learning_rate == pytest.approx(plan.learning_rate) and row.data == " ".join(
            plan.data
        )
        assert (row.scale, row.batch) == (plan.scale, plan.batch_size)
        assert row.steps == pretraining.total_steps(row.stage, row.budget)
    assert (
        table.groupby("stage")["seed"].nunique().min() >= 2
        and not table.duplicated(["stage", "seed"]).any()
    )
