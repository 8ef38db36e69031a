"""hatlib.course.widgets.overlays: frames, text, scales and bars."""

from __future__ import annotations

import numpy as np
import pytest

from hatlib.course.widgets import drawing, overlays

DARK = np.zeros((20, 30, 3), np.uint8)
COLOUR = (10, 200, 30)


def where(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (image == colour).all(axis=2)


def test_a_frame_lies_around_its_box_and_a_white_line_around_it() -> None:
    framed = overlays.draw_frame(DARK, (8, 10, 4, 6), COLOUR, 2)
    assert (
        not framed[8:12, 10:16].any() and not DARK.any()
    )  # the box is left as it was, and so is the picture
    assert (
        where(framed, COLOUR).sum() == 8 * 10 - 4 * 6
        and where(framed, drawing.WHITE).sum() == 10 * 12 - 8 * 10
    )
    assert where(framed, COLOUR)[6:14, 8:18].sum() == 8 * 10 - 4 * 6


@pytest.mark.parametrize(
    ("box", "sides"), [((0, 0, 5, 5), 4), ((-3, 25, 9, 9), 0), ((15, 25, 5, 5), 4)]
)
def test_frames_at_the_edge_are_seen_in_the_margin(box: overlays.Box, sides: int) -> None:
    large = overlays.draw_frames(drawing.repeat_pixels(DARK, 3), 3, [(box, COLOUR)])
    assert large.shape == (3 * 20 + 2 * overlays.MARGIN, 3 * 30 + 2 * overlays.MARGIN, 3)
    lines = where(large, COLOUR)
    if sides == 4:
        assert lines.sum() == 19**2 - 15**2
    else:  # beyond the picture on two sides: there it has no line
        assert lines.any() and not lines[0, : 3 * 25].any() and not lines[3 * 8 :, -1].any()


def test_painted_is_gray_without_strength_and_colour_at_one() -> None:
    image = np.full((1, 3, 3), (200, 20, 90), np.uint8)
    pale, half, full = overlays.tint(image, np.array([[0.0, 0.5, 2.0]]), (176, 0, 32))[0].astype(
        int
    )
    assert len(set(pale.tolist())) == 1 and full.tolist() == [176, 0, 32]
    np.testing.assert_allclose(half, (pale + full) / 2, atol=1)


def test_text_fits_where_it_has_to() -> None:
    assert overlays.fit_text("short", 100) == ("short", drawing.TITLE)
    text, size = overlays.fit_text("a title of some length", 110)
    assert (
        text == "a title of some length"
        and size < drawing.TITLE
        and overlays.text_width(text, size) <= 110
    )
    text, size = overlays.fit_text("a title so long that it cannot be had whole", 60)
    assert text.endswith("…") and text.startswith("a t") and overlays.text_width(text, size) <= 60
    for title in ("short", "a title so long that it cannot be had whole"):
        panel = overlays.panel(DARK, title)
        assert panel.shape[1] == 30 and not panel[-20:].any() and (panel[:-20] < 150).any()
        assert (panel[:, -1][:-20] > 200).all()  # nothing touches the right edge
    assert overlays.panel(DARK, "x", 50).shape[1] == 50


def test_written_has_a_plate_where_it_is_asked_for() -> None:
    plain = overlays.draw_text(DARK, "a", (4, 4), colour=drawing.WHITE)
    plated = overlays.draw_text(DARK, "a", (4, 4), plate=True)
    assert 0 < where(plain, drawing.WHITE).sum() < where(plated, drawing.WHITE).sum()
    plated[:] = 0  # it can be written to


def test_stacked_rows_keep_their_sizes() -> None:
    both = overlays.stack_rows(DARK, np.full((5, 40, 3), 7, np.uint8))
    assert both.shape == (25, 40, 3) and (both[:20, 30:] == 255).all() and (both[20:] == 7).all()


@pytest.mark.parametrize("count", [3, 32, 180])
def test_bars_are_as_high_as_their_values(count: int) -> None:
    values = np.linspace(0, 1, count)
    chart = overlays.bar_chart(
        [(values, COLOUR), (1 - values, drawing.RED)], 900, 100, chosen=count - 1
    )
    assert chart.shape == (116, 900, 3)
    first, second = where(chart, COLOUR).sum(axis=0), where(chart, drawing.RED).sum(axis=0)
    assert set(first) == {0, *(100 - round(100 * (1 - value)) for value in values)}
    place = slice(28, 28 + int((900 - 28) / count))
    assert (first[place].max(), second[place].max()) == (0, 100)
    assert not (first * second).any()  # side by side
    marked = where(chart, (255, 233, 168))[2]
    assert marked.sum() == 900 - round(28 + (900 - 28) / count * (count - 1)) and marked[-1]
