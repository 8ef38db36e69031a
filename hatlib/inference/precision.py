"""Which arithmetic a network computes in: float32, TF32, bfloat16, float16; and what stays
float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from hatlib.errors import HatlibError, unknown
from hatlib.models import DAT, Network
from hatlib.models.complexity import parameters
from hatlib.models.swinir import WindowNetwork
from hatlib.system import devices, torch_settings

# what networks compute in beside float32
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = ("auto", "fp32", "tf32", *DTYPES)

# Parameters from which bfloat16 is taken on a GPU. Below, a network waits for the launches of its
# kernels, and bfloat16 adds some that convert; `benchmarks/gpu.py` measures where the limit lies.
LARGE_NETWORK = 500_000


def arithmetic(model: Network, precision: str, device: torch.device, training: bool = False) -> str:
    """The precision in which a network computes on a device: fp32, tf32, bf16 or fp16.

    "auto" is bf16 where the device is fast at it: on a CPU with AMX or AVX-512's bfloat16 products,
    and for networks of half a million parameters on GPUs from Ampere on. There, smaller ones and
    all others in training compute in tf32. What says that it needs float32 in use, such as SRCNN
    and networks from elsewhere (`mixed_precision`), stays in fp32, and so does everything on older
    GPUs.

    Args:
        training: whether the network is trained, where small roundings matter less.
    Raises:
        HatlibError: an unknown precision, or one that the network or the device cannot be run in.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "auto":
        return _suitable(model, device, training)
    if precision == "fp16" and isinstance(model, WindowNetwork | DAT):
        raise HatlibError(
            "fp16 is refused for networks with window attention: their activations exceed 65504, "
            "the largest number that float16 has, and the picture becomes black; bf16 is as fast"
        )
    if precision == "tf32" and not devices.has_tf32(device):
        raise HatlibError(
            f"tf32 is arithmetic of NVIDIA's GPUs from Ampere on, and this is {_words(device)}; "
            "fp32 works everywhere"
        )
    if precision == "bf16" and device.type == "cuda" and not devices.fast_bfloat16(device):
        raise HatlibError(
            f"bf16 is refused on {_words(device)}: GPUs before Ampere only imitate bfloat16, "
            "slower than fp32"
        )
    return precision


def _suitable(model: Network, device: torch.device, training: bool) -> str:
    """What "auto" means."""
    if not (training or model.mixed_precision) or not devices.fast_bfloat16(device):
        return "fp32"
    if device.type != "cuda":
        return "bf16"
    large = model.mixed_precision and parameters(model) >= LARGE_NETWORK
    return "bf16" if large else "tf32"


def _words(device: torch.device) -> str:
    if device.type != "cuda":
        return f"a {device.type.upper()}"
    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)} (compute capability {major}.{minor})"


@contextlib.contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """Inside, networks compute in a precision that `arithmetic` gave. Only "tf32" uses TF32.

    Convolutions that give colours stay in float32: see `hatlib.models.layers.ColourConv`.
    """
    # torch keeps the type of autocast for each thread, and nothing is changed in the model: one
    # model may serve several threads, in several precisions, at a time
    dtype = DTYPES.get(precision)
    with torch_settings.tf32(precision == "tf32"):
        if dtype is None:
            yield
            return
        with torch.autocast(device.type, dtype):
            yield
