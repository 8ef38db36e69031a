"""Image files as they come: opened with care, and read with all that is in them.

Pillow decodes. What is here is what it leaves to its caller, or would get wrong without a word: a
file that is no image, an image that does not fit into memory, 16 bits per channel, signed numbers,
planes and odd colours of TIFF, transparency, orientation, metadata that is damaged or larger than
the image.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import stat
import sys
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from hatlib.errors import HatlibError
from hatlib.imaging import metadata
from hatlib.system import devices

PathLike = str | os.PathLike[str]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
# By content, whatever the file is called. Pillow knows forty more, some of which start programs (an
# EPS runs Ghostscript) or are decoded by code that nobody has looked at for long.
FORMATS = (
    *("PNG", "JPEG", "MPO", "BMP", "DIB", "TIFF", "WEBP"),
    *("GIF", "PPM", "TGA", "JPEG2000", "AVIF"),
)

# Pixels of the largest image that is read, unless MAX_PIXELS_VARIABLE says another number: the 200
# million of a phone, and 24 million upscaled ×4, fit.
MAX_PIXELS = 1 << 29
MAX_PIXELS_VARIABLE = "HATLIB_MAX_PIXELS"
BYTES_PER_PIXEL = (
    12  # of memory, while an image is decoded: RGB, twice as Pillow has it, once as we
)
LARGEST_PROFILE = 16 << 20  # bytes of a colour profile; a larger one is left out

SIGNED, FLOATING = (2, 5), (3, 6)  # TIFF 6.0, SampleFormat
MINISWHITE, MINISBLACK, RGB = 0, 1, 2  # TIFF 6.0, PhotometricInterpretation
PREMULTIPLIED, ALPHA = 1, 2  # TIFF 6.0, ExtraSamples: colours times alpha, or as they are
SUBFILE_TYPE, REDUCED = 254, 1  # TIFF 6.0, NewSubfileType: a smaller version of another page
ORIENTATION = 0x0112  # TIFF 6.0 and EXIF

_opening = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """What an image file holds: pixels uint8 or uint16, (H, W, 3) or (H, W) if gray, and what comes
    with them."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None  # (H, W), of the same type; 0 is transparent
    profile: bytes | None = None  # ICC: what the numbers mean as colours
    metadata: metadata.Metadata = metadata.NONE  # EXIF, XMP, pixels per inch

    @property
    def transparent(self) -> bool:
        """Whether alpha hides anything."""
        if self.alpha is None:
            return False
        return bool(self.alpha.min() < np.iinfo(self.alpha.dtype).max)


def read_picture(path: PathLike, metadata: bool = True) -> Picture:
    """Reads an image file with transparency, 16 bits, colour profile and metadata (EXIF, XMP and
    pixels per inch), its EXIF orientation applied.

    A palette becomes RGB; CMYK becomes RGB by its colour profile, if it has one (sRGB, and so no
    profile is kept). What was multiplied by alpha is divided by it again. Other metadata, such as
    the texts of a PNG file, is not read.

    Args:
        path: PNG, JPEG, BMP, TIFF, WebP, GIF, PPM, TGA, JPEG 2000 or AVIF, by its content. The last
            two give 8 bits per channel of colour whatever they have.
        metadata: whether EXIF, XMP and pixels per inch are wanted.
    Raises:
        HatlibError: no such file, not an image, a damaged one; more pixels than `MAX_PIXELS`, or
            than fit into memory; an animation; signed or floating-point numbers, more than 16 bits
            per channel; a kind of colour that is none of these.
    """
    tags = _tiff_tags(path)
    if tags is not None and _needs_tifffile(tags):
        picture = _read_tifffile(path, tags)
        if metadata:
            with contextlib.suppress(HatlibError), opened(path) as file:
                return _with_metadata(picture, file)
        return picture
    with opened(path) as file:
        picture = _read(path, file)
        return _with_metadata(picture, file) if metadata else picture


def _with_metadata(picture: Picture, file: Image.Image) -> Picture:
    return dataclasses.replace(picture, metadata=metadata.read(file))


def _read(path: PathLike, file: Image.Image) -> Picture:
    """The picture of a file that Pillow understands, without metadata."""
    _check_pages(path, file)
    profile = file.info.get("icc_profile")
    if file.mode == "F":
        raise _floats(path)
    if file.mode.startswith("I"):
        file.load()
        values = _sixteen_bits(path, np.asarray(file))
        key = _transparent_colour(file)
        alpha = None if key is None else _hidden(values == key)
        return _turned(Picture(values, alpha, profile), _orientation(file))
    if ";16" in _raw_mode(file):
        channels = _read_sixteen(file)
        key = _transparent_colour(file)
        if key is not None:
            alpha = _hidden((channels == key).all(axis=2))
            channels = np.concatenate([channels, alpha[..., None]], axis=2)
        return _turned(_picture(channels, profile), _orientation(file))
    file.load()
    return _turned(_eight_bits(path, file, profile), _orientation(file))


# --- opening --------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(path: PathLike) -> Iterator[Image.Image]:
    """The image file, opened by Pillow, of a size that can be read; what goes wrong inside the
    block, too, becomes one line that names the file."""
    check_file(path)
    with _one_line(path):
        source, profile = _without_texts(path)
        with _open(source) as file:
            check_pixels(path, *file.size)
            if profile is not None:
                file.info["icc_profile"] = profile
            yield file


@contextlib.contextmanager
def _one_line(path: PathLike) -> Iterator[None]:
    """Whatever a damaged file makes a decoder do becomes a HatlibError."""
    try:
        yield
    except (HatlibError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise HatlibError(
            f"{path} is not an image that can be read ({', '.join(SUFFIXES)})"
        ) from None
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise HatlibError(f"{path} is damaged or can't be read: {reason}") from None


def check_file(path: PathLike) -> None:
    """Raises HatlibError unless there is a regular file of that name. A pipe would be waited for,
    and a device has no end."""
    if not isinstance(path, str | os.PathLike):
        raise HatlibError(f"an image file is given by its path, got {type(path).__name__}")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise HatlibError(f"no such file: {os.fspath(path) or 'the name is empty'}") from None
    except (OSError, ValueError) as error:  # a name that is too long, a loop of links
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HatlibError(f"{str(path)[:200]!r} can't be read: {reason}") from None
    if stat.S_ISDIR(mode):
        raise HatlibError(f"{path} is a folder, and an image file was expected")
    if not stat.S_ISREG(mode):
        raise HatlibError(f"{path} is not a regular file")


def check_pixels(path: PathLike, width: int, height: int) -> None:
    """Raises HatlibError if an image of that size is not read: before it is decoded."""
    pixels = width * height
    limit = _max_pixels()
    if pixels > limit:
        raise HatlibError(
            f"{path} has {width}×{height} pixels, more than {limit}; "
            f"{MAX_PIXELS_VARIABLE}={pixels} allows as many"
        )
    devices.require_memory(pixels * BYTES_PER_PIXEL, f"{path}, {width}×{height} pixels,")


def _max_pixels() -> int:
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 19):
        raise HatlibError(f"{MAX_PIXELS_VARIABLE} is '{text}'; it is a number of pixels")
    return int(text)


def _open(source: PathLike | IO[bytes]) -> Image.Image:
    """Pillow's open for our formats. Its own limit of pixels is one for the whole process, and
    lower than what upscaling makes: it is off while the header is read."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # AVIF is not in every Pillow
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(source, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _without_texts(path: PathLike) -> tuple[PathLike | IO[bytes], bytes | None]:
    """A PNG file without its texts, and its colour profile apart if that is a large one: Pillow
    refuses the whole image where either exceeds a megabyte. Any other file as it is.

    The prompt that an image was generated from, or the layers of an editor, are such texts. So is
    XMP, which stays if it is of a usual size and not compressed.
    """
    pieces: list[tuple[int, int]] = []  # start and end of what is kept
    profile = None
    has_xmp = False
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return path, None
        start = 8
        while start < size:
            file.seek(start)
            header = file.read(8)
            end = start + 12 + int.from_bytes(header[:4], "big")
            leave_out = header[4:] in (b"tEXt", b"zTXt", b"iTXt")
            if header[4:] == b"iTXt" and not has_xmp and end - start < 2 * metadata.LARGEST:
                uncompressed = metadata.XMP_CHUNK + b"\0\0"
                has_xmp = file.read(len(uncompressed)) == uncompressed
                leave_out = not has_xmp
            if header[4:] == b"iCCP" and end <= size:
                content = _unpacked_profile(file.read(end - start - 12))
                leave_out = content is None or len(content) > PngImagePlugin.MAX_TEXT_CHUNK
                profile = content if leave_out else None
            if not leave_out:
                pieces.append((start, min(end, size)))
            start = end
        if sum(end - start for start, end in pieces) == size - 8:
            return path, None
        file.seek(0)
        content = file.read()
    kept = content[:8] + b"".join(content[start:end] for start, end in pieces)
    return io.BytesIO(kept), profile


def _unpacked_profile(chunk: bytes) -> bytes | None:
    """The colour profile of a PNG's iCCP (name, 0, 0, compressed profile); None if it is damaged or
    too large."""
    with contextlib.suppress(zlib.error):
        profile = zlib.decompressobj().decompress(
            chunk[chunk.find(b"\0") + 2 :], LARGEST_PROFILE + 1
        )
        if len(profile) <= LARGEST_PROFILE:
            return profile
    return None


def _check_pages(path: PathLike, file: Image.Image) -> None:
    """Raises HatlibError if there is more than one picture: nobody could say which one is meant.

    A smaller version of the same picture, in a page of its own, does not count; nor does the second
    picture of a phone's JPEG (MPO).
    """
    frames = getattr(file, "n_frames", 1)
    if frames == 1 or file.format == "MPO":
        return
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        others = 0
        for frame in range(1, frames):
            file.seek(frame)
            others += not (int(file.tag_v2.get(SUBFILE_TYPE, 0)) & REDUCED)
            if others:
                break
        file.seek(0)
        if not others:
            return
    raise _frames(path, frames)


def _frames(path: PathLike, count: int) -> HatlibError:
    return HatlibError(f"{path} has {count} frames; take one out and use that")


# --- 8 bits ---------------------------------------------------------------------------------------


def _eight_bits(path: PathLike, file: Image.Image, profile: bytes | None) -> Picture:
    """Of a loaded file with 8 bits per channel or fewer, as it lies there."""
    picture: Image.Image = file
    if picture.mode == "CMYK":
        return Picture(np.array(_cmyk_to_rgb(picture, profile)))
    gray = picture.mode in ("1", "L", "LA", "La")
    if not gray and picture.mode not in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        raise HatlibError(f"{path} has colours of the kind {picture.mode}; save it as RGB")
    if not picture.has_transparency_data:
        return Picture(np.array(picture.convert("L" if gray else "RGB")), None, profile)
    if picture.mode == "La":  # multiplied by alpha; Pillow knows only the way to LA
        picture = picture.convert("LA")
    channels = np.array(picture.convert("RGBA"))
    return _picture(channels[..., 2 * gray :], profile)  # of gray: B, which is L, and A


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


def _picture(channels: np.ndarray, profile: bytes | None) -> Picture:
    """From (H, W, 1 to 4): gray or RGB, with alpha last where the number is even."""
    count = channels.shape[2]
    alpha = None if count % 2 else np.ascontiguousarray(channels[..., -1])
    pixels = np.ascontiguousarray(channels[..., :3] if count > 2 else channels[..., 0])
    return Picture(pixels, alpha, profile)


# --- 16 bits --------------------------------------------------------------------------------------


def _sixteen_bits(path: PathLike, values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise HatlibError(
            f"{path} has values from {values.min()} to {values.max()}; 16 bits hold 0 to 65535"
        )
    return values.astype(np.uint16)


def _read_sixteen(file: Image.Image) -> np.ndarray:
    """uint16 (H, W, C) of a file with 16 bits per channel and several channels, of which Pillow
    keeps 8.

    Pillow is made to read it twice: it takes one byte of each number, and which one depends on the
    order of the bytes that it believes in. Gray with alpha it can't read so; but that has as many
    bytes a pixel as RGBA with 8 bits.
    """
    source: Any = vars(file)["fp"]
    place = source.tell()
    source.seek(0)
    content = io.BytesIO(source.read())
    source.seek(place)
    if file.format == "PNG" and _raw_mode(file).startswith("LA;"):
        data = content.getvalue()
        header = data[12:24] + bytes([8, 6]) + data[26:29]  # 8 bits a channel, RGBA
        disguised = data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]
        with _open(io.BytesIO(disguised)) as pairs:
            both = np.array(pairs).astype(np.uint16)
        return both[..., 0::2] << 8 | both[..., 1::2]
    with _open(content) as other:
        vars(other)["tile"] = [_other_byte(tile) for tile in vars(other)["tile"]]
        file.load()
        halves = [np.array(half) for half in (file, other)]
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


def _transparent_colour(file: Image.Image) -> np.ndarray | None:
    """The colour that is transparent in a PNG of 16 bits (tRNS), one number per channel."""
    key = file.info.get("transparency") if file.format == "PNG" else None
    return None if key is None or isinstance(key, bytes) else np.array(key)


def _hidden(where: np.ndarray) -> np.ndarray:
    """Alpha, uint16: 0 where something is hidden, opaque elsewhere."""
    return np.where(where, 0, 65535).astype(np.uint16)


# --- TIFF -----------------------------------------------------------------------------------------


def _tiff_tags(path: PathLike) -> dict[str, Any] | None:
    """How the numbers of a TIFF's first page are to be understood; None for another file.

    Raises:
        HatlibError: numbers that are no image of 8 or 16 bits.
    """
    check_file(path)
    try:
        with open(path, "rb") as file:
            header = file.read(8)
            if header[:4] not in TiffImagePlugin.PREFIXES:
                return None
            header += file.read(8 if header[2:4] in (b"\x2b\0", b"\0\x2b") else 0)  # BigTIFF
            page = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(page.next)
            page.load(file)
        tags = {
            "bits": max(page.get(TiffImagePlugin.BITSPERSAMPLE, (1,))),
            "kinds": set(page.get(TiffImagePlugin.SAMPLEFORMAT, (1,))),
            "colours": page.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0),
            "channels": page.get(TiffImagePlugin.SAMPLESPERPIXEL, 1),
            "extra": tuple(page.get(TiffImagePlugin.EXTRASAMPLES, ())),
            "planes": page.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2,
            "orientation": page.get(ORIENTATION, 1),
            "size": (int(page[TiffImagePlugin.IMAGEWIDTH]), int(page[TiffImagePlugin.IMAGELENGTH])),
            "profile": page.get(TiffImagePlugin.ICCPROFILE),
        }
        bits = int(tags["bits"])
    except Exception as error:  # a directory of damaged entries
        raise HatlibError(f"{path} is damaged or can't be read: {error}") from None
    if tags["kinds"] & set(FLOATING):
        raise _floats(path)
    if tags["kinds"] & set(SIGNED):
        raise HatlibError(
            f"{path} holds signed numbers of {bits} bits, whose black and white are not known; "
            "save it with 8 or 16 bits, unsigned"
        )
    if bits > 16:
        raise HatlibError(f"{path} has {bits} bits per channel; save it with 8 or 16")
    return tags


def _floats(path: PathLike) -> HatlibError:
    return HatlibError(
        f"{path} holds floating-point numbers without a known range; save it with 8 or 16 bits"
    )


def _needs_tifffile(tags: dict[str, Any]) -> bool:
    """Whether a TIFF has 16 bits in an arrangement that Pillow would misunderstand."""
    if tags["bits"] != 16:
        return False
    if tags["channels"] == 1:
        return bool(tags["colours"] == MINISWHITE)
    usual = tags["colours"] == RGB and tags["extra"] in ((), (0,), (ALPHA,))
    return not usual or tags["planes"]


def _read_tifffile(path: PathLike, tags: dict[str, Any]) -> Picture:
    """A TIFF of 16 bits by another decoder, which leaves the meaning of the numbers to us."""
    import tifffile

    colours = tags["colours"]
    if colours not in (MINISWHITE, MINISBLACK, RGB):
        name = {3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "LAB"}.get(colours, f"kind {colours}")
        raise HatlibError(f"{path} has colours of the kind {name} in 16 bits; save it as RGB")
    check_pixels(path, *tags["size"])
    with _one_line(path), tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        if sum(not page.is_reduced for page in pages) > 1:
            raise _frames(path, len(pages))
        try:
            values = pages[0].asarray()  # (H, W), (H, W, C), or (C, H, W) in planes
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise HatlibError(
                f"{path} has 16 bits in an arrangement that can't be read with the compression "
                f"{pages[0].compression.name}; save it without compression, or with ZIP"
            ) from None
    if values.dtype != np.uint16 or values.ndim not in (2, 3):
        raise HatlibError(f"{path} has channels of different kinds; save it as RGB")
    channels = values[..., None] if values.ndim == 2 else values
    if values.ndim == 3 and tags["planes"]:
        channels = np.moveaxis(values, 0, 2)
    count = 3 if colours == RGB else 1
    pixels = 65535 - channels[..., :count] if colours == MINISWHITE else channels[..., :count]
    if tags["extra"][:1] in ((PREMULTIPLIED,), (ALPHA,)):
        alpha = channels[..., count : count + 1]
        if tags["extra"][0] == PREMULTIPLIED:
            pixels = _divided(pixels, alpha)
        pixels = np.concatenate([pixels, alpha], axis=2)
    return _turned(_picture(pixels, tags["profile"]), tags["orientation"])


def _divided(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, as they were before: uint16 (H, W, C)."""
    values = pixels * (65535 / np.maximum(alpha, 1))
    return np.minimum(np.floor(values + 0.5), 65535).astype(np.uint16)


# --- orientation ----------------------------------------------------------------------------------


def _orientation(file: Image.Image) -> int:
    """How a loaded picture is to be turned, 1 to 8 (EXIF 2.3, Orientation); 1 where nothing says
    so. Whatever else its EXIF has need not be right."""
    with contextlib.suppress(Exception):  # each kind of damage has its own
        return int(file.getexif().get(ORIENTATION, 1))
    return 1


def _turned(picture: Picture, orientation: int) -> Picture:
    """As it is to be seen."""
    if orientation not in range(2, 9):
        return picture

    def turn(values: np.ndarray) -> np.ndarray:
        values = values.swapaxes(0, 1) if orientation >= 5 else values
        values = values[::-1] if orientation in (3, 4, 7, 8) else values
        return np.ascontiguousarray(values[:, ::-1] if orientation in (2, 3, 6, 7) else values)

    alpha = None if picture.alpha is None else turn(picture.alpha)
    return dataclasses.replace(picture, pixels=turn(picture.pixels), alpha=alpha)
