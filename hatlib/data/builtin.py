"""Pictures that need no download: photographs inside scikit-image's wheel, and façades drawn by the
project.

They carry the teaching cells, so that every notebook runs anywhere and shows the same numbers. All
may be shown and passed on: the photographs are in the public domain or under CC0 (the notes below),
the façades are ours.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hatlib.data.facades import facade
from hatlib.errors import HatlibError, unknown
from hatlib.imaging.io import load_image

__all__ = [
    "FACADES",
    "GRAY",
    "PHOTOGRAPHS",
    "Photograph",
    "builtin_image",
    "builtin_names",
    "facade",
]


@dataclass(frozen=True)
class Photograph:
    """A file of scikit-image's data folder, and who made it under what terms (scikit-image's
    docstrings say so)."""

    file: str
    shows: str
    terms: str


PHOTOGRAPHS = {
    "astronaut": Photograph(
        "astronaut.png", "the astronaut Eileen Collins, 512×512", "NASA, public domain"
    ),
    "brick": Photograph("brick.png", "a brick pavement, gray, 512×512", "CC0Textures, CC0"),
    "camera": Photograph("camera.png", "a man with a camera, gray, 512×512", "Lav Varshney, CC0"),
    "cat": Photograph("chelsea.png", "the cat Chelsea, 300×451", "Stefan van der Walt, CC0"),
    "coffee": Photograph("coffee.png", "a cup of coffee, 400×600", "Rachel Michetti, CC0"),
    "hubble": Photograph(
        "hubble_deep_field.jpg", "the Hubble eXtreme Deep Field, 872×1000", "NASA, public domain"
    ),
    "rocket": Photograph(
        "rocket.jpg", "a Falcon 9 before its launch, 427×640", "SpaceX, public domain"
    ),
    "tissue": Photograph(
        "ihc.png", "stained tissue under a microscope, 512×512", "CMMI, no known restrictions"
    ),
}
GRAY = ("brick", "camera")
FACADES = tuple(f"facade-{seed}" for seed in range(1, 9))


def builtin_names() -> list[str]:
    """The names that `builtin_image` takes: the photographs, then façades of 384×512."""
    return [*PHOTOGRAPHS, *FACADES]


def builtin_image(name: str) -> np.ndarray:
    """A built-in picture as uint8 (H, W, 3) RGB; a gray photograph has three equal channels.

    Raises:
        HatlibError: an unknown name (the nearest one is suggested), or scikit-image is installed
            without its pictures.
    """
    if name not in builtin_names():
        raise unknown("built-in picture", name, builtin_names())
    return _picture(name).copy()


@functools.cache
def _picture(name: str) -> np.ndarray:
    if name in FACADES:
        return facade(int(name.removeprefix("facade-")))
    import skimage

    # The files are read from the package's folder: skimage.data would go to the network for a
    # missing one.
    path = Path(skimage.__file__).parent / "data" / PHOTOGRAPHS[name].file
    if not path.is_file():
        raise HatlibError(
            f"the built-in picture '{name}' is not in this scikit-image ({path}); "
            "reinstall scikit-image from its wheel, or use one of the façades"
        )
    return load_image(path)
