"""What benchmarks/speed.py compares gives the same numbers: with and without gradients, and as
published."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch

from hatlib import models
from tests.helpers import ROOT

FILE = ROOT / "benchmarks" / "plain.py"


@pytest.fixture(scope="module")
def plain() -> Any:
    spec = importlib.util.spec_from_file_location("plain", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(name: str) -> models.Network:
    """Random weights, those of the positions and of the convolutions' branch large enough to
    matter."""
    torch.manual_seed(0)
    model = models.create(name, 2, **({"conv_scale": 0.2} if name == "hat-nano" else {})).eval()
    for key, parameter in model.named_parameters():
        if "bias_table" in key:
            torch.nn.init.normal_(parameter)
    return model


# one window; two; an odd number, with border windows of both kinds; a tall map; two images; a wide
# map
SIZES = [(1, 8, 8), (1, 8, 16), (1, 24, 40), (1, 136, 64), (2, 64, 72), (1, 16, 520)]


@pytest.mark.parametrize("images, height, width", SIZES)
@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_with_and_without_gradients_and_as_published(plain, name, images, height, width):
    model, lr = network(name), torch.rand(images, 3, height, width)
    with torch.inference_mode():
        fast, published = model(lr), plain.Plain(model)(lr)
    with torch.no_grad():
        assert torch.equal(model(lr), fast)
    assert (model(lr) - fast).abs().max() < 1e-5
    assert (published - fast).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_the_input_and_the_weights_are_left_alone(name):
    model, lr = network(name), torch.rand(1, 3, 16, 24)
    before, weights = lr.clone(), {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        first = model(lr)
        assert torch.equal(model(lr), first)
    assert torch.equal(lr, before)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_bfloat16_is_close_in_a_whole_network(name):
    model, lr = network(name), torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        full = model(lr)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(lr).float()
    assert 0 < (full - half).abs().max() < 0.05 * full.std()
