"""How long the authors' HAT would take on a whole set, where its weights are unavailable: random
weights stand in for them.

    python -m benchmarks.stand_in [--weights hat-x4-imagenet] [--data urban100] [--every 10]

Writes a file of HAT's full size in the authors' layout ({"params_ema": …}, with the index tables)
to where the weights belong, and has this process take its SHA-256 for the right one (any other
process refuses the file). Then it is measured as `hatlib reproduce` would measure the released
file: reading, checking, all images, tables and strips. In the end the file is removed. This tells
whether the whole path works and how long it takes; the PSNR of random weights says nothing. An
interrupted run is resumed, since the random numbers are always the same.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from hatlib import HatlibError, models, plotting
from hatlib.evaluation import reproduction
from hatlib.models import complexity
from hatlib.models.hat import HAT
from hatlib.models.window_attention import overlapping_position_index, relative_position_index
from hatlib.system import atomic, devices, downloads, machine
from hatlib.weights import catalogue


def tensors(model: HAT) -> dict[str, torch.Tensor]:
    """The network's state as in the authors' files: with two tables of positions, the second of
    which has negative ones."""
    window, side = model.config.window_size, model.config.overlap_side
    overlapping = overlapping_position_index(window, side)
    # counted from the end of the bias table: −880 … 640
    from_the_end = overlapping - (window + side - 1) ** 2
    overlapping = torch.where(overlapping > window * (window + side), from_the_end, overlapping)
    return {
        "relative_position_index_SA": relative_position_index(window),
        "relative_position_index_OCA": overlapping,
        **model.state_dict(),
    }


def write(entry: catalogue.Weights, path: Path) -> int:
    """Writes random weights of the entry's network in the authors' layout; returns the number of
    parameters."""
    devices.seed_everything(0)
    model = models.create(entry.model, entry.scale)
    assert isinstance(model, HAT)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.atomic_path(path) as temporary:
        torch.save({"params_ema": tensors(model)}, temporary)
    return complexity.parameters(model)


@contextlib.contextmanager
def in_place(name: str) -> Iterator[catalogue.Weights]:
    """A stand-in where those weights belong, while the block runs; this process takes it for the
    right file.

    Raises:
        HatlibError: unknown weights, or a file is there already.
    """
    entry = catalogue.info(name)
    if name in catalogue.present(entry.scale):
        raise HatlibError(f"{entry.file} is here: `hatlib reproduce --models {name}` measures it")
    try:
        write(entry, entry.path)
        registered = dataclasses.replace(
            entry,
            bytes=entry.path.stat().st_size,
            sha256=downloads.sha256(entry.path),
            addresses=(),
        )
        catalogue.CATALOGUE[name] = registered
        yield registered
    finally:
        catalogue.CATALOGUE[name] = entry
        entry.path.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> None:
    own = [entry.name for entry in catalogue.CATALOGUE.values() if entry.model.startswith("hat")]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--weights", default="hat-x4-imagenet", choices=own)
    parser.add_argument("--data", default="urban100")
    parser.add_argument("--every", type=int, default=1, help="10: only each tenth image")
    parser.add_argument("--precision", default="fp32", help="auto, fp32, bf16")
    parser.add_argument("--out", type=Path, default=Path("build/stand-in"))
    asked = parser.parse_args(arguments)
    with in_place(asked.weights) as entry:
        size = f"{entry.bytes / 1e6:.1f} MB"
        print(f"random weights in the place of {entry.name}: {size}, {machine.hardware()}")
        start = time.perf_counter()
        rows = reproduction.run(
            [entry.name],
            [asked.data],
            asked.out,
            scale=entry.scale,
            every=asked.every,
            precision=asked.precision,
            draw=plotting.comparison,
        )
        minutes = (time.perf_counter() - start) / 60
    row = rows[-1]
    print(
        f"{row.data}: {row.images} images in {minutes:.1f} min, {row.seconds:.1f} s per image in "
        f"the network ({asked.precision}); tables and strips: {asked.out}"
    )


if __name__ == "__main__":
    main()
