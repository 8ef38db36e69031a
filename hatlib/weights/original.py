"""Weights in the layout of the networks' original repositories, which other programs recognise.

Our own files hold weights alone. The original ones hold tables beside them, which follow from the
side of the windows: position indices and attention masks. Programs that tell a network by its
tensors (those on the package spandrel, such as ComfyUI and chaiNNer) look for these tables, and the
authors' code loads strictly only with them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from hatlib.errors import HatlibError
from hatlib.models import DAT, DRCT, HAT, RCAN, Network, SwinIR
from hatlib.models.dat import WindowBranch, offset_index, window_offsets
from hatlib.models.window_attention import (
    WindowAttention,
    attention_mask,
    overlapping_position_index,
    relative_position_index,
)
from hatlib.system.atomic import atomic_path
from hatlib.weights.architectures import dat_mask
from hatlib.weights.tensors import write_tensors

Table = tuple[str, torch.Tensor]

SUFFIXES = (".safetensors", ".pth")
# LR pixels: the side of the training images, for whose size the original files keep masks
TRAINING_SIDE = 64
# what HAT's own code has where a file can't tell
CONV_SCALE = 0.01
# SwinIR's windows for JPEG artefacts, by which programs tell that colours are in 0 … 255
JPEG_WINDOW = 7


def write(
    model: Network, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a network's weights as its authors' code has them, whole or not at all.

    Args:
        model: RCAN, SwinIR, HAT, DRCT or DAT, with the options that its original code has.
        path: .safetensors, or .pth for the authors' own scripts.
        metadata: more to say in a .safetensors file.
    Raises:
        HatlibError: a network or an option that the original code does not have, another suffix, a
            folder that can't be written to.
    """
    if Path(path).suffix not in SUFFIXES:
        raise HatlibError(
            f"the original layout is written as {' or '.join(SUFFIXES)}, and {path} is neither"
        )
    check(model)
    if Path(path).suffix != ".pth":
        write_tensors(path, state(model), {"format": "pt", **(metadata or {})})
        return
    own = {key: value.detach().cpu().clone().contiguous() for key, value in state(model).items()}
    with atomic_path(path) as temporary:
        # RCAN's code takes the tensors as they are, the others' look for them under this name
        torch.save(own if isinstance(model, RCAN) else {"params": own}, temporary)


def state(model: Network, training_side: int = TRAINING_SIDE) -> dict[str, torch.Tensor]:
    """The tensors of the original layout by name: weights, and the tables beside them.

    Args:
        training_side: LR pixels: side of the images for whose size masks are kept.
    """
    return {**model.state_dict(), **dict(tables(model, training_side))}


def check(model: Network) -> None:
    """Raises HatlibError unless the original code has a network like this one, and a program that
    is given nothing but the file computes the same."""
    name = type(model).__name__
    if reason := next(_differences(model), ""):
        raise HatlibError(f"this {name} has no original layout: {reason}; export it as .onnx")


def _differences(model: Network) -> Iterator[str]:
    """What sets a network apart from all that its original code can build, or that a file tells."""
    if not isinstance(model, RCAN | SwinIR | HAT | DRCT | DAT):
        yield "other programs read that of RCAN, SwinIR, HAT, DRCT and DAT"
        return
    config = model.config
    if isinstance(model, RCAN | HAT | DRCT) and config.upsampler == "pixelshuffledirect":
        yield "its authors' code has no upsampler 'pixelshuffledirect'"
    if isinstance(model, SwinIR | HAT) and not model.config.shifted:
        yield "no file tells that its windows are not shifted"
    if isinstance(model, SwinIR) and model.config.window_size == JPEG_WINDOW:
        yield f"programs take windows of {JPEG_WINDOW} for a network on colours of 0 to 255"
    if isinstance(model, HAT):
        if not (model.config.cab and model.config.ocab):
            yield "its authors' code has a CAB in every block and an OCAB in every group"
        if model.config.conv_scale != CONV_SCALE:
            scale = model.config.conv_scale
            yield f"no file tells conv_scale, which is {scale} and not {CONV_SCALE}"


# --- tables beside the weights --------------------------------------------------------------------


def tables(model: Network, training_side: int) -> Iterator[Table]:
    """Name and content of each table that the original layout has beside the weights."""
    if isinstance(model, HAT):
        # one pair for all layers; the masks are computed from the size of each image
        window = model.config.window_size
        side = model.config.overlap_side
        yield "relative_position_index_SA", relative_position_index(window)
        yield "relative_position_index_OCA", overlapping_position_index(window, side)
        return
    for name, layer in model.named_modules():
        if isinstance(layer, WindowAttention):
            yield from _of_window_attention(name, layer, training_side)
        elif isinstance(layer, WindowBranch):
            yield from _of_branch(name, layer, training_side)


def _of_window_attention(name: str, layer: WindowAttention, training_side: int) -> Iterator[Table]:
    """The tables of SwinIR and DRCT: the index belongs to the attention, the mask to its block."""
    yield f"{name}.relative_position_index", relative_position_index(layer.window)
    if layer.shift:
        side = _whole(training_side, layer.window)
        block = name.rpartition(".")[0]
        yield f"{block}.attn_mask", attention_mask(side, side, layer.window, layer.shift)


def _of_branch(name: str, branch: WindowBranch, training_side: int) -> Iterator[Table]:
    """The tables of DAT: offsets and index of each branch, and a mask for each in their layer."""
    yield f"{name}.rpe_biases", window_offsets(branch.window, "cpu")
    yield f"{name}.relative_position_index", offset_index(branch.window, "cpu")
    if any(branch.shift):
        height, width = branch.window
        side = _whole(training_side, max(branch.window))
        layer, _, number = name.rpartition(".attns.")
        mask = dat_mask(branch.window, side**2 // (height * width))
        yield f"{layer}.attn_mask_{number}", mask


def _whole(side: int, window: int) -> int:
    """The side of a map, rounded up to whole windows."""
    return -(-side // window) * window
