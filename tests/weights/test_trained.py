"""The course's own weights: they load without a network, their cards are complete, and they do what
is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from hatlib import models
from hatlib.data import datasets
from hatlib.errors import HatlibError
from hatlib.evaluation import model_table, protocol, results
from hatlib.models import complexity
from hatlib.training import recipes
from hatlib.weights import files
from tests.helpers import ROOT

REAL = "hat-nano-real-x4"
NANO = ["hat-nano-x4", "rcan-nano-x4", "swinir-nano-x4"]
LIGHT = ["hat-light-x4", "swinir-light-course-x4"]
NAMES = sorted([*NANO, *LIGHT, REAL, "srcnn-x4"])


def test_they_are_small_and_all_there() -> None:
    assert files.trained() == NAMES
    assert sum(path.stat().st_size for path in files.TRAINED.glob("*.safetensors")) < 12 << 20


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_without_a_network_and_says_how_it_was_trained(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATLIB_MIRROR", "")
    model, card = files.load(name), files.card(name)
    assert not model.training and model.scale == 4
    training = card["training"]
    assert training["skipped"] == 0 and training["steps"] == training["recipe"]["steps"]
    named = recipes.recipe(name, steps=training["steps"])
    assert recipes.differences(named, recipes.Recipe(**training["recipe"])) == []
    assert name in (files.TRAINED / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "least", "most"), [(NANO, 150_000, 400_000), (LIGHT, 500_000, 1_000_000)]
)
def test_networks_that_are_compared_had_the_same_training_and_cost_the_same(
    names: list[str], least: int, most: int
) -> None:
    cards = [files.card(name) for name in names]
    assert len({card["training"]["steps"] for card in cards}) == 1
    networks = [models.create(card["model"], card["scale"], **card["options"]) for card in cards]
    work = [complexity.multiply_adds(network) for network in networks]
    assert max(work) / min(work) < 1.1
    assert all(least <= complexity.parameters(network) <= most for network in networks)


@pytest.mark.parametrize("name", NAMES)
def test_each_measures_what_is_recorded(name: str, needs_data) -> None:
    needs_data("set5")
    table: Any = results.table("trained")
    row = table[(table["name"] == name) & (table["data"] == "set5")].iloc[0]
    mean = protocol.evaluate(files.load(name), datasets.load("set5"))[["psnr", "ssim"]].mean()
    assert mean.psnr == pytest.approx(row.psnr, abs=0.005) and mean.ssim == pytest.approx(
        row.ssim, abs=0.0002
    )


def test_what_is_recorded_is_in_the_cards_and_beats_bicubic_and_srcnn() -> None:
    table: Any = results.table("trained").set_index(["name", "data"])
    cards = (files.TRAINED / "README.md").read_text(encoding="utf-8")
    for (_, data), row in table.iterrows():
        assert f"| {data} | {int(row.images)} | {row.psnr:.2f} | {row.ssim:.4f} |" in cards
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    on_set5 = (
        f"{method} {table.loc[(name, 'set5')].psnr:.2f}"
        for method, name in (
            ("SRCNN", "srcnn-x4"),
            ("RCAN", "rcan-nano-x4"),
            ("SwinIR", "swinir-nano-x4"),
            ("HAT", "hat-nano-x4"),
        )
    )
    assert f"on Set5 ×4: {', '.join(on_set5)} dB" in readme
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name in NAMES:
        values = [table.loc[(name, data)] for data in ("set5", "set14", "urban100")]
        cells = " | ".join(f"{v.psnr:.2f} / {v.ssim:.4f}".replace(" 0.", " .") for v in values)
        assert next(line for line in page.splitlines() if line.startswith(f"| `{name}`")).endswith(
            f"{cells} |"
        )
    bicubic = {"set5": 28.42, "set14": 26.00, "urban100": 23.14}
    for data, published in bicubic.items():
        srcnn = table.loc[("srcnn-x4", data)].psnr
        assert srcnn > published + 0.5
        assert all(table.loc[(name, data)].psnr > srcnn for name in [*NANO, *LIGHT])


def test_the_overview_lists_them() -> None:
    rows = model_table.trained_weights()
    assert [row["name"] for row in rows] == NAMES
    terms = (files.TRAINED / "LICENSE.txt").read_text(encoding="utf-8")
    for row in rows:
        assert row["licence"].partition(" (")[0] in " ".join(terms.split())
    assert all(row["measured"]["set5"]["psnr"] > 29 and row["bytes"] > 1e5 for row in rows)


def test_a_name_without_a_card_is_refused() -> None:
    with pytest.raises(HatlibError, match="did you mean 'srcnn-x4'"):
        files.card("srcn-x4")
