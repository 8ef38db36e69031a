"""Figures: all of the course's pictures are drawn here, so that they look alike.

Figures are white and opaque with dark text, which reads well on light and on dark pages. Every
function returns the matplotlib figure; in a notebook make the call the last line of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hatlib.attribution import Attribution
from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, luma, round_to_uint8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#b8860b", "#6a4c93", "#5f6c7b")
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
}
# of an attribution map's maximum: what is fainter leaves the picture as it is
FAINTEST = 0.003
MARKERS = ("o", "^", "s", "D", "v", "P")  # beside the colours, for readers who cannot tell those
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
            rows, columns, squeeze=False, figsize=(width, height), layout="constrained", **options
        )
    plt.close(figure)
    return figure, axes


def show_image(
    axes: Axes, image: np.ndarray, title: str = "", box: Box | None = None, **options: Any
) -> None:
    """Draws one image on its axes without ticks; gray images and float maps get a gray scale unless
    told otherwise."""
    options = {"cmap": "gray", **options} if image.ndim == 2 else options
    if image.ndim == 2 and image.dtype == np.uint8:
        options = {"vmin": 0, "vmax": 255, **options}
    axes.imshow(image, **{"interpolation": "nearest", **options})
    axes.set_title(title)
    axes.set_axis_off()
    if box:
        from matplotlib.patches import Rectangle

        top, left, height, width = box
        corner = (left - 0.5, top - 0.5)  # imshow puts pixel centres on whole numbers
        axes.add_patch(
            Rectangle(corner, width, height, fill=False, edgecolor="#ff3b30", linewidth=1.5)
        )


def show_images(
    images: Mapping[str, np.ndarray],
    columns: int | None = None,
    width: float = 9.0,
    box: Box | None = None,
    **options: Any,
) -> Figure:
    """Images side by side, each with its title; `box` marks the same rectangle on each.

    Args:
        images: title → uint8 (H, W, 3) or (H, W), or a float map (H, W).
        columns: how many in a row (all of them by default).
        width: of the figure, in inches; its height follows from the images.
        options: passed to `Axes.imshow` (cmap, vmin, vmax …).
    """
    if not images:
        raise HatlibError("show_images needs at least one image")
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    tallest = max(image.shape[0] / image.shape[1] for image in images.values())
    figure, axes = new_figure(rows, columns, width, rows * (width / columns * tallest + 0.3))
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, image) in zip(axes.flat, images.items(), strict=False):
        show_image(ax, image, title, box, **options)
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


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    levels: Mapping[str, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    width: float = 6.0,
    height: float = 3.2,
) -> Figure:
    """Lines over a common axis, such as PSNR against training steps.

    Args:
        lines: label → (x values, y values).
        x, y: axis labels with units.
        levels: label → a value drawn as a dashed horizontal line (a baseline, a reported number).
    """
    figure, axes = new_figure(1, 1, width, height)
    ax = axes[0, 0]
    for label, (across, up) in lines.items():
        ax.plot(across, up, label=label, linewidth=1.6)
    for k, (label, level) in enumerate((levels or {}).items()):
        ax.axhline(
            level, color="#777777", linestyle=("--", ":", "-.")[k % 3], linewidth=1.2, label=label
        )
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_xscale("log" if log_x else "linear")
    ax.set_yscale("log" if log_y else "linear")
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.legend(fontsize=8)
    return figure


def scatter(
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]],
    x: str,
    y: str,
    middles: bool = True,
    width: float = 6.0,
    height: float = 4.0,
) -> Figure:
    """Points in groups, such as one per window, coloured by network.

    Args:
        groups: label → (x values, y values).
        x, y: axis labels with units.
        middles: whether the mean of each group is marked by a large point.
    """
    figure, axes = new_figure(1, 1, width, height)
    ax = axes[0, 0]
    styles = zip(COLOURS, MARKERS, strict=True)
    for (colour, marker), (label, (across, up)) in zip(styles, groups.items(), strict=False):
        look: dict[str, Any] = {"color": colour, "marker": marker}
        ax.scatter(across, up, s=16, alpha=0.6, linewidths=0, label=label, **look)
        if middles:
            ax.scatter(
                np.mean(across),
                np.mean(up),
                s=90,
                edgecolors="black",
                linewidths=1,
                zorder=3,
                **look,
            )
    ax.axhline(0, color="#777777", linewidth=0.8)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.legend(fontsize=8)
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
    for k, (name, rows) in enumerate(series.items()):
        colour = COLOURS[k % len(COLOURS)]
        # the series of a label lie above each other, around the label's line
        shift = (k - (len(series) - 1) / 2) * 0.7 / len(series)
        places = {label: labels.index(label) + shift for label in rows}
        values, low, high = np.array(list(rows.values()), dtype=float).reshape(-1, 3).T
        ax.hlines(list(places.values()), low, high, color=colour, linewidth=1.6)
        ax.scatter(values, list(places.values()), s=34, color=colour, label=name, zorder=3)
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
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def mosaic(maps: np.ndarray, columns: int = 8, width: float = 9.0) -> Figure:
    """Small signed maps, such as filters, in a grid, each on its own scale: blue negative, white
    zero, red positive.

    Args:
        maps: (n, h, w).
        columns: how many in a row.
    """
    n, height, wide = maps.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (wide + 1) - 1), np.nan)
    for k, values in enumerate(maps):
        top = k // columns * (height + 1)
        left = k % columns * (wide + 1)
        sheet[top : top + height, left : left + wide] = values / (np.abs(values).max() or 1.0)
    figure, axes = new_figure(1, 1, width, width * sheet.shape[0] / sheet.shape[1] + 0.1)
    show_image(axes[0, 0], sheet, cmap="RdBu_r", vmin=-1, vmax=1)
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
    axes.text(0.5, -0.03, text, ha="center", va="top", fontsize=9, transform=axes.transAxes)


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


# --- drawings of architectures --------------------------------------------------------------------

# what a part of a drawing is, by its colour: pale enough for dark text, and told apart by all
# readers, as no two differ in red against green alone
FILLS = {
    "map": "#ffffff",
    "attention": "#cfe3f5",
    "convolution": "#fbe3b5",
    "linear": "#e7e7ec",
    "weight": "#f3d3dd",
}

# name → x, y, text, and which of FILLS it is; names that start with "×" or "+" are small circles
Parts = Mapping[str, tuple[float, float, str, str]]
# from, to, and if wanted a text beside the arrow and how far the arrow is bent
Arrow = tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, float]


def diagram(
    panels: Mapping[str, tuple[Parts, Sequence[Arrow]]], width: float = 10.0, height: float = 2.6
) -> Figure:
    """Drawings of blocks, one above the other: parts in boxes, arrows with the shapes at them.

    Args:
        panels: title → (the parts, the arrows between them). A unit of x is a tenth of the figure's
            width, a unit of y a quarter of the panel's height, from −2 to 2.
        width: of the figure, in inches.
        height: of each panel, in inches.
    """
    if not panels:
        raise HatlibError("diagram needs at least one panel")
    figure, axes = new_figure(len(panels), 1, width, height * len(panels))
    for ax, (title, (parts, arrows)) in zip(axes[:, 0], panels.items(), strict=True):
        ax.set_axis_off()
        ax.set(xlim=(-0.5, 9.5), ylim=(-2, 2))
        ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
        boxes = {name: _part(ax, name, *part) for name, part in parts.items()}
        for arrow in arrows:
            missing = [name for name in arrow[:2] if name not in boxes]
            if missing:
                raise HatlibError(f"an arrow leads to '{missing[0]}', which is no part of {title}")
            _arrow(ax, parts, boxes, *arrow)
    return figure


def _part(ax: Axes, name: str, x: float, y: float, text: str, kind: str) -> Any:
    """The box around a part's text, or a circle around its sign."""
    shape = "circle,pad=0.15" if name[0] in "×+" else "round,pad=0.35"
    style = {"boxstyle": shape, "facecolor": FILLS[kind], "edgecolor": "#444444", "linewidth": 1}
    drawn = ax.text(x, y, text, ha="center", va="center", fontsize=8, bbox=style, zorder=2)
    return drawn.get_bbox_patch()


def _arrow(
    ax: Axes,
    parts: Parts,
    boxes: Mapping[str, Any],
    start: str,
    end: str,
    text: str = "",
    bend: float = 0.0,
) -> None:
    """An arrow from box to box, and the text above its middle."""
    look = {
        "arrowstyle": "-|>",
        "color": "#444444",
        "linewidth": 1,
        "patchA": boxes[start],
        "patchB": boxes[end],
        "connectionstyle": f"arc3,rad={bend}",
    }
    (x0, y0), (x1, y1) = parts[start][:2], parts[end][:2]
    ax.annotate("", (x1, y1), (x0, y0), arrowprops=look, zorder=3)
    if text:
        across = ((x0 + x1) / 2, (y0 + y1) / 2 + 0.12)
        ax.text(*across, text, ha="center", va="bottom", fontsize=7, color="#555555")
