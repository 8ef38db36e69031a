"""hatlib doctor: what this machine has (versions, devices, folders), and whether all is well."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from hatlib.cli.options import Json, Overwrite
from hatlib.cli.results import Table
from hatlib.errors import HatlibError
from hatlib.system import console, devices, machine, paths

PACKAGES = (
    *("scipy", "scikit-image", "pillow", "pandas"),
    *("matplotlib", "ipywidgets", "safetensors", "pooch"),
)
LARGE_PHOTO = 60_000_000  # pixels
LOW_SPACE = 0.5e9  # bytes; all public sets together take 0.25 GB


@dataclass(frozen=True)
class Finding:
    """One line of the report; `problem` says what to do about it, and is empty where all is
    well."""

    name: str
    value: str
    problem: str = ""


def doctor(json_file: Json = None, overwrite: Overwrite = False) -> int:
    """Report versions, device, folders and data sets, and whether all is well."""
    file = Table(json_file, overwrite)
    findings = examine()
    table = console.new_table("", "")
    for finding in findings:
        table.add_row(f"[dim]{finding.name}", console.plain(finding.value))
    console.console().print(table)
    # the same problem may show in several lines: the first one names it
    first = {finding.problem: finding.name for finding in reversed(findings) if finding.problem}
    problems = [f"{name}: {problem}" for problem, name in reversed(first.items())]
    verdict = f"to put right: {'; '.join(problems)}" if problems else "all is well"
    console.say(verdict)
    file.write({"verdict": verdict, **{finding.name: finding.value for finding in findings}})
    return 1 if problems else 0


def examine() -> list[Finding]:
    """The whole report. What is wrong is a finding too, never an exception."""
    return [
        _guarded("device", _device),
        *(Finding(name, value) for name, value in _facts().items()),
        _packages(),
        _memory(),
        _guarded("precision", _precision),
        _guarded("profile", lambda: Finding("profile", machine.profile())),
        _guarded("data folder", _data_folder),
        _guarded(
            "mirror",
            lambda: Finding("mirror", str(paths.mirror() or "not set: the network is used")),
        ),
        _guarded("data sets", _data_sets),
        _notebooks(),
    ]


def _device() -> Finding:
    """What networks run on, and why not on the GPU, if that is to be put right."""
    chosen = devices.device()
    how = "HATLIB_DEVICE" if os.environ.get("HATLIB_DEVICE") else "chosen automatically"
    remark = devices.remark()
    if chosen.type == "cpu" and devices.has_faulty_gpu():
        return Finding("device", f"{chosen} ({how})", remark)
    return Finding("device", f"{chosen} ({how})" + (f"; {remark}" if remark else ""))


def _facts() -> dict[str, str]:
    try:
        return {**machine.facts(), **machine.gpu_facts()}
    except HatlibError:  # of HATLIB_DEVICE, which the line above reports
        return {}


def _packages() -> Finding:
    versions = ", ".join(f"{name} {machine.package_version(name)}" for name in PACKAGES)
    return Finding("packages", versions, machine.stranger())


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HatlibError as error:
        return Finding(name, "not usable", str(error))


def _memory() -> Finding:
    """What is free, and what a large photo takes of it: with less, smaller tiles are taken."""
    import torch

    from hatlib.inference import memory

    free = devices.free_memory(torch.device("cpu"))
    takes, with_16 = (memory.expected(LARGE_PHOTO // 4**2, 4, bits) / 1e9 for bits in (8, 16))
    return Finding(
        "memory",
        f"{free / 1e9:.1f} GB free; upscaling ×4 to {LARGE_PHOTO / 1e6:.0f} megapixels takes up to "
        f"{takes:.1f} GB, with 16 bits {with_16:.1f}",
    )


def _precision() -> Finding:
    fast = devices.fast_bfloat16()
    tf32 = ", tf32" if devices.has_tf32(devices.device()) else ""
    return Finding(
        "precision", f"fp32{tf32}; bf16 {'is faster here' if fast else 'gains nothing here'}"
    )


def _data_folder() -> Finding:
    """Whether downloads can be kept: a file is really written, because permissions tell only
    half."""
    folder = paths.data_folder()
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(
            "data folder",
            str(folder),
            f"{folder} cannot be written to ({error.strerror}); set HATLIB_DATA to one that can",
        )
    free = shutil.disk_usage(there).free
    problem = f"only {free / 1e9:.1f} GB are free in {folder}" if free < LOW_SPACE else ""
    return Finding("data folder", f"{folder}, {free / 1e9:.0f} GB free", problem)


def _data_sets() -> Finding:
    from hatlib.data import datasets

    rows = datasets.table()
    return Finding(
        "data sets", ", ".join(f"{row['name']} {row['present']}/{row['files']}" for row in rows)
    )


def _notebooks() -> Finding:
    missing = machine.missing_notebook_packages()
    place = paths.checkout()
    where = f"in {place / 'notebooks'}" if place else "not here: the course runs in a checkout"
    if missing:
        lacks = f"{', '.join(missing)} missing: {machine.INSTALL_NOTEBOOKS}"
        # without notebooks, as in a wheel, nothing needs them
        return (
            Finding("notebooks", where, lacks)
            if place
            else Finding("notebooks", f"{where}; not needed without it: {lacks}")
        )
    versions = [f"{name} {machine.package_version(name)}" for name in ("nbclient", "ipykernel")]
    return Finding("notebooks", f"{where}; {', '.join(versions)}")
