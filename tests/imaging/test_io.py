"""hatlib.imaging.io and hatlib.system.atomic: what comes in, what goes out, and what is said when
that can't be."""

from __future__ import annotations

import os
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hatlib.errors import HatlibError
from hatlib.imaging.convert import crop_to_multiple, luma, round_to_uint8, to_image, to_tensor
from hatlib.imaging.io import list_images, load_image, save_image
from hatlib.imaging.user_files import Picture, check_format, read_picture, write_picture
from hatlib.system import atomic


def photo(height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, so that JPEG has an easy time."""
    rows, columns = np.mgrid[:height, :width]
    planes = [rows * 5, columns * 4, 120 + 3 * rows - 2 * columns + seed]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)


def png16(image: np.ndarray, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG file of uint16 (H, W, 1 to 4), put together by hand, as Pillow writes none: filter 0 on
    each row."""
    height, width, count = image.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    header = (
        width.to_bytes(4, "big")
        + height.to_bytes(4, "big")
        + bytes([16, (0, 4, 2, 6)[count - 1], 0, 0, 0])
    )
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")
        for kind, body in chunks
    )


# --- round trips


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
@pytest.mark.parametrize("channels", ["rgb", "gray"])
def test_lossless_formats_give_back_every_pixel(tmp_path: Path, suffix: str, channels: str) -> None:
    image = photo() if channels == "rgb" else photo()[..., 0]
    path = tmp_path / f"picture{suffix}"
    save_image(path, image)
    expected = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    np.testing.assert_array_equal(load_image(path), expected)
    if image.ndim == 2 and suffix != ".webp":  # WebP has no one-channel pictures
        np.testing.assert_array_equal(load_image(path, gray="keep"), image)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_comes_back_nearly_the_same(tmp_path: Path, suffix: str) -> None:
    save_image(tmp_path / f"picture{suffix}", photo())
    difference = load_image(tmp_path / f"picture{suffix}").astype(float) - photo()
    assert 0 < np.abs(difference).mean() < 4


def test_rgb_stays_rgb_when_gray_is_kept(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", photo())
    assert load_image(tmp_path / "a.png", gray="keep").shape == (20, 30, 3)


def test_loaded_images_can_be_written_to_and_become_tensors_without_a_warning(
    tmp_path: Path,
) -> None:
    save_image(tmp_path / "gray.png", photo()[..., 0])
    image = load_image(tmp_path / "gray.png", gray="keep")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_tensor(image)
    image[0, 0] = 7
    assert image[0, 0] == 7


def test_one_pixel(tmp_path: Path) -> None:
    one = np.array([[[1, 2, 3]]], dtype=np.uint8)
    save_image(tmp_path / "one.png", one)
    np.testing.assert_array_equal(load_image(tmp_path / "one.png"), one)
    np.testing.assert_array_equal(to_image(to_tensor(one)), one)


# --- kinds of files


def test_palette_and_transparency_become_rgb(tmp_path: Path) -> None:
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    image[:, :3], image[:, 3:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(image).quantize(4).save(tmp_path / "palette.png")
    assert Image.open(tmp_path / "palette.png").mode == "P"
    np.testing.assert_array_equal(load_image(tmp_path / "palette.png", gray="keep"), image)
    alpha = np.dstack([image, np.full((4, 6), 128, np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(load_image(tmp_path / "alpha.png"), image)


def test_gray_with_alpha_is_one_channel(tmp_path: Path) -> None:
    Image.fromarray(photo()[..., 0]).convert("LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(load_image(tmp_path / "la.png", gray="keep"), photo()[..., 0])


def test_black_and_white(tmp_path: Path) -> None:
    bits = photo()[..., 0] > 50
    Image.fromarray(bits).save(tmp_path / "bits.png")
    assert Image.open(tmp_path / "bits.png").mode == "1"
    np.testing.assert_array_equal(
        load_image(tmp_path / "bits.png", gray="keep"), bits * np.uint8(255)
    )


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "print.tif")
    np.testing.assert_allclose(load_image(tmp_path / "print.tif").astype(int), photo(), atol=1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    wide = photo()[..., 0].astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / f"wide{suffix}")
    np.testing.assert_array_equal(
        load_image(tmp_path / f"wide{suffix}", gray="keep"), photo()[..., 0]
    )
    assert load_image(tmp_path / f"wide{suffix}").shape == (20, 30, 3)


def test_sixteen_bit_rgb_is_scaled_not_clipped(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(png16(photo().astype(np.uint16) * 257))
    np.testing.assert_array_equal(load_image(tmp_path / "wide.png"), photo())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: shown turned right by a quarter
    image = np.zeros((16, 32, 3), dtype=np.uint8)
    image[:, :16] = 255  # white on the left becomes white at the top
    Image.fromarray(image).save(tmp_path / f"turned{suffix}", exif=exif)
    turned = load_image(tmp_path / f"turned{suffix}")
    assert turned.shape == (32, 16, 3)
    assert turned[:12].mean() > 240 and turned[-12:].mean() < 15


# --- bad files: one line that says what is wrong


def error_of(path: Path) -> str:
    with pytest.raises(HatlibError) as caught:
        load_image(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file" in error_of(tmp_path / "none.png")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    assert "folder" in error_of(tmp_path)


def test_text_file_named_png(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    assert "not an image" in error_of(tmp_path / "text.png")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert "not an image" in error_of(tmp_path / "empty.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_truncated_file(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    save_image(path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    error_of(path)


def test_floating_point_file(tmp_path: Path) -> None:
    Image.fromarray(photo()[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    assert "floating-point" in error_of(tmp_path / "float.tif")


def test_gray_option_is_checked(tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match="'rgb' or 'keep'"):
        load_image(tmp_path / "a.png", gray="no")


# --- saving


@pytest.mark.parametrize(
    ("name", "image", "says"),
    [
        ("a.gif", photo(), r"\.png"),
        ("a", photo(), r"\.png"),
        ("a.png", photo() / 255, "uint8"),
        ("a.png", photo()[..., :2], r"\(20, 30, 2\)"),
        ("a.png", photo()[:0], r"\(0, 30, 3\)"),
        ("nowhere/a.png", photo(), "does not exist"),
    ],
)
def test_what_cannot_be_saved(tmp_path: Path, name: str, image: np.ndarray, says: str) -> None:
    with pytest.raises(HatlibError, match=says):
        save_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_saving_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(HatlibError, match="folder"):
        save_image(tmp_path / "a.png", photo())
    assert list((tmp_path / "a.png").iterdir()) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_saving_where_nothing_may_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    with pytest.raises(HatlibError, match="cannot write"):
        save_image(folder / "a.png", photo())


# --- files: whole or not at all


def test_whole_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")
    atomic.write_text(path, "new\n")
    assert path.read_bytes() == b"new\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, HatlibError])
def test_whole_leaves_the_old_file_when_the_block_fails(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic.atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_whole_names_the_file_when_the_disk_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(HatlibError, match=r"cannot write .*a\.txt: No space left"),
        atomic.atomic_path(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_whole_yields_a_path_with_the_same_suffix_in_the_same_folder(tmp_path: Path) -> None:
    with atomic.atomic_path(tmp_path / "a.png") as temporary:
        assert (
            temporary.parent == tmp_path
            and temporary.suffix == ".png"
            and temporary.name.startswith(".")
        )
        temporary.touch()


# --- pictures: transparency, 16 bits, colour profiles


def profile(name: str = "sRGB") -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def wide(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_a_picture_of_eight_bits_comes_back(
    tmp_path: Path, gray: bool, alpha: bool, suffix: str
) -> None:
    if (suffix == ".bmp" and alpha) or (suffix == ".webp" and gray):
        return  # these formats know no such pictures
    pixels = photo()[..., 0] if gray else photo()
    kept = None if suffix == ".bmp" else profile()
    written = Picture(pixels, photo()[..., 1] if alpha else None, kept)
    write_picture(tmp_path / f"a{suffix}", written)
    same(read_picture(tmp_path / f"a{suffix}"), written)


def same(one: Picture, other: Picture) -> None:
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert one.pixels.dtype == other.pixels.dtype and one.profile == other.profile
    if other.alpha is None:
        assert one.alpha is None
    else:
        assert one.alpha is not None and one.alpha.dtype == other.alpha.dtype
        np.testing.assert_array_equal(one.alpha, other.alpha)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("height", [1, 9, 16, 40])  # 16 rows are compressed at a time
def test_sixteen_bits_are_read_and_written(tmp_path: Path, count: int, height: int) -> None:
    image = wide(height, 7, count)
    (tmp_path / "hand.png").write_bytes(png16(image))
    read = read_picture(tmp_path / "hand.png")
    pixels = image[..., :3] if count > 2 else image[..., 0]
    same(read, Picture(pixels, None if count % 2 else image[..., -1]))
    write_picture(tmp_path / "ours.png", Picture(read.pixels, read.alpha, profile()))
    same(read_picture(tmp_path / "ours.png"), Picture(read.pixels, read.alpha, profile()))
    with Image.open(tmp_path / "ours.png") as file:  # somebody else's reader, of the upper bytes
        file.load()
        if count > 2:
            np.testing.assert_array_equal(np.asarray(file), image >> 8)


def test_sixteen_bits_are_written_in_little_memory(tmp_path: Path) -> None:
    picture = Picture(wide(2000, 1000, 3))
    tracemalloc.start()
    write_picture(tmp_path / "large.png", picture)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < picture.pixels.nbytes / 4


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_sixteen_bit_tiff(tmp_path: Path, compression: str | None, order: str, count: int) -> None:
    tifffile = pytest.importorskip("tifffile")  # comes with scikit-image
    image = wide(9, 7, count)
    more = {"extrasamples": ["unassalpha"]} if count == 4 else {}
    tifffile.imwrite(
        tmp_path / "a.tif",
        image[..., 0] if count == 1 else image,
        byteorder=order,
        photometric="minisblack" if count == 1 else "rgb",
        compression=compression,
        **more,
    )
    alpha = image[..., 3] if count == 4 else None
    same(
        read_picture(tmp_path / "a.tif"),
        Picture(image[..., 0] if count == 1 else image[..., :3], alpha),
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sixteen_bits_are_turned_as_exif_says(tmp_path: Path, count: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = wide(4, 6, count)
    (tmp_path / "a.png").write_bytes(png16(image, (b"eXIf", exif.tobytes()[6:])))
    pixels = image[..., :3] if count > 2 else image[..., 0]
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").pixels, np.rot90(pixels, -1))


def test_exif_orientation_of_a_photo_and_its_profile(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(photo()).save(tmp_path / "a.png", exif=exif, icc_profile=profile())
    same(read_picture(tmp_path / "a.png"), Picture(photo()[::-1, ::-1], None, profile()))
    Image.fromarray(photo()).save(tmp_path / "a.jpg", icc_profile=profile())
    assert read_picture(tmp_path / "a.jpg").profile == profile()


@pytest.mark.parametrize("transparent", [True, False])
def test_a_palette_becomes_rgb(tmp_path: Path, transparent: bool) -> None:
    image = np.zeros((4, 6, 4), np.uint8)
    image[:, :3], image[:, 3:] = (255, 0, 0, 255), (0, 0, 255, 0 if transparent else 255)
    Image.fromarray(image).quantize(4).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels[:, :3], image[:, :3, :3])
    assert picture.pixels.shape == (4, 6, 3)
    if transparent:
        np.testing.assert_array_equal(picture.alpha, image[..., 3])


def test_one_transparent_colour(tmp_path: Path) -> None:
    image = photo()[..., 0]
    Image.fromarray(image).save(tmp_path / "a.png", transparency=int(image[3, 4]))
    same(
        read_picture(tmp_path / "a.png"),
        Picture(image, np.where(image == image[3, 4], 0, 255).astype(np.uint8)),
    )


def test_black_and_white_is_gray(tmp_path: Path) -> None:
    bits = photo()[..., 0] > 50
    Image.fromarray(bits).save(tmp_path / "bits.png")
    same(read_picture(tmp_path / "bits.png"), Picture(bits * np.uint8(255)))


@pytest.mark.parametrize("icc", [None, b"damaged"])
def test_printing_colours_become_rgb(tmp_path: Path, icc: bytes | None) -> None:
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "print.tif", icc_profile=icc)
    picture = read_picture(tmp_path / "print.tif")
    np.testing.assert_allclose(picture.pixels.astype(int), photo(), atol=1)
    assert picture.profile is None and picture.alpha is None


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_an_animation_is_refused(tmp_path: Path, name: str) -> None:
    frames = [Image.fromarray(photo(seed=40 * i)) for i in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(HatlibError, match=r"has 3 frames; take one out"):
        read_picture(tmp_path / name)


def test_the_second_picture_in_a_phones_photo_is_left_out(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(
        tmp_path / "a.jpg",
        format="MPO",
        save_all=True,
        append_images=[Image.fromarray(photo()[:5])],
    )
    assert read_picture(tmp_path / "a.jpg").pixels.shape == (20, 30, 3)


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    Image.fromarray(photo()[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(photo()[..., 0].astype(np.int32) * 70000).save(tmp_path / "int.tif")
    Image.fromarray(photo()).convert("LAB").save(tmp_path / "lab.tif")
    (tmp_path / "cut.png").write_bytes(png16(wide(60, 50, 3))[:9000])
    (tmp_path / "cut2.png").write_bytes(png16(wide(60, 50, 2))[:5000])
    for name, says in (
        ("float.tif", "floating-point"),
        ("int.tif", "signed numbers of 32 bits"),
        ("lab.tif", "kind LAB"),
        ("cut.png", "damaged"),
        ("cut2.png", "damaged"),
        ("none.png", "no such file"),
    ):
        with pytest.raises(HatlibError, match=says) as caught:
            read_picture(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "picture", "says"),
    [
        ("a.jpg", Picture(wide(2, 2, 3)), "16 bits per channel are saved as .png"),
        ("a.jpg", Picture(photo(), photo()[..., 0]), "transparency can be kept in"),
        ("a.xyz", Picture(photo()), "has to end in"),
    ],
)
def test_formats_that_would_lose_something(
    tmp_path: Path, name: str, picture: Picture, says: str
) -> None:
    for write in (check_format, write_picture):
        with pytest.raises(HatlibError, match=says):
            write(tmp_path / name, picture)
    assert list(tmp_path.iterdir()) == []


# --- folders


def test_list_images_takes_images_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def test_list_images_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match="no image in"):
        list_images(tmp_path)
    with pytest.raises(HatlibError, match="no such folder"):
        list_images(tmp_path / "none")


# --- arrays and tensors


def test_to_tensor_and_back() -> None:
    tensor = to_tensor(photo())
    assert tensor.shape == (1, 3, 20, 30) and tensor.dtype == torch.float32
    assert tensor[0, 1, 0, 5] == photo()[0, 5, 1] / np.float32(255)
    np.testing.assert_array_equal(to_image(tensor), photo())
    gray = to_tensor(photo()[..., 2])
    assert gray.shape == (1, 1, 20, 30)
    np.testing.assert_array_equal(to_image(gray), photo()[..., 2])


def test_all_256_levels_survive_the_tensor() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(to_image(to_tensor(levels)), levels)


def test_to_image_clamps_and_rounds_half_up() -> None:
    values = torch.tensor(
        [-0.2, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.4 / 255, 1.3], dtype=torch.float32
    )
    assert to_image(values.view(1, 1, 6)).tolist() == [[0, 1, 2, 3, 254, 255]]


def test_round_to_uint8_rounds_half_up_in_numpy_and_torch() -> None:
    values = np.array([-1.0, 0.49, 0.5, 1.5, 2.5, 254.5, 300.0])
    expected = [0, 0, 1, 2, 3, 255, 255]
    assert round_to_uint8(values).tolist() == expected
    assert round_to_uint8(torch.from_numpy(values)).tolist() == expected


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (4, 4, 4), (4, 4)])
def test_to_image_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(HatlibError, match="1 or 3 channels"):
        to_image(torch.zeros(shape))


def test_to_image_of_nan() -> None:
    with pytest.raises(HatlibError, match="not finite"):
        to_image(torch.full((1, 3, 2, 2), float("nan")))


@pytest.mark.parametrize(
    "image", [np.zeros((3, 4, 4)), np.zeros((4, 4), np.int32), [[1, 2]], torch.zeros(3, 4, 4)]
)
def test_to_tensor_of_something_else(image: object) -> None:
    with pytest.raises(HatlibError):
        to_tensor(image)  # type: ignore[arg-type]


# --- luma


def test_luma_ranges() -> None:
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    np.testing.assert_allclose(luma(ends), [[16, 235]], atol=1e-12)
    np.testing.assert_allclose(luma(ends, full_range=True), [[0, 255]], atol=1e-12)


def test_luma_is_matlabs_rgb2ycbcr() -> None:
    red, green, blue = (np.eye(3, dtype=np.uint8) * 255)[None].transpose(1, 0, 2)[:, None]
    assert luma(red)[0, 0] == pytest.approx(16 + 65.481)
    assert luma(green)[0, 0] == pytest.approx(16 + 128.553)
    assert luma(blue)[0, 0] == pytest.approx(16 + 24.966)


def test_luma_of_floats_is_that_of_bytes() -> None:
    np.testing.assert_allclose(luma(photo() / 255), luma(photo()), atol=1e-12)


def test_luma_takes_gray_as_it_is() -> None:
    gray = photo()[..., 0]
    np.testing.assert_allclose(luma(gray), gray, atol=1e-12)
    np.testing.assert_allclose(luma(gray / 255, full_range=True), gray, atol=1e-12)


# --- cropping


def test_crop_to_multiple() -> None:
    cropped = crop_to_multiple(photo(21, 35), 4)
    np.testing.assert_array_equal(cropped, photo(21, 35)[:20, :32])
    assert crop_to_multiple(photo(3, 3), 3).shape == (3, 3, 3)
    with pytest.raises(HatlibError, match="at least 4×4 pixels, got 3×30"):
        crop_to_multiple(photo(3, 30), 4)
