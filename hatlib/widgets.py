"""Explorers: sliders on top of the package. Each is one call in a notebook and returns a widget.

They use only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) both have. The arithmetic of an explorer is a plain
function of numbers that returns a picture and a caption, which tests call as such; `explorer` adds the controls.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as PillowImage

if TYPE_CHECKING:
    import ipywidgets

Render = Callable[..., tuple[np.ndarray, str]]


def png(image: np.ndarray) -> bytes:
    """A uint8 image as PNG bytes; light compression, because speed matters more than size on a slider."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def explorer(render: Render, controls: dict[str, Any], width: int = 720) -> ipywidgets.VBox:
    """Controls, a reset button, a picture and a line of text that follow the controls.

    Args:
        render: takes the controls' values by name; returns a uint8 image and an HTML caption.
        controls: parameter name → ipywidgets control, with its label and unit as description.
        width: of the picture on the page, in pixels.
    Returns:
        A box whose children are (controls, picture, caption); nothing is stored besides the controls' values.
    """
    import ipywidgets as widgets

    picture = widgets.Image(format="png", layout=widgets.Layout(width=f"{width}px", max_width="100%"))
    caption = widgets.HTML()
    reset = widgets.Button(description="Reset", tooltip="back to the first values")
    defaults = {name: control.value for name, control in controls.items()}
    quiet = False

    def draw(_: Any = None) -> None:
        if not quiet:
            image, caption.value = render(**{name: control.value for name, control in controls.items()})
            picture.value = png(image)

    def restore(_: Any) -> None:
        nonlocal quiet
        quiet = True  # one picture at the end instead of one a control
        for name, control in controls.items():
            control.value = defaults[name]
        quiet = False
        draw()

    for control in controls.values():
        control.observe(draw, names="value")
        control.style.description_width = "initial"
    reset.on_click(restore)
    draw()
    panel = widgets.VBox([*controls.values(), reset])
    return widgets.VBox([panel, picture, caption])


def float_slider(label: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
    """A slider for a number, with a label wide enough to be read."""
    import ipywidgets as widgets

    return widgets.FloatSlider(value=value, min=low, max=high, step=step, description=label,
                               layout=widgets.Layout(width="460px", max_width="100%"))


def int_slider(label: str, value: int, low: int, high: int, step: int = 1) -> ipywidgets.IntSlider:
    """A slider for a whole number."""
    import ipywidgets as widgets

    return widgets.IntSlider(value=value, min=low, max=high, step=step, description=label,
                             layout=widgets.Layout(width="460px", max_width="100%"))


def choice(label: str, options: list[Any], value: Any = None) -> ipywidgets.Dropdown:
    """A drop-down list."""
    import ipywidgets as widgets

    return widgets.Dropdown(options=options, value=options[0] if value is None else value, description=label,
                            layout=widgets.Layout(width="460px", max_width="100%"))
