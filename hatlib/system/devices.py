"""Where we run: the device, how long cells may train, and where downloads are kept."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MEMORY = 4 << 30  # bytes taken to be free where the system does not tell


def device() -> torch.device:
    """The best device at hand: CUDA, then Apple's MPS, then the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_bfloat16(where: torch.device | str | None = None) -> bool:
    """Whether bfloat16 arithmetic is faster than float32 there: a CPU with AMX tiles or AVX-512's
    bfloat16 products, a CUDA GPU from Ampere on. `benchmarks/speed.py` and
    `benchmarks/throughput.py` print by how much."""
    import torch

    kind = torch.device(where or device()).type
    if kind == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return kind == "cpu" and any(getattr(torch.cpu, test, lambda: False)() for test in tests)


def keep_memory(block: int = 128 << 20, most: int = 1 << 30) -> None:
    """Lets freed memory stay with the process instead of going back to the system (GNU's C
    library).

    Networks ask for the same large blocks again and again, and on a large image a quarter of the
    time went into getting them from the system anew. Whoever has set the library's own variables is
    left alone.

    Args:
        block: bytes of the largest block that stays; with larger ones, the gaps between blocks add
            up.
        most: bytes that stay.
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if sys.platform != "linux" or any(name in os.environ for name in own):
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, block)  # M_MMAP_THRESHOLD of malloc.h
        mallopt(-1, most)  # M_TRIM_THRESHOLD


def free_memory(where: torch.device) -> int:
    """Bytes that can still be had on a device: a GPU's own memory, the computer's, or a guess where
    nothing tells."""
    import torch

    if where.type == "cuda":
        free, _ = torch.cuda.mem_get_info(where)
        return free + torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):  # Linux
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable")).split()[1]
        )
    with contextlib.suppress(
        AttributeError, OSError, ValueError
    ):  # macOS does not say what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return MEMORY


def seed_everything(seed: int) -> None:
    """Seeds Python's, numpy's and torch's (all devices') global random generators."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
