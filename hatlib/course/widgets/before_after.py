"""Before and after: one result to the left of a line, another to its right.

Used from notebook 03 on.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.widgets import base, drawing, inputs, overlays
from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import check_image

if TYPE_CHECKING:
    import ipywidgets

SHOWN = 640  # pixels: small pictures are zoomed up to this side, by repeating pixels
LARGEST = 640  # pixels: the middle of larger ones is shown, so that the line follows at once


def wipe_view(
    images: Mapping[str, np.ndarray], left: str, right: str, position: float = 50
) -> tuple[np.ndarray, str]:
    """The picture of the wipe: `left` up to the line, `right` from there on, each with its name.

    Args:
        images: name → uint8 (H, W, 3), all of one size.
        position: of the line, in % of the width: 0 shows `right` alone, 100 `left` alone.
    Returns:
        uint8 (k·H, k·W, 3), k a whole number, and an HTML caption.
    """
    first, second = images[left], images[right]
    times = overlays.zoom_factor(first, SHOWN)
    cut = round(first.shape[1] * position / 100)
    picture = drawing.repeat_pixels(
        np.concatenate([first[:, :cut], second[:, cut:]], axis=1), times
    )
    line = slice(max(0, times * cut - 1), times * cut + 1)
    if 0 < cut < first.shape[1]:
        picture[:, line] = overlays.ORANGE
    picture = _labelled(picture, left if cut else "", right if cut < first.shape[1] else "")
    height, width = first.shape[:2]
    zoom = f", each pixel shown {times}×{times}" if times > 1 else ""
    difference = np.abs(first.astype(np.int16) - second).mean()
    return picture, (
        f"<b>{html.escape(left)}</b> in the left {100 * cut / width:.0f} % of {height}×{width} "
        f"pixels, <b>{html.escape(right)}</b> in the rest{zoom}<br>"
        f"they differ by {difference:.2f} levels of 255 on average"
    )


def _labelled(picture: np.ndarray, left: str, right: str) -> np.ndarray:
    """The names in the lower corners, each in a font that fits less than half of the width."""
    height, width = picture.shape[:2]
    for text, column, anchor in ((left, 8, "ld"), (right, width - 8, "rd")):
        if text:
            text, size = overlays.fit_text(text, width // 2 - 16)
            picture = overlays.draw_text(
                picture, text, (height - 8, column), size, anchor=anchor, plate=True
            )
    return picture


def wipe(
    images: Mapping[str, np.ndarray] | None = None,
    left: str | None = None,
    right: str | None = None,
    position: int = 50,
) -> ipywidgets.VBox:
    """A line that moves over two results, which are chosen by name.

    Args:
        images: name → uint8 (H, W, 3) or (H, W), or float in [0, 1]; two or more of one size. Of
            larger ones the middle 640×640 pixels are shown. By default a built-in façade: HR, and
            upsampled from a quarter of its size.
        left, right: the names shown first; by default the first and the last.
        position: of the line at first, in % of the width.
    Raises:
        HatlibError: fewer than two images, sizes that differ, an unknown name, or a position
            outside 0 to 100.
    """
    shown = _alike(_example() if images is None else images)
    names = list(shown)
    for name in (left, right):
        if name is not None and name not in shown:
            raise unknown("image", name, names)
    if not 0 <= position <= 100:
        raise HatlibError(f"position is {position}; it is a share of the width, 0 to 100 %")
    controls = {
        "left": base.choice("left of the line", names, left or names[0]),
        "right": base.choice("right of the line", names, right or names[-1]),
        "position": base.int_slider("position of the line (% of the width)", position, 0, 100),
    }
    first = shown[names[0]]
    return base.explorer(
        partial(wipe_view, shown),
        controls,
        width=overlays.zoom_factor(first, SHOWN) * first.shape[1],
    )


def _alike(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All as uint8 (H, W, 3): their middle."""
    if len(images) < 2:
        raise HatlibError(f"a wipe needs at least two images, got {len(images)}")
    for image in images.values():
        check_image(image)
    sizes = {name: image.shape[:2] for name, image in images.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {height}×{width}" for name, (height, width) in sizes.items())
        raise HatlibError(f"a wipe needs images of one size, got {listed}")
    return {name: inputs.photo(image, LARGEST) for name, image in images.items()}


def _example() -> dict[str, np.ndarray]:
    """An example without a network: a façade, and a quarter of its size, interpolated."""
    from hatlib.imaging.resize import imresize

    hr = inputs.photo(None, 320, "facade-5")
    lr = imresize(hr, 1 / 4)
    return {
        "LR, pixels repeated": drawing.repeat_pixels(lr, 4),
        "LR, bicubic ×4": imresize(lr, 4),
        "HR": hr,
    }
