"""The explorers' pictures as arrays: crisp cells, colours for numbers, panels with titles.

An order of magnitude faster than a matplotlib figure, as a slider needs it. White and opaque with
dark text, like the figures of `hatlib.plotting`: they read well on light and on dark pages.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
WHITE, INK, PALE = (255, 255, 255), (34, 34, 34), (214, 226, 238)
BLUE, RED, GOLD = (27, 108, 168), (209, 73, 91), (255, 176, 0)
TITLE = 13  # size of the font, pixels
GAP = 12  # pixels between panels
BAR = 72  # pixels: width of a colour bar with its numbers
# Colours from −1 through 0 to 1, and from 0 to 1: matplotlib's RdBu_r and viridis at even steps.
SIGNED = np.array(
    [
        (5, 48, 97),
        (67, 147, 195),
        (209, 229, 240),
        (247, 247, 247),
        (253, 219, 199),
        (214, 96, 77),
        (103, 0, 31),
    ]
)
HEAT = np.array(
    [(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (122, 209, 81), (253, 231, 37)]
)


def repeat_pixels(image: np.ndarray, cell: int) -> np.ndarray:
    """(H, W, …) → (cell·H, cell·W, …): every pixel becomes a square."""
    return image.repeat(cell, axis=0).repeat(cell, axis=1)


def apply_colours(
    values: np.ndarray, low: float, high: float, colours: np.ndarray = HEAT
) -> np.ndarray:
    """Numbers (…) → uint8 (…, 3): the first colour at `low` and below, the last at `high`."""
    place = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * 255
    steps = np.linspace(0, 255, len(colours))
    table = np.stack([np.interp(np.arange(256), steps, channel) for channel in colours.T], axis=1)
    return table.round().astype(np.uint8)[place.round().astype(np.uint8)]


def colour_signed(values: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Numbers (…) → uint8 (…, 3): blue below 0, white at 0, red above; saturated at ±limit."""
    limit = limit or float(np.abs(values).max()) or 1.0
    return apply_colours(values, -limit, limit, SIGNED)


def colour_gray(values: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Numbers (…) → uint8 (…, 3): black at `low`, white at `high`."""
    return apply_colours(values, low, high, np.array([(0, 0, 0), (255, 255, 255)]))


def blend(image: np.ndarray, colour: Colour, share: float | np.ndarray) -> np.ndarray:
    """The image (H, W, 3) with a share of a colour, 0 to 1: one for all, or per pixel (H, W)."""
    part = np.asarray(share, np.float32)[..., None] if np.ndim(share) else share
    return (image * (1 - part) + np.array(colour, np.float32) * part).round().astype(np.uint8)


def hatch(image: np.ndarray, cells: np.ndarray, cell: int) -> np.ndarray:
    """Hatches the cells that are True, (H, W), in a picture (cell·H, cell·W, 3)."""
    y, x = np.indices(image.shape[:2])
    lines = np.where((x + y) % 8 < 2, 120, 235).astype(np.uint8)[..., None]
    return np.where(repeat_pixels(cells, cell)[..., None], lines, image)


def draw_borders(
    canvas: np.ndarray,
    labels: np.ndarray,
    cell: int,
    colour: Colour,
    thick: int = 1,
    outer: bool = True,
) -> None:
    """Draws lines, in place, between cells whose labels differ.

    Args:
        canvas: uint8 (cell·H, cell·W, 3).
        labels: (H, W) of any kind.
        thick: pixels, half of them on each side of a border; at the picture's edge all inside.
        outer: whether the picture's edge is a border too, where the label is not False or 0.
    """
    height, width = labels.shape
    for axis, image in ((0, canvas), (1, canvas.transpose(1, 0, 2))):
        rows = labels if axis == 0 else labels.T
        count, length = (height, width) if axis == 0 else (width, height)
        for y in range(count + 1):
            if 0 < y < count:
                line = rows[y - 1] != rows[y]
            else:
                line = rows[min(y, count - 1)].astype(bool) if outer else np.zeros(length, bool)
            if line.any():
                top = min(max(0, y * cell - thick // 2), count * cell - thick)
                image[top : top + thick, line.repeat(cell)] = colour


@functools.cache
def font(size: int = TITLE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The figures' font, which matplotlib brings and which has Greek letters, else Pillow's."""
    spec = importlib.util.find_spec("matplotlib")
    package = Path((spec and spec.origin) or "").parent
    path = package / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size) if path.is_file() else ImageFont.load_default(size)


def add_title(image: np.ndarray, title: str, size: int = TITLE) -> np.ndarray:
    """The image (H, W, 3) under its title, on white, as wide as the wider of the two."""
    if not title:
        return image
    box = ImageDraw.Draw(PillowImage.new("RGB", (1, 1))).multiline_textbbox(
        (0, 0), title, font(size), spacing=2
    )
    # The height depends on the lines alone, not on their letters: panels stay level.
    height = (size + 4) * (title.count("\n") + 1) + 4
    band = PillowImage.new("RGB", (max(image.shape[1], int(box[2]) + 2), height), WHITE)
    ImageDraw.Draw(band).multiline_text((0, 0), title, INK, font(size), spacing=2)
    return np.concatenate([np.asarray(band), pad(image, image.shape[0], band.width)])


def pad(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image at the top left of a white (height, width, 3)."""
    canvas = np.full((height, width, 3), WHITE, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas


def scale_bar(height: int, low: float, high: float, colours: np.ndarray) -> np.ndarray:
    """The legend of `apply_colours`: a bar with its lowest, middle and highest value.

    (height, BAR, 3).
    """
    levels = (high, (low + high) / 2, low)
    labels = [
        f"{level:{'.2g' if abs(level) < 99.5 else '.0f'}}".replace("-", "−") for level in levels
    ]
    image = PillowImage.new("RGB", (BAR, height), WHITE)
    steps = apply_colours(
        np.linspace(high, low, height)[:, None].repeat(16, axis=1), low, high, colours
    )
    image.paste(PillowImage.fromarray(steps), (0, 0))
    for label, y, anchor in zip(
        labels, (0, height // 2, height - 1), ("la", "lm", "ld"), strict=True
    ):
        ImageDraw.Draw(image).text((22, y), label, INK, font(), anchor=anchor)
    return np.asarray(image)


def place_side_by_side(
    panels: Mapping[str, np.ndarray] | Sequence[np.ndarray], width: int = 0, height: int = 0
) -> np.ndarray:
    """Panels (H, W, 3) from left to right, each under its title, white between and around them.

    Args:
        panels: title → image, or images alone. Give all titles the same number of lines, and the
            images stay level.
        width, height: the result's least size, so that all settings give pictures of one size.
    """
    parts = (
        [add_title(image, title) for title, image in panels.items()]
        if isinstance(panels, Mapping)
        else list(panels)
    )
    tall = max(part.shape[0] for part in parts) + 2 * GAP
    wide = sum(part.shape[1] for part in parts) + GAP * (len(parts) + 1)
    canvas = np.full((max(tall, height), max(wide, width), 3), WHITE, np.uint8)
    left = GAP
    for part in parts:
        canvas[GAP : GAP + part.shape[0], left : left + part.shape[1]] = part
        left += part.shape[1] + GAP
    return canvas
