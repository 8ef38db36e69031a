"""Weights on disk: safetensors files that say which network they belong to. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hatlib import models
from hatlib.errors import HatlibError, unknown
from hatlib.files import whole

_KEY = "hatlib"  # of the JSON text in the file's metadata


def save(model: models.Network, path: str | os.PathLike[str], name: str, **options: object) -> None:
    """Writes a network's weights with what is needed to rebuild it, whole or not at all.

    Args:
        name, options: as they were given to `models.create`.
    Raises:
        HatlibError: the name does not end in .safetensors, or the folder can't be written to.
    """
    if Path(path).suffix != ".safetensors":
        raise HatlibError(f"weights are saved as .safetensors, got {path}")
    rebuilt = models.create(name, model.scale, **options)
    if {k: v.shape for k, v in rebuilt.state_dict().items()} != {k: v.shape for k, v in model.state_dict().items()}:
        raise HatlibError(f"the weights do not fit models.create({name!r}, {model.scale}, {options})")
    card = json.dumps({"model": name, "scale": model.scale, "options": options})
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    with whole(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: card})


def load(name_or_path: str | os.PathLike[str], scale: int = 4) -> models.Network:
    """A network that is ready to use: one that has no weights by name, or one from a file that `save` wrote.

    Args:
        name_or_path: "bicubic", "nearest" or the path of a .safetensors file.
        scale: for the names; a file knows its own.
    Returns:
        The network in eval mode, on the CPU, with `.scale`.
    Raises:
        HatlibError: no such name or file, or a file that is not one of ours.
    """
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or path.is_file():
        return _load_file(path)
    ready = [name for name in models.names() if not list(models.create(name).parameters())]
    if str(name_or_path) in ready:
        return models.create(str(name_or_path), scale).eval()
    if str(name_or_path) in models.names():
        raise HatlibError(f"'{name_or_path}' has no trained weights here; train it and give the .safetensors file")
    raise unknown("model", str(name_or_path), [*ready, "FILE.safetensors"])


def _load_file(path: Path) -> models.Network:
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except FileNotFoundError:
        raise HatlibError(f"no such file: {path}") from None
    except (SafetensorError, OSError) as error:
        raise HatlibError(f"{path} is not a safetensors file, or a damaged one: {error}") from None
    if not card:
        raise HatlibError(f"{path} does not say which network it belongs to; hatlib.checkpoints.save writes that")
    model = models.create(card["model"], card["scale"], **card["options"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise HatlibError(f"{path} does not fit {card['model']}: {' '.join(str(error).split())}") from None
    return model.eval()
