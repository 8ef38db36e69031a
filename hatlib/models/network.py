"""What every network of the package has in common, and how an image becomes one that a network can
take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hatlib.imaging.convert import luma_of_tensor
from hatlib.imaging.resize import border_indices

# Mean RGB of DIV2K in [0, 1]: RCAN, SwinIR, HAT and DRCT subtract it from the input and add it to
# the output.
RGB_MEAN = (0.4488, 0.4371, 0.4040)


@dataclass(frozen=True)
class Padding:
    """How an image grows at the bottom and on the right until a network can take it."""

    multiple: int = 1  # both sides become a multiple of this
    border: str = (
        "reflect"  # … 2 1 0 1 2 …, or "symmetric", with the edge pixel repeated: … 1 0 0 1 …
    )
    always: bool = False  # one multiple more where the side is a multiple already

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) of any size from 1×1 → (N, C, H, W); the image itself where nothing is to be
        done."""
        for axis in (2, 3):
            side = image.shape[axis]
            windows = side // self.multiple + 1 if self.always else -(-side // self.multiple)
            grown = windows * self.multiple
            if grown > side:
                mirrored = border_indices(np.arange(grown), side, self.border)
                image = image.index_select(axis, torch.from_numpy(mirrored).to(image.device))
        return image


class Network(nn.Module):
    """LR (N, C, h, w) in [0, 1] → SR (N, C, s·h, s·w).

    Attributes:
        scale: s, of the upsampling.
        halo: LR pixels around a tile that are computed with it and then cut off.
        local: whether nothing beyond the halo matters, so that tiles give the same as the whole
            image. False for the networks where attention passes information on from window to
            window, or where channel attention takes the mean over all that it is given: their tiles
            differ from the whole a little, by less the larger the halo.
        padding: how the images were padded when the published results were measured. Where it has a
            multiple, tiles and halo should be multiples of it, so that the windows of a tile are
            those of the whole image.
    """

    scale: int
    halo: int
    local: bool = True
    padding: Padding = Padding()


class ColourNetwork(Network):
    """A network for RGB images only. A gray image goes through it as RGB; what comes back is the
    luma of the result."""

    local = False

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """LR RGB (N, 3, h, w) or gray (N, 1, h, w) in [0, 1], any size from 1×1 → SR of the same
        channels."""
        height, width = lr.shape[-2] * self.scale, lr.shape[-1] * self.scale
        rgb = Padding(self.padding.multiple)(lr.expand(-1, 3, -1, -1))
        sr = self.enlarge(rgb)[..., :height, :width]
        return sr if lr.shape[1] == 3 else luma_of_tensor(sr)

    def enlarge(self, rgb: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), both sides multiples of the padding's → (N, 3, s·H, s·W)."""
        raise NotImplementedError
