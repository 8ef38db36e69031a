"""Claims of the survey's part on SwinIR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from hatlib.imaging.convert import to_tensor
from hatlib.models import complexity
from hatlib.models.layers import Residual, conv3x3
from hatlib.models.swinir import ResidualGroup, SwinBlock

from .frame import CORRECTED, FAILS, HOLDS, Numbers, claim, graded
from .sources import (
    DAT_LIGHT,
    SETS,
    count,
    depends_on,
    full_size,
    measured,
    network,
    pair,
    table,
    value,
    values,
)

SWINIR = "Related works: SwinIR"
LIGHT = ("CARN", "IMDN", "LAPAR-A", "LatticeNet")  # SwinIR's paper, table of lightweight networks


@claim(
    "high-resolution",
    SWINIR,
    "“efficiency with long-range dependencies, high-resolution inputs”",
    test="multiply-adds of SwinIR-M for LR of 64×64 and 128×128, and of attention among all "
    "pixels of each instead of windows of 8×8. Holds if SwinIR-M's rise no more than the pixels do",
    found="{ratio:.2f} times for 4 times the pixels; the scores and sums of attention among all "
    "pixels alone would rise {all_ratio:.0f} times, to {all_work:.0f} G, beside {work:.0f} G for "
    "all of SwinIR-M",
    judge=lambda n: graded(n.ratio < 4.05, n.ratio < n.all_ratio),
    shown=["05 What it costs", "06 Next to RCAN: the cost"],
)
def high_resolution() -> Numbers:
    model = full_size("swinir")
    work = [complexity.multiply_adds(model, side, side) for side in (64, 128)]
    layers, channels = sum(model.config.depths), model.config.embed_dim
    every = [layers * 2 * side**4 * channels for side in (64, 128)]
    return {
        "ratio": work[1] / work[0],
        "work": work[1] / 1e9,
        "all_ratio": every[1] / every[0],
        "all_work": every[1] / 1e9,
    }


@claim(
    "shallow-layer",
    SWINIR,
    "shallow features come from “a single 3x3 convolutional layer”, deep features from “a stack” "
    "of RSTBs, each “refined with a 3x3 convolutional layer” with a residual connection around it",
    test="SwinIR-M's modules; holds if that is what there is",
    found="first a {kernel}×{kernel} convolution, 3 to {channels} channels; {groups} groups of "
    "{layers} layers, {ends} of which end in a 3×3 convolution",
    judge=lambda n: graded(n.kernel == 3 and n.groups > 1 and n.ends == n.groups),
    shown=["06 Shallow features", "06 A residual Swin transformer block (RSTB)"],
)
def shallow_layer() -> Numbers:
    model = full_size("swinir")
    groups = [group for group in model.layers if isinstance(group, ResidualGroup)]
    ends = sum(group.conv.kernel_size == (3, 3) for group in groups)
    return {
        "kernel": model.conv_first.kernel_size[0],
        "channels": model.conv_first.out_channels,
        "groups": len(groups),
        "layers": model.config.depths[0],
        "ends": ends,
    }


@claim(
    "low-frequencies",
    SWINIR,
    "shallow features “preserve the low-frequency components”, deep ones “recover "
    "high-frequency details”",
    test="`swinir-nano`'s reconstruction is linear: power of what comes from the shallow and from "
    "the deep features alone (façade 6), each beside the picture's, below and above LR's Nyquist "
    "frequency. Holds if the shallow features' is the larger below and the deep ones' above, with "
    "a correction if only below",
    found="below: shallow {shallow_below:.2f}, deep {deep_below:.2f} times the picture's power; "
    "above: {shallow_above:.2f} and {deep_above:.2f}",
    judge=lambda n: graded(
        n.shallow_below > n.deep_below and n.deep_above > n.shallow_above,
        n.shallow_below > n.deep_below,
    ),
    shown=["06 What do shallow and deep features carry?"],
    remarks={
        HOLDS: "They are no shares of it: what the pixel shuffle adds to the one, the other takes "
        "back. One small network on one picture; SwinIR-M, whose reconstruction is not linear, was "
        "not measured"
    },
)
def low_frequencies() -> Numbers:
    model = network("swinir-nano-x4")
    features: dict[str, torch.Tensor] = {}
    layers = {"shallow": model.conv_first, "deep": model.conv_after_body}
    hooks = [
        layer.register_forward_hook(lambda _, x, y, name=name: features.update({name: y}))
        for name, layer in layers.items()
    ]
    with torch.inference_mode():
        model(to_tensor(pair("facade-6")[0]))
        # the reconstruction is linear but for its bias
        bias = model.reconstruct(torch.zeros_like(features["deep"]))
        parts = {name: model.reconstruct(features[name]) - bias for name in layers}
    for hook in hooks:
        hook.remove()
    whole = _power(parts["shallow"] + parts["deep"])
    return {
        f"{name}_{band}": ratio
        for name, part in parts.items()
        for band, ratio in zip(("below", "above"), _power(part) / whole, strict=True)
    }


def _power(picture: torch.Tensor) -> np.ndarray:
    """Power of (1, 3, H, W) below and above 1/8 cycle a pixel, LR's Nyquist frequency at ×4."""
    image = picture[0].double().numpy()
    # without the fade, the picture's edges would show as a cross in its spectrum
    fade = np.outer(*(np.hanning(side) for side in image.shape[1:]))
    power = (np.abs(np.fft.fft2(image * fade)) ** 2).sum(axis=0)
    fy, fx = np.meshgrid(*(np.fft.fftfreq(side) for side in power.shape), indexing="ij")
    low = np.hypot(fy, fx) < 1 / 8
    return np.array([power[low].sum(), power[~low].sum()])


@claim(
    "windows",
    SWINIR,
    "layers “operate on non-overlapping local windows”; a “shifted window mechanism … allows for "
    "cross-window interaction”",
    test="receptive field of one token (a square of tokens) after two layers with windows of 8, "
    "with the second one shifted and not. Holds if it is one window without the shift, and larger "
    "with it",
    found="{plain}×{plain} without, {shifted}×{shifted} with the shift, {four}×{four} after four "
    "layers",
    judge=lambda n: graded(n.plain == 8 < n.shifted),
    shown=["05 Windows by hand", "05 Shifted windows", "06 A Swin transformer layer (STL)"],
)
def windows() -> Numbers:
    return {
        name: depends_on(_layers(shifts), 12)
        for name, shifts in (("plain", (0, 0)), ("shifted", (0, 4)), ("four", (0, 4, 0, 4)))
    }


def _layers(shifts: Sequence[int]) -> nn.Module:
    """Swin transformer layers with windows of 8."""
    torch.manual_seed(0)
    return nn.Sequential(
        *[SwinBlock(12, 3, 8, shift, mlp_ratio=2, drop_path=0) for shift in shifts]
    )


@claim(
    "residual",
    SWINIR,
    "“residual connections … help stabilize training and gradients”",
    test="32 convolutions with torch's initialisation, in sequence and in residual blocks of two: "
    "norm of the gradient of the first layer's weights over that of the last one's. Holds if it "
    "vanishes in sequence (under 10⁻⁶) and is over 10⁻² with residual connections",
    found="{plain:.0e} in sequence, {residual:.1f} in residual blocks",
    judge=lambda n: graded(n.plain < 1e-6 and n.residual > 1e-2, n.plain < n.residual),
    shown=["04 The residual block"],
)
def residual() -> Numbers:
    torch.manual_seed(0)
    plain = [layer for _ in range(32) for layer in (conv3x3(16, 16), nn.ReLU())]
    blocks = [Residual(conv3x3(16, 16), nn.ReLU(), conv3x3(16, 16)) for _ in range(16)]
    return {
        "plain": _gradient_ratio(nn.Sequential(*plain)),
        "residual": _gradient_ratio(nn.Sequential(*blocks)),
    }


def _gradient_ratio(body: nn.Module) -> float:
    """Norm of the gradient of the first convolution's weights over that of the last one's."""
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        body(torch.rand(4, 16, 24, 24, generator=generator)).square().mean().backward()
    layers = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d)]
    first, last = (float(layer.weight.grad.norm()) for layer in (layers[0], layers[-1]))  # type: ignore[union-attr]
    return first / last


@claim(
    "sub-pixel",
    SWINIR,
    "SwinIR “employs a sub-pixel convolution layer to upscale”",
    test="modules of SwinIR-M ×4; holds if there are pixel shuffles and no transposed convolutions",
    found="{shuffles} pixel shuffles, {transposed} transposed convolutions",
    judge=lambda n: graded(n.shuffles > 0 == n.transposed),
    shown=["04 Upsampling at the end: sub-pixel convolution", "06 Two reconstructions"],
)
def sub_pixel() -> Numbers:
    return {
        "shuffles": count("swinir", nn.PixelShuffle),
        "transposed": count("swinir", nn.ConvTranspose2d),
    }


# --- results --------------------------------------------------------------------------------------


@claim(
    "swinir-higher",
    SWINIR,
    "“higher PSNR and SSIM scores across various scaling factors” than RCAN, HAN and IPT",
    test="SwinIR-M minus RCAN and HAN (all trained on DIV2K), in PSNR and SSIM, and minus IPT "
    "(ImageNet; SwinIR-M: DF2K) in PSNR, at three scales on up to five sets (SwinIR's table). "
    "Holds if all are above zero",
    found="{ahead} of {entries} above zero; below: {lost}",
    judge=lambda n: graded(n.ahead == n.entries, n.ahead > 0.9 * n.entries),
    shown=["06 Next to RCAN: the result", "06 What the survey says about SwinIR"],
    remarks={CORRECTED: "Nearly everywhere"},
)
def swinir_higher() -> Numbers:
    gains = {
        (name, column): values("SwinIR-M", "DIV2K", column) - values(name, "DIV2K", column)
        for name in ("RCAN", "HAN")
        for column in ("psnr", "ssim")
    }
    gains["IPT", "psnr"] = (values("SwinIR-M", "DF2K") - values("IPT")).dropna()
    lost = [
        f"{name} ×{scale} {data} {gain:+.4g} {'dB' if column == 'psnr' else 'SSIM'}"
        for (name, column), differences in gains.items()
        for (scale, data), gain in differences.round(4).items()
        if gain <= 0
    ]
    entries = sum(len(differences.dropna()) for differences in gains.values())
    return {"ahead": entries - len(lost), "entries": entries, "lost": ", ".join(lost) or "none"}


@claim(
    "swinir-gain",
    SWINIR,
    "“PSNR gains up to 0.26 dB over leading methods”",
    test="the largest of SwinIR-M minus HAN, and minus the better one of HAN and NLSA, all "
    "trained on DIV2K (SwinIR's table). Holds if it is 0.26 dB for both",
    found="{over_han:.2f} dB over HAN ({where}), {over_best:.2f} dB over the better one; with "
    "DF2K {df2k:.2f} dB over HAN's DIV2K",
    judge=lambda n: graded(
        max(abs(n.over_han - 0.26), abs(n.over_best - 0.26)) < 0.005, abs(n.over_han - 0.26) < 0.005
    ),
    shown=["06 What the survey says about SwinIR"],
    remarks={
        CORRECTED: "One entry of the table, against one network, with the smaller training set"
    },
)
def swinir_gain() -> Numbers:
    ours, han, nlsa = (values(name, "DIV2K") for name in ("SwinIR-M", "HAN", "NLSA"))
    gains = ours - han
    scale, data = gains.idxmax()
    best = ours - pd.concat([han, nlsa], axis=1).max(axis=1)
    return {
        "over_han": gains.max(),
        "where": f"{data} ×{scale}",
        "over_best": best.max(),
        "df2k": (values("SwinIR-M", "DF2K") - han).max(),
    }


@claim(
    "swinir-parameters",
    SWINIR,
    "“efficient use of parameters”",
    test="parameters of SwinIR-M and RCAN, counted, and their reported PSNR (DIV2K, ×4, five "
    "sets). Holds if SwinIR-M has fewer and is ahead on all",
    found="{swinir:.1f} M against {rcan:.1f} M; {least:+.2f} to {most:+.2f} dB",
    judge=lambda n: graded(n.swinir < n.rcan and n.least > 0, n.swinir < n.rcan),
    shown=["06 How many parameters? Two answers", "06 Next to RCAN: the cost"],
)
def swinir_parameters() -> Numbers:
    gains = values("SwinIR-M", "DIV2K", scale=4) - values("RCAN", "DIV2K", scale=4)
    assert len(gains) == len(SETS)
    sizes = {name: complexity.parameters(full_size(name)) / 1e6 for name in ("swinir", "rcan")}
    return sizes | {"least": gains.min(), "most": gains.max()}


@claim(
    "swinir-faster",
    SWINIR,
    "“faster inference times”",
    test="SwinIR-M against RCAN, taking turns in one run on a CPU, LR 64×64, medians "
    "(`experiments.cost`), beside the authors' own measurement. Holds if SwinIR-M is faster",
    found="{ratio:.2f} times RCAN's time for {work:.2f} times its multiply-adds ({rounds} "
    "rounds); the authors: 0.539 s against 0.180 s on a GPU (README of SwinIR's repository)",
    judge=lambda n: graded(n.ratio < 0.95, n.ratio < 1.05),
    shown=["06 Next to RCAN: the cost"],
    remarks={FAILS: "Fewer operations, and more time"},
)
def swinir_faster() -> Numbers:
    costs = table("cost").set_index("network")
    ratio = (
        costs.loc["swinir"][["seconds", "multiply_adds"]]
        / costs.loc["rcan"][["seconds", "multiply_adds"]]
    )
    return {
        "ratio": ratio["seconds"],
        "work": ratio["multiply_adds"],
        "rounds": int(costs["rounds"].iloc[0]),
    }


@claim(
    "swinir-light",
    SWINIR,
    "against “leading lightweight image SR methods … a PSNR improvement of up to 0.53”",
    test="SwinIR-S minus CARN, IMDN, LAPAR-A and LatticeNet, and minus the best of them, in each "
    "entry of SwinIR's table of lightweight networks. Holds if the largest gain over the best is "
    "0.53 dB",
    found="up to {over_best:.2f} dB over the best of them, {over_any:.2f} dB over any; ahead of "
    "the best in {ahead} of {entries} entries. DAT-light, a transformer of 2023: {dat_least:+.2f} "
    "to {dat_most:+.2f} dB over the best of them at ×4, with DF2K instead of DIV2K{measured}",
    judge=lambda n: graded(abs(n.over_best - 0.53) < 0.005, n.ahead > 0.9 * n.entries),
    shown=["06 How many parameters? Two answers"],
    remarks={CORRECTED: "Better, as it says; the 0.53 dB are neither of the two"},
)
def swinir_light() -> Numbers:
    ours = values("SwinIR-S", "DIV2K")
    others = pd.concat([values(name) for name in LIGHT], axis=1)
    over_best = ours - others.max(axis=1)
    dat = (values("DAT-light", scale=4) - others.max(axis=1)).dropna()
    here = measured(DAT_LIGHT, "Urban100")
    return {
        "dat_least": dat.min(),
        "dat_most": dat.max(),
        "measured": ""
        if here is None
        else f"; its value on Urban100 measured here: {here:.2f} dB, "
        f"reported {value('DAT-light', 'Urban100'):.2f}",
        "over_best": over_best.max(),
        "over_any": (ours - others.min(axis=1)).max(),
        "ahead": int((over_best > 0).sum()),
        "entries": len(over_best),
    }


@claim(
    "swinir-limits",
    SWINIR,
    "“limitations, particularly in … very high-resolution images or real-time applications”",
    test="seconds of SwinIR-M for LR 64×64, a result of 256×256, on a CPU (`experiments.cost`; no "
    "GPU was available). Holds there if it is over a 24th of a second",
    found="{seconds:.1f} s in the best of {rounds} rounds (threads: {threads}), {frames:.0f} "
    "times too long for 24 pictures a second",
    judge=lambda n: graded(n.seconds > 1 / 24),
    shown=["06 Next to RCAN: the cost"],
)
def swinir_limits() -> Numbers:
    row = table("cost").set_index("network").loc["swinir"]
    return {
        "seconds": row["least"],
        "frames": 24 * row["least"],
        "rounds": row["rounds"],
        "threads": row["threads"],
    }
