"""hatlib.course.widgets.bias and srcnn: a network's tables, filters and maps as pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hatlib import models
from hatlib.course.widgets import bias, drawing, srcnn
from hatlib.errors import HatlibError
from hatlib.models.srcnn import SRCNN
from hatlib.models.window_attention import WindowAttention
from tests.helpers.shown import is_opaque_and_pale, move_everything, pixels


@pytest.fixture
def hat() -> models.Network:
    """Random weights, with a bias that differs from head to head as much as a trained one."""
    torch.manual_seed(0)
    model = models.create("hat-nano", 2)
    for layer in bias.attention_layers(model).values():
        torch.nn.init.normal_(layer.relative_position_bias_table)
    return model.eval()


@pytest.fixture
def small_srcnn() -> SRCNN:
    """Random weights; torch's own start, since SRCNN's passes the input on."""
    torch.manual_seed(0)
    model = SRCNN(2, kernels=(9, 3, 5), features=(6, 4))
    for layer in (model.conv1, model.conv2, model.conv3):
        layer.reset_parameters()
    return model.eval()


def test_explorers_show_the_course_networks_by_default() -> None:
    assert "Head 1 of 3" in bias.bias_explorer().children[2].value
    box = srcnn.srcnn_explorer()
    box.children[0].children[0].value = 3
    assert "32 → 1 feature" in box.children[2].value


# --- relative position bias


def test_attention_layers_are_named_in_the_order_in_which_they_run(hat: models.Network) -> None:
    group = [
        "block 1: windows of 8×8, shift 0",
        "block 2: windows of 8×8, shift 4",
        "overlapping: 8×8 queries, 12×12 keys",
    ]
    assert list(bias.attention_layers(hat)) == [
        f"group {k}, {what}" for k in (1, 2) for what in group
    ]
    assert len(bias.attention_layers(models.create("swinir-nano"))) == 8
    with torch.device("meta"):
        assert "group 6, block 5: windows of 16×16, shift 0" in bias.attention_layers(
            models.create("drct")
        )
    with pytest.raises(
        HatlibError, match="RCAN has no relative position bias; SwinIR, HAT and DRCT have one"
    ):
        bias.bias_explorer(models.create("rcan-nano"))


def test_bias_rows_are_the_bias_of_the_network(hat: models.Network) -> None:
    for layer in bias.attention_layers(hat).values():
        biases = layer.bias()[0].detach()
        for head in range(layer.heads):
            np.testing.assert_array_equal(bias.bias_rows(layer, head), biases[head])


def test_bias_by_offset_holds_each_number_of_the_table_once(hat: models.Network) -> None:
    for layer in bias.attention_layers(hat).values():
        rows = bias.bias_rows(layer, 1)
        by_offset = bias.bias_by_offset(rows)
        table = layer.relative_position_bias_table[:, 1].detach().numpy()
        np.testing.assert_array_equal(
            np.sort(by_offset, axis=None), np.sort(table).astype(np.float64)
        )
        side = round(rows.shape[1] ** 0.5)
        for query, row in enumerate(rows):
            top, left = 7 - query // 8, 7 - query % 8
            np.testing.assert_array_equal(
                by_offset[top : top + side, left : left + side], row.reshape(side, side)
            )


def test_bias_offset_up_is_up() -> None:
    """A bias for the key just above the query is drawn one cell above the middle."""
    layer = WindowAttention(2, 1, 4, 0)
    torch.nn.init.zeros_(layer.relative_position_bias_table)
    y, x = np.divmod(np.arange(16), 4)
    above = (y[None, :] - y[:, None] == -1) & (x[None, :] == x[:, None])  # (T, T)
    with torch.no_grad():
        layer.relative_position_bias_table[layer.index[torch.from_numpy(above)]] = 3.0
    table = bias.bias_by_offset(bias.bias_rows(layer, 0))
    assert np.argwhere(table).tolist() == [[2, 3]] and table[2, 3] == 3.0


def test_bias_view_shows_the_row_and_its_softmax(hat: models.Network) -> None:
    layer = bias.attention_layers(hat)["group 2, overlapping: 8×8 queries, 12×12 keys"]
    picture, caption = bias.bias_view(layer, 2, 11)
    row = torch.from_numpy(bias.bias_rows(layer, 2)[11])
    limit = float(layer.relative_position_bias_table.detach().abs().max())
    top, left = drawing.GAP + 38, 2 * drawing.GAP + bias.PANEL
    cells = picture[
        top + 10 : top + 252 : 21, left + 10 : left + 252 : 21
    ]  # 12×12 cells of 21 pixels
    np.testing.assert_array_equal(cells, drawing.colour_signed(row.numpy().reshape(12, 12), limit))
    weights = row.softmax(0).numpy()
    left += bias.PANEL + 2 * drawing.GAP + drawing.BAR
    cells = picture[top + 10 : top + 252 : 21, left + 10 : left + 252 : 21]
    np.testing.assert_array_equal(
        cells, drawing.apply_colours(weights.reshape(12, 12), 0, weights.max())
    )
    assert (
        f"largest weight would be {weights.max():.2%}" in caption and "row 1, column 3" in caption
    )
    assert f"bias {row.view(12, 12)[3, 5]:z.2f} to itself" in caption


def test_bias_view_of_a_table_of_zeros(hat: models.Network) -> None:
    layer = next(iter(bias.attention_layers(hat).values()))
    torch.nn.init.zeros_(layer.relative_position_bias_table)
    assert "1.0 times that without a bias" in bias.bias_view(layer, 0, 5)[1]


def test_bias_explorer_follows_its_controls(hat: models.Network) -> None:
    box = bias.bias_explorer(hat)
    move_everything(box, (bias.WIDTH, bias.HEIGHT))
    assert is_opaque_and_pale(box.children[1])
    assert (
        bias.bias_explorer(models.create("hat", 4, depths=(1,))).children[0].children[2].max == 255
    )


# --- SRCNN


def test_feature_maps_are_those_inside_the_network(small_srcnn: SRCNN) -> None:
    luma = torch.rand(1, 1, 20, 30)
    with torch.inference_mode():
        first, second, last = srcnn.feature_maps(small_srcnn, luma)
        assert (first.shape, second.shape, last.shape) == ((6, 20, 30), (4, 20, 30), (1, 20, 30))
        np.testing.assert_allclose(last[None], small_srcnn.enhance(luma), atol=1e-6)
        around = F.pad(luma, [4] * 4, mode="replicate")
        np.testing.assert_allclose(first[None], small_srcnn.conv1(around), atol=1e-6)
        inner = small_srcnn.conv2(torch.from_numpy(first[None]).relu())
        np.testing.assert_allclose(second[None, :, 1:-1, 1:-1], inner, atol=1e-6)


def test_srcnn_view_shows_filters_and_maps(small_srcnn: SRCNN) -> None:
    luma = torch.rand(1, 1, 32, 32)
    maps, bicubic = srcnn.feature_maps(small_srcnn, luma), luma[0, 0].numpy()
    top, left = drawing.GAP + 38, 2 * drawing.GAP + srcnn.PANEL
    for layer, feature in ((1, 5), (2, 0), (3, 0)):
        picture, caption = srcnn.srcnn_view(small_srcnn, bicubic, maps, layer, feature)
        values = maps[layer - 1][feature] - (bicubic if layer == 3 else 0)
        shown = picture[top : top + 320 : 10, left + 332 : left + 652 : 10]
        np.testing.assert_array_equal(shown, drawing.colour_signed(values))
        np.testing.assert_array_equal(
            picture[top : top + 320 : 10, left : left + 320 : 10], drawing.colour_gray(bicubic)
        )
        if layer < 3:
            assert f"blue becomes 0 ({(values <= 0).mean():.0%} of the pixels)" in caption
    first = small_srcnn.conv1.weight.detach().numpy()[
        5, 0
    ]  # in the second row of three columns, 11 pixels a weight
    picture = srcnn.srcnn_view(small_srcnn, bicubic, maps, 1, 5)[0][
        top + 108 :, drawing.GAP + 2 * 106 + 2 :
    ]
    np.testing.assert_array_equal(picture[5:99:11, 5:99:11], drawing.colour_signed(first))
    last = srcnn.srcnn_view(small_srcnn, bicubic, maps, 2, 99)  # one too large is the last
    np.testing.assert_array_equal(last[0], srcnn.srcnn_view(small_srcnn, bicubic, maps, 2, 3)[0])


def test_srcnn_explorer_follows_its_controls(small_srcnn: SRCNN) -> None:
    box = srcnn.srcnn_explorer(small_srcnn)
    move_everything(box, (srcnn.WIDTH, srcnn.HEIGHT))
    assert is_opaque_and_pale(box.children[1])
    layer, feature, _ = box.children[0].children
    feature.value = 5
    layer.value = 2
    assert (feature.max, feature.value) == (3, 3)
    layer.value = 3
    assert feature.max == 0 and "In 3 red brightens" in box.children[2].value


def test_srcnn_explorer_brings_the_picture_to_the_network(small_srcnn: SRCNN) -> None:
    """Its type here, its device where there is another one."""
    luma = torch.rand(1, 1, 24, 20)
    maps = srcnn.feature_maps(small_srcnn.double(), luma)
    assert maps[-1].shape == (1, 24, 20) and maps[-1].dtype == np.float64


def test_srcnn_explorer_of_a_network_that_adds_nothing() -> None:
    """A map of zeros has a picture too."""
    model = SRCNN(4)
    with torch.no_grad():
        model.conv3.weight.zero_()[0, 0, 2, 2] = (
            1  # passes the first feature on, and that passes the input on
        )
    box = srcnn.srcnn_explorer(model, np.full((40, 44), 90, np.uint8))
    box.children[0].children[0].value = 3
    assert "by 0.0 of 255 grey levels" in box.children[2].value


def test_srcnn_explorer_takes_any_picture_and_no_other_network(small_srcnn: SRCNN) -> None:
    for image in (np.full((9, 31), 0.5), np.zeros((500, 400, 3), np.uint8)):
        assert pixels(srcnn.srcnn_explorer(small_srcnn, image).children[1]).shape[1] >= srcnn.WIDTH
    with pytest.raises(HatlibError, match="SRCNN's filters; got RCAN"):
        srcnn.srcnn_explorer(models.create("rcan-nano"))
