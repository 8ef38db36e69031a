"""hatlib.course.widgets.lam: the map is attribution's, and the window follows the sliders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hatlib import attribution, models, plotting
from hatlib.course.widgets import lam, overlays
from hatlib.course.widgets.lam import lam_explorer, lam_view
from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.models import Network
from tests.helpers.shown import is_opaque_and_pale, move_everything, pixels

LR = builtin_image("coffee")[120:140, 200:224]  # 20×24


def small(seed: int, scale: int = 4) -> Network:
    torch.manual_seed(seed)
    return models.create("rcan-nano", scale, groups=1, blocks=1, features=8).eval()


MODELS = {"one": small(1), "<two>": small(2)}


def attributed(name: str, window: attribution.Window, steps: int) -> attribution.Attribution:
    return attribution.lam(MODELS[name], LR, window, steps, rule="midpoint")


def test_lam_view_says_what_attribution_found() -> None:
    picture, caption = lam_view(LR, attributed, "<two>", 16, 8, 40, 4)
    found = attributed("<two>", (8, 40, 16), 4)
    assert f"diffusion index {found.diffusion_index:.2f}</b> (Gini {found.gini:.3f})" in caption
    assert "&lt;two&gt;, window of 16×16 SR pixels at row 8, column 40" in caption
    share = 100 * found.completeness[0] / found.completeness[1]
    assert f"add up to {share:.1f} % of the detail" in caption and 90 < share < 110
    assert picture.dtype == np.uint8 and picture.shape[1] == lam.WIDTH


def test_lam_view_paints_the_map_where_it_is() -> None:
    one = np.zeros((20, 24))
    one[3, 5] = 1.0
    sr = np.zeros((80, 96, 3), np.uint8)
    found = attribution.Attribution(one, np.zeros((3, 20, 24)), sr, (40, 60, 8), (0.0, 0.0))
    picture, caption = lam_view(LR, lambda *_: found, "any", 8, 40, 60)
    middle = picture[:, lam.WIDTH // 3 : 2 * lam.WIDTH // 3]
    brightest = np.rint(255 * np.array(plotting.strength_colours()(1.0)[:3]))
    assert (middle == brightest).all(axis=2).sum() == 12**2  # one LR pixel, twelve times as large
    orange = (picture == overlays.ORANGE).all(axis=2)
    assert orange.any(axis=0).sum() == 2 * (24 + 4) + 8 * 3 + 4  # in LR twice, and in SR
    assert "add up to all of the detail" in caption and "1 of 480 LR pixels" in caption


def test_lam_explorer_follows_its_controls_and_resets() -> None:
    box = lam_explorer(MODELS, LR)
    assert not box.children[0].children[2].continuous_update
    move_everything(box, (lam.WIDTH, pixels(box.children[1]).shape[0]))
    assert is_opaque_and_pale(box.children[1])


def test_lam_explorer_keeps_the_window_inside() -> None:
    panel, _, caption = lam_explorer(MODELS, LR).children
    _, size, row, column, _, _ = panel.children
    row.value, column.value = row.max, column.max
    assert (row.value, column.value) == (80 - 16, 96 - 16)
    size.value = size.max
    assert (size.value, row.value, column.value) == (64, 80 - 64, 96 - 64)
    assert "window of 64×64 SR pixels at row 16, column 32" in caption.value


def test_lam_explorer_takes_one_network_and_small_pictures() -> None:
    panel, picture, caption = lam_explorer(MODELS["one"], LR[:3, :5, 0]).children
    assert panel.children[0].options == ("RCAN",) and panel.children[1].max == 12
    assert pixels(picture).shape[1] == lam.WIDTH and "RCAN" in caption.value


def test_lam_explorer_refuses_what_it_cannot_show() -> None:
    with pytest.raises(HatlibError, match=r"need one scale, .*; got one ×4, two ×2"):
        lam_explorer({"one": MODELS["one"], "two": small(1, 2)})
    with pytest.raises(HatlibError, match="at least one network"):
        lam_explorer({})


def test_lam_explorer_has_networks_and_a_picture_of_its_own() -> None:
    panel, picture, caption = lam_explorer().children
    assert panel.children[0].options == lam.NETWORKS and "rcan-nano-x4" in caption.value
    first = picture.value
    panel.children[0].value = "hat-nano-x4"
    assert (
        picture.value != first
        and "hat-nano-x4, window of 16×16 SR pixels at row 88, column 88" in caption.value
    )
