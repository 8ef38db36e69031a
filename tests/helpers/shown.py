"""What the tests of all explorers do: read the picture that is shown, move every control, press the
reset button."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image as PillowImage


def pixels(picture: Any) -> np.ndarray:
    """What an explorer's image widget shows: uint8 (H, W, 3)."""
    return np.asarray(PillowImage.open(io.BytesIO(picture.value)))


def other_values(control: Any) -> list[Any]:
    """Values that a control can have and has not: both ends of a slider, the ends of a list."""
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif hasattr(control, "max"):
        values = [control.min, control.max]
    else:
        values = [True, False]
    return [value for value in (values[0], values[-1]) if value != control.value]


def move_everything(box: Any, size: tuple[int, int] | None = None) -> None:
    """Each control, from the first values: another value, another picture, no error; reset, and the
    first one is back.

    Args:
        size: (width, height) that all pictures have.
    """
    panel, picture, caption = box.children
    *controls, reset = panel.children
    first, values = (picture.value, caption.value), [control.value for control in controls]
    for control in controls:
        assert len(control.description) > 3, "a control without a label"
        others = other_values(control)
        assert others, f"{control.description} can't be moved"
        for value in others:
            before = picture.value
            control.value = value
            assert "not drawn" not in caption.value, (
                f"{control.description} {value}: {caption.value}"
            )
            assert picture.value != before, f"{control.description} {value}: the same picture"
            if size:
                assert pixels(picture).shape[:2] == size[::-1], f"{control.description} {value}"
        reset.click()
        assert (picture.value, caption.value) == first
        assert [control.value for control in controls] == values


def is_opaque_and_pale(picture: Any) -> bool:
    """Whether a picture stands on white, so that it can be read on a dark page too."""
    image = PillowImage.open(io.BytesIO(picture.value))
    return image.mode == "RGB" and all(
        (edge == 255).all()
        for edge in (pixels(picture)[0], pixels(picture)[-1], pixels(picture)[:, 0])
    )
