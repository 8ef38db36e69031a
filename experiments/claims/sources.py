"""What several claims are measured with: reported values, recorded tables, networks, pictures."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import hatlib
from experiments import bootstrap, lam_study
from hatlib import models
from hatlib.data import builtin
from hatlib.errors import HatlibError
from hatlib.evaluation import results
from hatlib.imaging import metrics
from hatlib.imaging.convert import crop_to_multiple
from hatlib.imaging.resize import imresize
from hatlib.inference.upscale import upscale as upscale_image
from hatlib.weights import files

from .frame import NotMeasured

SETS = ["Set5", "Set14", "B100", "Urban100", "Manga109"]
DAT_LIGHT = "dat-light-x4"  # the one transformer of later date whose released weights are measured
NO_DAT_LIGHT = "DAT-light, with released weights, is not recorded yet"


# --- reported and recorded ------------------------------------------------------------------------


@cache
def reported() -> Any:
    """All values that papers report.

    Returns:
        A table of method, scale, training_data, dataset, psnr (dB), ssim and source.
    """
    return pd.read_csv(Path(hatlib.__file__).parent / "evaluation" / "reported.csv")


def values(method: str, training: str | None = None, column: str = "psnr", **only: Any) -> Any:
    """A method's reported values by (scale, dataset), those that are there.

    Args:
        training: the training data, where the method has several.
        only: columns that have to have a value, such as dataset="Set5".
    """
    table = reported()
    table = table[table["method"] == method]
    if training is not None:
        table = table[table["training_data"] == training]
    for name, value in only.items():
        table = table[table[name] == value]
    selected = table.set_index(["scale", "dataset"])[column].dropna()
    if selected.empty or not selected.index.is_unique:
        raise HatlibError(f"no single set of reported values for {method}, {training}, {only}")
    return selected


def value(
    method: str, dataset: str, training: str | None = None, scale: int = 4, column: str = "psnr"
) -> float:
    """One reported value."""
    return float(values(method, training, column, dataset=dataset, scale=scale).iloc[0])


def table(name: str) -> Any:
    """A recorded table; NotMeasured where it is not in the package."""
    try:
        return results.table(name)
    except HatlibError:
        raise NotMeasured(
            f"the table `hatlib/evaluation/results/{name}.csv` is not there yet"
        ) from None


def measured(model: str, data: str) -> float | None:
    """Mean PSNR in dB of a network on a whole set, from the recorded reproduction; None where it
    has no rows there."""
    rows = table("reproduction")
    psnr = rows[(rows.model == model) & (rows.data == data) & (rows.lr == "matlab")].psnr
    return float(psnr.mean()) if len(psnr) else None


def windows_of(column: str, *names: str) -> dict[str, np.ndarray]:
    """A column of the study of attribution maps, by network.

    Args:
        column: such as "di" or "gain".
        names: of weights; by default the three nano networks.
    Returns:
        Name → (windows,): the windows that all of these networks have, in the same order. None at
        all where one of the networks is not recorded.
    """
    wanted = list(names or lam_study.NANO)
    wide = table("lam-study").pivot(index="image", columns="model", values=column)
    wide = wide.reindex(columns=wanted).dropna()
    return {name: wide[name].to_numpy() for name in wanted}


def interval(values: np.ndarray) -> dict[str, float]:
    """The mean of values and the ends of its 95 % confidence interval: mean, low, high."""
    mean, low, high = bootstrap.mean(values)
    return {"mean": mean, "low": low, "high": high}


# --- networks and pictures ------------------------------------------------------------------------


@cache
def network(name: str) -> Any:
    """Of the course's own weights, such as "hat-nano-x4"."""
    return files.load(name)


@cache
def full_size(name: str, scale: int = 4) -> Any:
    """A network of the papers' size that has shapes only, to be counted: nothing is allocated."""
    with torch.device("meta"):
        return models.create(name, scale)


def count(name: str, kind: type[nn.Module]) -> int:
    """How many modules of a kind a network of the papers' size has."""
    return sum(isinstance(module, kind) for module in full_size(name).modules())


@cache
def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A built-in picture downsampled by 4, and itself: (LR, HR)."""
    hr = crop_to_multiple(builtin.builtin_image(name), 4)
    return imresize(hr, 1 / 4), hr


def psnr(sr: np.ndarray, hr: np.ndarray) -> float:
    """By the protocol of the papers, at ×4."""
    return metrics.psnr(sr, hr, shave=4)


@cache
def upscaled(weights: str, name: str) -> np.ndarray:
    """A built-in picture through one of the course's networks."""
    return upscale(weights, pair(name)[0])


def upscale(weights: str, lr: np.ndarray) -> np.ndarray:
    """LR through one of the course's networks, in float32 whatever the machine prefers."""
    return upscale_image(network(weights), lr, precision="fp32")


def depends_on(layers: nn.Module, channels: int, side: int = 48, place: int = 20) -> int:
    """The receptive field: side of the square of tokens that one token of the result depends on, in
    a map of side×side random tokens."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.rand(
        1, side, side, channels, dtype=torch.double, generator=generator
    ).requires_grad_()
    with torch.enable_grad():
        layers.double()(tokens)[0, place, place].sum().backward()
    assert tokens.grad is not None
    return int((tokens.grad[0] != 0).any(dim=-1).any(dim=1).sum())


def within(error: float) -> float:
    """The first of 1e-9, 1e-6, 1e-3 and 1 that an error does not exceed: the error itself differs
    between machines, and the page should not."""
    return next((bound for bound in (1e-9, 1e-6, 1e-3) if error <= bound), 1.0)
