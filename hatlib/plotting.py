"""Figures: all of the course's pictures are drawn here, so that they look alike.

Figures are white and opaque with dark text, which reads well on light and on dark pages. Every
function returns the matplotlib figure; in a notebook make the call the last line of a cell. Each
figure says in words what it shows (`describe`): notebooks and pages keep that as the picture's
alternative text.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hatlib.attribution import Attribution
from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, luma, round_to_uint8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# --- one look for each method ---------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """How a method is drawn, in every figure: three ways to tell it from the others, so that no
    reader depends on the colour."""

    colour: str
    dash: Any  # a line style of matplotlib
    marker: str


# Colours after Okabe and Ito, which readers without red or green cones tell apart.
METHODS = {
    "nearest": Look("#a6a6a6", (0, (1, 2.5)), "x"),
    "bicubic": Look("#5c5c5c", (0, (2, 1.5)), "d"),
    "SRCNN": Look("#e69f00", (0, (5, 1.5)), "v"),
    "RCAN": Look("#009e73", (0, (6, 1.5, 1.5, 1.5)), "s"),
    "SwinIR": Look("#0072b2", (0, (9, 2)), "^"),
    "HAT": Look("#d55e00", "-", "o"),
    "DRCT": Look("#56b4e9", (0, (3, 1, 1, 1, 1, 1)), "D"),
    "DAT": Look("#aa4499", (0, (9, 1.5, 1.5, 1.5, 1.5, 1.5)), "P"),
}
# For what is no method (kernels, layers, settings), and so none of the colours above.
OTHERS = (
    Look("#332288", "-", "o"),
    Look("#cc6677", (0, (5, 1.5)), "s"),
    Look("#8c8c1a", (0, (1, 1)), "^"),
    Look("#222222", (0, (6, 1.5, 1.5, 1.5)), "D"),
    Look("#7777cc", (0, (3, 1, 1, 1, 1, 1)), "v"),
    Look("#661133", (0, (9, 2)), "P"),
)
COLOURS = tuple(look.colour for look in OTHERS)


def method_of(label: str) -> str | None:
    """The method that a label speaks of, such as "HAT" for "hat-nano-x4" or "HAT (nano)"; None
    where there is none, or more than one."""
    words = set(re.findall(r"[a-z]+", label.lower()))
    named = [method for method in METHODS if method.lower() in words]
    return named[0] if len(named) == 1 else None


def looks(labels: Iterable[str]) -> list[Look]:
    """A look for each label of a figure.

    A method keeps its own. Where two labels speak of the same method, the second gets its colour
    with another line and marker; what is no method gets those of `OTHERS` in turn.
    """
    methods = [method_of(label) for label in labels]
    result = []
    for k, method in enumerate(methods):
        before = methods[:k].count(method)
        if method is None:
            result.append(OTHERS[before % len(OTHERS)])
        elif before == 0:
            result.append(METHODS[method])
        else:
            other = OTHERS[before % len(OTHERS)]
            result.append(Look(METHODS[method].colour, other.dash, other.marker))
    return result


# --- figures --------------------------------------------------------------------------------------

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "image.interpolation": "nearest",  # pixels are the subject here: never let matplotlib blur them
    "legend.frameon": False,
    "text.parse_math": False,  # titles may be names of files, with a $ in them
}
# of an attribution map's maximum: what is fainter leaves the picture as it is
FAINTEST = 0.003
# for a picture that is larger than its place in the figure
SMALL: dict[str, Any] = {"interpolation": "antialiased"}

# top, left, height, width in pixels
Box = tuple[int, int, int, int]


def new_figure(
    rows: int = 1, columns: int = 1, width: float = 9.0, height: float = 3.0, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A figure and its (rows, columns) array of axes in the course's style.

    The figure is closed for pyplot: a notebook shows it once, as the value of its cell, and nothing
    piles up.
    """
    import matplotlib.pyplot as plt
    from matplotlib.rcsetup import cycler

    style: Any = {**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    with plt.rc_context(style):
        figure, axes = plt.subplots(
            rows,
            columns,
            squeeze=False,
            figsize=(width, height),
            layout="constrained",
            FigureClass=_figure_class(),
            **options,
        )
    plt.close(figure)
    return figure, axes


@functools.cache
def _figure_class() -> Any:
    """Matplotlib's figure with words beside it; made here, as matplotlib takes long to import."""
    from matplotlib import figure

    class Figure(figure.Figure):  # type: ignore[misc,unused-ignore]
        """`alt_text`: what the figure shows, in words; where it is empty, `describe` finds them."""

        alt_text = ""

        def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            # IPython makes the picture itself; what it cannot know is the text. Notebooks store it
            # beside the picture, and nbconvert writes it into pages.
            return {}, {"image/png": {"alt": self.alt_text or describe(self)}}

    return Figure


def set_alt_text(figure: Figure, text: str) -> None:
    """Says in words what a figure shows, where `describe` would not find them."""
    figure.alt_text = text  # type: ignore[attr-defined]


def describe(figure: Figure) -> str:
    """What a figure shows, in words: the titles of its pictures; axes and labels of its plots."""
    parts = [_in_words(axes) for axes in figure.axes]
    # the pictures of a row are one list
    pictures = [part for kind, part in parts if kind == "picture" and part]
    plots = [part for kind, part in parts if kind != "picture"]
    untitled = sum(kind == "picture" and not part for kind, part in parts)
    sentences = []
    if pictures:
        sentences.append(f"Pictures: {'; '.join(pictures)}.")
    elif untitled:
        sentences.append("A picture." if untitled == 1 else f"{untitled} pictures.")
    return " ".join([*sentences, *plots])


def _in_words(axes: Axes) -> tuple[str, str]:
    """What one axes shows: its kind, and a text."""
    from matplotlib.ticker import FixedLocator

    title = " ".join(filter(None, (axes.get_title(loc=at) for at in ("left", "center", "right"))))
    below = [text.get_text() for text in axes.texts]
    if axes.get_label() == "<colorbar>":
        scale = axes.get_ylabel() or axes.get_xlabel()
        return "scale", f"The colours show {scale}." if scale else ""
    if axes.images or not axes.has_data():
        named = [" ".join(text.split()) for text in (title, *below) if text.strip()]
        return "picture", ", ".join(named)
    start = f"{' '.join(title.split())}: " if title else ""
    text = f"{start}Plot of {axes.get_ylabel() or 'values'} against {axes.get_xlabel() or 'values'}"
    legend = axes.get_legend()
    labels = [entry.get_text() for entry in legend.get_texts()] if legend else []
    by_words = isinstance(axes.yaxis.get_major_locator(), FixedLocator)
    rows = [tick.get_text() for tick in axes.get_yticklabels()] if by_words else []
    if rows:
        text = f"{start}Values along {axes.get_xlabel()}, for {'; '.join(rows)}"
    return "plot", text + (f": {'; '.join(labels)}." if labels else ".")


def _legend(axes: Axes, **options: Any) -> None:
    """The legend, with its labels as they are: names of files may have a $ in them."""
    for text in axes.legend(**options).get_texts():
        text.set_parse_math(False)


def show_image(
    axes: Axes,
    image: np.ndarray,
    title: str = "",
    box: Box | None = None,
    x: str = "",
    y: str = "",
    **options: Any,
) -> None:
    """Draws one image on its axes, without ticks unless the axes are named by `x` and `y`; gray
    images and float maps get a gray scale unless told otherwise."""
    options = {"cmap": "gray", **options} if image.ndim == 2 else options
    if image.ndim == 2 and image.dtype == np.uint8:
        options = {"vmin": 0, "vmax": 255, **options}
    axes.imshow(image, **{"interpolation": "nearest", **options})
    axes.set_title(title)
    if x or y:
        from matplotlib.ticker import MaxNLocator

        axes.set_xlabel(x)
        axes.set_ylabel(y)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4, integer=True))
    else:
        axes.set_axis_off()
    if box:
        from matplotlib.patches import Rectangle
        from matplotlib.patheffects import withStroke

        top, left, height, width = box
        corner = (left - 0.5, top - 0.5)  # imshow puts pixel centres on whole numbers
        # a white line on both sides: on brick, red alone is not seen
        edge: dict[str, Any] = {"edgecolor": "#ff3b30", "linewidth": 1.5}
        casing = [withStroke(linewidth=3, foreground="white")]
        axes.add_patch(Rectangle(corner, width, height, fill=False, path_effects=casing, **edge))


def show_images(
    images: Mapping[str, np.ndarray],
    columns: int | None = None,
    width: float = 9.0,
    box: Box | None = None,
    x: str = "",
    y: str = "",
    bar: str = "",
    **options: Any,
) -> Figure:
    """Images side by side, each with its title; `box` marks the same rectangle on each.

    Args:
        images: title → uint8 (H, W, 3) or (H, W), or a float map (H, W).
        columns: how many in a row (all of them by default).
        width: of the figure, in inches; its height follows from the images.
        x, y: names of the axes, which then have ticks: for maps whose rows and columns mean
            something, such as keys and queries.
        bar: what the maps' colours show, with the unit; draws their scale on the right. All maps
            share it, so give `vmin` and `vmax`.
        options: passed to `Axes.imshow` (cmap, vmin, vmax …).
    """
    if not images:
        raise HatlibError("show_images needs at least one image")
    if bar and not {"vmin", "vmax"} <= options.keys():
        raise HatlibError("a scale for all maps needs vmin and vmax, which they share")
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    tallest = max(image.shape[0] / image.shape[1] for image in images.values())
    each = (width - (1 if bar else 0)) / columns
    below = 0.35 if x else 0
    figure, axes = new_figure(rows, columns, width, rows * (each * tallest + 0.3 + below))
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, image) in zip(axes.flat, images.items(), strict=False):
        ax.set_axis_on() if x or y else None
        show_image(ax, image, title, box, x, y, **options)
    if bar:
        maps = [
            ax.images[0] for ax in axes.flat if ax.images and ax.images[0].get_array().ndim == 2
        ]
        if not maps:
            raise HatlibError("a scale is for maps (H, W); the images given are all in colour")
        figure.colorbar(maps[-1], ax=axes, shrink=0.8, aspect=25, pad=0.01, label=bar)
    return figure


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of an image inside (top, left, height, width)."""
    top, left, height, width = box
    if top < 0 or left < 0 or top + height > image.shape[0] or left + width > image.shape[1]:
        raise HatlibError(
            f"the crop {box} does not lie inside an image of {image.shape[0]}×{image.shape[1]}"
        )
    return image[top : top + height, left : left + width]


def strip(
    hr: np.ndarray,
    results: Mapping[str, np.ndarray],
    box: Box,
    captions: Mapping[str, str] | None = None,
    width: float = 10.0,
) -> Figure:
    """The comparison strip of super-resolution papers: the photo with a marked crop, then that crop
    from each result.

    Args:
        hr: the ground truth, uint8 (H, W, 3).
        results: name → image of the same size as `hr`; an LR image is upscaled by repeating its
            pixels.
        box: the crop as (top, left, height, width) in HR pixels.
        captions: name → a second line under the name, such as "29.10 dB".
    """
    crops = {name: crop(_as_large_as(image, hr), box) for name, image in results.items()}
    aspect = hr.shape[1] / hr.shape[0]
    ratios = [aspect, *[box[3] / box[2]] * len(crops)]
    height = (width - 0.1 * len(ratios)) / sum(ratios) + 0.4
    figure, axes = new_figure(1, len(ratios), width, height, width_ratios=ratios)
    check_image(hr)
    show_image(axes[0, 0], hr, "HR", box=box, **SMALL)
    for ax, (name, image) in zip(axes[0, 1:], crops.items(), strict=True):
        caption = (captions or {}).get(name, "")
        show_image(ax, image, f"{name}\n{caption}" if captions else name)
    return figure


def comparison(
    lr: np.ndarray,
    results: Mapping[str, np.ndarray],
    hr: np.ndarray,
    captions: Mapping[str, str] | None = None,
    side: int | None = None,
    width: float = 11.0,
) -> Figure:
    """Whole pictures above and their middles below: LR, each result, HR, as the survey shows its
    photos.

    Args:
        lr: uint8 (h, w, 3); drawn as large as the others by repeating its pixels.
        results: name → uint8 (s·h, s·w, 3).
        hr: the ground truth, as large as the results.
        captions: name → a second line under the name, such as "29.10 dB".
        side: of the middle, in HR pixels; a quarter of the shorter side by default.
        width: of the figure, in inches.
    """
    height, across = hr.shape[:2]
    side = side or max(1, min(height, across) // 4)
    box = ((height - side) // 2, (across - side) // 2, side, side)
    pictures = {"LR": _as_large_as(lr, hr), **results, "HR": hr}
    each = width / len(pictures)
    figure, axes = new_figure(
        2,
        len(pictures),
        width,
        each * (height / across + 1) + 0.6,
        height_ratios=[height / across, 1],
    )
    for (name, image), (above, below) in zip(pictures.items(), axes.T, strict=True):
        caption = (captions or {}).get(name, "")
        show_image(above, image, f"{name}\n{caption}" if captions else name, box=box, **SMALL)
        show_image(below, crop(image, box))
    return figure


def _as_large_as(image: np.ndarray, hr: np.ndarray) -> np.ndarray:
    factor = hr.shape[0] // image.shape[0]
    return image if factor <= 1 else image.repeat(factor, axis=0).repeat(factor, axis=1)


# points that a line marks one by one; with more of them it would be a chain of beads
MOST_MARKERS = 25


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    levels: Mapping[str, float] | None = None,
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    width: float = 6.0,
    height: float = 3.2,
) -> Figure:
    """Lines over a common axis, such as PSNR against training steps.

    A method has its own colour, dashes and marker in every figure (`looks`).

    Args:
        lines: label → (x values, y values).
        x, y: axis labels with units.
        levels: label → a value drawn as a dashed horizontal line (a baseline, a reported number).
        points: label of a line → (x values, y values) that were measured, drawn as points of its
            colour; the line itself is then a formula.
    """
    figure, axes = new_figure(1, 1, width, height)
    ax = axes[0, 0]
    levels = levels or {}
    points = points or {}
    if stray := points.keys() - lines.keys():
        raise HatlibError(f"points belong to a line of the same label; no line '{min(stray)}'")
    for look, (label, (across, up)) in zip(looks(lines), lines.items(), strict=True):
        few = len(across) <= MOST_MARKERS and label not in points
        style: dict[str, Any] = {"color": look.colour, "linestyle": look.dash, "linewidth": 1.6}
        marker = {"marker": look.marker, "markersize": 4.5} if few else {}
        ax.plot(across, up, label=label, **style, **marker)
        if label in points:
            ax.plot(
                *points[label],
                label=f"{label}, measured",
                linestyle="none",
                color=look.colour,
                marker=look.marker,
                markersize=5,
            )
    for k, (label, level) in enumerate(levels.items()):
        method = METHODS.get(method_of(label) or "")
        ax.axhline(
            level,
            color=method.colour if method else "#777777",
            linestyle=("--", ":", "-.")[k % 3],
            linewidth=1.2,
            label=label,
        )
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_xscale("log" if log_x else "linear")
    ax.set_yscale("log" if log_y else "linear")
    ax.grid(True, color="#dddddd", linewidth=0.6)
    _legend(ax, fontsize=8, handlelength=3.2)
    return figure


def scatter(
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]],
    x: str,
    y: str,
    middles: bool = True,
    log_x: bool = False,
    width: float = 6.0,
    height: float = 4.0,
) -> Figure:
    """Points in groups, such as one per window, coloured by network.

    Args:
        groups: label → (x values, y values).
        x, y: axis labels with units.
        middles: whether the mean of each group is marked by a large point.
        log_x: whether the x axis is logarithmic, with plain numbers at its ticks.
    """
    figure, axes = new_figure(1, 1, width, height)
    ax = axes[0, 0]
    for look, (label, (across, up)) in zip(looks(groups), groups.items(), strict=True):
        style: dict[str, Any] = {"color": look.colour, "marker": look.marker}
        ax.scatter(across, up, s=16, alpha=0.6, linewidths=0, label=label, **style)
        if middles:
            ax.scatter(
                np.mean(across),
                np.mean(up),
                s=90,
                edgecolors="black",
                linewidths=1,
                zorder=3,
                **style,
            )
    ax.axhline(0, color="#777777", linewidth=0.8)
    if log_x:
        from matplotlib.ticker import LogLocator, NullLocator

        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    _legend(ax, fontsize=8)
    return figure


def intervals(
    series: Mapping[str, Mapping[str, tuple[float, float, float]]],
    x: str,
    points: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    width: float = 7.0,
) -> Figure:
    """Values with their confidence intervals, one line per label, coloured by series: such as a
    gain by content and network.

    Args:
        series: name → label → (value, low, high).
        x: the axis label, with units.
        points: name → label → values that are drawn small beside the interval, such as those of
            single seeds.
        width: of the figure, in inches; its height follows from the lines.
    """
    labels = list(dict.fromkeys(label for rows in series.values() for label in rows))
    if not labels:
        raise HatlibError("intervals needs at least one value")
    figure, axes = new_figure(1, 1, width, 0.8 + len(labels) * (0.2 + 0.16 * len(series)))
    ax = axes[0, 0]
    for k, (look, (name, rows)) in enumerate(zip(looks(series), series.items(), strict=True)):
        # the series of a label lie above each other, around the label's line
        shift = (k - (len(series) - 1) / 2) * 0.7 / len(series)
        places = {label: labels.index(label) + shift for label in rows}
        values, low, high = np.array(list(rows.values()), dtype=float).reshape(-1, 3).T
        ax.hlines(list(places.values()), low, high, color=look.colour, linewidth=1.6)
        ax.scatter(
            values,
            list(places.values()),
            s=34,
            color=look.colour,
            marker=look.marker,
            label=name,
            zorder=3,
        )
        for label, single in ((points or {}).get(name) or {}).items():
            ax.scatter(
                single,
                [places[label]] * len(single),
                s=26,
                marker="|",
                color="black",
                linewidths=0.9,
                zorder=4,
            )
    ax.axvline(0, color="#777777", linewidth=0.8)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)  # the first label on top
    ax.set_xlabel(x)
    ax.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    _legend(ax, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def mosaic(maps: np.ndarray, columns: int = 8, width: float = 9.0, title: str = "") -> Figure:
    """Small signed maps, such as filters, in a grid, each on its own scale: blue negative, white
    zero, red positive.

    Args:
        maps: (n, h, w).
        columns: how many in a row.
        width: of the figure, in inches.
        title: above them, such as what they are maps of.
    """
    n, height, wide = maps.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (wide + 1) - 1), np.nan)
    for k, values in enumerate(maps):
        top = k // columns * (height + 1)
        left = k % columns * (wide + 1)
        sheet[top : top + height, left : left + wide] = values / (np.abs(values).max() or 1.0)
    # the scale needs about an inch of the width
    tall = (width - 1) * sheet.shape[0] / sheet.shape[1] + (0.35 if title else 0.1)
    figure, axes = new_figure(1, 1, width, max(tall, 1.4))
    show_image(axes[0, 0], sheet, title, cmap="RdBu_r", vmin=-1, vmax=1)
    bar = figure.colorbar(
        axes[0, 0].images[0], ax=axes, shrink=0.8, aspect=25, pad=0.01, ticks=[-1, 0, 1]
    )
    bar.set_label("share of each\nmap's largest value", fontsize=8)
    return figure


def overlay(image: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """An image in dark gray, and in bright colours where a map has values.

    The scale is logarithmic, from `FAINTEST` (violet, nearly transparent) to 1 (almost white): most
    pixels of an attribution map are near 0, and on a linear scale only its peaks would show.

    Args:
        image: uint8 (H, W, 3) or (H, W).
        strength: (H, W), 0 to 1.
    Returns:
        uint8 (H, W, 3).
    """
    dark = 0.4 * luma(image, full_range=True)
    level = np.clip(1 - np.log(np.maximum(strength, 1e-12)) / np.log(FAINTEST), 0, 1)  # (H, W)
    colour = 255 * strength_colours()(level)[..., :3]
    # a little more than the level, so that faint places are seen on bright walls, too
    opaque = np.minimum(1.4 * level, 1)[..., None]
    return round_to_uint8(dark[..., None] * (1 - opaque) + colour * opaque)


def strength_colours() -> Any:
    """The colours of an attribution map: matplotlib's magma without its black end."""
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    return ListedColormap(mpl.colormaps["magma"](np.linspace(0.25, 1, 256)))


def attribution_rows(
    rows: Mapping[str, tuple[np.ndarray, Mapping[str, Attribution]]],
    captions: Mapping[str, Mapping[str, str]] | None = None,
    width: float = 10.0,
) -> Figure:
    """Attribution maps as the survey shows them: one row per window, LR with the window marked,
    then the map of each network with its diffusion index below.

    Args:
        rows: title → (LR, uint8 (h, w, 3); name of a network → what `attribution.lam` gave for it).
        captions: title → name of a network, or "LR" → a second line below, such as "29.10 dB".
        width: of the figure, in inches; its height follows from the images.
    """
    if not rows:
        raise HatlibError("attribution_rows needs at least one row")
    names = list(dict.fromkeys(name for _, results in rows.values() for name in results))
    columns = 1 + len(names)
    tallest = max(lr.shape[0] / lr.shape[1] for lr, _ in rows.values())
    # the scale needs about an inch of the width, the lines below each map half an inch
    height = len(rows) * ((width - 1) / columns * tallest + 0.45) + 0.2
    figure, axes = new_figure(len(rows), columns, width, height)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, (title, (lr, results)) in zip(axes, rows.items(), strict=True):
        second = (captions or {}).get(title, {})
        top, left, side = next(iter(results.values())).window
        scale = next(iter(results.values())).sr.shape[0] // lr.shape[0]
        cells = -(-side // scale)
        show_image(line[0], lr, box=(top // scale, left // scale, cells, cells))
        _below(line[0], f"LR, {title}", second.get("LR", ""))
        for name, result in results.items():
            ax = line[1 + names.index(name)]
            show_image(ax, overlay(lr, result.map))
            _below(ax, f"DI {result.diffusion_index:.2f}", second.get(name, ""))
    for ax, name in zip(axes[0, 1:], names, strict=True):
        ax.set_title(name, fontsize=9)
    _strength_bar(figure, axes)
    return figure


def _below(axes: Axes, *lines: str) -> None:
    """Lines of text under an image without axes."""
    text = "\n".join(filter(None, lines))
    axes.text(
        0.5,
        -0.03,
        text,
        parse_math=False,
        ha="center",
        va="top",
        fontsize=9,
        transform=axes.transAxes,
    )


def _strength_bar(figure: Figure, axes: np.ndarray) -> None:
    """The scale of `overlay`, beside all axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    scale = ScalarMappable(LogNorm(FAINTEST, 1), strength_colours())
    bar = figure.colorbar(scale, ax=axes, shrink=0.6, aspect=30, pad=0.01)
    bar.set_label("attribution, share of the map's maximum")


def attributions(
    lr: np.ndarray,
    results: Mapping[str, Attribution],
    hr: np.ndarray | None = None,
    extent: int | None = None,
    width: float = 9.0,
) -> Figure:
    """Attribution maps of one window: LR with the window, then for each network its map; below, the
    window upscaled.

    Args:
        lr: uint8 (h, w, 3).
        results: name → what `attribution.lam` gave for it; the same window for all.
        hr: the ground truth, uint8 (s·h, s·w, 3), whose window is shown below LR; without it LR's
            own is.
        extent: side of the square of LR pixels that is shown around the window; all of LR by
            default. The diffusion index is always that of the whole map.
        width: of the figure, in inches.
    """
    if not results:
        raise HatlibError("attributions needs at least one result")
    first = next(iter(results.values()))
    scale = first.sr.shape[0] // lr.shape[0]
    top, left, side = first.window
    shown = _around(lr.shape, (top + side // 2) // scale, (left + side // 2) // scale, extent)
    # the window in LR pixels, from the corner of what is shown
    cells = -(-side // scale)
    inside = (top // scale - shown[0], left // scale - shown[1], cells, cells)
    heights = [shown[2] / shown[3], 1]
    figure, axes = new_figure(
        2,
        1 + len(results),
        width,
        width / (1 + len(results)) * sum(heights) + 0.8,
        height_ratios=heights,
    )
    show_image(axes[0, 0], crop(lr, shown), f"LR {shown[2]}×{shown[3]}", box=inside)
    original = _as_large_as(lr, first.sr) if hr is None else hr
    title = "the window in LR" if hr is None else "the window in HR"
    show_image(axes[1, 0], crop(original, (top, left, side, side)), title)
    for (name, result), (above, below) in zip(results.items(), axes.T[1:], strict=True):
        title = f"{name}\nDI {result.diffusion_index:.2f}"
        show_image(above, crop(overlay(lr, result.map), shown), title, box=inside)
        show_image(below, crop(result.sr, (top, left, side, side)), f"SR, {name}")
    return figure


def _around(shape: tuple[int, ...], row: int, column: int, extent: int | None) -> Box:
    """The square of that side with a pixel in its middle, or as near to it as an image of that
    shape allows."""
    sides = [min(extent or side, side) for side in shape[:2]]
    top, left = (
        min(max(0, middle - side // 2), whole - side)
        for middle, side, whole in zip((row, column), sides, shape, strict=False)
    )
    return top, left, sides[0], sides[1]
