"""The kit of the drawings: boxes in rows, arrows with shapes at them, frames, grids.

A sketch only notes what is to be drawn, in inches from the left and upwards from its first row;
`figure` puts sketches below each other and draws them. So a drawing is as large as its content: a
longer text, of a larger configuration, makes room for itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hatlib import plotting
from hatlib.errors import HatlibError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# what a part is, by its colour: pale enough for dark text. The text says it, too, so nothing is
# lost to a reader who cannot tell two of them apart.
FILLS = {
    "map": "#ffffff",
    "attention": "#cfe3f5",
    "convolution": "#fbe3b5",
    "linear": "#e7e7ec",
    "weight": "#f3d3dd",
    "group": "#f6f6f8",
    "here": "#ffd24d",
}
INK = "#333333"
SOFT = "#555555"
PART_SIZE = 8.5  # points
LABEL_SIZE = 7.5
LINE = 1.25  # height of a line of text, as a multiple of its size
TAP = "•"  # begins a label at an arrow from which a skip connection starts
GAP = 0.32  # between parts of a row, inches; an arrow's head and a skip's beginning fit in
TAP_ROOM = 0.16  # of an arrow, before its label
MARGIN = 0.12  # around the drawing

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """Something to be put into a row: a text in a box, or a sign in a circle."""

    text: str
    kind: str = "map"
    sign: bool = False


@dataclass(frozen=True)
class Box:
    """A part in its place: centre and size in inches."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y + self.height / 2

    @property
    def bottom(self) -> float:
        return self.y - self.height / 2


def signal(text: str) -> Part:
    """An image or a feature map, at the ends of a row."""
    return Part(text, "map")


def conv(text: str) -> Part:
    """A convolution."""
    return Part(text, "convolution")


def linear(text: str) -> Part:
    """What treats each pixel by itself: linear layers, norms, activations."""
    return Part(text, "linear")


def attention(text: str) -> Part:
    """Attention of any kind between pixels."""
    return Part(text, "attention")


def weight(text: str) -> Part:
    """What makes or applies weights, such as channel attention."""
    return Part(text, "weight")


def group(text: str) -> Part:
    """A block or group that a panel further down takes apart."""
    return Part(text, "group")


def sign(text: str) -> Part:
    """+ or × in a circle."""
    return Part(text, "map", sign=True)


@functools.cache
def text_size(text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in inches."""
    from matplotlib.textpath import TextPath

    lines = text.split("\n")
    widths = [TextPath((0, 0), line, size=size).get_extents().x1 for line in lines if line.strip()]
    return max(widths, default=0) / 72, len(lines) * size * LINE / 72


class Sketch:
    """One panel of a drawing.

    Args:
        title: above the panel.
    """

    def __init__(self, title: str):
        self.title = title
        self.texts: list[str] = []  # of parts, in the order of the drawing
        self.extent = [0.0, 0.0, 0.0, 0.0]  # left, bottom, right, top
        self._empty = True
        self._draws: list[tuple[float, str, dict[str, Any]]] = []  # layer, what, how

    # --- single things ----------------------------------------------------------------------------

    def box(self, part: Part, x: float, y: float, width: float = 0, height: float = 0) -> Box:
        """Puts a part at a place; it is as large as its text, or larger if wanted."""
        if part.sign:
            return self._sign(part, x, y)
        wide, high = text_size(part.text, PART_SIZE)
        box = Box(x, y, max(width, wide + 0.2), max(height, high + 0.14))
        self.rectangle(
            box.left, box.bottom, box.width, box.height, FILLS[part.kind], INK, 0.9, rounded=0.06
        )
        self._text(x, y, part.text, PART_SIZE)
        self.texts.append(part.text)
        return box

    def _sign(self, part: Part, x: float, y: float) -> Box:
        self.disc(x, y, 0.1)
        self._text(x, y, part.text, 10)
        self.texts.append(part.text)
        return Box(x, y, 0.2, 0.2)

    def label(
        self,
        x: float,
        y: float,
        text: str,
        ha: str = "center",
        va: str = "center",
        size: float = LABEL_SIZE,
        colour: str = SOFT,
        weight: str = "normal",
        spoken: bool = True,
    ) -> None:
        """A text without a box; `spoken` where the drawing's alternative text has it, too."""
        if text:
            self._text(x, y, text, size, ha, va, colour, weight)
            if spoken:
                self.texts.append(text)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        ha: str = "center",
        va: str = "center",
        colour: str = INK,
        weight: str = "normal",
    ) -> None:
        wide, high = text_size(text, size)
        if weight == "bold":
            wide *= 1.12
        left = x - {"left": 0, "center": wide / 2, "right": wide}[ha]
        bottom = y - {"bottom": 0, "center": high / 2, "top": high}[va]
        self._note(
            4, "text", (left, bottom), (left + wide, bottom + high),
            x=x, y=y, s=text, fontsize=size, ha=ha, va=va, color=colour, fontweight=weight,
        )  # fmt: skip

    def rectangle(
        self,
        left: float,
        bottom: float,
        width: float,
        height: float,
        fill: str = "none",
        edge: str = INK,
        line: float = 0.9,
        rounded: float = 0.0,
        dash: str = "-",
        layer: float = 2,
    ) -> Box:
        """A rectangle, from its lower left corner."""
        self._note(
            layer, "rectangle", (left, bottom), (left + width, bottom + height),
            left=left, bottom=bottom, width=width, height=height, fill=fill, edge=edge,
            line=line, rounded=rounded, dash=dash,
        )  # fmt: skip
        return Box(left + width / 2, bottom + height / 2, width, height)

    def line(
        self,
        *points: Point,
        head: bool = True,
        colour: str = INK,
        width: float = 1.0,
        dash: str = "-",
    ) -> None:
        """A line through points, with round corners, and an arrow's head at its end."""
        self._note(
            3, "line", *points, points=points, head=head, colour=colour, width=width, dash=dash
        )

    def disc(self, x: float, y: float, radius: float, kind: str = "map", line: float = 1.0) -> None:
        """A circle, filled as a part of that kind is."""
        self._note(
            3, "circle", (x - radius, y - radius), (x + radius, y + radius),
            x=x, y=y, radius=radius, fill=FILLS[kind], line=line,
        )  # fmt: skip

    def dot(self, x: float, y: float) -> None:
        """Where a line branches off another."""
        self._note(3, "dot", (x, y), x=x, y=y)

    def picture(
        self, image: np.ndarray, left: float, bottom: float, width: float, height: float
    ) -> Box:
        """An image (h, w, 3) or a gray map (h, w) in a thin frame."""
        self._note(
            1, "picture", (left, bottom), (left + width, bottom + height),
            image=image, extent=(left, left + width, bottom, bottom + height),
        )  # fmt: skip
        return self.rectangle(left, bottom, width, height, line=0.8)

    def grid(
        self,
        left: float,
        bottom: float,
        cells: tuple[int, int],
        side: float,
        colour: str = "#c4c4c4",
        line: float = 0.4,
    ) -> Box:
        """Lines between rows×columns of square cells, each `side` inches."""
        rows, columns = cells
        right = left + columns * side
        top = bottom + rows * side
        upright = [((left + k * side, bottom), (left + k * side, top)) for k in range(1, columns)]
        level = [((left, bottom + k * side), (right, bottom + k * side)) for k in range(1, rows)]
        self._note(
            3, "lines", (left, bottom), (right, top),
            lines=[*upright, *level], colour=colour, width=line,
        )  # fmt: skip
        return self.rectangle(left, bottom, right - left, top - bottom)

    def row(
        self, *items: Part | str, x: float = 0.0, y: float = 0.0, gap: float = GAP
    ) -> list[Box]:
        """Parts from left to right with arrows between them; a text between two parts stands at
        their arrow. A text that begins with `TAP` leaves room for a skip connection's start.

        Args:
            x: left end of the first part.
            y: of the middle of all parts.
            gap: between parts; wider where a text needs it.
        """
        boxes: list[Box] = []
        label = ""
        for item in items:
            if isinstance(item, str):
                label = item
                continue
            room = TAP_ROOM if label.startswith(TAP) else 0
            label = label.removeprefix(TAP)
            wide = text_size(label, LABEL_SIZE)[0] if label else 0
            if boxes:
                x = boxes[-1].right + max(gap, wide + 0.22) + room
            half = 0.1 if item.sign else text_size(item.text, PART_SIZE)[0] / 2 + 0.1
            boxes.append(self.box(item, x + half, y))
            if len(boxes) > 1:
                self.arrow(boxes[-2], boxes[-1], label, room)
            label = ""
        return boxes

    def arrow(self, start: Box, end: Box, label: str = "", room: float = 0) -> None:
        """A straight arrow to the right, its label above it, to the right of the `room` at its
        beginning."""
        self.line((start.right, start.y), (end.left, end.y))
        # the head takes a little of the arrow's end
        middle = (start.right + room + end.left) / 2 - 0.03
        self.label(middle, start.y + 0.03, label, va="bottom")

    def branch(self, start: Box, end: Box, label: str = "", at: float | None = None) -> None:
        """From a part to one that stands higher or lower, by a line with two corners.

        Args:
            at: where the line turns; by default a little behind the first part.
        """
        x = start.right + 0.16 if at is None else at
        self.line((start.right, start.y), (x, start.y), (x, end.y), (end.left, end.y))
        self.label((x + end.left) / 2 - 0.03, end.y + 0.03, label, va="bottom")

    def join(self, start: Box, end: Box, label: str = "") -> None:
        """From a part into one that stands higher or lower further on, from above or below."""
        into = end.top if start.y > end.y else end.bottom
        self.line((start.right, start.y), (end.x, start.y), (end.x, into))
        self.label((start.right + end.x) / 2, start.y + 0.03, label, va="bottom")

    def down(self, start: Box, end: Box, label: str = "") -> None:
        """An arrow straight down or up, at the second part's middle; its label beside it."""
        ends = (start.bottom, end.top) if start.y > end.y else (start.top, end.bottom)
        self.line((end.x, ends[0]), (end.x, ends[1]))
        self.label(end.x + 0.06, sum(ends) / 2, label, "left")

    def skip(self, start: Box, end: Box, y: float, label: str = "", before: bool = False) -> None:
        """From the line behind a part over (or below) what follows, into another part.

        Args:
            y: height of the detour.
            before: whether it starts in front of the part instead.
        """
        x = start.left - 0.13 if before else start.right + 0.13
        self.dot(x, start.y)
        into = end.top if y > end.y else end.bottom
        self.line((x, start.y), (x, y), (end.x, y), (end.x, into))
        self.label((x + end.x) / 2, y + 0.03, label, va="bottom")

    def frame(
        self, boxes: Sequence[Box], title: str = "", pad: float = 0.14, over: float = 0
    ) -> Box:
        """A dashed frame around parts, its title in the upper left corner.

        Args:
            over: extra room above the parts, inches, such as for a skip connection.
        """
        left = min(box.left for box in boxes) - pad
        right = max(box.right for box in boxes) + pad
        bottom = min(box.bottom for box in boxes) - pad
        room = 0.18 if title else 0
        top = max(box.top for box in boxes) + pad + over + room
        self.rectangle(
            left, bottom, right - left, top - bottom, FILLS["group"], SOFT, 0.9, 0.08, "--", layer=0
        )
        self.label(left + 0.08, top - 0.05, title, "left", "top", colour=INK, weight="bold")
        return Box((left + right) / 2, (bottom + top) / 2, right - left, top - bottom)

    # --- drawing ----------------------------------------------------------------------------------

    def _note(self, layer: float, what: str, *corners: Point, **how: Any) -> None:
        for x, y in corners:
            if self._empty:
                self.extent = [x, y, x, y]
                self._empty = False
            left, bottom, right, top = self.extent
            self.extent = [min(left, x), min(bottom, y), max(right, x), max(top, y)]
        self._draws.append((layer, what, how))

    def draw(self, axes: Axes, dx: float, dy: float) -> None:
        """Draws everything, moved by that much."""
        for layer, what, how in self._draws:
            getattr(self, f"_draw_{what}")(axes, dx, dy, 1 + layer, **how)

    @staticmethod
    def _draw_text(
        axes: Axes, dx: float, dy: float, z: float, x: float, y: float, **how: Any
    ) -> None:
        axes.text(x + dx, y + dy, zorder=z, linespacing=LINE, clip_on=False, **how)

    @staticmethod
    def _draw_circle(
        axes: Axes,
        dx: float,
        dy: float,
        z: float,
        x: float,
        y: float,
        radius: float,
        fill: str,
        line: float,
    ) -> None:
        from matplotlib.patches import Circle

        look: dict[str, Any] = {"facecolor": fill, "edgecolor": INK, "linewidth": line}
        axes.add_artist(Circle((x + dx, y + dy), radius, zorder=z + 0.5, **look))

    @staticmethod
    def _draw_dot(axes: Axes, dx: float, dy: float, z: float, x: float, y: float) -> None:
        from matplotlib.patches import Circle

        axes.add_artist(Circle((x + dx, y + dy), 0.025, facecolor=INK, edgecolor=INK, zorder=z))

    @staticmethod
    def _draw_picture(
        axes: Axes, dx: float, dy: float, z: float, image: np.ndarray, extent: Sequence[float]
    ) -> None:
        left, right, bottom, top = extent
        place = (left + dx, right + dx, bottom + dy, top + dy)
        gray: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1} if image.ndim == 2 else {}
        axes.imshow(image, extent=place, interpolation="nearest", aspect="auto", zorder=z, **gray)

    @staticmethod
    def _draw_rectangle(
        axes: Axes,
        dx: float,
        dy: float,
        z: float,
        left: float,
        bottom: float,
        width: float,
        height: float,
        fill: str,
        edge: str,
        line: float,
        rounded: float,
        dash: str,
    ) -> None:
        from matplotlib.patches import FancyBboxPatch, Rectangle

        look: dict[str, Any] = {
            "facecolor": fill, "edgecolor": edge, "linewidth": line, "linestyle": dash, "zorder": z,
        }  # fmt: skip
        corner = (left + dx, bottom + dy)
        if rounded:
            shape = f"round,pad=0,rounding_size={rounded}"
            axes.add_artist(FancyBboxPatch(corner, width, height, boxstyle=shape, **look))
        else:
            axes.add_artist(Rectangle(corner, width, height, **look))

    @staticmethod
    def _draw_lines(
        axes: Axes,
        dx: float,
        dy: float,
        z: float,
        lines: Sequence[tuple[Point, Point]],
        colour: str,
        width: float,
    ) -> None:
        from matplotlib.collections import LineCollection

        moved = [[(x + dx, y + dy) for x, y in line] for line in lines]
        axes.add_artist(LineCollection(moved, colors=colour, linewidths=width, zorder=z))

    @staticmethod
    def _draw_line(
        axes: Axes,
        dx: float,
        dy: float,
        z: float,
        points: Sequence[Point],
        head: bool,
        colour: str,
        width: float,
        dash: str,
    ) -> None:
        from matplotlib.patches import FancyArrowPatch

        style = "-|>" if head else "-"
        path = rounded([(x + dx, y + dy) for x, y in points])
        axes.add_artist(
            FancyArrowPatch(
                path=path, arrowstyle=style, mutation_scale=9, color=colour, linewidth=width,
                linestyle=dash, zorder=z, shrinkA=0, shrinkB=0, fill=head, joinstyle="miter",
            )
        )  # fmt: skip


def rounded(points: Sequence[Point], radius: float = 0.07) -> Any:
    """A path through points with round corners."""
    from matplotlib.path import Path

    vertices = [points[0]]
    codes = [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        vertices += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def _towards(start: Point, end: Point, step: float) -> Point:
    """The point at a distance from one on the way to another, at most halfway."""
    dx = end[0] - start[0]
    dy = end[1] - start[1]
    length = (dx**2 + dy**2) ** 0.5
    share = min(0.5, step / length) if length else 0
    return start[0] + share * dx, start[1] + share * dy


def figure(*sketches: Sketch) -> Figure:
    """The sketches below each other, each with its title, on a white card of their size."""
    if not sketches:
        raise HatlibError("a drawing needs at least one panel")
    title_room = 0.3
    space = 0.22
    width = max(s.extent[2] - s.extent[0] for s in sketches)
    width = max(width, max(1.12 * text_size(s.title, 10)[0] for s in sketches)) + 2 * MARGIN
    heights = [s.extent[3] - s.extent[1] + title_room for s in sketches]
    height = sum(heights) + space * (len(sketches) - 1) + 2 * MARGIN
    drawing, axes = plotting.new_figure(1, 1, width, height)
    drawing.set_layout_engine("none")
    ax = axes[0, 0]
    ax.set_position((0, 0, 1, 1))
    ax.set_axis_off()
    top = height - MARGIN
    for sketch, own in zip(sketches, heights, strict=True):
        ax.text(MARGIN, top, sketch.title, ha="left", va="top", fontsize=10, fontweight="bold")
        sketch.draw(ax, MARGIN - sketch.extent[0], top - title_room - sketch.extent[3])
        top -= own + space
    ax.set(xlim=(0, width), ylim=(0, height))  # last, as a picture would set limits of its own
    parts = "; ".join(_spoken(sketch) for sketch in sketches)
    plotting.set_alt_text(drawing, f"Drawing. {parts}.")
    return drawing


def _spoken(sketch: Sketch) -> str:
    """A sketch in words: its title and its texts in their order."""
    return f"{sketch.title}: " + ", ".join(
        text.replace("-\n", "").replace("\n", " ") for text in sketch.texts
    )
