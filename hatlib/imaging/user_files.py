"""Image files of your own, with all that is in them: transparency, 16 bits, colours, EXIF."""

from __future__ import annotations

import dataclasses
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from hatlib.errors import HatlibError
from hatlib.imaging import metadata
from hatlib.imaging.io import WRITER_OPTIONS, check_sides, check_suffix
from hatlib.imaging.reading import Picture, read_picture
from hatlib.system.atomic import atomic_path

__all__ = ["Picture", "changed", "check_format", "read_picture", "write_picture"]

WITH_ALPHA = (".png", ".tif", ".tiff", ".webp")
JPEG_SUFFIXES = (".jpg", ".jpeg")
PNG_ROWS = 16  # compressed at a time


def changed(
    picture: Picture,
    colours: Callable[[np.ndarray], np.ndarray],
    mask: Callable[[np.ndarray], np.ndarray],
) -> Picture:
    """A picture of another size: its colours by one function, its alpha by another.

    What alpha hides entirely is often black, which a function that looks at neighbours would draw
    into what can be seen, as a dark fringe. The nearest visible colours stand there instead.

    Args:
        colours: (H, W, 3) or (H, W) → the same of another size, and of the same type.
        mask: (H, W) → the same.
    """
    alpha = picture.alpha
    pixels = picture.pixels
    if alpha is not None and alpha.any() and not alpha.all():
        from scipy.ndimage import distance_transform_edt

        rows, columns = distance_transform_edt(
            alpha == 0, return_distances=False, return_indices=True
        )
        pixels = pixels[rows, columns]
    return dataclasses.replace(
        picture, pixels=colours(pixels), alpha=None if alpha is None else mask(alpha)
    )


def check_format(path: str | os.PathLike[str], picture: Picture, scale: float = 1) -> None:
    """Raises HatlibError if a file of that name can't hold the picture, enlarged by `scale`: to be
    asked before the work."""
    check_suffix(path)
    suffix = Path(path).suffix.lower()
    if picture.pixels.dtype == np.uint16 and suffix != ".png":
        raise HatlibError(
            f"cannot save {path}: pictures with 16 bits per channel are saved as .png"
        )
    if picture.transparent and suffix not in WITH_ALPHA:
        raise HatlibError(f"cannot save {path}: transparency can be kept in .png, .tif and .webp")
    height, width = (math.ceil(scale * side) for side in picture.pixels.shape[:2])
    check_sides(path, height, width)


def write_picture(
    path: str | os.PathLike[str], picture: Picture, quality: int | None = None
) -> None:
    """Writes a picture with its transparency, its 16 bits, its colour profile and its metadata (of
    which .bmp keeps pixels per inch alone). An alpha that hides nothing is left out where the
    format has no place for it.

    Args:
        quality: of a JPEG file, 1 to 100; by default that of `hatlib.imaging.io`.
    Raises:
        HatlibError: as `check_format`, or a folder that can't be written to.
    """
    check_format(path, picture)
    suffix = Path(path).suffix.lower()
    channels = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., None]
    if picture.alpha is not None and suffix in WITH_ALPHA:
        channels = np.concatenate([channels, picture.alpha[..., None]], axis=2)
    with atomic_path(path) as temporary:
        if channels.dtype == np.uint16:
            with temporary.open("wb") as file:
                _write_png16(file, channels, picture.profile, picture.metadata)
        else:
            image = Image.fromarray(channels[..., 0] if channels.shape[2] == 1 else channels)
            options = {
                **WRITER_OPTIONS.get(suffix, {}),
                **metadata.options(picture.metadata, suffix, *image.size),
            }
            if quality is not None and suffix in JPEG_SUFFIXES:
                options["quality"] = quality
            image.save(temporary, icc_profile=picture.profile, **options)


def _write_png16(
    file: BinaryIO, channels: np.ndarray, profile: bytes | None, more: metadata.Metadata
) -> None:
    """A PNG file (RFC 2083) of uint16 (H, W, 1 to 4), which Pillow can't write. Rows are filtered
    and compressed a few at a time, so that this takes little memory beside the picture."""
    height, width, count = channels.shape

    def chunk(name: bytes, body: bytes) -> None:
        check = zlib.crc32(name + body).to_bytes(4, "big")
        file.write(len(body).to_bytes(4, "big") + name + body + check)

    file.write(b"\x89PNG\r\n\x1a\n")
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]  # gray, gray with alpha, RGB, RGBA
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    chunk(b"IHDR", size + bytes([16, kind, 0, 0, 0]))
    if profile:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile))
    for name, body in metadata.chunks(more, width, height):
        chunk(name, body)
    packer = zlib.compressobj()
    last = np.zeros((1, 2 * width * count), np.uint8)  # what the first row is compared with
    for top in range(0, height, PNG_ROWS):
        rows = channels[top : top + PNG_ROWS].astype(">u2")
        rows = rows.reshape(len(rows), -1).view(np.uint8)  # (rows, bytes of a row)
        # filter 2: each row as its difference to the one above, modulo 256
        filtered = np.full((len(rows), 1 + rows.shape[1]), 2, np.uint8)
        filtered[:, 1:] = rows - np.concatenate([last, rows[:-1]])
        if packed := packer.compress(filtered.tobytes()):
            chunk(b"IDAT", packed)
        last = rows[-1:]
    chunk(b"IDAT", packer.flush())
    chunk(b"IEND", b"")
