"""Drawings of attention in windows: its steps, shifted windows and their mask, windows that
overlap."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from hatlib.course.drawings.sketch import (
    FILLS,
    INK,
    TAP,
    Box,
    Sketch,
    attention,
    figure,
    linear,
    sign,
    signal,
    weight,
)
from hatlib.models import hat, swinir
from hatlib.models.hat import HATConfig
from hatlib.models.swinir import SwinIRConfig, shift_of
from hatlib.models.window_attention import attention_mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP_SIDE = 1.5  # of a drawn map, inches
QUERIES = "#0072b2"
KEYS = "#d55e00"
# of the nine parts of a shifted map, so pale that letters can be read on them
PARTS = (
    "#cfe3f5", "#fbe3b5", "#f3d3dd", "#e3ead0", "#ffffff", "#e7e7ec", "#d9d2ea", "#f5efc2",
    "#cde8e4",
)  # fmt: skip


def attention_steps(queries: int = 5, keys: int = 7, d: int = 4) -> Figure:
    """Scores, weights, answers: softmax(q·kᵀ/√d)·v with one head and no bias (arXiv 1706.03762,
    eq. 1). Shown in notebook 05."""
    sketch = Sketch(f"Attention in three steps: {queries} queries, {keys} keys and values")
    q, k, v = (
        sketch.row(signal(f"{name}\n{count}×{d}"), x=0.6, y=y)[0]
        for name, count, y in (
            ("queries q", queries, 0.62),
            ("keys k", keys, 0),
            ("values v", keys, -0.62),
        )
    )
    scores, _, times, _ = sketch.row(
        attention(f"1. scores\nq·kᵀ / √{d}"),
        f"{queries}×{keys}",
        attention("2. weights: softmax\nof each row"),
        sign("×"),
        f"{queries}×{d}",
        signal("3. answers"),
        x=k.right + 0.6,
    )
    sketch.arrow(k, scores)
    sketch.join(q, scores)
    sketch.join(v, times)
    return figure(sketch)


def window_attention(config: SwinIRConfig = swinir.PRESETS["swinir"]) -> Figure:
    """Query, key and value in a window: softmax(q·kᵀ/√d + B)·v (Swin, arXiv 2103.14030, eq. 4).
    Shown in notebook 05."""
    w, c, heads = config.window_size, config.embed_dim, config.num_heads
    d, tokens = c // heads, config.window_size**2
    sketch = Sketch(
        f"Attention in a window of {w}×{w} = {tokens} tokens, {heads} heads of {d} channels"
    )
    side = 0.75
    sketch.rectangle(0, -side / 2, side, side, FILLS["attention"])
    sketch.grid(0, -side / 2, (w, w), side / w, line=0.3 if w > 8 else 0.5)
    sketch.label(side / 2, -side / 2 - 0.05, f"one window, T = {w}·{w}", va="top")
    window = Box(side / 2, 0, side, side)
    (project,) = sketch.row(linear(f"linear\n{c} → 3·{c}"), x=side + 0.85)
    sketch.arrow(window, project, f"{tokens}×{c}")
    each = f"{heads}×{tokens}×{d}"
    left = project.right + 0.42
    q, k, v = (
        sketch.row(signal(f"{name}\n{each}"), x=left, y=y)[0]
        for name, y in (("query q", 0.62), ("key k", 0), ("value v", -0.62))
    )
    for box in (q, k, v):
        sketch.branch(project, box)
    scores, plus, _, times, _, _ = sketch.row(
        attention(f"q·kᵀ / √{d}"),
        sign("+"),
        attention("softmax\nover the keys"),
        f"{heads}×{tokens}×{tokens}",
        sign("×"),
        linear("heads\nside by side"),
        f"{tokens}×{c}",
        linear(f"linear\n{c} → {c}"),
        x=k.right + 0.42,
        gap=0.3,
    )
    sketch.arrow(k, scores)
    sketch.join(q, scores)
    sketch.join(v, times)
    bias = sketch.box(weight(f"bias B\n{heads}×{tokens}×{tokens}"), plus.x, 0.62)
    sketch.down(bias, plus)
    table = (2 * w - 1) ** 2
    note = f"by offset, from a table\nof (2·{w} − 1)² = {table}"
    sketch.label(bias.right + 0.08, bias.y, note, "left")
    return figure(sketch)


def shifted_windows(config: SwinIRConfig = swinir.PRESETS["swinir"]) -> Figure:
    """Windows, shifted windows, the cyclic shift that makes whole windows of them, and the mask
    (Swin, arXiv 2103.14030, §3.2). Shown in notebook 05."""
    w = config.window_size
    shift = shift_of(1, config)
    side = 2 * w  # of the map, pixels
    pixel = MAP_SIDE / side
    sketch = Sketch(f"Shifted windows: {w}×{w}, every second layer {shift} pixels further")
    lefts = [k * (MAP_SIDE + 0.62) for k in range(4)]
    titles = (
        f"1. windows of {w}×{w}",
        f"2. windows shifted by {shift}",
        f"3. rolled by −{shift}: whole windows",
        "4. mask of the last window",
    )
    for left, title in zip(lefts, titles, strict=True):
        sketch.label(left + MAP_SIDE / 2, MAP_SIDE + 0.06, title, va="bottom", colour=INK)

    # 1: four windows
    sketch.rectangle(lefts[0], 0, MAP_SIDE, MAP_SIDE, "#ffffff")
    sketch.grid(lefts[0], 0, (side, side), pixel, line=0.25)
    _borders(sketch, lefts[0], [w], pixel, side)

    # 2: nine parts, by where the shifted windows' borders are
    cuts = [0, shift, w + shift, side]
    sketch.rectangle(lefts[1], 0, MAP_SIDE, MAP_SIDE, "#ffffff")
    for k, (top, bottom, start, end) in enumerate(_cells(cuts)):
        _part(sketch, lefts[1], k, top, bottom, start, end, pixel, side)
    _borders(sketch, lefts[1], cuts[1:-1] if shift else [w], pixel, side)

    # 3: the same parts after the roll
    sketch.rectangle(lefts[2], 0, MAP_SIDE, MAP_SIDE, "#ffffff")
    for k, (top, bottom, start, end) in enumerate(_cells(cuts)):
        rolled = [(v - shift) % side for v in (top, start)]
        _part(
            sketch, lefts[2], k, rolled[0], rolled[0] + bottom - top,
            rolled[1], rolled[1] + end - start, pixel, side,
        )  # fmt: skip
    _borders(sketch, lefts[2], [w], pixel, side)

    # 4: who may look at whom in the last window
    mask = attention_mask(side, side, w, shift)[-1].numpy() if shift else np.zeros((w * w, w * w))
    sketch.picture(np.where(mask == 0, 1.0, 0.25), lefts[3], 0, MAP_SIDE, MAP_SIDE)

    for left, right in itertools.pairwise(lefts):
        x = left + MAP_SIDE
        sketch.line((x + 0.1, MAP_SIDE / 2), (right - 0.1, MAP_SIDE / 2))
    notes = (
        "tokens attend within\ntheir window only",
        "windows lie across the\nold borders: nine pieces",
        "four windows again; the last\nhas pieces from four corners",
        f"{w * w} queries × {w * w} keys;\ndark: −100, weight 0",
    )
    for left, note in zip(lefts, notes, strict=True):
        sketch.label(left + MAP_SIDE / 2, -0.07, note, va="top")
    return figure(sketch)


def _cells(cuts: list[int]) -> list[tuple[int, int, int, int]]:
    """Top, bottom, left and right of the parts between cuts along both sides."""
    spans = list(itertools.pairwise(cuts))
    return [(*rows, *columns) for rows in spans for columns in spans]


def _part(
    sketch: Sketch,
    left: float,
    number: int,
    top: int,
    bottom: int,
    start: int,
    end: int,
    pixel: float,
    side: int,
) -> None:
    """A part of the map with its letter; rows are counted from the top."""
    if top == bottom or start == end:
        return
    x = left + start * pixel
    y = (side - bottom) * pixel
    width = (end - start) * pixel
    height = (bottom - top) * pixel
    sketch.rectangle(x, y, width, height, PARTS[number], "#999999", 0.5)
    sketch.label(x + width / 2, y + height / 2, "ABCDEFGHI"[number], size=8, colour=INK)


def _borders(sketch: Sketch, left: float, cuts: list[int], pixel: float, side: int) -> None:
    """Thick lines between windows, across the whole map, and around it."""
    whole = side * pixel
    for cut in cuts:
        x = left + cut * pixel
        y = whole - cut * pixel
        sketch.line((x, 0), (x, whole), head=False, colour=QUERIES, width=1.8)
        sketch.line((left, y), (left + whole, y), head=False, colour=QUERIES, width=1.8)
    sketch.rectangle(left, 0, whole, whole, edge=QUERIES, line=1.8, layer=3)


def ocab(config: HATConfig = hat.PRESETS["hat"]) -> Figure:
    """HAT's overlapping cross-attention block (arXiv 2205.04437, §3.2): the two window sizes, and
    the block. Shown in notebook 08."""
    return figure(_overlapping(config), _ocab(config))


def _overlapping(config: HATConfig) -> Sketch:
    """Windows of queries, and the larger windows of keys around two of them."""
    w, large = config.window_size, config.overlap_side
    margin = (large - w) // 2
    rows, columns = 3, 4
    pixel = 2.0 / (rows * w)
    height = rows * w * pixel
    width = columns * w * pixel
    sketch = Sketch(f"OCAB's windows: queries from {w}×{w}, keys and values from {large}×{large}")
    sketch.rectangle(0, 0, width, height, "#ffffff")
    sketch.grid(0, 0, (rows * w, columns * w), pixel, "#e2e2e2", 0.25)
    for k in range(1, columns):
        sketch.line((k * w * pixel, 0), (k * w * pixel, height), head=False, colour="#888888")
    for k in range(1, rows):
        sketch.line((0, k * w * pixel), (width, k * w * pixel), head=False, colour="#888888")
    for column, dash in ((1, "-"), (2, ":")):
        left = column * w * pixel
        bottom = w * pixel
        fill = FILLS["attention"] if column == 1 else "none"
        sketch.rectangle(left, bottom, w * pixel, w * pixel, fill, QUERIES, 2.2, layer=3)
        around = margin * pixel
        sketch.rectangle(
            left - around, bottom - around, large * pixel, large * pixel, "none", KEYS, 2.0,
            dash=dash, layer=3.2,
        )  # fmt: skip
    x = width + 0.3
    for y, colour, dash, text in (
        (0.86, QUERIES, "-", f"window of the queries: {w}×{w} = {w * w} tokens"),
        (0.62, KEYS, "-", f"its keys and values: {large}×{large} = {large * large} tokens"),
        (0.38, KEYS, ":", "those of the next window: both share a strip"),
    ):
        sketch.line(
            (x, y * height), (x + 0.35, y * height), head=False, colour=colour, width=2.2, dash=dash
        )
        sketch.label(x + 0.45, y * height, text, "left", size=8, colour=INK)
    sketch.label(
        x, 0.12 * height,
        f"{margin} pixels more on every side: (1 + γ)·{w} with γ = {config.overlap_ratio:g};\n"
        "outside the map, keys and values are zero",
        "left",
    )  # fmt: skip
    return sketch


def _ocab(config: HATConfig) -> Sketch:
    c, w, large = config.embed_dim, config.window_size, config.overlap_side
    d = c // config.num_heads
    tokens, keys = w * w, large * large
    h = config.num_heads
    sketch = Sketch("OCAB: a Swin layer whose keys and values come from larger windows")
    x, _, project = sketch.row(
        signal("x"), f"{TAP}h×w×{c}", linear("norm"), linear(f"linear\n{c} → 3·{c}")
    )
    left = project.right + 0.42
    (q,) = sketch.row(signal(f"q, cut {w}×{w}\n{h}×{tokens}×{d}"), x=left, y=0.32)
    (kv,) = sketch.row(signal(f"k and v, cut {large}×{large}\n{h}×{keys}×{d}"), x=left, y=-0.32)
    sketch.branch(project, q)
    sketch.branch(project, kv)
    attend, plus, _, again, _ = sketch.row(
        attention("attention,\nheads, linear"),
        sign("+"),
        TAP,
        linear(f"norm, MLP\n{c} → {round(c * config.mlp_ratio)} → {c}"),
        sign("+"),
        signal("y"),
        x=max(q.right, kv.right) + 0.42,
    )
    for box in (q, kv):
        x_turn = attend.left - 0.22
        sketch.line((box.right, box.y), (x_turn, box.y), (x_turn, 0), (attend.left, 0))
    sketch.skip(x, plus, 0.72)
    sketch.skip(plus, again, 0.45)
    return sketch
