"""hatlib.course.widgets.query: the weights are the network's, and the sliders move the query."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hatlib import models
from hatlib.course.widgets import base, query
from hatlib.course.widgets.query import query_explorer, query_view, record, weights
from hatlib.data.builtin import builtin_image
from hatlib.errors import HatlibError
from hatlib.imaging.convert import to_tensor
from hatlib.models import Network
from hatlib.models.layers import RGB_MEAN, token_layout
from hatlib.models.window_attention import WindowAttention
from tests.helpers.shown import is_opaque_and_pale, move_everything

LR = builtin_image("coffee")[120:144, 200:232]  # 24×32


@cache
def network(name: str = "hat-nano", **options: Any) -> Network:
    """With random weights that are large enough for attention to be uneven."""
    torch.manual_seed(1)
    model = models.create(name, 4, **options)
    with torch.no_grad():
        for key, tensor in model.named_parameters():
            if "qkv.weight" in key or "bias_table" in key:
                tensor.mul_(15)
    return model.eval()


def mixed(attention: query.Attention, x: torch.Tensor, row: int, column: int) -> torch.Tensor:
    """One pixel's attention result, from our weights and the map's values, 0 outside: (C,)."""
    shares, (top, left, height, width) = weights(attention, x, row, column)
    values = F.pad(
        attention.qkv(x)[..., -x.shape[-1] :], (0, 0, 16, 16, 16, 16)
    )  # (H + 32, W + 32, C)
    part = values[16 + top :][:height, 16 + left :][:, :width].unflatten(-1, (attention.heads, -1))
    return attention.proj(torch.einsum("hyx,yxhd->hd", torch.from_numpy(shares), part).flatten())


@pytest.mark.parametrize("place", [(0, 0), (3, 31), (12, 14), (23, 5), (23, 31)])
@pytest.mark.parametrize("block", range(3))
@torch.no_grad()
def test_the_weights_give_what_the_network_gives(block: int, place: tuple[int, int]) -> None:
    recorded = record(network(), LR)
    name, (attention, x) = list(recorded.blocks.items())[block]
    result = attention(x[None])
    torch.testing.assert_close(
        mixed(attention, x, *place), result[0, place[0], place[1]], rtol=1e-4, atol=1e-4
    )
    shares, _ = weights(attention, x, *place)
    np.testing.assert_allclose(shares.sum(axis=(1, 2)), 1, rtol=1e-5)
    assert shares.max() > 3 * shares.mean(), name  # uneven: the test sees a mistake


@torch.no_grad()
def test_record_keeps_what_each_attention_is_given() -> None:
    model: Any = network()
    blocks = record(model, LR).blocks
    assert list(blocks) == [
        f"group {group}, {block}"
        for group in (1, 2)
        for block in (
            "block 1: windows 8×8",
            "block 2: windows 8×8, shifted by 4",
            "OCAB: windows 8×8, keys from 12×12",
        )
    ]
    shallow = model.conv_first(to_tensor(LR) - torch.tensor(RGB_MEAN)[:, None, None])
    x, group = model.patch_embed["norm"](token_layout(shallow)), model.layers[0].residual_group
    maps = [x for _, x in blocks.values()]
    torch.testing.assert_close(maps[0], group.blocks[0].norm1(x)[0])
    x = group.blocks[0](x)
    torch.testing.assert_close(maps[1], group.blocks[1].norm1(x)[0])
    torch.testing.assert_close(maps[2], group.overlap_attn.norm1(group.blocks[1](x))[0])
    assert not any(module._forward_hooks for module in model.modules())


def test_content_and_position_apart() -> None:
    attention, x = record(network(), LR).blocks["group 1, block 1: windows 8×8"]
    position = weights(attention, x, 3, 3, content=False)[0]
    np.testing.assert_array_equal(
        position, weights(attention, x, 11, 19, content=False)[0]
    )  # the same in any window
    content = weights(attention, x, 3, 3, position=False)[0]
    both = weights(attention, x, 3, 3)[0]
    product = content * position  # exp(a + b) = exp(a)·exp(b)
    np.testing.assert_allclose(
        both, product / product.sum(axis=(1, 2), keepdims=True), rtol=1e-3, atol=1e-6
    )
    nothing = weights(attention, x, 3, 3, content=False, position=False)[0]
    np.testing.assert_allclose(nothing, 1 / 64)


def test_windows_at_the_border_of_a_shifted_map_are_smaller() -> None:
    attention, x = record(network(), LR).blocks["group 1, block 2: windows 8×8, shifted by 4"]
    assert isinstance(attention, WindowAttention) and attention.shift == 4
    boxes = {
        place: weights(attention, x, *place)[1] for place in ((0, 0), (3, 10), (4, 4), (23, 31))
    }
    assert boxes == {
        (0, 0): (0, 0, 4, 4),
        (3, 10): (0, 4, 4, 8),
        (4, 4): (4, 4, 8, 8),
        (23, 31): (20, 28, 4, 4),
    }


def test_what_falls_outside_the_picture_is_said() -> None:
    recorded = record(network(), LR)
    block = "group 2, OCAB: windows 8×8, keys from 12×12"
    shares, box = weights(*recorded.blocks[block], 0, 0)
    assert box == (-2, -2, 12, 12)
    outside = 1 - shares[1, 2:, 2:].sum()
    assert outside > 0.01
    _, caption = query_view(recorded, block, 2, 0, 0)
    assert f"<b>{base.percent(outside)}</b> of the weight falls on zeros outside" in caption
    assert "own window in orange" in caption and "rows -2 to 9" in caption
    assert "outside" not in query_view(recorded, block, 2, 12, 12)[1]


def test_query_view_paints_the_weights_on_the_picture() -> None:
    recorded = record(network(), LR)
    block = next(iter(recorded.blocks))
    picture, caption = query_view(recorded, block, 1, 10, 20)
    assert picture.dtype == np.uint8 and picture.shape[1] == query.WIDTH
    largest = weights(*recorded.blocks[block], 10, 20)[0][0].max()
    assert f"largest weight {base.percent(largest)}," in caption
    assert "of 64" in caption and "row 10, column 20" in caption
    others = [
        query_view(recorded, *settings)[0]
        for settings in (
            (block, 0, 10, 20),
            (block, 2, 10, 20),
            (block, 1, 11, 20),
            (block, 1, 10, 21),
            (block, 1, 10, 20, "q·k only"),
        )
    ]
    for other in others:
        assert other.shape == picture.shape and (other != picture).any()


def test_shares_in_words() -> None:
    assert [base.percent(share) for share in (0, 0.0042, 0.0999, 0.1, 0.374, 1)] == [
        "0 %",
        "0.4 %",
        "10.0 %",
        "10 %",
        "37 %",
        "100 %",
    ]


def test_spread_and_offset_in_words() -> None:
    even = np.full((2, 2), 0.25, np.float32)
    assert "<b>4 of 4</b>" in query._caption(even, (0, 0, 2, 2), (8, 8), 8, (1, 1))
    one = np.zeros((8, 8), np.float32)
    one[2, 7] = 1
    caption = query._caption(one, (8, 16, 8, 8), (24, 32), 8, (11, 20))
    assert (
        "largest weight 100 %, 1 above and 3 to the right of the query" in caption
        and "<b>1 of 64</b>" in caption
    )
    assert (
        query._offset(0, 0) == "on the query itself" and query._offset(2, 0) == "2 below the query"
    )
    assert query._offset(0, -1) == "1 to the left of the query"


@pytest.mark.parametrize("name", ["swinir-nano", "drct"])
def test_every_window_network_is_taken(name: str) -> None:
    options = (
        {"embed_dim": 24, "depths": (2,), "num_heads": 2, "window_size": 8}
        if name == "drct"
        else {}
    )
    recorded = record(network(name, **options), LR)
    assert len(recorded.blocks) == (5 if name == "drct" else 8)
    for block in recorded.blocks:
        assert query_view(recorded, block, 1, 23, 31)[0].shape[1] == query.WIDTH


def test_query_explorer_follows_its_controls_and_resets() -> None:
    box = query_explorer(network(), LR)
    _, _, row, column, _, _ = box.children[0].children
    assert (row.max, column.max) == (23, 31)
    move_everything(box, (query.WIDTH, query.HEIGHT))
    assert is_opaque_and_pale(box.children[1])


def test_query_explorer_cuts_to_whole_windows() -> None:
    panel = query_explorer(network(), LR[:21, :31]).children[0]
    assert (panel.children[2].max, panel.children[3].max) == (15, 23)


def test_query_explorer_refuses_what_it_cannot_show() -> None:
    with pytest.raises(
        HatlibError, match="SRCNN has no window attention; SwinIR, HAT and DRCT have it"
    ):
        query_explorer(models.create("srcnn").eval())
    with pytest.raises(HatlibError, match="Bicubic has no window attention"):
        query_explorer(models.create("bicubic"))
    with pytest.raises(
        HatlibError, match="windows of 8×8 needs an image of at least 8×8 pixels, got 7×32"
    ):
        query_explorer(network(), LR[:7])
    with pytest.raises(
        HatlibError, match="head is 4; group 1, block 1: windows 8×8 has heads 1 to 3"
    ):
        query_view(record(network(), LR), "group 1, block 1: windows 8×8", 4)
    with pytest.raises(HatlibError, match="pixel 24 is not in a map of 24"):
        query_view(record(network(), LR), "group 1, block 1: windows 8×8", 1, 24)


def test_query_explorer_leaves_a_network_in_training() -> None:
    torch.manual_seed(0)
    model = models.create("swinir", 4, embed_dim=12, depths=(2,), num_heads=2, drop_path_rate=0.9)
    values = {query_explorer(model, LR).children[1].value for _ in range(3)}
    assert len(values) == 1 and model.training


def test_the_network_runs_once_however_often_the_query_moves() -> None:
    model = network()
    runs: list[None] = []
    model.register_forward_hook(lambda *_: runs.append(None))
    box = query_explorer(model, builtin_image("coffee")[100:164, 200:264])
    block, head, row = box.children[0].children[:3]
    pictures = {box.children[1].value}
    for control, values in ((row, (1, 9, 33)), (head, (1, 2)), (block, block.options[1:3])):
        for value in values:
            control.value = value
            pictures.add(box.children[1].value)
    assert len(pictures) == 8  # all differ
    assert len(runs) == 1


def test_query_explorer_has_a_network_and_a_picture_of_its_own() -> None:
    panel, _, caption = query_explorer().children
    assert panel.children[0].options[2] == "group 1, OCAB: windows 8×8, keys from 12×12"
    assert (panel.children[2].max, panel.children[3].max) == (
        63,
        63,
    ) and "of 64</b> equal weights" in caption.value
