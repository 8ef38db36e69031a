"""What papers report for a network on a set, from `reported.csv` beside this module."""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import NamedTuple

from hatlib.weights import catalogue

SET_TITLES = {"set5": "Set5", "set14": "Set14", "bsd100": "B100", "urban100": "Urban100"}

# other networks have a title with each of their weights
METHOD_TITLES = {"bicubic": "bicubic", "srcnn": "SRCNN"}


class Reported(NamedTuple):
    """A value that somebody reports: the mean of a set, by the protocol of the papers."""

    psnr: float  # dB
    ssim: float | None  # None where the source has PSNR only
    source: str


@functools.cache
def table() -> dict[tuple[str, str, str, int], Reported]:
    """All values, by method, training data, set and scale."""
    file = resources.files("hatlib.evaluation").joinpath("reported.csv")
    values = {}
    for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
        key = (row["method"], row["training_data"], row["dataset"], int(row["scale"]))
        ssim = float(row["ssim"]) if row["ssim"] else None
        values[key] = Reported(float(row["psnr"]), ssim, row["source"])
    return values


def reported(model: str, data: str, scale: int) -> Reported | None:
    """What papers report for a model on a set, or None where we know of no value.

    Args:
        model: a name of `hatlib.weights.files.names()`, "srcnn", or a method of reported.csv such
            as "HMA†".
        data: "set5", "set14", "bsd100" or "urban100".
    """
    title = SET_TITLES.get(data, data)
    if model in catalogue.CATALOGUE:
        entry = catalogue.CATALOGUE[model]
        return table().get((entry.method, entry.training, title, scale))
    wanted = (METHOD_TITLES.get(model, model), title, scale)
    for (method, _, of_set, of_scale), value in table().items():
        if (method, of_set, of_scale) == wanted:
            return value
    return None
