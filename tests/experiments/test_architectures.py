"""The comparison of architectures: resuming, and statistics whose answer is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments import architectures as study
from hatlib import HatlibError, models
from hatlib.data import builtin, datasets
from hatlib.imaging import convert
from hatlib.imaging.resize import imresize
from hatlib.weights import files


@pytest.fixture(scope="module")
def pairs() -> list[datasets.Pair]:
    hrs = [
        convert.crop_to_multiple(builtin.builtin_image(f"facade-{k}")[:96, :96], 4) for k in (1, 2)
    ]
    return [datasets.Pair(str(k), imresize(hr, 1 / 4), hr) for k, hr in enumerate(hrs)]


def test_the_card_says_network_seed_and_steps():
    entry = study.trained("swinir-nano-x4")
    assert (entry.model, entry.seed) == ("swinir-nano", 0)
    assert entry.steps == files.card("swinir-nano-x4")["training"]["steps"]


def test_weights_without_a_training_are_refused(tmp_path):
    model = study.trained("swinir-nano-x4").network
    files.save(model, tmp_path / "own.safetensors", "swinir-nano")
    with pytest.raises(HatlibError, match=r"own\.safetensors does not say how it was trained"):
        study.trained(tmp_path / "own.safetensors")


def test_it_is_resumed_and_a_seed_counts_once(pairs, tmp_path, monkeypatch):
    entry, out, said = study.trained("swinir-nano-x4"), tmp_path / "table.csv", []
    with pytest.raises(HatlibError, match="swinir-nano is there twice with seed 0"):
        study.run([entry, entry], {"some": pairs}, out, said.append)
    study.run([entry], {"some": pairs[:1]}, out, said.append)
    table = study.run([entry], {"some": pairs}, out, said.append)
    assert [line[-10:] for line in said] == ["1 measured"] * 2 and len(table) == 2
    monkeypatch.setattr(study.protocol, "evaluate", None)
    again = study.run([entry], {"some": pairs}, out, said.append)
    assert again.astype(str).equals(table.astype(str))


def test_a_recorded_seed_counts_without_its_file_until_it_is_trained_anew(pairs, tmp_path):
    """The file of a second seed is not part of the package."""
    entry, out = study.trained("swinir-nano-x4"), tmp_path / "table.csv"
    second, anew = (
        dataclasses.replace(entry, seed=1, network=models.create("swinir-nano", 4).eval())
        for _ in range(2)
    )
    some = {"some": pairs[:1]}
    study.run([second], some, out, print)
    table = study.run([entry], some, out, print)
    assert sorted(table["seed"]) == [0, 1]
    assert len(study.run([entry], {"other": pairs[:1]}, out, print)) == 1
    before = table.set_index("seed")["weights"]
    after = study.run([anew], some, out, print).set_index("seed")["weights"]
    assert sorted(after.index) == [0, 1]
    assert after[0] == before[0] and after[1] != before[1]


def rows(gains: dict[str, list[float]], spread: float, pictures: int = 40) -> pd.DataFrame:
    """A table in which a network's seeds differ by what is named, on pictures that differ more."""
    rng = np.random.default_rng(0)
    level = rng.normal(25, 3, pictures)
    return pd.DataFrame(
        [
            {"data": "some", "model": model, "seed": seed, "steps": 10, "image": str(k),
             "psnr": level[k] + gain + spread * rng.normal(), "ssim": 0.8}
            for model, seeds in gains.items()
            for seed, gain in enumerate(seeds)
            for k in range(pictures)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        # seeds agree, and the networks do not
        ({"swinir-nano": [0.0, 0.01], "hat-nano": [0.2, 0.21]}, "the second is ahead"),
        ({"swinir-nano": [0.2, 0.21], "hat-nano": [0.0, 0.01]}, "the first is ahead"),
        # sure over pictures, but the seeds lie further apart than the networks
        ({"swinir-nano": [0.0, 0.1], "hat-nano": [0.02, 0.12]}, "no difference that pictures and"),
        ({"swinir-nano": [0.0], "hat-nano": [0.2]}, "one seed: nothing can be said"),
    ],
)
def test_a_verdict_needs_seeds(gains, said):
    table = rows(gains, spread=0.01)
    ((pictures, both),) = study.differences(table, "some").values()
    assert study.verdict(both).startswith(said)
    assert pictures.low > 0 or pictures.high < 0  # which pictures alone would have it
    assert any(said in line for line in study.report(table))


def test_only_networks_of_one_size_are_compared():
    table = rows({"hat-nano": [0.0], "swinir-light": [0.3], "hat-light": [0.4]}, 0.01)
    assert list(study.differences(table, "some")) == [("swinir-light", "hat-light")]


def test_a_seed_whose_measurement_was_interrupted_is_left_out():
    table = rows({"swinir-nano": [0.0, 0.0], "hat-nano": [0.2]}, 0.01)
    cut = table[(table["seed"] == 0) | (table["image"] == "3")]
    assert study.scores(cut, "some", "swinir-nano").shape == (40, 1)
    assert not any("nan dB" in line for line in study.report(cut))


def test_pictures_are_paired():
    """Pictures differ by far more than networks: unpaired, the interval would be a dB wide."""
    ((pictures, _),) = study.differences(
        rows({"swinir-nano": [0.0], "hat-nano": [0.1]}, 0.02), "some"
    ).values()
    assert pictures.value == pytest.approx(0.1, abs=0.02)
    assert pictures.high - pictures.low < 0.03
