"""What a GPU computes, tested without one: the same numbers as the readable passes, few launches,
no copies from the host, attention that the fused kernels take."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hatlib import models
from hatlib.imaging.resize import imresize
from hatlib.inference.upscale import upscale
from hatlib.models.dat import DATConfig
from hatlib.models.drct import DRCTConfig
from hatlib.models.fast import device
from hatlib.models.hat import HATConfig
from hatlib.models.layers import DropPath
from hatlib.models.rcan import RCANConfig
from hatlib.models.swinir import SwinIRConfig
from tests.helpers.launches import Launches, attention_calls

__all__ = ["attention_calls"]  # a fixture

# One group of each kind of block; what follows in the networks is the same again.
SHORT: dict[type, dict[str, Any]] = {
    RCANConfig: {"groups": 1, "blocks": 1},
    SwinIRConfig: {"depths": (2,)},
    HATConfig: {"depths": (2,)},
    DRCTConfig: {"depths": (6,)},
    DATConfig: {"depths": (3,)},
}
# Of the presets, those that differ in what a block is.
TRANSFORMERS = ["swinir", "swinir-nano", "hat", "hat-nano", "drct", "dat-light"]


def short(name: str, scale: int = 2, **options: Any) -> models.Network:
    """A preset with its widths and few blocks. Stochastic depth draws other numbers each time."""
    torch.manual_seed(0)
    configured = models.CONFIGURED.get(name)
    short_of_kind = SHORT[type(configured[1])] if configured else {}
    model = models.create(name, scale, **{**short_of_kind, **options})
    for key, parameter in model.named_parameters():
        if "bias_table" in key:
            torch.nn.init.normal_(parameter)  # far from uniform, so that a wrong row shows
    for module in model.modules():
        if isinstance(module, DropPath):
            module.rate = 0
    return model


def on_meta(name: str, scale: int = 2, **options: Any) -> models.Network:
    """The same with shapes and no numbers."""
    with torch.device("meta"):
        return short(name, scale, **options).to("meta")


def gradients(model: torch.nn.Module, result: torch.Tensor, lr: torch.Tensor) -> list[torch.Tensor]:
    wanted = [lr, *(p for p in model.parameters() if p.requires_grad)]
    weights = torch.linspace(-1, 1, result.shape[-1])
    found = torch.autograd.grad((result * weights).sin().sum(), wanted, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def check_gradients(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    """To 1e-5. Those that are mostly cancellation are compared with the largest of the network."""
    largest = max(float(x.norm()) for x in theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.isfinite(a).all()
        assert float((a - b).norm()) <= 1e-5 * max(float(b.norm()), 0.05 * largest)


# --- the numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_large_steps_give_the_numbers_and_gradients_of_the_readable_passes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "LARGE_STEPS", True)
    model = short(name).eval()
    lr = torch.rand(2, 3, 16, 32, requires_grad=True)
    results = []
    for fused in (True, False):
        models.set_fused(model, fused)
        with torch.no_grad():
            inference = model(lr)
        sr = model(lr)
        results.append((inference, sr.detach(), gradients(model, sr, lr)))
    for ours, theirs in zip(results[0][:2], results[1][:2], strict=True):
        assert float((ours - theirs).abs().max()) < 1e-6
    check_gradients(results[0][2], results[1][2])


@pytest.mark.parametrize("tag", [0, 2])
def test_tags_that_are_too_small_would_show(tag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "LARGE_STEPS", True)
    monkeypatch.setattr("hatlib.models.fast.gpu.math.ceil", lambda _: tag)
    model = short("swinir-nano", window_size=6).eval()  # a window that no other test has
    lr = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        ours = model(lr)
        models.set_fused(model, False)
        assert float((ours - model(lr)).abs().max()) > 1e-5


# --- launches, host copies, attention -------------------------------------------------------------


def launches(model: models.Network, train: bool) -> Launches:
    """Of the second pass over 64×64 pixels, and the way back in training."""
    model.train(train)
    lr = torch.empty(2, 3, 64, 64, device="meta")
    for _ in range(2):
        with Launches() as counted, torch.set_grad_enabled(train):
            sr = model(lr)
            if train:
                sr.square().mean().backward()
    return counted


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_no_more_launches_than_the_published_arithmetic(
    name: str, train: bool, attention_calls: list[Any]
) -> None:
    model = on_meta(name)
    ours = launches(model, train)
    models.set_fused(model, False)
    assert ours.kernels.total() < launches(model, train).kernels.total()


def test_hat_has_a_thousand_launches(attention_calls: list[Any]) -> None:
    assert launches(on_meta("hat", 4, depths=(6,) * 6), train=False).kernels.total() <= 1000
    assert len(attention_calls) == 2 * 42  # one for each layer, twice


@pytest.mark.parametrize("name", models.names())
def test_a_second_pass_copies_nothing_from_the_host(name: str, attention_calls: list[Any]) -> None:
    model = on_meta(name)
    assert not launches(model, train=False).host_copies
    # sides that have to be padded, and a gray image, whose luma is taken
    for lr in (torch.empty(1, 3, 21, 30, device="meta"), torch.empty(1, 1, 21, 30, device="meta")):
        for _ in range(2):
            with Launches() as counted, torch.no_grad():
                model(lr)
        assert not counted.host_copies


def test_a_copy_from_the_host_would_be_counted() -> None:
    with Launches() as counted:
        torch.rand(3).to("meta")
        torch.empty(3, device="meta").copy_(torch.rand(3))
    assert counted.host_copies.total() == 2


def test_resizing_copies_its_taps_once() -> None:
    image = torch.empty(3, 40, 52, device="meta")
    with Launches() as first:
        imresize(image, 0.25)
    with Launches() as second:
        imresize(image, 0.25)
    assert first.host_copies and not second.host_copies


@pytest.mark.parametrize("name", [name for name in models.CONFIGURED if "rcan" not in name])
def test_attention_is_called_with_what_fused_kernels_take(
    name: str, attention_calls: list[tuple[torch.Tensor, ...]]
) -> None:
    """Else torch keeps the scores of all windows: so it does with 30 or 10 channels a head."""
    launches(on_meta(name), train=False)
    assert attention_calls
    for q, k, v, bias in attention_calls:
        for x in (q, k, v):
            assert x.shape[-1] % 8 == 0 and x.stride(-1) == 1
            assert x.storage_offset() % 8 == 0
        assert bias.shape == (1, q.shape[1], q.shape[2], k.shape[2])


# --- every network --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("name", models.names())
def test_every_network_has_a_forward_and_a_backward_pass_of_shapes(
    name: str, scale: int, attention_calls: list[Any]
) -> None:
    model = on_meta(name, scale)
    lr = torch.empty(2, 3, 19, 32, device="meta", requires_grad=True)
    sr = model(lr)
    assert sr.shape == (2, 3, 19 * scale, 32 * scale)
    sr.sum().backward()
    assert lr.grad is not None and lr.grad.shape == lr.shape
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


# --- compiled, exported ---------------------------------------------------------------------------

# The smallest with all that a network of the kind has.
TINY: dict[str, dict[str, Any]] = {
    "bicubic": {},
    "srcnn": {"kernels": (3, 1, 3)},
    "rcan-nano": {"groups": 1, "blocks": 1},
    "swinir": {"embed_dim": 20, "num_heads": 2},
    "hat-nano": {},
    "drct": {"embed_dim": 24, "num_heads": 2, "growth": 8, "window_size": 8},
    "dat-light": {"embed_dim": 36, "num_heads": 2, "split_size": (4, 8)},
}


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", TINY)
def test_a_network_compiles_as_one_graph_to_the_same_numbers_and_gradients(
    name: str, train: bool
) -> None:
    torch.compiler.reset()
    model = short(name, **TINY[name]).train(train)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)  # raises at a break
    lr = torch.rand(2, 3, 16, 24)
    results = []
    for way in (model, compiled):
        with torch.set_grad_enabled(train):
            sr = way(lr.requires_grad_(train))
        results.append((sr.detach(), gradients(model, sr, lr) if train else []))
    assert float((results[0][0] - results[1][0]).abs().max()) < 1e-6
    if train:
        check_gradients(results[1][1], results[0][1])


def test_a_network_that_is_compiled_in_place_upscales_the_same() -> None:
    torch.compiler.reset()
    model = short("hat-nano", **TINY["hat-nano"]).eval()
    lr = torch.rand(32, 48, 3).numpy()
    expected = upscale(model, lr, precision="fp32", tile=0)
    compiled: list[tuple[int, ...]] = []

    def backend(graph: Any, inputs: list[torch.Tensor]) -> Any:
        compiled.extend(tuple(x.shape) for x in inputs[:1])
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    model.compile(backend=backend, dynamic=False, fullgraph=True)
    for _ in range(2):
        assert float(abs(upscale(model, lr, precision="fp32", tile=0) - expected).max()) < 1e-6
    assert len(compiled) == 1, "once for all images of one size"


@pytest.mark.parametrize("name", ["srcnn", "rcan-nano", "swinir", "hat-nano"])
def test_an_export_takes_other_sizes_and_leaves_nothing_behind(name: str) -> None:
    """What torch makes while it traces a network holds no numbers, and is not kept."""
    model = short(name, **TINY[name]).eval()
    # a size of map that no other test has: no table for it is at hand
    lr = torch.rand(1, 3, 32, 40)
    height, width = (8 * torch.export.Dim(side, min=2, max=64) for side in ("rows", "columns"))
    sizes = {"lr": {2: height, 3: width}}
    program = torch.export.export(model, (lr,), dynamic_shapes=sizes, strict=False)
    for other in (lr, torch.rand(1, 3, 48, 24)):
        with torch.no_grad():
            assert float((program.module()(other) - model(other)).abs().max()) < 1e-6
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as fake:
        model(fake.from_tensor(lr))
    ways = []
    for fused in (True, False):
        models.set_fused(model, fused)
        given = lr.clone().requires_grad_()
        ways.append(gradients(model, model(given), given))
    check_gradients(*ways)
