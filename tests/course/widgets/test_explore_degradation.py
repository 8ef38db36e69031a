"""hatlib.course.widgets.degradation: the arithmetic as plain functions, then with sliders."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from hatlib.course.widgets.degradation import KERNELS, ZOOMS, degradation_explorer, degradation_view
from hatlib.data.builtin import builtin_image
from hatlib.imaging import degradation


def test_degradation_view_is_degrade_beside_the_photo() -> None:
    hr = builtin_image("coffee")[100:300, 200:480]
    picture, caption = degradation_view(hr, "Gaussian", 2.0, 0.5, 30, 4, 6, 100)
    assert picture.shape == (200, 2 * 280 + 8, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:120, :280], hr[:120])  # below it is the kernel
    lr = degradation.degrade(hr, degradation.gaussian_kernel(2, 1, 30), 4, 6, rng=0)
    np.testing.assert_array_equal(picture[::4, 288::4], lr)
    assert (
        "LR 50×70" in caption and "17×17 taps" in caption and "σ 6 grey levels, no JPEG" in caption
    )
    as_jpeg, caption = degradation_view(hr, "Gaussian", 2.0, 0.5, 30, 4, 6, 40)
    np.testing.assert_array_equal(as_jpeg[::4, 288::4], degradation.jpeg(lr, 40))
    assert "JPEG quality 40" in caption


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_degradation_view_at_every_scale(kernel: str, zoom: str) -> None:
    hr = builtin_image("coffee")[:67, :61]
    for scale in range(1, 9):
        picture, caption = degradation_view(hr, kernel, 3.0, 1.0, 45, scale, 0, 100, zoom)
        assert picture.shape == (67, 2 * 61 + 8, 3)
        assert f"LR {-(-67 // scale)}×{-(-61 // scale)}" in caption


def test_degradation_view_shows_the_kernel_in_the_corner() -> None:
    hr = np.full((400, 400, 3), 77, np.uint8)
    for width, taps in ((1.0, 9), (8.0, 33)):  # the second is cut to what fits
        inset = degradation_view(hr, width=width)[0][-134:-2, 2:134]
        assert inset.shape == (132, 132, 3)
        assert (inset[::4, ::4, 0] > 0).any(axis=0).sum() <= taps
        assert np.unravel_index(inset[..., 0].argmax(), (132, 132)) == (
            64,
            64,
        )  # the middle tap, 4×4 pixels
    wide, tall = (degradation_view(hr, ratio=0.2, angle=a)[0][-134:-2, 2:134] for a in (0, 90))
    np.testing.assert_array_equal(wide, tall.transpose(1, 0, 2))


def test_degradation_sliders_change_what_is_shown_and_reset_restores() -> None:
    panel, picture, caption = degradation_explorer(builtin_image("coffee")).children
    kernel, width, ratio, angle, scale, noise, quality, zoom, reset = panel.children
    first = picture.value, caption.value
    for control, value in (
        (width, 4.0),
        (ratio, 0.3),
        (angle, 120),
        (scale, 2),
        (noise, 20),
        (quality, 30),
        (zoom, "bicubic"),
        (kernel, "motion"),
        (kernel, "bicubic"),
    ):
        before = picture.value
        control.value = value
        assert picture.value != before, control.description
    assert caption.value != first[1]
    reset.click()
    assert (picture.value, caption.value) == first
    assert (kernel.value, width.value, scale.value, noise.value, quality.value) == (
        "Gaussian",
        2.0,
        4,
        0,
        100,
    )


def test_degradation_explorer_takes_gray_float_small_and_large_pictures() -> None:
    gray = builtin_image("camera")[:60, :50, 0]
    assert PillowImage.open(io.BytesIO(degradation_explorer(gray).children[1].value)).size == (
        108,
        60,
    )
    scale = degradation_explorer(gray[:3, :5]).children[0].children[4]
    assert (scale.value, scale.max) == (3, 3)
    shown = PillowImage.open(
        io.BytesIO(degradation_explorer(builtin_image("hubble")).children[1].value)
    )
    assert shown.size == (1032, 512)
