"""What the papers report for a network on a set, from `published.csv` beside this module."""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import NamedTuple

from hatlib.weights import catalogue

SET_TITLES = {"set5": "Set5", "set14": "Set14", "bsd100": "B100", "urban100": "Urban100"}


METHOD_TITLES = {
    "bicubic": "bicubic",
    "srcnn": "SRCNN",
}  # other networks have theirs with their weights


class Published(NamedTuple):
    """A published value: the mean of a set, by the protocol of the papers."""

    psnr: float  # dB
    ssim: float | None  # None where the source has PSNR only
    source: str


@functools.cache
def _published() -> dict[tuple[str, str, str, int], Published]:
    """By method, training data, set and scale."""
    with (
        resources.files("hatlib.evaluation")
        .joinpath("published.csv")
        .open(encoding="utf-8") as file
    ):
        return {
            (row["method"], row["training_data"], row["dataset"], int(row["scale"])): Published(
                float(row["psnr"]), float(row["ssim"]) if row["ssim"] else None, row["source"]
            )
            for row in csv.DictReader(file)
        }


def published(model: str, data: str, scale: int) -> Published | None:
    """What the literature has for a model on a set, or None where we know of no value.

    Args:
        model: a name of `hatlib.weights.files.names()`, "srcnn", or a method of published.csv such
            as "HMA†".
        data: "set5", "set14", "bsd100" or "urban100".
    """
    title = SET_TITLES.get(data, data)
    if model in catalogue.CATALOGUE:
        entry = catalogue.CATALOGUE[model]
        return _published().get((entry.method, entry.training, title, scale))
    method = METHOD_TITLES.get(model, model)
    return next(
        (
            value
            for key, value in _published().items()
            if (key[0], *key[2:]) == (method, title, scale)
        ),
        None,
    )
