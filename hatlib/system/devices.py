"""Where we run: the device, what it is fast at, its memory, and what a CPU needs to be fast."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hatlib.errors import HatlibError
from hatlib.system import containers

if TYPE_CHECKING:
    import torch

# bytes taken to be free where the system does not tell
MEMORY = 4 << 30

# bytes that are used without asking whether they are free
SMALL = 1 << 28

# Threads that wait for work watch for it for a moment and then sleep. Without the moment, the small
# operations of small networks gain nothing from a second core. Without the sleep, training beside a
# second busy process (another notebook, a browser) was up to four times slower.
THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "4000"}

# What oneDNN, which computes convolutions on CPUs, prepares for a size, and what torch keeps beside
# it: so many of the last used, instead of 1,024. A network needs 10 to 100 for a size. With all
# that torch would keep, a folder of pictures of different sizes took 0.3 MB more with each.
CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "256"}

# values of ONEDNN_MAX_CPU_ISA: instruction sets that have no bfloat16 products
WITHOUT_BFLOAT16 = {
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
}

# variables by which somebody tells GNU's C library what to do with freed memory
ALLOCATOR = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

# what `HATLIB_DEVICE` may be
DEVICE_NAMES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


# --- the device -----------------------------------------------------------------------------------


def device() -> torch.device:
    """The device to compute on: what `HATLIB_DEVICE` names (cpu, cuda, cuda:1, mps), or else a CUDA
    GPU that works, or else the CPU. Of several processes that torchrun or accelerate launch started
    on one machine, each takes a GPU of its own, as far as they go.

    Apple's MPS is taken only where it is named: no result of this package has been checked there,
    and it is slow for small windows.

    Raises:
        HatlibError: `HATLIB_DEVICE` names something else, or a device that cannot compute.
    """
    import torch

    name = os.environ.get("HATLIB_DEVICE") or "auto"
    if not DEVICE_NAMES.fullmatch(name):
        raise HatlibError(
            f"HATLIB_DEVICE is '{name}'; it can be cpu, cuda, cuda:1 (the second GPU), mps or auto"
        )
    if name == "auto":
        _take_own_gpu()
        works = torch.cuda.is_available() and not has_faulty_gpu()
        return torch.device("cuda" if works else "cpu")
    if reason := fault(name):
        raise HatlibError(f"HATLIB_DEVICE is '{name}', which cannot compute here: {reason}")
    return torch.device(name)


def _take_own_gpu() -> None:
    """Makes "cuda" mean a GPU of this process's own, where a launcher started several."""
    import torch

    number = os.environ.get("LOCAL_RANK", "")
    if number.isdecimal() and (count := torch.cuda.device_count()) > 1:
        torch.cuda.set_device(int(number) % count)


@functools.cache
def fault(name: str) -> str:
    """Why a device cannot compute, or "" where it can.

    An operation is tried, because torch also lists GPUs for which it has no kernels: those of older
    generations than its wheels were built for.
    """
    import torch

    try:
        total = float(torch.ones(8, device=name).sum())
    except (RuntimeError, AssertionError) as error:  # the second from a torch without CUDA
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "" if total == 8 else f"the sum of eight ones is {total}"


def has_faulty_gpu() -> bool:
    """Whether there is a CUDA GPU that cannot compute."""
    import torch

    return torch.cuda.is_available() and bool(fault("cuda"))


def remark() -> str:
    """What there is to say about the choice of the device; "" where there is nothing."""
    import torch

    chosen = device().type
    if chosen == "mps":
        return "Apple's MPS is used as asked: no result has been checked on it"
    if chosen == "cuda" or os.environ.get("HATLIB_DEVICE") == "cpu":
        return ""
    if has_faulty_gpu():
        return f"the GPU is not used, because torch cannot compute on it: {fault('cuda')}"
    if torch.backends.mps.is_available():
        return "Apple's GPU is not used; HATLIB_DEVICE=mps takes it, slow and unchecked"
    return ""


# --- what it is fast at ---------------------------------------------------------------------------


def fast_bfloat16(on: torch.device | str | None = None) -> bool:
    """Whether a device has arithmetic of its own for bfloat16: a CPU with AMX tiles or AVX-512's
    bfloat16 products, a CUDA GPU from Ampere on. `benchmarks/speed.py`, `benchmarks/throughput.py`
    and `benchmarks/gpu.py` print by how much it is faster. Where oneDNN, which computes these
    products, is told to do without such instructions (`ONEDNN_MAX_CPU_ISA`), there are none.

    Args:
        on: the device; by default the one of `device`.
    """
    import torch

    chosen = torch.device(on or device())
    if chosen.type == "cuda":
        return has_tf32(chosen)
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in WITHOUT_BFLOAT16:
        return False
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return chosen.type == "cpu" and any(getattr(torch.cpu, test, lambda: False)() for test in tests)


def has_tf32(on: torch.device) -> bool:
    """Whether a device can compute in TF32, and in bfloat16 without emulation: a CUDA GPU from
    Ampere on (compute capability 8.0)."""
    import torch

    return on.type == "cuda" and torch.cuda.get_device_capability(on) >= (8, 0)


# --- what a CPU needs, and memory -----------------------------------------------------------------


@functools.cache
def prepare_cpu() -> None:
    """What a CPU needs to be fast, once for the process: called where work begins, by commands, by
    `fit`, `upscale` and `lam`. Importing hatlib does none of it.

    Freed memory stays with the process (`keep_memory`), and less of what was prepared for sizes of
    images (`CACHES`, read with the first convolution). Threads that wait go to sleep soon: that is
    two variables of the environment (`THREADS`), which the OpenMP library reads when torch is
    imported. Commands, and `hello` in the first cell of a notebook, set them before that. In a
    program of your own torch may be there first: set OMP_WAIT_POLICY=PASSIVE and
    GOMP_SPINCOUNT=4000 yourself where two busy processes share the cores. Variables that are set
    already are left alone.
    """
    if "torch" not in sys.modules:
        for name, value in THREADS.items():
            os.environ.setdefault(name, value)
    for name, value in CACHES.items():
        os.environ.setdefault(name, value)
    keep_memory()


def keep_memory(block: int = 128 << 20, most: int = 1 << 30) -> None:
    """Lets freed memory stay with the process instead of going back to the system (GNU's C
    library).

    Networks ask for the same large blocks again and again, and on a large image a quarter of the
    time went into getting them from the system anew. Nothing is done where one of the library's own
    variables (`ALLOCATOR`) is set.

    Args:
        block: bytes of the largest block that stays; with larger ones, the gaps between blocks add
            up.
        most: bytes that stay.
    """
    if sys.platform != "linux" or any(name in os.environ for name in ALLOCATOR):
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, block)  # M_MMAP_THRESHOLD of malloc.h
        mallopt(-1, most)  # M_TRIM_THRESHOLD


def release_memory() -> None:
    """Gives freed memory back to the system, also what lies between blocks in use (GNU's C
    library)."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device: a GPU's own memory, or the computer's as far as a container
    may use it."""
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    free = _computer_memory()
    left = containers.memory_left()
    return free if left is None else min(free, left)


def _computer_memory() -> int:
    """Bytes that are free on the computer, or a guess where nothing tells."""
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):  # Linux
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable")).split()[1]
        )
    # macOS does not say what is free
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return MEMORY


def require_memory(needed: float, what: str) -> None:
    """Raises HatlibError if so many bytes are not free on the computer: asked before the work, as a
    system that has promised more than it has ends the process without a word.

    Args:
        needed: bytes, roughly.
        what: takes them, in words: "the result, 40000×30000 pixels,".
    """
    if needed < SMALL:
        return
    import torch

    free = free_memory(torch.device("cpu"))
    if needed > free:
        raise HatlibError(
            f"{what} takes about {needed / 1e9:.3g} GB of memory, and {free / 1e9:.1f} GB are free"
        )


def seed_everything(seed: int) -> None:
    """Seeds Python's, numpy's and torch's (all devices') global random generators."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
