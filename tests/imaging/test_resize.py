"""imresize: MATLAB's numbers, numpy and torch alike, in every direction, at every border."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hatlib import HatlibError
from hatlib.imaging.convert import round_to_uint8
from hatlib.imaging.resize import border_indices, cubic, imresize

RNG = np.random.default_rng(0)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
SCALES = [1 / 4, 1 / 3, 1 / 2, 2.0, 3.0, 4.0, 0.7, 1.0]


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(image, -1, 0).copy())


@pytest.mark.parametrize("name, count", [("set5", 5), ("set14", 14)])
def test_original_lr_files_are_equal_in_every_pixel(needs_data, name, count):
    """The x4 files of Set5 and Set14 (SelfExSR) were made by an older MATLAB: replicated border,
    rows first."""
    from hatlib.data import datasets

    needs_data(name)
    pairs = datasets.load(name, scale=4, lr="original")
    assert len(pairs) == count
    for pair in pairs:
        np.testing.assert_array_equal(
            imresize(pair.hr, 1 / 4, border="replicate"), pair.lr, err_msg=pair.name
        )


def test_the_cubic_is_keys_kernel():
    """a = −0.5: 1 at 0, 0 at 1 and 2, −1/16 at 1.5; the weights of any four neighbours sum to 1."""
    np.testing.assert_allclose(
        cubic(np.array([0, 0.5, 1, 1.5, 2, -1.5, 9])), [1, 9 / 16, 0, -1 / 16, 0, -1 / 16, 0]
    )
    offsets = np.linspace(0, 1, 11)[:, None] + np.arange(-2, 2)
    np.testing.assert_allclose(cubic(offsets).sum(axis=1), 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_middle_of_a_ramp_lands_where_matlab_puts_it(scale):
    """Output sample j lies at input position (j + ½)·s − ½ when downsampling; a ramp shows the
    position as its value."""
    ramp = np.tile(np.arange(24.0 * scale), (8 * scale, 1))
    row = imresize(ramp, 1 / scale)[4]
    np.testing.assert_allclose(row[2:-2], ((np.arange(24) + 0.5) * scale - 0.5)[2:-2], atol=1e-10)
    row = imresize(ramp, float(scale))[4]
    inside = slice(2 * scale, -2 * scale)
    np.testing.assert_allclose(
        row[inside], ((np.arange(len(row)) + 0.5) / scale - 0.5)[inside], atol=1e-10
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize("scale", SCALES)
def test_torch_and_numpy_agree(scale, border, device):
    image = RNG.random((23, 31, 3))
    want = imresize(image, scale, border=border)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        got = imresize(planes(image).to(device, dtype), scale, border=border)
        assert got.dtype == dtype and got.device.type == device
        assert want.shape == (math.ceil(23 * scale), math.ceil(31 * scale), 3)
        np.testing.assert_allclose(got.permute(1, 2, 0).cpu().numpy(), want, atol=tolerance)
    pixels = round_to_uint8(image * 255)
    got = imresize(planes(pixels).to(device), scale, border=border).permute(1, 2, 0).cpu().numpy()
    np.testing.assert_array_equal(got, imresize(pixels, scale, border=border))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_equals_torch_interpolate_after_symmetric_padding(scale, direction):
    """torch's antialiased bicubic is the same filter; only its border differs (it leaves taps
    outside out)."""
    image = RNG.random((12 * scale, 15 * scale))
    factor, pad = (1 / scale, 4 * scale) if direction == "down" else (float(scale), 4)
    rows, columns = (border_indices(np.arange(-pad, n + pad), n, "symmetric") for n in image.shape)
    padded = torch.from_numpy(image[np.ix_(rows, columns)])[None, None]
    theirs = F.interpolate(padded, scale_factor=factor, mode="bicubic", antialias=True)[
        0, 0
    ].numpy()
    cut = round(pad * factor)
    np.testing.assert_allclose(imresize(image, factor), theirs[cut:-cut, cut:-cut], atol=1e-12)


def test_without_antialiasing_torch_is_another_filter():
    image = RNG.random((64, 64))
    theirs = F.interpolate(torch.from_numpy(image)[None, None], scale_factor=0.25, mode="bicubic")[
        0, 0
    ].numpy()
    assert np.abs(imresize(image, 0.25) - theirs).max() > 0.1


def test_borders_differ_only_near_the_edge():
    image = RNG.random((64, 64))
    difference = np.abs(imresize(image, 1 / 4) - imresize(image, 1 / 4, border="replicate"))
    assert difference.max() > 0.001  # rounding is 1e-16
    assert difference[2:-2, 2:-2].max() < 1e-14


@pytest.mark.parametrize(
    "border, want",
    [
        ("symmetric", [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0]),
        ("reflect", [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1]),
        ("replicate", [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2]),
    ],
)
def test_border_indices(border, want):
    assert border_indices(np.arange(-5, 6), 3, border).tolist() == want


@pytest.mark.parametrize(
    "border, numpys", [("symmetric",) * 2, ("reflect",) * 2, ("replicate", "edge")]
)
def test_borders_are_those_of_numpy(border, numpys):
    for n, pad in ((1, 5), (3, 10), (8, 8)):
        want = np.pad(np.arange(n), pad, mode=numpys)
        np.testing.assert_array_equal(border_indices(np.arange(-pad, n + pad), n, border), want)


def matlab_line(line, scale, antialias):
    """imresize of a line of samples, sample by sample, as MATLAB's documentation and its function
    `contributions` describe it: 1-based coordinates, a kernel of width 4 that is stretched to
    downsample if `antialias`, weights that are divided by their sum, indices mirrored at the
    ends."""

    def keys(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    stretched = scale < 1 and antialias
    width = 4 / scale if stretched else 4
    result = []
    for place in range(1, math.ceil(len(line) * scale) + 1):
        u = place / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        indices = range(left, left + math.ceil(width) + 2)
        weights = [scale * keys(scale * (u - i)) if stretched else keys(u - i) for i in indices]
        samples = [*line, *line[::-1]]
        picked = [samples[(i - 1) % len(samples)] for i in indices]
        result.append(sum(w * x for w, x in zip(weights, picked, strict=True)) / sum(weights))
    return result


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 0.4, 2, 3.5])
def test_antialias_stretches_the_kernel_or_does_not(scale, antialias):
    image = RNG.random((13, 22))
    rows = np.array([matlab_line(row, scale, antialias) for row in image])
    want = np.array([matlab_line(column, scale, antialias) for column in rows.T]).T
    np.testing.assert_allclose(imresize(image, scale, antialias=antialias), want, atol=1e-12)
    got = imresize(torch.from_numpy(image), scale, antialias=antialias)
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


def test_without_antialiasing_fine_detail_becomes_coarse_and_upsampling_stays_the_same():
    stripes = np.tile(np.array([0, 0, 255, 255, 255], np.uint8), 12)[None].repeat(8, axis=0)
    smooth, aliased = (imresize(stripes, 1 / 4, antialias=on).astype(float) for on in (True, False))
    assert np.ptp(aliased) > 4 * np.ptp(smooth[:, 2:-2])  # away from the borders
    np.testing.assert_array_equal(imresize(stripes, 2, antialias=False), imresize(stripes, 2))


def test_size_and_scale_agree_and_size_can_be_anything():
    image = RNG.random((24, 36, 3))
    np.testing.assert_allclose(imresize(image, size=(6, 9)), imresize(image, 1 / 4), atol=1e-14)
    assert imresize(image, size=(7, 50)).shape == (7, 50, 3)
    assert imresize(planes(image)[None], size=(7, 50)).shape == (1, 3, 7, 50)


def test_a_flat_picture_stays_flat():
    for scale in SCALES:
        assert np.unique(imresize(np.full((9, 13), 77, np.uint8), scale)).tolist() == [77]
        np.testing.assert_allclose(imresize(np.full((9, 13), 0.3), scale), 0.3, atol=1e-14)


@pytest.mark.parametrize("scale", SCALES)
def test_one_pixel(scale):
    pixel = np.array([[[10, 200, 255]]], np.uint8)
    out = imresize(pixel, scale)
    assert out.shape == (math.ceil(scale), math.ceil(scale), 3)
    assert np.unique(out.reshape(-1, 3), axis=0).tolist() == [[10, 200, 255]]


def test_uint8_is_rounded_half_up_after_each_pass():
    assert round_to_uint8(np.array([0.5, 1.5, 2.5, -3.0, 254.5, 300.0])).tolist() == [
        1,
        2,
        3,
        0,
        255,
        255,
    ]
    image = RNG.integers(0, 256, (48, 48), dtype=np.uint8)
    rows = round_to_uint8(imresize(image.astype(float), size=(12, 48)))
    np.testing.assert_array_equal(
        imresize(image, 1 / 4), round_to_uint8(imresize(rows.astype(float), size=(12, 12)))
    )
    once = round_to_uint8(imresize(image.astype(float), 1 / 4))
    assert 0.02 < np.mean(once != imresize(image, 1 / 4)) < 0.5  # rounding once is not the same


def test_the_direction_that_is_downsampled_most_comes_first():
    image = RNG.integers(0, 256, (48, 48), dtype=np.uint8)
    columns = round_to_uint8(imresize(image.astype(float), size=(48, 12)))
    want = round_to_uint8(imresize(columns.astype(float), size=(24, 12)))
    np.testing.assert_array_equal(imresize(image, size=(24, 12)), want)


@pytest.mark.parametrize("scale", [0.5, 1 / 3, 2.0])
def test_gradients(scale):
    image = torch.rand(2, 7, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: imresize(x, scale), image)


def test_dtype_is_kept():
    for dtype in (np.uint8, np.float32, np.float64):
        assert imresize(np.ones((8, 8), dtype), 0.5).dtype == dtype
    assert imresize(torch.ones(8, 8, dtype=torch.float32), 2.0).dtype == torch.float32


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "either scale or size"),
        ({"scale": 0.5, "size": (4, 4)}, "either scale or size"),
        ({"scale": 0.0}, "positive number, got 0"),
        ({"scale": -2.0}, "positive number, got -2"),
        ({"scale": math.inf}, "positive number, got inf"),
        ({"size": (0, 4)}, r"at least 1×1 pixels, got size \(0, 4\)"),
        (
            {"scale": 0.5, "border": "wrap"},
            "border is 'wrap'; it can be symmetric, reflect or replicate",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(HatlibError, match=message):
        imresize(np.ones((8, 8)), **arguments)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.ones((8, 8), int), "int64"),
        (np.ones(8), r"\(8,\)"),
        (np.ones((1, 3, 8, 8)), r"\(1, 3, 8, 8\)"),
        (np.ones((0, 8)), r"\(0, 8\)"),
        (torch.ones(8), r"\(8,\)"),
        ([[1.0]], "got list"),
    ],
)
def test_bad_images(image, message):
    with pytest.raises(HatlibError, match=message):
        imresize(image, 0.5)
