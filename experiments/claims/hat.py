"""Claims of the survey's part on HAT: why it is there, attribution maps, and how a block is
implemented."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments import lam_study
from hatlib import attribution
from hatlib.course.exercises.hab import hab_findings
from hatlib.data import builtin
from hatlib.imaging.convert import to_tensor
from hatlib.imaging.resize import imresize
from hatlib.models import complexity, create
from hatlib.models.hat import HAB, OCAB, PRESETS, HATConfig
from hatlib.models.layers import ChannelAttention, conv3x3
from hatlib.models.window_attention import OverlappingAttention, WindowAttention

from .frame import CORRECTED, FAILS, HOLDS, Numbers, claim, graded
from .listing import cell_with, defined
from .sources import (
    DAT_LIGHT,
    NO_DAT_LIGHT,
    count,
    depends_on,
    full_size,
    interval,
    network,
    pair,
    windows_of,
    within,
)

HAT_WHY = "HAT"
LAM = "HAT: visualizing pixel activation using LAM"
BLOCK = "HAT: implementation of the HAB"
# top, left, side in SR pixels, on façade 6 (rows 96 to 352, columns 200 to 456)
WINDOW = (120, 136, 16)
TRAINED = ": the index belongs to a trained network, not to a kind of layer"
# HAT's windows, few channels
SMALL = HATConfig(embed_dim=12, num_heads=3, compress_ratio=3, squeeze_factor=3)


# --- why HAT --------------------------------------------------------------------------------------


@claim(
    "swinir-activates",
    HAT_WHY,
    "by LAM, “SwinIR activates the same if not less pixels compared to CNN-based "
    "networks like RCAN”",
    test="diffusion index (DI) of the nano networks in one window of each picture of Urban100 "
    "(`experiments.lam_study`): SwinIR's minus RCAN's. Holds if the 95 % confidence interval of "
    "the mean is not above zero",
    found="mean DI {swinir:.2f} (SwinIR) and {rcan:.2f} (RCAN); difference {mean:+.2f}, "
    "{low:+.2f} to {high:+.2f}, in {windows} windows. {later}",
    judge=lambda n: graded(n.low <= 0),
    shown=["07 A hundred windows instead of one"],
    remarks={HOLDS: "True at nano size"},
)
def swinir_activates() -> Numbers:
    di = windows_of("di")
    swinir, rcan = (di[f"{short}-nano-x4"] for short in ("swinir", "rcan"))
    dat = windows_of("di", DAT_LIGHT)[DAT_LIGHT]
    later = NO_DAT_LIGHT
    if len(dat):
        later = (
            f"DAT-light, a later window transformer with released weights, has {dat.mean():.2f} "
            f"in {len(dat)} windows{TRAINED if dat.mean() > rcan.mean() else ''}"
        )
    return {
        "swinir": swinir.mean(),
        "rcan": rcan.mean(),
        "windows": len(rcan),
        **interval(swinir - rcan),
        "later": later,
    }


@claim(
    "blocking",
    HAT_WHY,
    "SwinIR's “shift window mechanism causes blocking artifacts”",
    test="`swinir-nano`, six built-in pictures, eight crops of each a pixel apart, so that all "
    "pixel pairs lie once at each place of a window: step across the window border over the step "
    "inside, in what the first attention gives, in the features after the last layer and in the "
    "picture. Holds if it is over 1.02 in the picture, with a correction if in one of the others",
    found="{attention:.2f} in the attention, {features:.3f} in the features, {picture:.3f} in the "
    "picture. (Where the windows lie moves the picture by {moved:.2f} grey levels on average, "
    "{largest:.1f} at most; RCAN's, without windows, by {control:.2f}. That is no border's step)",
    judge=lambda n: graded(n.picture > 1.02, max(n.attention, n.features) > 1.02),
    shown=["06 Do the windows show?"],
    remarks={
        CORRECTED: "Inside the network, as HAT's paper has it; and before any shift, so the "
        "windows are the cause and not their shifting. The SwinIR of the paper was not measured"
    },
)
def blocking() -> Numbers:
    model, rcan = network("swinir-nano-x4"), network("rcan-nano-x4")
    features: dict[str, torch.Tensor] = {}
    steps: dict[str, list[np.ndarray]] = {"attention": [], "features": [], "picture": []}
    moved: dict[str, list[np.ndarray]] = {"swinir": [], "rcan": []}
    first, last = (model.layers[k].residual_group.blocks for k in (0, -1))
    layers = {"attention": first[0].attn, "features": last[-1]}
    hooks = [
        layer.register_forward_hook(lambda _, x, y, name=name: features.update({name: y}))
        for name, layer in layers.items()
    ]
    for name in ("facade-1", "facade-7", "cat", "coffee", "astronaut", "tissue"):
        lr = pair(name)[0]
        crops = torch.cat([to_tensor(lr[k : k + 64, k : k + 64]) for k in range(8)])
        with torch.inference_mode():
            sr = model(crops)
            moved["rcan"].append(_moved(rcan(crops)))
        moved["swinir"].append(_moved(sr))
        # one SR pixel per LR pixel: (8, 3, 256, 256) → (8, 64, 64, 3)
        features["picture"] = F.avg_pool2d(sr, 4).permute(0, 2, 3, 1)
        for what, values in features.items():
            steps[what].append(_steps(values.numpy()))
    for hook in hooks:
        hook.remove()
    numbers: dict[str, Any] = {}
    # step 7 crosses the border of a window, step 3 that of a shifted one
    for what, border in (("attention", 7), ("features", 3), ("picture", 7)):
        ratios = [sums[border] / sums[[0, 1, 2, 4, 5, 6]].mean() for sums in steps[what]]
        numbers[what] = float(np.mean(ratios))
    return numbers | {
        "moved": float(np.mean(moved["swinir"])),
        "largest": float(np.max(moved["swinir"])),
        "control": float(np.mean(moved["rcan"])),
    }


def _moved(results: torch.Tensor) -> np.ndarray:
    """How far the results of eight crops, each a pixel further down and right, are from their mean
    where all have the same pixels: (8, 3, 256, 256) → grey levels (8, 128, 128)."""
    gray = 255 * results.clamp(0, 1).mean(dim=1).numpy()
    places = [slice(4 * (16 - k), 4 * (48 - k)) for k in range(8)]
    common = np.stack([gray[k, place, place] for k, place in enumerate(places)])
    return np.abs(common - common.mean(axis=0))


def _steps(features: np.ndarray, first: int = 16, last: int = 48) -> np.ndarray:
    """Sum of the steps from pixels to their right neighbours by place in the window: (8,).

    features: (8, H, W, C) of eight crops, each a pixel further down and right; the same pixels
    count in all.
    """
    steps = np.abs(np.diff(features, axis=2)).sum(axis=3)  # (8, H, W − 1)
    sums = np.zeros(8)
    for k in range(8):
        columns = steps[k, first - k : last - k, first - k : last - k].sum(axis=0)
        np.add.at(sums, np.arange(first - k, last - k) % 8, columns)
    return sums


@claim(
    "three-attentions",
    HAT_WHY,
    "HAT “incorporates self-attention, channel attention, and overlapping cross-attention”",
    test="modules of HAT; holds if each of the three is in every group",
    found="{windows} window attentions, {channels} channel attentions, {overlapping} overlapping "
    "attentions in {groups} groups",
    judge=lambda n: graded(min(n.windows, n.channels, n.overlapping) >= n.groups > 0),
    shown=["08 The plan of HAT", "08 RHAG and HAT"],
)
def three_attentions() -> Numbers:
    kinds = {
        "windows": WindowAttention,
        "channels": ChannelAttention,
        "overlapping": OverlappingAttention,
    }
    return {name: count("hat", kind) for name, kind in kinds.items()} | {
        "groups": len(full_size("hat").layers)
    }


@claim(
    "cross-window",
    HAT_WHY,
    "HAT “improves the ability of sliding window transformers to perform cross-window "
    "information interaction”",
    test="receptive field of one token (a square of tokens) after one attention: SwinIR's, HAT's, "
    "and HAT's overlapping one. Holds if the last one is larger than its window",
    found="{swinir}×{swinir}, {hat}×{hat} and {ocab}×{ocab}",
    judge=lambda n: graded(n.ocab > n.hat),
    shown=["08 OCAB: keys from windows that overlap"],
)
def cross_window() -> Numbers:
    torch.manual_seed(0)
    sizes = {"swinir": PRESETS["hat-nano"].window_size, "hat": SMALL.window_size}
    sides = {
        name: depends_on(WindowAttention(12, 3, window, 0), 12) for name, window in sizes.items()
    }
    return sides | {"ocab": depends_on(OCAB(SMALL), 12)}


# --- attribution maps -----------------------------------------------------------------------------


@claim(
    "lam-sum",
    LAM,
    "LAM is the sum over k = 1 … m of the gradient times “γ(k/m) − γ((k+1)/m)”",
    test="`swinir-nano`, a window on a façade, m = 10: the sum as printed (without k = m, which "
    "needs a point past the path's end) and with γ(k/m) − γ((k−1)/m), against the change of "
    "detail that it has to add up to. Holds if the printed one is within a quarter",
    found="printed {printed:+.1f}, fixed {fixed:+.1f}, to add up to {change:+.1f}",
    judge=lambda n: graded(
        abs(n.printed / n.change - 1) < 0.25,
        abs(n.printed / n.change + 1) < 0.25 and abs(n.fixed / n.change - 1) < 0.25,
    ),
    shown=["07 The sum, as printed and as it works"],
    remarks={
        CORRECTED: "The other sign, and an index that ends at m. The LAM paper prints it so, too"
    },
)
def lam_sum() -> Numbers:
    model, steps = network("swinir-nano-x4"), 10
    lr = imresize(builtin.builtin_image("facade-6")[96:352, 200:456], 1 / 4)
    path = attribution.blur_path(to_tensor(lr), np.arange(steps + 1) / steps)  # γ(0) … γ(1)
    points = path[1:-1].float().requires_grad_()  # γ(1/m) … γ((m − 1)/m)
    with torch.enable_grad():
        detail = attribution.gradient_magnitude(model(points), WINDOW).sum()
        (slopes,) = torch.autograd.grad(detail, points)
    fixed, change = attribution.lam(model, lr, WINDOW, steps, rule="right").completeness
    printed = float((slopes.double() * (path[1:-1] - path[2:])).sum())
    return {"printed": printed, "fixed": fixed, "change": change}


@claim(
    "di-range",
    LAM,
    "the Diffusion Index “measures the range of pixels involved”",
    test="DI of a map, and of the same map with zeros around it, as in a larger image. Holds if "
    "it stays the same",
    found="{alone:.2f}, and {padded:.2f} in an image of four times the area",
    judge=lambda n: graded(
        abs(n.padded / n.alone - 1) < 0.05, abs(4 * n.padded / n.alone - 1) < 0.05
    ),
    shown=[
        "07 One number: the diffusion index",
        "07 What the index depends on, besides the network",
    ],
    remarks={
        CORRECTED: "It measures how even a map is, as a share of the image: comparable at one "
        "size only"
    },
)
def di_range() -> Numbers:
    noise = np.random.default_rng(0).random((32, 32))
    return {
        "alone": attribution.diffusion_index(noise),
        "padded": attribution.diffusion_index(np.pad(noise, 16)),
    }


NOT_HAT = "HAT itself was not measured, as its released weights were unavailable"


@claim(
    "hat-activates",
    LAM,
    "“HAT … activates significantly more pixels than previous models”",
    test="diffusion index of the course's networks in the same windows, HAT's minus the others': "
    "light networks with HAT's windows of 16 and SwinIR's of 8, and nano networks, which all have "
    "windows of 8 or none. Holds if all 95 % confidence intervals of the mean are above zero, with "
    "a correction if some are",
    found="difference to SwinIR, light {over_light:+.2f} ({light_low:+.2f} to {light_high:+.2f}), "
    "nano {over_swinir:+.2f} ({swinir_low:+.2f} to {swinir_high:+.2f}); to RCAN, nano "
    "{over_rcan:+.2f} ({rcan_low:+.2f} to {rcan_high:+.2f}), in {windows} windows. {later}",
    judge=lambda n: graded(
        min(n.light_low, n.swinir_low, n.rcan_low) > 0,
        max(n.light_low, n.swinir_low, n.rcan_low) > 0,
    ),
    shown=["07 A hundred windows instead of one", "07 Windows of 16"],
    remarks={
        HOLDS: f"At these sizes. {NOT_HAT}",
        CORRECTED: "Against some and not against all; RCAN's index counts a faint floor over the "
        f"whole image. {NOT_HAT}",
        FAILS: f"At these sizes. {NOT_HAT}",
    },
)
def hat_activates() -> Numbers:
    di, numbers = windows_of("di", *lam_study.NANO, *lam_study.LIGHT), dict[str, Any]()
    for which, ours, other in (
        ("swinir", "hat-nano-x4", "swinir-nano-x4"),
        ("rcan", "hat-nano-x4", "rcan-nano-x4"),
        ("light", "hat-light-x4", "swinir-light-course-x4"),
    ):
        difference = interval(di[ours] - di[other])
        numbers |= {
            f"over_{which}": difference["mean"],
            f"{which}_low": difference["low"],
            f"{which}_high": difference["high"],
        }
    both = windows_of("di", DAT_LIGHT, "hat-nano-x4")
    later = NO_DAT_LIGHT
    if len(both[DAT_LIGHT]):
        over = interval(both[DAT_LIGHT] - both["hat-nano-x4"])
        later = (
            "DAT-light, a successor of HAT with released weights, minus HAT nano: "
            f"{over['mean']:+.2f} ({over['low']:+.2f} to {over['high']:+.2f})"
        )
    return numbers | {"windows": len(di["hat-nano-x4"]), "later": later}


@claim(
    "structure",
    LAM,
    "“a convolution layer to extract shallow features”, “a series of” RHAGs, “another convolution "
    "layer”, “a global residual connection”",
    test="HAT with all groups and the convolution after them set to zero has to give what shallow "
    "features alone give. Holds if it does, to 1e-6, and there is more than one group",
    found="{groups} groups; equal to {error:.0e}",
    judge=lambda n: graded(n.groups > 1 and n.error <= 1e-6),
    shown=["08 The plan of HAT", "08 RHAG and HAT"],
)
def structure() -> Numbers:
    model, lr = network("hat-nano-x4"), to_tensor(pair("cat")[0][:32, :32].copy())
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        model.conv_first.register_forward_hook(
            lambda _, x, y: seen.update(centred=x[0], shallow=y)
        ),
        model.conv_after_body.register_forward_hook(lambda _, x, y: torch.zeros_like(y)),
    ]
    with torch.inference_mode():
        sr = model(lr)
        mean = (lr - seen["centred"])[:, :, :1, :1]  # (1, 3, 1, 1): what is added back at the end
        shallow = model.reconstruct(seen["shallow"]) + mean
    for hook in hooks:
        hook.remove()
    return {"groups": len(model.layers), "error": within(float((sr - shallow).abs().max()))}


@claim(
    "transposed",
    LAM,
    "“at the end, transpose convolution layers are used to reconstruct the image”",
    test="modules of HAT ×4, and a 3×3 convolution with pixel shuffle against one transposed "
    "convolution of 12×12 with the same weights. Holds if there are transposed convolutions, with "
    "a correction if the two are equal to 1e-5",
    found="{transposed} transposed convolutions, {shuffles} pixel shuffles; as functions the two "
    "are equal to {error:.0e}",
    judge=lambda n: graded(n.transposed > 0, n.shuffles > 0 and n.error < 1e-5),
    shown=["04 It is a transposed convolution"],
    remarks={
        CORRECTED: "The layers are convolution and pixel shuffle; a transposed convolution can "
        "equal them"
    },
)
def transposed() -> Numbers:
    torch.manual_seed(0)
    layer, scale = conv3x3(16, 3 * 16).double(), 4
    weight, features = layer.weight.detach(), torch.rand(1, 16, 10, 12, dtype=torch.double)
    # (C, i, j, channels in, 2 − a, 2 − b)
    parts = weight.reshape(3, scale, scale, 16, 3, 3).flip(4, 5)
    kernel = parts.permute(3, 0, 4, 1, 5, 2).reshape(16, 3, 3 * scale, 3 * scale)
    one = F.pixel_shuffle(F.conv2d(features, weight, padding=1), scale)
    other = F.conv_transpose2d(features, kernel, stride=scale, padding=scale)
    return {
        "transposed": count("hat", nn.ConvTranspose2d),
        "shuffles": count("hat", nn.PixelShuffle),
        "error": within(float((one - other).abs().max())),
    }


# --- the block ------------------------------------------------------------------------------------


@claim(
    "listing",
    BLOCK,
    "“HAB can be implemented in Pytorch as below”",
    test="ten checks of the listing, each for one mistake; holds if it passes all",
    found="it fails {failed} of {checks}",
    judge=lambda n: graded(n.failed == 0),
    shown=["08 Find ten bugs", "08 What silent mistakes cost"],
)
def listing() -> Numbers:
    findings = hab_findings(defined(cell_with("SurveyHAB"), "SurveyHAB"))
    return {"failed": sum(bool(mistake) for mistake in findings.values()), "checks": len(findings)}


@claim(
    "then",
    BLOCK,
    "window attention “and then … a channel attention block”",
    test="what the two are given in a HAB; holds if the CAB is given what attention made, with a "
    "correction if both are given the same normed map",
    found="the CAB is given {given}",
    judge=lambda n: graded(
        n.given == "what attention made", n.given == "the map that attention is given"
    ),
    shown=["08 HAB by hand"],
    remarks={CORRECTED: "Side by side, and added"},
)
def then() -> Numbers:
    torch.manual_seed(0)
    block = HAB(SMALL, shift=0, drop_path=0.0)
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, layer in (("attention", block.attn), ("cab", block.conv_block)):
        layer.register_forward_hook(lambda _, x, y, name=name: seen.update({name: (x[0], y)}))
    with torch.inference_mode():
        block(torch.rand(1, 32, 32, 12))
    same = {
        "the map that attention is given": seen["attention"][0],
        "what attention made": seen["attention"][1],
    }
    equal = [name for name, x in same.items() if torch.equal(x, seen["cab"][0])]
    return {"given": equal[0] if equal else "something else"}


@claim(
    "learnable",
    BLOCK,
    "“a learnable scaling factor to balance the contributions”",
    test="the factor in HAT's blocks: holds if it is among the parameters",
    found="{value}, a {kind} of Python, the same in all {blocks} blocks; {learnable} of them "
    "learn it",
    judge=lambda n: graded(n.learnable == n.blocks),
    shown=["08 HAB by hand", "08 What each branch adds"],
    remarks={FAILS: "A constant, which the paper sets by hand"},
)
def learnable() -> Numbers:
    blocks = [module for module in full_size("hat").modules() if isinstance(module, HAB)]
    (factor,) = {block.conv_scale for block in blocks}
    learned = sum("conv_scale" in dict(block.named_parameters()) for block in blocks)
    return {
        "value": factor,
        "kind": type(factor).__name__,
        "blocks": len(blocks),
        "learnable": learned,
    }


@claim(
    "cyclic-shift",
    BLOCK,
    "“cyclic shift to improve information flow across windows”",
    test="receptive field of one token (a square of tokens) after two HABs (windows of 16, the "
    "second one shifted by 8), with the CABs taken out. Holds if it is larger than one window",
    found="{shifted}×{shifted}; without the shift {plain}×{plain}",
    judge=lambda n: graded(n.shifted > n.plain == 16),
    shown=["08 A shift that is silently 0", "05 Shifted windows"],
)
def cyclic_shift() -> Numbers:
    sides = {}
    for name, shift in (("plain", 0), ("shifted", 8)):
        torch.manual_seed(0)
        blocks = [HAB(SMALL, shift=s, drop_path=0.0) for s in (0, shift)]
        for block in blocks:
            block.conv_scale = 0.0
        sides[name] = depends_on(nn.Sequential(*blocks), 12)
    return sides


@claim(
    "channel-attention",
    BLOCK,
    "the listing of channel attention: average pooling, squeeze, unsqueeze, sigmoid",
    test="the survey's class and `hatlib`'s with the same weights; holds if they are equal to 1e-6",
    found="equal to {error:.0e}",
    judge=lambda n: graded(n.error <= 1e-6),
    shown=["08 CAB: convolutions that see the whole channel", "04 Channel attention"],
)
def channel_attention() -> Numbers:
    torch.manual_seed(0)
    theirs = defined(cell_with("ChannelAttention"), "ChannelAttention")(180).double()
    ours = ChannelAttention(180, 180 // 16, first=1).double()
    ours.load_state_dict(
        {name.removeprefix("attention."): value for name, value in theirs.state_dict().items()}
    )
    features = torch.rand(2, 180, 8, 8, dtype=torch.double)
    with torch.inference_mode():
        return {"error": within(float((theirs(features) - ours(features)).abs().max()))}


@claim(
    "squeeze",
    BLOCK,
    "“squeeze_factor=16” in that listing",
    test="squeeze factor of HAT, and parameters of HAT ×4 with it and with 16, against the 20.8 M "
    "that the authors report. Holds if it is 16",
    found="HAT has {squeeze}, and {parameters:,} parameters; with 16 there would be {more:,} more",
    judge=lambda n: graded(n.squeeze == 16, n.more > 0),
    shown=["08 CAB: convolutions that see the whole channel"],
    remarks={CORRECTED: "16 is RCAN's, and the default of the authors' class"},
)
def squeeze() -> Numbers:
    own = complexity.parameters(full_size("hat"))
    with torch.device("meta"):
        other = complexity.parameters(create("hat", 4, squeeze_factor=16))
    return {"squeeze": PRESETS["hat"].squeeze_factor, "parameters": own, "more": other - own}


@claim(
    "ocab",
    BLOCK,
    "OCAB “establish[es] connections across windows by computing cross-attention”",
    test="queries and keys of HAT's overlapping attention; holds if keys come from beyond the "
    "window and there is one in every group. The survey lists no code for it",
    found="{queries} queries of a {window}×{window} window, {keys} keys of {side}×{side}; "
    "{blocks} in {groups} groups",
    judge=lambda n: graded(n.keys > n.queries and n.blocks == n.groups),
    shown=["08 OCAB: keys from windows that overlap", "08 The quirk of the index"],
)
def ocab() -> Numbers:
    config = PRESETS["hat"]
    window, side = config.window_size, config.overlap_side
    return {
        "window": window,
        "side": side,
        "queries": window**2,
        "keys": side**2,
        "blocks": count("hat", OCAB),
        "groups": len(full_size("hat").layers),
    }
