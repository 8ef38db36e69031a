"""The model cards of the course's own weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import cards
from hatlib.errors import HatlibError
from hatlib.weights import files


def test_the_page_is_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    stored = cards.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(cards, "PAGE", page)
    cards.main(["--recorded"])
    assert page.read_text(encoding="utf-8") == stored, "run python -m experiments.cards --recorded"


def test_a_name_measures_this_network_and_keeps_what_is_recorded_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "trained.csv"
    before = cards.tables.read(cards.OUT)
    before.to_csv(out, index=False)
    monkeypatch.setattr(cards, "PAGE", tmp_path / "cards.md")
    monkeypatch.setattr(cards, "CURVES", tmp_path / "curves.png")

    def measure(name: str, sets: list[str]) -> list[dict[str, object]]:
        return [
            {"name": name, "data": data, "images": 5, "psnr": 99.0, "ssim": 0.5} for data in sets
        ]

    monkeypatch.setattr(cards, "measure", measure)
    cards.main(["hat-nano-x4", "--out", str(out)])
    after = cards.tables.read(out)
    assert after[["name", "data"]].equals(before[["name", "data"]])
    assert set(after.name[after.psnr == 99]) == {"hat-nano-x4"}
    others = before.name != "hat-nano-x4"
    assert after[others].equals(before[others])

    cards.main(["srcnn-x4", "--sets", "set14", "--out", str(out)])
    row = (before.name == "srcnn-x4") & (before.data == "set14")
    latest = cards.tables.read(out)
    assert latest[["name", "data"]].equals(before[["name", "data"]])
    assert latest[row].psnr.tolist() == [99] and latest[~row].equals(after[~row])

    with pytest.raises(HatlibError, match="did you mean 'hat-nano-x4'"):
        cards.main(["hat-nano-4x", "--out", str(out)])
    with pytest.raises(HatlibError, match="did you mean 'set14'"):
        cards.main(["--sets", "set-14", "--out", str(out)])
    with pytest.raises(HatlibError, match="name no network"):
        cards.main(["hat-nano-x4", "--recorded", "--out", str(out)])
    assert cards.tables.read(out).equals(latest)


def test_every_card_names_the_recipe(tmp_path: Path) -> None:
    page = cards.PAGE.read_text(encoding="utf-8")
    for name in files.trained():
        card = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert all(f"{setting} " in card for setting in cards.SETTINGS)


@pytest.mark.parametrize(
    ("end", "words"), [(0.8, "still falling"), (1.0, "not more than its noise")]
)
def test_the_outlook_follows_the_loss(end: float, words: str) -> None:
    """40 means while the rate is constant, the last ten of them lower or not; 10 after it."""
    wiggle = [0.01 * (-1) ** k for k in range(40)]
    losses = [1.0 + w for w in wiggle[:30]] + [end + w for w in wiggle[30:]] + [0.5] * 10
    text = cards.outlook(losses, 0.2)
    assert words in text and f"{end:.5f} in the fourth" in text and text.endswith("0.50000.")
