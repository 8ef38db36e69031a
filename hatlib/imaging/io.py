"""Image files: read as uint8 (H, W, 3) RGB arrays, and written.

Everything in hatlib takes and gives images as such arrays or as tensors (`hatlib.imaging.convert`).
A one-channel picture may also be (H, W). What else a file of your own may hold (transparency, 16
bits per channel, a colour profile) is in `hatlib.imaging.user_files`. Taught in notebook 00.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, round_to_uint8
from hatlib.imaging.reading import SUFFIXES, Picture, read_picture
from hatlib.system.atomic import atomic_path
from hatlib.validation import FileName, checked

__all__ = [
    "SUFFIXES",
    "as_uint8",
    "check_sides",
    "check_suffix",
    "distinct_names",
    "is_image_file",
    "list_images",
    "load_image",
    "save_image",
]

# JPEG always loses a little, of colours as little as of light; WebP loses some by default, and
# nothing if asked (exact: nor what is transparent)
JPEG: dict[str, Any] = {"quality": 95, "subsampling": 0}
WRITER_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": {"lossless": True, "exact": True},
}
LONGEST = {".webp": 16383, ".jpg": 65500, ".jpeg": 65500}  # pixels of a side that a format can hold
# of what Pillow writes uncompressed, in a format that counts bytes in 32 bits
MOST_BYTES = {".tif": 1 << 32, ".tiff": 1 << 32, ".bmp": 1 << 32}


def load_image(path: str | os.PathLike[str], gray: str = "rgb") -> np.ndarray:
    """Reads an image file as uint8 RGB.

    EXIF orientation is applied; an alpha channel is dropped; palette and CMYK pictures are
    converted to RGB; 16 bits per channel are rounded to 8.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file.
        gray: what a one-channel file becomes: "rgb" repeats it three times, "keep" gives (H, W).
    Returns:
        uint8 (H, W, 3), or (H, W).
    Raises:
        HatlibError: what cannot be read, as in `hatlib.imaging.reading.read_picture`.
    """
    if gray not in ("rgb", "keep"):
        raise HatlibError(f"gray is '{gray}'; it can be 'rgb' or 'keep'")
    return as_uint8(read_picture(path, metadata=False), gray)


def as_uint8(picture: Picture, gray: str = "rgb") -> np.ndarray:
    """The colours of a picture as `load_image` gives them."""
    pixels = picture.pixels
    if pixels.dtype == np.uint16:
        pixels = round_to_uint8(pixels / 257)
    return np.stack([pixels] * 3, axis=2) if pixels.ndim == 2 and gray == "rgb" else pixels


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a uint8 (H, W, 3) or (H, W) image, whole or not at all; the suffix chooses the format.

    Raises:
        HatlibError: an unknown suffix, an array that is not a uint8 image, a folder that can't be
            written to.
    """
    checked("path", path, FileName)
    check_image(image)
    if image.dtype != np.uint8:
        raise HatlibError(
            f"images are saved from uint8 arrays, got {image.dtype}; see hatlib.to_image"
        )
    check_suffix(path)
    check_sides(path, *image.shape[:2])
    suffix = Path(path).suffix.lower()
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, **WRITER_OPTIONS.get(suffix, {}))


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Raises HatlibError unless the name of a file says in which format to write it."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise HatlibError(
            f"cannot save {path}: the name has to end in one of {', '.join(SUFFIXES)}"
        )


def check_sides(path: str | os.PathLike[str], height: int, width: int) -> None:
    """Raises HatlibError if the format of a file cannot hold an image of that size: to be asked
    before the work."""
    suffix = Path(path).suffix
    limit = LONGEST.get(suffix.lower())
    if limit and max(height, width) > limit:
        raise HatlibError(
            f"cannot save {path}: {suffix} holds at most {limit} pixels a side, "
            f"and the result has {width}×{height}; .png holds it"
        )
    most = MOST_BYTES.get(suffix.lower())
    if most and 4 * height * width >= most:
        raise HatlibError(
            f"cannot save {path}: {suffix} holds at most {most >> 30} GB, and the result has "
            f"{width}×{height} pixels of up to 4 bytes; .png holds it"
        )


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """A name for each image: its stem, or all of its file name where two have the same stem, on a
    disk that does not tell a from A either."""
    names = [path.stem for path in paths]
    while True:
        counts = Counter(name.casefold() for name in names)
        longer = [
            name if counts[name.casefold()] == 1 else path.name
            for name, path in zip(names, paths, strict=True)
        ]
        if longer == names:
            return names
        names = longer


def is_image_file(path: Path) -> bool:
    """Whether an entry of a folder is a file to be read: not hidden, no folder, no pipe. A link to
    nothing counts: it is an image that is missing."""
    missing = path.is_symlink() and not path.exists()
    return path.name[0] != "." and (path.is_file() or missing)


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder, by name (hidden files and subfolders are left out).

    Raises:
        HatlibError: no such folder, or no image in it.
    """
    where = Path(folder)
    if not where.is_dir():
        raise HatlibError(f"no such folder: {folder}")
    files = [
        path for path in where.iterdir() if path.suffix.lower() in SUFFIXES and is_image_file(path)
    ]
    if not files:
        raise HatlibError(f"no image in {folder} ({', '.join(SUFFIXES)})")
    return sorted(files, key=lambda p: p.name)
