"""Feature maps in strips of rows: what a CPU computes of a strip stays in its caches.

Only where no gradient is needed: autograd would keep every strip's intermediate maps anyway.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from hatlib.models.fast.device import wants_large_steps

# Pixels of a feature map in a strip. 4096 pixels of 180 channels are 3 MB in float32.
STRIP_PIXELS = 4096
# Receptive field of three 3×3 convolutions above and below, in rows of LR: the last two of them
# work on larger maps, whose rows are less than a row of LR.
HALO_ROWS = 3


def row_strips(x: torch.Tensor, unit: int = 1, times: int = 1) -> tuple[torch.Tensor, ...]:
    """(N, H, W, C) → views of it, one for each strip of rows; on a GPU a single one.

    Args:
        x: a feature map.
        unit: a strip has a multiple of so many rows, such as the side of a window.
        times: a strip has about `times` the pixels of `STRIP_PIXELS`, and at least `unit` rows.
    """
    if wants_large_steps(x) or x.device.type == "meta":
        return (x,)
    images, _, width, _ = x.shape
    units = times * STRIP_PIXELS // (unit * images * width)
    return x.split(max(1, units) * unit, dim=1)


def add_by_rows(x: torch.Tensor, branch: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """x + branch(x), for a branch that works on each pixel of (N, H, W, C) by itself.

    Without gradients the sum is written into x, which is given back.
    """
    if torch.is_grad_enabled():
        return x + branch(x)
    for strip in row_strips(x):
        strip += branch(strip)
    return x


def upsample_by_rows(
    layers: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, scale: int
) -> torch.Tensor:
    """layers(x), for the last convolutions of a network: (N, C, H, W) → (N, 3, s·H, s·W).

    Between these layers lie the largest maps of the whole network. Each strip is computed with the
    `HALO_ROWS` above and below it, and what they give is cut off.
    """
    # Four times the usual strip, because the halo's rows are computed twice.
    strips = row_strips(x.permute(0, 2, 3, 1), unit=4 * HALO_ROWS, times=4)
    if torch.is_grad_enabled() or len(strips) == 1:
        return layers(x)
    parts = []
    top = 0
    for strip in strips:
        rows = strip.shape[1]
        above = min(HALO_ROWS, top)
        sr = layers(x[:, :, top - above : top + rows + HALO_ROWS])
        parts.append(sr[:, :, scale * above : scale * (above + rows)])
        top += rows
    return torch.cat(parts, 2)
