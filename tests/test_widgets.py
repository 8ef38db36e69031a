"""hatlib.widgets: the arithmetic of the explorers as plain functions, and sliders that change what is shown."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image as PillowImage

from hatlib import degradation, metrics, widgets
from hatlib.errors import HatlibError
from hatlib.images import round_to_uint8
from hatlib.pictures import builtin

# --- the metrics explorer

@pytest.mark.parametrize("kind", widgets.DISTORTIONS)
def test_metrics_view_shows_the_distortion_and_its_map(kind: str) -> None:
    hr = builtin("coffee")[100:164, 200:280]
    picture, caption = widgets.metrics_view(hr, kind, 0.5, "y", 4)
    assert picture.shape == (64, 2 * 80 + 8, 3) and picture.dtype == np.uint8
    left, right = picture[:, :80], picture[:, 88:]
    assert f"PSNR {metrics.psnr(left, hr, 4):.2f} dB" in caption
    assert f"SSIM {metrics.ssim(left, hr, 4):.4f}" in caption
    similarity = metrics.ssim_map(left, hr, 4)
    scored = right[9:-9, 9:-9]  # 4 are shaved, 5 are half a window
    np.testing.assert_array_equal(scored[similarity >= 0][:, 0], (255 * similarity[similarity >= 0]).astype(np.uint8))
    np.testing.assert_array_equal(scored[similarity < 0], np.full((int((similarity < 0).sum()), 3), widgets.NEGATIVE))
    assert (right[:9] == right[0, 0]).all() and (right[:, -9:] == right[0, 0]).all()


def test_metrics_view_without_distortion() -> None:
    hr = builtin("coffee")[:40, :40]
    picture, caption = widgets.metrics_view(hr, "blur", 0.0, "rgb", 0)
    np.testing.assert_array_equal(picture[:, :40], hr)
    assert "PSNR inf dB" in caption and "MSE 0.0" in caption and "SSIM 1.0000" in caption


@pytest.mark.parametrize("kind", widgets.DISTORTIONS)
def test_metrics_stronger_is_worse(kind: str) -> None:
    hr = builtin("coffee")[100:200, 200:300]

    def distorted(strength: float) -> np.ndarray:
        return round_to_uint8(widgets.DISTORTIONS[kind](hr.astype(np.float32), strength)[0])

    scores = [metrics.psnr(distorted(strength), hr) for strength in (0.2, 0.6, 1.0)]
    assert scores[0] > scores[1] > scores[2] > 10
    np.testing.assert_array_equal(distorted(1.0), distorted(1.0))  # the same draw each time


def test_metrics_sliders_change_what_is_shown_and_reset_restores() -> None:
    panel, picture, caption = (box := widgets.metrics_explorer(builtin("coffee"))).children
    kind, strength, channel, shave, reset = panel.children
    first = seen = picture.value, caption.value
    for control, value in ((strength, 0.8), (kind, "JPEG"), (channel, "rgb"), (shave, 10)):
        control.value = value
        assert picture.value != seen[0] and caption.value != seen[1], control.description
        seen = picture.value, caption.value
    reset.click()
    assert (picture.value, caption.value) == first
    assert (kind.value, strength.value, channel.value, shave.value) == ("blur", 0.5, "y", 4)
    assert len(box.children) == 3


def test_metrics_explorer_takes_gray_float_and_small_pictures() -> None:
    gray = builtin("camera")[:60, :50, 0]
    assert PillowImage.open(io.BytesIO(widgets.metrics_explorer(gray).children[1].value)).size == (108, 60)
    same = widgets.metrics_explorer(gray / 255).children[1].value
    assert same == widgets.metrics_explorer(gray).children[1].value
    shave = widgets.metrics_explorer(gray[:15, :20]).children[0].children[3]
    assert (shave.value, shave.max) == (2, 2)  # 11 pixels have to remain
    with pytest.raises(HatlibError, match="at least 11×11 pixels, got 10×50"):
        widgets.metrics_explorer(gray[:10])


def test_metrics_explorer_shows_the_middle_of_a_large_picture() -> None:
    hubble = builtin("hubble")
    box = widgets.metrics_explorer(hubble)
    box.children[0].children[1].value = 0.0
    shown = np.asarray(PillowImage.open(io.BytesIO(box.children[1].value)))
    np.testing.assert_array_equal(shown[:, :512], hubble[180:692, 244:756])


def test_metrics_redraw_is_quick() -> None:
    """About 70 ms for 512×512 in Y on an idle machine; the bound leaves room for a busy one."""
    hr = builtin("astronaut")

    def once() -> float:
        start = time.perf_counter()
        widgets.png(widgets.metrics_view(hr)[0])
        return time.perf_counter() - start

    assert min(once() for _ in range(5)) < 0.5


# --- the degradation explorer

def test_degradation_view_is_degrade_beside_the_photo() -> None:
    hr = builtin("coffee")[100:300, 200:480]
    picture, caption = widgets.degradation_view(hr, "Gaussian", 2.0, 0.5, 30, 4, 6, 100)
    assert picture.shape == (200, 2 * 280 + 8, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:120, :280], hr[:120])  # below it is the kernel
    lr = degradation.degrade(hr, degradation.gaussian_kernel(2, 1, 30), 4, 6, rng=0)
    np.testing.assert_array_equal(picture[::4, 288::4], lr)
    assert "LR 50×70" in caption and "17×17 taps" in caption and "σ 6 grey levels, no JPEG" in caption
    as_jpeg, caption = widgets.degradation_view(hr, "Gaussian", 2.0, 0.5, 30, 4, 6, 40)
    np.testing.assert_array_equal(as_jpeg[::4, 288::4], degradation.jpeg(lr, 40))
    assert "JPEG quality 40" in caption


@pytest.mark.parametrize("enlarged", widgets.ENLARGED)
@pytest.mark.parametrize("kernel", widgets.KERNELS)
def test_degradation_view_at_every_scale(kernel: str, enlarged: str) -> None:
    hr = builtin("coffee")[:67, :61]
    for scale in range(1, 9):
        picture, caption = widgets.degradation_view(hr, kernel, 3.0, 1.0, 45, scale, 0, 100, enlarged)
        assert picture.shape == (67, 2 * 61 + 8, 3)
        assert f"LR {-(-67 // scale)}×{-(-61 // scale)}" in caption


def test_degradation_view_shows_the_kernel_in_the_corner() -> None:
    hr = np.full((400, 400, 3), 77, np.uint8)
    for width, taps in ((1.0, 9), (8.0, 33)):  # the second is cut to what fits
        inset = widgets.degradation_view(hr, width=width)[0][-134:-2, 2:134]
        assert inset.shape == (132, 132, 3)
        assert (inset[::4, ::4, 0] > 0).any(axis=0).sum() <= taps
        assert np.unravel_index(inset[..., 0].argmax(), (132, 132)) == (64, 64)  # the middle tap, 4×4 pixels
    wide, tall = (widgets.degradation_view(hr, ratio=0.2, angle=a)[0][-134:-2, 2:134] for a in (0, 90))
    np.testing.assert_array_equal(wide, tall.transpose(1, 0, 2))


def test_degradation_sliders_change_what_is_shown_and_reset_restores() -> None:
    panel, picture, caption = widgets.degradation_explorer(builtin("coffee")).children
    kernel, width, ratio, angle, scale, noise, quality, enlarged, reset = panel.children
    first = picture.value, caption.value
    for control, value in ((width, 4.0), (ratio, 0.3), (angle, 120), (scale, 2), (noise, 20), (quality, 30),
                           (enlarged, "bicubic"), (kernel, "motion"), (kernel, "bicubic")):
        before = picture.value
        control.value = value
        assert picture.value != before, control.description
    assert caption.value != first[1]
    reset.click()
    assert (picture.value, caption.value) == first
    assert (kernel.value, width.value, scale.value, noise.value, quality.value) == ("Gaussian", 2.0, 4, 0, 100)


def test_degradation_explorer_takes_gray_float_small_and_large_pictures() -> None:
    gray = builtin("camera")[:60, :50, 0]
    assert PillowImage.open(io.BytesIO(widgets.degradation_explorer(gray).children[1].value)).size == (108, 60)
    scale = widgets.degradation_explorer(gray[:3, :5]).children[0].children[4]
    assert (scale.value, scale.max) == (3, 3)
    shown = PillowImage.open(io.BytesIO(widgets.degradation_explorer(builtin("hubble")).children[1].value))
    assert shown.size == (1032, 512)


def test_degradation_redraw_is_quick() -> None:
    """About 50 ms for 512×512 on an idle machine (benchmarks/explorers.py); the bound leaves room for a busy one."""
    slider = widgets.degradation_explorer(builtin("astronaut")).children[0].children[1]

    def once(value: float) -> float:
        start = time.perf_counter()
        slider.value = value
        return time.perf_counter() - start

    assert min(once(value) for value in (1.0, 2.5, 3.0, 4.5, 6.0)) < 0.5
