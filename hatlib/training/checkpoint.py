"""Snapshots: a training run on disk, from which it goes on as if nothing had happened.

One safetensors file holds the weights, their average, the optimiser's state and the random
generators' states as tensors, and what is small as JSON in its header. It is written whole or not
at all, so that whatever ends a run (a kernel that dies, a full disk, Ctrl-C twice) leaves the last
good one. Nothing is unpickled.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from hatlib.errors import HatlibError
from hatlib.system.atomic import atomic_path

_KEY = "hatlib-run"


def write(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    """Writes tensors and facts (what JSON can hold).

    Raises:
        HatlibError: the file can't be written, as when the disk is full; the one that was there is
            still there.
    """
    contents = to_bytes(
        {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
        metadata={_KEY: json.dumps(facts)},
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `write` wrote.

    Raises:
        HatlibError: no such file, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError, struct.error) as error:
        raise HatlibError(f"{path} is not a snapshot of a training run: {error}") from None


def flatten(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Puts a prefix before each name."""
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def part(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those whose names have the prefix, without it."""
    return {
        key.removeprefix(f"{prefix}."): value
        for key, value in tensors.items()
        if key.startswith(f"{prefix}.")
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's state by number of the parameter and name."""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Puts back what `optimiser_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
