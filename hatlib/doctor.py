"""What this machine has: versions, devices, folders. Shown by `hatlib doctor` and at the foot of the course's index."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hatlib import runtime
from hatlib.errors import HatlibError

NOTEBOOK_PACKAGES = ("nbclient", "nbconvert", "nbformat", "ipykernel", "latex2mathml")  # of the extra `notebooks`
INSTALL_NOTEBOOKS = 'pip install "hatlib[notebooks]"'
LOW_SPACE = 0.5e9  # bytes; all public sets together take 0.25 GB


@dataclass(frozen=True)
class Finding:
    """One line of the report; `problem` says what to do about it, and is empty where all is well."""

    name: str
    value: str
    problem: str = ""


def machine() -> dict[str, str]:
    """What a measured minute depends on: versions, processor and GPU."""
    import numpy
    import torch

    import hatlib

    where = runtime.device()
    gpu = torch.cuda.get_device_name() if where.type == "cuda" else "none" if where.type == "cpu" else where.type
    threads = torch.get_num_threads()
    return {
        "hatlib": hatlib.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "CPU": f"{processor()}, {os.cpu_count()} logical cores, {threads} thread{'s' * (threads != 1)}",
        "GPU": gpu,
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    return platform.processor() or platform.machine()


def missing_notebook_packages() -> list[str]:
    """Which of the packages that run notebooks are not installed."""
    return [name for name in NOTEBOOK_PACKAGES if importlib.util.find_spec(name) is None]


def examine() -> list[Finding]:
    """The whole report. What is wrong is a finding too, never an exception."""
    others = ("scipy", "scikit-image", "pillow", "pandas", "matplotlib", "ipywidgets", "safetensors", "pooch")
    return [
        *(Finding(name, value) for name, value in machine().items()),
        Finding("packages", ", ".join(f"{name} {_version(name)}" for name in others)),
        _guarded("precision", _precision),
        _guarded("profile", lambda: Finding("profile", runtime.profile())),
        _guarded("data folder", _data_folder),
        _guarded("mirror", lambda: Finding("mirror", str(runtime.mirror() or "not set: the network is used"))),
        _guarded("data sets", _data_sets),
        _notebooks(),
    ]


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except HatlibError as error:
        return Finding(name, "not usable", str(error))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _precision() -> Finding:
    fast = runtime.fast_bfloat16()
    return Finding("precision", f"float32; bfloat16 {'is faster here' if fast else 'gains nothing here'}")


def _data_folder() -> Finding:
    """Whether downloads can be kept: a file is really written, because permissions tell only half."""
    folder = runtime.data_folder()
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding("data folder", str(folder), f"{folder} can't be written to ({error.strerror}); "
                       "set HATLIB_DATA to a folder that can")
    free = shutil.disk_usage(there).free
    problem = f"only {free / 1e9:.1f} GB are free in {folder}" if free < LOW_SPACE else ""
    return Finding("data folder", f"{folder}, {free / 1e9:.0f} GB free", problem)


def _data_sets() -> Finding:
    from hatlib import datasets

    rows = datasets.table()
    return Finding("data sets", ", ".join(f"{row['name']} {row['present']}/{row['files']}" for row in rows))


def _notebooks() -> Finding:
    missing = missing_notebook_packages()
    place = runtime.checkout()
    where = f"in {place / 'notebooks'}" if place else "not here: the course runs in a checkout"
    if missing:
        return Finding("notebooks", where, f"{', '.join(missing)} missing: {INSTALL_NOTEBOOKS}")
    return Finding("notebooks", f"{where}; nbclient {_version('nbclient')}, ipykernel {_version('ipykernel')}")
