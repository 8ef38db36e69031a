"""The commands: `hatlib …` and `python -m hatlib …` alike. Thin: each parses, calls the package and
prints.

Exit codes: 0; 1 where part of the work failed (a picture of a folder, a notebook); 2 for bad input,
with one line on stderr that says what is wrong and what would be right; 130 after Ctrl-C. Whatever
is heavy to import is imported inside a command, so that `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hatlib.cli import batch
from hatlib.errors import HatlibError, unknown
from hatlib.system import console

if TYPE_CHECKING:
    import numpy as np

    from hatlib.models import Network

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Single-image super-resolution: a trusted evaluation protocol, compact networks, the course.",
)
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the table to FILE.")
]
ScaleOption = Annotated[int, typer.Option(min=1, help="HR side / LR side.")]
LR_HELP = "matlab, published (×4 files of the set), or other programs' bicubic: float, pil, torch, torch-antialias."
MEASURED = 5  # columns of the table of reproduce; the others do not fit a narrow terminal, and follow as lines
MODEL_HELP = (
    "bicubic, nearest, weights by name (hat-nano-x4; see hatlib models), or a file of weights."
)
In = Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The file to write, or the folder.")]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; no exception gets out that a user can do something
    about."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # not a text file: somebody captures it
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a Windows console may know no ×
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        code = app(arguments, prog_name="hatlib", standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except HatlibError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(
            f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        )
    except Exception as error:
        if explain := getattr(
            error, "format_message", None
        ):  # what the user typed does not fit the command
            return _complain(f"{explain()} (see hatlib --help)")
        if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
            return _complain(
                "the device is out of memory; --tile 128 takes a large image in pieces"
            )
        raise
    if code == 130:
        console.warn("interrupted")
    return code if isinstance(code, int) else 0


def _complain(message: str) -> int:
    """Says in one line what was wrong; gives the exit code for bad input."""
    console.warn(message)
    return 2


def _version(wanted: bool) -> None:
    if wanted:
        import hatlib

        print(f"hatlib {hatlib.__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options that come before a command."""


# ---- looking around ------------------------------------------------------------------------------


@app.command("doctor")
def doctor_command(json_file: JsonOption = None) -> int:
    """Report versions, device, folders and data sets, and whether all is well."""
    from hatlib.cli import doctor

    console.check_file(json_file)
    findings = doctor.examine()
    table = console.new_table("", "")
    for finding in findings:
        table.add_row(f"[dim]{finding.name}", console.plain(finding.value))
    console.console().print(table)
    problems = [f"{finding.name}: {finding.problem}" for finding in findings if finding.problem]
    verdict = f"to put right: {'; '.join(problems)}" if problems else "all is well"
    console.say(verdict)
    console.write_json(json_file, {"verdict": verdict, **{f.name: f.value for f in findings}})
    return 1 if problems else 0


@app.command()
def datasets(json_file: JsonOption = None) -> None:
    """List the data sets that hatlib can fetch, and how much of each is here."""
    from hatlib.data import datasets

    console.check_file(json_file)
    rows = datasets.table()
    table = console.new_table("name", "for", "terms", right=("images", "here", "MB"))
    for row in rows:
        table.add_row(
            row["name"],
            row["purpose"],
            console.plain(row["terms"]),
            str(row["files"]),
            str(row["present"]),
            f"{row['bytes'] / 1e6:.1f}",
        )
    console.console().print(table)
    console.write_json(json_file, rows)


@app.command()
def models(json_file: JsonOption = None) -> None:
    """List the networks (size, multiply-adds, published PSNR) and the published weights that there
    are."""
    from hatlib import models
    from hatlib.evaluation import model_table

    console.check_file(json_file)
    networks = list(model_table.networks(console.progress(models.names(), "counting")))
    ours, atomic = model_table.own(), model_table.files()
    table = console.new_table(
        "network",
        "configuration",
        right=("parameters", "G multiply-adds", "Set5 dB", "Urban100 dB"),
    )
    table.add_column("trained on")
    for row in networks:
        best = row["published"] or {"set5": None, "urban100": None, "training": None}
        table.add_row(
            row["name"],
            row["configuration"],
            f"{row['parameters']:,}",
            f"{row['multiply_adds'] / 1e9:.2f}",
            _decibels(best["set5"]),
            _decibels(best["urban100"]),
            best["training"] or "",
        )
    console.console().print(table)
    console.say(
        "at ×4, for an LR image of 64×64; PSNR is that of the best published weights (--json has the sources)"
    )
    table = console.new_table("weights", "", right=("MB", "Set5 dB", "Urban100 dB"))
    for column in ("trained on", "licence", "note"):
        table.add_column(column)
    for row in ours:
        data = ", ".join(row["training"]["recipe"]["data"])
        table.add_row(
            row["name"],
            "in the package",
            f"{row['bytes'] / 1e6:.1f}",
            *(_decibels(value) for value in row["measured"].values()),
            data,
            "MIT",
            "the course's own",
        )
    for row in atomic:
        size = f"{row['bytes'] / 1e6:.1f}" if row["bytes"] else ""
        table.add_row(
            row["name"],
            row["state"],
            size,
            *(_decibels(value) for value in row["published"].values()),
            row["training"],
            row["licence"].partition(" (")[0],
            console.plain(row["note"]),
        )
    console.console().print(table)
    console.write_json(json_file, {"networks": networks, "trained": ours, "weights": atomic})


def _decibels(value: dict[str, Any] | None) -> str:
    """A PSNR, or nothing."""
    return f"{value['psnr']:.2f}" if value else ""


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="Data sets and weights, by name.")
    ],
    published_lr: Annotated[
        bool, typer.Option("--published-lr", help="Also the LR files published with it.")
    ] = False,
) -> None:
    """Download data sets and weights: what is here is checked and kept, what is missing is
    fetched."""
    from hatlib.data import datasets
    from hatlib.system.paths import data_folder
    from hatlib.weights import catalogue

    known = [*datasets.names(), *catalogue.names()]
    for name in names:
        if name not in known:
            raise unknown("data set or weights", name, known)
    for name in names:
        paths = (
            [catalogue.fetch(name)]
            if name in catalogue.CATALOGUE
            else datasets.fetch(name, published_lr)
        )
        size = sum(path.stat().st_size for path in paths) / 1e6
        count = "1 file" if len(paths) == 1 else f"{len(paths)} files"
        console.say(
            f"{name}: {count}, {size:.1f} MB in {data_folder()}"
            if paths
            else f"{name}: needs no download"
        )


# ---- pictures ------------------------------------------------------------------------------------


@app.command()
def degrade(
    source: In,
    target: Out,
    scale: ScaleOption = 4,
    blur_sigma: Annotated[
        float | None,
        typer.Option(
            min=0, help="Blur with a Gaussian of that many HR pixels, instead of MATLAB's bicubic."
        ),
    ] = None,
    noise_sigma: Annotated[
        float, typer.Option(min=0, help="Noise, in grey levels of 0–255.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise; each image gets the same.")] = 0,
    real_world: Annotated[
        bool,
        typer.Option(
            "--real-world",
            help="A random chain of blur, resizing, sensor noise, JPEG and sharpening instead.",
        ),
    ] = False,
) -> int:
    """Make images small: y = (x ⊗ k)↓s + n, with MATLAB's bicubic unless a blur is given."""
    from hatlib.imaging import degradation
    from hatlib.imaging.io import load_image, save_image
    from hatlib.imaging.real_world import real_world as random_chain

    if real_world and (blur_sigma is not None or noise_sigma):
        raise HatlibError(
            "--real-world chooses blur and noise itself: leave out --blur-sigma and --noise-sigma"
        )
    kernel = None if blur_sigma is None else degradation.gaussian_kernel(blur_sigma)

    def small(image: np.ndarray) -> np.ndarray:
        if real_world:
            return random_chain(image, scale, seed)[0]
        return degradation.degrade(image, kernel, scale, noise_sigma, seed)

    def convert(path: Path, result: Path) -> str:
        image = load_image(path, gray="keep")
        lr = small(image)
        save_image(result, lr)
        return batch.sizes(image, lr)

    return batch.each_image(source, target, convert)


@app.command()
def upscale(
    source: In,
    target: Out,
    model: Annotated[str, typer.Option(help=MODEL_HELP)],
    scale: Annotated[
        int | None, typer.Option(help="2, 3 or 4 (default); a file knows its own.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Side of the tiles in LR pixels, 0 for none.",
            show_default="by size and memory",
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble",
            help="The mean over eight flips and transposes: a little better, eight times slower.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Of a folder, also make again the results "
            "that are there and newer than their originals.",
        ),
    ] = False,
) -> int:
    """Enlarge images with a network; transparency, 16 bits and colour profile are kept."""
    from hatlib.imaging import user_files
    from hatlib.inference.precision import arithmetic
    from hatlib.inference.upscale import enlarge_picture
    from hatlib.system import devices

    network = load_model(model, scale)
    arithmetic(
        network, precision, devices.device()
    )  # a precision that can't be is said once, and now
    quiet = contextlib.nullcontext() if source.is_dir() else console.counter(source.name)
    with quiet as progress:

        def convert(path: Path, result: Path) -> str:
            picture = user_files.read_picture(path)
            user_files.check_format(result, picture)
            large = enlarge_picture(
                network,
                picture,
                tile=tile,
                precision=precision,
                ensemble=ensemble,
                progress=progress,
            )
            user_files.write_picture(result, large)
            return batch.sizes(picture.pixels, large.pixels)

        return batch.each_image(source, target, convert, resume=not overwrite)


FIGURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg")


@app.command("lam")
def lam_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An LR image.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help=f"A figure ({', '.join(FIGURES)}).")
    ],
    model: Annotated[str, typer.Option(help=MODEL_HELP)],
    window: Annotated[
        tuple[int, int, int],
        typer.Option(
            metavar="Y X SIZE",
            help="A square of the enlarged image: top row, left column, side in pixels.",
        ),
    ],
    scale: Annotated[
        int | None, typer.Option(help="2, 3 or 4 (default); a file knows its own.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Into which the path is cut.")] = 50,
    rule: Annotated[str, typer.Option(help="right (as published) or midpoint.")] = "right",
) -> None:
    """Draw which pixels of an LR image a network uses for a window of its result (a local
    attribution map)."""
    from hatlib import attribution, plotting
    from hatlib.imaging.io import load_image
    from hatlib.system import atomic

    if target.suffix.lower() not in FIGURES:
        raise HatlibError(
            f"cannot save {target}: the name has to end in one of {', '.join(FIGURES)}"
        )
    console.check_file(target)
    lr = load_image(source)
    network = load_model(model, scale)
    with console.counter(source.name) as progress:
        result = attribution.lam(network, lr, window, steps, rule=rule, progress=progress)
    with atomic.atomic_path(target) as temporary:
        plotting.attributions(lr, {model: result}, width=6.0).savefig(temporary, dpi=150)
    used = (
        f"diffusion index {result.diffusion_index:.2f}"
        if result.map.any()
        else "nothing to attribute: LR is flat"
    )
    console.say(
        f"{target}: {used}; attributed {result.completeness[0]:.3f} of {result.completeness[1]:.3f}"
    )


def load_model(name: str, scale: int | None) -> Network:
    """The network on the device of this machine; HatlibError if its scale is not the one that was
    asked for."""
    from hatlib.system import devices
    from hatlib.weights import catalogue, files

    def check(own: int) -> None:
        if scale is not None and own != scale:
            raise HatlibError(f"{name} enlarges ×{own}, and --scale asks for {scale}")

    if name in catalogue.CATALOGUE:
        check(catalogue.CATALOGUE[name].scale)  # before it is downloaded
    network = files.load(name, 4 if scale is None else scale)
    check(network.scale)
    return network.to(devices.device())


# ---- measuring -----------------------------------------------------------------------------------


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help=MODEL_HELP)],
    data: Annotated[str, typer.Option(help="A data set by name, or a folder of images.")],
    scale: ScaleOption = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    save_images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the results there.")
    ] = None,
    lr: Annotated[str, typer.Option(help=LR_HELP)] = "matlab",
    gray: Annotated[str, typer.Option(help="One-channel files: keep, or rgb.")] = "keep",
    json_file: JsonOption = None,
) -> None:
    """Measure a network on a data set by the protocol of the papers, next to the published value
    where there is one."""
    from hatlib.data.datasets import load
    from hatlib.evaluation import protocol, published

    console.check_file(json_file)
    network = load_model(model, scale)
    pairs = load(data, scale, lr=lr, gray=gray, limit=limit)
    if save_images:
        console.make_folder(save_images)
    results = protocol.evaluate(
        network, console.progress(pairs, data), on_image=_saver(save_images)
    )
    mean = results[["psnr", "ssim", "seconds"]].mean()
    table = console.new_table("image", right=("PSNR dB", "SSIM", "seconds"))
    for name, *numbers in results.itertuples(index=False):
        table.add_row(console.plain(name), *_rounded(*numbers))
    table.add_section()
    table.add_row(f"mean of {len(results)}", *_rounded(*mean), style="bold")
    console.console().print(table)
    line = protocol.protocol(scale, lr, gray)
    console.say(f"{model} on {data} {line}")
    whole_set = len(pairs) == set_size(data)
    reference = (
        published.published(model, data, scale)
        if whole_set and lr in ("matlab", "published")
        else None
    )
    if reference:
        psnr, ssim, where = reference
        structure, difference = (
            ("", "") if ssim is None else (f", {ssim:.4f}", f", {mean.ssim - ssim:+.4f}")
        )
        console.say(
            f"published: {psnr:.2f} dB{structure} (difference {mean.psnr - psnr:+.2f} dB{difference}); "
            f"from {where}"
        )
    console.write_json(
        json_file,
        {
            "model": model,
            "data": data,
            "scale": scale,
            "protocol": line,
            "mean": mean.to_dict(),
            "published": reference,
            "images": results.to_dict("records"),
        },
    )


def _rounded(psnr: float, ssim: float, seconds: float) -> tuple[str, str, str]:
    return f"{psnr:.2f}", f"{ssim:.4f}", f"{seconds:.2f}"


def set_size(data: str) -> int:
    """How many images a set of the catalogue has; 0 for a folder, of which nothing is published."""
    from hatlib.data.datasets import CATALOGUE

    return CATALOGUE[data].files if data in CATALOGUE else 0


def _saver(folder: Path | None) -> Callable[[str, np.ndarray], None] | None:
    from hatlib.imaging.io import save_image

    return None if folder is None else lambda name, image: save_image(folder / f"{name}.png", image)


# ---- training ------------------------------------------------------------------------------------


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe by name, such as hat-nano-x4.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE…]", help="More settings.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE…",
            help="Change the recipe: --set steps=2000 batch=8 data=FOLDER.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the run is kept.", show_default="runs/RECIPE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is there.")
    ] = False,
    validate: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="Measure on these images twenty times."),
    ] = None,
) -> None:
    """Train a network; a run that was stopped goes on with --resume."""
    from hatlib.data import datasets
    from hatlib.training import callbacks, loop, recipes

    chosen = recipes.recipe(recipe, **recipes.settings([*(set_ or []), *(more or [])]))
    folder = out or Path("runs") / recipe
    if (folder / callbacks.SNAPSHOT).is_file() and not resume:
        raise HatlibError(
            f"{folder} holds a run already: --resume goes on with it, --out starts another elsewhere"
        )
    pairs = datasets.load(validate, chosen.scale) if validate else []
    validation = callbacks.Validation(pairs, max(1, chosen.steps // 20))
    try:
        run = loop.fit(
            chosen, loop.images(chosen), listeners=[validation] if pairs else [], folder=folder
        )
    except KeyboardInterrupt:
        console.say(f"stopped; {folder} keeps the run, and --resume goes on with it")
        raise
    console.say(loop.export(run, folder / f"{recipe}.safetensors"))
    for step, decibels in zip(validation.steps, validation.psnr, strict=True):
        console.say(f"step {step}: {decibels:.2f} dB on {validate}")


@app.command("reproduce")
def reproduce_command(
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Networks: " + MODEL_HELP,
            show_default="bicubic and the course's own",
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(metavar="NAME,…", help="Sets by name, folders, or ucla.")
    ] = "urban100,ucla",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many images of each set.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="10: only each tenth image of each set.")] = 1,
    scale: ScaleOption = 4,
    lr: Annotated[str, typer.Option(help=LR_HELP)] = "matlab",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "fp32",
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where the results go; an interrupted run goes on there."),
    ] = Path("build/reproduce"),
    json_file: JsonOption = None,
) -> None:
    """Measure networks on whole sets next to the papers' and the survey's values; writes tables and
    strips.

    Each image is written down as it is measured: after an interruption the same command goes on.
    """
    from hatlib import plotting
    from hatlib.evaluation import reproduction
    from hatlib.weights import files

    console.check_file(json_file)
    networks = files.trained() if models is None else _names(models)
    try:
        rows = reproduction.run(
            networks,
            _names(data),
            out,
            limit,
            scale,
            precision,
            _announced,
            every,
            lr,
            draw=plotting.comparison,
        )
    except KeyboardInterrupt:
        console.say(f"stopped; {out} keeps what was measured, and the same command goes on with it")
        raise
    for title, columns, lines in reproduction.tables(rows):
        console.say(title)
        table = console.new_table(columns[0], right=columns[1:MEASURED])
        for name, *numbers in lines:
            table.add_row(console.plain(name), *numbers[: MEASURED - 1])
        console.console().print(table)
    for row in rows:
        for note in reproduction.beside(row):
            console.say(f"{row.data}, {row.model}: {note}")
    console.say(
        f"{rows[0].protocol}\n{sum(row.minutes for row in rows):.1f} min in the networks; rows by image, "
        f"strips and this table: {out}"
    )
    console.write_json(json_file, [row.record() for row in rows])


def _announced(items: Sequence[Any], title: str) -> Iterator[Any]:
    """The items, with a bar; and a line before, for those who look at it hours later."""
    console.say(title)
    return console.progress(items, title)


def _names(text: str) -> list[str]:
    """The names of a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


# ---- the course ----------------------------------------------------------------------------------


@app.command("course")
def course_command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pages go.")] = Path("build"),
    only: Annotated[
        list[str] | None, typer.Option(metavar="NN", help="Only these: 03, or 01,03.")
    ] = None,
    store: Annotated[
        bool,
        typer.Option(
            "--store",
            help="Write the outputs back into the notebooks, if all of "
            "them pass; in the quick profile.",
        ),
    ] = False,
    notebooks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the notebooks are.", show_default="the checkout's"),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that a cell may run.", show_default="900 in the quick profile"),
    ] = None,
) -> int:
    """Run the notebooks in order and write them executed, as HTML, with an index."""
    from hatlib.course import runner

    wanted = [name for part in only or [] for name in part.split(",") if name]
    results = runner.run(out, wanted, store, notebooks, timeout, console.console())
    for result in results:
        for warning in result.warnings:
            console.say(f"{result.name} wrote to stderr: {warning}")
    failed = [result.name for result in results if result.state == "failed"]
    how = f"failed: {', '.join(failed)}" if failed else f"{len(results)} passed"
    minutes = sum(result.minutes for result in results)
    kept = " (outputs not stored)" if store and failed else " (outputs stored)" if store else ""
    console.say(f"{how}, {minutes:.1f} min{kept}: {out / 'index.html'}")
    return 1 if failed else 0
