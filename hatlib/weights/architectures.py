"""Published weights: which network they belong to, read from the names and shapes of the tensors
alone.

The configurations are those of the networks' own repositories. What no tensor tells (`conv_scale`
of HAT) stays as in the papers.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from hatlib.errors import HatlibError
from hatlib.models.dat import DAT, DATConfig, offset_index, shift_mask, window_offsets
from hatlib.models.drct import DRCT, DRCTConfig
from hatlib.models.hat import HAT, HATConfig
from hatlib.models.layers import Network
from hatlib.models.rcan import RCAN, MeanShift, RCANConfig
from hatlib.models.swinir import SwinIR, SwinIRConfig
from hatlib.models.window_attention import overlapping_position_index, relative_position_index

Tensors = Mapping[str, torch.Tensor]

# Old files keep tables beside the weights that follow from the window size: we check them and do
# without.
BUFFERS = (
    "relative_position_index",
    "relative_position_index_SA",
    "relative_position_index_OCA",
    "attn_mask",
    "attn_mask_0",  # DAT has two orientations of windows
    "attn_mask_1",
    "rpe_biases",
)


# The deepest released network, RCAN, has 200.
MAX_BLOCKS = 1000

# BasicSR's words for the parts of an RCAN, in the order of its layers; what a number of groups or
# blocks stands for is filled in.
BASICSR_RCAN = (
    (r"conv_first\.", "head.0."),
    (r"conv_after_body\.", "body.{groups}."),
    (r"body\.(\d+)\.conv\.", r"body.\1.body.{blocks}."),
    (
        r"(body\.\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.1\.",
        r"\1.body.\2.body.3.conv_du.0.",
    ),
    (
        r"(body\.\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.3\.",
        r"\1.body.\2.body.3.conv_du.2.",
    ),
    (r"(body\.\d+)\.residual_group\.(\d+)\.rcab\.", r"\1.body.\2.body."),
    (r"upsample\.", "tail.0."),
    (r"conv_last\.", "tail.1."),
)


def released_names(tensors: Tensors) -> dict[str, torch.Tensor]:
    """A state dict with the names that the networks' authors use.

    BasicSR has an RCAN of its own, which computes the same under other names and keeps the mean
    colour in its code.
    """
    if not any(".rcab." in key for key in tensors):
        return dict(tensors)
    numbers = {
        "groups": count(tensors, r"body\.(\d+)\."),
        "blocks": count(tensors, r"body\.0\.residual_group\.(\d+)\."),
    }
    renamed = {}
    for key, value in tensors.items():
        for pattern, ours in BASICSR_RCAN:
            new, changed = re.subn(f"^{pattern}", ours.format(**numbers), key)
            if changed:
                break
        renamed[new] = value
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        renamed |= {f"{name}.{key}": value for key, value in MeanShift(sign).state_dict().items()}
    return renamed


def split_buffers(tensors: Tensors) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(weights, buffers) of a state dict."""
    buffers = {key: value for key, value in tensors.items() if key.rpartition(".")[2] in BUFFERS}
    return {key: value for key, value in tensors.items() if key not in buffers}, buffers


def recognise(tensors: Tensors) -> tuple[type[Network], int, Any]:
    """(class, scale, configuration) of the network that a state dict belongs to.

    Raises:
        HatlibError: a network that we do not have, or a tensor missing from which its size is read.
    """
    kinds: list[tuple[str, type[Network], Callable[[Tensors], Any]]] = [
        (r"\.spatial_interaction\.", DAT, dat_config),
        (r"\.swin1\.", DRCT, drct_config),
        (r"\.overlap_attn\.", HAT, hat_config),
        (r"\.residual_group\.blocks\.", SwinIR, swinir_config),
        (r"\.conv_du\.", RCAN, rcan_config),
    ]
    for pattern, network, read in kinds:
        if any(re.search(pattern, key) for key in tensors):
            if "conv_last.weight" in tensors and not any(
                key.startswith("upsample") for key in tensors
            ):
                refuse_variants(tensors)
                raise HatlibError(
                    "it restores images at their own size (denoising, JPEG artefacts); hatlib's "
                    "networks upscale"
                )
            config = read(tensors)
            check_blocks(dataclasses.asdict(config))
            if (scale := scale_of(tensors, config.upsampler)) not in (2, 3, 4):
                raise HatlibError(f"it upscales ×{scale}; hatlib's networks know 2, 3, 4")
            return network, scale, config
    raise HatlibError(
        f"its tensors ({', '.join(list(tensors)[:3])} …) are not those of RCAN, SwinIR, HAT, DRCT "
        f"or DAT"
    )


# --- reading sizes --------------------------------------------------------------------------------


def shape(tensors: Tensors, key: str) -> list[int]:
    """The shape of a tensor that has to be there."""
    if key not in tensors:
        raise HatlibError(f"it lacks {key}, from which the size of the network is read")
    return [*tensors[key].shape, 1, 1]  # a vector is read as a matrix of one column


def count(tensors: Tensors, pattern: str) -> int:
    """How many modules a list of them has, whose numbers are the pattern's group.

    Raises:
        HatlibError: a number is left out, so that the names ask for more than the file holds.
    """
    return complete(
        pattern, {int(found[1]) for key in tensors if (found := re.match(pattern, key))}
    )


def complete(what: str, numbers: set[int]) -> int:
    """How many numbers there are, from 0 without a gap."""
    if missing := next((i for i in range(len(numbers)) if i not in numbers), None):
        name = what.replace("\\.", ".").replace(r"(\d+)", "{}").removesuffix(".")
        raise HatlibError(
            f"it has {name.format(max(numbers))} and lacks {name.format(missing)}, so parts of it "
            "are missing"
        )
    return len(numbers)


def check_options(options: Mapping[str, Any], tensors: Tensors) -> None:
    """Raises HatlibError for a card that asks for a network far larger than the file's tensors."""
    check_blocks(options)
    largest = max((side for tensor in tensors.values() for side in tensor.shape), default=0)
    for name, value in options.items():
        if name in ("depths", "groups", "blocks"):
            continue
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int | float) and number > max(largest, 1):
                raise HatlibError(
                    f"it asks for {name}={number:,}, and the longest side of a tensor is {largest}"
                )


def check_blocks(options: Mapping[str, Any]) -> None:
    """Raises HatlibError for a network that would take for ever to build."""
    counts = [options[name] for name in ("groups", "blocks") if name in options]
    depths = options.get("depths", ())
    blocks = 0  # values that are no numbers are refused with all others, where a network is built
    if all(isinstance(number, int) for number in counts):
        blocks = math.prod(counts)
    if isinstance(depths, list | tuple) and all(isinstance(number, int) for number in depths):
        blocks = max(blocks, sum(depths), len(depths))
    if blocks > MAX_BLOCKS:
        raise HatlibError(f"it asks for {blocks:,} blocks; hatlib reads up to {MAX_BLOCKS:,}")


def transformer_sizes(tensors: Tensors, block: str) -> dict[str, Any]:
    """What SwinIR, HAT and DRCT have in common, read from the block of that name."""
    refuse_variants(tensors)
    channels = shape(tensors, "conv_first.weight")[0]
    offsets, heads = shape(tensors, f"{block}.attn.relative_position_bias_table")[:2]
    hidden = shape(tensors, f"{block}.mlp.fc1.weight")[0]
    return {
        "embed_dim": channels,
        "num_heads": heads,
        "window_size": (math.isqrt(offsets) + 1) // 2,
        "mlp_ratio": hidden / channels,
        "shifted": shifted(tensors),
        "upsampler": "pixelshuffle"
        if "conv_before_upsample.0.weight" in tensors
        else "pixelshuffledirect",
    }


def refuse_variants(tensors: Tensors) -> None:
    """Raises HatlibError for the relatives of these networks that we do not have."""
    variants = {
        "conv_up1.weight": "enlarges by nearest neighbour and convolutions (real-world SwinIR)",
        "layers.0.conv.0.weight": "has three convolutions after each group (SwinIR-L)",
        "upsample.4.weight": "enlarges ×8 or more",
        "absolute_pos_embed": "has absolute positions",
    }
    for key, what in variants.items():
        if key in tensors:
            raise HatlibError(f"it holds a network that {what}, which hatlib does not have ({key})")
    first = shape(tensors, "conv_first.weight")
    if len(first) != 6:  # four sides, and the two that `shape` adds
        raise HatlibError(f"its conv_first.weight {tuple(first[:-2])} is not a convolution's")
    if (colours := first[1]) != 3:
        raise HatlibError(
            f"it holds a network for images of {colours} channels; hatlib's are for RGB"
        )


def shifted(tensors: Tensors) -> bool:
    """False where a file has indices but no masks: it was trained with img_size ≤ window_size, so
    without shifts."""
    last = {key.rpartition(".")[2] for key in tensors}
    return "relative_position_index" not in last or "attn_mask" in last


def assumed(model: Network, given: Collection[str]) -> str:
    """What no tensor of a network's file tells, and is taken as in the paper; "" if there is
    nothing.

    Args:
        given: the options that the user chose.
    """
    if not isinstance(model, HAT):
        return ""
    unknown = {"shifted": "trained with img_size ≤ window_size: False", "conv_scale": "HAT's α"}
    left = [name for name in unknown if name not in given]
    values = ", ".join(f"{name}={getattr(model.config, name)} ({unknown[name]})" for name in left)
    return f"no tensor of HAT tells {values}; taken as in the paper" if left else ""


def depths(tensors: Tensors, blocks: str = r"\.residual_group\.blocks\.") -> tuple[int, ...]:
    """How many blocks each group has."""
    groups: dict[int, set[int]] = {}
    for key in tensors:
        if found := re.match(rf"layers\.(\d+){blocks}(\d+)\.", key):
            groups.setdefault(int(found[1]), set()).add(int(found[2]))
    for i in range(complete(r"layers\.(\d+)\.", set(groups))):
        complete(rf"layers\.{i}{blocks}(\d+)\.", groups[i])
    return tuple(len(groups[i]) for i in range(len(groups)))


def swinir_config(tensors: Tensors) -> SwinIRConfig:
    sizes = transformer_sizes(tensors, "layers.0.residual_group.blocks.0")
    return SwinIRConfig(**sizes, depths=depths(tensors))


def hat_config(tensors: Tensors) -> HATConfig:
    group = "layers.0.residual_group"
    sizes = transformer_sizes(tensors, f"{group}.blocks.0")
    channels, window = sizes["embed_dim"], sizes["window_size"]
    offsets = math.isqrt(shape(tensors, f"{group}.overlap_attn.relative_position_bias_table")[0])
    return HATConfig(
        **sizes,
        depths=depths(tensors),
        overlap_ratio=(offsets - window + 1) / window - 1,
        compress_ratio=channels // shape(tensors, f"{group}.blocks.0.conv_block.cab.0.weight")[0],
        squeeze_factor=channels
        // shape(tensors, f"{group}.blocks.0.conv_block.cab.3.attention.1.weight")[0],
    )


def drct_config(tensors: Tensors) -> DRCTConfig:
    sizes = transformer_sizes(tensors, "layers.0.swin1")
    groups = count(tensors, r"layers\.(\d+)\.")
    return DRCTConfig(
        **sizes, depths=(6,) * groups, growth=shape(tensors, "layers.0.adjust1.weight")[0]
    )


def dat_config(tensors: Tensors) -> DATConfig:
    channels = shape(tensors, "conv_first.weight")[0]
    # no weight tells the sides of the windows; a table beside the weights begins with (1 − height,
    # 1 − width)
    table = "layers.0.blocks.0.attn.attns.0.rpe_biases"
    rows, columns = shape(tensors, table)[:2]
    height = width = 0
    if columns == 2 and tensors[table].is_floating_point():
        height, width = (1 - int(offset) for offset in tensors[table][0].nan_to_num())
    if height < 1 or (2 * height - 1) * (2 * width - 1) != rows:
        raise HatlibError(
            f"its {table} {tuple(tensors[table].shape)} is not a table of the offsets in a window"
        )
    return DATConfig(
        embed_dim=channels,
        depths=depths(tensors, r"\.blocks\."),
        num_heads=shape(tensors, "layers.0.blocks.1.attn.temperature")[0],
        split_size=(height, width),
        expansion_factor=shape(tensors, "layers.0.blocks.0.ffn.fc1.weight")[0] / channels,
        resi_connection="3conv" if "layers.0.conv.0.weight" in tensors else "1conv",
        upsampler=(
            "pixelshuffle" if "conv_before_upsample.0.weight" in tensors else "pixelshuffledirect"
        ),
    )


def rcan_config(tensors: Tensors) -> RCANConfig:
    features = shape(tensors, "head.0.weight")[0]
    return RCANConfig(
        groups=count(tensors, r"body\.(\d+)\.body\."),
        blocks=count(tensors, r"body\.0\.body\.(\d+)\.body\."),
        features=features,
        reduction=features // shape(tensors, "body.0.body.0.body.3.conv_du.0.weight")[0],
        upsampler="pixelshuffle" if "tail.1.weight" in tensors else "pixelshuffledirect",
    )


def scale_of(tensors: Tensors, upsampler: str) -> int:
    """The enlargement, from the convolutions before the pixel shuffles."""
    prefix = "tail.0" if "head.0.weight" in tensors else "upsample"
    made, features = shape(tensors, f"{prefix}.0.weight")[:2]
    if upsampler == "pixelshuffledirect":
        return math.isqrt(made // 3)
    # a convolution and a pixel shuffle by turns; the shuffles have no weights
    steps = sum(key.startswith(f"{prefix}.") and key.endswith(".weight") for key in tensors)
    return math.isqrt(made // features) ** min(steps, 3)


# --- checking -------------------------------------------------------------------------------------


def check_weights(model: Network, weights: Tensors) -> None:
    """Raises HatlibError unless the weights are those of the network, neither less nor more, in the
    same shapes."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    missing = [f"{key} {size}" for key, size in own.items() if key not in weights]
    other = [
        f"{key} is {tuple(weights[key].shape)} and should be {size}"
        for key, size in own.items()
        if key in weights and tuple(weights[key].shape) != size
    ]
    extra = [key for key in weights if key not in own]
    kinds = [
        f"{key} is {str(weights[key].dtype).removeprefix('torch.')} and should be {kind(value)}"
        for key, value in model.state_dict().items()
        if key in weights and kind(weights[key]) != kind(value)
    ]
    for found, what in (
        (missing, "it lacks"),
        (other, "its"),
        (kinds, "its"),
        (extra, "it has a tensor that the network has not:"),
    ):
        if found:
            more = f" and {len(found) - 1} more like it" if len(found) > 1 else ""
            raise HatlibError(f"{what} {found[0]}{more}")


def kind(tensor: torch.Tensor) -> str:
    """What sort of numbers a tensor holds."""
    if tensor.is_floating_point():
        return "floating-point"
    return "complex or bool" if tensor.is_complex() or tensor.dtype == torch.bool else "integer"


def check_finite(weights: Tensors) -> None:
    """Raises HatlibError where a weight is NaN or infinite: every picture would be."""
    for key, value in weights.items():
        if not value.isfinite().all():
            raise HatlibError(f"its {key} holds numbers that are not finite (NaN or infinite)")


def check_buffers(config: Any, buffers: Tensors) -> None:
    """Raises HatlibError unless the stored tables say what ours do: otherwise we would compute
    something else."""
    if isinstance(config, DATConfig):
        check_dat_buffers(config, buffers)
        return
    for key, stored in buffers.items():
        window, name = config.window_size, key.rpartition(".")[2]
        if kind(stored) == "complex or bool":
            good = False
        elif name == "attn_mask":
            good = stored.shape[1:] == (window**2, window**2) and is_shift_mask(stored, window)
        else:
            overlapping = name.endswith("OCA")
            own = (
                overlapping_position_index(window, config.overlap_side)
                if overlapping
                else relative_position_index(window)
            )
            rows = (window + config.overlap_side - 1 if overlapping else 2 * window - 1) ** 2
            good = stored.shape == own.shape and bool(((stored.long() - own) % rows == 0).all())
        if not good:
            raise HatlibError(
                f"its {key} {tuple(stored.shape)} is not that of windows of {window}×{window}: "
                "the weights are from a network that computes something else"
            )


def check_dat_buffers(config: DATConfig, buffers: Tensors) -> None:
    """The same for DAT, whose windows have two sides and two orientations."""
    wide = config.split_size
    for key, stored in buffers.items():
        name = key.rpartition(".")[2]
        window = (wide[1], wide[0]) if ".attns.1." in key or name.endswith("_1") else wide
        own = window_offsets(window, "cpu")
        if name == "relative_position_index":
            own = offset_index(window, "cpu")
        elif name.startswith("attn_mask"):
            own = dat_mask(window, len(stored))
        if stored.shape != own.shape or not torch.equal(stored.to(own.dtype), own):
            raise HatlibError(
                f"its {key} {tuple(stored.shape)} is not that of windows of "
                f"{window[0]}×{window[1]}: the weights are from a network that computes something "
                "else"
            )


def dat_mask(window: tuple[int, int], windows: int) -> torch.Tensor:
    """The mask of a square map of so many windows: (windows, T, T); a file's is for the size of
    its training images."""
    height, width = window
    side = math.isqrt(windows * height * width)
    rows = side // height
    columns = side // width
    shift = (height // 2, width // 2)
    return torch.stack(
        [
            shift_mask(window, shift, row == rows - 1, column == columns - 1, "cpu")
            for row in range(rows)
            for column in range(columns)
        ]
    )


def is_shift_mask(stored: torch.Tensor, window: int) -> bool:
    """Whether these (windows, T, T) are the mask of a map of any height and width; a file's is for
    the size of its training images.

    A mask has four kinds of windows at most, so that nothing as large as the file's is made.
    """
    sides = (window, window)
    shift = (window // 2, window // 2)
    kinds = {
        kind: shift_mask(sides, shift, *kind, "cpu")
        for kind in itertools.product((False, True), repeat=2)
    }
    fitting: list[set[tuple[bool, ...]]] = []
    for own in stored:
        fitting.append({kind for kind, mask in kinds.items() if torch.equal(own.float(), mask)})
        if not fitting[-1]:
            return False
    windows = len(stored)
    return any(
        all(
            (k // columns == windows // columns - 1, k % columns == columns - 1) in fitting[k]
            for k in range(windows)
        )
        for columns in range(1, windows + 1)
        if windows % columns == 0
    )
