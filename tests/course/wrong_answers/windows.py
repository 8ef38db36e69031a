"""Wrong answers to the exercises of notebook 05, each with a part of its message."""

import numpy as np
import torch

from hatlib.course.exercises.windows import (
    attention_multiply_adds,
    masked_attention,
    may_attend,
    offset_of_row,
    reach,
)


def _cut(windows, window, height, width):
    return windows.view(height // window, width // window, window, window, -1)


def _cyclic_reach(place, shifts, window, length):
    first = last = place
    for shift in reversed(shifts):
        first = (first - shift) // window * window + shift
        last = ((last - shift) // window + 1) * window + shift - 1
    return first, last


def _only_itself(length, window, shift):
    right = may_attend(length, window, shift)
    return right & (right.all(axis=(1, 2), keepdims=True) | np.eye(window, dtype=bool))


def _one_side(length, w, shift):
    mask = np.ones((length // w, w, w), bool)
    mask[-1, : w - shift, w - shift :] = False
    return mask


def _rolled_right(length, w, shift):
    place = np.roll(np.arange(length), shift).reshape(-1, w)
    return np.abs(place[:, :, None] - place[:, None, :]) < w


def _first_and_count(*line):
    first, last = reach(*line)
    return first, last - first + 1


def _no_end(place, shifts, w, length):
    first, last = place, place
    for shift in reversed(shifts):
        first = max(0, (first - shift) // w * w + shift)
        last = ((last - shift) // w + 1) * w + shift - 1
    return first, last


def _scores(q, k, size=None):
    return q @ k.transpose(-2, -1) / (size or q.shape[-1]) ** 0.5


def _masks(q, mask):
    return 0 if mask is None else mask.repeat(len(q) // len(mask), 1, 1)[:, None]


def _with_logits(logits):
    """05.6 with other scores in the softmax."""
    return lambda q, k, v, bias, mask: logits(q, k, bias, mask).softmax(dim=-1) @ v


def _half_window_only(place, shifts, window, length):
    return reach(place, [window // 2 if shift else 0 for shift in shifts], window, length)


def _place_apart(length, window, shift):
    place = np.roll(np.arange(length), -shift).reshape(-1, window)
    return np.abs(place[:, :, None] - place[:, None, :]) < window


def _attend_by_loop(q, k, v):
    return torch.stack([(row @ k.T / q.shape[1] ** 0.5).softmax(0) @ v for row in q])


def _reach_in_place(place, shifts, window, length):
    result = reach(place, shifts, window, length)
    return result[0], result[1] + (len(shifts) == 0)


WRONG = {
    "05.1": [
        (lambda q, k, v: (q @ k.T).softmax(1) @ v, "√d is missing"),
        (lambda q, k, v: (q @ k.T / q.shape[1]).softmax(1) @ v, "divided by d"),
        (lambda q, k, v: (q @ k.T * q.shape[1] ** 0.5).softmax(1) @ v, "multiplied by √d"),
        (lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(0) @ v, "over the queries"),
        (lambda q, k, v: q @ k.T / q.shape[1] ** 0.5 @ v, "softmax is missing"),
        (lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(1), "the values v"),
        (lambda q, k, v: (q @ k.T / len(q) ** 0.5).softmax(1) @ v, "not the number of queries"),
        (lambda q, k, v: (q @ k.T / v.shape[1] ** 0.5).softmax(1) @ v, "not that of a value"),
        (lambda q, k, v: (q @ k.T).softmax(1) / q.shape[1] ** 0.5 @ v, "before the softmax"),
        (lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).sigmoid() @ v, "a softmax does"),
        (lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).exp() @ v, "divide by the sum"),
        (lambda q, k, v: (q @ k / q.shape[1] ** 0.5).softmax(1) @ v, "the function stopped at"),
        (_attend_by_loop, "but with a loop"),
        (
            lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v),
            "that is torch's",
        ),
    ],
    "05.2": [
        (lambda h, w, c, m: 4 * h * w * c**2 + 2 * (h * w) ** 2 * c, "global attention"),
        (lambda h, w, c, m: 4 * h * w * c**2 + 2 * h * w * m * c, "w² tokens, not w"),
        (lambda h, w, c, m: 2 * h * w * m**2 * c, "projections (to q"),
        (lambda h, w, c, m: 3 * h * w * c**2 + 2 * h * w * m**2 * c, "projection at the end"),
        (lambda h, w, c, m: 4 * h * w * c**2 + h * w * m**2 * c, "two products"),
        (lambda h, w, c, m: 2 * attention_multiply_adds(h, w, c, m), "count as one"),
        (lambda h, w, c, m: attention_multiply_adds(48, 64, 180, 16), "only"),
        (lambda h, w, c, m: 4 * h * w * c**2 + 2 * m**4 * c, "of one window"),
        (lambda h, w, c, m: 4 * h * w * c + 2 * h * w * m**2 * c, "C² multiply-adds"),
        (lambda h, w, c, m: h * w * c**2 + 2 * h * w * m**2 * c, "that is one"),
        (lambda h, w, c, m: 4 * h * w * c**2 + 2 * h * w * m**2, "as they have channels"),
        (lambda h, w, c, m: 4 * h * w * c**2 + 6 * 2 * h * w * m**2 * c, "heads share"),
        (lambda h, w, c, m: attention_multiply_adds(h, w, c, m) / 1e9, "not billions"),
    ],
    "05.3": [
        (lambda x, w, rows, columns: x.reshape(rows, columns, -1), "a reshape alone"),
        (
            lambda x, w, rows, columns: (
                x.view(columns // w, rows // w, w, w, -1)
                .permute(1, 2, 0, 3, 4)
                .reshape(rows, columns, -1)
            ),
            "column by column",
        ),
        (
            lambda x, w, rows, columns: (
                _cut(x, w, rows, columns).permute(0, 3, 1, 2, 4).reshape(rows, columns, -1)
            ),
            "within each window are swapped",
        ),
        (lambda x, w, rows, columns: _cut(x, w, rows, columns), "a map of (4, 6, 2)"),
        (
            lambda x, w, rows, columns: (
                _cut(x, w, columns, rows).transpose(1, 2).reshape(rows, columns, -1)
            ),
            "these two are swapped",
        ),
    ],
    "05.4": [
        (lambda row, w: divmod(row, 2 * w - 1), "negative too"),
        (lambda row, w: tuple(-k for k in offset_of_row(row, w)), "the sign is wrong"),
        (lambda row, w: offset_of_row(row, w)[::-1], "to the right first"),
        (lambda row, w: (row // w - w + 1, row % w - w + 1), "2w − 1 offsets"),
        (lambda row, w: (row // 15 - 7, row % 15 - 7), "some rows of 8 only"),
        (lambda row, w: tuple(k - 1 for k in offset_of_row(row, w)), "off by one"),
        (lambda row, w: (row // (2 * w) - w + 1, row % (2 * w) - w + 1), "not 2w"),
        (lambda row, w: row - (2 * w - 1) ** 2 // 2, "two numbers"),
    ],
    "05.5": [
        (lambda length, w, s: np.ones((length // w, w, w), bool), "both ends"),
        (lambda length, w, s: ~may_attend(length, w, s), "swapped"),
        (lambda length, w, s: may_attend(length, w, s)[::-1], "the wrong window"),
        (lambda length, w, s: may_attend(length, w, w - s), "the wrong tokens"),
        (
            lambda length, w, s: np.broadcast_to(may_attend(length, w, s)[-1], (length // w, w, w)),
            "only the last window",
        ),
        (_only_itself, "from the same end"),
        (_one_side, "symmetric"),
        (_rolled_right, "rolled the line to the right"),
        (lambda length, w, s: np.where(may_attend(length, w, s), 0, -100), "return True and False"),
        (_place_apart, "a single window"),
        (lambda length, w, s: may_attend(length, w, s).tolist(), "an array of numpy"),
        (lambda length, w, s: may_attend(length, w, s).astype(int), "its type is bool"),
    ],
    "05.7": [
        (
            lambda place, shifts, w, length: (
                reach(place, shifts, w, length)[0],
                reach(place, shifts, w, length)[1] + 1,
            ),
            "one too far",
        ),
        (
            lambda place, shifts, w, length: (
                place - w // 2 * len(shifts),
                place + w // 2 * len(shifts) - 1,
            ),
            "centred",
        ),
        (
            lambda place, shifts, w, length: reach(place, [0] * len(shifts), w, length),
            "the shift is left out",
        ),
        (lambda place, shifts, w, length: reach(place, shifts[::-1], w, length), "go backwards"),
        (_cyclic_reach, "nothing before token 0"),
        (_no_end, "after the line's last token"),
        (_first_and_count, "not how many"),
        (lambda place, shifts, w, length: reach(place, shifts[-1:], w, length), "the block before"),
        (lambda *line: max(reach(*line)), "two numbers"),
        (_half_window_only, "half a window only"),
        (_reach_in_place, "no block"),
    ],
    "05.6": [
        (
            _with_logits(lambda q, k, b, m: _scores(q, k, 1) + b + _masks(q, m)),
            "division by √d is missing",
        ),
        (
            _with_logits(lambda q, k, b, m: _scores(q, k, q.shape[-1] ** 2) + b + _masks(q, m)),
            "divided by d",
        ),
        (
            _with_logits(lambda q, k, b, m: _scores(q, k, q.shape[-2]) + b + _masks(q, m)),
            "not the number of tokens",
        ),
        (
            _with_logits(
                lambda q, k, b, m: (q @ k.transpose(-2, -1) + b) / q.shape[-1] ** 0.5 + _masks(q, m)
            ),
            "not divided by √d with them",
        ),
        (_with_logits(lambda q, k, b, m: _scores(q, k) + b), "mask is missing"),
        (_with_logits(lambda q, k, b, m: _scores(q, k) + _masks(q, m)), "bias is missing"),
        (
            _with_logits(lambda q, k, b, m: _scores(q, k) + b.transpose(1, 2) + _masks(q, m)),
            "rows are queries",
        ),
        (_with_logits(lambda q, k, b, m: _scores(q, k) + b - _masks(q, m)), "not subtracted"),
        (
            lambda q, k, v, b, m: (_scores(q, k) + b + _masks(q, m)).softmax(dim=-2) @ v,
            "over the queries",
        ),
        (
            lambda q, k, v, b, m: (_scores(q, k) + b + _masks(q, m)).softmax(dim=1) @ v,
            "over the heads",
        ),
        (
            lambda q, k, v, b, m: (_scores(q, k).softmax(dim=-1) + b + _masks(q, m)) @ v,
            "comes after bias and mask",
        ),
        (lambda q, k, v, b, m: (_scores(q, k) + b + _masks(q, m)) @ v, "softmax is missing"),
        (
            _with_logits(
                lambda q, k, b, m: (
                    _scores(q, k)
                    + b
                    + (0 if m is None else m.repeat_interleave(len(q) // len(m), dim=0)[:, None])
                )
            ),
            "repeat it as a whole",
        ),
        (
            _with_logits(lambda q, k, b, m: _scores(k, q) + b + _masks(q, m)),
            "queries and keys are swapped",
        ),
        (
            _with_logits(lambda q, k, b, m: _scores(q, k) + b + (0 if m is None else m[:1, None])),
            "the first one's mask",
        ),
        (
            lambda q, k, v, b, m: masked_attention(q, k, v, b, m).transpose(1, 2),
            "the shape of the queries",
        ),
        (lambda q, k, v, b, m: masked_attention(q, k, v, b, m * 1), "unsupported operand"),
        (
            lambda q, k, v, b, m: masked_attention(q.mul_(1.1).div_(1.1), k, v, b.mul_(0), m),
            "in place",
        ),
    ],
}
