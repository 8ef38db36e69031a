"""hatlib degrade, hatlib upscale: images in, images out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from hatlib.cli.batch import Batch
from hatlib.cli.options import (
    Format,
    In,
    Model,
    ModelScale,
    NoMetadata,
    Out,
    OverwriteFolder,
    Precision,
    Quality,
    Recursive,
    Scale,
    Shard,
    load_model,
    weights_of,
)
from hatlib.errors import HatlibError
from hatlib.system import console

if TYPE_CHECKING:
    import numpy as np


def _check_quality(images: Batch, quality: int | None) -> None:
    """Raises HatlibError where a quality is given, and no result has one."""
    from hatlib.imaging.user_files import JPEG_SUFFIXES

    results = images.plan.values()
    if quality is not None and not any(path.suffix.lower() in JPEG_SUFFIXES for path in results):
        raise HatlibError("--quality is of JPEG files, and no result is one: --format jpg")


def degrade(
    source: In,
    target: Out,
    scale: Scale = 4,
    blur_sigma: Annotated[
        float | None,
        typer.Option(min=0, help="Blur by a Gaussian (in HR pixels), instead of MATLAB's bicubic."),
    ] = None,
    noise_sigma: Annotated[
        float, typer.Option(min=0, help="Noise, in grey levels of 0–255.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise; the same for each image.")] = 0,
    real_world: Annotated[
        bool,
        typer.Option(
            "--real-world",
            help="A random chain of blur, resizing, sensor noise, JPEG and sharpening instead.",
        ),
    ] = False,
    format: Format = None,
    quality: Quality = None,
    recursive: Recursive = False,
    no_metadata: NoMetadata = False,
    shard: Shard = None,
    overwrite: OverwriteFolder = False,
) -> int:
    """Downsample images: y = (x ⊗ k)↓s + n, by MATLAB's bicubic unless a blur is given.

    Transparency, 16 bits, colour profile and metadata are kept.
    """
    from hatlib.imaging import degradation, user_files
    from hatlib.imaging.convert import in_floats
    from hatlib.imaging.real_world import real_world as random_chain

    if real_world and (blur_sigma is not None or noise_sigma):
        raise HatlibError(
            "--real-world chooses blur and noise itself: leave out --blur-sigma and --noise-sigma"
        )
    kernel = None if blur_sigma is None else degradation.gaussian_kernel(blur_sigma)

    @in_floats
    def colours(hr: np.ndarray) -> np.ndarray:
        if real_world:
            return random_chain(hr, scale, seed)[0]
        return degradation.degrade(hr, kernel, scale, noise_sigma, seed)

    @in_floats
    def mask(alpha: np.ndarray) -> np.ndarray:
        return degradation.degrade(alpha, kernel, scale)

    images = Batch(source, target, overwrite, shard, format, recursive)
    _check_quality(images, quality)
    images.made_by(
        "degrade",
        scale=scale,
        blur_sigma=blur_sigma,
        noise_sigma=noise_sigma,
        seed=seed,
        real_world=real_world,
        quality=quality,
        metadata=not no_metadata,
    )
    for path, result in images:
        with images.writing(path, result) as file:
            hr = user_files.read_picture(path, metadata=not no_metadata)
            images.remark(path, hr.metadata.left_out)
            user_files.check_format(result, hr, 1 / scale)
            lr = user_files.changed(hr, colours, mask)
            user_files.write_picture(file, lr, quality)
            images.note(hr.pixels, lr.pixels)
    return images.finish()


def upscale(
    source: In,
    target: Out,
    model: Model,
    scale: ModelScale = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Side of the tiles in LR pixels, 16 or more; 0 for none.",
            show_default="by size and memory",
        ),
    ] = None,
    precision: Precision = "auto",
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble",
            help="The mean over eight flips and transposes: a little better, eight times slower.",
        ),
    ] = False,
    format: Format = None,
    quality: Quality = None,
    recursive: Recursive = False,
    no_metadata: NoMetadata = False,
    shard: Shard = None,
    overwrite: OverwriteFolder = False,
) -> int:
    """Upscale images with a network; transparency, 16 bits, colours and metadata are kept."""
    from hatlib.imaging import user_files
    from hatlib.inference import memory
    from hatlib.inference.precision import arithmetic
    from hatlib.inference.upscale import upscale_picture
    from hatlib.system import devices

    memory.check_tile(tile)
    images = Batch(source, target, overwrite, shard, format, recursive)
    _check_quality(images, quality)
    network = load_model(model, scale)
    # unsuitable ones are refused here
    precision = arithmetic(network, precision, devices.device())
    images.made_by(
        "upscale",
        weights=weights_of(model, network),
        scale=network.scale,
        precision=precision,
        tile=tile,
        ensemble=ensemble,
        quality=quality,
        metadata=not no_metadata,
    )
    no_bar = contextlib.nullcontext()
    with no_bar if images.is_folder else console.counter(source.name) as progress:
        for path, result in images:
            with images.writing(path, result) as file:
                picture = user_files.read_picture(path, metadata=not no_metadata)
                images.remark(path, picture.metadata.left_out)
                user_files.check_format(result, picture, network.scale)
                upscaled = upscale_picture(
                    network,
                    picture,
                    tile=tile,
                    precision=precision,
                    ensemble=ensemble,
                    progress=progress,
                )
                user_files.write_picture(file, upscaled, quality)
                images.note(picture.pixels, upscaled.pixels)
    return images.finish()
