"""Notebook 08: the blocks of HAT. The ten checks of a HAB are in `hab`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from hatlib.course.exercises.hab import hab_checks, hab_findings
from hatlib.course.exercises.probes import close, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.models.hat import CAB
from hatlib.models.window_attention import overlapping_partition, overlapping_position_index

__all__ = ["hab_checks", "hab_findings"]


def cab_parameters(channels: int, compress_ratio: int, squeeze_factor: int) -> int:
    """Weights and biases of a CAB: two 3×3 convolutions, then the two 1×1 of its attention."""
    between, squeezed = channels // compress_ratio, channels // squeeze_factor
    convolutions = (9 * channels + 1) * between + (9 * between + 1) * channels
    attention = (channels + 1) * squeezed + (squeezed + 1) * channels
    return convolutions + attention


@exercise("08.1", "What a CAB weighs", difficulty=2, minutes=10, solution=cab_parameters)
def _cab_parameters(attempt: Callable[..., int]) -> None:
    got, want = attempt(180, 3, 30), sum(p.numel() for p in CAB(180, 3, 30).parameters())
    expect(got != want - 60 - 180 - 6 - 180, "the biases are missing")
    expect(
        got != want - 2346,
        "the channel attention is missing: two 1×1 convolutions after the two of 3×3",
    )
    expect(
        got != want - 16 * 180 * 60,
        "the two outer convolutions are 3×3: nine weights per pair of channels",
    )
    expect(
        got != 2 * (9 * 180 + 1) * 180 + 2346,
        "β is not used: between the convolutions there are C/β channels",
    )
    expect(got != want - 180 + 60, "the second convolution has one bias for each of its C outputs")
    expect(
        got != want - 180 - 6, "the two 1×1 convolutions of the channel attention have biases, too"
    )
    expect(
        got != want - 7 * 180,
        "the channel attention has two 1×1 convolutions: down to C/squeeze, and back to C",
    )
    expect(
        got not in (cab_parameters(180, 3, 3), cab_parameters(180, 3, 16)),
        "the channel attention squeezes by its own factor, here 30: from 180 to 6",
    )
    expect(got != want - (9 * 60 + 1) * 120, "the second convolution maps C/β channels back to C")
    expect(
        got != want - 2346 + 61 * 2 + 3 * 60,
        "the channel attention comes after the convolutions: on C channels",
    )
    expect(
        got == want, f"for C = 180, β = 3 and a squeeze factor of 30 it is {want:,}, not {got:,}"
    )
    expect(attempt(144, 24, 24) == 17_580, "right for HAT only; HAT-S (144, 24, 24) has 17,580")


Layer = Callable[[torch.Tensor], torch.Tensor]


def hybrid_block(
    x: torch.Tensor,
    norm1: Layer,
    attention: Layer,
    cab: Layer,
    norm2: Layer,
    mlp: Layer,
    alpha: float,
    drop_path: Layer,
) -> torch.Tensor:
    """The HAB: which branch sees what, what α weighs, what stochastic depth may leave out."""
    normed = norm1(x)
    x = x + drop_path(attention(normed)) + alpha * cab(normed)
    return x + drop_path(mlp(norm2(x)))


@exercise(
    "08.2", "The hybrid block in three lines", difficulty=2, minutes=10, solution=hybrid_block
)
def _hybrid_block(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, a, b, c = (torch.randn(n, 6, generator=generator) for n in (4, 6, 6, 6))
    layers: list[Layer] = [
        lambda t: 2 * t + 1,
        lambda t: t @ a.T @ b,
        lambda t: torch.tanh(t @ c),
        lambda t: t - 3,
        lambda t: torch.relu(t @ b),
    ]

    def both(
        block: Callable[..., torch.Tensor], alpha: float = 0.5, keep: float = 0.25
    ) -> torch.Tensor:
        return block(x.clone(), *layers, alpha, lambda t: keep * t)

    got, want = both(attempt), both(hybrid_block)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(got.shape == x.shape, f"the result's shape is {tuple(x.shape)}, not {tuple(got.shape)}")
    norm1, attention, cab, norm2, mlp = layers

    def variant(first: torch.Tensor, keep: float = 0.25) -> torch.Tensor:
        return first + keep * mlp(norm2(first))

    n = norm1(x)
    attended = attention(n)
    convolved = cab(n)
    named = {
        "the CAB takes x itself; both branches take norm1(x)": variant(
            x + attended / 4 + cab(x) / 2
        ),
        "drop_path is on the CAB, too; HAT never drops the CAB": variant(
            x + (attended + convolved / 2) / 4
        ),
        "α scales the attention; it should scale the CAB": variant(x + attended / 8 + convolved),
        "α is missing: the CAB counts as much as the attention": variant(
            x + attended / 4 + convolved
        ),
        "the shortcut is x, not norm1(x)": variant(n + attended / 4 + convolved / 2),
        "the CAB comes after the attention; it should run beside it": variant(
            x + attended / 4 + cab(attended) / 2
        ),
        "the MLP may be dropped as well: it needs its drop_path": variant(
            x + attended / 4 + convolved / 2, 1.0
        ),
        "nothing is ever dropped: drop_path is not used": variant(
            x + attended + convolved / 2, 1.0
        ),
    }
    first = x + attended / 4 + convolved / 2  # after attention and CAB, as it should be
    named |= {
        "norm1 is missing: both branches take norm1(x)": variant(x + attention(x) / 4 + cab(x) / 2),
        "the CAB has no norm of its own: it takes norm1(x), as the attention does": variant(
            x + attended / 4 + cab(norm2(x)) / 2
        ),
        "the MLP takes norm2's result, not norm1's": first + mlp(norm1(first)) / 4,
        "norm2 is missing before the MLP": first + mlp(first) / 4,
        "the first residual connection is missing: add x to the two branches": variant(first - x),
        "the second residual connection is missing: add the MLP's input to its result": mlp(
            norm2(first)
        )
        / 4,
        "the second residual connection starts after attention and CAB, not at the block's x": x
        + mlp(norm2(first)) / 4,
        "the MLP comes after attention and CAB, not beside them": first + mlp(norm2(x)) / 4,
        "the attention has no factor; only the CAB has one, α": variant(
            x + attended / 8 + convolved / 2
        ),
    }
    recognise(got, named, 1e-4)
    expect(close(got, want, 1e-4), "the shape is right, but the values are not")


def overlapping_windows(x: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """(N, H, W, C) → (B, S, C): around each window of w×w the larger one of side×side.

    Outside the map are zeros; the windows of all images stand in a row, in reading order.
    """
    channels, margin = x.shape[-1], (side - window) // 2
    # (N, C·S, windows)
    columns = F.unfold(x.permute(0, 3, 1, 2), side, stride=window, padding=margin)
    return columns.unflatten(1, (channels, side * side)).permute(0, 3, 2, 1).flatten(0, 1)


@exercise("08.3", "Windows that overlap", difficulty=3, minutes=20, solution=overlapping_windows)
def _overlapping_windows(attempt: Callable[..., torch.Tensor]) -> None:
    x = torch.randn(2, 8, 12, 5, generator=torch.Generator().manual_seed(0))
    got, want = attempt(x.clone(), 4, 6), overlapping_partition(x, 4, 6)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape != (2, 5 * 36, 6),
        "that is how F.unfold leaves it, (N, C·S, windows): split C·S, move the axes, and put "
        "the windows of all images along one axis",
    )
    expect(
        got.dim() == 3,
        "the result is (B, S, C), the windows of all images along one axis, not "
        f"{tuple(got.shape)}",
    )
    expect(got.shape[1:] != (16, 5), "the windows have w×w tokens; the larger ones have side×side")
    expect(
        got.numel() < 2 * want.numel(),
        "too many windows: they start every w tokens, not at every token",
    )
    expect(
        got.shape[0] >= len(want),
        f"only {len(got)} windows of {len(want)}: without zeros around the map the last "
        "ones do not fit",
    )
    expect(
        got.shape == want.shape,
        f"the result's shape is {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    expect(
        not close(got, want.transpose(1, 2).reshape(want.shape)),
        "F.unfold puts channels before positions: permute (C, S) to (S, C); a reshape is not "
        "enough",
    )
    mirrored = F.pad(x.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="reflect").permute(0, 2, 3, 1)
    inside = mirrored.unfold(1, 6, 4).unfold(2, 6, 4).permute(0, 1, 2, 4, 5, 3).reshape(want.shape)
    expect(not close(got, inside), "the map is mirrored at its border; HAT has zeros there")

    def padded(before: int, after: int) -> torch.Tensor:
        larger = F.pad(x, (0, 0, before, after, before, after)).unfold(1, 6, 4).unfold(2, 6, 4)
        return larger.permute(0, 1, 2, 4, 5, 3).reshape(want.shape)

    off_centre = (overlapping_partition(x.roll((-1, -1), (1, 2)), 4, 6), padded(0, 2), padded(2, 2))
    expect(
        not any(close(got, windows) for windows in off_centre),
        "the larger window reaches beyond by the same amount on all sides of the smaller one: "
        "(side − w) / 2",
    )
    whole = want.unflatten(0, (2, 6))
    turned = (
        overlapping_partition(x.transpose(1, 2), 4, 6)
        .unflatten(0, (2, 3, 2))
        .transpose(1, 2)
        .flatten(0, 2)
    )
    recognise(
        got,
        {
            (
                "image and window are swapped: first all windows of "
                "one image, then those of the next"
            ): whole.transpose(0, 1).flatten(0, 1),
            (
                "F.unfold puts channels before positions: split C·S as (C, S), not as (S, C)"
            ): want.transpose(1, 2).reshape(12, 36, 5),
            "within each window rows and columns are swapped": turned,
            "rows and columns of the map are swapped": overlapping_partition(
                x.transpose(1, 2), 4, 6
            ),
        },
    )
    expect(close(got, want), "the shape is right, but tokens or windows are in another order")


def oca_index(window: int, side: int) -> torch.Tensor:
    """Rows of the released bias table for w×w queries and side×side keys: int64 (T, S).

    None of them is negative.
    """
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    key_y, key_x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    start, row = window - side + 1, window + side - 1
    down = key_y.flatten()[None, :] - y.flatten()[:, None] + start
    right = key_x.flatten()[None, :] - x.flatten()[:, None] + start
    return (down * row + right) % row**2


@exercise("08.4", "An index without negative numbers", difficulty=3, minutes=20, solution=oca_index)
def _oca_index(attempt: Callable[..., torch.Tensor]) -> None:
    got, want = attempt(4, 6), overlapping_position_index(4, 6)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(tuple(got.shape) != (36, 16), "rows are queries and columns are keys: (T, S)")
    expect(
        tuple(got.shape) == (16, 36),
        f"the index is (T, S) = (16, 36) for w = 4 and a side of 6, not {tuple(got.shape)}",
    )
    expect(not got.is_floating_point(), "an index holds whole numbers")
    expect(
        int(got.min()) >= 0 or not close(got % 81, want),
        "the rows are right, but some are negative; take them modulo the table's length",
    )
    difference = (got - want) % 81
    expect(
        not bool((difference == difference[0, 0]).all() and difference[0, 0] != 0),
        f"every row is {int(difference[0, 0])} too large: the released weights' table does not "
        "start at 0",
    )
    expect(
        not close(
            got,
            overlapping_position_index(4, 6)
            .view(4, 4, 6, 6)
            .transpose(0, 1)
            .transpose(2, 3)
            .reshape(16, 36),
        ),
        "down and right are swapped",
    )
    flipped = want.flip(0).flip(1)
    expect(not close(got, flipped), "the sign is wrong: an offset is key minus query")
    raw = torch.where(want > 80 - 40, want - 81, want)  # from −40 to 40, as in the released code
    down, right = torch.div(raw + 40, 9, rounding_mode="floor") - 4, (raw + 40) % 9 - 4
    recognise(
        got,
        {
            "take the modulo of the whole index, not of down and right by themselves": down % 9 * 9
            + right % 9,
            ("−1 is the last row, not row 1: take the modulo, not the absolute value"): raw.abs(),
            "a negative index counts from the end; it is not the first row": raw.clamp(min=0),
            "a row of offsets has w + side − 1 = 9 of them, not 2·side − 1 = 11": (
                down * 11 + right
            )
            % 121,
            "a row of offsets has w + side − 1 = 9 of them, not 2·w − 1 = 7": (down * 7 + right)
            % 81,
        },
    )
    expect(close(got, want), "the shape is right, but the values are not")
    expect(close(attempt(16, 24), overlapping_position_index(16, 24)), "right for 4 and 6 only")


def attention_cost(channels: int, window: int, overlap_ratio: float) -> int:
    """Multiply-adds of a token in overlapping attention: four linear maps, scores, weighted sum."""
    keys = int((1 + overlap_ratio) * window) ** 2
    return 4 * channels**2 + 2 * keys * channels


@exercise("08.5", "The price of a larger window", difficulty=2, minutes=10, solution=attention_cost)
def _attention_cost(attempt: Callable[..., int]) -> None:
    got, want = attempt(180, 16, 0.5), attention_cost(180, 16, 0.5)
    expect(
        got != 4 * 180**2 + 2 * 256 * 180,
        "the keys come from the larger window: (1 + γ)·w on a side",
    )
    expect(
        got != 4 * 180**2 + 2 * 384 * 180, "γ makes the side longer, so the keys grow by (1 + γ)²"
    )
    expect(
        got != 4 * 180**2 + 576 * 180,
        "each key counts twice: for its score, and for its share of the sum",
    )
    expect(
        got != 2 * 576 * 180,
        "the linear maps are missing: query, key, value and the projection after",
    )
    expect(got != 3 * 180**2 + 2 * 576 * 180, "the projection after the attention is missing")
    maps = 4 * 180**2
    expect(got != 256 * want, "that is a whole window; count one token")
    expect(
        got != maps + 2 * 32**2 * 180,
        "the larger window has (1 + γ)·w on a side; γ·w/2 of it lie beyond on each",
    )
    expect(got != maps + 2 * 24 * 180, "the larger window has ((1 + γ)·w)² keys, not (1 + γ)·w")
    expect(
        got != maps + 2 * 8**2 * 180,
        "the keys are those of the whole larger window, not only of its margin",
    )
    expect(got != maps + (256 + 576) * 180, "the weighted sum runs over all keys that have a score")
    expect(got != 4 * 180 + 2 * 576 * 180, "a linear map from C to C takes C² multiply-adds, not C")
    expect(
        got != 2 * 180**2 * (1 + 1.5**2) + 2 * 576 * 180,
        "keys and values are projected once for the map, and then cut: four linear maps per token",
    )
    expect(got == want, f"for C = 180, w = 16, γ = 0.5 it is {want:,}, not {got:,}")
    expect(
        attempt(48, 8, 0.25) == attention_cost(48, 8, 0.25),
        "right for HAT's sizes only; use the arguments",
    )
