"""Your own photo in a notebook: by its path, from an upload button, or through Colab's dialog.

Without a photo a built-in one takes its place, so that the notebook runs unattended. Used in
notebook 11.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.imaging.io import load_image

if TYPE_CHECKING:
    import ipywidgets


class Photo(NamedTuple):
    """A photo and what to call it."""

    name: str
    image: np.ndarray  # uint8 (H, W, 3)


def upload_button(label: str = "Choose a photo") -> ipywidgets.FileUpload:
    """A button that loads a file from the browser into the kernel's memory: see `your_photo`.

    The file has to fit into one message: 10 MB in JupyterLab by default, about 1 MB on Colab
    (ipywidgets issue 3452). Give larger files by their path.
    """
    import ipywidgets as widgets

    return widgets.FileUpload(
        accept="image/*",
        multiple=False,
        description=label,
        layout=widgets.Layout(width="240px", max_width="100%"),
    )


def uploaded(button: ipywidgets.FileUpload) -> tuple[str, bytes] | None:
    """(name, content) of the chosen file; None while there is none.

    ipywidgets 7 has {name: {"metadata": …, "content": bytes}}, ipywidgets 8 a tuple of
    {"name": …, "content": memoryview, …}.
    """
    if isinstance(button.value, Mapping):
        files = [(name, file["content"]) for name, file in button.value.items()]
    else:
        files = [(file["name"], file["content"]) for file in button.value]
    if not files:
        return None
    name, content = files[-1]
    return str(name), bytes(content)


def ask_on_colab() -> str:
    """Opens Colab's file dialog and waits; returns the file's path, or "" if none was chosen.

    Raises:
        HatlibError: this is not Colab.
    """
    if "google.colab" not in sys.modules:
        raise HatlibError("this is not Colab; use the upload button, or give the photo's path")
    files = importlib.import_module("google.colab.files")  # exists on Colab only
    return next(iter(files.upload()), "")  # name → content; the file is in the current folder


def your_photo(
    path: str = "", button: ipywidgets.FileUpload | None = None, otherwise: str = "coffee"
) -> Photo:
    """The photo at a path, else the uploaded one, else a built-in one, as its name then says.

    EXIF orientation is applied, transparency dropped, grey turned into RGB: see
    `hatlib.load_image`.

    Args:
        path: of a file on the kernel's machine; "" for none.
        button: an `upload_button`.
        otherwise: name of a built-in picture.
    Raises:
        HatlibError: there is no file at the path, or the file is no readable image.
    """
    if path:
        return Photo(Path(path).name, load_image(Path(path).expanduser()))
    if button is not None and (file := uploaded(button)):
        return Photo(file[0], _read(*file))
    return Photo(f"no photo was chosen; the built-in '{otherwise}'", builtin_image(otherwise))


def _read(name: str, content: bytes) -> np.ndarray:
    """An image from the bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        # Pillow goes by the content; an uploaded name is not safe as the name of a local file.
        path = Path(folder) / "photo"
        path.write_bytes(content)
        try:
            return load_image(path)
        except HatlibError as error:
            raise HatlibError(str(error).replace(str(path), name)) from None
