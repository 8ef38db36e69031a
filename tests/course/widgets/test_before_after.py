"""hatlib.course.widgets.before_after: what lies to the left and to the right of the line."""

from __future__ import annotations

import numpy as np
import pytest

from hatlib.course.widgets import overlays, wipe
from hatlib.course.widgets.before_after import wipe_view
from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from tests.helpers.shown import move_everything

HR = builtin_image("coffee")[100:300, 200:520]  # 200×320
IMAGES = {"HR": HR, "<inverse>": 255 - HR, "dark": HR // 2}


@pytest.mark.parametrize("position", [0, 1, 25, 50, 99, 100])
def test_wipe_view_shows_each_on_its_side(position: int) -> None:
    picture, caption = wipe_view(IMAGES, "HR", "<inverse>", position)
    assert picture.shape == (400, 640, 3) and picture.dtype == np.uint8
    cut = 2 * round(3.2 * position)
    above = picture[: 400 - 40]  # the names are below
    left, right = above[::2, : max(0, cut - 2) : 2], above[::2, cut + 2 :: 2]
    np.testing.assert_array_equal(left, HR[:180, : left.shape[1]])
    np.testing.assert_array_equal(right, 255 - HR[:180, 320 - right.shape[1] :])
    lines = (above == overlays.ORANGE).all(axis=(0, 2))
    assert lines.sum() == (0 if position in (0, 100) else 2) and not lines[: max(0, cut - 2)].any()
    assert "<b>HR</b>" in caption and "<b>&lt;inverse&gt;</b>" in caption and "2×2" in caption
    named = (picture[-30:] == 255).all(axis=2).any(axis=0)
    assert named[: 640 // 4].any() == (position > 0) or position == 1
    assert named[-640 // 4 :].any() == (position < 100)


def test_wipe_view_measures_the_difference() -> None:
    assert (
        f"differ by {np.abs(HR - (HR // 2)).mean():.2f} levels"
        in wipe_view(IMAGES, "HR", "dark")[1]
    )
    assert "differ by 0.00 levels" in wipe_view(IMAGES, "HR", "HR")[1]


def test_long_names_do_not_meet() -> None:
    name = "a name much too long for the half of the picture in which it has to stand " * 2
    picture, _ = wipe_view(
        {name: HR[:, :100] // 8, "b" + name: HR[:, :100] // 8}, name, "b" + name, 50
    )
    plates = (picture[-14:-8] == 255).all(axis=2).any(axis=0)
    assert plates.any() and not plates[len(plates) // 2 - 2 : len(plates) // 2 + 2].any()


def test_wipe_follows_its_controls_and_resets() -> None:
    box = wipe(IMAGES, "HR", "<inverse>", 30)
    assert [control.value for control in box.children[0].children[:3]] == ["HR", "<inverse>", 30]
    move_everything(box, (640, 400))


def test_wipe_has_an_example_and_takes_gray_and_floats() -> None:
    panel = wipe().children[0]
    assert panel.children[0].options == ("LR, pixels repeated", "LR, bicubic ×4", "HR")
    assert (panel.children[0].value, panel.children[1].value) == ("LR, pixels repeated", "HR")
    gray = HR[..., 0]
    both = wipe({"gray": gray, "float": gray / 255}).children
    assert "differ by 0.00 levels" in both[2].value


def test_wipe_shows_the_middle_of_large_pictures() -> None:
    large = np.zeros((700, 900, 3), np.uint8)
    large[30:670, 130:770] = 50
    assert "640×640" in wipe({"a": large, "b": large}).children[2].value


def test_wipe_refuses_what_it_cannot_show() -> None:
    with pytest.raises(HatlibError, match="at least two images, got 1"):
        wipe({"HR": HR})
    with pytest.raises(HatlibError, match="images of one size, got HR 200×320, LR 50×80"):
        wipe({"HR": HR, "LR": HR[::4, ::4]})
    with pytest.raises(HatlibError, match="unknown image 'hr'"):
        wipe(IMAGES, "hr")
    with pytest.raises(HatlibError, match="position is 101; it is a share of the width"):
        wipe(IMAGES, position=101)
