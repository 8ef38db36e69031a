"""hatlib doctor: what this machine has (versions, devices, folders), and whether all is well."""

from __future__ import annotations

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
    problems = [f"{finding.name}: {finding.problem}" for finding in findings if finding.problem]
    verdict = f"to put right: {'; '.join(problems)}" if problems else "all is well"
    console.say(verdict)
    file.write({"verdict": verdict, **{finding.name: finding.value for finding in findings}})
    return 1 if problems else 0


def examine() -> list[Finding]:
    """The whole report. What is wrong is a finding too, never an exception."""
    return [
        *(Finding(name, value) for name, value in machine.facts().items()),
        _packages(),
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


def _packages() -> Finding:
    versions = ", ".join(f"{name} {machine.package_version(name)}" for name in PACKAGES)
    return Finding("packages", versions, machine.stranger())


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HatlibError as error:
        return Finding(name, "not usable", str(error))


def _precision() -> Finding:
    fast = devices.fast_bfloat16()
    return Finding(
        "precision", f"float32; bfloat16 {'is faster here' if fast else 'gains nothing here'}"
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
        return Finding(
            "notebooks", where, f"{', '.join(missing)} missing: {machine.INSTALL_NOTEBOOKS}"
        )
    versions = [f"{name} {machine.package_version(name)}" for name in ("nbclient", "ipykernel")]
    return Finding("notebooks", f"{where}; {', '.join(versions)}")
