"""`hatlib.models.fast` against the readable passes: values and gradients, in every precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from hatlib import models
from hatlib.models import fast
from hatlib.models.fast import attention as fast_attention
from hatlib.models.fast import bias as fast_bias
from hatlib.models.fast import rows
from hatlib.models.fast.attention import chunk_spans, fused_attention, pad_head_dim
from hatlib.models.fast.bias import border_bias, position_bias
from hatlib.models.fast.windows import window_spans
from hatlib.models.window_attention import OverlappingAttention, WindowAttention, attention

# Small networks of every preset's kind. 30 channels of two heads are padded to 16 a head.
SMALL = {"embed_dim": 30, "num_heads": 2, "depths": (2,)}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "rcan": ("rcan", {"groups": 1, "blocks": 1, "features": 16, "reduction": 4}),
    "rcan-nano": ("rcan-nano", {"groups": 1, "blocks": 2}),
    "swinir": ("swinir", SMALL),
    "swinir-light": ("swinir-light", SMALL),
    "swinir-nano": ("swinir-nano", {"depths": (2,)}),
    "swinir, not shifted": ("swinir", SMALL | {"shifted": False}),
    "hat": ("hat", SMALL | {"squeeze_factor": 5, "conv_scale": 0.2}),
    "hat-s": ("hat-s", SMALL | {"squeeze_factor": 5, "compress_ratio": 5, "conv_scale": 0.2}),
    "hat-l": ("hat-l", SMALL | {"squeeze_factor": 5, "depths": (1, 2)}),
    "hat-nano": ("hat-nano", {"depths": (2,), "conv_scale": 0.2}),
    "drct": ("drct", {"embed_dim": 24, "num_heads": 2, "depths": (6,), "growth": 8}),
    "drct-l": ("drct-l", {"embed_dim": 24, "num_heads": 2, "depths": (6,) * 2, "growth": 8}),
}
PRECISIONS = {torch.float32: 1e-4, torch.float64: 1e-10, torch.bfloat16: 0.1}


def network(name: str) -> models.Network:
    """Random weights, those of the positions far from uniform, so that a wrong row shows."""
    torch.manual_seed(0)
    kind, options = NETWORKS[name]
    model = models.create(kind, 2, **options).eval()
    for key, parameter in model.named_parameters():
        if "bias_table" in key:
            torch.nn.init.normal_(parameter)
    return model


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """|a − b| / |b|, but at most |a − b| where b is next to nothing."""
    difference = (a.double() - b.double()).norm()
    return float(difference / b.double().norm().clamp(min=1e-6))


def run(
    model: torch.nn.Module, x: torch.Tensor, dtype: torch.dtype, grad: bool
) -> list[torch.Tensor]:
    """The result, and with `grad` the gradients of the input and of every parameter."""
    half = dtype == torch.bfloat16
    if not half:
        model = copy.deepcopy(model).to(dtype)
        x = x.to(dtype)
    wanted = [x.requires_grad_(), *(p for p in model.parameters() if p.requires_grad)]
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=half):
        result = model(x).to(torch.float64 if dtype == torch.float64 else torch.float32)
    if not grad:
        return [result]
    weights = torch.linspace(-1, 1, result.shape[-1], dtype=result.dtype)
    return [result.detach(), *torch.autograd.grad((result * weights).sin().sum(), wanted)]


# --- the switch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("grad", [False, True], ids=["values", "gradients"])
@pytest.mark.parametrize("dtype", PRECISIONS, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("name", NETWORKS)
def test_fused_and_readable_are_equal(
    name: str, dtype: torch.dtype, grad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every preset's kind of network, in strips of a few rows."""
    monkeypatch.setattr(rows, "STRIP_PIXELS", 256)
    model, x = network(name), torch.rand(2, 3, 32, 48)
    ways = []
    for fused in (True, False):
        models.set_fused(model, fused)
        ways.append(run(model, x.clone(), dtype, grad))
    fast_way, readable = ways
    assert len(fast_way) == len(readable) and fast_way[0].shape == (2, 3, 64, 96)
    # Gradients that are mostly cancellation are compared with the largest of their network.
    scale = max(float(x.double().norm()) for x in readable[1:]) if grad else 0.0
    for ours, theirs in zip(fast_way, readable, strict=True):
        assert torch.isfinite(ours).all()
        difference = float((ours.double() - theirs.double()).norm())
        size = max(float(theirs.double().norm()), 0.05 * scale)
        assert difference <= PRECISIONS[dtype] * size


def test_the_switch_reaches_every_layer_and_changes_what_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = network("hat"), torch.rand(1, 3, 16, 32)
    calls: list[str] = []
    names = ("add_by_rows", "overlapping_attention", "upsample_by_rows", "window_attention")

    def recorded(name: str, function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def called(*given: object) -> torch.Tensor:
            calls.append(name)
            return function(*given)

        return called

    for name in names:
        monkeypatch.setattr(fast, name, recorded(name, getattr(fast, name)))
    with torch.inference_mode():
        models.set_fused(model, False)
        model(x)
        assert not calls
        models.set_fused(model, True)
        model(x)
    assert set(calls) == set(names)


def test_a_shift_a_mask_and_the_padding_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above can fail."""
    layer = attention_layer(shift=2)
    x = torch.randn(1, 8, 8, 12)
    with torch.inference_mode():
        right = layer(x)
        monkeypatch.setattr(layer, "mask", lambda *sizes: None)
        assert relative(layer.reference(x), right) > 1e-2
        monkeypatch.setattr(layer, "shift", 0)
        assert relative(layer(x), right) > 1e-2


# --- layers ---------------------------------------------------------------------------------------


def attention_layer(
    channels: int = 12, heads: int = 2, window: int = 4, shift: int = 0
) -> WindowAttention:
    torch.manual_seed(0)
    layer = WindowAttention(channels, heads, window, shift)
    torch.nn.init.normal_(layer.relative_position_bias_table)
    return layer


@pytest.mark.parametrize("rows, columns", [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("window, shift", [(4, 0), (4, 2), (7, 3)])
def test_smaller_windows_at_the_border_equal_shift_and_mask(
    window: int, shift: int, rows: int, columns: int
) -> None:
    layer = attention_layer(window=window, shift=shift).eval()
    x = torch.randn(2, rows * window, columns * window, 12)
    with torch.inference_mode():
        assert torch.allclose(layer(x), layer.reference(x), atol=1e-6)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("windows", [1, 4, 13, 99], ids="{} windows a chunk".format)
def test_chunks_of_windows_have_the_gradients_of_all(
    windows: int, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_attention, "CHUNK_BYTES", windows * 2 * 16 * 16 * 4)
    layer = attention_layer(shift=shift)
    x = torch.randn(2, 8, 12, 12, requires_grad=True)  # 6 windows in each image
    wanted = [x, *layer.parameters()]
    ways = [torch.autograd.grad(way(x).sin().sum(), wanted) for way in (layer, layer.reference)]
    for ours, theirs in zip(*ways, strict=True):
        assert relative(ours, theirs) < 1e-4


@pytest.mark.parametrize("side", [4, 6, 8, 10])  # no overlap … beyond the neighbours
@pytest.mark.parametrize("grad", [False, True])
def test_overlapping_windows_of_any_side(side: int, grad: bool) -> None:
    torch.manual_seed(0)
    layer = OverlappingAttention(12, 2, 4, side)
    torch.nn.init.normal_(layer.relative_position_bias_table)
    x = torch.randn(2, 8, 12, 12, requires_grad=True)
    with torch.set_grad_enabled(grad):
        results = [layer(x), layer.reference(x)]
    assert torch.allclose(results[0], results[1], atol=1e-5)
    if grad:
        wanted = [x, *layer.parameters()]
        ways = [torch.autograd.grad(result.sin().sum(), wanted) for result in results]
        for ours, theirs in zip(*ways, strict=True):
            assert relative(ours, theirs) < 1e-4


def test_the_gradient_of_the_table_is_summed_in_the_precision_of_the_input() -> None:
    layer = attention_layer(shift=2).double()
    x = torch.randn(4, 32, 32, 12, dtype=torch.float64)
    table = layer.relative_position_bias_table
    ways = [torch.autograd.grad(way(x).sin().sum(), table)[0] for way in (layer, layer.reference)]
    assert relative(*ways) < 1e-13


def test_training_continues_after_inference() -> None:
    """Nothing that was made in inference mode is kept for where gradients are wanted."""
    layer = attention_layer(window=6, shift=3).eval()
    x = torch.randn(1, 12, 12, 12)
    with torch.inference_mode():
        layer(x)
    layer.train()(x).sum().backward()
    gradient = layer.relative_position_bias_table.grad
    assert gradient is not None and gradient.abs().max() > 0
    layer.eval().requires_grad_(False)
    with torch.inference_mode():
        expected = layer(x)
    x.requires_grad_()
    result = layer(x)  # as attribution does: the gradient of the input alone
    result.sum().backward()
    assert torch.allclose(result, expected, atol=1e-6)
    assert x.grad is not None and x.grad.abs().max() > 0


# --- attention ------------------------------------------------------------------------------------


def inputs(
    keys: int = 16, windows: int = 5, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """q, k, v as views of one product of a linear layer, and a bias, all with a gradient."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(windows, 16, 3, 8), (windows, keys, 3, 8), (windows, keys, 3, 8)]
    tensors = [
        torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for shape in shapes
    ]
    tensors.append(torch.randn((1, 3, 16, keys), generator=generator).to(dtype))
    return [x.requires_grad_() for x in tensors]


def gradients(function: Any, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, 8)
    return list(torch.autograd.grad((function(*tensors).float() * weights).sin().sum(), tensors))


@pytest.mark.parametrize("keys", [16, 36])
@pytest.mark.parametrize("size", [1, 2 * 3 * 16 * 36 * 4, 4 << 20])  # one window a chunk, some, all
def test_values_and_gradients_are_those_of_the_formula(
    keys: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_attention, "CHUNK_BYTES", size)
    tensors = inputs(keys)
    assert torch.allclose(fused_attention(*tensors), attention(*tensors), atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(fused_attention(*tensors), attention(*tensors), atol=1e-6)
    pairs = zip(gradients(fused_attention, tensors), gradients(attention, tensors), strict=True)
    assert all(relative(ours, theirs) < 1e-5 for ours, theirs in pairs)


def test_numerical_gradients_agree() -> None:
    tensors = [x.detach().double().requires_grad_() for x in inputs(9, windows=2)]
    assert torch.autograd.gradcheck(fused_attention, tensors)


def test_only_the_gradients_that_are_wanted() -> None:
    q, k, v, bias = inputs()
    fixed = bias.detach()
    (ours,) = torch.autograd.grad(fused_attention(q, k, v, fixed).sum(), q)
    (theirs,) = torch.autograd.grad(attention(q, k, v, fixed).sum(), q)
    assert relative(ours, theirs) < 1e-5


def test_bfloat16_stays_bfloat16_under_autocast_and_is_close() -> None:
    tensors = inputs(dtype=torch.bfloat16)
    full = [x.detach().float().requires_grad_() for x in tensors]
    with torch.autocast("cpu", torch.bfloat16):
        assert fused_attention(*tensors).dtype == torch.bfloat16
        ours = gradients(fused_attention, tensors)
    for half, whole in zip(ours, gradients(attention, full), strict=True):
        assert relative(half, whole) < 0.02


@pytest.mark.parametrize("windows", [1, 6, 12, 13])
@pytest.mark.parametrize("size", [1, 4, 6, 7, 100])
@pytest.mark.parametrize("of_image", [1, 6])
def test_chunks_cover_all_windows_and_part_no_two_images(
    windows: int, size: int, of_image: int
) -> None:
    spans = chunk_spans(windows, size, of_image)
    assert [k for first, last in spans for k in range(first, last)] == list(range(windows))
    for first, last in spans:
        inside_one = first // of_image == (last - 1) // of_image
        assert last - first <= max(1, size)
        assert (
            inside_one
            or (first % of_image == 0 and (last - first) % of_image == 0)
            or (last == windows)
        )


def test_heads_are_padded_in_float32_only() -> None:
    x = torch.rand(2, 3, 30)
    assert pad_head_dim(x).shape == (2, 3, 32) and not pad_head_dim(x)[..., 30:].any()
    assert torch.equal(pad_head_dim(x)[..., :30], x)
    assert pad_head_dim(x.bfloat16()).shape == (2, 3, 30)
    assert pad_head_dim(x[..., :16]).shape == (2, 3, 16)


@pytest.mark.parametrize("window, shift", [(8, 4), (7, 3), (8, 0), (5, 1)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_spans_cover_the_side_with_windows(window: int, shift: int, count: int) -> None:
    spans = window_spans(count * window, window, shift)
    covered = [place for span, _ in spans for place in range(span.start, span.stop)]
    assert covered == list(range(count * window))
    assert all((span.stop - span.start) % side == 0 and side <= window for span, side in spans)
    assert sum(side for _, side in spans if side < window) == (window if shift else 0)


# --- the bias that is looked up once --------------------------------------------------------------


def test_the_bias_is_looked_up_once_until_the_weights_change() -> None:
    layer, other = attention_layer().eval(), attention_layer().eval()
    with torch.inference_mode():
        first = position_bias(layer, torch.float32)
        assert position_bias(layer, torch.float32) is first
        assert position_bias(layer, torch.bfloat16).dtype == torch.bfloat16
    assert not first.is_inference() and torch.equal(first, layer.bias())
    assert position_bias(layer, torch.float32).requires_grad
    with torch.no_grad():
        layer.relative_position_bias_table.mul_(2.0)
        assert torch.equal(position_bias(layer, torch.float32), 2 * first)
        assert len(fast_bias._lookups[layer].biases) == 1, "those of other weights are not kept"
        other.relative_position_bias_table.add_(1.0)
        layer.load_state_dict(other.state_dict())
        assert torch.allclose(position_bias(layer, torch.float32), first + 1)
        layer.load_state_dict(attention_layer().state_dict(), assign=True)
        assert torch.equal(position_bias(layer, torch.float32), first)
        layer.double()
        assert position_bias(layer, torch.float64).dtype == torch.float64


def test_a_bias_goes_with_its_layer_and_a_copy_has_its_own() -> None:
    layer = attention_layer().eval().requires_grad_(False)
    position_bias(layer, torch.float32)
    twin = copy.deepcopy(layer)
    twin.relative_position_bias_table.add_(1.0)
    assert torch.equal(position_bias(twin, torch.float32), layer.bias() + 1)
    assert torch.equal(position_bias(layer, torch.float32), layer.bias())
    before = len(fast_bias._lookups)
    del twin
    assert len(fast_bias._lookups) == before - 1


def test_the_bias_of_border_windows_has_the_offsets_of_a_corner() -> None:
    bias = attention_layer(shift=2).bias().detach()
    whole = bias.view(1, 2, 4, 4, 4, 4)
    for height, width in ((2, 4), (4, 2), (1, 3)):
        corner = whole[:, :, :height, :width, :height, :width]
        expected = corner.reshape(1, 2, height * width, height * width)
        assert torch.equal(border_bias(bias, 4, height, width), expected)
    assert border_bias(bias, 4, None, None) is bias


@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_an_export_leaves_nothing_behind(name: str) -> None:
    """What torch makes while it traces a network holds no numbers, and is not kept."""
    # a size of map and windows that no other test has: no table for it is at hand
    model, lr = network(name), torch.rand(1, 3, 16, 88)
    with torch.no_grad():
        program = torch.export.export(model, (lr,), strict=False)
        expected = model(lr)
        assert torch.allclose(program.module()(lr), expected, atol=1e-5)
    models.set_fused(model, False)
    with torch.inference_mode():
        assert torch.allclose(model(lr), expected, atol=1e-5)
