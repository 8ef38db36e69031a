"""hatlib.course.widgets.gates: the gates are the network's, and the controls choose among them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from hatlib import models
from hatlib.course.widgets import gates, overlays
from hatlib.course.widgets.gates import ORDERS, gated, gates_explorer, gates_view
from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.imaging.convert import to_tensor
from hatlib.models import Network
from hatlib.models.layers import image_layout
from tests.helpers.shown import is_opaque_and_pale, move_everything, pixels

PICTURES = {
    "<façade>": builtin_image("facade-5")[100:116, 200:224],
    "cat": builtin_image("cat")[100:118, 150:166],
}


@cache
def network(name: str = "rcan-nano") -> Network:
    """With random weights that are large enough for the gates to differ."""
    torch.manual_seed(1)
    model = models.create(name, 4)
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            if "conv_du" in key or "cab.3" in key:
                tensor.mul_(8)
    return model.eval()


def of_network(block: str, name: str) -> gates.Gated:
    return gated(network(), gates.blocks(network())[block], PICTURES[name])


@torch.no_grad()
def test_gates_are_those_of_the_network() -> None:
    model: Any = network()
    lr = PICTURES["cat"]
    modules = gates.blocks(model)
    assert list(modules) == [
        f"group {group}, block {block}" for group in (1, 2) for block in range(1, 8)
    ]
    before, opened = gated(model, modules["group 1, block 1"], lr)
    x = model.head(model.sub_mean(255 * to_tensor(lr)))
    features = model.body[0].body[0].body[:3](x)  # convolution, ReLU, convolution
    np.testing.assert_allclose(before, features[0].numpy(), rtol=1e-4, atol=1e-3)
    after = model.body[0].body[0].body[3](features)[0].numpy()
    np.testing.assert_allclose(before * opened[:, None, None], after, rtol=1e-4, atol=1e-3)
    assert (
        opened.shape == (32,) and opened.min() >= 0 and opened.max() <= 1 and np.ptp(opened) > 0.1
    )
    assert not any(module._forward_hooks for module in model.modules())


@torch.no_grad()
def test_gates_of_hat_are_those_of_its_convolution_branch() -> None:
    model: Any = network("hat-nano")
    modules = gates.blocks(model)
    assert list(modules) == [
        f"group {group}, block {block}" for group in (1, 2) for block in (1, 2)
    ]
    before, opened = gated(model, modules["group 1, block 2"], PICTURES["cat"][:16, :16])
    block = model.layers[0].residual_group.blocks[1]
    seen: list[torch.Tensor] = []
    handle = block.norm1.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(to_tensor(PICTURES["cat"][:16, :16]))
    handle.remove()
    after = image_layout(block.conv_block(seen[0]))[0].numpy()
    np.testing.assert_allclose(before * opened[:, None, None], after, rtol=1e-4, atol=1e-5)


def test_gates_view_says_what_it_shows() -> None:
    block = "group 2, block 3"
    picture, caption = gates_view(PICTURES, of_network, block, 5)
    one, two = (of_network(block, name)[1] for name in PICTURES)
    assert picture.dtype == np.uint8 and picture.shape[1] == gates.WIDTH
    assert f"gate <b>{one[5]:.3f}</b> on &lt;façade&gt;, <b>{two[5]:.3f}</b> on cat" in caption
    assert (
        f"differ by {np.abs(one - two).mean():.3f} on average" in caption
        and "<façade>" not in caption
    )


@pytest.mark.parametrize("order", ORDERS)
def test_bars_are_ordered_as_asked(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    bars = overlays.bar_chart

    def spy(groups: Any, width: int, height: int, chosen: int) -> np.ndarray:
        drawn.append((*[values for values, _ in groups], chosen))
        return bars(groups, width, height, chosen)

    monkeypatch.setattr(overlays, "bar_chart", spy)
    gates_view(PICTURES, of_network, "group 1, block 2", 7, order)
    ((first, second, chosen),) = drawn
    one, two = (of_network("group 1, block 2", name)[1] for name in PICTURES)
    sorted_by = {ORDERS[0]: None, ORDERS[1]: -first, ORDERS[2]: second - first}[order]
    assert first[chosen] == one[7] and second[chosen] == two[7]
    np.testing.assert_array_equal(np.sort(first), np.sort(one))
    if sorted_by is None:
        np.testing.assert_array_equal(first, one)
    else:
        assert (np.diff(sorted_by) >= 0).all() and np.ptp(sorted_by) > 0


def test_gates_explorer_follows_its_controls_and_resets() -> None:
    box = gates_explorer(network(), PICTURES)
    assert box.children[0].children[1].max == 31
    move_everything(box, (gates.WIDTH, pixels(box.children[1]).shape[0]))
    assert is_opaque_and_pale(box.children[1])


def test_gates_explorer_has_a_network_and_pictures_of_its_own() -> None:
    assert [image.shape for image in gates._two(None).values()] == [(64, 64, 3)] * 2
    panel, _, caption = gates_explorer().children
    assert len(panel.children[0].options) == 14 and panel.children[1].max == 31
    assert "on façade" in caption.value and "on face" in caption.value


def test_gates_explorer_starts_where_it_is_told() -> None:
    panel, _, caption = gates_explorer(network(), PICTURES, "group 2, block 3", 5).children
    assert [control.value for control in panel.children[:2]] == ["group 2, block 3", 5]
    assert "channel 5 (yellow)" in caption.value


def test_gates_explorer_refuses_what_it_cannot_show() -> None:
    with pytest.raises(HatlibError, match="unknown block 'group 3, block 1'"):
        gates_explorer(network(), PICTURES, "group 3, block 1")
    with pytest.raises(HatlibError, match="channel is -1; group 1, block 1 has channels 0 to 31"):
        gates_explorer(network(), PICTURES, channel=-1)
    with pytest.raises(HatlibError, match="SwinIR has no channel attention; RCAN and HAT have it"):
        gates_explorer(models.create("swinir-nano").eval())
    with pytest.raises(HatlibError, match="two images by name, got 1"):
        gates_explorer(network(), {"one": PICTURES["cat"]})
    with pytest.raises(HatlibError, match="channel is 32; group 1, block 1 has channels 0 to 31"):
        gates_view(PICTURES, of_network, "group 1, block 1", 32)
