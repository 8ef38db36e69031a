"""hatlib.course.widgets.base: what all explorers share."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from hatlib import models
from hatlib.course import widgets
from hatlib.course.widgets import base, inputs
from hatlib.errors import HatlibError


def gray(level: int, kind: str) -> tuple[np.ndarray, str]:
    """A render that knows two kinds of errors."""
    if level == 13:
        raise HatlibError("13 is <unlucky>; any other number would be right")
    return np.full((4, 4, 3), level, np.uint8), {"one": "first", "two": "second"}[kind]


def controls() -> dict[str, Any]:
    return {
        "level": base.int_slider("level", 5, 0, 20),
        "kind": base.choice("kind", ["one", "two", "three"]),
    }


def pixel(picture: Any) -> int:
    return np.asarray(PillowImage.open(io.BytesIO(picture.value)))[0, 0, 0]


def test_an_error_becomes_the_caption_and_the_next_picture_is_drawn() -> None:
    panel, picture, caption = base.explorer(gray, controls()).children
    level, kind, reset = panel.children
    level.value = 13
    assert caption.value.endswith(
        "not drawn:</b> 13 is &lt;unlucky&gt;; any other number would be right"
    )
    assert pixel(picture) == 5
    level.value = 5  # the values of the picture that is still there
    assert (caption.value, pixel(picture)) == ("first", 5)
    kind.value = "three"
    assert "not drawn:</b> KeyError: &#x27;three&#x27;" in caption.value
    reset.click()
    assert (caption.value, kind.value) == ("first", "one")


def test_an_error_at_the_first_values_is_raised() -> None:
    with pytest.raises(HatlibError, match="13 is <unlucky>"):
        base.explorer(
            gray,
            {"level": base.int_slider("level", 13, 0, 20), "kind": base.choice("kind", ["one"])},
        )


def test_a_picture_is_drawn_once_a_change_and_once_a_reset() -> None:
    drawn = []

    def render(first: int, second: int) -> tuple[np.ndarray, str]:
        drawn.append((first, second))
        return np.zeros((2, 2, 3), np.uint8), ""

    first, second = base.int_slider("first", 4, 0, 9), base.int_slider("second", 3, 0, 4)
    first.observe(
        lambda change: setattr(second, "max", change["new"]), names="value"
    )  # one limits the other
    box = base.explorer(render, {"first": first, "second": second})
    first.value = 1
    assert drawn == [(4, 3), (1, 1)]
    box.children[0].children[-1].click()
    assert drawn == [(4, 3), (1, 1), (4, 3)]


def test_a_slow_explorer_says_so_and_waits_until_a_slider_is_let_go() -> None:
    captions = []
    slider, kind = base.int_slider("level", 5, 0, 20), base.choice("kind", ["one", "two"])
    caption = base.explorer(gray, {"level": slider, "kind": kind}, slow=True).children[2]
    caption.observe(lambda change: captions.append(change["new"]), names="value")
    kind.value = "two"
    assert captions == ["computing …", "second"]
    assert not slider.continuous_update


def test_choice_and_switch() -> None:
    assert base.choice("kind", [("a long label", 3), ("another", 4)]).value == 3
    assert base.choice("kind", ["one", "two"], "two").value == "two"
    assert base.switch("mask").value is True
    assert base.switch("mask", False).value is False


def test_photo_takes_the_middle_of_gray_float_and_large_pictures() -> None:
    picture = np.arange(60, dtype=np.uint8).reshape(6, 10)
    np.testing.assert_array_equal(
        inputs.photo(picture, side=4), picture[1:5, 3:7, None].repeat(3, axis=2)
    )
    np.testing.assert_array_equal(inputs.photo(picture / 255), picture[..., None].repeat(3, axis=2))
    assert inputs.photo(None, side=64, name="coffee").shape == (64, 64, 3)
    with pytest.raises(HatlibError, match=r"got \(2, 2, 2\)"):
        inputs.photo(np.zeros((2, 2, 2), np.uint8))


def test_network_is_taken_as_given_or_loaded() -> None:
    model = models.create("rcan-nano", 2)
    assert inputs.load_network(model, "bicubic") is model
    assert isinstance(inputs.load_network(None, "bicubic"), models.interpolation.Bicubic)
    assert isinstance(inputs.load_network("nearest", "bicubic"), models.interpolation.Nearest)


def test_every_public_name_is_an_explorer_or_a_part_of_one() -> None:
    parts = {"choice", "explorer", "float_slider", "int_slider", "stops", "switch"}
    uploading = {"Photo", "ask_on_colab", "upload_button", "uploaded", "your_photo"}
    assert all(
        name in parts | uploading or name.endswith("_explorer") or name == "wipe"
        for name in widgets.__all__
    )
    assert widgets.__all__ == sorted(widgets.__all__)
