"""What this machine is: versions, processor, GPU, and how long training cells run on it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path

from hatlib.errors import HatlibError
from hatlib.system import devices, torch_settings
from hatlib.system.devices import device
from hatlib.version import __version__

PROFILES = ("quick", "full")
DISTRIBUTION = "hatlib-sr"  # what pip calls this package; its `hatlib` is another project's
OUR_ADDRESS = "github.com/hatlib/hatlib"


def profile() -> str:
    """How long training cells train: `HATLIB_PROFILE` = quick (minutes on two CPU cores) or full;
    default by device."""
    chosen = os.environ.get("HATLIB_PROFILE") or ("full" if device().type == "cuda" else "quick")
    if chosen not in PROFILES:
        raise HatlibError(f"HATLIB_PROFILE is '{chosen}'; it can be {' or '.join(PROFILES)}")
    return chosen


def hardware() -> str:
    """The device in words: the GPU's name, or the number of threads on the CPU."""
    import torch

    kind = device().type
    if kind == "cuda":
        return torch.cuda.get_device_name(device())
    return f"{kind}, {_threads(torch.get_num_threads())}"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def hello() -> None:
    """Prints one line: version, device and profile. The first cell of every notebook ends with it.

    More lines follow where something is to be known: why a GPU is not used, how to get one on
    Colab, that another project called hatlib is installed beside this one. The CPU is prepared
    (`devices.prepare_cpu`), as torch is not imported yet, and TF32 is forbidden
    (`torch_settings.allow_tf32`), so that what a cell computes in float32 by hand is float32 on
    every GPU.
    """
    devices.prepare_cpu()
    import torch

    torch_settings.allow_tf32(False)
    print(f"hatlib {__version__}, torch {torch.__version__}, {hardware()}, profile {profile()}")
    for line in (devices.remark(), _colab_without_gpu(), stranger()):
        if line:
            print(line)


def _colab_without_gpu() -> str:
    """How to get Colab's GPU, and what it costs to go on without; "" elsewhere."""
    if "google.colab" not in sys.modules or devices.device().type != "cpu":
        return ""
    return (
        "Colab runs this without a GPU. To get one: Runtime > Change runtime type > T4 GPU; then\n"
        "run this cell again. Everything runs without, but trainings are short (profile quick),\n"
        "so their results are worse, and large networks are slow."
    )


def stranger() -> str:
    """What to do about a distribution `hatlib` that is not ours; "" where there is none.

    Its files lie in the same folder as ours, so whichever was installed last has overwritten parts
    of the other.
    """
    try:
        other = importlib.metadata.metadata("hatlib")
    except importlib.metadata.PackageNotFoundError:
        return ""
    if OUR_ADDRESS in str(other):
        return ""  # our own, installed under its old name
    return (
        f"another project called hatlib ({other['Version']}) is installed as well: "
        f"pip uninstall hatlib {DISTRIBUTION}, then install {DISTRIBUTION} again"
    )


# of the extras `notebooks` and `docs`
NOTEBOOK_PACKAGES = (
    *("nbclient", "nbformat", "ipykernel"),
    *("sphinx", "myst_nb", "sphinx_book_theme", "latex2mathml"),
)
INSTALL_NOTEBOOKS = f'pip install "{DISTRIBUTION}[notebooks,docs]"'


def facts() -> dict[str, str]:
    """What a measured minute depends on: versions, processor and GPU."""
    import numpy
    import torch

    kind = devices.device().type
    gpu = {"cpu": "none", "cuda": "", "mps": "Apple, through MPS"}[kind]
    threads = torch.get_num_threads()
    return {
        "hatlib": __version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "CPU": f"{processor()}, {os.cpu_count()} logical cores, {_threads(threads)}",
        "GPU": gpu or torch.cuda.get_device_name(device()),
    }


def gpu_facts() -> dict[str, str]:
    """What decides how fast a CUDA GPU is with this torch: memory, the generations that torch was
    built for, TF32, and the ways that it may take for attention. Empty where no GPU is used."""
    import torch

    chosen = devices.device()
    if chosen.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info(chosen)
    major, minor = torch.cuda.get_device_capability(chosen)
    built_for = " ".join(torch.cuda.get_arch_list()) or "unknown ones"
    settings = torch.backends.cuda
    attention = {
        "flash": settings.flash_sdp_enabled(),
        "memory-efficient": settings.mem_efficient_sdp_enabled(),
        "cuDNN": settings.cudnn_sdp_enabled(),
        "math": settings.math_sdp_enabled(),
    }
    has_tf32 = devices.has_tf32(chosen)
    return {
        "GPU memory": f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} free",
        "GPU architecture": f"sm_{major}{minor}; torch has kernels for {built_for}",
        "CUDA": f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
        "TF32": "in precision tf32 only, never in fp32" if has_tf32 else "not on this GPU",
        "attention": ", ".join(name for name, enabled in attention.items() if enabled),
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


def package_version(package: str) -> str:
    """The installed version, or "missing"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
