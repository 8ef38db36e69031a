"""Networks from elsewhere: any module on RGB images in [0, 1], used like one of hatlib's own.

`adapt` looks at what the module does instead of asking: it runs it on small images, and says in one
line what does not fit. Taught in notebook 11.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models.layers import ColourNetwork, Padding
from hatlib.validation import Count, Whole, checked

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # sides that a module may insist on
PROBE = 24  # LR pixels: side of the image that a module is tried on, or more for its multiple
REACH = 64  # LR pixels: side of the image in which the reach of the gradient is measured
FAR = 32  # LR pixels of halo where information comes from everywhere, as for SwinIR and HAT
PIXELS = 6  # that are asked how far they reach
UNLIKELY = 8.0  # mean of |SR| for an input in [0, 1]; a network for 0 … 255 gives about 100


class Adapted(ColourNetwork):
    """A module from elsewhere with what hatlib's networks have: scale, padding, halo."""

    mixed_precision = False  # nothing is known of how a stranger's network takes the rounding

    def __init__(self, module: nn.Module, scale: int, multiple: int, halo: int, least: int = 1):
        super().__init__()
        self.module = module
        self.least = least  # pixels of the shortest side that the module takes
        self.scale = scale
        self.padding = Padding(multiple)
        self.halo = -(-halo // multiple) * multiple  # so that the windows of a tile stay in step

    def upscale_rgb(self, rgb: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), both sides multiples of the padding's → (N, 3, s·H, s·W)."""
        height, width = (self.scale * side for side in rgb.shape[2:])
        if min(rgb.shape[2:]) < self.least:
            rgb = Padding(self.least)(rgb)
        return self.module(rgb)[..., :height, :width]


def adapt(
    module: Any, scale: int | None = None, halo: int | None = None, multiple: int | None = None
) -> Adapted:
    """A network from elsewhere, ready for `upscale`, `evaluate`, `lam` and `reproduce`.

    Args:
        module: an `nn.Module` from RGB (N, 3, h, w) in [0, 1] to RGB (N, 3, s·h, s·w), or a model
            descriptor of the package spandrel. It is put into eval mode and stays on its device.
        scale: what you expect of it; by default what it does.
        halo: LR pixels that are computed around a tile and then cut off. By default how far the
            gradient reaches in a map of 64×64, and 32 where it reaches everywhere.
        multiple: both sides of an image are padded to a multiple of it (by reflection). By default
            the smallest of 1, 2, 4, …, 64 with which the module runs.
    Returns:
        A network with `.scale`, in eval mode. Gray images go through it as RGB.
    Raises:
        HatlibError: no module; one that does not run on RGB, whose output is no larger image in
            RGB, or another scale than the one given, or values that are not in the range of [0, 1].
    """
    scale = checked("scale", scale, Whole | None)
    halo = checked("halo", halo, Whole | None)
    multiple = checked("multiple", multiple, Count | None)
    least = 1
    if _is_descriptor(module):
        requirements = _requirements(module)
        multiple = multiple or requirements.multiple_of
        least = max(1, requirements.minimum)
        scale = scale or module.scale
        module = module.model
    if not isinstance(module, nn.Module):
        raise HatlibError(f"adapt takes an nn.Module, got {type(module).__name__}")
    module = module.eval()
    if halo is not None and halo < 0:
        raise HatlibError(f"halo is {halo}; it is a number of LR pixels from 0")
    found, side = _smallest_multiple(module, multiple)
    own = _scale_of(module, side)
    if scale is not None and scale != own:
        raise HatlibError(f"scale is {scale}, and the network upscales ×{own}")
    reach = _reach(module, found, own) if halo is None else None
    wide = FAR if reach is None else reach
    model = Adapted(module, own, found, wide if halo is None else halo, least)
    model.local = reach is not None  # nothing beyond the halo matters: tiles equal the whole
    return model.eval()


def _is_descriptor(module: Any) -> bool:
    """Whether this is what spandrel's loader returns; known by its attributes, not by an import."""
    return all(hasattr(module, name) for name in ("model", "scale", "size_requirements"))


def _requirements(descriptor: Any) -> Any:
    """What a descriptor says of the sizes that its network takes: .multiple_of, .minimum."""
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels != (3, 3):
        raise HatlibError(
            f"the network takes {channels[0]} and gives {channels[1]} channels, and RGB has 3"
        )
    if descriptor.size_requirements.square:
        raise HatlibError("the network takes square images only, which hatlib does not cut")
    return descriptor.size_requirements


def _place(module: nn.Module) -> dict[str, Any]:
    """Device and type of the module's weights."""
    weight = next(module.parameters(), torch.zeros(0))
    return {"device": weight.device, "dtype": weight.dtype}


def _run(module: nn.Module, height: int, width: int) -> torch.Tensor:
    """What the module gives for a random image (1, 3, height, width)."""
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(1, 3, height, width, generator=generator).to(**_place(module))
    with torch.no_grad():
        return module(lr)


def _smallest_multiple(module: nn.Module, multiple: int | None) -> tuple[int, int]:
    """The multiple that both sides need, and the side of a probe.

    A module that pads by itself runs at any size; one that cuts windows fails unless they fit. The
    two sides of the probe differ, and are odd multiples, so that 8 is not taken where 16 is needed.
    """
    error: Exception | None = None
    for step in (multiple,) if multiple else MULTIPLES:
        count = max(3, -(-PROBE // step)) | 1
        try:
            sr = _run(module, count * step, (count + 2) * step)
        except Exception as reason:  # whatever a stranger's code raises
            error = reason
            continue
        if isinstance(sr, torch.Tensor) and sr.ndim == 4:
            return step, count * step
        raise HatlibError(f"the module gives {_words(sr)} for an image (1, 3, h, w)")
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    tried = (
        f"sides that are multiples of {multiple}"
        if multiple
        else "sides that are multiples of 1 to 64"
    )
    raise HatlibError(f"the module fails on RGB images with {tried}: {said}")


def _scale_of(module: nn.Module, side: int) -> int:
    sr = _run(module, side, side)
    given = f"(1, 3, {side}, {side})"
    channels, height, width = sr.shape[1:]
    if channels != 3 or height != width or height % side:
        raise HatlibError(
            f"the module gives {tuple(sr.shape)} for {given}; expected is RGB, larger by a whole "
            "number"
        )
    if not torch.isfinite(sr).all():
        raise HatlibError(f"the module gives values that are not finite for {given}")
    mean = float(sr.abs().mean())
    if mean > UNLIKELY:
        raise HatlibError(
            f"the module gives values around {mean:.0f} for an image in [0, 1]: wrap it, to "
            "scale input and output"
        )
    return height // side


def _reach(module: nn.Module, multiple: int, scale: int) -> int | None:
    """How far in LR pixels a pixel of the result depends on the image; None for everywhere.

    Asked of several pixels, as those of a window reach to its sides, and of several images, as a
    ReLU that is silent for one is not so for all.
    """
    side = -(-REACH // multiple) * multiple
    generator = torch.Generator().manual_seed(0)
    far = 0
    for _ in range(PIXELS):
        lr = torch.rand(1, 3, side, side, generator=generator).to(**_place(module))
        lr.requires_grad_(True)
        row, column = (side // 2 + torch.randint(-8, 8, (2,), generator=generator)).tolist()
        with torch.enable_grad():
            sr = module(lr)
            if not sr.requires_grad:
                return None
            (gradient,) = torch.autograd.grad(sr[..., scale * row, scale * column].sum(), lr)
        touched = (gradient[0].abs().amax(0) > 0).cpu()
        for line, place in ((touched.any(1), row), (touched.any(0), column)):
            reached = torch.nonzero(line).flatten()
            if len(reached) == 0 or reached[0] == 0 or reached[-1] == side - 1:
                return None
            far = max(far, place - int(reached[0]), int(reached[-1]) - place)
    return far


def _words(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{type(value).__name__}, not a tensor,"
