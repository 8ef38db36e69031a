"""hatlib.imaging.reading: what is in a file comes out as it is, or is refused in one line; never
another depth, sign, colour or orientation without a word."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from hatlib import HatlibError, load_image
from hatlib.imaging import reading
from hatlib.imaging.reading import Picture, read_picture
from hatlib.imaging.user_files import check_format, write_picture
from tests.imaging.test_io import photo, png16, same

tifffile = pytest.importorskip("tifffile")  # comes with scikit-image

PHOTO = photo()
GRAY = PHOTO[..., 0]
WIDE = np.random.default_rng(0).integers(1, 65536, (20, 30, 4), dtype=np.uint16)
RGB, ALPHA = WIDE[..., :3], WIDE[..., 3]


def tiff(values: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, values, **options)


def planes(values: np.ndarray, **options: Any) -> Callable[[Path], object]:
    moved = values.transpose(2, 0, 1)
    return tiff(moved, photometric="rgb", planarconfig="separate", **options)


def with_thumbnail(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(PHOTO, photometric="rgb")
        file.write(PHOTO[::4, ::4], photometric="rgb", subfiletype=1)


def png_with_transparent_colour(values: np.ndarray, key: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(png16(values, (b"tRNS", key)))


ONE = RGB.copy()
ONE[5, 6] = (1000, 2000, 3000)
ONE[5, 7] = (1001, 2000, 3000)  # its upper bytes are the same
ONE_GRAY = np.full((20, 30), 1001, np.uint16)
ONE_GRAY[5, 6] = 1000
HOLE = np.full((20, 30), 65535, np.uint16)
HOLE[5, 6] = 0
HALF = np.full((20, 30), 32768, np.uint16)

RIGHT: dict[str, tuple[str, Callable[[Path], object], Picture]] = {
    "8 bits in planes": ("a.tif", planes(PHOTO), Picture(PHOTO)),
    "16 bits in planes": ("a.tif", planes(RGB), Picture(RGB)),
    "16 bits in planes, with alpha": (
        "a.tif",
        planes(WIDE, extrasamples=["unassalpha"]),
        Picture(RGB, ALPHA),
    ),
    "16 bits in planes, compressed": ("a.tif", planes(RGB, compression="zlib"), Picture(RGB)),
    "16 bits in planes, big-endian": ("a.tif", planes(RGB, byteorder=">"), Picture(RGB)),
    "16 bits, gray with alpha": (
        "a.tif",
        tiff(WIDE[..., 2:], photometric="minisblack", extrasamples=["unassalpha"]),
        Picture(WIDE[..., 2], ALPHA),
    ),
    "16 bits, a channel that is no alpha": (
        "a.tif",
        tiff(WIDE, photometric="rgb", extrasamples=["unspecified"]),
        Picture(RGB),
    ),
    "8 bits, a channel that is no alpha": (
        "a.tif",
        tiff(np.dstack([PHOTO, GRAY]), photometric="rgb", extrasamples=["unspecified"]),
        Picture(PHOTO),
    ),
    "8 bits, white is 0": ("a.tif", tiff(255 - GRAY, photometric="miniswhite"), Picture(GRAY)),
    "16 bits, white is 0": ("a.tif", tiff(65535 - ALPHA, photometric="miniswhite"), Picture(ALPHA)),
    "16 bits, white is 0, big-endian": (
        "a.tif",
        tiff(65535 - ALPHA, photometric="miniswhite", byteorder=">"),
        Picture(ALPHA),
    ),
    "a small version in a second page": ("a.tif", with_thumbnail, Picture(PHOTO)),
    "16 bits, one transparent colour": (
        "a.png",
        png_with_transparent_colour(ONE, struct.pack(">3H", 1000, 2000, 3000)),
        Picture(ONE, HOLE),
    ),
    "16 bits, one transparent gray": (
        "a.png",
        png_with_transparent_colour(ONE_GRAY[..., None], struct.pack(">H", 1000)),
        Picture(ONE_GRAY, HOLE),
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_in_a_file_comes_out(tmp_path: Path, case: str) -> None:
    name, write, expected = RIGHT[case]
    write(tmp_path / name)
    same(read_picture(tmp_path / name), expected)


def test_what_was_multiplied_by_alpha_is_divided_by_it(tmp_path: Path) -> None:
    values = np.dstack([np.round(RGB * (32768 / 65535)).astype(np.uint16), HALF])
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.alpha, HALF)
    np.testing.assert_allclose(picture.pixels.astype(int), RGB, atol=2)


SIXTEEN_CMYK = np.dstack([65535 - RGB, HALF])
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "int8": (tiff(GRAY.astype(np.int8)), "signed numbers of 8 bits"),
    "int16": (tiff(GRAY.astype(np.int16)), "signed numbers of 16 bits"),
    "int32": (tiff(GRAY.astype(np.int32)), "signed numbers of 32 bits"),
    "int16 in colour": (tiff(PHOTO.astype(np.int16), photometric="rgb"), "signed numbers of 16"),
    "uint32": (tiff(GRAY.astype(np.uint32)), "32 bits per channel"),
    "uint32 in colour": (tiff(PHOTO.astype(np.uint32), photometric="rgb"), "32 bits per channel"),
    "float16": (tiff(GRAY.astype(np.float16)), "floating-point"),
    "float32": (tiff(GRAY.astype(np.float32)), "floating-point"),
    "float32 in colour": (tiff(PHOTO.astype(np.float32), photometric="rgb"), "floating-point"),
    "float64": (tiff(GRAY.astype(np.float64)), "floating-point"),
    "16-bit CMYK": (tiff(SIXTEEN_CMYK, photometric="separated"), "CMYK in 16 bits"),
    "LAB": (lambda path: Image.fromarray(PHOTO).convert("LAB").save(path), "kind LAB"),
    "two pages": (tiff(np.stack([PHOTO, PHOTO]), photometric="rgb"), "2 frames"),
    "two pages of 16 bits": (
        lambda path: tifffile.imwrite(
            path, np.stack([RGB.transpose(2, 0, 1)] * 2), photometric="rgb", planarconfig="separate"
        ),
        "2 frames",
    ),
    "a directory of damaged entries": (
        lambda path: path.write_bytes(b"II*\0\x08\0\0\0\xff\xff" + bytes(range(256))),
        "damaged",
    ),
}


@pytest.mark.parametrize("read", [read_picture, load_image])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_understood_is_named(
    tmp_path: Path, case: str, read: Callable[..., Any]
) -> None:
    write, says = REFUSED[case]
    write(tmp_path / "a.tif")
    with pytest.raises(HatlibError, match=says) as caught:
        read(tmp_path / "a.tif")
    assert "\n" not in str(caught.value) and "a.tif" in str(caught.value)


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a)[:, ::-1],
    8: lambda a: np.rot90(a),
}


def exif(orientation: int, *entries: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block with an orientation and other entries: tag, type, count, value or its place."""
    every = sorted([(0x0112, 3, 1, struct.pack("<HH", orientation, 0)), *entries])
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in every)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(every)) + body + bytes(40)


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation(tmp_path: Path, orientation: int) -> None:
    turn = TURNS[orientation]
    Image.fromarray(PHOTO).save(tmp_path / "8.png", exif=exif(orientation))
    (tmp_path / "16.png").write_bytes(png16(WIDE, (b"eXIf", exif(orientation)[6:])))
    tag = [(0x0112, "H", 1, orientation, True)]
    planes(RGB, extratags=tag)(tmp_path / "planes.tif")
    tiff(RGB, photometric="rgb", extratags=tag)(tmp_path / "16.tif")
    tiff(PHOTO, photometric="rgb", extratags=tag)(tmp_path / "8.tif")
    same(read_picture(tmp_path / "8.png"), Picture(turn(PHOTO)))
    same(read_picture(tmp_path / "16.png"), Picture(turn(RGB), turn(ALPHA)))
    for name, values in (("planes.tif", RGB), ("16.tif", RGB), ("8.tif", PHOTO)):
        same(read_picture(tmp_path / name), Picture(turn(values)))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
@pytest.mark.parametrize(
    "entry",
    [
        (0x0128, 11, 1, struct.pack("<f", 1.5)),
        (0x9204, 10, 1, struct.pack("<I", 8 + 2 + 24 + 4)),
        (0x011A, 2, 4, b"abc\0"),
        (0x010F, 2, 1 << 31, bytes(4)),
        (0x0128, 0, 1, bytes(4)),
    ],
)
def test_odd_exif_decides_nothing(
    tmp_path: Path, suffix: str, entry: tuple[int, int, int, bytes]
) -> None:
    best: dict[str, dict[str, Any]] = {".webp": {"lossless": True}, ".jpg": {"quality": 100}}
    path = tmp_path / f"a{suffix}"
    Image.fromarray(PHOTO).save(path, exif=exif(6, entry), **best.get(suffix, {}))
    picture = read_picture(path)
    atol = 25 if suffix == ".jpg" else 0
    np.testing.assert_allclose(picture.pixels.astype(int), np.rot90(PHOTO, -1), atol=atol)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LARGE = (len(SRGB) + 2_000_000).to_bytes(4, "big") + SRGB[4:] + bytes(2_000_000)


def texts(*lengths: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for k, length in enumerate(lengths):
        info.add_text(f"text {k}", "x" * length, zip=length > 1_000_000)
    return info


@pytest.mark.parametrize(
    ("options", "profile"),
    [
        ({"pnginfo": texts(3_000_000)}, None),
        ({"pnginfo": texts(*[999_999] * 70)}, None),
        ({"icc_profile": LARGE}, LARGE),
        ({"icc_profile": SRGB, "pnginfo": texts(3_000_000)}, SRGB),
        ({"icc_profile": SRGB + bytes(reading.LARGEST_PROFILE)}, None),  # or a bomb
    ],
)
def test_metadata_may_be_larger_than_pixels(
    tmp_path: Path, options: dict[str, Any], profile: bytes | None
) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "a.png", **options)
    same(read_picture(tmp_path / "a.png"), Picture(PHOTO, None, profile))


# --- what is no image, or no file


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n{} loop\n%%EOF\n"
HEADER = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
CLAIMS = b"\x89PNG\r\n\x1a\n" + b"".join(
    len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
    for kind, body in ((b"IHDR", HEADER), (b"IDAT", b""))
)


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_no_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(HatlibError, match="not an image"):
        load_image(tmp_path / "a.png")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["PCX", "SGI", "ICO", "DDS", "MSP", "IM"])
def test_formats_are_named(tmp_path: Path, kind: str) -> None:
    Image.fromarray(PHOTO).convert("1" if kind == "MSP" else "RGB").save(tmp_path / "a.png", kind)
    with pytest.raises(HatlibError, match="not an image"):
        load_image(tmp_path / "a.png")


def test_an_image_is_as_large_as_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "a.png").write_bytes(CLAIMS)
    with pytest.raises(HatlibError, match=r"60000×60000.*HATLIB_MAX_PIXELS=3600000000"):
        read_picture(tmp_path / "a.png")
    monkeypatch.setenv("HATLIB_MAX_PIXELS", "3600000000")
    monkeypatch.setattr("hatlib.system.devices.free_memory", lambda _: 8 << 30)
    with pytest.raises(HatlibError, match=r"about 43\.2 GB of memory, and 8\.6 GB are free"):
        read_picture(tmp_path / "a.png")
    Image.fromarray(PHOTO).save(tmp_path / "b.png")
    for text in ("599", "many"):
        monkeypatch.setenv("HATLIB_MAX_PIXELS", text)
        with pytest.raises(HatlibError, match="HATLIB_MAX_PIXELS"):
            read_picture(tmp_path / "b.png")
    # more than Pillow's own limit, which stays as it is for others
    monkeypatch.setenv("HATLIB_MAX_PIXELS", "600")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_picture(tmp_path / "b.png").pixels.shape == PHOTO.shape
    assert Image.MAX_IMAGE_PIXELS == 100 and not recwarn.list


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_not_a_regular_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.png")
    socket.socket(socket.AF_UNIX).bind("socket.png")
    os.symlink("loop.png", "loop.png")
    cases: dict[Any, str] = {
        "pipe.png": "not a regular file",
        "socket.png": "not a regular file",
        "/dev/zero": "not a regular file",
        "loop.png": "loop.png",
        "": "empty",
        "a\0b.png": "NUL|null",
        "x" * 5000: "too long",
        5: "int",
        None: "NoneType",
    }
    for path, says in cases.items():
        with pytest.raises(HatlibError, match=says) as caught:
            read_picture(path)
        assert len(str(caught.value)) < 400


# --- alpha


def test_alpha_that_hides_nothing_is_no_obstacle(tmp_path: Path) -> None:
    opaque = Picture(PHOTO, np.full(GRAY.shape, 255, np.uint8))
    assert not opaque.transparent and Picture(PHOTO, GRAY).transparent
    for name in ("a.jpg", "a.bmp"):
        check_format(tmp_path / name, opaque)
        write_picture(tmp_path / name, opaque)
        assert read_picture(tmp_path / name).alpha is None
    write_picture(tmp_path / "a.png", opaque)
    same(read_picture(tmp_path / "a.png"), opaque)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("a.webp", (1, 16384)),
        ("a.jpg", (65501, 1)),
        ("a.jpeg", (1, 65501)),
        ("a.tif", (40000, 30000)),
        ("a.bmp", (40000, 30000)),
    ],
)
def test_sides_that_a_format_cannot_hold(tmp_path: Path, name: str, shape: tuple[int, int]) -> None:
    image = np.broadcast_to(np.zeros((1, 1), np.uint8), shape)  # of one byte
    with pytest.raises(HatlibError, match=r"holds at most"):
        write_picture(tmp_path / name, Picture(image))
    half = Picture(image[: -(-shape[0] // 2), : -(-shape[1] // 2)])
    check_format(tmp_path / name, half)
    with pytest.raises(HatlibError, match=r"holds at most"):
        check_format(tmp_path / name, half, 2)
    assert list(tmp_path.iterdir()) == []
