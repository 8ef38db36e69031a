"""hatlib.imaging.metadata: what comes with a picture goes with its result, and describes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from hatlib.imaging import metadata
from hatlib.imaging.user_files import Picture, read_picture, write_picture

EXIF, GPS = ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
PIXELS = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><dc:title>Café</dc:title></x:xmpmeta>'.encode()
LATITUDE = (IFDRational(34), IFDRational(4), IFDRational(12))


def camera(orientation: int = 1) -> Image.Exif:
    """What a camera writes."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8298] = "Somebody"
    exif[0x0112] = orientation
    exif[0x0100] = 10  # the width of the old file
    exif[EXIF] = {0x9003: "2026:01:02 03:04:05", 0xA002: 10, 0xA003: 12, 0x927C: b"maker note"}
    exif[GPS] = {1: "N", 2: LATITUDE}
    return exif


def photo(path: Path, orientation: int = 1, **options: Any) -> None:
    """A picture with everything, as a camera or an editor saves it."""
    if path.suffix == ".png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        texts.add_text("prompt", "a cat")
        options = {"pnginfo": texts, **options}
    else:
        options = {"xmp": XMP, **options}
    exif = camera(orientation)
    if path.suffix == ".tif":
        content = exif.tobytes()
        exif = Image.Exif()
        exif.load(content)
        exif[700] = options.pop("xmp")
    if path.suffix == ".webp":
        exif[0x011A] = exif[0x011B] = 300.0
        exif[0x0128] = 2
    Image.fromarray(PIXELS).save(path, dpi=(300, 300), exif=exif, **options)


def entries(path: Path) -> dict[str, Any]:
    """What another program finds in a file."""
    with Image.open(path) as file:
        file.load()
        exif = file.getexif()
        details = exif.get_ifd(EXIF)
        place = exif.get_ifd(GPS)
        xmp = file.info.get("xmp") or (file.tag_v2.get(700) if hasattr(file, "tag_v2") else None)
        dpi = file.info.get("dpi") or (exif.get(0x011A), exif.get(0x011B))
        return {
            "maker": exif.get(0x010F),
            "owner": exif.get(0x8298),
            "turn": exif.get(0x0112, 1),
            "date": details.get(0x9003),
            "sides": (details.get(0xA002), details.get(0xA003)),
            "maker note": details.get(0x927C),
            "place": tuple(map(float, place.get(2, ()))),
            "XMP": xmp,
            "dpi": tuple(round(float(value)) for value in dpi if value is not None),
            "thumbnail": dict(exif.get_ifd(ExifTags.IFD.IFD1)),
        }


KEPT = {
    "maker": "Maker",
    "owner": "Somebody",
    "turn": 1,
    "date": "2026:01:02 03:04:05",
    "sides": (30, 24),  # of the result
    "maker note": None,
    "place": (34.0, 4.0, 12.0),
    "XMP": XMP,
    "dpi": (300, 300),
    "thumbnail": {},
}


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("to", [".png", ".jpg", ".tif", ".webp", ".png 16 bits"])
@pytest.mark.parametrize("of", [".png", ".jpg", ".tif", ".webp"])
def test_metadata_goes_with_the_result(tmp_path: Path, of: str, to: str, orientation: int) -> None:
    photo(tmp_path / f"a{of}", orientation)
    picture = read_picture(tmp_path / f"a{of}")
    assert picture.pixels.shape == ((12, 10, 3) if orientation == 1 else (10, 12, 3))
    suffix, *wide = to.split(maxsplit=1)
    result = np.zeros((24, 30, 3), np.uint16 if wide else np.uint8)
    write_picture(tmp_path / f"b{suffix}", dataclasses.replace(picture, pixels=result))
    assert entries(tmp_path / f"b{suffix}") == KEPT


def test_of_a_bmp_pixels_per_inch_are_kept(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    write_picture(tmp_path / "b.bmp", read_picture(tmp_path / "a.jpg"))
    assert entries(tmp_path / "b.bmp")["dpi"] == (300, 300)


def test_a_tiff_of_another_decoder_keeps_them_too(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS.astype(np.uint16),
        photometric="rgb",
        planarconfig="contig",
        extratags=[(315, "s", 0, "An artist", True)],
        resolution=(300, 300),
        resolutionunit="INCH",
    )
    picture = read_picture(tmp_path / "a.tif")
    write_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as file:
        assert file.getexif()[315] == "An artist"
    assert entries(tmp_path / "b.png")["dpi"] == (300, 300)
    assert 256 not in Image.open(tmp_path / "b.png").getexif()  # where its pixels were


def no_metadata(path: Path) -> None:
    Image.fromarray(PIXELS).save(path)


def odd_types(path: Path) -> None:
    """Numbers where texts stand, and the other way round."""
    exif = camera()
    exif[0x0131] = "Editor"
    content = exif.tobytes().replace(b"\x31\x01\x02\x00", b"\x31\x01\x0c\x00")  # Software: DOUBLE
    Image.fromarray(PIXELS).save(path, exif=content)


def large(path: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "x" * 70_000)
    exif = Image.Exif()
    exif[0x010E] = "d" * 90_000
    Image.fromarray(PIXELS).save(path, pnginfo=texts, exif=exif)


ODD: dict[str, tuple[Callable[[Path], None], dict[str, Any], str]] = {
    "none": (no_metadata, {"maker": None, "XMP": None, "sides": (None, None)}, ""),
    "a tag of a wrong type": (odd_types, {"maker": "Maker", "place": KEPT["place"]}, ""),
    "more than a JPEG has room for": (
        large,
        {"XMP": None},
        "EXIF of 90,034 bytes is left out (at most 65,000); "
        "XMP of 70,000 bytes is left out (at most 65,000)",
    ),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_what_cannot_be_kept_stops_nothing(tmp_path: Path, case: str, suffix: str) -> None:
    make, expected, left_out = ODD[case]
    make(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.metadata.left_out == left_out
    write_picture(tmp_path / f"b{suffix}", picture)
    read = entries(tmp_path / f"b{suffix}")
    assert {name: read[name] for name in expected} == expected
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, PIXELS)


def test_no_metadata_is_none() -> None:
    assert Picture(PIXELS).metadata == metadata.NONE
