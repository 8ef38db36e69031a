"""The model cards of the course's own weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import cards
from hatlib.weights import files


def test_the_page_is_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    stored = cards.PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(cards, "PAGE", page)
    cards.main(["--recorded"])
    assert page.read_text(encoding="utf-8") == stored, "run python -m experiments.cards --recorded"


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
