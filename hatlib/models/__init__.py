"""Networks by name. Each takes LR RGB (N, 3, h, w) in [0, 1] and returns SR RGB (N, 3, s·h, s·w);
each has `.scale`."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from hatlib.errors import HatlibError, unknown
from hatlib.models import dat, drct, hat, rcan, swinir
from hatlib.models.dat import DAT
from hatlib.models.drct import DRCT
from hatlib.models.hat import HAT
from hatlib.models.interpolation import Bicubic, Nearest
from hatlib.models.layers import Network, Padding, set_fused
from hatlib.models.rcan import RCAN
from hatlib.models.srcnn import SRCNN, SRCNNConfig
from hatlib.models.swinir import SwinIR
from hatlib.validation import checked, choice, shown

__all__ = [
    "DAT",
    "DRCT",
    "HAT",
    "RCAN",
    "SCALES",
    "SRCNN",
    "Network",
    "Padding",
    "SwinIR",
    "copy_weights",
    "create",
    "names",
    "set_fused",
]

SCALES = (2, 3, 4)
MOST_PARAMETERS = 500_000_000  # 2 GB; HAT-L has 41 million
# They have no weights.
BASELINES: dict[str, Callable[..., Network]] = {"bicubic": Bicubic, "nearest": Nearest}
# Networks whose options are in a dataclass: (class, configuration) by name.
CONFIGURED: dict[str, tuple[Callable[..., Network], Any]] = {
    name: (network, config)
    for network, presets in (
        (RCAN, rcan.PRESETS),
        (SwinIR, swinir.PRESETS),
        (HAT, hat.PRESETS),
        (DRCT, drct.PRESETS),
        (DAT, dat.PRESETS),
    )
    for name, config in presets.items()
}


def names() -> list[str]:
    """The names that `create` knows."""
    return [*BASELINES, "srcnn", *CONFIGURED]


def create(name: str, scale: int = 4, **overrides: Any) -> Network:
    """A new network (random weights, where it has any) for a scale of 2, 3 or 4.

    Args:
        name: one of `names()`.
        overrides: the network's own options, such as kernels=(9, 1, 5) for "srcnn" or embed_dim=96
            for "hat".
    Raises:
        HatlibError: an unknown name, scale or option.
    """
    choice("model", name, names())
    if isinstance(scale, bool) or not isinstance(scale, numbers.Integral) or scale not in SCALES:
        known = ", ".join(map(str, SCALES))
        raise HatlibError(f"scale is {shown(scale)}; the networks know {known}")
    make = _maker(name, int(scale), overrides)
    if overrides:
        check_parameters(make)
    return make()


def _maker(name: str, scale: int, overrides: Mapping[str, Any]) -> Callable[[], Network]:
    """What makes a network, with checked options."""
    config = configuration(name, overrides)
    if name in BASELINES:
        return functools.partial(BASELINES[name], scale)
    if name == "srcnn":
        return functools.partial(SRCNN, scale, config.kernels, config.features)
    return functools.partial(CONFIGURED[name][0], scale, config)


def configuration(name: str, overrides: Mapping[str, Any]) -> Any:
    """A network's configuration with the caller's own options; None for one that has none.

    Raises:
        HatlibError: an unknown option, or a value that cannot be.
    """
    overrides = checked("options", overrides, dict[str, Any])
    check_options(name, overrides, options(name))
    if name in BASELINES:
        return None
    preset = SRCNNConfig() if name == "srcnn" else CONFIGURED[name][1]
    return dataclasses.replace(preset, **overrides)


def check_parameters(make: Callable[[], Network]) -> None:
    """Raises HatlibError for a network that is too large, before it takes any memory."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in make().parameters())
    if count > MOST_PARAMETERS:
        raise HatlibError(
            f"the network would have {count:,} parameters; the most is {MOST_PARAMETERS:,}"
        )


def check_options(name: str, overrides: Iterable[str], known: Iterable[str]) -> None:
    """Raises HatlibError for an option that a network does not have."""
    for option in overrides:
        if option not in known:
            raise unknown(f"option of {name}", option, sorted(known) or ["none"])


def options(name: str) -> dict[str, Any]:
    """The options of a network and the values that they have by default."""
    if name in BASELINES:
        return {}
    return dataclasses.asdict(SRCNNConfig() if name == "srcnn" else CONFIGURED[name][1])


@torch.no_grad()
def copy_weights(source: Network, target: Network) -> list[str]:
    """Copies the weights that fit, by name and shape, such as from a network for ×2 to one for ×4.

    All official ×4 recipes start from ×2 in this way (SwinIR, arXiv 2108.10257, §4.1). Taught in
    notebook 09.

    Args:
        source: stays as it is.
        target: gets them; its other weights stay as they are.
    Returns:
        The names of the target's weights that were not copied: some of the tail's, where only the
        scale differs.
    Raises:
        HatlibError: nothing fits.
    """
    own = target.state_dict()
    fitting = {
        name: tensor
        for name, tensor in source.state_dict().items()
        if name in own and own[name].shape == tensor.shape
    }
    if not fitting:
        raise HatlibError(
            f"no weight of {type(source).__name__} ×{source.scale} fits {type(target).__name__} "
            f"×{target.scale}: copy between networks of one kind and size"
        )
    target.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]
