"""Image files: read as uint8 (H, W, 3) RGB arrays, and written.

Everything in hatlib takes and gives images as such arrays or as tensors (`hatlib.imaging.convert`).
A one-channel picture may also be (H, W). What else a file of your own may hold (transparency, 16
bits per channel, a colour profile) is in `hatlib.imaging.user_files`. Taught in notebook 00.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, round_to_uint8
from hatlib.system.atomic import atomic_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# JPEG always loses a little; WebP loses some by default, and nothing if asked (exact: nor what is
# transparent)
WRITER_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95},
    ".jpeg": {"quality": 95},
    ".webp": {"lossless": True, "exact": True},
}


def load_image(path: str | os.PathLike[str], gray: str = "rgb") -> np.ndarray:
    """Reads an image file as uint8 RGB.

    EXIF orientation is applied; an alpha channel is dropped; palette and CMYK pictures are
    converted to RGB; 16 bits per channel are reduced to 8.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file.
        gray: what a one-channel file becomes: "rgb" repeats it three times, "keep" gives (H, W).
    Returns:
        uint8 (H, W, 3), or (H, W).
    Raises:
        HatlibError: no such file, not an image, a damaged one, or one of floating-point numbers.
    """
    if gray not in ("rgb", "keep"):
        raise HatlibError(f"gray is '{gray}'; it can be 'rgb' or 'keep'")
    with opened(path) as file:
        picture: Image.Image = ImageOps.exif_transpose(file)
        picture.load()
    refuse_floats(path, picture)
    if picture.mode.startswith("I"):  # 16-bit gray, which Pillow would clip instead of scale
        picture = Image.fromarray(round_to_uint8(np.asarray(picture, dtype=np.float64) / 257))
    one_channel = picture.mode in ("1", "L", "LA")
    # a copy: what Pillow hands out can't be written to, and torch warns of such arrays
    return np.array(picture.convert("L" if one_channel and gray == "keep" else "RGB"))


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The image file, opened by Pillow; what goes wrong inside the block, too, becomes one line
    that names the file."""
    if Path(path).is_dir():
        raise HatlibError(f"{path} is a folder, and an image file was expected")
    try:
        with Image.open(path) as file:
            yield file
    except FileNotFoundError:
        raise HatlibError(f"no such file: {path}") from None
    except UnidentifiedImageError:
        raise HatlibError(
            f"{path} is not an image that can be read ({', '.join(SUFFIXES)})"
        ) from None
    except Image.DecompressionBombError as error:
        raise HatlibError(f"{path} is too large: {error}") from None
    except HatlibError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise HatlibError(f"{path} is damaged or can't be read: {error}") from None


def refuse_floats(path: str | os.PathLike[str], picture: Image.Image) -> None:
    if picture.mode == "F":
        raise HatlibError(
            f"{path} holds floating-point numbers without a known range; save it with 8 or 16 bits"
        )


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a uint8 (H, W, 3) or (H, W) image, whole or not at all; the suffix chooses the format.

    Raises:
        HatlibError: an unknown suffix, an array that is not a uint8 image, a folder that can't be
            written to.
    """
    check_image(image)
    if image.dtype != np.uint8:
        raise HatlibError(
            f"images are saved from uint8 arrays, got {image.dtype}; see hatlib.to_image"
        )
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise HatlibError(
            f"cannot save {path}: the name has to end in one of {', '.join(SUFFIXES)}"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, **WRITER_OPTIONS.get(suffix, {}))


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder, by name (hidden files and subfolders are left out).

    Raises:
        HatlibError: no such folder, or no image in it.
    """
    where = Path(folder)
    if not where.is_dir():
        raise HatlibError(f"no such folder: {folder}")
    files = [
        p
        for p in where.iterdir()
        if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != "."
    ]
    if not files:
        raise HatlibError(f"no image in {folder} ({', '.join(SUFFIXES)})")
    return sorted(files, key=lambda p: p.name)
