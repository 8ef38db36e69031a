"""What comes with a picture beside its pixels: when, where and by whom it was taken, what somebody
wrote about it, and how large it prints.

What describes the file that it was read from is left out: the thumbnail, the orientation (the
pixels are turned already), places in the picture, and the notes of a camera's maker, which hold
offsets into the old file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

EXIF, GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
XMP_CHUNK = b"XML:com.adobe.xmp"  # the keyword in a PNG file
XMP_TAG = 700  # in a TIFF file

# EXIF 2.32, §4.6.4: what the first directory says of the photo. The others of a TIFF file say where
# its pixels are.
DESCRIPTION = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298),
    *(0x4746, 0x4749),  # a rating
    *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords, subject, as Windows writes them
)
RESOLUTION, UNIT = (0x011A, 0x011B), 0x0128
ORIENTATION = 0x0112
SIDES = (0xA002, 0xA003)  # §4.6.5: PixelXDimension, PixelYDimension
# of the directory EXIF: notes of the maker, other directories, pixels of the old size
OLD = (0x927C, 0xA005, 0x9214, 0xA214, 0xA20E, 0xA20F, 0xA210)

# bytes of EXIF, and of XMP, that are kept: what a JPEG file has room for, less what is added
LARGEST = 65_000
INCH, CENTIMETRE = 2, 3


@dataclass(frozen=True)
class Metadata:
    """EXIF as Pillow writes it, XMP as it was, and pixels per inch across and down."""

    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    left_out: str = ""  # what was too large, for a line on the terminal


NONE = Metadata()


def read(file: Image.Image) -> Metadata:
    """What a loaded file says, without what is damaged or larger than LARGEST."""
    found: dict[str, Any] = {"EXIF": None, "XMP": None}
    with contextlib.suppress(Exception):  # each kind of damage has its own
        found["EXIF"] = _exif(file.getexif())
    with contextlib.suppress(Exception):
        xmp = file.info.get("xmp")
        if xmp is None and hasattr(file, "tag_v2"):
            xmp = file.tag_v2.get(XMP_TAG)
        found["XMP"] = bytes(xmp) if xmp else None
    left_out = []
    for name, content in found.items():
        if content is not None and len(content) > LARGEST:
            left_out.append(f"{name} of {len(content):,} bytes is left out (at most {LARGEST:,})")
            found[name] = None
    return Metadata(found["EXIF"], found["XMP"], _dpi(file), "; ".join(left_out))


def _dpi(file: Image.Image) -> tuple[float, float] | None:
    with contextlib.suppress(Exception):
        values = file.info.get("dpi")
        if values is None:  # WebP has it in EXIF alone
            exif = file.getexif()
            inches = {INCH: 1.0, CENTIMETRE: 2.54}[int(exif.get(UNIT, INCH))]
            values = [inches * float(exif[tag]) for tag in RESOLUTION]
        across, down = (float(value) for value in values)
        # Pillow says 1 of a TIFF file that says nothing
        if all(1 < value <= 1e5 for value in (across, down)):
            return across, down
    return None


def _exif(source: Image.Exif) -> bytes | None:
    """What of EXIF is kept; None where that is nothing."""
    kept: dict[int, Any] = dict(_writable(source, DESCRIPTION))
    for directory in (EXIF, GPS):
        with contextlib.suppress(Exception):
            entries = source.get_ifd(directory)
            wanted = [tag for tag in entries if directory != EXIF or tag not in OLD]
            if values := dict(_writable(entries, wanted)):
                kept[directory] = values
    return _bytes(kept) if kept else None


def _writable(source: Any, tags: Iterable[int]) -> Iterable[tuple[int, Any]]:
    """The entries that Pillow can write: some files have them of a wrong type."""
    for tag in tags:
        with contextlib.suppress(Exception):
            if (value := source.get(tag)) is not None:
                _bytes({tag: value})
                yield tag, value


def _bytes(entries: dict[int, Any]) -> bytes:
    exif = Image.Exif()
    for tag, value in entries.items():
        exif[tag] = value
    return exif.tobytes()


def _exif_of(metadata: Metadata, width: int, height: int) -> Image.Exif:
    """EXIF for a file of that size, which needs no turning."""
    exif = Image.Exif()
    if metadata.exif is not None:
        exif.load(metadata.exif)
        exif[ORIENTATION] = 1
        details = exif.get_ifd(EXIF)
        if any(side in details for side in SIDES):
            details.update(zip(SIDES, (width, height), strict=True))
    if metadata.dpi is not None:
        for tag, value in zip(RESOLUTION, metadata.dpi, strict=True):
            exif[tag] = value
        exif[UNIT] = INCH
    return exif


def options(metadata: Metadata, suffix: str, width: int, height: int) -> dict[str, Any]:
    """What Pillow's `save` is told for a format; of BMP, that is pixels per inch alone.

    Args:
        suffix: of the file, in small letters.
        width, height: of the picture that is written.
    """
    saved: dict[str, Any] = {}
    if metadata.dpi is not None and suffix != ".webp":
        saved["dpi"] = metadata.dpi
    if suffix == ".bmp":
        return saved
    exif = _exif_of(metadata, width, height)
    if (metadata.exif is not None or suffix == ".webp") and len(exif):
        saved["exif"] = exif if suffix.startswith(".tif") else exif.tobytes()
    xmp = metadata.xmp
    if xmp is not None and suffix == ".png":
        saved["pnginfo"] = texts = PngImagePlugin.PngInfo()
        texts.add_itxt(XMP_CHUNK.decode(), xmp.decode("utf-8", "replace"))
    elif xmp is not None and suffix.startswith(".tif"):
        saved["exif"] = exif
        exif[XMP_TAG] = xmp
    elif xmp is not None:
        saved["xmp"] = xmp
    return saved


def chunks(metadata: Metadata, width: int, height: int) -> list[tuple[bytes, bytes]]:
    """The same for a PNG file that Pillow does not write: chunks that stand before the pixels."""
    found = []
    if metadata.dpi is not None:
        meter = [round(value / 0.0254).to_bytes(4, "big") for value in metadata.dpi]
        found.append((b"pHYs", b"".join(meter) + b"\1"))
    if metadata.xmp is not None:
        found.append((b"iTXt", XMP_CHUNK + bytes(5) + metadata.xmp))
    if metadata.exif is not None:
        exif = _exif_of(metadata, width, height).tobytes()
        found.append((b"eXIf", exif.removeprefix(b"Exif\0\0")))
    return found
