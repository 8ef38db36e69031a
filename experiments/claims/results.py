"""Claims of the survey's results of HAT, its own experiments, and its conclusion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch.nn.functional as F
from PIL import Image
from scipy import stats

from experiments import bootstrap, lam_study
from hatlib.data import datasets
from hatlib.evaluation import reported
from hatlib.evaluation.reproduction import SURVEY
from hatlib.imaging.convert import luma, to_image, to_tensor
from hatlib.imaging.resize import imresize
from hatlib.models import complexity
from hatlib.models.hat import PRESETS
from hatlib.training.recipes import recipe
from hatlib.weights import catalogue

from .basics import PHOTOS, arxiv_date
from .frame import CORRECTED, FAILS, HOLDS, NOT_HERE, NOT_YET, Numbers, claim, graded
from .sources import (
    DAT_LIGHT,
    NO_DAT_LIGHT,
    SETS,
    full_size,
    interval,
    measured,
    pair,
    psnr,
    table,
    upscale,
    upscaled,
    value,
    values,
    windows_of,
)

RESULTS, EXPERIMENTS, CONCLUSION = "HAT: results", "HAT: experiments", "Conclusion"
PRETRAINED = "ImageNet->DF2K"
FIGURE_5 = {  # of the survey: DI, and PSNR in dB, of one window
    "RCAN": (26.42, 13.23),
    "SwinIR": (19.52, 14.25),
    "HAT": (32.32, 17.88),
}


# --- results --------------------------------------------------------------------------------------


@claim(
    "pretraining-paper",
    RESULTS,
    "“same task pre-training on the full ImageNet is shown to improve model performance”",
    test="reported PSNR of HAT with and without it, at ×4 on four sets. Holds if it is higher on "
    "all",
    found="{least:+.2f} to {most:+.2f} dB, the most on {where}",
    judge=lambda n: graded(n.least > 0, n.most > 0),
    shown=["09 More data first, then better data"],
)
def pretraining_paper() -> Numbers:
    gains = values("HAT†", PRETRAINED, scale=4) - values("HAT", "DF2K", scale=4)
    return {"least": gains.min(), "most": gains.max(), "where": gains.idxmax()[1]}


@claim(
    "pretraining-here",
    RESULTS,
    "“same task pre-training … is shown to improve”: at the size of the course",
    test="`hat-nano`: three quarters of the steps on more and plainer data, then a quarter on the "
    "better set, against all steps on the better set and all steps on everything; PSNR on 25 "
    "images of Urban100 (`experiments.pretraining`). Holds if it is ahead of both with every "
    "seed, with a correction if of one",
    found="{over_t91:+.2f} dB ({t91_low:+.2f} to {t91_high:+.2f}) against the better set alone, "
    "{over_together:+.2f} dB ({together_low:+.2f} to {together_high:+.2f}) against everything at "
    "once; {seeds} seeds, {steps} steps",
    judge=lambda n: graded(
        n.seeds > 1 and min(n.t91_low, n.together_low) > 0, max(n.t91_low, n.together_low) > 0
    ),
    shown=["09 More data first, then better data"],
    remarks={
        CORRECTED: "More data helps; whether it comes first or is mixed in is another question",
        FAILS: "At nano size, with few steps",
    },
)
def pretraining_here() -> Numbers:
    runs = table("pretraining")
    steps = int(runs["budget"].max())
    wide = runs[runs["budget"] == steps].pivot(index="seed", columns="stage", values="psnr_urban25")
    wide = wide[["plain-t91", "t91", "together"]].dropna()
    numbers: dict[str, Any] = {"seeds": len(wide), "steps": steps}
    for other in ("t91", "together"):
        gain = wide["plain-t91"] - wide[other]
        numbers |= {
            f"over_{other}": gain.mean(),
            f"{other}_low": gain.min(),
            f"{other}_high": gain.max(),
        }
    return numbers


@claim(
    "two-scales",
    RESULTS,
    "“Two super-resolution scales, SRx2 and SRx4, are trained”",
    test="scales of HAT's reported values and of its released weights; holds if they are 2 and 4",
    found="reported values at {values}, weights at {files}",
    judge=lambda n: graded(n.values == n.files == "×2, ×4", n.values == n.files),
    shown=["08 RHAG and HAT"],
    remarks={CORRECTED: "Three"},
)
def two_scales() -> Numbers:
    of_values = values("HAT", "DF2K").index.get_level_values("scale")
    of_files = [entry.scale for entry in catalogue.of_model("hat")]
    return {
        name: ", ".join(f"×{scale}" for scale in sorted(set(scales)))
        for name, scales in (("values", of_values), ("files", of_files))
    }


@claim(
    "cab-ocab",
    RESULTS,
    "CAB and OCAB “improve the performance in peak signal-to-noise ratio by 0.1 dB”",
    test="HAT's ablation on Urban100 ×4, as reported: gains of either alone and of both. Holds if "
    "all three are 0.1 dB",
    found="OCAB {ocab:+.2f}, CAB {cab:+.2f}, both {both:+.2f} dB",
    judge=lambda n: graded(
        max(abs(gain - 0.1) for gain in (n.ocab, n.cab, n.both)) < 0.005,
        max(abs(n.ocab - 0.1), abs(n.cab - 0.1)) < 0.005,
    ),
    shown=["08 What OCAB and CAB are worth"],
    remarks={CORRECTED: "0.1 dB each; together it is more"},
)
def cab_ocab() -> Numbers:
    names = {"ocab": "HAT without CAB", "cab": "HAT without OCAB", "both": "HAT"}
    ablation = "DF2K, ablation"
    without = value("HAT without OCAB and CAB", "Urban100", ablation)
    return {short: value(name, "Urban100", ablation) - without for short, name in names.items()}


@claim(
    "cab-ocab-here",
    RESULTS,
    "CAB and OCAB “improve the performance”: at the size of the course",
    test="the same four variants of `hat-nano` (windows of 8), seed by seed, on Urban100 "
    "(`experiments.ablation`): 95 % interval of each gain, from the differences of the seeds. "
    "Holds if OCAB's and CAB's are above zero, does not hold if one is below; not testable here "
    "with fewer than 5 seeds, or fewer steps than the recipe has, or if zero is inside",
    found="OCAB {ocab_least:+.2f} to {ocab_most:+.2f}, CAB {cab_least:+.2f} to {cab_most:+.2f}, "
    "both {both_least:+.2f} to {both_most:+.2f} dB, by seed; {seeds} seeds, {steps:,} of the "
    "recipe's {planned:,} steps",
    judge=lambda n: (
        NOT_HERE
        if n.seeds < 5 or n.steps < n.planned
        else HOLDS
        if min(n.ocab_low, n.cab_low) > 0
        else FAILS
        if min(n.ocab_high, n.cab_high) < 0
        else NOT_HERE
    ),
    shown=["08 What OCAB and CAB are worth"],
    remarks={NOT_HERE: "No verdict, for or against", FAILS: "At nano size, with windows of 8"},
)
def cab_ocab_here() -> Numbers:
    runs = table("ablation")
    steps = int(runs.groupby("steps").size().idxmax())  # the length that most runs have
    wide = (
        runs[runs["steps"] == steps]
        .pivot(index="seed", columns="variant", values="psnr_urban100")
        .dropna()
    )
    planned = recipe("hat-nano-x4").steps
    numbers: dict[str, Any] = {"seeds": len(wide), "steps": steps, "planned": planned}
    for name in ("ocab", "cab", "both"):
        gain = wide[name] - wide["neither"]
        half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
        numbers |= {f"{name}_least": gain.min(), f"{name}_most": gain.max()}
        numbers |= {f"{name}_low": gain.mean() - half, f"{name}_high": gain.mean() + half}
    return numbers


@claim(
    "set5-swinir",
    RESULTS,
    "“SwinIR's scores of 32.92 and 0.9044” on Set5 ×4",
    test="the reported values of SwinIR-M; holds if they are these",
    found="{df2k:.2f} dB and {df2k_ssim:.4f} trained on DF2K, {div2k:.2f} dB and {div2k_ssim:.4f} "
    "on DIV2K",
    judge=lambda n: graded((round(n.df2k, 2), round(n.df2k_ssim, 4)) == (32.92, 0.9044)),
    shown=["02 The same image, scored eight ways"],
)
def set5_swinir() -> Numbers:
    return {
        f"{data.lower()}{end}": value("SwinIR-M", "Set5", data, column=column)
        for data in ("DF2K", "DIV2K")
        for column, end in (("psnr", ""), ("ssim", "_ssim"))
    }


@claim(
    "only-size",
    RESULTS,
    "the HAT models “differ only in size and pre-training strategy”",
    test="configurations of HAT-S and HAT-L against HAT's; holds if only width, depth and heads "
    "differ",
    found="HAT-L: {large}; HAT-S: {small}",
    judge=lambda n: graded(n.others == 0, n.large == "depths"),
    shown=["08 CAB: convolutions that see the whole channel", "08 What it costs"],
    remarks={CORRECTED: "HAT-S also has a narrower CAB and another squeeze in it"},
)
def only_size() -> Numbers:
    base = dataclasses.asdict(PRESETS["hat"])
    differ = {
        name: [
            field
            for field, own in dataclasses.asdict(PRESETS[preset]).items()
            if own != base[field]
        ]
        for name, preset in (("small", "hat-s"), ("large", "hat-l"))
    }
    others = {field for fields in differ.values() for field in fields} - {
        "embed_dim",
        "depths",
        "num_heads",
    }
    return {name: ", ".join(fields) for name, fields in differ.items()} | {"others": len(others)}


@claim(
    "every-model",
    RESULTS,
    "“a marked improvement over SwinIR by every HAT model” on Set5",
    test="reported PSNR and SSIM on Set5 ×4, minus SwinIR-M's (DF2K). Holds if all gain at least "
    "0.05 dB",
    found="{gains} dB; on Urban100 the least is {urban:+.2f} dB",
    judge=lambda n: graded(n.least >= 0.05),
    shown=["02 The same image, scored eight ways", "10"],
    remarks={FAILS: "Not HAT-S on Set5"},
)
def every_model() -> Numbers:
    models = {"HAT-S": "DF2K", "HAT": "DF2K", "HAT†": PRETRAINED, "HAT-L†": PRETRAINED}
    gains = {
        data: {
            name: value(name, data, training) - value("SwinIR-M", data, "DF2K")
            for name, training in models.items()
        }
        for data in ("Set5", "Urban100")
    }
    return {
        "gains": ", ".join(f"{name} {gain:+.2f}" for name, gain in gains["Set5"].items()),
        "least": min(gains["Set5"].values()),
        "urban": min(gains["Urban100"].values()),
    }


@claim(
    "best-model",
    RESULTS,
    "“the best model giving an improvement of 0.38 dB in PSNR and 0.0039 in SSIM” over SwinIR",
    test="reported values on Set5 ×4. Holds if these are the differences, of networks of like "
    "size and training data",
    found="HAT-L† {psnr:+.2f} dB and {ssim:+.4f}, with {large:.1f} M parameters and ImageNet "
    "against {swinir:.1f} M and DF2K; HAT, {hat:.1f} M and DF2K, {like:+.2f} dB",
    judge=lambda n: graded(
        abs(n.psnr - 0.38) < 0.005 and n.large < 2 * n.swinir, abs(n.psnr - 0.38) < 0.005
    ),
    shown=["06 How many parameters? Two answers", "08 What it costs"],
    remarks={CORRECTED: "The arithmetic is right, of networks unlike in size and data"},
)
def best_model() -> Numbers:
    models = {"HAT-L†": PRETRAINED, "SwinIR-M": "DF2K"}
    scores = {
        column: [value(name, "Set5", training, column=column) for name, training in models.items()]
        for column in ("psnr", "ssim")
    }
    sizes = {
        short: complexity.parameters(full_size(name)) / 1e6
        for short, name in (("large", "hat-l"), ("hat", "hat"), ("swinir", "swinir"))
    }
    gains = {column: ours - theirs for column, (ours, theirs) in scores.items()}
    return (
        gains | sizes | {"like": value("HAT", "Set5", "DF2K") - value("SwinIR-M", "Set5", "DF2K")}
    )


@claim(
    "over-srcnn",
    RESULTS,
    "“both of these models show a drastic improvement over SRCNN”",
    test="reported PSNR on Set5 ×4, minus SRCNN's; and the course's networks, minus its own "
    "SRCNN. Holds if all are over 1 dB",
    found="SwinIR-M {swinir:+.2f}, HAT-L† {hat:+.2f} dB; here SwinIR nano {swinir_nano:+.2f}, HAT "
    "nano {hat_nano:+.2f} dB",
    judge=lambda n: graded(
        min(n.swinir, n.hat, n.swinir_nano, n.hat_nano) > 1, min(n.swinir, n.hat) > 1
    ),
    shown=["03 Next to the paper", "06 Next to RCAN: the result"],
)
def over_srcnn() -> Numbers:
    srcnn = value("SRCNN", "Set5", "as in SRCNN's paper")
    own = table("trained").set_index(["name", "data"])["psnr"]
    nano = {
        f"{name}_nano": own[f"{name}-nano-x4", "set5"] - own["srcnn-x4", "set5"]
        for name in ("swinir", "hat")
    }
    models = {"swinir": ("SwinIR-M", "DF2K"), "hat": ("HAT-L†", PRETRAINED)}
    return nano | {
        short: value(name, "Set5", training) - srcnn for short, (name, training) in models.items()
    }


# --- experiments ----------------------------------------------------------------------------------


@claim(
    "which-bicubic",
    EXPERIMENTS,
    "“the bicubic interpolation method to downgrade the high-resolution images”",
    test="`hat-nano` on LR of three built-in pictures by three programs' bicubic: MATLAB's, "
    "Pillow's, and torch's as it is by default. Holds if PSNR is the same to 0.1 dB",
    found="with Pillow's {pil:+.2f}, with torch's {torch:+.2f} dB",
    judge=lambda n: graded(
        max(abs(n.pil), abs(n.torch)) < 0.1, min(abs(n.pil), abs(n.torch)) < 0.1
    ),
    shown=['01 Where "bicubic" is not bicubic'],
    remarks={
        CORRECTED: "Which program's bicubic has to be said: torch's does not blur before it takes "
        "pixels"
    },
)
def which_bicubic() -> Numbers:
    losses: dict[str, list[float]] = {"pil": [], "torch": []}
    for name in PHOTOS:
        matlab, hr = pair(name)
        small = Image.fromarray(hr).resize(matlab.shape[1::-1], Image.Resampling.BICUBIC)
        plain = F.interpolate(to_tensor(hr), scale_factor=1 / 4, mode="bicubic")
        others = {"pil": np.asarray(small), "torch": to_image(plain)}
        for way, lr in others.items():
            loss = psnr(upscale("hat-nano-x4", lr), hr) - psnr(upscaled("hat-nano-x4", name), hr)
            losses[way].append(loss)
    # + 0.0: no "−0.00"
    return {way: round(float(np.mean(values)), 2) + 0.0 for way, values in losses.items()}


@claim(
    "urban100",
    EXPERIMENTS,
    "HAT on Urban100 ×4: “28.3642” and “0.8445”",
    test="the same weights (`experiments.reproduce`), and HAT's paper. Holds if ours are within "
    "0.02 dB and 0.001; not testable here without the weights",
    found="{ours}; HAT's paper: {paper_psnr:.2f} and {paper_ssim:.4f}, {difference:+.3f} dB and "
    "{difference_ssim:+.4f} apart",
    judge=lambda n: (
        NOT_HERE
        if n.psnr is None
        else graded(
            abs(n.psnr - n.survey) < 0.02 and abs(n.ssim - n.survey_ssim) < 0.001,
            abs(n.psnr - n.survey) < 0.1,
        )
    ),
    shown=["10 All hundred images"],
    remarks={NOT_HERE: "The survey agrees with the paper"},
)
def urban100() -> Numbers:
    paper, survey = (
        reported.reported("hat-x4-imagenet", "urban100", 4),
        SURVEY["hat-x4-imagenet", "urban100"],
    )
    assert paper and paper.ssim and survey.ssim
    ours = reproduced("hat-x4-imagenet", "urban100")
    return ours | {
        "paper_psnr": paper.psnr,
        "paper_ssim": paper.ssim,
        "survey": survey.psnr,
        "survey_ssim": survey.ssim,
        "difference": survey.psnr - paper.psnr,
        "difference_ssim": survey.ssim - paper.ssim,
    }


@claim(
    "ucla",
    EXPERIMENTS,
    "HAT on photos of UCLA: “27.0516” and “0.7833”",
    test="the same photos and weights (`experiments.reproduce`). Holds if within 0.02 dB; not "
    "testable here without them. The survey gives no count of images and no bicubic beside it",
    found="{ours}",
    judge=lambda n: (
        NOT_HERE
        if n.psnr is None
        else graded(abs(n.psnr - n.survey) < 0.02, abs(n.psnr - n.survey) < 0.2)
    ),
    shown=["10 UCLA, or what stands in for it"],
)
def ucla() -> Numbers:
    return reproduced("hat-x4-imagenet", "ucla") | {
        "survey": SURVEY["hat-x4-imagenet", "ucla"].psnr
    }


def reproduced(model: str, data: str) -> dict[str, Any]:
    """What notebook 10's table has of a network on a set: psnr, ssim (None where it has none), and
    in words.

    The table has one row per image, and other ways to make LR beside the protocol's.
    """
    rows = table("reproduction")
    rows = rows[
        (rows["model"] == model) & (rows["data"].str.lower() == data) & (rows["lr"] == "matlab")
    ]
    if rows.empty:
        return {
            "psnr": None,
            "ssim": None,
            "ours": "the released weights, or the photos, were unavailable",
        }
    psnr, ssim = rows["psnr"].mean(), rows["ssim"].mean()
    return {
        "psnr": psnr,
        "ssim": ssim,
        "ours": f"{psnr:.2f} dB and {ssim:.4f} ({len(rows)} images)",
    }


CONTENTS = ("buildings", "portraits")


@claim(
    "buildings-faces",
    EXPERIMENTS,
    "“the model is better at reconstructing objects including buildings and "
    "architecture as compared to humans and faces”",
    test="gain of `hat-nano` over bicubic on Urban100 and on 24 portraits: whole pictures as they "
    "are, the same with HR at half size, and tiles in which bicubic does equally well "
    "(`experiments.faces`). Holds if all three are higher on buildings (whole pictures: 95 % "
    "confidence interval over pictures), with a correction if one is",
    found="whole pictures {buildings:+.2f} against {portraits:+.2f} dB (difference {low:+.2f} to "
    "{high:+.2f}); at half size the difference is {half_low:+.2f} to {half_high:+.2f}; equally "
    "hard tiles {tiles:+.2f} dB apart; PSNR {buildings_psnr:.1f} against {portraits_psnr:.1f} dB",
    judge=lambda n: graded(all(_ahead(n)), any(_ahead(n))),
    shown=["10 Buildings against faces"],
    remarks={CORRECTED: "It depends on what is compared, the size of the pictures above all"},
)
def buildings_faces() -> Numbers:
    rows = table("content")
    rows = rows[rows["model"] == "hat-nano-x4"]
    rows = rows.assign(gain=rows["psnr"] - rows["bicubic"])
    as_it_is, half = (
        rows[rows["condition"] == condition] for condition in ("as it is", "half size")
    )
    whole = {
        kind: as_it_is[(as_it_is["region"] == "whole") & (as_it_is["content"] == kind)]
        for kind in CONTENTS
    }
    (low, high), (half_low, half_high) = _difference(as_it_is), _difference(half)
    return {
        "low": low,
        "high": high,
        "half_low": half_low,
        "half_high": half_high,
        "tiles": _tiles_apart(as_it_is),
        **{kind: part["gain"].mean() for kind, part in whole.items()},
        **{f"{kind}_psnr": part["psnr"].mean() for kind, part in whole.items()},
    }


def _ahead(n: Any) -> tuple[bool, bool, bool]:
    """Whether buildings gain more: as they are, at half size, where bicubic does equally well."""
    return n.low > 0, n.half_low > 0, n.tiles > 0


def _difference(rows: pd.DataFrame) -> tuple[float, float]:
    """Gain on buildings minus gain on portraits, in dB: the ends of its confidence interval."""
    gains = [
        rows[(rows["region"] == "whole") & (rows["content"] == kind)]["gain"].to_numpy()
        for kind in CONTENTS
    ]
    _, low, high = bootstrap.difference(*gains)
    return low, high


def _tiles_apart(rows: pd.DataFrame) -> float:
    """Gain on buildings minus gain on portraits, in dB, over the tiles of equal difficulty that
    both have."""
    rows = rows[rows["region"].str.startswith("tiles")]
    rows = rows.assign(weighted=rows["gain"] * rows["pixels"])
    sums = rows.groupby(["region", "content"])[["weighted", "pixels"]].sum()
    wide = (sums["weighted"] / sums["pixels"]).unstack()[["buildings", "portraits"]].dropna()
    # each difficulty counts as much as it does in portraits
    pixels = sums["pixels"].unstack().loc[wide.index, "portraits"]
    return float(((wide["buildings"] - wide["portraits"]) * pixels).sum() / pixels.sum())


@claim(
    "imagenet-humans",
    EXPERIMENTS,
    "“ImageNet … contains a large amount of objects compared to humans”, hence the faces",
    test="needs ImageNet, or weights trained with more humans; not testable here without them. "
    "(And the weights were fine-tuned on DF2K after it.) What fine-tuning on portraits does is "
    "the next row",
    found="sets of the course: {sets}, ImageNet {there}",
    judge=lambda n: NOT_HERE if n.there == "not among them" else NOT_YET,
    shown=["10 The survey's guess: fine-tune on a few faces"],
)
def imagenet_humans() -> Numbers:
    names = datasets.names()
    return {"sets": len(names), "there": "among them" if "imagenet" in names else "not among them"}


@claim(
    "few-shot",
    EXPERIMENTS,
    "“finetuning the model with few-shot learning would make it perform better at "
    "reconstructing these images”",
    test="`hat-nano` fine-tuned on k portraits, and as a control on as many pixels of other "
    "photos; change of PSNR on portraits that it has not seen, and on buildings "
    "(`experiments.faces`). Holds if at the largest k the change is above zero and above the "
    "control's (95 % confidence interval over pictures), with a correction if above zero only",
    found="{by_k} dB on portraits; control {control:+.3f} dB; difference {mean:+.3f} ({low:+.3f} "
    "to {high:+.3f}); on buildings {buildings:+.3f} dB",
    judge=lambda n: graded(n.change_low > 0 and n.low > 0, n.change_low > 0),
    shown=["10 The survey's guess: fine-tune on a few faces"],
    remarks={CORRECTED: "As much as more training on anything else does"},
)
def few_shot() -> Numbers:
    rows = table("faces")
    before = rows[rows["stage"] == "untouched"].iloc[0]
    runs = rows[rows["stage"] == "measured"]

    def change(kind: str, k: int, content: str) -> np.ndarray:
        """In dB, one value per picture, the mean of the seeds."""
        some = runs[(runs["kind"] == kind) & (runs["k"] == k)].filter(regex=f"^{content}/")
        return (some.mean() - before[some.columns].astype(float)).dropna().to_numpy()

    counts = sorted(set(runs["k"]))
    most = counts[-1]
    portraits, control = (change(kind, most, "portraits") for kind in ("portraits", "photos"))
    by_k = ", ".join(f"k = {k}: {change('portraits', k, 'portraits').mean():+.3f}" for k in counts)
    return {
        "by_k": by_k,
        "control": control.mean(),
        **interval(portraits - control),
        "change_low": interval(portraits)["low"],
        "buildings": change("portraits", most, "buildings").mean(),
    }


@claim(
    "granularity",
    EXPERIMENTS,
    "“a slight lack of granularity and fine detail” in predicted images",
    test="`hat-nano` on three built-in pictures: power above LR's Nyquist frequency, as a share "
    "of HR's. Holds if it is under 95 %, with a correction if under 50 %, which is not slight",
    found="{share:.0%} of it (bicubic {bicubic:.0%})",
    judge=lambda n: graded(0.5 <= n.share < 0.95, n.share < 0.5),
    shown=["01 Why the problem is ill-posed", "11"],
    remarks={
        CORRECTED: "More than slight, for the course's network; HAT's released weights were "
        "unavailable"
    },
)
def granularity() -> Numbers:
    powers = {"share": 0.0, "bicubic": 0.0, "hr": 0.0}
    for name in PHOTOS:
        lr, hr = pair(name)
        for what, image in (
            ("share", upscaled("hat-nano-x4", name)),
            ("bicubic", imresize(lr, 4)),
            ("hr", hr),
        ):
            powers[what] += _fine_power(image)
    return {what: powers[what] / powers["hr"] for what in ("share", "bicubic")}


def _fine_power(image: np.ndarray) -> float:
    """Power of the luma above 1/8 cycle a pixel, LR's Nyquist frequency at ×4."""
    plane = luma(image)
    # without the fade, the picture's edges would show as a cross in its spectrum
    fade = np.outer(*(np.hanning(side) for side in plane.shape))
    fy, fx = np.meshgrid(*(np.fft.fftfreq(side) for side in plane.shape), indexing="ij")
    power = np.abs(np.fft.fft2((plane - plane.mean()) * fade)) ** 2
    return float(power[np.hypot(fy, fx) > 1 / 8].sum())


@claim(
    "activation-helps",
    EXPERIMENTS,
    "“more pixel activation in the input image would lead to a better reconstruction result”",
    test="between networks in the same window, rank correlation of diffusion index and gain over "
    "bicubic, in a window of each picture of Urban100 (`experiments.lam_study`). Holds if its 95 % "
    "confidence interval is above zero both among the three nano networks and among the two light "
    "ones, which are each alike in cost and training; with a correction if only among some of "
    "these, or with the released DAT-light",
    found="nano {value:+.2f} ({low:+.2f} to {high:+.2f}), light {light:+.2f} ({light_low:+.2f} to "
    "{light_high:+.2f}): HAT light has {light_di:+.2f} DI and {light_gain:+.2f} dB against SwinIR "
    "light. {later}. In the survey's own figure, of one window, {more} uses more "
    "pixels than {less} and has the lower PSNR",
    judge=lambda n: graded(
        min(n.low, n.light_low) > 0, max(n.low, n.light_low) > 0 or n.low_with_dat > 0
    ),
    shown=["07 A hundred windows instead of one"],
    remarks={
        CORRECTED: "The network that activates far more gains more, and it is also larger and was "
        "trained on more; among networks alike in both, nothing is shown",
        FAILS: "Not shown: a few networks are no law either, and the survey made no maps of its "
        "own",
    },
)
def activation_helps() -> Numbers:
    study = table("lam-study")
    middle, low, high = _between(study, lam_study.NANO)
    light, light_low, light_high = _between(study, lam_study.LIGHT)
    later = NO_DAT_LIGHT
    low_with_dat = float("nan")
    if DAT_LIGHT in set(study["model"]):
        value_, low_with_dat, above = _between(study, [*lam_study.NANO, DAT_LIGHT])
        later = (
            f"With DAT-light among them {value_:+.2f} ({low_with_dat:+.2f} to {above:+.2f}): "
            f"{_lead()}"
        )
    against = [
        (one, other)
        for one, (di, decibels) in FIGURE_5.items()
        for other, (least, most) in FIGURE_5.items()
        if di > least and decibels < most
    ]
    more, less = against[0]
    return {
        "value": middle,
        "low": low,
        "high": high,
        "light": light,
        "light_low": light_low,
        "light_high": light_high,
        "light_di": _light_lead("di"),
        "light_gain": _light_lead("gain"),
        "low_with_dat": low_with_dat,
        "later": later,
        "more": more,
        "less": less,
    }


def _between(study: pd.DataFrame, names: Sequence[str]) -> bootstrap.Interval:
    """The rank correlation of DI and gain between networks in the same window."""
    lines = lam_study.summary(study[study["model"].isin(list(names))])
    (interval,) = (numbers for what, *numbers in lines if what.startswith("between networks"))
    return bootstrap.Interval(*interval)


def _light_lead(column: str) -> float:
    """How much more HAT light has than SwinIR light, the mean over the windows."""
    swinir, hat = windows_of(column, *lam_study.LIGHT).values()
    return float((hat - swinir).mean())


def _lead() -> str:
    """What DAT-light has more than HAT nano, and whether the one goes with the other."""
    di, gain = (windows_of(column, DAT_LIGHT, "hat-nano-x4") for column in ("di", "gain"))
    more_di, more_gain = (of[DAT_LIGHT] - of["hat-nano-x4"] for of in (di, gain))
    value, low, high = lam_study.correlation(more_di, more_gain)
    return (
        f"it has {more_di.mean():.1f} DI and {more_gain.mean():.2f} dB more than HAT nano in "
        f"{len(more_di)} windows, and the rank correlation of these two leads is {value:+.2f} "
        f"({low:+.2f} to {high:+.2f})"
    )


# --- conclusion -----------------------------------------------------------------------------------


@claim(
    "diverse",
    CONCLUSION,
    "“the model performs admirably on diverse datasets”",
    test="reported PSNR of HAT† at ×4, minus bicubic's, on four sets; the survey has no baseline "
    "beside its numbers. Holds if over 1 dB on all",
    found="{gains} dB",
    judge=lambda n: graded(n.least > 1, n.least > 0),
    shown=["10 Where the gain is"],
)
def diverse() -> Numbers:
    gains = {data: value("HAT†", data, PRETRAINED) - value("bicubic", data) for data in SETS[:4]}
    return {
        "gains": ", ".join(f"{data} {gain:+.2f}" for data, gain in gains.items()),
        "least": min(gains.values()),
    }


@claim(
    "a-year-after",
    CONCLUSION,
    "“only a year after the release of HAT”, HMA and DRCT",
    test="months between the arXiv articles, by their numbers (2205.04437; 2404.00722 and "
    "2405.05001), and from HAT's conference (CVPR, June 2023). Holds if the first are under 18, "
    "with a correction if the second are",
    found="{arxiv} months and more; {conference} and more from the conference",
    judge=lambda n: graded(n.arxiv < 18, n.conference < 18),
    shown=["11 What came after HAT"],
    remarks={
        CORRECTED: "A year from the conference, about two from the article that the survey cites"
    },
)
def a_year_after() -> Numbers:
    dates = map(arxiv_date, ("2205.04437", "2404.00722", "2405.05001"))
    hat, *later = (12 * year + month for year, month in dates)
    return {"arxiv": min(later) - hat, "conference": min(later) - (12 * 2023 + 6)}


@claim(
    "outperform",
    CONCLUSION,
    "new models “that outperform HAT in certain datasets, such as HMA and DRCT”",
    test="reported PSNR at ×4 on four sets: DRCT-L and HMA minus HAT-L†, all pre-trained on "
    "ImageNet. Holds if each is ahead on at least one",
    found="DRCT-L ahead on {drct} of {sets} sets, by {drct_most:.2f} dB at most, HMA on {hma}, by "
    "{hma_most:.2f} dB at most. Not every later one is: on Urban100, all trained on DF2K, the "
    "best DAT is {dat:+.2f} dB from HAT, DAT-light, with {share:.0%} of its parameters, "
    "{light:+.2f} dB{measured}",
    judge=lambda n: graded(min(n.drct, n.hma) > 0, max(n.drct, n.hma) > 0),
    shown=[
        "11 What came after HAT",
        "08 A successor: DAT",
        "04 Dense connections",
        "10 Do the reported digits come out?",
    ],
)
def outperform() -> Numbers:
    best = values("HAT-L†", PRETRAINED, scale=4)
    numbers: dict[str, Any] = {"sets": len(best)}
    for short, name in (("drct", "DRCT-L"), ("hma", "HMA†")):
        gains = values(name, PRETRAINED, scale=4) - best
        numbers |= {short: int((gains > 0).sum()), f"{short}_most": gains.max()}
    hat = value("HAT", "Urban100", "DF2K")
    parameters = [complexity.parameters(full_size(name)) for name in ("dat-light", "hat")]
    here = measured(DAT_LIGHT, "Urban100")
    return numbers | {
        "dat": max(value(name, "Urban100") for name in ("DAT", "DAT-2")) - hat,
        "light": value("DAT-light", "Urban100") - hat,
        "share": parameters[0] / parameters[1],
        "measured": "" if here is None else f" (measured here with its weights: {here - hat:+.2f})",
    }
