"""Which precision is taken, and which is refused, on devices that need not be here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import hatlib
from hatlib import HatlibError, models
from hatlib.data.datasets import Pair
from hatlib.inference import precision
from hatlib.models import Network
from hatlib.system import devices

CAPABILITY = {"Tesla T4": (7, 5), "NVIDIA L4": (8, 9), "NVIDIA H200": (9, 0)}


def device(name: str, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A device with what torch says of it: "CPU", "CPU with AMX", Apple's "MPS" or a GPU."""
    amx = name == "CPU with AMX"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: CAPABILITY[name])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    if name in CAPABILITY:
        return torch.device("cuda")
    return torch.device("mps" if name == "MPS" else "cpu")


def network(name: str) -> Network:
    with torch.device("meta"):  # sizes are enough
        return models.create(name, 4)


@pytest.mark.parametrize(
    "where, name, in_use, in_training",
    [
        ("CPU", "hat", "fp32", "fp32"),
        ("CPU with AMX", "hat", "bf16", "bf16"),
        ("CPU with AMX", "srcnn", "fp32", "bf16"),
        ("MPS", "hat", "fp32", "fp32"),
        ("Tesla T4", "hat", "fp32", "fp32"),
        ("NVIDIA L4", "hat", "bf16", "bf16"),
        ("NVIDIA H200", "swinir-light", "bf16", "bf16"),
        ("NVIDIA H200", "hat-nano", "tf32", "tf32"),  # too small for bfloat16 to pay
        ("NVIDIA H200", "srcnn", "fp32", "tf32"),
        ("NVIDIA H200", "bicubic", "fp32", "tf32"),
    ],
)
def test_what_auto_means(
    where: str, name: str, in_use: str, in_training: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, model = device(where, monkeypatch), network(name)
    assert precision.arithmetic(model, "auto", here) == in_use
    assert precision.arithmetic(model, "auto", here, training=True) == in_training


@pytest.mark.parametrize(
    "where, name, asked, words",
    [
        ("CPU", "hat-nano", "tf32", "tf32 is arithmetic of .* and this is a CPU"),
        ("MPS", "hat-nano", "tf32", "this is a MPS"),
        ("Tesla T4", "hat-nano", "tf32", r"this is Tesla T4 \(compute capability 7.5\)"),
        ("Tesla T4", "rcan-nano", "bf16", r"bf16 is refused on Tesla T4 \(compute capability 7.5"),
        ("NVIDIA H200", "hat-nano", "fp16", "fp16 is refused for networks with window attention"),
        ("NVIDIA H200", "dat-light", "fp16", "fp16 is refused for networks with window attention"),
        ("CPU", "srcnn", "bf17", "unknown precision 'bf17'; did you mean 'bf16'"),
    ],
)
def test_what_is_refused(
    where: str, name: str, asked: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HatlibError, match=words):
        precision.arithmetic(network(name), asked, device(where, monkeypatch))


@pytest.mark.parametrize(
    "where, asked",
    [("CPU", "bf16"), ("NVIDIA L4", "bf16"), ("NVIDIA L4", "tf32"), ("Tesla T4", "fp16")],
)
def test_what_was_named_is_taken(where: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision.arithmetic(network("rcan"), asked, device(where, monkeypatch)) == asked


class Watching(torch.nn.Conv2d):
    """A convolution that notes whether torch would let a GPU compute it in TF32."""

    def __init__(self) -> None:
        super().__init__(3, 3, 1)
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        cuda = torch.backends.cuda
        self.seen.append((torch.backends.cudnn.allow_tf32, cuda.matmul.allow_tf32))
        if x.requires_grad:
            x.register_hook(lambda _: self.seen.append((torch.backends.cudnn.allow_tf32, False)))
        return super().forward(x)


class OneLayer(Network):
    scale, halo, local = 1, 0, False

    def __init__(self) -> None:
        super().__init__()
        self.layer = Watching()

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return self.layer(lr)


@pytest.fixture
def tf32_allowed() -> Iterator[None]:
    """As torch has it when it starts, which says yes for convolutions."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32 = before


def test_fp32_is_never_tf32(tf32_allowed: None) -> None:
    model, image = OneLayer().eval(), np.zeros((16, 16, 3), np.uint8)
    hatlib.upscale(model, image, precision="fp32")
    hatlib.evaluate(model, [Pair("a", image, image)])
    hatlib.lam(model, image, (4, 4, 8), steps=2)
    assert len(model.layer.seen) >= 6 and set(model.layer.seen) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32  # the program's own choice is as it was


def test_training_in_fp32_is_never_tf32(tf32_allowed: None) -> None:
    recipe = hatlib.Recipe(
        "srcnn", scale=1, patch_size=8, batch_size=1, steps=2, warmup_steps=1, precision="fp32"
    )
    image = np.zeros((16, 16, 3), np.uint8)
    run = hatlib.fit(recipe, [image], model=OneLayer(), progress=False)
    layer = run.model.layer
    assert isinstance(layer, Watching)
    assert len(layer.seen) >= 2 and set(layer.seen) == {(False, False)}
    assert run.precision == "fp32"
    assert torch.backends.cudnn.allow_tf32


def test_only_tf32_allows_it() -> None:
    for name in ("fp32", "bf16", "fp16", "tf32"):
        with precision.autocast(torch.device("cpu"), name):
            assert torch.backends.cuda.matmul.allow_tf32 == (name == "tf32")


def test_a_precision_that_the_device_lacks_is_refused_before_images_are_decoded() -> None:
    if devices.has_tf32(devices.device()):
        pytest.skip("this GPU has TF32")

    def images() -> Iterator[np.ndarray]:
        raise AssertionError("decoded")
        yield

    with pytest.raises(HatlibError, match="tf32 is arithmetic of"):
        hatlib.fit(hatlib.Recipe("srcnn", precision="tf32"), images(), progress=False)
