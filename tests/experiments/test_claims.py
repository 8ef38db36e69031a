"""notebooks/CLAIMS.md: it is what its command writes, its links lead somewhere, and each verdict
could be another."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments import claims
from experiments.claims import frame, sources
from hatlib.errors import HatlibError
from tests.helpers import ROOT
from tests.helpers.links import LINK, NOTEBOOKS, mistakes

HOLDS, CORRECTED, FAILS, NOT_HERE = frame.HOLDS, frame.CORRECTED, frame.FAILS, frame.NOT_HERE
KEYS = [one.key for one in claims.claims()]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-\d+)?")


@pytest.fixture(scope="session")
def rows() -> dict[str, Any]:
    return {one.key: claims.evaluate(one) for one in claims.claims()}


def stored() -> str:
    return (NOTEBOOKS / "CLAIMS.md").read_text(encoding="utf-8")


# --- the page -------------------------------------------------------------------------------------


def differences(old: str, new: str) -> list[str]:
    """Lines that differ in more than the last digits of a number with decimals, or of a
    percentage."""
    before, after = old.splitlines(), new.splitlines()
    if len(before) != len(after):
        return [f"{len(before)} lines, and now {len(after)}"]
    return [f"{a}\n  now: {b}" for a, b in zip(before, after, strict=True) if not alike(a, b)]


def alike(a: str, b: str) -> bool:
    if NUMBER.sub("#", a) != NUMBER.sub("#", b):
        return False
    return all(
        close(x[0], y[0], a[x.end() :].startswith((" %", "%")))
        for x, y in zip(NUMBER.finditer(a), NUMBER.finditer(b), strict=True)
    )


def close(a: str, b: str, percentage: bool) -> bool:
    """Whether two printed numbers are the same up to what another processor or library may
    change."""
    x, y = (float(number.replace(",", "")) for number in (a, b))
    if "e-" in a:
        return 0.1 <= x / y <= 10
    if "." in a:
        return abs(x - y) <= 0.02 * abs(x) + 2 * 10 ** -len(a.partition(".")[2])
    return abs(x - y) <= (2 if percentage else 0)


def test_the_page_is_what_the_command_writes(rows: dict[str, Any]) -> None:
    found = differences(stored(), claims.page(list(rows.values())))
    assert not found, "run python -m experiments.claims again:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("| 0.12 dB | **holds** |", "| 0.13 dB | **holds** |", True),
        ("28.43 dB", "28.63 dB", True),
        ("| 0.12 dB | **holds** |", "| 0.12 dB | **does not hold** |", False),
        ("0.12 dB", "0.22 dB", False),
        ("20,772,507 parameters", "20,772,508 parameters", False),
        ("56% of", "57% of", True),
        ("56% of", "66% of", False),
        ("fails 10 of 10", "fails 9 of 10", False),
        ("1e-13", "4e-13", True),
        ("1e-13", "1e-02", False),
        ("HAT +0.12", "HAT-S +0.12", False),
    ],
)
def test_the_comparison_sees_what_counts(old: str, new: str, same: bool) -> None:
    assert (differences(old, new) == []) is same


def test_every_link_leads_to_what_it_says() -> None:
    assert len(LINK.findall(stored())) > 60
    assert list(mistakes(stored())) == []


def test_the_readme_leads_to_the_page() -> None:
    assert "](notebooks/CLAIMS.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_row_is_complete(rows: dict[str, Any]) -> None:
    lines = [line for line in stored().splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(lines) == len(rows) >= 20
    for k, (line, row) in enumerate(zip(lines, rows.values(), strict=True), start=1):
        number, words, test, found, verdict, shown = line.strip("| ").split(" | ")
        assert (
            int(number) == k and words and found and shown and verdict.strip("*") in frame.VERDICTS
        )
        assert re.search(r"[Hh]olds|not testable here", test), f"{row.claim.key}: no rule"


def test_the_counts_are_those_of_the_rows(rows: dict[str, Any]) -> None:
    counts = Counter(row.verdict for row in rows.values())
    for verdict, count in counts.items():
        assert f"\n| {verdict} | {count} |" in stored()
    assert f" {len(rows)} statements." in stored()


def test_keys_are_unique() -> None:
    assert len(set(KEYS)) == len(KEYS)


# --- the rules: each verdict could be another one -------------------------------------------------

OTHERWISE: dict[
    str, tuple[dict[str, Any], str]
] = {  # other numbers for a claim, and what they would make of it
    "range": ({"rcan_reach": 9, "swinir_reach": 9}, HOLDS),
    "classical-model": ({"error": 1e-3}, FAILS),
    "real-degradation": ({"real": 1.5, "classical": 1.6}, HOLDS),
    "psnr": ({"least": 23.3, "most": 23.35}, HOLDS),
    "ssim-range": ({"lowest": 0.0}, HOLDS),
    "ssim-structure": ({"noisy": 0.98}, FAILS),
    "srcnn-date": ({"year": 2014}, HOLDS),
    "srcnn-layers": ({"layers": 4}, FAILS),
    "averaging": ({"negative": 0.0}, HOLDS),
    "mapping-cost": ({"b": 0.1}, FAILS),
    "mse-psnr": ({"of_mean": 29.55, "mean": 29.56}, HOLDS),
    "srcnn-gain": ({"x4": 0.17}, HOLDS),
    "srcnn-most": ({"first": 3}, FAILS),
    "srcnn-consistent": ({"ahead": 8}, CORRECTED),
    "srcnn-limits": ({"rcan": -0.1}, FAILS),
    "high-resolution": ({"ratio": 16.5}, FAILS),
    "shallow-layer": ({"kernel": 5}, FAILS),
    "low-frequencies": ({"deep_below": 2.0, "deep_above": 0.1}, FAILS),
    "windows": ({"shifted": 8}, FAILS),
    "residual": ({"plain": 0.5, "residual": 0.1}, FAILS),
    "sub-pixel": ({"transposed": 1}, FAILS),
    "swinir-higher": ({"ahead": 72}, HOLDS),
    "swinir-gain": ({"over_best": 0.26}, HOLDS),
    "swinir-parameters": ({"least": -0.01}, CORRECTED),
    "swinir-faster": ({"ratio": 0.8}, HOLDS),
    "swinir-light": ({"over_best": 0.53}, HOLDS),
    "swinir-limits": ({"seconds": 0.01}, FAILS),
    "swinir-activates": ({"low": 0.1}, FAILS),
    "blocking": ({"picture": 1.1}, HOLDS),
    "three-attentions": ({"overlapping": 0}, FAILS),
    "cross-window": ({"ocab": 16}, FAILS),
    "lam-sum": ({"printed": 21.0}, HOLDS),
    "di-range": ({"padded": 67.95}, HOLDS),
    "hat-activates": ({"rcan_low": 0.1}, HOLDS),
    "structure": ({"error": 1e-3}, FAILS),
    "transposed": ({"transposed": 2}, HOLDS),
    "listing": ({"failed": 0}, HOLDS),
    "then": ({"given": "what attention made"}, HOLDS),
    "learnable": ({"learnable": 36}, HOLDS),
    "cyclic-shift": ({"shifted": 16}, FAILS),
    "channel-attention": ({"error": 1e-3}, FAILS),
    "squeeze": ({"squeeze": 16}, HOLDS),
    "ocab": ({"keys": 256}, FAILS),
    "pretraining-paper": ({"least": -0.1, "most": -0.05}, FAILS),
    "two-scales": ({"values": "×2, ×4", "files": "×2, ×4"}, HOLDS),
    "cab-ocab": ({"both": 0.1}, HOLDS),
    "cab-ocab-here": ({"seeds": 5, "planned": 600, "ocab_low": 0.1, "cab_low": 0.1}, HOLDS),
    "set5-swinir": ({"df2k": 32.72}, FAILS),
    "only-size": ({"others": 0}, HOLDS),
    "every-model": ({"least": 0.1}, HOLDS),
    "best-model": ({"large": 12.0}, HOLDS),
    "over-srcnn": ({"hat_nano": 0.4}, CORRECTED),
    "which-bicubic": ({"torch": 0.01}, HOLDS),
    "imagenet-humans": ({"there": "among them"}, frame.NOT_YET),
    "granularity": ({"share": 0.8}, HOLDS),
    "activation-helps": ({"low": 0.1, "light_low": 0.1}, HOLDS),
    "diverse": ({"least": 0.4}, CORRECTED),
    "a-year-after": ({"arxiv": 12}, HOLDS),
    "outperform": ({"drct": 0, "hma": 0}, FAILS),
}
TABLES = {
    "pretraining-here",
    "urban100",
    "ucla",
    "buildings-faces",
    "few-shot",
}  # tested below, on made-up tables


def test_every_claim_is_tried_with_other_numbers() -> None:
    assert set(OTHERWISE) | TABLES == set(KEYS)


@pytest.mark.parametrize("key", OTHERWISE)
def test_other_numbers_would_change_the_verdict(key: str, rows: dict[str, Any]) -> None:
    row, (numbers, wanted) = rows[key], OTHERWISE[key]
    if row.verdict == frame.NOT_YET:
        pytest.skip(row.text)
    assert set(numbers) <= set(row.numbers)
    assert row.verdict != wanted
    assert frame.verdict(row.claim, {**row.numbers, **numbers}) == wanted


def claim(key: str) -> Any:
    return next(one for one in claims.claims() if one.key == key)


def with_table(monkeypatch: pytest.MonkeyPatch, key: str, table: pd.DataFrame) -> Any:
    """The row of a claim if that were what is recorded."""
    module = import_module(claim(key).measure.__module__)
    monkeypatch.setattr(module, "table", lambda name: table)
    return claims.evaluate(claim(key))


@pytest.mark.parametrize(
    ("nano", "light", "dat", "wanted"),
    [
        (1.0, 1.0, None, HOLDS),
        (-1.0, -1.0, None, FAILS),
        (-1.0, 1.0, None, CORRECTED),
        (1.0, -1.0, None, CORRECTED),
        (-1.0, -1.0, 20.0, CORRECTED),
        (1.0, 1.0, -20.0, HOLDS),
    ],
)
def test_activation_is_compared_among_networks_that_are_alike(
    nano: float, light: float, dat: float | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gains that go with DI, or against it, between the nano networks and between the light ones,
    and DAT-light far ahead in DI."""
    rng = np.random.default_rng(0)
    lines = []
    for image in range(40):
        places = [("rcan-nano-x4", 1.0), ("swinir-nano-x4", 2.0), ("hat-nano-x4", 3.0)]
        rows = [(name, di, 2.0 + nano * di / 10) for name, di in places]
        places = [("swinir-light-course-x4", 5.0), ("hat-light-x4", 9.0)]
        rows += [(name, di, 2.0 + light * di / 10) for name, di in places]
        if dat is not None:
            rows.append(("dat-light-x4", 20.0, 2.0 + dat / 10))
        for model, di, gain in rows:
            noise = rng.normal(0, 0.01)
            lines.append({"image": image, "model": model, "di": di, "gain": gain + noise})
    monkeypatch.setattr(sources.results, "table", lambda name: pd.DataFrame(lines))
    row = claims.evaluate(claim("activation-helps"))
    assert row.verdict == wanted
    missing = sources.NO_DAT_LIGHT in row.text
    assert missing == (dat is None)
    assert dat is None or "in 40 windows" in row.text
    other = claims.evaluate(claim("hat-activates"))
    assert "to SwinIR, light +4.00" in other.text and other.verdict == HOLDS
    assert dat is None or "minus HAT nano: +17.00" in other.text


@pytest.mark.parametrize(
    ("pretrained", "wanted"),
    [((30.2, 30.3), HOLDS), ((29.9, 30.05), CORRECTED), ((29.6, 30.3), FAILS)],
)
def test_pretraining_has_to_be_ahead_of_both_with_every_seed(
    pretrained: tuple[float, float], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    psnr = {"t91": (29.8, 29.9), "together": (30.0, 30.1), "plain-t91": pretrained}
    table = pd.DataFrame(
        [
            {"stage": stage, "seed": seed, "budget": 800, "psnr_urban25": values[seed]}
            for stage, values in psnr.items()
            for seed in (0, 1)
        ]
    )
    row = with_table(monkeypatch, "pretraining-here", table)
    assert row.verdict == wanted and "2 seeds, 800 steps" in row.text


@pytest.mark.parametrize(
    ("psnr", "wanted"), [(28.36, HOLDS), (28.30, CORRECTED), (27.0, FAILS), (None, NOT_HERE)]
)
def test_urban100_needs_the_released_weights(
    psnr: float | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [("matlab", "hat-nano-x4", 25.15)]
    if psnr:  # the mean of the two that were made by the protocol
        lines += [
            ("matlab", "hat-x4-imagenet", psnr - 5),
            ("matlab", "hat-x4-imagenet", psnr + 5),
            ("torch", "hat-x4-imagenet", 20.0),
        ]
    table = pd.DataFrame(lines, columns=["lr", "model", "psnr"]).assign(
        data="Urban100", ssim=0.8444
    )
    assert with_table(monkeypatch, "urban100", table).verdict == wanted
    assert with_table(monkeypatch, "ucla", table).verdict == NOT_HERE


@pytest.mark.parametrize(
    ("whole", "half", "tiles", "wanted"),
    [
        (0.5, 0.5, 0.2, HOLDS),
        (0.5, -0.5, 0.2, CORRECTED),
        (-0.5, -0.5, 0.2, CORRECTED),
        (-0.5, -0.5, -0.2, FAILS),
    ],
)
def test_buildings_are_compared_by_gain_at_two_sizes_and_at_equal_difficulty(
    whole: float, half: float, tiles: float, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 20))
    lines = [
        {
            "condition": condition,
            "region": region,
            "content": content,
            "bicubic": 25.0,
            "pixels": 4096,
            "psnr": 26.0 + (gain if content == "buildings" else 0) + noise[k, i],
        }
        for condition, region, gain in (
            ("as it is", "whole", whole),
            ("half size", "whole", half),
            ("as it is", "tiles 20-24", tiles),
            ("as it is", "tiles 24-28", tiles),
        )
        for k, content in enumerate(("buildings", "portraits"))
        for i in range(20)
    ]
    table = pd.DataFrame(lines).assign(model="hat-nano-x4")
    row = with_table(monkeypatch, "buildings-faces", table)
    assert row.verdict == wanted and row.numbers["tiles"] == pytest.approx(tiles, abs=0.05)


@pytest.mark.parametrize(
    ("portraits", "control", "wanted"),
    [(0.3, 0.1, HOLDS), (0.3, 0.3, CORRECTED), (-0.1, -0.3, FAILS)],
)
def test_few_shot_has_to_beat_its_control(
    portraits: float, control: float, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"portraits/{i}" for i in range(12)] + ["buildings/1", "buildings/2"]
    noise = np.random.default_rng(0).normal(0, 0.02, (6, len(names)))

    def line(stage: str, kind: str, k: int, change: float, number: int) -> dict[str, Any]:
        return {
            "stage": stage,
            "kind": kind,
            "k": k,
            **dict(zip(names, 30 + change + noise[number], strict=True)),
        }

    lines = [line("untouched", "untouched", 0, 0.0, 0)]
    for number, k in enumerate((1, 12)):
        share = k / 12
        lines += [
            line("measured", "portraits", k, share * portraits, 1 + 2 * number),
            line("measured", "photos", k, share * control, 2 + 2 * number),
        ]
    row = with_table(monkeypatch, "few-shot", pd.DataFrame(lines))
    assert row.verdict == wanted and "k = 1" in row.text and "k = 12" in row.text


# --- the frame ------------------------------------------------------------------------------------


def test_what_is_not_recorded_says_so() -> None:
    def measure() -> dict[str, float]:
        return {"x": float(sources.table("no-such-table").x[0])}

    one = frame.Claim("key", "where", "words", "holds if", "{x}", lambda n: HOLDS, measure)
    row = claims.evaluate(one)
    assert row.verdict == frame.NOT_YET and "no-such-table.csv" in row.text


def test_a_remark_is_printed_with_its_verdict_only() -> None:
    for x, text in ((1.0, "1.0 dB"), (-1.0, "-1.0 dB. Lower")):
        one = frame.Claim(
            "key",
            "where",
            "words",
            "holds if",
            "{x} dB",
            lambda n: frame.graded(n.x > 0),
            partial(dict, x=x),
            remarks={FAILS: "Lower"},
        )
        assert claims.evaluate(one).text == text


def test_links_are_made_of_headings_that_exist() -> None:
    assert (
        frame.link("02 SSIM below zero") == "[02 SSIM below zero](02_metrics.ipynb#SSIM-below-zero)"
    )
    assert list(mistakes(frame.link('01 Which k and which phase is "bicubic"?'))) == []
    assert frame.link("99") == "notebook 99"
    with pytest.raises(HatlibError, match="no heading “Nothing”"):
        frame.link("02 Nothing")


def test_a_bar_in_a_cell_is_refused() -> None:
    one = frame.Claim("key", "where", "a | b", "holds if", "x", lambda n: HOLDS, dict)
    with pytest.raises(HatlibError, match="bar"):
        frame.page([claims.evaluate(one)])


def test_reported_values_are_unique_or_refused() -> None:
    assert sources.value("HAT", "Set5", "DF2K") == 33.04
    with pytest.raises(HatlibError, match="SwinIR-M"):
        sources.value("SwinIR-M", "Set5")  # trained on DIV2K and on DF2K
    with pytest.raises(HatlibError, match="no single set"):
        sources.value("HAT-XL", "Set5")
