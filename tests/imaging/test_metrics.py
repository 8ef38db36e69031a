"""hatlib.imaging.metrics against scikit-image, against the formulas written out, and against
measured and reported values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.imaging.convert import crop_to_multiple, luma, round_to_uint8
from hatlib.imaging.metrics import GAUSSIAN, choices, psnr, psnr_map, ssim, ssim_map
from hatlib.imaging.resize import imresize

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


def noisy(image: np.ndarray, sigma: float = 12, seed: int = 0) -> np.ndarray:
    return round_to_uint8(image + np.random.default_rng(seed).normal(0, sigma, image.shape))


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    hr = builtin_image("coffee")[100:221, 200:333]  # odd sides, 121×133
    return noisy(hr), hr


# --- scikit-image, where the definitions coincide


@pytest.mark.parametrize("shave", [0, 4])
def test_y_is_scikit_image_on_luma(pair: tuple[np.ndarray, np.ndarray], shave: int) -> None:
    x, y = (
        luma(image)[shave : image.shape[0] - shave, shave : image.shape[1] - shave]
        for image in pair
    )
    assert psnr(*pair, shave) == pytest.approx(
        peak_signal_noise_ratio(y, x, data_range=255), abs=1e-9
    )
    mean, full = structural_similarity(x, y, full=True, **WANG)
    assert ssim(*pair, shave) == pytest.approx(mean, abs=1e-9)
    np.testing.assert_allclose(ssim_map(*pair, shave), full[5:-5, 5:-5], atol=1e-9)


def test_rgb_is_scikit_image_on_channels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    assert psnr(x, y, channel="rgb") == pytest.approx(
        peak_signal_noise_ratio(y, x, data_range=255), abs=1e-9
    )
    mean, full = structural_similarity(x, y, channel_axis=2, full=True, **WANG)
    assert ssim(x, y, channel="rgb") == pytest.approx(mean, abs=1e-9)
    np.testing.assert_allclose(
        ssim_map(x, y, channel="rgb"), full[5:-5, 5:-5].mean(axis=2), atol=1e-9
    )


def test_a_gray_image_is_taken_as_it_is(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair[0][..., 1], pair[1][..., 1]
    expected = peak_signal_noise_ratio(y, x), structural_similarity(x, y, **WANG)
    for channel in ("y", "rgb"):
        assert (psnr(x, y, channel=channel), ssim(x, y, channel=channel)) == pytest.approx(
            expected, abs=1e-9
        )


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 1e-4), ("float64", 1e-9)])
def test_floats_in_0_to_1_score_as_bytes(
    pair: tuple[np.ndarray, np.ndarray], kind: str, tolerance: float
) -> None:
    x, y = [(image / 255).astype(kind) for image in pair]
    for channel in ("y", "rgb"):
        assert psnr(x, y, 2, channel) == pytest.approx(psnr(*pair, 2, channel), abs=tolerance)
        assert ssim(x, y, 2, channel) == pytest.approx(ssim(*pair, 2, channel), abs=tolerance)


# --- the formulas, written out


def test_psnr_of_a_known_error() -> None:
    a = np.full((5, 7), 100, dtype=np.uint8)
    assert psnr(a, a + 10) == pytest.approx(10 * np.log10(255**2 / 100), abs=1e-12)
    # the other way round, where unsigned subtraction would wrap around
    assert psnr(a + 10, a) == psnr(a, a + 10)


def test_ssim_window_by_window() -> None:
    """Eq. 13 of Wang et al. 2004 with loops, two-pass variances and the window as a matrix."""
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, (14, 13), dtype=np.uint8) for _ in range(2))
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = np.empty((4, 3))
    for i in range(4):
        for j in range(3):
            x, y = (image[i : i + 11, j : j + 11].astype(float) for image in (a, b))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            expected[i, j] = (
                (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            )
    np.testing.assert_allclose(ssim_map(a, b), expected, atol=1e-10)
    assert ssim(a, b) == pytest.approx(expected.mean(), abs=1e-10)


def test_psnr_map_is_the_psnr_of_each_window() -> None:
    rng = np.random.default_rng(2)
    a, b = (rng.integers(0, 256, (12, 15), dtype=np.uint8) for _ in range(2))
    mse = (np.outer(GAUSSIAN, GAUSSIAN) * (a[1:12, 3:14].astype(float) - b[1:12, 3:14]) ** 2).sum()
    result = psnr_map(a, b)
    assert result.shape == (2, 5)
    assert result[1, 3] == pytest.approx(10 * np.log10(255**2 / mse), abs=1e-9)


def test_maps_leave_out_the_border(pair: tuple[np.ndarray, np.ndarray]) -> None:
    for function in (ssim_map, psnr_map):
        assert function(*pair).shape == (111, 123)
        assert function(*pair, shave=4, channel="rgb").shape == (103, 115)


# --- properties


def test_identical_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image = pair[0]
    assert psnr(image, image) == psnr(image, image, channel="rgb") == float("inf")
    assert ssim(image, image) == pytest.approx(1, abs=1e-12)
    assert np.isposinf(psnr_map(image, image)).all()
    flat = np.full((11, 11), 7, dtype=np.uint8)
    assert ssim(flat, flat) == pytest.approx(1, abs=1e-12)


def test_scores_are_symmetric_and_plain_numbers(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    assert psnr(x, y) == psnr(y, x) and type(psnr(x, y)) is float
    assert ssim(x, y) == pytest.approx(ssim(y, x), abs=1e-12) and type(ssim(x, y)) is float


def test_ssim_can_be_negative() -> None:
    a = builtin_image("tissue")
    assert ssim(a, 255 - a) < -0.2
    stripes = np.tile(np.array([100, 150], dtype=np.uint8), (32, 16))
    assert (
        ssim(stripes, 250 - stripes) < -0.9
    )  # the same mean in every window, the opposite structure


def test_shave_cuts_before_scoring(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    assert psnr(x, y, 3) == psnr(x[3:-3, 3:-3], y[3:-3, 3:-3])
    assert ssim(x, y, 3) == ssim(x[3:-3, 3:-3], y[3:-3, 3:-3])
    spoilt = x.copy()
    spoilt[:3], spoilt[:, -3:] = 0, 255
    assert psnr(spoilt, y, 3) == psnr(x, y, 3)
    assert psnr(spoilt, y, 2) < psnr(x, y, 2)


def test_one_pixel_has_a_psnr() -> None:
    a, b = np.zeros((1, 1, 3), dtype=np.uint8), np.full((1, 1, 3), 255, dtype=np.uint8)
    assert psnr(a, b) == pytest.approx(20 * np.log10(255 / 219), abs=1e-9)
    assert psnr(a, b, channel="rgb") == 0


def test_read_only_and_strided_arrays_are_left_alone(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (image[::2, ::-1] for image in pair)
    before = x.copy()
    x.flags.writeable = y.flags.writeable = False
    assert psnr(x, y) == psnr(before, y.copy()) and ssim(x, y) == ssim(before, y.copy())
    np.testing.assert_array_equal(x, before)


# --- bad input

IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (IMAGE, IMAGE[:, :-1], r"\(20, 30, 3\) and \(20, 29, 3\)"),
        (IMAGE, IMAGE[..., 0], r"\(20, 30, 3\) and \(20, 30\)"),
        (IMAGE, IMAGE / 255, "uint8 and float64"),
        (IMAGE.astype(np.float32), IMAGE + 255.0, "from 255 to 255"),
        (IMAGE / 255, np.full(IMAGE.shape, np.nan), "nan"),
        (IMAGE, IMAGE.astype(np.uint16), "uint8 and uint16"),
        (IMAGE.astype(np.int64), IMAGE.astype(np.int64), "int64"),
        (IMAGE[:0], IMAGE[:0], r"\(0, 30, 3\)"),
        (torch.zeros(1, 3, 20, 30), torch.zeros(1, 3, 20, 30), "Tensor"),
    ],
)
@pytest.mark.parametrize("score", [psnr, ssim, psnr_map, ssim_map])
def test_pairs_that_do_not_fit(
    score: Callable[..., object], a: np.ndarray, b: np.ndarray, says: str
) -> None:
    with pytest.raises(HatlibError, match=says):
        score(a, b)


@pytest.mark.parametrize("score", [ssim, ssim_map, psnr_map])
def test_too_small_for_a_window(score: Callable[..., object]) -> None:
    score(IMAGE[:11, :11], IMAGE[:11, :11])
    with pytest.raises(
        HatlibError, match="at least 11×11 pixels are needed, got 10×20 after 5 were shaved"
    ):
        score(IMAGE, IMAGE, shave=5)
    with pytest.raises(HatlibError, match="got 0×5 after 12"):
        score(IMAGE[:, :29], IMAGE[:, :29], shave=12)


def test_shave_and_channel_are_checked() -> None:
    with pytest.raises(HatlibError, match="got 0×10 after 10"):
        psnr(IMAGE, IMAGE, shave=10)
    with pytest.raises(HatlibError, match="shave is -1; it is a whole number from 0"):
        psnr(IMAGE, IMAGE, shave=-1)
    with pytest.raises(HatlibError, match="'y' or 'rgb'"):
        ssim(IMAGE, IMAGE, channel="Y")


# --- choices


def test_choices_score_eight_ways(pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    table = choices(x, y, 4)
    assert table.shape == (8, 3) and list(table.columns) == ["psnr", "ssim", "difference"]
    rows = {name: (row.psnr, row.ssim) for name, row in table.iterrows()}
    assert rows["the protocol: Y 16–235, shave 4"] == pytest.approx((psnr(x, y, 4), ssim(x, y, 4)))
    assert rows["RGB"] == pytest.approx((psnr(x, y, 4, "rgb"), ssim(x, y, 4, "rgb")))
    assert rows["nothing shaved"] == pytest.approx((psnr(x, y), ssim(x, y)))
    assert rows["shave 1"] == pytest.approx((psnr(x, y, 1), ssim(x, y, 1)))
    a, b = (np.rint(luma(image)).astype(np.uint8) for image in pair)
    assert rows["Y rounded to 8 bits"] == pytest.approx((psnr(a, b, 4), ssim(a, b, 4)))
    full = [luma(image, full_range=True)[4:-4, 4:-4] for image in pair]
    expected = peak_signal_noise_ratio(*full, data_range=255), structural_similarity(*full, **WANG)
    assert rows["Y in the full range 0–255"] == pytest.approx(expected, abs=1e-9)
    studio = [luma(image)[4:-4, 4:-4] for image in pair]
    peak = {"data_range": studio[1].max()}
    expected = (
        peak_signal_noise_ratio(*studio, **peak),
        structural_similarity(*studio, **{**WANG, **peak}),
    )
    assert rows["peak: the original's brightest pixel"] == pytest.approx(expected, abs=1e-9)
    # scikit-image's defaults: uniform 7×7, sample covariance
    expected = psnr(x, y, 4), structural_similarity(*studio, data_range=255)
    assert rows["SSIM in uniform 7×7 windows"] == pytest.approx(expected, abs=1e-9)
    np.testing.assert_allclose(table.difference, table.psnr - psnr(x, y, 4), atol=1e-12)


def test_the_range_of_y_costs_the_same_on_every_pair() -> None:
    cost = 20 * np.log10(255 / 219)
    assert cost == pytest.approx(1.3219, abs=5e-5)
    for name, sigma in (("astronaut", 5), ("facade-1", 40)):
        hr = builtin_image(name)[:64, :96]
        difference = choices(noisy(hr, sigma), hr, 2).difference
        assert difference["Y in the full range 0–255"] == pytest.approx(-cost, abs=1e-9)


def test_choices_on_gray_and_on_identical_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    gray = choices(pair[0][..., 0], pair[1][..., 0], 3)
    assert gray.psnr.iloc[:4].nunique() == 1  # no colour, nothing to round, no range to choose
    same = choices(pair[0], pair[0], 3)
    assert np.isposinf(same.psnr).all() and (same.difference == 0).all()


def test_choices_checks_its_pair() -> None:
    with pytest.raises(HatlibError, match="same shape"):
        choices(IMAGE, IMAGE[1:], 4)
    with pytest.raises(HatlibError, match="got 10×20 after 5"):
        choices(IMAGE, IMAGE, 5)


# --- public sets


def bicubic_set5(scale: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(sr, hr) of Set5, resized in float and rounded once, which is how the expected values below
    were measured."""
    from hatlib.data import datasets

    images = [crop_to_multiple(image, scale) for image in datasets.hr_images("set5")]
    small = [round_to_uint8(imresize(image.astype(np.float64), 1 / scale)) for image in images]
    return [
        (round_to_uint8(imresize(lr.astype(np.float64), scale)), hr)
        for lr, hr in zip(small, images, strict=True)
    ]


@pytest.mark.parametrize(
    ("scale", "expected"), [(2, (33.682, 0.9305)), (3, (30.405, 0.8690)), (4, (28.431, 0.8113))]
)
def test_bicubic_on_set5(
    needs_data: Callable[..., None], scale: int, expected: tuple[float, float]
) -> None:
    needs_data("set5")
    scores = np.mean(
        [(psnr(*pair, scale), ssim(*pair, scale)) for pair in bicubic_set5(scale)], axis=0
    )
    # measured independently of hatlib; the literature has 33.66/.9299, 30.39/.8682 and 28.42/.8104
    assert scores[0] == pytest.approx(expected[0], abs=1e-3)
    assert scores[1] == pytest.approx(expected[1], abs=1e-4)


def test_choices_on_set5(needs_data: Callable[..., None]) -> None:
    """The mean over the five images of each way of scoring, against values measured independently
    of hatlib."""
    needs_data("set5")
    tables = [choices(sr, hr, 4) for sr, hr in bicubic_set5(4)]
    mean = sum(tables[1:], tables[0]) / len(tables)
    expected = {
        "the protocol: Y 16–235, shave 4": (28.431, 0.8113),
        "Y rounded to 8 bits": (28.419, 0.8103),
        "Y in the full range 0–255": (27.110, None),
        "RGB": (26.696, None),
        "nothing shaved": (28.440, None),
    }
    for name, (decibels, similarity) in expected.items():
        assert mean.psnr[name] == pytest.approx(decibels, abs=1e-3)
        if similarity:
            assert mean.ssim[name] == pytest.approx(similarity, abs=1e-4)


def test_sixteen_bits_are_measured() -> None:
    x, y = (
        np.random.default_rng(seed).integers(0, 65536, (20, 30, 3), np.uint16) for seed in (0, 1)
    )
    for score in (psnr, ssim):
        assert score(x, y) == pytest.approx(score(x / 65535, y / 65535), abs=1e-9)
    assert psnr(x, x) == np.inf
