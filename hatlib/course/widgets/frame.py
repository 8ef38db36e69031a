"""What every explorer is made of: a picture and a caption that follow some controls.

It uses only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) both have.
"""

from __future__ import annotations

import html
import io
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, round_to_uint8
from hatlib.imaging.resize import imresize
from hatlib.models import Network
from hatlib.weights import files

if TYPE_CHECKING:
    import ipywidgets

WITHIN = "calc(100% - 4px)"  # the page's width less the margins of a widget, so that no column of pixels is cut off
Render = Callable[..., tuple[np.ndarray, str]]


def png(image: np.ndarray) -> bytes:
    """A uint8 image as PNG bytes; light compression, because speed matters more than size on a
    slider."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(
        buffer, format="png", compress_level=1, compress_type=zlib.Z_RLE
    )
    return buffer.getvalue()


def explorer(
    render: Render, controls: dict[str, Any], width: int = 720, slow: bool = False
) -> ipywidgets.VBox:
    """Controls, a reset button, a picture and a line of text that follow the controls.

    An error at the first values is raised, as it is in any cell. Later there is no cell to show it,
    so it becomes the caption, and the picture stays that of the values before.

    Args:
        render: takes the controls' values by name; returns a uint8 image and an HTML caption.
        controls: parameter name → ipywidgets control, with its label and unit as description. A
            control that sets the limits of others comes before them.
        width: of the picture on the page, in pixels.
        slow: a network runs: a slider acts when it is let go, and the caption says that something
            is being computed.
    Returns:
        A box whose children are (controls, picture, caption); nothing is stored besides the
        controls' values.
    """
    import ipywidgets as widgets

    picture = widgets.Image(
        format="png", layout=widgets.Layout(width=f"{width}px", max_width=WITHIN)
    )
    caption = widgets.HTML()
    reset = widgets.Button(description="Reset", tooltip="back to the first values")
    defaults = {name: control.value for name, control in controls.items()}
    shown: dict[str, Any] = {}
    quiet = False

    def draw() -> None:
        values = {name: control.value for name, control in controls.items()}
        if (
            quiet or values == shown
        ):  # where one control changes the limits of another, both report a change
            return
        if slow:
            caption.value = "computing …"
        image, text = render(**values)
        picture.value, caption.value = png(image), text
        shown.update(values)

    def redraw(_: Any = None) -> None:
        try:
            draw()
        except (
            Exception
        ) as error:  # there is nobody to raise it to: Jupyter drops what a callback raises
            caption.value = error_line(error)
            shown.clear()

    def restore(_: Any) -> None:
        nonlocal quiet
        quiet = True  # one picture at the end instead of one a control
        for name, control in controls.items():
            control.value = defaults[name]
        quiet = False
        redraw()

    for control in controls.values():
        control.observe(redraw, names="value")
        control.style.description_width = "initial"
        if slow and hasattr(control, "continuous_update"):
            control.continuous_update = False
    reset.on_click(restore)
    draw()
    panel = widgets.VBox([*controls.values(), reset])
    return widgets.VBox([panel, picture, caption])


def error_line(error: Exception) -> str:
    """One line of HTML for an error: ours as they are, others with their kind."""
    kind = "" if isinstance(error, HatlibError) else f"{type(error).__name__}: "
    return f"<b style='color:#d1495b'>not drawn:</b> {html.escape(kind + ' '.join(str(error).split()))}"


def _wide() -> ipywidgets.Layout:
    """Room for a label that can be read, and no more than the page has."""
    import ipywidgets as widgets

    return widgets.Layout(width="460px", max_width="100%")


def float_slider(
    label: str, value: float, low: float, high: float, step: float
) -> ipywidgets.FloatSlider:
    """A slider for a number."""
    import ipywidgets as widgets

    return widgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=label, layout=_wide()
    )


def int_slider(label: str, value: int, low: int, high: int, step: int = 1) -> ipywidgets.IntSlider:
    """A slider for a whole number."""
    import ipywidgets as widgets

    return widgets.IntSlider(
        value=value, min=low, max=high, step=step, description=label, layout=_wide()
    )


def stops(label: str, options: list[Any], value: Any) -> ipywidgets.SelectionSlider:
    """A slider that stops at certain values only, such as the divisors of a side."""
    import ipywidgets as widgets

    return widgets.SelectionSlider(options=options, value=value, description=label, layout=_wide())


def choice(label: str, options: list[Any], value: Any = None) -> ipywidgets.Dropdown:
    """A drop-down list of strings, or of (label, value); the first of them where no value is
    given."""
    import ipywidgets as widgets

    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return widgets.Dropdown(
        options=options, value=first if value is None else value, description=label, layout=_wide()
    )


def switch(label: str, value: bool = True) -> ipywidgets.Checkbox:
    """On or off."""
    import ipywidgets as widgets

    return widgets.Checkbox(value=value, description=label, indent=False, layout=_wide())


def photo(image: np.ndarray | None, side: int = 512, name: str = "astronaut") -> np.ndarray:
    """What an explorer shows, uint8 (H, W, 3): the middle side×side pixels of an image, or of a
    built-in photo."""
    if image is None:
        from hatlib.data.builtin import builtin_image

        image = builtin_image(name)
    check_image(image)
    image = image if image.dtype == np.uint8 else round_to_uint8(image * 255)
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    image = image[top : top + side, left : left + side]
    return np.ascontiguousarray(image if image.ndim == 3 else image[..., None].repeat(3, axis=2))


def token_map(image: np.ndarray | None, side: int, name: str = "facade-1") -> np.ndarray:
    """A picture with as many pixels as a map has tokens, uint8 (side, side, 3): an image's middle
    square, resized."""
    square = photo(image, 512, name)
    square = photo(square, min(square.shape[:2]))
    return square if len(square) == side else imresize(square, size=(side, side))


def network(model: Network | str | None, default: str) -> Network:
    """The network of an explorer: as it is given, by name or from a file, or the course's own."""
    return model if isinstance(model, Network) else files.load(model or default)
