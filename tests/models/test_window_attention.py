"""Windows: cutting, positions, masks, attention. For the fast ways see `test_fast.py`."""

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
    index = window_attention.relative_position_index(4)
    for query in range(16):
        for key in range(16):
            down, right = query // 4 - key // 4, query % 4 - key % 4
            assert index[query, key] == (down + 3) * 7 + right + 3


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


# --- attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [16, 36])
def test_attention_is_the_formula(keys: int) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(6, 3, 16, 8), torch.randn(6, 3, keys, 8), torch.randn(6, 3, keys, 8)
    bias, mask = torch.randn(1, 3, 16, keys), torch.randn(2, 16, keys)
    for window, head, query in ((0, 0, 0), (3, 1, 7), (5, 2, 15)):
        scores = k[window, head] @ q[window, head, query] / 8**0.5 + bias[0, head, query]
        expected = scores.softmax(0) @ v[window, head]
        result = window_attention.attention(q, k, v, bias)[window, head, query]
        assert torch.allclose(result, expected, atol=1e-5)
        # the second image's windows have the masks of the first one's
        expected = (scores + mask[window % 2, query]).softmax(0) @ v[window, head]
        result = window_attention.attention(q, k, v, bias, mask)[window, head, query]
        assert torch.allclose(result, expected, atol=1e-5)


def test_keys_outside_the_map_are_zeros_not_projected_zeros():
    """With weights of zero every key inside is the projection's bias: values average to less only
    at the border."""
    layer = OverlappingAttention(4, 2, 4, 6).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.qkv.bias[8:] = 1  # of the values
        layer.proj.weight.copy_(torch.eye(4))
        x = torch.randn(1, 12, 12, 4)
        results = [layer(x)[0, ..., 0], layer.reference(x)[0, ..., 0]]
    for result in results:
        assert torch.allclose(result[4:8, 4:8], torch.ones(4, 4))
        # 5×5 of the 6×6 keys of a corner are inside, 5×6 at a side
        assert torch.allclose(result[:4, :4], torch.full((4, 4), 25 / 36))
        assert torch.allclose(result[:4, 4:8], torch.full((4, 4), 30 / 36))


def test_bfloat16_is_close():
    layer = attention_layer(shift=2).eval()
    x = torch.randn(2, 8, 8, 12)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        result = layer(x)
    with torch.inference_mode():
        assert result.dtype == torch.bfloat16
        assert 0 < (result.float() - layer(x)).abs().max() < 0.05
