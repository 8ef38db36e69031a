"""A model on a set, image by image, measured by the protocol of the papers.

Protocol (HAT, arXiv 2205.04437, and before it EDSR, RCAN, SwinIR): HR cropped to a multiple of the
scale; LR by MATLAB's bicubic, rounded to uint8; the output rounded to uint8; BT.601 luma (16–235);
`scale` pixels shaved from each border; PSNR with peak 255; SSIM with an 11×11 Gaussian window.
Taught in notebook 02.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image
from hatlib.imaging.degradation import DOWNSAMPLERS
from hatlib.imaging.metrics import psnr_and_ssim
from hatlib.inference.upscale import upscale
from hatlib.models import Network
from hatlib.models.interpolation import Bicubic, Nearest
from hatlib.models.layers import check_network
from hatlib.validation import Pixels, checked, choice

if TYPE_CHECKING:
    import pandas as pd

    from hatlib.data.datasets import Pair


# Version of the numeric code. Raise it whenever a change alters PSNR or SSIM in any digit: in a
# network's arithmetic, in padding, tiles, imresize or the metrics. Rows that were measured with
# another one are then measured again (`hatlib.evaluation.reproduction`). Where only words or speed
# change, leave it.
NUMERICS = 1

# What becomes of one-channel images, in words.
GRAY = {
    "auto": "one-channel files as RGB for networks, kept for interpolation",
    "keep": "one-channel files kept",
    "rgb": "one-channel files as RGB",
}


def evaluate(
    model: Network,
    pairs: Iterable[Pair],
    shave: int | None = None,
    channel: str = "y",
    on_image: Callable[[str, np.ndarray], None] | None = None,
    gray: str = "auto",
    **options: Any,
) -> pd.DataFrame:
    """Upscales each LR image and compares it with its HR image, the ground truth.

    Args:
        model: a network; its scale has to be that of the pairs.
        pairs: (name, lr, hr) triples, as `hatlib.load_dataset` gives them.
        shave: pixels cut from each border before comparing; by default the scale.
        channel: "y" (luma, the protocol) or "rgb".
        on_image: called with (name, uint8 result) after each image, to save it or to report
            progress.
        gray: what becomes of one-channel images (Set14 has one). "rgb" repeats the channel three
            times, as the papers on networks did; "keep" measures gray values, as the reported
            values of bicubic have it, which gives 1.3 dB less for the same image; "auto" does each
            for what it suits.
        options: passed to `hatlib.upscale` (tile, precision, ensemble); the precision is fp32
            unless asked otherwise.
    Returns:
        A table with the columns name, psnr (dB), ssim, seconds; `.mean(numeric_only=True)` gives
        the set's values.
    Raises:
        HatlibError: a pair whose HR image is not `scale` times as large as its LR image.
    """
    import pandas as pd

    check_network(model)
    choice("gray", gray, GRAY)
    choice("channel", channel, ("y", "rgb"))
    shave = checked("shave", shave, Pixels | None)
    as_rgb = gray == "rgb" or (gray == "auto" and not isinstance(model, Bicubic | Nearest))
    rows = []
    for name, lr, hr in _triples(pairs):
        if as_rgb and hr.ndim == 2:
            lr, hr = (np.repeat(image[..., None], 3, axis=2) for image in (lr, hr))
        if hr.shape[:2] != (lr.shape[0] * model.scale, lr.shape[1] * model.scale):
            raise HatlibError(
                f"{name}: HR {hr.shape[:2]} is not {model.scale} times LR {lr.shape[:2]}"
            )
        start = time.perf_counter()
        sr = upscale(model, lr, **{"precision": "fp32", **options})
        seconds = time.perf_counter() - start
        border = model.scale if shave is None else shave
        try:
            psnr, ssim = psnr_and_ssim(sr, hr, border, channel)
        except HatlibError as error:
            raise HatlibError(f"{name}: {error}") from None
        rows.append((name, psnr, ssim, seconds))
        if on_image:
            on_image(name, sr)
    return pd.DataFrame(rows, columns=["name", "psnr", "ssim", "seconds"])


def _triples(pairs: Iterable[Pair]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """The pairs, each checked as it comes."""
    if not isinstance(pairs, Iterable):
        raise HatlibError(f"pairs are {type(pairs).__name__}; load_dataset gives them")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 3:
            raise HatlibError(f"a pair is (name, lr, hr), got {type(pair).__name__}")
        name, lr, hr = pair
        check_image(lr)
        check_image(hr)
        yield name, lr, hr


def protocol(scale: int, lr: str = "matlab", gray: str = "auto", channel: str = "y") -> str:
    """The protocol in one line, to be printed next to every number.

    Args:
        scale, lr: as in `hatlib.load_dataset`.
        gray, channel: as in `evaluate`.
    """
    source = {**DOWNSAMPLERS, "original": "the set's original files"}[lr]
    colour = {"y": "Y of BT.601 (16–235)", "rgb": "RGB"}[channel]
    return (
        f"×{scale}; LR {source}; output uint8; {colour}; {GRAY[gray]}; shave {scale}; "
        f"PSNR peak 255; SSIM 11×11 Gaussian"
    )
