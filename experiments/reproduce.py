"""Whole sets for notebook 10, image by image, and what other ways to make LR change.

    python -m experiments.reproduce [--models NAME,…] [--folder build/reproduce] [--out FILE]

Runs `hatlib.evaluation.reproduction.run` for each line of PLAN and puts the rows into
hatlib/evaluation/results/reproduction.csv: set, how LR was made, image, network, its weights, PSNR
(dB, the protocol's) and SSIM. Rows of another set, LR or network stay. The folder is that of
`hatlib reproduce`: what is in it is not measured again, so the command can be stopped and started
at any time. Published weights that are here take part. Seconds are not recorded: where this runs
for an hour, other things run too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import hatlib  # before torch: settles how waiting threads wait  # isort: skip
import pandas as pd

from hatlib.evaluation import reproduction
from hatlib.imaging import degradation
from hatlib.system import atomic
from hatlib.weights import catalogue, files

OUT = Path(hatlib.__file__).parent / "evaluation" / "results" / "reproduction.csv"
KEY = ["data", "lr", "model", "image"]
MADE = tuple(degradation.SHRINKS)
PLAN = (  # sets, each so-manyth image, ways to make LR
    (("urban100",), 1, ("matlab",)),
    (("set5", "set14"), 1, (*MADE, "published")),
    (("urban100",), 10, MADE),
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--models", help="by default the course's own weights, and published ones that are here"
    )
    parser.add_argument("--data", help="only these sets of the plan")
    parser.add_argument("--folder", type=Path, default=Path("build/reproduce"))
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    models = asked.models.split(",") if asked.models else [*files.trained(), *catalogue.present(4)]
    for data, every, ways in PLAN:
        chosen = [name for name in data if not asked.data or name in asked.data.split(",")]
        for way in ways if chosen else ():
            rows = reproduction.run(
                models, chosen, asked.folder, progress=announced, every=every, lr=way
            )
            old = (
                pd.read_csv(asked.out, keep_default_na=False)
                if asked.out.is_file()
                else pd.DataFrame()
            )
            new = pd.read_csv(asked.folder / "reproduce.csv", keep_default_na=False)
            atomic.write_text(asked.out, merged(old, new).to_csv(index=False, lineterminator="\n"))
            for row in rows:
                print(
                    f"  {row.data}, LR {way}, {row.model}: {row.psnr:.2f} dB, {row.ssim:.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
