"""The README's picture: a drawn façade and a photograph, downsampled by 4 and upscaled in three
ways.

    python -m experiments.picture [--out FILE]

The networks have the weights that hatlib ships, trained on T91 and BSDS500; neither picture is
among those.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments import command
from hatlib import models, plotting
from hatlib.data import builtin
from hatlib.imaging import metrics
from hatlib.imaging.convert import crop_to_multiple
from hatlib.imaging.resize import imresize
from hatlib.inference import upscale
from hatlib.models import Network
from hatlib.system import atomic
from hatlib.weights import files

OUT = Path(__file__).with_name("picture.png")
CROPS = {"facade-6": (96, 288, 96, 96), "cat": (60, 96, 96, 96)}


def main(arguments: Sequence[str] | None = None) -> None:
    asked = command.options(__doc__, OUT).parse_args(arguments)
    ways = {
        "bicubic": models.create("bicubic"),
        "SRCNN": files.load("srcnn-x4"),
        "HAT, nano": files.load("hat-nano-x4"),
    }
    figure, rows = plotting.new_figure(len(CROPS), 5, 10, 4.3, width_ratios=[1.4, 1, 1, 1, 1])
    for axes, (name, box) in zip(rows, CROPS.items(), strict=True):
        draw_row(axes, name, box, ways)
    with atomic.atomic_path(asked.out) as path:
        figure.savefig(path, dpi=120)
    print(f"wrote {asked.out}")


def draw_row(axes: np.ndarray, name: str, box: plotting.Box, ways: dict[str, Network]) -> None:
    hr = crop_to_multiple(builtin.builtin_image(name), 4)
    plotting.show_image(axes[0], hr, f"{name}, HR", box)
    for ax, (way, model) in zip(axes[1:], ways.items(), strict=False):
        sr = upscale.upscale(model, imresize(hr, 1 / 4))
        value = metrics.psnr(sr, hr, shave=4)
        print(f"{name:10}{way:9}{value:6.2f} dB")
        plotting.show_image(ax, plotting.crop(sr, box), f"{way}, {value:.2f} dB")
    plotting.show_image(axes[-1], plotting.crop(hr, box), "HR, the same crop")


if __name__ == "__main__":
    command.run(main)
