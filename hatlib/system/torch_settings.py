"""What torch keeps once for the whole process: whether it may use TF32 and cuDNN's attention,
whether it repeats its bits, and where its random generators are."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# --- TF32 and cuDNN's attention -------------------------------------------------------------------


class Switch:
    """A setting of torch for the whole process that is off as long as anybody needs it off.

    torch keeps such a setting once for all threads. Where one thread allows it and another does
    not, off counts: results may then come later, but they are right.

    Args:
        read: gives the settings as they are.
        write: takes what `read` gave.
        turn: turns the setting on or off.
    """

    def __init__(
        self, read: Callable[[], Any], write: Callable[[Any], None], turn: Callable[[bool], None]
    ):
        self.read = read
        self.write = write
        self.turn = turn
        self.lock = threading.Lock()
        self.users: list[bool] = []  # what each of those who compute now allows
        self.before: Any = None

    @contextlib.contextmanager
    def __call__(self, allowed: bool) -> Iterator[None]:
        """Inside, the setting is on if all who are inside allow it; then it is as it was before."""
        with self.lock:
            if not self.users:
                self.before = self.read()
            self.users.append(allowed)
            self.turn(all(self.users))
        try:
            yield
        finally:
            with self.lock:
                self.users.remove(allowed)
                if self.users:
                    self.turn(all(self.users))
                else:
                    self.write(self.before)


def _tf32_places() -> list[tuple[Any, str]]:
    """Where torch keeps whether float32 may be computed in TF32: objects and their attributes, in
    the order in which they have to be written.

    From torch 2.9 on each library has a second one, which counts more. Both are always written: a
    program that finds them contradicting each other gets an error from torch.
    """
    import torch

    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    places: list[tuple[Any, str]] = [(cudnn, "allow_tf32"), (products, "allow_tf32")]
    later = (products, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None))
    return places + [
        (place, "fp32_precision") for place in later if hasattr(place, "fp32_precision")
    ]


def _read_tf32() -> list[tuple[Any, str, Any]]:
    settings = []
    for place, name in _tf32_places():
        with contextlib.suppress(RuntimeError):  # contradictions of somebody else's making
            settings.append((place, name, getattr(place, name)))
    return settings


def _write_tf32(settings: list[tuple[Any, str, Any]]) -> None:
    for place, name, value in settings:
        setattr(place, name, value)


def allow_tf32(allowed: bool) -> None:
    """Lets CUDA GPUs from Ampere on compute products and convolutions of float32 in TF32, with 10
    bits of the mantissa instead of 23, or forbids it. torch itself allows it for convolutions."""
    for place, name in _tf32_places():
        value: bool | str = allowed
        if name == "fp32_precision":
            value = "tf32" if allowed else "ieee"
        setattr(place, name, value)


# with tf32(False): …
tf32 = Switch(_read_tf32, _write_tf32, allow_tf32)


def _read_cudnn_attention() -> bool:
    import torch

    return bool(torch.backends.cuda.cudnn_sdp_enabled())


def _allow_cudnn_attention(allowed: bool) -> None:
    import torch

    torch.backends.cuda.enable_cudnn_sdp(allowed)


# cuDNN's attention, which torch prefers on some GPUs, makes a plan for each new shape
cudnn_attention = Switch(_read_cudnn_attention, _allow_cudnn_attention, _allow_cudnn_attention)


# --- the same numbers again -----------------------------------------------------------------------


@contextlib.contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Inside, torch computes the same bits each time on the same device and the same versions, or
    raises RuntimeError where it has no such way. Slower on a GPU.

    Args:
        wanted: false changes nothing.
    """
    if not wanted:
        yield
        return
    import torch

    cudnn = torch.backends.cudnn
    before = (cudnn.deterministic, cudnn.benchmark)
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # cuBLAS divides a product among streams as it likes unless its workspace has a fixed size
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark = before
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def random_states(on: torch.device) -> dict[str, torch.Tensor]:
    """The states of torch's random generators that work on a device depends on, by name: the CPU's,
    and a CUDA GPU's own, which draws stochastic depth there."""
    import torch

    states = {"random": torch.get_rng_state()}
    if on.type == "cuda":
        states["random_cuda"] = torch.cuda.get_rng_state(on)
    return states


def restore_random_states(on: torch.device, states: Mapping[str, torch.Tensor]) -> None:
    """Puts the generators where `random_states` found them. A GPU's stays where it is if the states
    were taken on a CPU."""
    import torch

    torch.set_rng_state(states["random"])
    if on.type == "cuda" and "random_cuda" in states:
        torch.cuda.set_rng_state(states["random_cuda"], on)
