"""hatlib.course.widgets.conv_scale: α changes in a copy, and the result is the copy's."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from hatlib import models
from hatlib.course.widgets.conv_scale import (
    STOPS,
    WIDTH,
    conv_scale_explorer,
    conv_scale_view,
    trained_scale,
    with_scale,
)
from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.imaging.convert import to_image, to_tensor
from hatlib.imaging.metrics import psnr
from hatlib.imaging.resize import imresize
from hatlib.models import Network
from tests.helpers.shown import is_opaque_and_pale, move_everything, pixels

HR = builtin_image("facade-5")[100:164, 200:296]


@cache
def network(conv_scale: float = 0.01) -> Network:
    """With random weights and a convolution branch that matters."""
    torch.manual_seed(1)
    model = models.create(
        "hat",
        4,
        embed_dim=12,
        depths=(2,),
        num_heads=2,
        window_size=8,
        squeeze_factor=4,
        upsampler="pixelshuffledirect",
        conv_scale=conv_scale,
    )
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            if "conv_block" in key:
                tensor.mul_(4)
    return model.eval()


@torch.no_grad()
def upsampled(model: Network) -> np.ndarray:
    return to_image(model(to_tensor(imresize(HR, 1 / 4))))


def test_alpha_zero_is_the_network_without_its_branch() -> None:
    model, other = network(0.02), network(0.0)
    assert trained_scale(model) == 0.02
    other.load_state_dict(model.state_dict())
    results = {0.02: upsampled(model), 0.0: upsampled(other)}
    panel, _, caption = conv_scale_explorer(model, HR).children
    stops = panel.children[0]
    assert [label for label, _ in stops.options][4:6] == ["0.015", "0.02 (as trained)"]
    expected = conv_scale_view(HR, 4, results.__getitem__, 0.02, 0.0)
    assert caption.value == expected[1] and stops.value == 0.0
    assert f"α = 0 <b>{psnr(results[0.0], HR, 4):.2f} dB</b>" in caption.value
    assert f"α = 0.02 (as trained) <b>{psnr(results[0.02], HR, 4):.2f} dB</b>" in caption.value
    assert trained_scale(model) == 0.02  # the network itself is left alone


def test_conv_scale_view_shows_both_and_their_difference() -> None:
    rng = np.random.default_rng(0)
    results = {0.01: rng.integers(9, 240, HR.shape, dtype=np.uint8)}
    results[0.3] = results[0.01] + np.uint8(6)
    picture, caption = conv_scale_view(HR, 4, results.__getitem__, 0.01, 0.3)
    assert "+6" not in caption and picture.dtype == np.uint8
    same, caption = conv_scale_view(HR, 4, results.__getitem__, 0.01, 0.01)
    assert (
        "equal in every pixel" in caption
        and "(+0.00 dB)" in caption
        and same.shape == picture.shape
    )
    np.testing.assert_array_equal(
        same[:, : 2 * 12 + 2 * 96], picture[:, : 2 * 12 + 2 * 96]
    )  # HR is the same


def test_conv_scale_explorer_follows_its_control_and_resets() -> None:
    box = conv_scale_explorer(network(), HR)
    assert [value for _, value in box.children[0].children[0].options] == list(STOPS)
    move_everything(box)
    assert is_opaque_and_pale(box.children[1])


def test_conv_scale_explorer_refuses_what_it_cannot_show() -> None:
    with pytest.raises(
        HatlibError, match="RCAN has no convolution branch beside its attention; HAT has"
    ):
        conv_scale_explorer(models.create("rcan-nano").eval())
    with pytest.raises(
        HatlibError, match="PSNR at ×4 needs an image of at least 12×12 pixels, got 11×96"
    ):
        conv_scale_explorer(network(), HR[:11])
    mixed = with_scale(models.create("hat-nano"), 0.5)
    next(module for module in mixed.modules() if hasattr(module, "conv_scale")).conv_scale = 0.1  # type: ignore
    with pytest.raises(HatlibError, match=r"the blocks have different α: 0.1, 0.5"):
        trained_scale(mixed)


def test_conv_scale_explorer_has_a_network_and_a_picture_of_its_own() -> None:
    """And the branch does something in it: without it the trained network is another one."""
    box = conv_scale_explorer()
    assert pixels(box.children[1]).shape[1] == WIDTH
    assert (
        "α = 0.01 (as trained)" in box.children[2].value
        and "equal in every pixel" not in box.children[2].value
    )
