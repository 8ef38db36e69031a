"""The reference numbers in tests/parity: pairs of inputs and outputs, and the tensors of the
published networks."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from hatlib import models
from hatlib.weights.architectures import split_buffers

HERE = Path(__file__).parents[1] / "parity"
FOLDERS = [HERE, *[Path(folder) for folder in [os.environ.get("HATLIB_PARITY")] if folder]]
PAIRS = {
    path.stem: path.parent for folder in FOLDERS for path in sorted(folder.glob("*_tiny.json"))
}


@dataclass
class Reference:
    """A small network as its authors' code has it, and what that computes."""

    architecture: str
    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]  # buffers included, as in a published file
    pairs: list[tuple[torch.Tensor, torch.Tensor]]

    def create(self, **overrides: Any) -> models.Network:
        """Our network with these weights, in eval mode."""
        model = create(self.architecture, self.config, **overrides)
        model.load_state_dict(split_buffers(self.tensors)[0])
        return model.eval()


def load(name: str) -> Reference:
    config = json.loads((PAIRS[name] / f"{name}.json").read_text())
    tensors: dict[str, torch.Tensor] = {}
    for part in sorted(PAIRS[name].glob(f"{name}.*safetensors")):
        tensors |= load_file(part)
    count = sum(key.startswith("io.x") for key in tensors)
    pairs = [(tensors.pop(f"io.x{i}"), tensors.pop(f"io.y{i}")) for i in range(count)]
    return Reference(config["architecture"], config["config"], tensors, pairs)


def create(architecture: str, config: dict[str, Any], **overrides: Any) -> models.Network:
    """Our network for a configuration in the words of the published code."""
    if architecture == "RCAN":
        names = {
            "n_resgroups": "groups",
            "n_resblocks": "blocks",
            "n_feats": "features",
            "reduction": "reduction",
        }
        options = {ours: config[theirs] for theirs, ours in names.items()}
        return models.create("rcan", config["scale"], **options, **overrides)
    name = architecture.lower()
    options = {key: config[key] for key in models.options(name) if key in config}
    options["num_heads"] = config["num_heads"][0]
    renamed = {"gc": "growth", "depth": "depths"}  # DRCT's and DAT's words for what we have
    options |= {ours: config[theirs] for theirs, ours in renamed.items() if theirs in config}
    return models.create(name, config["upscale"], **{**options, **overrides})


def manifests() -> dict[str, tuple[str, int, dict[str, Any], dict[str, tuple[int, ...]]]]:
    """Published network → (architecture, parameters, configuration, shape of each tensor)."""
    found = {}
    for section in (HERE / "manifests.txt").read_text(encoding="utf-8").split("\n[")[1:]:
        head, *lines = section.strip().splitlines()
        name, architecture, parameters, config = head.split(maxsplit=3)
        shapes = {}
        for line in lines:
            pattern, shape = line.split()
            sides = () if shape == "-" else tuple(map(int, shape.split("x")))  # - is a number
            shapes.update(dict.fromkeys(expand(pattern), sides))
        found[name.rstrip("]")] = (architecture, int(parameters), json.loads(config), shapes)
    return found


def expand(pattern: str) -> list[str]:
    """ "a.0-2.b" → ["a.0.b", "a.1.b", "a.2.b"]; "a.0-2/2.b" → ["a.0.b", "a.2.b"]."""
    found = re.search(r"\.(\d+)-(\d+)(?:/(\d+))?\.", pattern)
    if not found:
        return [pattern]
    numbers = range(int(found[1]), int(found[2]) + 1, int(found[3] or 1))
    return [
        key
        for i in numbers
        for key in expand(f"{pattern[: found.start()]}.{i}.{pattern[found.end() :]}")
    ]
