"""The sentences of notebook 07 about a hundred windows follow from the table, whatever it holds."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hatlib.evaluation import results
from tests.helpers import ROOT

CELLS = ("07-049", "07-051", "07-053", "07-067", "07-055")  # from the table to the sentences
NANO = ("hat-nano-x4", "rcan-nano-x4", "swinir-nano-x4")


def study(advantage: float | None, windows: int = 30) -> pd.DataFrame:
    """A table of windows; DAT-light uses the most pixels, and its gain is larger by `advantage`."""
    rng = np.random.default_rng(0)
    rows = []
    for window in range(windows):
        image = f"img_{window:03}"
        rows += [(image, name, rng.uniform(1, 3), rng.normal(2, 0.2)) for name in NANO]
        if advantage is not None:
            rows.append(
                (image, "dat-light-x4", rng.uniform(10, 20), rng.normal(2, 0.2) + advantage)
            )
    return pd.DataFrame(rows, columns=["image", "model", "di", "gain"])


def printed(tables: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the cells print, given these tables."""
    monkeypatch.setattr(results, "names", lambda: list(tables))
    monkeypatch.setattr(results, "table", tables.__getitem__)
    notebook = json.loads((ROOT / "notebooks" / "07_lam.ipynb").read_text(encoding="utf-8"))
    sources = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    space: dict[str, Any] = {}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec("import hatlib", space)
        for cell in ("07-002", *CELLS):
            exec(sources[cell], space)
    return output.getvalue()


@pytest.mark.parametrize(("advantage", "verdict"), [(2.0, "holds"), (-2.0, "is reversed")])
def test_the_verdict_between_networks_is_that_of_the_numbers(
    advantage: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"lam-study": study(advantage), "lam-study-48": study(-advantage)}
    said = printed(both, monkeypatch)
    other = "is reversed" if verdict == "holds" else "holds"
    assert f"With DAT-light among them it {verdict} at 64×64, {other} at 48×48." in said
    assert "LR 64×64: 30 windows, dat-light-x4" in said


def test_without_dat_light_the_cells_speak_of_three_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = printed({"lam-study": study(None)}, monkeypatch)
    assert "LR 64×64: 30 windows, hat-nano-x4, rcan-nano-x4, swinir-nano-x4" in said
    assert "Between the three nano networks the rule" in said and "DAT-light" not in said


def test_only_windows_that_all_networks_have_count(monkeypatch: pytest.MonkeyPatch) -> None:
    started = study(2.0)
    late = (started["model"] == "dat-light-x4") & (started["image"] >= "img_012")
    said = printed({"lam-study": started[~late]}, monkeypatch)
    assert "LR 64×64: 12 windows, dat-light-x4" in said
