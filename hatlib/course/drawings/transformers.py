"""Drawings of SwinIR, HAT, DAT and DRCT, from the layers to the networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hatlib.course.drawings.convolutional import channel_attention_in, numbered, reconstruction
from hatlib.course.drawings.sketch import (
    TAP,
    Box,
    Part,
    Sketch,
    attention,
    conv,
    figure,
    group,
    linear,
    sign,
    signal,
    weight,
)
from hatlib.models import dat as dat_module
from hatlib.models import drct as drct_module
from hatlib.models import hat as hat_module
from hatlib.models import swinir as swinir_module
from hatlib.models.dat import DATConfig
from hatlib.models.drct import BLOCKS, DRCTConfig
from hatlib.models.hat import HATConfig
from hatlib.models.swinir import FEATURES, SwinIRConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# --- layers ---------------------------------------------------------------------------------------


def swin_layer(config: SwinIRConfig = swinir_module.PRESETS["swinir"]) -> Figure:
    """Swin transformer layer (SwinIR, arXiv 2108.10257, §3.2): attention in windows, then an MLP.
    Shown in notebook 06."""
    return figure(_swin_layer(config))


def _swin_layer(config: SwinIRConfig) -> Sketch:
    c = config
    sketch = Sketch("Swin transformer layer (STL): attention in windows, then an MLP")
    x, _, _, plus, _, _, again, _ = sketch.row(
        signal("x"),
        f"{TAP}h×w×{c.embed_dim}",
        linear("norm"),
        attention(_window_text(c)),
        sign("+"),
        TAP,
        linear("norm"),
        linear(_mlp_text(c)),
        sign("+"),
        f"h×w×{c.embed_dim}",
        signal("y"),
    )
    sketch.skip(x, plus, 0.55)
    sketch.skip(plus, again, 0.55)
    return sketch


def _window_text(config: SwinIRConfig) -> str:
    """Window attention with its sizes."""
    w = config.window_size
    shift = f"shifted by {w // 2}\nin every second layer" if config.shifted else "never\nshifted"
    return f"attention in {w}×{w} windows,\n{config.num_heads} heads, {shift}"


def _mlp_text(config: SwinIRConfig) -> str:
    """The MLP with its sizes."""
    c = config.embed_dim
    return f"MLP, GELU\n{c} → {round(c * config.mlp_ratio)} → {c}"


def cab(config: HATConfig = hat_module.PRESETS["hat"]) -> Figure:
    """HAT's channel attention block (arXiv 2205.04437, §3.2), and the channel attention in it.
    Shown in notebook 08."""
    c = config.embed_dim
    return figure(_cab(config), channel_attention_in(c, c // config.squeeze_factor))


def _cab(config: HATConfig) -> Sketch:
    c = config.embed_dim
    few = c // config.compress_ratio
    squeezed = c // config.squeeze_factor
    sketch = Sketch(
        f"CAB: two convolutions with {few} channels between them, then channel attention"
    )
    sketch.row(
        signal("x"),
        f"{c}×h×w",
        conv(f"3×3 conv\n{c} → {few}"),
        f"{few}×h×w",
        linear("GELU"),
        conv(f"3×3 conv\n{few} → {c}"),
        f"{c}×h×w",
        weight(f"channel attention\n{c} → {squeezed} → {c}"),
        f"{c}×h×w",
        signal("y"),
    )
    return sketch


def hab(config: HATConfig = hat_module.PRESETS["hat"]) -> Figure:
    """HAT's hybrid attention block (arXiv 2205.04437, §3.2): a Swin layer with a CAB beside its
    attention. Shown in notebook 08."""
    return figure(_hab(config))


def _hab(config: HATConfig) -> Sketch:
    c = config
    shape = f"h×w×{c.embed_dim}"
    sketch = Sketch("HAB: a Swin layer with a CAB beside its attention")
    x, norm = sketch.row(signal("x"), f"{TAP}{shape}", linear("norm"))
    left = norm.right + 0.45
    window = _beside(sketch, attention(_window_text(c)), left, 0.5)
    block = _beside(sketch, weight(f"CAB\n{c.embed_dim} → {c.embed_dim // c.compress_ratio}"
                                   f" → {c.embed_dim}"), left, -0.55)  # fmt: skip
    sketch.branch(norm, window)
    sketch.branch(norm, block)
    alpha = sketch.box(weight(f"× α = {c.conv_scale:g}"), block.right + 0.7, block.y)
    sketch.arrow(block, alpha)
    right = max(window.right, alpha.right) + 0.3
    both, plus, _, _, again, _ = sketch.row(
        sign("+"),
        sign("+"),
        TAP,
        linear("norm"),
        linear(_mlp_text(c)),
        sign("+"),
        shape,
        signal("y"),
        x=right,
    )
    sketch.join(window, both)
    sketch.join(alpha, both)
    sketch.skip(x, plus, window.top + 0.14)
    sketch.skip(plus, again, 0.5)
    return sketch


def _beside(sketch: Sketch, part: Part, left: float, y: float) -> Box:
    """A part whose left end is given."""
    (box,) = sketch.row(part, x=left, y=y)
    return box


def dat_blocks(config: DATConfig = dat_module.PRESETS["dat-light"]) -> Figure:
    """The two blocks of DAT and the feed-forward network at the end of both (arXiv 2308.03364,
    §3.2). Shown in notebook 08."""
    short, long = config.split_size
    windows = f"attention in windows\nof {short}×{long} and of {long}×{short}"
    of_head = config.embed_dim // config.num_heads
    channels = f"attention among the\n{of_head} channels of a head"
    per_channel = f"weight of each\nchannel, 1×1×{config.embed_dim}"
    per_pixel = "weight of each\npixel, h×w×1"
    return figure(
        _dat_block("Spatial block", config, windows, per_channel, per_pixel),
        _dat_block("Channel block", config, channels, per_pixel, per_channel),
        _sgfn(config),
    )


def _dat_block(
    title: str, config: DATConfig, attend: str, weighs_attention: str, weighs_convolution: str
) -> Sketch:
    """A block; the two kinds differ in their attention, and in which branch gives which weights."""
    c = config.embed_dim
    sketch = Sketch(title)
    x, _, qkv = sketch.row(
        signal("x"), f"{TAP}h×w×{c}", linear("norm"), linear(f"q, k, v\n{c} → 3·{c}")
    )
    attending = _beside(sketch, attention(attend), qkv.right + 0.36, 0.72)
    convolving = _beside(sketch, conv("3×3 depthwise conv"), qkv.right + 0.5, -0.72)
    sketch.branch(qkv, attending)
    sketch.branch(qkv, convolving, "v")
    left = max(attending.right, convolving.right) + 0.45
    for_attention = _beside(sketch, weight(weighs_attention), left, 0.24)
    for_convolution = _beside(sketch, weight(weighs_convolution), left, -0.24)
    # AIM: each branch weighs the other
    sketch.branch(convolving, for_attention, at=left - 0.3)
    sketch.branch(attending, for_convolution, at=left - 0.15)
    right = max(for_attention.right, for_convolution.right) + 0.3
    above = sketch.box(sign("×"), right, 0.72)
    below = sketch.box(sign("×"), right, -0.72)
    sketch.arrow(attending, above)
    sketch.arrow(convolving, below)
    sketch.join(for_attention, above)
    sketch.join(for_convolution, below)
    both, _, plus, _, again, _ = sketch.row(
        sign("+"),
        linear(f"linear\n{c} → {c}"),
        sign("+"),
        TAP,
        linear("norm,\nSGFN"),
        sign("+"),
        signal("y"),
        x=right + 0.2,
        gap=0.2,
    )
    sketch.join(above, both)
    sketch.join(below, both)
    sketch.skip(x, plus, 1.08)
    sketch.skip(plus, again, 0.42)
    return sketch


def _sgfn(config: DATConfig) -> Sketch:
    """The feed-forward network; half of its hidden channels weigh the other half."""
    c = config.embed_dim
    hidden = int(config.expansion_factor * c)
    half = hidden // 2
    sketch = Sketch("SGFN, the end of both: half of the hidden channels weigh the other half")
    up = sketch.row(signal("x"), f"h×w×{c}", linear(f"linear, GELU\n{c} → {hidden}"))[1]
    norm, convolving = sketch.row(
        linear("norm"), conv("3×3 depthwise conv"), x=up.right + 1.15, y=-0.55
    )
    sketch.branch(up, norm, f"the other half: {half}", at=up.right + 0.1)
    times = sketch.row(
        sign("×"),
        f"h×w×{half}",
        linear(f"linear\n{half} → {c}"),
        f"h×w×{c}",
        signal("y"),
        x=convolving.right + 0.2,
    )[0]
    sketch.arrow(up, times, f"one half: {half}")
    sketch.join(convolving, times)
    return sketch


# --- groups ---------------------------------------------------------------------------------------


def rstb(config: SwinIRConfig = swinir_module.PRESETS["swinir"]) -> Figure:
    """Residual Swin transformer block (SwinIR, arXiv 2108.10257, §3.2), and the layer in it. Shown
    in notebook 06."""
    return figure(_rstb(config), _swin_layer(config))


def _rstb(config: SwinIRConfig) -> Sketch:
    title = f"RSTB: {_count(config.depths)} Swin layers, a convolution and a skip connection"
    return _group(title, config.embed_dim, numbered("STL", config.depths[0]))


def rhag(config: HATConfig = hat_module.PRESETS["hat"]) -> Figure:
    """HAT's residual hybrid attention group (arXiv 2205.04437, §3.2), and the block in it. Shown in
    notebook 08."""
    return figure(_rhag(config), _hab(config) if config.cab else _swin_layer(config))


def _rhag(config: HATConfig) -> Sketch:
    name = "HAB" if config.cab else "STL"
    blocks = numbered(name, config.depths[0])
    between = "a convolution"
    if config.ocab:
        blocks.append(group("OCAB"))
        between = "an OCAB, a convolution"
    title = f"RHAG: {_count(config.depths)} {name}s, {between} and a skip connection"
    return _group(title, config.embed_dim, blocks)


def _group(title: str, channels: int, blocks: list[Part]) -> Sketch:
    """Blocks in a row, a convolution, and the residual sum."""
    sketch = Sketch(title)
    shape = f"h×w×{channels}"
    x, *_, plus, _ = sketch.row(
        signal("x"),
        TAP + shape,
        *blocks,
        conv(f"3×3 conv\n{channels} → {channels}"),
        sign("+"),
        shape,
        signal("y"),
    )
    sketch.skip(x, plus, 0.42)
    return sketch


def _count(depths: Sequence[int]) -> str:
    """How many blocks a group has: one number, or the smallest and the largest."""
    numbers = sorted(set(depths))
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


# --- networks -------------------------------------------------------------------------------------


def swinir(config: SwinIRConfig = swinir_module.PRESETS["swinir"], scale: int = 4) -> Figure:
    """SwinIR (arXiv 2108.10257, §3.1), and its group and layer. Shown in notebook 06."""
    return figure(
        _network("SwinIR", "RSTB", config, scale), _rstb(config), _swin_layer(config),
        _reconstruction(config, scale),
    )  # fmt: skip


def hat(config: HATConfig = hat_module.PRESETS["hat"], scale: int = 4) -> Figure:
    """HAT (arXiv 2205.04437, §3.1), and its group and block. Shown in notebook 08."""
    block = _hab(config) if config.cab else _swin_layer(config)
    return figure(
        _network("HAT", "RHAG", config, scale), _rhag(config), block,
        _reconstruction(config, scale),
    )  # fmt: skip


def drct(config: DRCTConfig = drct_module.PRESETS["drct"], scale: int = 4) -> Figure:
    """DRCT (arXiv 2404.00722, §3), and its dense group."""
    return figure(
        _network("DRCT", "RDG", config, scale), _dense_group(config),
        _reconstruction(config, scale),
    )  # fmt: skip


def dat(config: DATConfig = dat_module.PRESETS["dat-light"], scale: int = 4) -> Figure:
    """DAT (arXiv 2308.03364, §3.1), and its group. Shown in notebook 08."""
    blocks = numbered("DATB", config.depths[0])
    title = f"RG: {_count(config.depths)} DAT blocks, spatial and channel in turns"
    return figure(
        _network("DAT", "RG", config, scale), _group(title, config.embed_dim, blocks),
        _reconstruction(config, scale),
    )  # fmt: skip


def _network(name: str, of_groups: str, config: SwinIRConfig | DATConfig, scale: int) -> Sketch:
    """The frame of all four (SwinIR §3.1): shallow features, groups, a long skip connection,
    reconstruction."""
    c = config.embed_dim
    groups = len(config.depths)
    sketch = Sketch(
        f"{name} ×{scale}: {groups} {of_groups}{'s' * (groups > 1)} and a long skip connection"
    )
    _, first, *_, plus, _, _ = sketch.row(
        signal("LR"),
        "3×h×w",
        conv(f"3×3 conv\n3 → {c}"),
        TAP,
        linear("norm"),
        *numbered(of_groups, groups, most=2),
        linear("norm"),
        conv(f"3×3 conv\n{c} → {c}"),
        sign("+"),
        f"{c}×h×w",
        group("recon-\nstruction"),
        f"3×{scale}h×{scale}w",
        signal("SR"),
        gap=0.26,
    )
    sketch.skip(first, plus, 0.45, f"shallow features, {c}×h×w")
    return sketch


def _reconstruction(config: SwinIRConfig | DATConfig, scale: int) -> Sketch:
    direct = config.upsampler == "pixelshuffledirect"
    return reconstruction(config.upsampler, scale, config.embed_dim, 0 if direct else FEATURES)


def _dense_group(config: DRCTConfig) -> Sketch:
    """Each block's input is the group's input and all outputs before."""
    c = config.embed_dim
    sketch = Sketch(f"RDG: {BLOCKS} Swin layers; each sees the input and all that came before")
    items: list[Part | str] = [signal("x"), f"{TAP}h×w×{c}"]
    for k in range(BLOCKS):
        out = c if k == BLOCKS - 1 else config.growth
        items += [group(f"STL {k + 1}, 1×1 conv\n{c + k * config.growth} → {out}")]
    x, *layers, plus, _ = sketch.row(*items, weight("× 0.2"), sign("+"), "", signal("y"), gap=0.3)
    for k in range(BLOCKS - 1):
        # what is concatenated reaches every later layer
        y = -0.36 - 0.11 * k
        start = (x, *layers)[k]
        sketch.dot(start.right + 0.13, 0)
        for later in layers[k + 1 : BLOCKS]:
            sketch.line(
                (start.right + 0.13, 0), (start.right + 0.13, y),
                (later.x - 0.2 + 0.1 * k, y), (later.x - 0.2 + 0.1 * k, later.bottom),
            )  # fmt: skip
    sketch.skip(x, plus, 0.42)
    return sketch
