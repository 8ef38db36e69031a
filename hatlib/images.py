"""Images: files ↔ uint8 (H, W, 3) RGB arrays ↔ float tensors (N, 3, H, W) in [0, 1]; BT.601 luma.

Everything in hatlib takes and gives images in one of these two forms. A one-channel picture may also be a uint8
(H, W) array. Taught in notebook 00. A `Picture` is what else a file of somebody's own may hold: transparency, 16 bits
a channel, a colour profile.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from hatlib.errors import HatlibError
from hatlib.files import whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# JPEG always loses a little; WebP loses some by default, and nothing if asked (exact: nor what is transparent)
WRITER_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"lossless": True, "exact": True}
}
# ITU-R BT.601: luma of R, G, B in [0, 1], before the studio range 16–235 is applied.
LUMA = (0.299, 0.587, 0.114)
# The same with the studio range folded in, as MATLAB's rgb2ycbcr rounds it; Y = 16 + these · (R, G, B in [0, 1]).
STUDIO_LUMA = (65.481, 128.553, 24.966)


def load_image(path: str | os.PathLike[str], gray: str = "rgb") -> np.ndarray:
    """Reads an image file as uint8 RGB.

    EXIF orientation is applied; an alpha channel is dropped; palette and CMYK pictures are converted to RGB; 16 bits a
    channel are reduced to 8.

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
    with _opened(path) as file:
        picture: Image.Image = ImageOps.exif_transpose(file)
        picture.load()
    _refuse_floats(path, picture)
    if picture.mode.startswith("I"):  # 16-bit gray, which Pillow would clip instead of scale
        picture = Image.fromarray(round_to_uint8(np.asarray(picture, dtype=np.float64) / 257))
    one_channel = picture.mode in ("1", "L", "LA")
    # a copy: what Pillow hands out can't be written to, and torch warns of such arrays
    return np.array(picture.convert("L" if one_channel and gray == "keep" else "RGB"))


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The image file, opened by Pillow; what goes wrong inside the block, too, becomes one line that names the file."""
    if Path(path).is_dir():
        raise HatlibError(f"{path} is a folder, and an image file was expected")
    try:
        with Image.open(path) as file:
            yield file
    except FileNotFoundError:
        raise HatlibError(f"no such file: {path}") from None
    except UnidentifiedImageError:
        raise HatlibError(f"{path} is not an image that can be read ({', '.join(SUFFIXES)})") from None
    except Image.DecompressionBombError as error:
        raise HatlibError(f"{path} is too large: {error}") from None
    except HatlibError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise HatlibError(f"{path} is damaged or can't be read: {error}") from None


def _refuse_floats(path: str | os.PathLike[str], picture: Image.Image) -> None:
    if picture.mode == "F":
        raise HatlibError(f"{path} holds floating-point numbers without a known range; save it with 8 or 16 bits")


def save_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a uint8 (H, W, 3) or (H, W) image, whole or not at all; the suffix chooses the format.

    Raises:
        HatlibError: an unknown suffix, an array that is not a uint8 image, a folder that can't be written to.
    """
    check_image(image)
    if image.dtype != np.uint8:
        raise HatlibError(f"images are saved from uint8 arrays, got {image.dtype}; see hatlib.images.to_image")
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise HatlibError(f"cannot save {path}: the name has to end in one of {', '.join(SUFFIXES)}")
    with whole(path) as temporary:
        Image.fromarray(image).save(temporary, **WRITER_OPTIONS.get(suffix, {}))


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder, by name (hidden files and subfolders are left out).

    Raises:
        HatlibError: no such folder, or no image in it.
    """
    where = Path(folder)
    if not where.is_dir():
        raise HatlibError(f"no such folder: {folder}")
    files = [p for p in where.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != "."]
    if not files:
        raise HatlibError(f"no image in {folder} ({', '.join(SUFFIXES)})")
    return sorted(files, key=lambda p: p.name)


def check_image(image: object) -> None:
    """Raises HatlibError unless `image` is an array (H, W, 3) or (H, W) with at least one pixel, uint8 or float."""
    if not isinstance(image, np.ndarray):
        raise HatlibError(f"an image is a numpy array here, got {type(image).__name__}; see hatlib.images.to_image")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise HatlibError(f"an image has the shape (H, W, 3) or (H, W), got {image.shape}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise HatlibError(f"an image is uint8 (0 to 255) or float (0 to 1), got {image.dtype}")


def to_tensor(image: np.ndarray, device: torch.device | str | None = None) -> torch.Tensor:
    """uint8 (H, W, 3) or (H, W) → float32 (1, 3, H, W) or (1, 1, H, W) in [0, 1]. Float images keep their values."""
    check_image(image)
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    tensor = torch.from_numpy(np.ascontiguousarray(planes))[None].to(device or "cpu")
    return tensor.float() / 255 if image.dtype == np.uint8 else tensor.float()


def to_image(tensor: torch.Tensor) -> np.ndarray:
    """Float (1, C, H, W) or (C, H, W) in [0, 1], C 3 or 1 → uint8 (H, W, 3) or (H, W): clamped, then rounded.

    Raises:
        HatlibError: another shape, or values that are not finite.
    """
    planes = tensor.detach()[0] if tensor.ndim == 4 and len(tensor) == 1 else tensor.detach()
    if planes.ndim != 3 or planes.shape[0] not in (1, 3):
        raise HatlibError(f"one image of 1 or 3 channels was expected, got a tensor of shape {tuple(tensor.shape)}")
    if not torch.isfinite(planes).all():
        raise HatlibError("the image has values that are not finite (NaN or infinity)")
    pixels = round_to_uint8(planes.float() * 255).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def round_to_uint8(values: Any) -> Any:
    """Rounds half up (as MATLAB does, unlike numpy's round) and clips to 0–255; numpy array or tensor, as given."""
    if isinstance(values, torch.Tensor):
        return torch.floor(values + 0.5).clamp(0, 255).to(torch.uint8)
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def luma(image: np.ndarray, full_range: bool = False) -> np.ndarray:
    """BT.601 luma Y of an RGB image, on the 0–255 scale, not rounded; a one-channel image is taken as it is.

    Args:
        image: uint8 in 0–255 or float in [0, 1], (H, W, 3) or (H, W).
        full_range: False gives the studio range 16–235 (MATLAB's rgb2ycbcr, and every super-resolution table);
            True the full range 0–255 (JPEG, Pillow, OpenCV).
    Returns:
        float64 (H, W).
    """
    check_image(image)
    values = image.astype(np.float64) / 255 if image.dtype == np.uint8 else image.astype(np.float64)
    if values.ndim == 2:
        return values * 255
    return values @ (255 * np.array(LUMA)) if full_range else values @ np.array(STUDIO_LUMA) + 16


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cuts rows at the bottom and columns at the right so that both sides are multiples of `scale`.

    Raises:
        HatlibError: the image is smaller than `scale`.
    """
    height, width = image.shape[:2]
    if min(height, width) < scale:
        raise HatlibError(f"scale {scale} needs an image of at least {scale}×{scale} pixels, got {height}×{width}")
    return image[: height - height % scale, : width - width % scale]


# --- pictures: files with all that is in them -------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """What an image file holds: pixels uint8 or uint16, (H, W, 3) or (H, W) if gray, and what comes with them."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None  # (H, W), of the same type; 0 is transparent
    profile: bytes | None = None  # ICC: what the numbers mean as colours


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Reads an image file with transparency, 16 bits and colour profile, its EXIF orientation applied.

    A palette becomes RGB; CMYK becomes RGB by its colour profile, if it has one (sRGB, and so no profile is kept).

    Raises:
        HatlibError: as `load_image`; an animation; more than 16 bits a channel; a kind of colour that is none of these.
    """
    with _opened(path) as file:
        frames = getattr(file, "n_frames", 1)
        if frames > 1 and file.format != "MPO":  # a phone's JPEG, with a second picture that nobody means
            raise HatlibError(f"{path} has {frames} frames; take one out and enlarge that")
        _refuse_floats(path, file)
        profile = file.info.get("icc_profile")
        if file.mode.startswith("I"):
            return Picture(_sixteen_bits(path, np.asarray(ImageOps.exif_transpose(file))), None, profile)
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
        return _picture(np.array(picture.convert("RGBA"))[..., 2 * gray:], profile)  # of gray: B, which is L, and A
    return Picture(np.array(picture.convert("L" if gray else "RGB")), None, profile)


def _picture(channels: np.ndarray, profile: bytes | None) -> Picture:
    """From (H, W, 1 to 4): gray or RGB, with alpha last where the number is even."""
    count = channels.shape[2]
    alpha = None if count % 2 else np.ascontiguousarray(channels[..., -1])
    return Picture(np.ascontiguousarray(channels[..., :3] if count > 2 else channels[..., 0]), alpha, profile)


def _sixteen_bits(path: str | os.PathLike[str], values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise HatlibError(f"{path} has values from {values.min()} to {values.max()}; 16 bits hold 0 to 65535")
    return values.astype(np.uint16)


def _read_sixteen(path: str | os.PathLike[str], file: Image.Image) -> np.ndarray:
    """uint16 (H, W, C) of a file with 16 bits a channel and more than one channel, of which Pillow keeps 8.

    Pillow is made to read it twice: it takes one byte of each number, and which one depends on the order of the bytes
    that it believes in. Gray with alpha it can't read so; but that has as many bytes a pixel as RGBA with 8 bits.
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
        high, low = (np.array(ImageOps.exif_transpose(half)).astype(np.uint16) for half in (file, other))
    return high << 8 | low


def _raw_mode(file: Image.Image) -> str:
    """How the numbers lie in the file, in Pillow's words: RGB;16B are big-endian ones of 16 bits."""
    args = next((tile[3] for tile in vars(file).get("tile", [])), "")
    return str(args[0] if isinstance(args, tuple) and args else args)


def _other_byte(tile: Any) -> Any:
    """Pillow's order to decode, with the other order of bytes: ;16B is big-endian, ;16L little-endian, ;16N ours."""
    raw, *more = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    raw = raw[:-1] + {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[raw[-1]]
    args = (raw, *more) if isinstance(tile[3], tuple) else raw
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)  # a plain tuple in old ones


def _cmyk_to_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """By the profile of the printing colours, which says how they look; without one, by Pillow's rule of thumb."""
    if profile:
        from PIL import ImageCms

        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # a damaged profile
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
            if converted is not None:
                return converted
    return picture.convert("RGB")


def check_format(path: str | os.PathLike[str], picture: Picture) -> None:
    """Raises HatlibError if a file of that name can't hold what the picture has: to be asked before the work."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise HatlibError(f"cannot save {path}: the name has to end in one of {', '.join(SUFFIXES)}")
    if picture.pixels.dtype == np.uint16 and suffix != ".png":
        raise HatlibError(f"cannot save {path}: pictures with 16 bits a channel are saved as .png")
    if picture.alpha is not None and suffix not in (".png", ".tif", ".tiff", ".webp"):
        raise HatlibError(f"cannot save {path}: transparency can be kept in .png, .tif and .webp")


def write_picture(path: str | os.PathLike[str], picture: Picture) -> None:
    """Writes a picture with its transparency, its 16 bits and its colour profile (which .bmp has no place for).

    Raises:
        HatlibError: as `check_format`, or a folder that can't be written to.
    """
    check_format(path, picture)
    pixels = picture.pixels if picture.pixels.ndim == 3 else picture.pixels[..., None]
    channels = pixels if picture.alpha is None else np.concatenate([pixels, picture.alpha[..., None]], axis=2)
    suffix = Path(path).suffix.lower()
    with whole(path) as temporary:
        if channels.dtype == np.uint16:
            temporary.write_bytes(_png16(channels, picture.profile))
        else:
            image = Image.fromarray(channels[..., 0] if channels.shape[2] == 1 else channels)
            image.save(temporary, icc_profile=picture.profile, **WRITER_OPTIONS.get(suffix, {}))


def _png16(channels: np.ndarray, profile: bytes | None) -> bytes:
    """A PNG file (RFC 2083) of uint16 (H, W, 1 to 4), which Pillow can't write."""
    height, width, count = channels.shape
    rows = channels.astype(">u2").reshape(height, -1).view(np.uint8)  # (H, bytes of a row)
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)  # 2: each row as its difference to the last
    filtered[0, 1:], filtered[1:, 1:] = rows[0], rows[1:] - rows[:-1]  # modulo 256
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]  # gray, gray with alpha, RGB, RGBA
    chunks = [(b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, kind, 0, 0, 0]))]
    if profile:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(profile)))
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    parts = [len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
             for name, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
