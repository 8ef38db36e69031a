"""Image files of your own, with all that is in them: transparency, 16 bits, colours, EXIF."""

from __future__ import annotations

import dataclasses
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path

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
            temporary.write_bytes(_png16(channels, picture.profile, picture.metadata))
        else:
            image = Image.fromarray(channels[..., 0] if channels.shape[2] == 1 else channels)
            options = {
                **WRITER_OPTIONS.get(suffix, {}),
                **metadata.options(picture.metadata, suffix, *image.size),
            }
            if quality is not None and suffix in JPEG_SUFFIXES:
                options["quality"] = quality
            image.save(temporary, icc_profile=picture.profile, **options)


def _png16(
    channels: np.ndarray, profile: bytes | None, more: metadata.Metadata = metadata.NONE
) -> bytes:
    """A PNG file (RFC 2083) of uint16 (H, W, 1 to 4), which Pillow can't write."""
    height, width, count = channels.shape
    rows = channels.astype(">u2").reshape(height, -1).view(np.uint8)  # (H, bytes of a row)
    # filter 2: each row as its difference to the last, modulo 256
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]  # gray, gray with alpha, RGB, RGBA
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    chunks = [(b"IHDR", size + bytes([16, kind, 0, 0, 0]))]
    if profile:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
    chunks += metadata.chunks(more, width, height)
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    parts = [
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
