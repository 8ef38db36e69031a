"""Plausible wrong answers to the exercises of notebook 05, each with a part of the message that names the mistake."""

import numpy as np

from hatlib.exercises.windows import attention_multiply_adds, may_see, offset_of_row, reach


def _cut(windows, window, height, width):
    return windows.view(height // window, width // window, window, window, -1)


def _cyclic_reach(place, shifts, window, length):
    first = last = place
    for shift in reversed(shifts):
        first = (first - shift) // window * window + shift
        last = ((last - shift) // window + 1) * window + shift - 1
    return first, last


def _only_itself(length, window, shift):
    right = may_see(length, window, shift)
    return right & (right.all(axis=(1, 2), keepdims=True) | np.eye(window, dtype=bool))


WRONG = {
    "05.1": [
        (lambda q, k, v: (q @ k.T).softmax(1) @ v, "√d is missing"),
        (lambda q, k, v: (q @ k.T / q.shape[1]).softmax(1) @ v, "divided by d"),
        (lambda q, k, v: (q @ k.T * q.shape[1] ** 0.5).softmax(1) @ v, "multiplied by √d"),
        (lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(0) @ v, "over the queries"),
        (lambda q, k, v: q @ k.T / q.shape[1] ** 0.5 @ v, "softmax is missing"),
        (lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(1), "the values v"),
    ],
    "05.2": [
        (lambda h, w, c, m: attention_multiply_adds(h, w, c, 64), "global attention"),
        (lambda h, w, c, m: 4 * h * w * c**2 + 2 * h * w * m * c, "w² tokens, not w"),
        (lambda h, w, c, m: 2 * h * w * m**2 * c, "projections (to q"),
        (lambda h, w, c, m: 3 * h * w * c**2 + 2 * h * w * m**2 * c, "projection at the end"),
        (lambda h, w, c, m: 4 * h * w * c**2 + h * w * m**2 * c, "two products"),
        (lambda h, w, c, m: 2 * attention_multiply_adds(h, w, c, m), "counts once"),
        (lambda h, w, c, m: attention_multiply_adds(64, 64, 180, 16), "only"),
    ],
    "05.3": [
        (lambda x, w, rows, columns: x.reshape(rows, columns, -1), "a reshape alone"),
        (lambda x, w, rows, columns: x.view(columns // w, rows // w, w, w, -1).permute(1, 2, 0, 3, 4)
         .reshape(rows, columns, -1), "column by column"),
        (lambda x, w, rows, columns: _cut(x, w, rows, columns).permute(0, 3, 1, 2, 4).reshape(rows, columns, -1),
         "within each window are swapped"),
        (lambda x, w, rows, columns: _cut(x, w, rows, columns), "a map of (4, 6, 2)"),
    ],
    "05.4": [
        (lambda row, w: divmod(row, 2 * w - 1), "negative too"),
        (lambda row, w: tuple(-k for k in offset_of_row(row, w)), "the sign is wrong"),
        (lambda row, w: offset_of_row(row, w)[::-1], "to the right first"),
        (lambda row, w: (row // w - w + 1, row % w - w + 1), "2w − 1 offsets"),
        (lambda row, w: (row // 15 - 7, row % 15 - 7), "some rows of 8 only"),
    ],
    "05.5": [
        (lambda length, w, s: np.ones((length // w, w, w), bool), "both ends"),
        (lambda length, w, s: ~may_see(length, w, s), "swapped"),
        (lambda length, w, s: may_see(length, w, s)[::-1], "the wrong window"),
        (lambda length, w, s: may_see(length, w, w - s), "the wrong tokens"),
        (lambda length, w, s: np.broadcast_to(may_see(length, w, s)[-1], (length // w, w, w)), "only the last window"),
        (_only_itself, "from the same end"),
    ],
    "05.6": [
        (lambda place, shifts, w, length: (reach(place, shifts, w, length)[0], reach(place, shifts, w, length)[1] + 1),
         "one too far"),
        (lambda place, shifts, w, length: (place - w // 2 * len(shifts), place + w // 2 * len(shifts) - 1),
         "centred"),
        (lambda place, shifts, w, length: reach(place, [0] * len(shifts), w, length), "the shift is left out"),
        (lambda place, shifts, w, length: reach(place, shifts[::-1], w, length), "go backwards"),
        (_cyclic_reach, "nothing before token 0"),
    ],
}
