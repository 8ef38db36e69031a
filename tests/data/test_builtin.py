"""The built-in pictures: there without a network, the same everywhere, and hard enough for
super-resolution."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from hatlib import HatlibError
from hatlib.data import builtin
from hatlib.imaging.convert import luma
from hatlib.imaging.resize import imresize

# Means of 16×16 fields of some façades, made on Linux; a platform may differ by a grey level in a
# pixel, not in these.
FIELDS = Path(__file__).parents[1] / "parity" / "facades.npz"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a built-in picture went to the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", builtin.builtin_names())
def test_every_builtin_picture_is_an_rgb_image(name: str, no_network: None) -> None:
    image = builtin.builtin_image(name)
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert min(image.shape[:2]) >= 300
    assert image.std() > 20  # not an empty picture


def test_the_pictures_are_all_different() -> None:
    sums = {
        hashlib.sha256(builtin.builtin_image(name).tobytes()).hexdigest()
        for name in builtin.builtin_names()
    }
    assert len(sums) == len(builtin.builtin_names()) == 16


def test_sizes_said_in_the_notes_are_right() -> None:
    for name, photograph in builtin.PHOTOGRAPHS.items():
        height, width = builtin.builtin_image(name).shape[:2]
        assert f"{height}×{width}" in photograph.shows
        assert photograph.terms


def test_gray_photographs_have_three_equal_channels_and_are_listed() -> None:
    gray = [
        name
        for name in builtin.PHOTOGRAPHS
        if np.ptp(builtin.builtin_image(name), axis=2).max() == 0
    ]
    assert gray == list(builtin.GRAY)


def test_an_unknown_picture_names_the_nearest() -> None:
    with pytest.raises(HatlibError, match="did you mean 'astronaut'"):
        builtin.builtin_image("astronaut.png")


def test_a_scikit_image_without_its_pictures_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import skimage

    builtin._picture.cache_clear()
    monkeypatch.setattr(skimage, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(HatlibError, match="reinstall scikit-image"):
        builtin.builtin_image("cat")


def test_a_facade_is_the_same_for_the_same_seed() -> None:
    first = builtin.facade(3, (96, 128))
    np.random.seed(1)  # the global generator plays no part
    assert np.array_equal(first, builtin.facade(3, (96, 128)))
    assert not np.array_equal(first, builtin.facade(4, (96, 128)))


def test_facades_are_as_they_were_drawn_on_linux() -> None:
    with np.load(FIELDS) as stored:
        for seed in (1, 2, 3, 4, 5):
            fields = (
                builtin.builtin_image(f"facade-{seed}").reshape(24, 16, 32, 16, 3).mean(axis=(1, 3))
            )
            assert np.abs(fields - stored[str(seed)]).max() <= 1


@pytest.mark.parametrize(
    "size", [(384, 512), (512, 384), (96, 128), (61, 200), (16, 16), (700, 900)]
)
def test_a_facade_has_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    assert builtin.facade(5, size).shape == (*size, 3)


def test_the_composition_does_not_depend_on_the_size() -> None:
    large, small = builtin.builtin_image("facade-2"), builtin.facade(2, (96, 128))
    difference = imresize(large, 1 / 4).astype(float) - small
    assert np.abs(difference).mean() < 1


def test_too_small_a_facade_is_an_error() -> None:
    with pytest.raises(HatlibError, match="16×16 pixels, got 8×40"):
        builtin.facade(0, (8, 40))


def test_facades_are_harder_than_photographs() -> None:
    """Bicubic ×4 loses more on them; Urban100 stands at 23.1 dB."""

    def bicubic(image: np.ndarray) -> float:
        error = (luma(image) - luma(imresize(imresize(image, 1 / 4), 4)))[4:-4, 4:-4]
        return 10 * np.log10(255**2 / np.mean(error**2))

    levels = [bicubic(builtin.builtin_image(name)) for name in builtin.FACADES]
    assert 22 < np.mean(levels) < 26.5
    assert min(levels) < 23


def test_facades_are_free_of_aliasing() -> None:
    """Drawn at twice the size and made smaller, a façade stays the same, apart from what the
    smaller one can't hold."""
    large, small = builtin.facade(3, (768, 1024)), builtin.builtin_image("facade-3")
    error = luma(imresize(large, 1 / 2)) - luma(small)
    assert np.sqrt(np.mean(error**2)) < 3


def test_drawing_takes_less_than_half_a_second_or_so() -> None:
    builtin.facade(0)
    assert (
        min(_seconds(seed) for seed in (1, 2, 3)) < 1.5
    )  # 0.3 to 0.5 s on a free core; test machines are shared


def _seconds(seed: int) -> float:
    """Of processor time."""
    start = time.process_time()
    builtin.facade(seed)
    return time.process_time() - start
