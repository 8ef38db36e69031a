"""Any image through a network: whole, or in tiles when it is large; in the precision that suits the
network.

The memory that this takes beside the result depends on the tile, not on the image: tiles are cut
from the image as it is, and written into the result as they are finished.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image
from hatlib.imaging.user_files import Picture, changed
from hatlib.inference import memory, tiles
from hatlib.inference.precision import arithmetic, autocast
from hatlib.models import Network
from hatlib.models.interpolation import Bicubic, Nearest
from hatlib.models.layers import check_network
from hatlib.system import devices, torch_settings
from hatlib.validation import Whole, checked

# LR (1, C, h, w) → SR (1, C, s·h, s·w)
Run = Callable[[torch.Tensor], torch.Tensor]


@torch.inference_mode()
def upscale(
    model: Network,
    image: np.ndarray,
    tile: int | None = None,
    precision: str = "auto",
    ensemble: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Upscales an image by the network's scale, on the device where the network is.

    The image is padded as the network's reported results were measured. A large one goes through
    in tiles, each computed with the network's halo around it. Where nothing beyond the halo matters
    (`model.local`), tiles give what the whole image gives; elsewhere they fade into each other.

    Args:
        model: a network of `hatlib.models`, in eval mode.
        image: (H, W, 3) or (H, W), any size from 1×1: uint8, uint16, or float in [0, 1].
        tile: side of the tiles in LR pixels, 16 or more, rounded up to whole windows; 0 takes the
            image whole, None decides by its size and the memory at hand. Out of memory, half of it
            is tried.
        precision: "fp32", which is never TF32; "tf32" and "bf16", on GPUs from Ampere on, the
            second on CPUs too; "fp16", not for networks with attention; or "auto": what suits
            network and device (`hatlib.inference.precision.arithmetic`).
        ensemble: the mean over eight flips and transposes: a little better, eight times slower.
        progress: called as progress(done, total) after each tile, if there are more than a few.
    Returns:
        (s·H, s·W, 3) or (s·H, s·W). Of uint8 and uint16, the same type, clamped and rounded; of
        float, float32 as the network gave it.
    Raises:
        HatlibError: another kind of image, an unknown or unsuitable precision, a tile below 16, a
            result that is not finite, not enough memory for the smallest tile.
    """
    check_network(model)
    check_image(image, sixteen_bits=True)
    tile = checked("tile", tile, Whole | None)
    checked("ensemble", ensemble, bool)
    if progress is not None and not callable(progress):
        raise HatlibError(f"progress is {progress!r:.60}; it is called as progress(done, total)")
    memory.check_tile(tile)
    devices.prepare_cpu()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    precision = arithmetic(model, precision, device)
    run = ensemble_of(model) if ensemble else padded(model)
    side = memory.first_side(model, image, tile, device, precision)
    result = tiles.empty_result(model, image)
    while True:
        try:
            # images and tiles have many shapes, for each of which cuDNN's attention makes a plan
            with torch_settings.cudnn_attention(False), autocast(device, precision):
                tiles.fill(result, model, run, image, side, device, progress)
            memory.release_after(image)
            return result
        except (RuntimeError, MemoryError) as error:
            if not memory.out_of_memory(error):
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
        # only here, where the error no longer holds on to the tensors of the attempt
        side = memory.smaller_side(model, min(side, max(image.shape[:2])), device, reason)


def upscale_picture(model: Network, picture: Picture, **options: object) -> Picture:
    """The same for a picture from a file: alpha is upscaled by itself (bicubic), and the colour
    profile is kept.

    Args:
        options: passed to `upscale`.
    """
    # networks have learned photographs; alpha is a mask, whose edges bicubic keeps where they are
    masks = model if isinstance(model, Nearest) else Bicubic(model.scale)
    return changed(
        picture,
        lambda pixels: upscale(model, pixels, **options),  # type: ignore[arg-type]
        lambda alpha: upscale(masks, alpha),
    )


# --- what the network is given --------------------------------------------------------------------


def padded(model: Network) -> Run:
    """The network for LR of any size, padded as its reported results were measured."""

    def run(lr: torch.Tensor) -> torch.Tensor:
        height, width = (model.scale * side for side in lr.shape[2:])
        return model(model.padding(lr))[..., :height, :width]

    return run


def ensemble_of(model: Network) -> Run:
    """The mean over eight flips and transposes (Timofte et al., "Seven ways to improve
    example-based single image super resolution", arXiv 1511.02228, §3.4)."""
    once = padded(model)

    def run(lr: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor | None = None
        for flips in ((), (2,), (3,), (2, 3)):
            for transposed in (False, True):
                version = lr.flip(flips)
                sr = once(version.transpose(2, 3) if transposed else version).float()
                # the same flips and transpose take the result back
                back = (sr.transpose(2, 3) if transposed else sr).flip(flips)
                total = back if total is None else total + back
        assert total is not None
        return total / 8

    return run
