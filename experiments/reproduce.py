"""PSNR and SSIM of whole sets, image by image, with LR made in several ways.

    python -m experiments.reproduce [--models NAME,…] [--folder build/reproduce] [--out FILE]

The table has one row per set, way to make LR, image and network: its weights, PSNR (dB, by the
protocol of the papers) and SSIM. It is filled by `hatlib.evaluation.reproduction.run` for each line
of PLAN; rows of another set, LR or network stay. The folder is that of `hatlib reproduce`: what is
in it is not measured again. Released weights that are on this machine take part. Seconds are not
recorded, since other programs may run during an hour. Notebook 10 shows the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from experiments import command, tables
from hatlib.evaluation import reproduction
from hatlib.imaging import degradation
from hatlib.weights import catalogue, files

OUT = tables.RESULTS / "reproduction.csv"
KEY = ["data", "lr", "model", "image"]
METHODS = tuple(degradation.DOWNSAMPLERS)
PLAN = (  # sets, each so-manyth image, ways to make LR
    (("urban100",), 1, ("matlab",)),
    (("set5", "set14"), 1, (*METHODS, "original")),
    (("urban100",), 10, METHODS),
)


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Both, with the new row where there are two of the same set, LR, network and image; in the
    order of these."""
    table = pd.concat([old, new.drop(columns=["gain", "seconds"]).round({"psnr": 4, "ssim": 5})])
    return table.drop_duplicates(KEY, keep="last").sort_values(KEY, kind="stable")


def announced(items: Sequence[int], title: str) -> Sequence[int]:
    print(title, flush=True)
    return items


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command.options(__doc__, OUT)
    parser.add_argument(
        "--models", help="by default the course's own weights, and released ones that are here"
    )
    parser.add_argument("--data", help="only these sets of the plan")
    parser.add_argument("--folder", type=Path, default=Path("build/reproduce"))
    asked = parser.parse_args(arguments)
    models = (
        asked.models.split(",")
        if asked.models
        else [*files.trained("bicubic"), *catalogue.present(4)]
    )
    for data, every, ways in PLAN:
        chosen = [name for name in data if not asked.data or name in asked.data.split(",")]
        for way in ways if chosen else ():
            rows = reproduction.run(
                models, chosen, asked.folder, progress=announced, every=every, lr=way
            )
            # "" is what networks without weights have as their fingerprint, not a missing value
            old = tables.read(asked.out, keep_default_na=False)
            new = tables.read(asked.folder / "reproduce.csv", keep_default_na=False)
            tables.write(asked.out, merged(old, new))
            for row in rows:
                scores = f"{row.psnr:.2f} dB, {row.ssim:.4f}"
                print(f"  {row.data}, LR {way}, {row.model}: {scores}", flush=True)


if __name__ == "__main__":
    command.run(main)
