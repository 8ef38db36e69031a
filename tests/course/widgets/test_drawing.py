"""hatlib.course.widgets.drawing: cells, colours, borders and panels."""

from __future__ import annotations

import numpy as np
import pytest

from hatlib.course.widgets import drawing

FACE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def test_repeated_pixels_are_squares() -> None:
    large = drawing.repeat_pixels(FACE, 3)
    assert large.shape == (6, 6, 3)
    assert (large[:3, 3:] == FACE[0, 1]).all() and (large[3:, :3] == FACE[1, 0]).all()


def test_colours_are_those_of_the_ends_and_of_the_middle() -> None:
    values = np.array([-9.0, -2.0, 0.0, 2.0, 9.0])
    low, blue, white, red, high = drawing.colour_signed(values, 2.0).astype(int)
    assert blue.tolist() == low.tolist() == [5, 48, 97] and red.tolist() == high.tolist() == [
        103,
        0,
        31,
    ]
    assert white.min() > 240
    assert drawing.apply_colours(np.array([3.0, 4.0]), 3.0, 4.0).tolist() == [
        [68, 1, 84],
        [253, 231, 37],
    ]
    assert drawing.colour_gray(np.array([0.0, 0.2, 1.0]))[:, 0].tolist() == [0, 51, 255]
    for level in (0.0, 3.0):  # no division by zero where all values are the same
        assert np.unique(
            drawing.colour_signed(np.full((2, 2), level)).reshape(4, 3), axis=0
        ).shape == (1, 3)


def test_mixed_takes_a_share_for_all_or_for_each_pixel() -> None:
    black = np.zeros((1, 2, 3), np.uint8)
    assert drawing.blend(black, (100, 200, 50), 0.5).tolist() == [[[50, 100, 25]] * 2]
    assert drawing.blend(black, (100, 200, 50), np.array([[0.0, 1.0]])).tolist() == [
        [[0, 0, 0], [100, 200, 50]]
    ]


@pytest.mark.parametrize("thick", [1, 2, 3])
def test_borders_run_between_unlike_cells(thick: int) -> None:
    canvas, cell = np.zeros((24, 32, 3), np.uint8), 8
    labels = np.array([[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    drawing.draw_borders(canvas, labels, cell, (9, 9, 9), thick)
    drawn = canvas[..., 0] == 9
    left, right, below = drawn[4, 10:22], drawn[4, 18:30], drawn[12:22, 20]
    assert (
        left.sum() == right.sum() == below.sum() == drawn[:6, 20].sum() == thick
    )  # once each, and the outer edge
    assert drawn[0, 16:24].all() and not drawn[0, 26:].any() and not drawn[18:].any()
    inner = np.zeros_like(canvas)
    drawing.draw_borders(inner, labels, cell, (9, 9, 9), thick, outer=False)
    assert not inner[0, 18:22].any() and inner[12, :, 0].sum() == 2 * 9 * thick


def test_titles_and_panels_are_not_cut_off() -> None:
    image = np.full((20, 30, 3), 7, np.uint8)
    panel = drawing.add_title(image, "γ = 0.5: a title that is wider than its picture")
    assert panel.shape[1] > 200 and (panel[:, -1] == 255).all() and (panel[-20:, :30] == 7).all()
    assert (panel[:-20] < 128).any()
    both = drawing.place_side_by_side({"one": image, "two\nlines": image}, width=400, height=90)
    assert both.shape == (90, 400, 3)
    assert (both[: drawing.GAP] == 255).all() and (both[:, : drawing.GAP] == 255).all()
    assert (both == 7).all(axis=2).sum() == 2 * 600
    assert drawing.place_side_by_side([image, image]).shape == (
        20 + 2 * drawing.GAP,
        60 + 3 * drawing.GAP,
        3,
    )
