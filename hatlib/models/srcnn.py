"""SRCNN: three convolutions that sharpen a bicubically upscaled image.

Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional Networks", arXiv 1501.00092
(TPAMI 2016), §3.1:
patch extraction and representation, non-linear mapping, reconstruction. Taught in notebook 03.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.errors import HatlibError
from hatlib.imaging.convert import luma_of_tensor
from hatlib.imaging.resize import imresize
from hatlib.models.layers import Network
from hatlib.validation import LISTED, Channels, KernelSide, validated


@validated
class SRCNNConfig:
    """SRCNN 9-5-5: arXiv 1501.00092, §4.3.3."""

    kernels: Annotated[tuple[KernelSide, KernelSide, KernelSide], LISTED] = (9, 5, 5)
    features: Annotated[tuple[Channels, Channels], LISTED] = (64, 32)

    def __post_init__(self) -> None:
        if even := [side for side in self.kernels if side % 2 == 0]:
            raise HatlibError(f"kernels are {self.kernels}; a side is odd, and {even[0]} is even")


class SRCNN(Network):
    """SRCNN on the luma of a bicubically upscaled image; the chroma stays bicubic, as in the paper.

    Args:
        scale: s, of the upsampling.
        kernels: f1, f2, f3. The paper has (9, 1, 5), (9, 3, 5) and (9, 5, 5): 8,032, 24,416 and
            57,184 weights.
        features: n1, n2.
    """

    def __init__(
        self,
        scale: int = 4,
        kernels: tuple[int, int, int] = (9, 5, 5),
        features: tuple[int, int] = (64, 32),
    ):
        super().__init__()
        config = SRCNNConfig(kernels, features)
        kernels = config.kernels
        features = config.features
        self.scale = scale
        self.conv1 = nn.Conv2d(1, features[0], kernels[0])
        self.conv2 = nn.Conv2d(features[0], features[1], kernels[1])
        self.conv3 = nn.Conv2d(features[1], 1, kernels[2])
        self.margin = sum(
            k // 2 for k in kernels
        )  # SR pixels that the three valid convolutions cut off on each side
        self.halo = 2 + -(
            -self.margin // scale
        )  # LR pixels around a pixel that its result depends on
        self.start_as_identity()

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Sets one path through the layers to pass the input on, so that training starts at the
        bicubic PSNR.

        The paper starts from Gaussian noise (σ = 0.001) and needs 8·10⁸ backpropagations; here the
        first feature of each layer is the input itself and the other features contribute almost
        nothing until they have learned to.
        """
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.constant_(conv.bias, 0)  # type: ignore[arg-type]
            first, middle = conv.weight[0], conv.kernel_size[0] // 2
            nn.init.normal_(first, std=0.001 if conv is self.conv3 else 0)
            first[0, middle, middle] = 1

    def enhance(self, luma: torch.Tensor) -> torch.Tensor:
        """The three layers: bicubic luma (N, 1, H, W) in [0, 1] → better luma of the same size."""
        x = F.pad(
            luma, [self.margin] * 4, mode="replicate"
        )  # no zeros at the border, which would look like an edge
        x = F.relu(self.conv1(x))  # (N, n1, H + …, W + …)  patch extraction and representation
        x = F.relu(self.conv2(x))  # (N, n2, H + …, W + …)  non-linear mapping
        return self.conv3(x)  # (N, 1, H, W)  reconstruction

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """LR RGB (N, 3, h, w) or gray (N, 1, h, w) in [0, 1] → SR of the same channels (N, C, s·h,
        s·w)."""
        bicubic = imresize(lr, self.scale)
        luma = luma_of_tensor(bicubic)
        # the luma weights sum to 1: what is added to R, G and B alike is added to the luma and
        # leaves the chroma
        return bicubic + (self.enhance(luma) - luma)
