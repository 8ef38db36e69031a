"""Weights on disk: our own safetensors files, and those that authors released, as they are. No code
is ever unpickled.

Our files say which network they belong to, and how they were trained. For others the network is
read from the tensors (`hatlib.weights.architectures`). The course's own weights are in the package
(`trained/`); the released ones have names too, under which they are fetched
(`hatlib.weights.catalogue`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from hatlib import models
from hatlib.errors import HatlibError, unknown
from hatlib.system import console
from hatlib.validation import FileName, Name, Whole, checked, shown
from hatlib.weights import architectures, catalogue, reading
from hatlib.weights.tensors import write_tensors

# of the JSON text in the file's metadata
_KEY = "hatlib"

# what one of our files says of itself; more is read by whoever wrote it
CARD = {"model": Name, "scale": Whole, "options": dict[str, Any], "training": dict[str, Any] | None}

# the course's own weights
TRAINED = Path(__file__).parent / "trained"
# their training images are for this alone: BSDS500's; T91 has no stated terms
TRAINED_LICENCE = "non-commercial research and education (trained/LICENSE.txt)"
SUFFIXES = (".safetensors", ".pth", ".pt")


def save(
    model: models.Network,
    path: str | os.PathLike[str],
    name: str,
    training: Mapping[str, Any] | None = None,
    **options: object,
) -> None:
    """Writes a network's weights with what is needed to rebuild it, whole or not at all.

    Args:
        name, options: as they were given to `models.create`.
        training: how they were trained (what JSON can hold), for `card`.
    Raises:
        HatlibError: the name does not end in .safetensors, or the folder can't be written to.
    """
    if Path(path).suffix != ".safetensors":
        raise HatlibError(f"weights are saved as .safetensors, got {path}")
    try:
        architectures.check_weights(
            _empty(models.create, name, model.scale, **options), model.state_dict()
        )
    except HatlibError as error:
        wanted = f"models.create({name!r}, {model.scale}, {options})"
        raise HatlibError(f"the weights do not fit {wanted}: {error}") from None
    card = json.dumps(
        {"model": name, "scale": model.scale, "options": options, "training": training}
    )
    write_tensors(path, model.state_dict(), {_KEY: card})


def names() -> list[str]:
    """The names that `load` knows: networks without weights, the course's own weights, and
    released weights."""
    return [*models.BASELINES, *trained(), *catalogue.names()]


def trained(degradation: str | None = None) -> list[str]:
    """The names of the course's own weights, which need no download.

    Args:
        degradation: only those that were trained on LR that was made like this: "bicubic", as in
            the papers' protocol, or "real-world".
    """
    found = sorted(path.stem for path in TRAINED.glob("*.safetensors"))
    if degradation is None:
        return found
    return [name for name in found if degradation_of(name) == degradation]


def degradation_of(name: str) -> str:
    """How the LR was made that weights of ours were trained on: "bicubic", the only way that the
    first recipes knew, or "real-world"."""
    return str(card(name)["training"]["recipe"].get("degradation", "bicubic"))


def card(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """What one of our files says of itself: model, scale, options, training.

    Args:
        name_or_path: one of `trained()`, or the path of a file that `save` wrote.
    Raises:
        HatlibError: no such file, or one that is not ours.
    """
    path = _own(os.fspath(name_or_path)) or Path(name_or_path)
    if not path.is_file():
        raise unknown("trained weights (or file)", os.fspath(name_or_path), trained())
    content = _card(path, reading.read(path)[1])
    if content is None:
        raise HatlibError(f"{path} has no card: it was not written by hatlib")
    return content


def _own(name: str) -> Path | None:
    """The file of a name of `trained()`."""
    return TRAINED / f"{name}.safetensors" if name in trained() else None


def load(name_or_path: str | os.PathLike[str], scale: int = 4, **options: Any) -> models.Network:
    """A network that is ready to use: by name (released weights are fetched on first use), or from
    a file.

    Args:
        name_or_path: one of `names()`, such as "bicubic", "hat-nano-x4" (the course's own) or
            "hat-x4-imagenet", or the path of a file: one that `save` wrote, or released weights of
            RCAN, SwinIR, HAT or DRCT (.pth, .pt or .safetensors).
        scale: for "bicubic" and "nearest"; weights know their own.
        options: of the network, for released files: what tensors do not tell, such as
            conv_scale=0.01 of HAT.
    Returns:
        The network in eval mode, float32, on the CPU, with `.scale`.
    Raises:
        HatlibError: no such name or file, a file that is unavailable, is damaged, holds code, or
            does not fit any network; in one line.
    """
    checked("name_or_path", name_or_path, FileName)
    path, name = Path(name_or_path), os.fspath(name_or_path)
    if path.suffix in SUFFIXES or path.exists():
        return _load_file(path, options)
    if own := _own(name):
        return _load_file(own, options)
    if name in models.BASELINES:
        return models.create(name, scale).eval()
    if name in catalogue.CATALOGUE:
        return _load_released(catalogue.info(name), options)
    if name in models.names():
        ours = [own for own in trained() if card(own)["model"] == name]
        known = ", ".join([*ours, *(entry.name for entry in catalogue.of_model(name))])
        advice = (
            f"weights for it are {known}" if known else "train it and give the .safetensors file"
        )
        raise HatlibError(f"'{name}' is a network, and weights have a name of their own; {advice}")
    raise unknown("model", name, [*names(), "FILE.safetensors", "FILE.pth"])


def _load_released(entry: catalogue.Weights, options: dict[str, Any]) -> models.Network:
    """The network of an entry of the catalogue; a file that could not be checked might hold another
    one."""
    path = catalogue.fetch(entry.name)
    model = _load_file(path, options, released=True)
    try:
        architectures.check_weights(
            _empty(models.create, entry.model, entry.scale), model.state_dict()
        )
    except HatlibError as error:
        raise HatlibError(
            f"{path} is not {entry.name}, {entry.model} ×{entry.scale}: {error}"
        ) from None
    return model


def _load_file(path: Path, options: dict[str, Any], released: bool = False) -> models.Network:
    """The network of a file. What no tensor tells of it is said on stderr, unless the authors
    released the file."""
    tensors, text = reading.read(path)
    card = _card(path, text)
    tensors = architectures.released_names(tensors)
    given = set(options)
    try:
        state, buffers = architectures.split_buffers(tensors)
        if card is not None:
            options = {**card["options"], **options}
            architectures.check_options(options, state)
            model = _empty(models.create, card["model"], card["scale"], **options)
        else:
            network, scale, config = architectures.recognise(tensors)
            models.check_options(network.__name__, options, dataclasses.asdict(config))
            config = dataclasses.replace(config, **options)
            model = _empty(network, scale, config)
            architectures.check_buffers(config, buffers)
        architectures.check_weights(model, state)
        # copied into memory of torch's own: results depend in the last bit on where in memory a
        # matrix begins
        copies = {key: own_copy(value) for key, value in state.items()}
        architectures.check_finite(copies)
    except HatlibError as error:
        raise HatlibError(f"{path} does not fit: {error}") from None
    model.load_state_dict(copies, assign=True)
    if card is None and not released and (assumed := architectures.assumed(model, given)):
        console.note(f"{path}: {assumed}")
    return model.eval()


def _card(path: Path, text: str | None) -> dict[str, Any] | None:
    """What one of our files says of itself; None for a file of others.

    Raises:
        HatlibError: the text is not a card.
    """
    if text is None:
        return None
    try:
        card = json.loads(text)
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict):
        raise HatlibError(
            f"{path} does not say rightly which network it belongs to: {reading.shown(text)}"
        )
    try:
        for field, kind in CARD.items():
            checked(field, card.get(field), kind)
        strange = [o for o in card["options"] if not o.isidentifier() or o in ("name", "scale")]
        if strange:
            raise HatlibError(f"options has {shown(strange[0])}, which no network takes")
    except HatlibError as error:
        raise HatlibError(
            f"{path} does not say rightly which network it belongs to: its card is wrong, {error}"
        ) from None
    return card


def own_copy(value: torch.Tensor) -> torch.Tensor:
    """A copy in float32; counts, such as those of batches in a batch norm, stay whole numbers."""
    return value.to(torch.float32, copy=True) if value.is_floating_point() else value.clone()


def _empty(make: Callable[..., models.Network], *args: Any, **options: Any) -> models.Network:
    """A network whose weights take no memory and no time, until a file's are put in their place."""
    with torch.device("meta"):
        return make(*args, **options)


def fingerprint(model: models.Network) -> str:
    """SHA-256 of a network's tensors by name, whatever file they came in; "" for one without
    any."""
    state = model.state_dict()
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if state else ""
