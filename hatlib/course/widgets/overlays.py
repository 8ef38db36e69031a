"""What is drawn over a picture: frames, text, a map in colour. And bar charts.

`hatlib.course.widgets.drawing` turns numbers into pictures and joins them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from hatlib.course.widgets import drawing
from hatlib.course.widgets.drawing import Colour
from hatlib.imaging.convert import LUMA, round_to_uint8

Box = tuple[int, int, int, int]  # top, left, height, width in pixels
ORANGE, GRAY = (255, 149, 0), (150, 150, 150)
SMALL = 11  # size of the font at scales, pixels
TINIEST = 8  # no title is set in a smaller font, pixels
BAND = drawing.TITLE + 7  # above a picture with a title, pixels
MARGIN = 3  # around a picture with frames, pixels


def zoom_factor(image: np.ndarray, side: int) -> int:
    """The largest whole zoom at which the longer side stays within `side` pixels; at least 1."""
    return max(1, side // max(image.shape[:2]))


def scale_box(box: Box, factor: int, margin: int = 0) -> Box:
    """The box in a picture zoomed by `factor`, with a margin around it."""
    top, left, height, width = (side * factor for side in box)
    return top + margin, left + margin, height, width


def draw_frame(image: np.ndarray, box: Box, colour: Colour, width: int = 2) -> np.ndarray:
    """A copy with a frame around a box, cut where it leaves the picture.

    A white line around the frame sets it off from dark pictures.
    """
    picture = image.copy()
    top, left, height, across = box
    for inset, line, drawn in ((0, width, colour), (width, 1, drawing.WHITE)):
        inner = (top - inset, left - inset, top + height + inset, left + across + inset)
        ring = np.zeros(image.shape[:2], bool)
        ring[_within(inner[0] - line, inner[1] - line, inner[2] + line, inner[3] + line)] = True
        ring[_within(*inner)] = False
        picture[ring] = drawn
    return picture


def draw_frames(image: np.ndarray, factor: int, frames: Sequence[tuple[Box, Colour]]) -> np.ndarray:
    """A zoomed picture with frames, in a white margin that shows the frames at its edge.

    Args:
        image: uint8 (H, W, 3), zoomed already.
        factor: of the zoom.
        frames: (box in pixels before the zoom, colour); later ones cover earlier ones.
    """
    image = np.pad(image, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=255)
    for box, colour in frames:
        image = draw_frame(image, scale_box(box, factor, MARGIN), colour)
    return image


def _within(top: int, left: int, bottom: int, right: int) -> tuple[slice, slice]:
    """Slices of the part of a box that lies in the picture."""
    return slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))


def tint(image: np.ndarray, strength: np.ndarray, colour: Colour = (176, 0, 32)) -> np.ndarray:
    """A colour over a picture, which turns grey and pale.

    Args:
        image: uint8 (H, W, 3).
        strength: (H, W) in [0, 1]: from the picture alone to the colour alone.
    """
    pale = round_to_uint8(90 + 0.6 * (image @ np.array(LUMA)))[..., None].repeat(3, axis=2)
    return drawing.blend(pale, colour, np.clip(strength, 0, 1))


def draw_text(
    image: np.ndarray,
    text: str,
    at: tuple[int, int],
    size: int = SMALL,
    colour: Colour = drawing.INK,
    anchor: str = "la",
    plate: bool = False,
) -> np.ndarray:
    """A copy with a line of text.

    Args:
        at: row and column of the anchor.
        anchor: Pillow's: "la" is the text's upper left corner, "rd" its lower right one, "rm" its
            right end.
        plate: whether the text stands on white, for dark pictures.
    """
    canvas = PillowImage.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    row, column = at
    if plate:
        left, top, right, bottom = draw.textbbox((column, row), text, drawing.font(size), anchor)
        draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill=drawing.WHITE)
    draw.text((column, row), text, fill=colour, font=drawing.font(size), anchor=anchor)
    return np.array(canvas)  # a copy that can be written to


def text_width(text: str, size: int) -> int:
    """The width of a line of text in pixels."""
    return int(np.ceil(drawing.font(size).getlength(text)))


def fit_text(text: str, width: int, size: int = drawing.TITLE) -> tuple[str, int]:
    """A text and a font size that fit into `width` pixels: first smaller, then shorter."""
    while size > TINIEST and text_width(text, size) > width:
        size -= 1
    if text_width(text, size) <= width:
        return text, size
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…", size


def panel(image: np.ndarray, title: str, width: int = 0) -> np.ndarray:
    """A picture under a one-line title, which keeps to its width, or to `width` if larger."""
    width = max(width, image.shape[1])
    text, size = fit_text(title, width)
    band = np.full((BAND, width, 3), drawing.WHITE, np.uint8)
    return np.concatenate(
        [
            draw_text(band, text, (drawing.TITLE + 3, 0), size, anchor="ld"),
            drawing.pad(image, image.shape[0], width),
        ]
    )


def stack_rows(*rows: np.ndarray) -> np.ndarray:
    """Pictures one above another, with white beside the narrower ones."""
    width = max(row.shape[1] for row in rows)
    return np.concatenate([drawing.pad(row, row.shape[0], width) for row in rows])


def bar_chart(
    groups: Sequence[tuple[np.ndarray, Colour]], width: int, height: int, chosen: int
) -> np.ndarray:
    """Grouped bars from 0 to 1, with lines at 0, ½ and 1 and one group highlighted.

    Args:
        groups: for each colour the values (n,), in [0, 1].
        chosen: which of the n groups is highlighted.
    """
    margin = 28  # pixels for the numbers on the left
    top = 8
    count = len(groups[0][0])
    picture = np.full((top + height + 8, width, 3), drawing.WHITE, np.uint8)
    step = (width - margin) / count
    left = [round(margin + step * place) for place in range(count + 1)]
    picture[:, left[chosen] : left[chosen + 1]] = (255, 233, 168)
    for level in (0.0, 0.5, 1.0):
        row = top + round(height * (1 - level))
        picture[row, margin:] = drawing.PALE
        picture = draw_text(picture, f"{level:g}", (row, margin - 6), anchor="rm")
    for place in range(count):
        edges = (
            np.linspace(left[place], left[place + 1] - (step >= 4), len(groups) + 1)
            .round()
            .astype(int)
        )
        for (values, colour), start, end in zip(groups, edges[:-1], edges[1:], strict=True):
            picture[top + round(height * (1 - float(values[place]))) : top + height, start:end] = (
                colour
            )
    return picture
