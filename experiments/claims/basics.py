"""Claims of the survey's abstract, its introduction and its part on SRCNN."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hatlib import models
from hatlib.data import builtin
from hatlib.evaluation import results
from hatlib.imaging import degradation, metrics, real_world
from hatlib.imaging.convert import luma, to_tensor
from hatlib.imaging.resize import imresize
from hatlib.models import complexity

from .frame import CORRECTED, FAILS, Numbers, claim, graded
from .sources import network, pair, psnr, reported, upscale, values, within

ABSTRACT, INTRODUCTION = "Abstract", "Introduction"
SRCNN = "Related works: SRCNN"
PHOTOS = ("facade-7", "cat", "coffee")  # a façade, fine hair, smooth surfaces


@claim(
    "range",
    ABSTRACT,
    "CNNs and standard transformers have an “inability to capture a wide range of spatial "
    "information”",
    test="the receptive field, by the gradient of 4×4 SR pixels with respect to LR: how far it "
    "reaches, and within how many LR pixels 99 % of its energy lie (`rcan-nano` and "
    "`swinir-nano`, three built-in pictures). Holds if it does not reach 16 pixels; with a "
    "correction if it does and 99 % lie within 8",
    found="in a crop of 72×72 it reaches {rcan_reach} (RCAN) and {swinir_reach} pixels (SwinIR); "
    "99 % lie within {rcan} and {swinir}",
    judge=lambda n: graded(max(n.rcan_reach, n.swinir_reach) < 16, max(n.rcan, n.swinir) <= 8),
    shown=["06 How large is the receptive field?"],
    remarks={
        CORRECTED: "Both receptive fields are large; what the networks were trained to use is near"
    },
)
def spatial_range() -> Numbers:
    numbers = {}
    for short in ("rcan", "swinir"):
        energies = [
            np.bincount(*_by_distance(network(f"{short}-nano-x4"), name)) for name in PHOTOS
        ]
        energy = np.sum(energies, axis=0)
        numbers[short] = int(np.argmax(np.cumsum(energy) >= 0.99 * energy.sum()))
        numbers[f"{short}_reach"] = int(np.nonzero(energy)[0].max())
    return numbers


def _by_distance(
    model: models.Network, name: str, side: int = 72, place: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """How far each LR pixel is from the SR block, in rows or columns, whichever is more, and the
    gradient's energy there; both flat."""
    lr = to_tensor(pair(name)[0][:side, :side].copy()).requires_grad_()
    with torch.enable_grad():
        block = model(lr)[..., 4 * place : 4 * place + 4, 4 * place : 4 * place + 4]
        (slope,) = torch.autograd.grad(block.sum(), lr)
    y, x = np.mgrid[:side, :side]
    energy = (slope[0] ** 2).sum(dim=0).double().numpy()
    return np.maximum(abs(y - place), abs(x - place)).ravel(), energy.ravel() / energy.sum()


# --- introduction ---------------------------------------------------------------------------------


@claim(
    "classical-model",
    INTRODUCTION,
    "LR is HR “convoluted by the blur kernel”, and “for every s x s patch in the "
    "image, one pixel is kept”: for the bicubic LR of the experiments, too",
    test="MATLAB's bicubic against blur and subsampling, in floats; holds if they are equal to "
    "1e-9 for any k, with a correction if it takes a certain k",
    found="with a k of {taps}×{taps} pixels they are equal to {error:.0e}; without blur they are "
    "{without:.2f} apart (HR from 0 to 1)",
    judge=lambda n: graded(n.without < 1e-9, n.error <= 1e-9),
    shown=['01 Which k and which phase is "bicubic"?', "01 ↓s: keep one pixel of each s × s"],
    remarks={CORRECTED: "The sentence has to say which k and which of the s × s pixels"},
)
def classical_model() -> Numbers:
    hr = builtin.builtin_image("facade-3") / 255
    kernel, bicubic = degradation.bicubic_kernel(4), imresize(hr, 1 / 4)
    error, without = (
        float(np.abs(degradation.degrade(hr, k, 4) - bicubic).max())
        for k in (kernel, np.ones((1, 1)))
    )
    return {"taps": len(kernel), "error": within(error), "without": without}


@claim(
    "real-degradation",
    INTRODUCTION,
    "the “difficulty with earlier attempts” was “the simplistic classical model "
    "of image degradation that these models relied on”; real degradation is “much more complex”",
    test="gain over bicubic of `swinir-nano`, trained on that model's LR as all networks of the "
    "survey are, on such LR and on LR from a random chain of blur, noise, JPEG and resizing "
    "(three built-in pictures). Holds, of earlier attempts alone, if the network keeps 80 % of "
    "its gain",
    found="{classical:+.2f} dB on classical LR, {real:+.2f} dB on the other",
    judge=lambda n: graded(n.real >= 0.8 * n.classical, n.real >= 0.5 * n.classical),
    shown=["01 What real cameras do that the model does not", "11"],
    remarks={FAILS: "The networks of the survey rely on the classical model as much"},
)
def real_degradation() -> Numbers:
    gains: dict[str, list[float]] = {"classical": [], "real": []}
    for name in PHOTOS:
        classical, hr = pair(name)
        for kind, lr in (
            ("classical", classical),
            ("real", real_world.real_world(hr, 4, rng=0)[0]),
        ):
            gains[kind].append(psnr(upscale("swinir-nano-x4", lr), hr) - psnr(imresize(lr, 4), hr))
    return {kind: float(np.mean(gain)) for kind, gain in gains.items()}


@claim(
    "psnr",
    INTRODUCTION,
    "PSNR “compares the pixel values of the reference image to the degraded image using MSE”",
    test="one bicubic façade, scored in the eight ways that are in use; holds if they agree to "
    "0.1 dB",
    found="{least:.2f} to {most:.2f} dB, by the protocol of the papers {protocol:.2f} dB",
    judge=lambda n: graded(n.most - n.least < 0.1, n.least < n.protocol < n.most),
    shown=["02 The same image, scored eight ways"],
    remarks={CORRECTED: "Which colour, over which range and how near the border has to be said"},
)
def psnr_choices() -> Numbers:
    lr, hr = pair("facade-1")
    scores = metrics.choices(imresize(lr, 4), hr, scale=4).psnr
    return {"least": scores.min(), "most": scores.max(), "protocol": scores.iloc[0]}


@claim(
    "ssim-range",
    INTRODUCTION,
    "SSIM is “measured from 0 to 1”",
    test="SSIM of stripes and of the same stripes inverted; holds if it is not below 0",
    found="{lowest:+.2f}",
    judge=lambda n: graded(n.lowest >= 0),
    shown=["02 SSIM below zero"],
    remarks={FAILS: "Its structure term is a correlation: the range is −1 to 1"},
)
def ssim_range() -> Numbers:
    stripes = np.tile(np.array([100, 100, 150, 150], np.uint8), (48, 12))
    return {"lowest": metrics.ssim(250 - stripes, stripes)}


@claim(
    "ssim-structure",
    INTRODUCTION,
    "SSIM, unlike PSNR, “measures the structural similarity”, taking luminance and "
    "structure into account",
    test="a photo made brighter, and one with noise, at the same MSE; holds if the noise costs "
    "0.1 more SSIM",
    found="PSNR {psnr_brighter:.2f} and {psnr_noisy:.2f} dB, SSIM {brighter:.2f} brighter and "
    "{noisy:.2f} with noise",
    judge=lambda n: graded(
        abs(n.psnr_brighter - n.psnr_noisy) < 0.05 and n.brighter - n.noisy > 0.1
    ),
    shown=["02 Seven images of exactly the same PSNR", "02 SSIM by hand"],
)
def ssim_structure() -> Numbers:
    luminance = luma(builtin.builtin_image("astronaut"))[:160, :160]
    photo = 20 + 0.8 * luminance  # leaves room at both ends
    noise = np.random.default_rng(0).standard_normal(photo.shape)
    others = {"brighter": photo + 12, "noisy": photo + 12 * noise / np.sqrt(np.mean(noise**2))}
    scores = {name: metrics.ssim(image / 255, photo / 255) for name, image in others.items()}
    return scores | {
        f"psnr_{name}": metrics.psnr(image / 255, photo / 255) for name, image in others.items()
    }


# --- SRCNN ----------------------------------------------------------------------------------------


@claim(
    "srcnn-date",
    SRCNN,
    "“SRCNN was developed in 2014”, with arXiv 1501.00092 as the source",
    test="the number of an arXiv article begins with year and month; holds if the year is 2014",
    found="the cited article is of {year}-{month:02}",
    judge=lambda n: graded(n.year == 2014, n.year == 2015),
    shown=["03 The idea"],
    remarks={
        CORRECTED: "2014 is the conference paper (ECCV); the survey's table is of the later one"
    },
)
def srcnn_date() -> Numbers:
    return dict(zip(("year", "month"), arxiv_date("1501.00092"), strict=True))


def arxiv_date(number: str) -> tuple[int, int]:
    """Year and month of an arXiv article by its number."""
    return 2000 + int(number[:2]), int(number[2:4])


@claim(
    "srcnn-layers",
    SRCNN,
    "patch extraction, mapping and reconstruction are “implemented using convolutional layers”",
    test="layers of `srcnn`, and weights of the paper's 9-1-5; holds if there are three, all "
    "convolutions, and 8,032 weights, as the paper counts",
    found="{layers} convolutions, {others} other layers with weights; {weights:,} weights",
    judge=lambda n: graded((n.layers, n.others, n.weights) == (3, 0, 8032)),
    shown=["03 Patch extraction is a convolution", "03 The whole network, by hand"],
)
def srcnn_layers() -> Numbers:
    model = models.create("srcnn", 4, kernels=(9, 1, 5))
    with_weights = [module for module in model.modules() if list(module.parameters(recurse=False))]
    layers = [module for module in with_weights if isinstance(module, nn.Conv2d)]
    return {
        "layers": len(layers),
        "others": len(with_weights) - len(layers),
        "weights": sum(layer.weight.numel() for layer in layers),
    }


@claim(
    "averaging",
    SRCNN,
    "reconstruction is “a convolutional layer that acts as an averaging filter”",
    test="weights of the last layer of the trained `srcnn-x4`: an averaging filter has none below "
    "zero. Holds if under 5 % are negative",
    found="{negative:.0%} of {count} weights are negative; filters with one sign only: "
    "{one_sign} of {filters}",
    judge=lambda n: graded(n.negative < 0.05, n.negative < 0.25),
    shown=["03 Look inside: the filters"],
    remarks={FAILS: "The filters are learned; averaging is what the paper compares them with"},
)
def averaging() -> Numbers:
    weights = network("srcnn-x4").conv3.weight.detach()[0]  # (n2, 5, 5)
    same = ((weights >= 0).flatten(1).all(1) | (weights <= 0).flatten(1).all(1)).sum()
    return {
        "negative": float((weights < 0).double().mean()),
        "count": weights.numel(),
        "one_sign": int(same),
        "filters": len(weights),
    }


@claim(
    "mapping-cost",
    SRCNN,
    "a larger mapping “increases the training time”",
    test="multiply-adds of 9-1-5, 9-3-5 and 9-5-5 for an LR image of 64×64, of which training "
    "does about three times as many a step; holds if they rise",
    found="{a:.2f}, {b:.2f} and {c:.2f} G",
    judge=lambda n: graded(n.a < n.b < n.c),
    shown=["03 9-1-5 against 9-5-5"],
)
def mapping_cost() -> Numbers:
    costs = [
        complexity.multiply_adds(models.create("srcnn", 4, kernels=(9, k, 5))) / 1e9
        for k in (1, 3, 5)
    ]
    return dict(zip("abc", costs, strict=True))


@claim(
    "mse-psnr",
    SRCNN,
    "MSE is the loss “because MSE favors a high PSNR”",
    test="for one image PSNR is a function of MSE; for a set, PSNR of the mean MSE against the "
    "mean PSNR that tables report (bicubic, three built-in pictures). Holds if they agree to 0.1 "
    "dB",
    found="{of_mean:.2f} dB against {mean:.2f} dB",
    judge=lambda n: graded(n.mean - n.of_mean < 0.1, n.mean > n.of_mean),
    shown=["02 The mean of decibels is not the decibels of the mean", "03 Training, in ten lines"],
    remarks={
        CORRECTED: "True of each image; over a set the loss gives hard images more weight than "
        "the table does"
    },
)
def mse_psnr() -> Numbers:
    scores = np.array([psnr(imresize(lr, 4), hr) for lr, hr in map(pair, PHOTOS)])
    return {
        "mean": float(scores.mean()),
        "of_mean": float(-10 * np.log10(np.mean(10 ** (-scores / 10)))),
    }


@claim(
    "srcnn-gain",
    SRCNN,
    "“average gains on PSNR up to 0.17 dB higher than the next approach as shown in the table” "
    "of Set5",
    test="SRCNN minus the best of the other methods, at each scale of that table (SRCNN's paper). "
    "Holds if the largest is 0.17 dB",
    found="{x2:.2f} (×2), {x3:.2f} (×3), {x4:.2f} dB (×4), next each time: {next}",
    judge=lambda n: graded(abs(max(n.x2, n.x3, n.x4) - 0.17) < 0.005, min(n.x2, n.x3, n.x4) > 0),
    shown=["03 Next to the paper"],
    remarks={
        CORRECTED: "SRCNN is ahead at every scale, and 0.17 dB is not the largest gap of that table"
    },
)
def srcnn_gain() -> Numbers:
    table = reported()
    table = table[table["training_data"] == "as in SRCNN's paper"].pivot(
        index="method", columns="scale", values="psnr"
    )
    others = table.drop(index="SRCNN")
    gaps = table.loc["SRCNN"] - others.max()
    return {f"x{scale}": float(gaps[scale]) for scale in (2, 3, 4)} | {
        "next": ", ".join(sorted(set(others.idxmax())))
    }


@claim(
    "srcnn-most",
    SRCNN,
    "“superior performance … in most evaluation scores”",
    test="scores of the same table (PSNR and SSIM at three scales) in which SRCNN is first; holds "
    "if more than half",
    found="first in {first} of {scores}; not in: {lost}",
    judge=lambda n: graded(n.first > n.scores / 2),
    shown=["03 Next to the paper"],
)
def srcnn_most() -> Numbers:
    table = reported()
    table = table[table["training_data"] == "as in SRCNN's paper"]
    lost = []
    for column in ("psnr", "ssim"):
        wide = table.pivot(index="method", columns="scale", values=column)
        lost += [
            f"{column.upper()} ×{scale} ({wide[scale].idxmax()} {wide[scale].max():.4g})"
            for scale in (2, 3, 4)
            if wide[scale].idxmax() != "SRCNN"
        ]
    return {"first": 6 - len(lost), "scores": 6, "lost": ", ".join(lost) or "none"}


@claim(
    "srcnn-consistent",
    SRCNN,
    "“This improvement was consistent across other datasets”",
    test="SRCNN minus A+ on Set14, B100 and Urban100 at ×2, ×3, ×4 (the table of EDSR's paper); "
    "holds if all are above zero",
    found="{ahead} of {entries} above zero, {least:+.2f} to {most:+.2f} dB",
    judge=lambda n: graded(n.ahead == n.entries, n.ahead > n.entries / 2),
    shown=["03 Next to the paper"],
)
def srcnn_consistent() -> Numbers:
    gains = values("SRCNN", "as in EDSR's paper") - values("A+", "as in EDSR's paper")
    return {
        "ahead": int((gains > 0).sum()),
        "entries": len(gains),
        "least": gains.min(),
        "most": gains.max(),
    }


@claim(
    "srcnn-limits",
    SRCNN,
    "SRCNN's limitations “can be addressed with … residual blocks, dense blocks, and attention”",
    test="PSNR of the course's networks on Urban100, over its SRCNN, and their multiply-adds "
    "(`experiments.cards`; no dense network among them). Holds if residual blocks and attention "
    "gain at least 0.5 dB for less work",
    found="RCAN nano {rcan:+.2f}, SwinIR nano {swinir:+.2f} dB; {rcan_work:.2f} and "
    "{swinir_work:.2f} G multiply-adds instead of {srcnn_work:.2f} G",
    judge=lambda n: graded(
        min(n.rcan, n.swinir) > 0.5 and max(n.rcan_work, n.swinir_work) < n.srcnn_work,
        min(n.rcan, n.swinir) > 0,
    ),
    shown=["04 Where it ends", "04 Dense connections"],
)
def srcnn_limits() -> Numbers:
    table = results.table("trained").set_index(["name", "data"])["psnr"]
    names = {"srcnn": "srcnn-x4", "rcan": "rcan-nano-x4", "swinir": "swinir-nano-x4"}
    work = {
        f"{short}_work": complexity.multiply_adds(network(name)) / 1e9
        for short, name in names.items()
    }
    gains = {
        short: float(table[name, "urban100"] - table["srcnn-x4", "urban100"])
        for short, name in names.items()
    }
    return work | gains
