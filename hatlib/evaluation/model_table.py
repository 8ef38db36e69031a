"""The networks and their weights at a glance: what `hatlib models` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from hatlib import models
from hatlib.evaluation import results
from hatlib.evaluation.reported import reported
from hatlib.models import complexity
from hatlib.weights import catalogue
from hatlib.weights import files as weight_files

# of which the values are shown
SETS = ("set5", "urban100")
SCALE = 4

# side of the LR image for which papers count multiply-adds
PATCH = 64


def networks(names: Iterable[str] | None = None) -> Iterator[dict[str, Any]]:
    """One row per network, for ×4: configuration, size, the best reported value, and the weights
    that there are.

    Parameters and multiply-adds (for an LR image of 64×64) are counted, which takes about a second
    for each network; so the rows come one by one.

    Args:
        names: of the networks; by default all.
    """
    for name in models.names() if names is None else names:
        with torch.device("meta"):  # shapes only: no memory
            model = models.create(name, SCALE)
        yield {
            "name": name,
            "configuration": configuration(name),
            "parameters": complexity.parameters(model),
            "multiply_adds": complexity.multiply_adds(model, PATCH, PATCH),
            "reported": best(name),
            "weights": [entry.name for entry in catalogue.of_model(name)],
        }


def configuration(name: str) -> str:
    """The main sizes of a network in a few words."""
    options = models.options(name)
    if "groups" in options:
        return f"{options['groups']}×{options['blocks']} blocks, {options['features']} channels"
    if "depths" in options:
        depths = options["depths"]
        blocks = f"{len(depths)}×{depths[0]} blocks, {options['embed_dim']} channels"
        if "split_size" in options:  # DAT's windows are not square
            height, width = options["split_size"]
            return f"{blocks}, window {height}×{width}"
        return f"{blocks}, window {options['window_size']}"
    if "kernels" in options:
        return f"kernels {'-'.join(map(str, options['kernels']))}"
    return "no parameters"


def best(model: str) -> dict[str, Any] | None:
    """The values at ×4 that are reported for a network's weights that are best on Urban100, and
    what they were trained on."""
    entries = [entry for entry in catalogue.of_model(model) if entry.scale == SCALE]
    rows: list[dict[str, Any]] = [
        {"training": entry.training, **values(entry.name, SCALE)} for entry in entries
    ]
    rows = [row for row in rows or [{"training": None, **values(model, SCALE)}] if row["urban100"]]
    return max(rows, key=lambda row: row["urban100"]["psnr"], default=None)


def values(name: str, scale: int) -> dict[str, Any]:
    """The reported values by set, each with its source, or None."""
    by_set = {data: reported(name, data, scale) for data in SETS}
    return {data: value._asdict() if value else None for data, value in by_set.items()}


def trained_weights() -> list[dict[str, Any]]:
    """One row per file of the course's own weights: what its card says, and what was measured
    (`experiments.cards`)."""
    rows = []
    for name in weight_files.trained():
        card = weight_files.card(name)
        row = {key: card[key] for key in ("model", "scale", "training")}
        row["degradation"] = weight_files.degradation_of(name)
        row["licence"] = weight_files.TRAINED_LICENCE
        row["bytes"] = (weight_files.TRAINED / f"{name}.safetensors").stat().st_size
        rows.append({"name": name, **row, "measured": _measured(name)})
    return rows


def _measured(name: str) -> dict[str, Any]:
    """PSNR and SSIM by set, as recorded; None for a set that is not."""
    table = results.table("trained") if "trained" in results.names() else None
    rows = [] if table is None else table[table["name"] == name].to_dict("records")
    return {data: next((row for row in rows if row["data"] == data), None) for data in SETS}


def released_weights() -> list[dict[str, Any]]:
    """One row per file of released weights: what the catalogue says, whether it is here, and the
    reported values."""
    return [
        {
            "name": entry.name,
            "model": entry.model,
            "scale": entry.scale,
            "training": entry.training,
            "training_terms": catalogue.TRAINING[entry.training],
            "file": entry.file,
            "bytes": entry.bytes or None,
            "sha256": entry.sha256 or None,
            "addresses": list(entry.addresses),
            "homepage": entry.homepage,
            "licence": entry.licence,
            "note": entry.note,
            "state": catalogue.state(entry),
            "reported": values(entry.name, entry.scale),
        }
        for entry in catalogue.CATALOGUE.values()
    ]
