"""The base of every explorer: controls, and a picture and a caption that follow them.

This file uses only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) both have.
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

if TYPE_CHECKING:
    import ipywidgets

# The page's width less the margins of a widget, so that no column of pixels is cut off.
MAX_WIDTH = "calc(100% - 4px)"
Render = Callable[..., tuple[np.ndarray, str]]


def png(image: np.ndarray) -> bytes:
    """A uint8 image as PNG bytes, lightly compressed: under a slider, speed matters, not size."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(
        buffer, format="png", compress_level=1, compress_type=zlib.Z_RLE
    )
    return buffer.getvalue()


def explorer(
    render: Render, controls: dict[str, Any], width: int = 720, slow: bool = False
) -> ipywidgets.VBox:
    """Controls with a reset button; a picture and a caption that follow them.

    An error at the first values is raised, as in any cell. Later there is no cell to show it: it
    becomes the caption, and the last picture stays.

    Args:
        render: takes the controls' values by name; returns a uint8 image and an HTML caption.
        controls: parameter name → ipywidgets control, with its label and unit as description. A
            control that sets the limits of others comes before them.
        width: of the picture on the page, in pixels.
        slow: whether a network runs. A slider then acts when it is released, and the caption says
            that something is being computed.
    Returns:
        A box whose children are (controls, picture, caption). It stores nothing but the controls'
        values.
    """
    import ipywidgets as widgets

    picture = widgets.Image(
        format="png", layout=widgets.Layout(width=f"{width}px", max_width=MAX_WIDTH)
    )
    caption = widgets.HTML()
    reset = widgets.Button(description="Reset", tooltip="Back to the first values")
    defaults = {name: control.value for name, control in controls.items()}
    shown: dict[str, Any] = {}
    quiet = False

    def draw() -> None:
        values = {name: control.value for name, control in controls.items()}
        # Where one control changes the limits of another, both report the change: draw once.
        if quiet or values == shown:
            return
        if slow:
            caption.value = "computing …"
        image, text = render(**values)
        picture.value = png(image)
        caption.value = text
        shown.update(values)

    def redraw(_: Any = None) -> None:
        try:
            draw()
        except Exception as error:  # Jupyter drops what a callback raises
            caption.value = error_line(error)
            shown.clear()

    def restore(_: Any) -> None:
        nonlocal quiet
        quiet = True  # one picture at the end instead of one per control
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
    """One line of HTML for an error: our own as they are, others with their type."""
    kind = "" if isinstance(error, HatlibError) else f"{type(error).__name__}: "
    message = html.escape(kind + " ".join(str(error).split()))
    return f"<b style='color:#d1495b'>not drawn:</b> {message}"


def percent(share: float) -> str:
    """A share as a percentage: 0 %, 0.4 %, 37 %."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def _wide() -> ipywidgets.Layout:
    """Room for a readable label, within the page's width."""
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
    """A slider over a list of values, such as the divisors of a side."""
    import ipywidgets as widgets

    return widgets.SelectionSlider(options=options, value=value, description=label, layout=_wide())


def choice(label: str, options: list[Any], value: Any = None) -> ipywidgets.Dropdown:
    """A drop-down list of strings or of (label, value); the first one is chosen by default."""
    import ipywidgets as widgets

    first = options[0][1] if isinstance(options[0], tuple) else options[0]
    return widgets.Dropdown(
        options=options, value=first if value is None else value, description=label, layout=_wide()
    )


def switch(label: str, value: bool = True) -> ipywidgets.Checkbox:
    """A checkbox."""
    import ipywidgets as widgets

    return widgets.Checkbox(value=value, description=label, indent=False, layout=_wide())
