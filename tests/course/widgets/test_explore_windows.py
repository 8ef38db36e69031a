"""hatlib.course.widgets.windows and overlap: the windows of a map, and what attention reaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hatlib.course.widgets import drawing, inputs, overlap, windows
from hatlib.errors import HatlibError
from hatlib.models.window_attention import (
    OverlappingAttention,
    WindowAttention,
    attention_mask,
    overlapping_partition,
    partition,
)
from tests.helpers.shown import is_opaque_and_pale, move_everything

TOKENS = inputs.token_map(None, windows.SIDE)
MAP = windows.SIDE * windows.CELL
TOP = drawing.GAP + 38  # where the panels begin, below two lines of title


def panel(picture: np.ndarray, number: int, width: int = MAP) -> np.ndarray:
    """One of the maps in the picture of the windows explorer."""
    left = drawing.GAP + number * (MAP + drawing.GAP)
    return picture[TOP : TOP + width, left : left + width]


# --- shifted windows


def test_window_numbers_are_those_of_partition() -> None:
    numbers = torch.from_numpy(windows.window_numbers(12, 4)).view(1, 12, 12, 1)
    cut = partition(numbers, 4, 4)[..., 0]
    assert cut.tolist() == [[k] * 16 for k in range(9)]


@pytest.mark.parametrize("window", windows.WINDOWS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_caption_counts_what_the_mask_lets_see(window: int, share: float) -> None:
    shift, last = int(share * window), (windows.SIDE // window) ** 2 - 1
    mask = attention_mask(windows.SIDE, windows.SIDE, window, shift)[last]
    for query in (0, window**2 - 1):
        caption = windows.windows_view(TOKENS, window, shift, last, query)[1]
        assert f"attends to {int((mask[query] == 0).sum())} of {window**2} tokens" in caption
        assert f"tokens of {len(mask.unique(dim=0))} part" in caption
        assert f"excludes {float((mask != 0).float().mean()):.0%} of its pairs" in caption
        assert (
            f"attends to {window**2} of {window**2}"
            in windows.windows_view(TOKENS, window, shift, last, query, False)[1]
        )


def test_the_query_is_the_same_token_on_the_map_and_on_the_rolled_one() -> None:
    picture, caption = windows.windows_view(TOKENS, 8, 4, 35, 63)
    for number, (row, column) in (
        (0, (3, 3)),
        (1, (47, 47)),
    ):  # the last token of all came from the top left
        marked = (panel(picture, number) == drawing.GOLD).all(axis=2)
        assert (
            marked[5 * row : 5 * row + 5, 5 * column : 5 * column + 5].all() and marked.sum() == 25
        )
    assert "row 3, column 3 of the map" in caption


def test_the_rolled_map_is_what_torch_rolls() -> None:
    marked = np.full_like(TOKENS, 200)
    marked[20, 30] = 0
    picture = windows.windows_view(marked, 16, 5, 0, 0)[0]
    for number, (row, column) in ((0, (20, 30)), (1, (15, 25))):
        middle = panel(picture, number)[
            2::5, 2::5
        ]  # of each token; black becomes gray, the other colours are brighter
        assert np.argwhere(middle.max(axis=2) < 100).tolist() == [[row, column]]
    rolled = torch.roll(torch.from_numpy(marked), (-5, -5), dims=(0, 1))
    assert rolled[15, 25].tolist() == [0, 0, 0]


def test_hatched_tokens_are_those_that_do_not_change_the_query() -> None:
    """The mask's picture against the network's attention: a hidden key has no influence."""
    attention = WindowAttention(6, 2, 8, 4).double().requires_grad_(False)
    x = torch.rand(1, windows.SIDE, windows.SIDE, 6, dtype=torch.float64, requires_grad=True)
    chosen, query = 35, 18
    rolled = torch.roll(attention.reference(x), (-4, -4), dims=(1, 2))
    partition(rolled, 8, 8)[chosen, query].sum().backward()
    assert x.grad is not None
    influence = (
        partition(torch.roll(x.grad, (-4, -4), dims=(1, 2)), 8, 8)[chosen]
        .abs()
        .sum(dim=1)
        .reshape(8, 8)
    )
    picture = windows.windows_view(np.full_like(TOKENS, 7), 8, 4, chosen, query)[0]
    middle = panel(picture, 2)[15::30, 15::30].max(
        axis=2
    )  # in the middle of each token: 7 where it is seen
    assert 1e-6 > influence[4, 4] > 0, "exp(−100) of what it would be"
    np.testing.assert_array_equal(middle == 7, influence.numpy() > 1e-20)


def test_windows_explorer_follows_its_controls() -> None:
    box = windows.windows_explorer()
    move_everything(box, (windows.WIDTH, windows.HEIGHT))
    assert is_opaque_and_pale(box.children[1])
    window, shift, chosen, query, masked, _ = box.children[0].children
    window.value = 4
    assert (shift.max, chosen.max, query.max) == (3, 143, 15) and (shift.value, query.value) == (
        3,
        15,
    )
    for control in (shift, chosen, query):
        control.value = control.max
    masked.value = False
    assert "the mask is off" in box.children[2].value


def test_windows_explorer_takes_any_picture() -> None:
    for image in (np.full((7, 100), 0.5), np.zeros((700, 600, 3), np.uint8)):
        assert windows.windows_explorer(image).children[1].value


# --- overlapping windows


@pytest.mark.parametrize("window", overlap.WINDOWS)
@pytest.mark.parametrize("ratio", overlap.RATIOS)
def test_overlap_counts_keys_zeros_and_rows_as_the_network_has_them(
    window: int, ratio: float
) -> None:
    side = overlap.key_side(window, ratio)
    attention = OverlappingAttention(12, 2, window, side)
    keys = overlapping_partition(torch.ones(1, overlap.SIDE, overlap.SIDE, 1), window, side)
    last = overlap.SIDE // window - 1
    caption = overlap.overlap_view(TOKENS, window, ratio, last, 0)[1]
    zeros = int((keys[last * (last + 1)] == 0).sum())  # the corner: cut off on two sides
    assert zeros == side**2 - (side - (side - window) // 2) ** 2
    assert (
        f"{zeros} of these keys lie outside" in caption
        if zeros
        else "all of these keys lie on the map" in caption
    )
    assert f"= {side**2} keys" in caption
    assert f"{len(attention.relative_position_bias_table):,} rows" in caption


@pytest.mark.parametrize("ratio", overlap.RATIOS)
def test_overlap_cost_is_what_torch_counts(ratio: float) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    channels, window = 12, 8
    side = overlap.key_side(window, ratio)
    attention = OverlappingAttention(channels, 2, window, side)
    with FlopCounterMode(display=False) as counter:
        attention.reference(torch.rand(1, 16, 24, channels))
    assert counter.get_total_flops() // 2 == 16 * 24 * sum(
        overlap.attention_cost(channels, side**2)
    )


def test_overlap_refuses_a_ratio_without_a_common_centre() -> None:
    with pytest.raises(HatlibError, match=r"a ratio of 0.25 turns 4 into 5; .* even"):
        overlap.overlap_view(TOKENS, window=4, ratio=0.25)


def test_overlap_shows_the_keys_of_the_network() -> None:
    numbered = np.zeros_like(TOKENS)
    numbered[..., 0], numbered[..., 1], numbered[..., 2] = *np.indices(TOKENS.shape[:2]), 77
    picture = overlap.overlap_view(numbered, 16, 0.5, 1, 2)[0]
    left = 2 * drawing.GAP + overlap.MAP
    keys = picture[TOP + 6 : TOP + 288 : 12, left + 6 : left + 288 : 12]  # the middle of each token
    assert keys.shape == (24, 24, 3)
    inside = keys[..., 2] == 77
    assert (
        inside[:, :20].all() and not inside[:, 20:].any()
    )  # 4 tokens lie beyond the map's right edge
    assert keys[0, 0].tolist() == [12, 28, 77] and keys[23, 19].tolist() == [35, 47, 77]


def test_overlap_explorer_follows_its_controls() -> None:
    box = overlap.overlap_explorer(channels=48)
    move_everything(box, (overlap.WIDTH, overlap.HEIGHT))
    assert is_opaque_and_pale(box.children[1])
    window, ratio, row, column, _ = box.children[0].children
    window.value, ratio.value = 8, 1.0
    assert row.max == column.max == 5
    column.value = 5
    assert "C = 48" in box.children[2].value and "S = 16·16 = 256" in box.children[2].value
