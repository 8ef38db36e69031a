"""Windows: cutting, positions, masks, and attention written twice."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hatlib import HatlibError
from hatlib.models import window_attention
from hatlib.models.window_attention import OverlappingAttention, WindowAttention


def attention_layer(
    channels: int = 12, heads: int = 2, window: int = 4, shift: int = 0
) -> WindowAttention:
    torch.manual_seed(0)
    layer = WindowAttention(channels, heads, window, shift)
    torch.nn.init.normal_(
        layer.relative_position_bias_table
    )  # far from uniform, so that a wrong row shows
    return layer


def by_place(rows: int, columns: int) -> torch.Tensor:
    """A map (1, H, W, 2) whose pixels say where they are."""
    return torch.stack(
        torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), dim=-1
    )[None]


# --- cutting --------------------------------------------------------------------------------------


def test_windows_are_in_reading_order_and_so_are_their_tokens():
    tokens = window_attention.partition(by_place(4, 9), 2, 3)
    assert tokens.shape == (6, 6, 2)
    assert tokens[0].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert tokens[1, 0].tolist() == [0, 3] and tokens[3, 0].tolist() == [2, 0]


def test_reverse_undoes_partition():
    x = torch.rand(2, 6, 8, 5)
    assert torch.equal(window_attention.reverse(window_attention.partition(x, 3, 4), 3, 4, 6, 8), x)


@pytest.mark.parametrize("window, shift", [(8, 4), (7, 3), (8, 0), (5, 1)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_cuts_cover_the_side_with_windows(window, shift, count):
    found = window_attention.cuts(count * window, window, shift)
    covered = [place for where, _ in found for place in range(where.start, where.stop)]
    assert covered == list(range(count * window))
    assert all((where.stop - where.start) % side == 0 and side <= window for where, side in found)
    assert sum(side for where, side in found if side < window) == (window if shift else 0)


def test_a_map_that_windows_do_not_fill_is_refused():
    with pytest.raises(
        HatlibError, match="windows of 8 need sides that are multiples of 8, got 12"
    ):
        attention_layer(window=8)(torch.rand(1, 16, 12, 12))


def test_overlapping_windows_are_those_of_unfold():
    x = torch.rand(2, 16, 24, 3)
    unfolded = F.unfold(
        x.permute(0, 3, 1, 2), kernel_size=12, stride=8, padding=2
    )  # (N, C·S, windows)
    expected = unfolded.view(2, 3, 144, 6).permute(0, 3, 2, 1).reshape(12, 144, 3)
    assert torch.equal(window_attention.overlapping_partition(x, 8, 12), expected)


# --- positions ------------------------------------------------------------------------------------


def test_the_index_numbers_the_offsets():
    index = window_attention.relative_position_index(4, 4, 4)
    for query in range(16):
        for key in range(16):
            down, right = query // 4 - key // 4, query % 4 - key % 4
            assert index[query, key] == (down + 3) * 7 + right + 3


def test_offsets_in_a_smaller_window_are_those_of_the_corner_of_a_whole_one():
    whole = window_attention.relative_position_index(4, 4, 4).view(4, 4, 4, 4)
    assert torch.equal(
        window_attention.relative_position_index(4, 2, 3), whole[:2, :3, :2, :3].reshape(6, 6)
    )


def test_the_overlapping_index_is_the_published_one_modulo_its_table():
    """HAT's code counts from −880 to 640; torch reads negative rows from the end."""
    query, key = by_place(16, 16).view(-1, 2), by_place(24, 24).view(-1, 2)
    published = ((key[None] - query[:, None] - 7) * torch.tensor([39, 1])).sum(
        -1
    )  # 16 − 24 + 1 = −7; 16 + 24 − 1 = 39
    assert (published.min(), published.max()) == (-880, 640)
    own = window_attention.overlapping_position_index(16, 24)
    table = torch.rand(1521)
    assert torch.equal(table[own], table[published])
    assert len(own.unique()) == 1521 and (own.min(), own.max()) == (0, 1520)
    assert not torch.equal(table[own], table[published + 880]), (
        "counting from 0 is a shift of the table by 880 rows"
    )


def test_the_mask_keeps_apart_what_the_shift_brought_together():
    height, width, window, shift = 12, 8, 4, 2
    place = torch.roll(by_place(height, width), (-shift, -shift), dims=(1, 2))
    tokens = window_attention.partition(
        place, window, window
    )  # where the tokens of each window came from
    neighbours = ((tokens[:, :, None] - tokens[:, None, :]).abs() < window).all(dim=-1)
    mask = window_attention.attention_mask(height, width, window, shift)
    assert torch.equal(mask == 0, neighbours) and set(mask.unique().tolist()) == {0.0, -100.0}


# --- attention, twice -----------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [16, 36])
def test_the_fused_core_equals_the_one_spelled_out(keys):
    torch.manual_seed(0)
    q, k, v = torch.randn(5, 3, 16, 8), torch.randn(5, 3, keys, 8), torch.randn(5, 3, keys, 8)
    bias = torch.randn(1, 3, 16, keys)
    assert torch.allclose(
        window_attention.attention(q, k, v, bias),
        window_attention.attention_spelled_out(q, k, v, bias),
        atol=1e-5,
    )
    assert not torch.allclose(
        window_attention.attention(q, k, v, bias),
        window_attention.attention(q, k, v, 0 * bias),
        atol=1e-2,
    )


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("window, shift", [(4, 0), (4, 2), (7, 3)])
def test_smaller_windows_at_the_border_equal_shift_and_mask(window, shift, rows, columns):
    layer = attention_layer(window=window, shift=shift).eval()
    x = torch.randn(2, rows * window, columns * window, 12)
    with torch.inference_mode():
        assert torch.allclose(layer(x), layer.spelled_out(x), atol=1e-6)


def test_both_ways_have_the_same_gradients():
    layer = attention_layer(shift=2).double().train()
    x = torch.randn(2, 8, 12, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 8, 12, 12, dtype=torch.float64)
    wanted = [x, *layer.parameters()]
    fast = torch.autograd.grad((layer(x) * weight).sum(), wanted)
    slow = torch.autograd.grad((layer.spelled_out(x) * weight).sum(), wanted)
    assert len(wanted) == 6 and all(gradient.abs().max() > 0 for gradient in fast)
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(fast, slow, strict=True))


def test_a_shift_makes_a_difference_and_so_does_the_mask(monkeypatch):
    """The comparison above can fail."""
    layer = attention_layer(shift=2).eval()
    x = torch.randn(1, 8, 8, 12)
    with torch.inference_mode():
        right = layer(x)
        monkeypatch.setattr(window_attention, "MASKED", 0.0)
        assert not torch.allclose(layer.spelled_out(x), right, atol=1e-3)
        layer.shift = 0
        assert not torch.allclose(layer(x), right, atol=1e-3)


def test_overlapping_attention_spelled_out_is_the_same():
    torch.manual_seed(0)
    layer = OverlappingAttention(12, 2, 4, 6).eval()
    torch.nn.init.normal_(layer.relative_position_bias_table)
    x = torch.randn(2, 8, 12, 12)
    with torch.inference_mode():
        assert torch.allclose(
            layer.attend(x), layer.attend(x, window_attention.attention_spelled_out), atol=1e-6
        )


def test_keys_outside_the_map_are_zeros_not_projected_zeros():
    """With weights of zero every key inside is the projection's bias: values average to less only
    at the border."""
    layer = OverlappingAttention(4, 2, 4, 6).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.qkv.bias[8:] = 1  # of the values
        layer.proj.weight.copy_(torch.eye(4))
        result = layer.attend(torch.randn(1, 12, 12, 4))[0, ..., 0]
    assert torch.allclose(result[4:8, 4:8], torch.ones(4, 4))
    assert torch.allclose(
        result[:4, :4], torch.full((4, 4), 25 / 36)
    )  # 5×5 of its 6×6 keys are inside
    assert torch.allclose(result[:4, 4:8], torch.full((4, 4), 30 / 36))


# --- the bias that is kept ------------------------------------------------------------------------


def test_the_bias_is_looked_up_once_until_the_weights_change():
    layer, other = attention_layer().eval(), attention_layer().eval()
    with torch.inference_mode():
        first = layer.bias(torch.float32, 4, 4)
        assert layer.bias(torch.float32, 4, 4) is first
        assert layer.bias(torch.bfloat16, 4, 4).dtype == torch.bfloat16
    assert layer.bias(torch.float32, 4, 4).requires_grad
    with torch.no_grad():
        layer.relative_position_bias_table.mul_(2.0)
        assert torch.equal(layer.bias(torch.float32, 4, 4), 2 * first)
        assert len(layer._biases) == 1, "those of other weights are not kept"
        other.relative_position_bias_table.add_(1.0)
        layer.load_state_dict(other.state_dict())
        assert torch.allclose(layer.bias(torch.float32, 4, 4), first + 1)
        layer.load_state_dict(attention_layer().state_dict(), assign=True)
        assert torch.equal(layer.bias(torch.float32, 4, 4), first)


def test_windows_of_2_by_4_and_of_4_by_2_do_not_share_a_bias():
    layer = attention_layer(shift=2).eval()
    with torch.inference_mode():
        assert not torch.equal(layer.bias(torch.float32, 2, 4), layer.bias(torch.float32, 4, 2))


def test_training_goes_on_after_inference():
    """Nothing that was made in inference mode is kept for where gradients are wanted."""
    torch.manual_seed(0)
    layer = attention_layer(window=6, shift=3).eval()
    x = torch.randn(1, 12, 12, 12)
    with torch.inference_mode():
        layer(x)
    layer.train()(x).sum().backward()
    assert layer.relative_position_bias_table.grad.abs().max() > 0
    layer.eval().requires_grad_(False)
    with torch.inference_mode():
        expected = layer(x)
    x.requires_grad_()
    result = layer(x)  # as attribution does: the gradient of the input alone
    result.sum().backward()
    assert torch.allclose(result, expected, atol=1e-6) and x.grad.abs().max() > 0


def test_bfloat16_is_close():
    layer = attention_layer(shift=2).eval()
    x = torch.randn(2, 8, 8, 12)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        result = layer(x)
    with torch.inference_mode():
        assert result.dtype == torch.bfloat16
        assert 0 < (result.float() - layer(x)).abs().max() < 0.05
