"""hatlib.course.widgets.metrics: the arithmetic as plain functions, then with sliders."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from hatlib.course.widgets.metrics import DISTORTIONS, NEGATIVE, metrics_explorer, metrics_view
from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.imaging import metrics
from hatlib.imaging.convert import round_to_uint8


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_metrics_view_shows_the_distortion_and_its_map(kind: str) -> None:
    hr = builtin_image("coffee")[100:164, 200:280]
    picture, caption = metrics_view(hr, kind, 0.5, "y", 4)
    assert picture.shape == (64, 2 * 80 + 8, 3) and picture.dtype == np.uint8
    left, right = picture[:, :80], picture[:, 88:]
    assert f"PSNR {metrics.psnr(left, hr, 4):.2f} dB" in caption
    assert f"SSIM {metrics.ssim(left, hr, 4):.4f}" in caption
    similarity = metrics.ssim_map(left, hr, 4)
    scored = right[9:-9, 9:-9]  # 4 are shaved, 5 are half a window
    np.testing.assert_array_equal(
        scored[similarity >= 0][:, 0], (255 * similarity[similarity >= 0]).astype(np.uint8)
    )
    np.testing.assert_array_equal(
        scored[similarity < 0], np.full((int((similarity < 0).sum()), 3), NEGATIVE)
    )
    assert (right[:9] == right[0, 0]).all() and (right[:, -9:] == right[0, 0]).all()


def test_metrics_view_without_distortion() -> None:
    hr = builtin_image("coffee")[:40, :40]
    picture, caption = metrics_view(hr, "blur", 0.0, "rgb", 0)
    np.testing.assert_array_equal(picture[:, :40], hr)
    assert "PSNR inf dB" in caption and "MSE 0.0" in caption and "SSIM 1.0000" in caption


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_metrics_stronger_is_worse(kind: str) -> None:
    hr = builtin_image("coffee")[100:200, 200:300]

    def distorted(strength: float) -> np.ndarray:
        return round_to_uint8(DISTORTIONS[kind](hr.astype(np.float32), strength)[0])

    scores = [metrics.psnr(distorted(strength), hr) for strength in (0.2, 0.6, 1.0)]
    assert scores[0] > scores[1] > scores[2] > 10
    np.testing.assert_array_equal(distorted(1.0), distorted(1.0))  # the same draw each time


def test_metrics_sliders_change_what_is_shown_and_reset_restores() -> None:
    panel, picture, caption = (box := metrics_explorer(builtin_image("coffee"))).children
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
    gray = builtin_image("camera")[:60, :50, 0]
    assert PillowImage.open(io.BytesIO(metrics_explorer(gray).children[1].value)).size == (108, 60)
    same = metrics_explorer(gray / 255).children[1].value
    assert same == metrics_explorer(gray).children[1].value
    shave = metrics_explorer(gray[:15, :20]).children[0].children[3]
    assert (shave.value, shave.max) == (2, 2)  # 11 pixels have to remain
    with pytest.raises(HatlibError, match="at least 11×11 pixels, got 10×50"):
        metrics_explorer(gray[:10])


def test_metrics_explorer_shows_the_middle_of_a_large_picture() -> None:
    hubble = builtin_image("hubble")
    box = metrics_explorer(hubble)
    box.children[0].children[1].value = 0.0
    shown = np.asarray(PillowImage.open(io.BytesIO(box.children[1].value)))
    np.testing.assert_array_equal(shown[:, :512], hubble[180:692, 244:756])
