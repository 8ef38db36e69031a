"""The course as a road, with "you are here"; and what each step of HAT's paper is worth."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from hatlib import plotting
from hatlib.course.drawings.sketch import INK, SOFT, Sketch, figure
from hatlib.errors import unknown
from hatlib.evaluation import reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Stop(NamedTuple):
    """A notebook on the road."""

    number: str
    name: str
    adds: str  # what it adds to what came before
    method: tuple[str, str] | None = None  # the row of reported.csv: method and training data


STOPS = (
    Stop("00", "Start\nhere", "a first\nresult"),
    Stop("01", "Degra-\ndation", "how LR\nloses detail", ("bicubic", "none")),
    Stop("02", "Metrics", "how results\nare scored"),
    Stop("03", "SRCNN", "three layers\nlearn to\nsharpen",
         ("SRCNN", "ImageNet/91 (as reported by RCAN)")),
    Stop("04", "RCAN", "depth, and\nweights for\nchannels", ("RCAN", "DIV2K")),
    Stop("05", "Window\nattention", "pixels look\nfor pixels\nlike them"),
    Stop("06", "SwinIR", "attention for\nconvolutions", ("SwinIR-M", "DF2K")),
    Stop("07", "LAM", "which pixels\nare used"),
    Stop("08", "HAT's\nblocks", "larger windows,\noverlap,\nchannels, too", ("HAT", "DF2K")),
    Stop("09", "Training\nHAT", "more data\nfirst", ("HAT†", "ImageNet->DF2K")),
    Stop("10", "Repro-\nduction", "are the\nnumbers\ntrue?"),
    Stop("11", "Your\nphotos", "what nobody\ncan know"),
)  # fmt: skip
PITCH = 0.88  # between stops, inches
RADIUS = 0.15  # of their circles


def road_map(here: str = "") -> Figure:
    """The course from the degradation model to HAT, with what each notebook adds, and what papers
    report for its network. Stands at the top of each notebook.

    Args:
        here: number of the notebook that is marked, such as "05"; "" marks none.
    """
    numbers = [stop.number for stop in STOPS]
    if here and here not in numbers:
        raise unknown("notebook", here, numbers)
    sketch = Sketch("From y = (x ⊗ k)↓s + n to HAT")
    for k, stop in enumerate(STOPS):
        x = k * PITCH
        last = k == len(STOPS) - 1
        onward = x + (0.6 if last else PITCH) - RADIUS
        sketch.line((x + RADIUS, 0), (onward, 0), head=last, colour=SOFT, width=2.2)
        _stop(sketch, stop, x, stop.number == here)
    sketch.label(
        -0.42,
        -1.3,
        "PSNR in dB that papers report for Urban100 ×4: bicubic, SRCNN, RCAN, SwinIR, HAT, and HAT "
        "pre-trained on ImageNet. RCAN saw DIV2K only, SwinIR and HAT Flickr2K, too.",
        "left",
    )
    drawing = figure(sketch)
    plotting.set_alt_text(drawing, _in_words(here))
    return drawing


def _in_words(here: str) -> str:
    """The road as a text."""
    stops = "; ".join(f"{stop.number} {_plain(stop.name)}: {_plain(stop.adds)}" for stop in STOPS)
    place = f"; you are at {here}" if here else ""
    return f"The course as a road from the degradation model to HAT{place}. {stops}."


def _plain(text: str) -> str:
    """A text of several lines as one."""
    return text.replace("-\n", "").replace("\n", " ")


def _stop(sketch: Sketch, stop: Stop, x: float, here: bool) -> None:
    """One notebook: number, name above, what it adds below, the reported value at the bottom."""
    sketch.disc(
        x, 0, RADIUS + 0.04 if here else RADIUS, "here" if here else "map", 2.2 if here else 1.2
    )
    sketch.label(x, 0, stop.number, size=8, colour=INK, weight="bold" if here else "normal")
    weight = "bold" if here else "normal"
    sketch.label(x, 0.26, stop.name, va="bottom", size=8, colour=INK, weight=weight)
    if here:
        sketch.label(x, 0.62, "you are here ▾", size=8, colour=INK, weight="bold")
    sketch.label(x, -0.26, stop.adds, va="top", size=7)
    if stop.method:
        method, training = stop.method
        value = reported.table()[method, training, "Urban100", 4].psnr
        look = plotting.METHODS[plotting.method_of(method) or ""]
        sketch.label(x, -0.98, f"{value:.2f}", size=9, colour=INK, weight="bold")
        sketch.line((x - 0.2, -1.1), (x + 0.2, -1.1), head=False, colour=look.colour, width=3)


# --- what the steps from SwinIR to HAT-L are worth ------------------------------------------------

# From one network to the next: what changes, and the row of reported.csv after it.
STEPS = (
    ("SwinIR", ("SwinIR-M", "DF2K")),
    ("windows of 16\ninstead of 8", ("HAT without CAB and OCAB", "DF2K")),
    ("CAB and\nOCAB", ("HAT", "DF2K")),
    ("pre-training\non ImageNet", ("HAT†", "ImageNet->DF2K")),
    ("twice the groups\n(HAT-L)", ("HAT-L†", "ImageNet->DF2K")),
)


def waterfall(measured: Mapping[str, float] | None = None) -> Figure:
    """From SwinIR to HAT-L on Urban100 ×4, step by step, as papers report it. Shown in notebooks 08
    and 11.

    Args:
        measured: label → PSNR on Urban100 ×4 that was measured here, such as of hat-nano-x4 or
            dat-light-x4; drawn as lines across.
    """
    values = [reported.table()[method, training, "Urban100", 4] for _, (method, training) in STEPS]
    heights = [value.psnr for value in values]
    measured = dict(measured or {})
    drawing, axes = plotting.new_figure(1, 1, 7.5, 4.8 if measured else 4.0)
    ax = axes[0, 0]
    swinir, hat = plotting.METHODS["SwinIR"].colour, plotting.METHODS["HAT"].colour
    ax.hlines(heights[0], -0.4, 0.4, color=swinir, linewidth=4)
    ax.annotate(f"{heights[0]:.2f}", (0, heights[0]), (0, 6), textcoords="offset points",
                ha="center", fontweight="bold")  # fmt: skip
    for k, (before, after) in enumerate(itertools.pairwise(heights), start=1):
        ax.bar(k, after - before, 0.8, bottom=before, color=hat, alpha=0.85)
        ax.hlines(before, k - 0.6, k - 0.4, color="#777777", linewidth=0.8)
        ax.annotate(f"{after:.2f}", (k, after), (0, 4), textcoords="offset points",
                    ha="center", fontweight="bold")  # fmt: skip
        ax.annotate(f"+{after - before:.2f}", (k, (before + after) / 2), ha="center", va="center",
                    color="black")  # fmt: skip
    for look, (label, value) in zip(plotting.looks(measured), measured.items(), strict=True):
        ax.axhline(value, color=look.colour, linestyle=look.dash, linewidth=1.4, zorder=0)
        ax.annotate(f"{label}, measured here: {value:.2f}", (len(STEPS) - 0.5, value), (0, 3),
                    textcoords="offset points", ha="right", fontsize=8, color=INK)  # fmt: skip
    ax.set_xticks(range(len(STEPS)), [name for name, _ in STEPS])
    ax.set_ylabel("PSNR on Urban100 ×4, dB")
    lowest = min([heights[0], *measured.values()])
    ax.set_ylim(lowest - 0.15, max(heights) + 0.15)
    ax.set_title("What each step from SwinIR to HAT-L is worth, in the papers", loc="left")
    ax.grid(True, axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    note = "Sources: " + ";\n".join(dict.fromkeys(_source(value.source) for value in values))
    drawing.supxlabel(note, fontsize=7, color=SOFT, x=0.02, ha="left")
    steps = ", ".join(
        f"{name} {value:.2f}".replace("\n", " ")
        for (name, _), value in zip(STEPS, heights, strict=True)
    )
    beside = "".join(f" {label}, measured here: {value:.2f}." for label, value in measured.items())
    plotting.set_alt_text(
        drawing, f"Steps from SwinIR to HAT-L, PSNR in dB on Urban100 ×4: {steps}.{beside}"
    )
    return drawing


def _source(source: str) -> str:
    """The first of the sources of a value."""
    return source.split(";")[0]
