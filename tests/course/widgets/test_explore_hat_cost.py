"""hatlib.course.widgets.hat_cost: a group's cost as counted by running it, then with sliders."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hatlib import models
from hatlib.course.widgets.hat_cost import LR, group_cost, hat_cost_explorer, hat_cost_view, memory
from hatlib.errors import HatlibError
from hatlib.models import complexity
from hatlib.models.hat import PRESETS

NANO = PRESETS["hat-nano"]
SIZES = [
    {},
    {"window_size": 4},
    {"overlap_ratio": 0.25},
    {"compress_ratio": 24},
    {"cab": False},
    {"ocab": False},
    {"mlp_ratio": 4.0},
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_group_cost_is_what_one_more_group_computes(sizes: dict) -> None:
    """Unshifted windows, so that all have one size; the formula leaves out the gates only."""

    def counted(groups: int) -> int:
        with torch.device("meta"):
            model = models.create("hat-nano", 4, depths=(3,) * groups, shifted=False, **sizes)
        return complexity.multiply_adds(model)

    expected = sum(group_cost(dataclasses.replace(NANO, **sizes), blocks=3).values())
    assert (counted(2) - counted(1)) / LR == pytest.approx(expected, rel=1e-3)


def test_hat_costs_what_the_paper_says() -> None:
    """102.4 G at 64×64 (arXiv 2205.04437, §4.2), with 3 G for the convolutions before and after."""
    assert 6 * LR * sum(group_cost(PRESETS["hat"]).values()) / 1e9 == pytest.approx(
        102.4 - 3.2, abs=0.3
    )


def test_memory_grows_with_the_number_of_keys() -> None:
    hat = PRESETS["hat"]
    small, large = (memory(dataclasses.replace(hat, overlap_ratio=ratio)) for ratio in (0.0, 1.0))
    assert small["scores of a HAB"] == small["scores of the OCAB"] == 4 * 6 * 256
    assert large["scores of the OCAB"] == 4 * small["scores of the OCAB"]
    assert (
        large["keys and values of the OCAB"]
        == 4 * small["keys and values of the OCAB"]
        == 4 * 4 * 2 * 180
    )
    assert set(memory(dataclasses.replace(hat, ocab=False)).values()) == {4 * 6 * 256, 0}


def test_the_view_says_what_the_formula_says() -> None:
    picture, caption = hat_cost_view(PRESETS["hat"])
    assert picture.dtype == np.uint8 and picture.ndim == 3 and "99.1 G multiply-adds" in caption
    assert "<b>1.00 times</b>" in caption
    other, caption = hat_cost_view(
        PRESETS["hat"], window=32, ratio=0.75, compress=24, cab=False, ocab=False
    )
    assert (
        other.shape == picture.shape and (other != picture).any() and "no CAB, no OCAB" in caption
    )


def test_a_ratio_without_a_common_centre_is_refused() -> None:
    with pytest.raises(HatlibError, match="no common centre"):
        hat_cost_view(PRESETS["hat"], window=4, ratio=0.25)


def test_each_control_changes_the_picture() -> None:
    panel, picture, caption = hat_cost_explorer().children
    controls = {control.description: control for control in panel.children}
    seen = {caption.value}
    for name, value in (
        ("window w (tokens)", 8),
        ("overlap ratio γ", 1.0),
        ("β: channels / channels inside a CAB", 24),
        ("CAB beside each attention", False),
        ("OCAB at the end of each group", False),
    ):
        before = picture.value
        controls[name].value = value
        assert picture.value != before, name
        seen.add(caption.value)
    assert len(seen) == 6
