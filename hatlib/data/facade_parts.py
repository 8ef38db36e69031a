"""The parts of a drawn façade: one bay of a wall (a window and what surrounds it) in five styles,
and the cornice.

Everything is made of upright and level boxes on a canvas of 160×192 texels. `hatlib.data.facades`
makes walls of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# in texels of about 1.75 cm: a bay is 2.8 m wide and a floor 3.4 m high
BAY = 160
FLOOR = 192

# height of the strip along the roof, texels
CORNICE = 64

Colour = tuple[float, float, float]


class Canvas:
    """One bay in one state: `rgb` float32 (FLOOR, BAY, 3) in 0–255, and `glass` (FLOOR, BAY), how
    much it mirrors."""

    def __init__(self, rng: np.random.RandomState, colour: Colour) -> None:
        self.rng = rng
        self.rgb = np.full((FLOOR, BAY, 3), colour, np.float32)
        self.glass = np.zeros((FLOOR, BAY), np.float32)

    def planes(self, n: int) -> np.ndarray:
        """Red, green, blue and glass as float32 (4, FLOOR/n, BAY/n), averaged over n×n texels."""
        layers = np.dstack([self.rgb, self.glass]).transpose(2, 0, 1)
        return layers.reshape(4, FLOOR // n, n, BAY // n, n).mean(axis=(2, 4))

    def box(self, x0: int, y0: int, x1: int, y1: int, colour: Colour, glass: float = 0.0) -> None:
        """Fills columns x0 … x1−1, rows y0 … y1−1."""
        self.rgb[y0:y1, x0:x1] = colour
        self.glass[y0:y1, x0:x1] = glass

    def shade(self, x0: int, y0: int, x1: int, y1: int, factor: float) -> None:
        """A shadow (factor below 1) or a lit edge (above 1)."""
        self.rgb[y0:y1, x0:x1] *= factor

    def ledge(
        self, y: int, height: int, colour: Colour, shadow: int = 8, x0: int = 0, x1: int = BAY
    ) -> None:
        """A strip that stands out: a lit upper edge, a dark lower one, and its shadow fading
        below."""
        self.box(x0, y, x1, y + height, colour)
        self.shade(x0, y, x1, y + max(1, height // 4), 1.12)
        self.shade(x0, y + height - max(1, height // 5), x1, y + height, 0.72)
        for k in range(shadow):
            self.shade(x0, y + height + k, x1, y + height + k + 1, 0.55 + 0.45 * k / shadow)

    def stripes(
        self,
        x0: int,
        y0: int,
        x1: int,
        y1: int,
        period: int,
        width: int,
        colour: Colour,
        across: bool = False,
    ) -> None:
        """Bars every `period` texels: upright, or `across` like the slats of a blind."""
        for start in range(y0, y1, period) if across else range(x0, x1, period):
            if across:
                self.box(x0, start, x1, min(start + width, y1), colour)
            else:
                self.box(start, y0, min(start + width, x1), y1, colour)


def pane(
    c: Canvas,
    x0: int,
    y0: int,
    x1: int,
    y1: int,
    frame: Colour,
    columns: int,
    rows: int,
    bar: int = 4,
) -> None:
    """A window: dark room or curtains or a blind, glass over it, frame and glazing bars, the shadow
    of its reveal."""
    rng = c.rng
    wide = x1 - x0
    high = y1 - y0
    room = rng.uniform(18, 55)
    c.box(x0, y0, x1, y1, (room, room * 1.06, room * 1.16), glass=1.0)
    kind = rng.randint(4)
    if kind == 0:  # curtains drawn aside
        for k in range(int(wide * rng.uniform(0.15, 0.3))):
            fold = 150 + 45 * math.sin(k * 0.9)
            c.box(x0 + k, y0, x0 + k + 1, y1, (fold, fold * 0.97, fold * 0.9), glass=0.45)
            c.box(x1 - k - 1, y0, x1 - k, y1, (fold, fold * 0.97, fold * 0.9), glass=0.45)
    elif kind == 1:  # a blind, let down part of the way
        down = y0 + int(high * rng.uniform(0.25, 0.9))
        c.box(x0, y0, x1, down, (112, 110, 104), glass=0.3)
        c.stripes(x0, y0, x1, down, 5, 3, (196, 193, 184), across=True)
        c.glass[y0:down, x0:x1] = 0.3
    elif kind == 2 and rng.rand() < 0.25:  # somebody is at home
        c.box(x0, y0, x1, y1, (214, 176, 112), glass=0.35)
        c.box(x0 + wide // 3, y0 + high // 2, x0 + wide // 2, y1, (120, 92, 60), glass=0.35)
    for k in range(columns + 1):
        left = x0 + round(k * (wide - bar) / columns)
        c.box(left, y0, left + bar, y1, frame)
    for k in range(rows + 1):
        top = y0 + round(k * (high - bar) / rows)
        c.box(x0, top, x1, top + bar, frame)
    c.shade(x0, y0, x1, y0 + 7, 0.45)
    c.shade(x0, y0 + 7, x0 + 5, y1, 0.62)


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """a for t = 0, b for t = 1."""
    return tuple((1 - t) * p + t * q for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def scaled(a: Colour, factor: float) -> Colour:
    return a[0] * factor, a[1] * factor, a[2] * factor


@dataclass(frozen=True)
class Palette:
    wall: Colour
    trim: Colour
    frame: Colour
    accent: Colour


def brick(c: Canvas, p: Palette, pattern: int) -> None:
    """Brick in running bond, a sash window under a stone lintel, a string course every floor."""
    mortar = mix(p.wall, (200, 192, 180), 0.6)
    c.box(0, 0, BAY, FLOOR, mortar)
    for row in range(FLOOR // 8):
        for column in range(-1, BAY // 20):
            left = column * 20 + (10 if row % 2 else 0)
            tone = c.rng.uniform(0.8, 1.12)
            c.box(max(left, 0), row * 8, max(left + 18, 0), row * 8 + 6, scaled(p.wall, tone))
    x0, x1 = (36, 124) if pattern % 2 else (28, 132)
    c.ledge(178, 9, p.trim, shadow=5)
    c.ledge(16, 16, p.trim, shadow=0, x0=x0 - 10, x1=x1 + 10)
    if pattern % 3 == 0:  # keystone
        c.box(74, 10, 86, 34, scaled(p.trim, 1.08))
        c.shade(84, 10, 86, 34, 0.7)
    pane(c, x0, 32, x1, 150, p.frame, columns=2, rows=2 if pattern % 2 else 4)
    c.ledge(150, 8, p.trim, shadow=8, x0=x0 - 8, x1=x1 + 8)


def stucco(c: Canvas, p: Palette, pattern: int) -> None:
    """Plaster, a tall window between louvred shutters, a balcony rail of thin bars."""
    c.ledge(180, 8, p.trim, shadow=4)
    c.ledge(14, 8, p.trim, shadow=7, x0=44, x1=116)
    pane(c, 54, 24, 106, 162, p.frame, columns=2, rows=4)
    for x0 in (22, 107):
        c.box(x0, 22, x0 + 31, 164, scaled(p.accent, 0.8))
        for top, bottom in ((27, 90), (95, 159)):
            c.box(x0 + 4, top, x0 + 27, bottom, scaled(p.accent, 0.45))
            c.stripes(x0 + 4, top, x0 + 27, bottom, 5, 3, scaled(p.accent, 1.1), across=True)
        c.shade(x0 + 31, 26, x0 + 34, 166, 0.75)
    if pattern % 2:
        c.ledge(168, 6, p.trim, shadow=12)
        c.stripes(0, 122, BAY, 168, 8, 2, (38, 38, 42))
        for y in (120, 126, 162):
            c.box(0, y, BAY, y + 3, (34, 34, 38))
    else:
        c.ledge(164, 7, p.trim, shadow=8, x0=18, x1=142)


def glass(c: Canvas, p: Palette, pattern: int) -> None:
    """A curtain wall: mullions, vision glass with blinds behind, opaque spandrels."""
    columns = 2 + pattern % 3
    for k in range(columns):
        x0 = k * BAY // columns
        x1 = (k + 1) * BAY // columns
        tone = c.rng.uniform(0.8, 1.2)
        c.box(x0, 0, x1, 132, scaled(p.wall, tone), glass=1.0)
        if c.rng.rand() < 0.3:
            down = int(c.rng.uniform(20, 120))
            c.box(x0, 0, x1, down, (128, 130, 130), glass=0.55)
            c.stripes(x0, 0, x1, down, 8, 5, (176, 178, 178), across=True)
            c.glass[:down, x0:x1] = 0.55
        c.box(x0, 132, x1, FLOOR, scaled(p.accent, c.rng.uniform(0.94, 1.06)), glass=0.6)
        c.box(x0, 0, x0 + 5, FLOOR, p.trim)
        c.shade(x0 + 5, 0, x0 + 8, FLOOR, 0.6)
    for y in (128, 186):
        c.box(0, y, BAY, y + 5, p.trim)
        c.shade(0, y + 5, BAY, min(y + 9, FLOOR), 0.6)


def piers(c: Canvas, p: Palette, pattern: int) -> None:
    """An office tower of stone: fluted piers, paired windows, patterned spandrels set back between
    them."""
    c.box(0, 0, BAY, FLOOR, scaled(p.wall, 0.8))
    c.box(20, 140, 140, FLOOR, p.accent)
    step = 12 if pattern % 2 else 20
    for x in range(24, 136, step):  # spandrel: chevrons or flutes
        c.box(x, 146, x + step // 2, 186, scaled(p.accent, 1.25))
        c.shade(x + step // 2, 146, x + step // 2 + 2, 186, 0.6)
    for x0, x1 in ((22, 76), (84, 138)):
        pane(c, x0, 10, x1, 140, p.frame, columns=1, rows=2, bar=5)
    c.box(76, 0, 84, FLOOR, p.trim)
    c.shade(82, 0, 86, FLOOR, 0.55)
    for x0, x1 in ((0, 20), (140, BAY)):
        c.box(x0, 0, x1, FLOOR, p.wall)
        for x in range(x0 + 3, x1 - 2, 7):
            c.shade(x, 0, x + 2, FLOOR, 0.72)
            c.shade(x + 2, 0, x + 3, FLOOR, 1.12)
    for k in range(10):
        c.shade(20 + k, 0, 21 + k, FLOOR, 0.5 + 0.05 * k)


def fins(c: Canvas, p: Palette, pattern: int) -> None:
    """A modern front: floor bands, full-height glazing, and a screen of thin upright fins before
    it."""
    pane(c, 0, 28, BAY, FLOOR, (70, 72, 76), columns=2, rows=1)
    c.ledge(0, 26, p.trim, shadow=20)
    c.shade(0, 12, BAY, 14, 0.7)
    period = (10, 16, 20)[pattern % 3]
    first, last = ((0, BAY), (0, BAY // 2), (BAY // 2, BAY))[c.rng.randint(3)]
    for x in range(first, last, period):
        c.box(x, 26, x + 4, FLOOR, p.wall)
        c.box(x + 4, 26, x + 6, FLOOR, scaled(p.wall, 0.5))


def cornice(rng: np.random.RandomState, style: str, p: Palette) -> Canvas:
    """The upper edge of a wall (the first CORNICE rows of the canvas): mouldings and dentils, or a
    plain parapet."""
    c = Canvas(rng, p.trim)
    if style in ("glass", "fins"):
        c.box(0, 0, BAY, 8, scaled(p.trim, 0.9))
        c.shade(0, 8, BAY, 11, 0.6)
        c.stripes(0, 11, BAY, CORNICE, 40, 3, scaled(p.trim, 0.7))
        return c
    c.ledge(0, 18, p.trim, shadow=6)
    c.box(0, 24, BAY, 44, scaled(p.trim, 0.62))
    c.stripes(0, 24, BAY, 40, 16, 10, scaled(p.trim, 0.98))
    c.ledge(44, 6, p.trim, shadow=14)
    return c


STYLES: dict[str, Callable[[Canvas, Palette, int], None]] = {
    "brick": brick,
    "stucco": stucco,
    "glass": glass,
    "piers": piers,
    "fins": fins,
}
PALETTES: dict[str, tuple[Palette, ...]] = {
    "brick": (
        Palette((150, 74, 56), (206, 196, 176), (236, 232, 222), (60, 70, 66)),
        Palette((176, 128, 88), (222, 212, 194), (52, 66, 60), (60, 70, 66)),
        Palette((122, 62, 58), (188, 176, 160), (226, 224, 220), (60, 70, 66)),
    ),
    "stucco": (
        Palette((226, 206, 164), (240, 230, 208), (238, 236, 230), (72, 108, 98)),
        Palette((214, 156, 128), (240, 226, 206), (240, 238, 232), (92, 112, 132)),
        Palette((208, 210, 204), (236, 236, 230), (242, 242, 240), (140, 74, 62)),
    ),
    "glass": (
        Palette((44, 66, 84), (176, 182, 186), (0, 0, 0), (58, 84, 104)),
        Palette((36, 58, 60), (70, 76, 80), (0, 0, 0), (44, 76, 78)),
        Palette((66, 74, 84), (214, 214, 210), (0, 0, 0), (120, 126, 130)),
    ),
    "piers": (
        Palette((208, 192, 164), (190, 174, 148), (58, 52, 48), (128, 104, 82)),
        Palette((178, 180, 182), (160, 162, 166), (40, 44, 50), (92, 98, 106)),
        Palette((196, 150, 122), (178, 134, 108), (46, 40, 38), (104, 84, 76)),
    ),
    "fins": (
        Palette((212, 206, 196), (224, 222, 216), (0, 0, 0), (0, 0, 0)),
        Palette((166, 116, 74), (204, 200, 194), (0, 0, 0), (0, 0, 0)),
        Palette((88, 92, 98), (190, 192, 194), (0, 0, 0), (0, 0, 0)),
    ),
}
