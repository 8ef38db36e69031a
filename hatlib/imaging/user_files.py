"""Image files of your own, with all that is in them: transparency, 16 bits, colour profile."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from hatlib.errors import HatlibError
from hatlib.imaging.io import SUFFIXES, WRITER_OPTIONS, opened, refuse_floats
from hatlib.system.atomic import atomic_path


@dataclass(frozen=True)
class Picture:
    """What an image file holds: pixels uint8 or uint16, (H, W, 3) or (H, W) if gray, and what comes
    with them."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None  # (H, W), of the same type; 0 is transparent
    profile: bytes | None = None  # ICC: what the numbers mean as colours


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Reads an image file with transparency, 16 bits and colour profile, its EXIF orientation
    applied.

    A palette becomes RGB; CMYK becomes RGB by its colour profile, if it has one (sRGB, and so no
    profile is kept).

    Raises:
        HatlibError: as `load_image`; an animation; more than 16 bits per channel; a kind of colour
            that is none of these.
    """
    with opened(path) as file:
        frames = getattr(file, "n_frames", 1)
        # MPO is a phone's JPEG, with a second picture that nobody means
        if frames > 1 and file.format != "MPO":
            raise HatlibError(f"{path} has {frames} frames; take one out and upscale that")
        refuse_floats(path, file)
        profile = file.info.get("icc_profile")
        if file.mode.startswith("I"):
            values = np.asarray(ImageOps.exif_transpose(file))
            return Picture(_sixteen_bits(path, values), None, profile)
        if ";16" in _raw_mode(file):
            return _picture(_read_sixteen(path, file), profile)
        picture = ImageOps.exif_transpose(file)
        picture.load()
    if picture.mode == "CMYK":
        return Picture(np.array(_cmyk_to_rgb(picture, profile)))
    gray = picture.mode in ("1", "L", "LA", "La")
    if not gray and picture.mode not in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        raise HatlibError(f"{path} has colours of the kind {picture.mode}; save it as RGB")
    if picture.has_transparency_data:
        channels = np.array(picture.convert("RGBA"))
        return _picture(channels[..., 2 * gray :], profile)  # of gray: B, which is L, and A
    return Picture(np.array(picture.convert("L" if gray else "RGB")), None, profile)


def _picture(channels: np.ndarray, profile: bytes | None) -> Picture:
    """From (H, W, 1 to 4): gray or RGB, with alpha last where the number is even."""
    count = channels.shape[2]
    alpha = None if count % 2 else np.ascontiguousarray(channels[..., -1])
    pixels = np.ascontiguousarray(channels[..., :3] if count > 2 else channels[..., 0])
    return Picture(pixels, alpha, profile)


def _sixteen_bits(path: str | os.PathLike[str], values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise HatlibError(
            f"{path} has values from {values.min()} to {values.max()}; 16 bits hold 0 to 65535"
        )
    return values.astype(np.uint16)


def _read_sixteen(path: str | os.PathLike[str], file: Image.Image) -> np.ndarray:
    """uint16 (H, W, C) of a file with 16 bits per channel and several channels, of which Pillow
    keeps 8.

    Pillow is made to read it twice: it takes one byte of each number, and which one depends on the
    order of the bytes that it believes in. Gray with alpha it can't read so; but that has as many
    bytes a pixel as RGBA with 8 bits.
    """
    if file.format == "PNG" and _raw_mode(file).startswith("LA;"):
        data = Path(path).read_bytes()
        header = data[12:24] + bytes([8, 6]) + data[26:29]  # 8 bits a channel, RGBA
        disguised = data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]
        with Image.open(io.BytesIO(disguised)) as pairs:
            both = np.array(ImageOps.exif_transpose(pairs)).astype(np.uint16)
        return both[..., 0::2] << 8 | both[..., 1::2]
    with Image.open(path) as other:
        vars(other)["tile"] = [_other_byte(tile) for tile in vars(other)["tile"]]
        halves = [np.array(ImageOps.exif_transpose(half)) for half in (file, other)]
    high, low = (half.astype(np.uint16) for half in halves)
    return high << 8 | low


def _raw_mode(file: Image.Image) -> str:
    """How the numbers lie in the file, in Pillow's words: RGB;16B are big-endian ones of 16
    bits."""
    args = next((tile[3] for tile in vars(file).get("tile", [])), "")
    return str(args[0] if isinstance(args, tuple) and args else args)


def _other_byte(tile: Any) -> Any:
    """Pillow's order to decode, with the other order of bytes: ;16B is big-endian, ;16L
    little-endian, ;16N ours."""
    raw, *more = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    raw = raw[:-1] + {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[raw[-1]]
    args = (raw, *more) if isinstance(tile[3], tuple) else raw
    # a plain tuple in old versions of Pillow
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)


def _cmyk_to_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """By the profile of the printing colours, which says how they look; without one, by Pillow's
    rule of thumb."""
    if profile:
        from PIL import ImageCms

        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a damaged profile
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
            if converted is not None:
                return converted
    return picture.convert("RGB")


def check_format(path: str | os.PathLike[str], picture: Picture) -> None:
    """Raises HatlibError if a file of that name can't hold what the picture has: to be asked before
    the work."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise HatlibError(
            f"cannot save {path}: the name has to end in one of {', '.join(SUFFIXES)}"
        )
    if picture.pixels.dtype == np.uint16 and suffix != ".png":
        raise HatlibError(
            f"cannot save {path}: pictures with 16 bits per channel are saved as .png"
        )
    if picture.alpha is not None and suffix not in (".png", ".tif", ".tiff", ".webp"):
        raise HatlibError(f"cannot save {path}: transparency can be kept in .png, .tif and .webp")


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Writes a picture with its transparency, its 16 bits and its colour profile (which .bmp has no
    place for).

    Raises:
        HatlibError: as `check_format`, or a folder that can't be written to.
    """
    check_format(path, picture)
    channels = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., None]
    if picture.alpha is not None:
        channels = np.concatenate([channels, picture.alpha[..., None]], axis=2)
    suffix = Path(path).suffix.lower()
    with atomic_path(path) as temporary:
        if channels.dtype == np.uint16:
            temporary.write_bytes(_png16(channels, picture.profile))
        else:
            image = Image.fromarray(channels[..., 0] if channels.shape[2] == 1 else channels)
            image.save(temporary, icc_profile=picture.profile, **WRITER_OPTIONS.get(suffix, {}))


def _png16(channels: np.ndarray, profile: bytes | None) -> bytes:
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
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    parts = [
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
