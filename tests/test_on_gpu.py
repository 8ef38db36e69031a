"""What only a CUDA GPU can show (`pytest -m gpu`): the CPU's numbers, no TF32 where float32 is
asked for, the same bits again, attention that keeps no scores."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import hatlib
from hatlib import models
from hatlib.data import builtin
from hatlib.inference.precision import autocast
from hatlib.system import devices, torch_settings
from hatlib.training import loop, recipes
from hatlib.training.state import Run

pytestmark = pytest.mark.gpu

NANO = ("srcnn-x4", "rcan-nano-x4", "swinir-nano-x4", "hat-nano-x4")
LR = hatlib.imresize(builtin.builtin_image("facade-6")[:192, :256], 1 / 4)


@pytest.fixture
def torch_allows_tf32() -> Iterator[None]:
    """For convolutions and products, so that a test sees who forbids it."""
    with torch_settings.tf32(True):
        yield


@pytest.mark.parametrize("name", NANO)
def test_upscaling_gives_the_numbers_of_the_cpu(name: str, torch_allows_tf32: None) -> None:
    model, lr = hatlib.load_model(name), (LR / 255).astype(np.float32)
    expected = hatlib.upscale(model, lr, precision="fp32")
    sr = hatlib.upscale(model.to(devices.device()), lr, precision="fp32")
    # in TF32 the difference is a few 1e-5
    np.testing.assert_allclose(sr, expected, rtol=0, atol=1e-5)


def test_lam_gives_the_numbers_of_the_cpu(torch_allows_tf32: None) -> None:
    model, window = hatlib.load_model("hat-nano-x4"), (96, 96, 16)
    expected = hatlib.lam(model, LR, window, steps=8)
    result = hatlib.lam(model.to(devices.device()), LR, window, steps=8)
    assert result.diffusion_index == pytest.approx(expected.diffusion_index, rel=1e-3)


def test_a_resumed_training_has_the_bits_of_one_that_was_not_interrupted(tmp_path: Path) -> None:
    options = {"embed_dim": 24, "depths": (2,), "num_heads": 2, "squeeze_factor": 6}
    recipe = recipes.recipe(
        "hat-nano-x4",
        options={**options, "drop_path_rate": 0.1},
        steps=8,
        patch_size=16,
        batch_size=2,
        warmup_steps=2,
    )
    images = [builtin.builtin_image("facade-1")]

    def interrupt(run: Run) -> None:
        if run.step == 4:
            signal.raise_signal(signal.SIGINT)

    def train(folder: Path | None = None, interrupted: bool = False) -> Run:
        return loop.fit(
            recipe,
            images,
            callbacks=[interrupt] * interrupted,
            progress=False,
            folder=folder,
            deterministic=True,
        )

    with contextlib.suppress(loop.Stopped):
        train(tmp_path, interrupted=True)
    resumed, whole = train(tmp_path), train()
    assert resumed.losses == whole.losses
    pairs = zip(resumed.model.parameters(), whole.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["swinir-light", "hat", "drct", "dat-light"])
def test_attention_keeps_no_scores(name: str) -> None:
    """torch raises an error where only its `math` way, which keeps all scores, would do."""
    device = devices.device()
    model = models.create(name, 4).eval().to(device)
    lr = torch.rand(1, 3, 64, 64, device=device)
    precisions = ["fp32", "bf16"] if devices.fast_bfloat16(device) else ["fp32"]
    for precision in precisions:
        without_math = sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION])
        with torch.inference_mode(), autocast(device, precision), without_math:
            assert torch.isfinite(model(lr)).all()
