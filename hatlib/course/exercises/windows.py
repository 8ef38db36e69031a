"""Notebook 05: attention and its cost, windows, positions, shifts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hatlib.course.exercises.parts import Part
from hatlib.course.exercises.probes import Draw, close, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.models.window_attention import WindowAttention, partition, reverse


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q·kᵀ/√d)·v: queries (T, d), keys (S, d), values (S, c) → (T, c)."""
    scores = q @ k.T / q.shape[1] ** 0.5  # (T, S)
    return scores.softmax(dim=1) @ v


@exercise(
    "05.1",
    "Attention in two lines",
    difficulty=1,
    minutes=10,
    solution=attend,
    cases=lambda draw: {
        "one query": (draw.tensor(1, 3), draw.tensor(4, 3), draw.tensor(4, 2)),
        "9 queries of 16": (draw.tensor(9, 16), draw.tensor(5, 16), draw.tensor(5, 7)),
    },
    tolerance=1e-5,
    forbids={
        "loop": "right, but with a loop: two matrix products and a softmax do it at once",
        "scaled_dot_product_attention": "right, but that is torch's: write it in two lines",
    },
)
def _attend(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(*size, generator=generator) for size in ((5, 4), (7, 4), (7, 3)))
    got, want = attempt(q.clone(), k.clone(), v.clone()), attend(q, k, v)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    scores = q @ k.T
    expect(
        not close(got, (scores / 2).softmax(1), 1e-5),
        "these are the weights; now multiply them by the values v",
    )
    expect(
        got.shape == (5, 3),
        f"5 queries and values of 3 numbers give (5, 3), not {tuple(got.shape)}",
    )
    expect(not close(got, scores.softmax(1) @ v, 1e-5), "the division by √d is missing")
    expect(not close(got, (scores / 4).softmax(1) @ v, 1e-5), "divided by d; it is √d")
    expect(not close(got, (scores * 2).softmax(1) @ v, 1e-5), "multiplied by √d; divide by it")
    expect(
        not close(got, (scores / 2).softmax(0) @ v, 1e-5),
        "the softmax runs over the queries: each query's weights have to sum to 1, over the keys",
    )
    expect(not close(got, scores / 2 @ v, 1e-5), "the softmax is missing")
    recognise(
        got,
        {
            "d is the length of a query, 4 here, not the number of queries": (
                scores / 5**0.5
            ).softmax(1)
            @ v,
            "d is the length of a query, 4 here, not that of a value": (scores / 3**0.5).softmax(1)
            @ v,
            "the scores are divided by √d, before the softmax": scores.softmax(1) / 2 @ v,
            "a sigmoid does not make a query's weights sum to 1; a softmax does": (
                scores / 2
            ).sigmoid()
            @ v,
            "a query's weights have to sum to 1: divide by the sum of the exponentials": (
                scores / 2
            ).exp()
            @ v,
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


def attention_multiply_adds(height: int, width: int, channels: int, window: int) -> int:
    """Multiply-adds of one layer of window attention on an H×W map (Swin, equation 2).

    The projections to q, k, v and back, then q·kᵀ and weights·v. One window as large as the map is
    global attention.
    """
    tokens = height * width
    projections = 4 * tokens * channels**2
    return projections + 2 * tokens * window**2 * channels


@exercise(
    "05.2",
    "What a layer costs",
    difficulty=2,
    minutes=10,
    solution=attention_multiply_adds,
    cases=lambda draw: {
        "32×48, 60 channels, windows of 8": (32, 48, 60, 8),
        "one window as large as the map": (16, 16, 12, 16),
        "7×21, 5 channels, windows of 7": (7, 21, 5, 7),
    },
)
def _attention_multiply_adds(attempt: Callable[..., int]) -> None:
    got, want = attempt(48, 64, 180, 16), attention_multiply_adds(48, 64, 180, 16)
    tokens, projections, products = 3072, 4 * 3072 * 180**2, 2 * 3072 * 256 * 180
    expect(
        got != projections + 2 * tokens**2 * 180,
        "that is global attention: a token attends to the w² of its window only",
    )
    expect(got != projections + 2 * tokens * 16 * 180, "a window has w² tokens, not w")
    expect(got != products, "the four projections (to q, k and v, and back) are missing")
    expect(
        got != projections * 3 // 4 + products,
        "the projection at the end, which mixes the heads, is missing",
    )
    expect(
        got != projections + products // 2, "there are two products: q·kᵀ, and the weights times v"
    )
    expect(got != 2 * want, "a multiplication and its addition count as one, as in the papers")
    recognise(
        got,
        {
            "those are the products of one window; a map has HW/w² of them": projections
            + 2 * 256**2 * 180,
            "a linear layer from C to C has C² multiply-adds for each token, not C": 4
            * tokens
            * 180
            + products,
            "that is one projection; there are four, to q, k and v and back": tokens * 180**2
            + products,
            (
                "a dot product of two tokens takes as many multiply-adds as they have channels"
            ): projections + products // 180,
            (
                "heads share the channels: h heads of C/h channels cost what one head of C does"
            ): projections + 6 * products,
            "count multiply-adds, not billions of them": want / 1e9,
        },
        1e-6,
    )
    expect(
        got == want, f"a 48×64 map with 180 channels and windows of 16 takes {want:,}, not {got:,}"
    )
    expect(
        attempt(32, 48, 60, 8) == attention_multiply_adds(32, 48, 60, 8),
        "right for 48×64, 180 and 16 only",
    )


def reverse_windows(windows: torch.Tensor, window: int, height: int, width: int) -> torch.Tensor:
    """Windows (B, T, C), in reading order, back into the map (H, W, C) that they were cut from."""
    # (H/w, W/w, w, w, C)
    grid = windows.view(height // window, width // window, window, window, -1)
    return grid.transpose(1, 2).reshape(height, width, -1)


@exercise(
    "05.3",
    "Put the windows back",
    difficulty=2,
    minutes=10,
    solution=reverse_windows,
    cases=lambda draw: {
        "windows of 3": (draw.tensor(4, 9, 5), 3, 6, 6),
        "a row of windows": (draw.tensor(3, 4, 1), 2, 2, 6),
        "a column of windows": (draw.tensor(3, 16, 2), 4, 12, 4),
    },
)
def _reverse_windows(attempt: Callable[..., torch.Tensor]) -> None:
    numbers = torch.arange(4 * 6 * 2).view(4, 6, 2)
    cut = numbers.view(2, 2, 3, 2, 2).transpose(1, 2).reshape(6, 4, 2)
    got = attempt(cut.clone(), 2, 4, 6)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape == (4, 6, 2),
        f"6 windows of 4 tokens are a map of (4, 6, 2), not {tuple(got.shape)}",
    )
    expect(
        not torch.equal(got, cut.reshape(4, 6, 2)),
        "a reshape alone puts a window's tokens side by side; swap two axes between two reshapes",
    )
    by_column = cut.view(3, 2, 2, 2, 2).permute(1, 2, 0, 3, 4).reshape(4, 6, 2)
    expect(
        not torch.equal(got, by_column),
        "you placed the windows column by column; they are in reading order",
    )
    turned = cut.view(2, 3, 2, 2, 2).permute(0, 3, 1, 2, 4).reshape(4, 6, 2)
    expect(not torch.equal(got, turned), "rows and columns within each window are swapped")
    grid = cut.view(3, 2, 2, 2, 2).transpose(1, 2).reshape(4, 6, 2)
    expect(
        not torch.equal(got, grid),
        "there are H/w rows of windows and W/w columns; these two are swapped",
    )
    expect(torch.equal(got, numbers), "the shape is right, but the tokens are in other places")


def offset_of_row(row: int, window: int) -> tuple[int, int]:
    """The offset (down, right) from key to query that a row of the bias table stands for.

    Each of the two is −(w−1) … w−1.
    """
    down, right = divmod(row, 2 * window - 1)
    return down - (window - 1), right - (window - 1)


def _two_numbers(got: Any, which: str) -> tuple[Any, ...]:
    expect(np.shape(got) == (2,), f"two numbers were expected, {which}, not {got}")
    return got[0], got[1]


@exercise(
    "05.4",
    "Read the bias table",
    difficulty=2,
    minutes=10,
    solution=offset_of_row,
    cases=lambda draw: {
        "the last row, windows of 16": (960, 16),
        "the middle row, windows of 4": (24, 4),
        "row 17, windows of 5": (17, 5),
    },
    returns="two numbers, (down, right),",
)
def _offset_of_row(attempt: Callable[..., tuple[int, int]]) -> None:
    got = _two_numbers(attempt(0, 8), "(down, right)")
    expect(
        got != (0, 0),
        "offsets are negative too: the first row is (−7, −7), and (0, 0) is in the middle",
    )
    expect(
        got != (7, 7),
        "the sign is wrong: an offset is the query's place less the key's, and row 0 the smallest",
    )
    expect(got != (-8, -8), "off by one: 15 offsets with 0 in the middle begin at −7 = −(w − 1)")
    expect(got == (-7, -7), f"row 0 of a table for windows of 8 is the offset (−7, −7), not {got}")
    got = tuple(attempt(16, 8))
    expect(got != (-5, -7), "the table has 2w − 1 offsets in each direction, not w")
    expect(got != (-6, -7), "the table has 2w − 1 offsets in each direction, not 2w")
    expect(tuple(attempt(1, 8)) != (-6, -7), "rows of the table go to the right first, then down")
    expect(
        got == (-6, -6), f"row 16 is one down and one to the right of row 0: (−6, −6), not {got}"
    )
    expect(
        [tuple(attempt(k, 3)) for k in range(25)] == [offset_of_row(k, 3) for k in range(25)],
        "right for some rows of 8 only",
    )


def may_attend(length: int, window: int, shift: int) -> np.ndarray:
    """Which tokens of a window may attend to each other, on a shifted line: bool (length/w, w, w).

    The line has been rolled by `shift` to the left, so its last window ends with tokens from the
    line's beginning.
    """
    wrapped = np.arange(length) >= length - shift  # came from the line's beginning
    cut = wrapped.reshape(-1, window)
    return cut[:, :, None] == cut[:, None, :]


@exercise(
    "05.5",
    "The mask on a line",
    difficulty=3,
    minutes=15,
    solution=may_attend,
    cases=lambda draw: {
        "16 tokens, windows of 8, shift 3": (16, 8, 3),
        "a single window": (6, 6, 2),
        "no shift": (8, 4, 0),
        "windows of 2": (10, 2, 1),
    },
)
def _may_attend(attempt: Callable[..., np.ndarray]) -> None:
    got, want = attempt(12, 4, 1), may_attend(12, 4, 1)
    got = np.asarray(got)
    expect(
        got.shape == want.shape,
        f"3 windows of 4 tokens need a mask of {want.shape}, not {got.shape}",
    )
    expect(
        not close(got, np.where(want, 0, -100)),
        "return True and False; what is added to the scores is made from them later",
    )
    place = np.roll(np.arange(12), 1).reshape(3, 4)
    expect(
        not close(got, np.abs(place[:, :, None] - place[:, None, :]) < 4),
        "you rolled the line to the right; it is rolled to the left, so that token `shift` "
        "comes first",
    )
    order = np.arange(4)[:, None] > np.arange(4)
    expect(
        not close(got, want | order) and not close(got, want | order.T),
        "a mask is symmetric: of two tokens from opposite ends, neither may attend to the other",
    )
    expect(
        not close(got, np.ones_like(want)),
        "all tokens may attend to all: but the last window holds both ends of the line",
    )
    expect(
        not close(got, ~want),
        "True and False are swapped: True stands for tokens that may attend to each other",
    )
    expect(
        not close(got, want[::-1]),
        "the wrong window is masked: rolled to the left, the last one holds both ends",
    )
    expect(
        not close(got, may_attend(12, 4, 3)),
        "the wrong tokens are masked: only the last `shift` come from the front",
    )
    expect(
        not close(got, np.broadcast_to(want[-1], want.shape)),
        "only the last window holds tokens from both ends",
    )
    expect(
        not close(got, want & (want.all(axis=(1, 2), keepdims=True) | np.eye(4, dtype=bool))),
        "tokens from the same end may attend to each other",
    )
    expect(close(got, want), "the shape is right, but some pairs are not")
    expect(close(attempt(16, 8, 4), may_attend(16, 8, 4)), "right for 12, 4 and 1 only")
    single = attempt(6, 6, 2)
    expect(
        not close(single, np.ones((1, 6, 6))),
        "right for several windows; a single window, as long as the line, holds both ends, too: "
        "how far apart two tokens were does not tell it, which end they came from does",
    )
    expect(
        close(attempt(8, 4, 0), np.ones((2, 4, 4))),
        "without a shift all tokens of a window may attend to all",
    )


def masked_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """softmax(q·kᵀ/√d + bias + mask)·v in each window and head (Swin, equation 4): (B, h, T, d).

    Args:
        q, k, v: of B windows and h heads, (B, h, T, d) each; first all windows of one image, then
            those of the next.
        bias: (h, T, T).
        mask: (windows of an image, T, T), the same for all images and heads; None without a shift.
    """
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias  # (B, h, T, T)
    if mask is not None:
        images = len(q) // len(mask)
        scores = scores + mask.repeat(images, 1, 1)[:, None]  # (B, 1, T, T)
    return scores.softmax(dim=-1) @ v


def _attention_inputs(
    draw: Draw, images: int, windows: int, heads: int, tokens: int, size: int, masked: bool
) -> tuple[Any, ...]:
    q, k, v = (draw.tensor(images * windows, heads, tokens, size) for _ in range(3))
    mask = -100.0 * (draw.tensor(windows, tokens, tokens) > 0.5) if masked else None
    return q, k, v, draw.tensor(heads, tokens, tokens), mask


def _window_forward(
    function: Callable[..., torch.Tensor], layer: WindowAttention, x: torch.Tensor
) -> torch.Tensor:
    """`WindowAttention.reference` with the learner's attention in it."""
    _, height, width, _ = x.shape
    w, s = layer.window, layer.shift
    windows = partition(torch.roll(x, (-s, -s), dims=(1, 2)), w, w)  # (B, T, C)
    q, k, v = layer.split(layer.qkv(windows))  # each (B, h, T, d)
    attended = function(q, k, v, layer.bias()[0], layer.mask(height, width, x.device))
    x = reverse(layer.proj(layer.merge(attended)), w, w, height, width)
    return torch.roll(x, (s, s), dims=(1, 2))


@exercise(
    "05.6",
    "Attention with bias and mask",
    difficulty=3,
    minutes=15,
    solution=masked_attention,
    cases=lambda draw: {
        "two images and a mask": _attention_inputs(draw, 2, 3, 2, 4, 5, masked=True),
        "no mask": _attention_inputs(draw, 2, 2, 3, 9, 4, masked=False),
        "one image, one head": _attention_inputs(draw, 1, 6, 1, 4, 2, masked=True),
        "three images of one window": _attention_inputs(draw, 3, 1, 2, 6, 3, masked=True),
    },
    tolerance=1e-5,
    part=Part(lambda layer: isinstance(layer, WindowAttention), {"forward": _window_forward}),
)
def _masked_attention(attempt: Callable[..., torch.Tensor]) -> None:
    q, k, v, bias, mask = _attention_inputs(Draw(), 2, 3, 2, 4, 5, masked=True)
    got = attempt(q.clone(), k.clone(), v.clone(), bias.clone(), mask.clone())
    want = masked_attention(q, k, v, bias, mask)
    expect(
        got.shape == want.shape,
        f"the result has the shape of the queries, {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    products = q @ k.transpose(-2, -1)
    scores, masks = products / 5**0.5, mask.repeat(2, 1, 1)[:, None]
    both = bias + masks

    def of(logits: torch.Tensor) -> torch.Tensor:
        return logits.softmax(dim=-1) @ v

    recognise(
        got,
        {
            "the division by √d is missing": of(products + both),
            "divided by d; it is √d": of(products / 5 + both),
            "d is the length of a query, not the number of tokens": of(products / 2 + both),
            "the bias is added to the scores, not divided by √d with them": of(
                (products + bias) / 5**0.5 + masks
            ),
            "the mask is missing": of(scores + bias),
            "the bias is missing": of(scores + masks),
            "the bias goes from query to key: rows are queries": of(
                scores + bias.transpose(1, 2) + masks
            ),
            "the mask is added, not subtracted": of(scores + bias - masks),
            "the softmax runs over the queries; each query's weights have to sum to 1": (
                scores + both
            ).softmax(dim=-2)
            @ v,
            "the softmax runs over the heads": (scores + both).softmax(dim=1) @ v,
            "the softmax comes after bias and mask": (scores.softmax(dim=-1) + both) @ v,
            "the softmax comes after the bias": (scores + masks).softmax(dim=-1) @ v + bias @ v,
            "the softmax is missing": (scores + both) @ v,
            "the mask belongs to windows in their order: first all windows of an image, then those "
            "of the next; repeat it as a whole": of(
                scores + bias + mask.repeat_interleave(2, dim=0)[:, None]
            ),
            "queries and keys are swapped": of(scores.transpose(-2, -1) + both),
            "every window has the first one's mask": of(scores + bias + mask[:1, None]),
        },
        1e-4,
    )
    expect(close(got, want, 1e-4), "the shape is right, but the values are not")


def reach(place: int, shifts: Sequence[int], window: int, length: int) -> tuple[int, int]:
    """The first and the last input token of a line on which the output token at `place` depends.

    Args:
        shifts: of the blocks, first block first; windows end at the ends of the line.
    """
    first = last = place
    for shift in reversed(shifts):  # a window of the last block, those that it depends on, …
        first = max(0, (first - shift) // window * window + shift)
        last = min(length, ((last - shift) // window + 1) * window + shift) - 1
    return first, last


@exercise(
    "05.7",
    "The receptive field of shifted windows",
    difficulty=3,
    minutes=20,
    solution=reach,
    cases=lambda draw: {
        "a shift that is not half a window": (21, (0, 2), 8, 64),
        "shifts of 1 and 3 in windows of 4": (9, (1, 3, 0), 4, 40),
        "the line's first token": (0, (2, 5, 1), 6, 24),
        "the line's last token": (23, (2, 5, 1), 6, 24),
        "no block": (3, (), 8, 16),
    },
    returns="two numbers, (first, last),",
)
def _reach(attempt: Callable[..., tuple[int, int]]) -> None:
    got = _two_numbers(attempt(21, (0,), 8, 64), "(first, last)")
    expect(got != (16, 24), "one too far: give the last token itself, 23")
    expect(got != (16, 8), "the second number is the last token, not how many there are")
    expect(
        sum(got) not in (41, 42, 43),
        "a window is not centred on the token; it is where the grid puts it",
    )
    expect(got == (16, 23), f"token 21 lies in the window 16 … 23, not {got}")
    got = tuple(attempt(21, (0, 4), 8, 64))
    expect(
        got != (16, 23), "the shift is left out: windows of the second block begin at 4, 12, 20 …"
    )
    expect(
        got != (12, 27),
        "go backwards: the output depends on a window of the last block, and that on those before",
    )
    expect(
        got != (20, 27),
        "that is the window of the last block; its tokens depend on windows of the block before",
    )
    expect(
        got == (16, 31), f"after a plain and a shifted block token 21 depends on 16 … 31, not {got}"
    )
    got = tuple(attempt(2, (0, 4, 0, 4), 8, 64))
    expect(min(got) >= 0, "there is nothing before token 0: at the border windows are smaller")
    expect(
        got == (0, 15),
        f"token 2 depends on 0 … 15 after plain, shifted, plain, shifted; not on {got}",
    )
    quarter = tuple(attempt(19, (0, 2), 8, 64))
    expect(
        quarter != (8, 23),
        "right for a shift of half a window only; with a shift of 2 windows begin at 2, 10, 18 …",
    )
    expect(
        tuple(attempt(62, (4, 0, 4), 8, 64)) == (52, 63),
        "there is nothing after the line's last token: at its end windows are smaller, too",
    )
