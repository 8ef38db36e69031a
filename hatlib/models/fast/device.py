"""Which of two ways suits: many small steps, for a CPU's caches, or few large ones, for a GPU."""

from __future__ import annotations

import torch

from hatlib.system.constants import is_traced

# A test sets it, to compute on a CPU what a GPU computes.
LARGE_STEPS = False


def wants_large_steps(x: torch.Tensor) -> bool:
    """Whether a map stays in one piece, with one attention call for all windows of a layer.

    So it does on a GPU, where every step is a launch, and while torch compiles or exports a
    network: then the steps do not depend on the map's size.
    """
    return LARGE_STEPS or x.device.type not in ("cpu", "meta") or is_traced()
