"""Attention with a bias: the version for training on a CPU has the gradients of the one that is
spelled out."""

from __future__ import annotations

import pytest
import torch

from hatlib.models.fast import attention as fast_attention
from hatlib.models.fast.attention import attention, attention_spelled_out
from hatlib.models.window_attention import OverlappingAttention, WindowAttention


def inputs(
    keys: int = 16, windows: int = 5, dtype: torch.dtype = torch.float32
) -> list[torch.Tensor]:
    """q, k, v as views of one product of a linear layer, and a bias, all with a gradient."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(windows, 16, 3, 8), (windows, keys, 3, 8), (windows, keys, 3, 8)]
    made = [torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for shape in shapes]
    made.append(torch.randn((1, 3, 16, keys), generator=generator).to(dtype))
    return [x.requires_grad_() for x in made]


def gradients(function, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, 8)
    return list(torch.autograd.grad((function(*tensors).float() * weights).sin().sum(), tensors))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm())


@pytest.mark.parametrize("keys", [16, 36])
@pytest.mark.parametrize("group", [1, 2 * 3 * 16 * 36 * 4, 4 << 20])
def test_gradients_are_those_of_the_one_spelled_out(
    keys: int, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fast_attention, "GROUP", group
    )  # one window a group, two or three, all of them
    tensors = inputs(keys)
    assert torch.allclose(attention(*tensors), attention_spelled_out(*tensors), atol=1e-6)
    for ours, theirs in zip(
        gradients(attention, tensors), gradients(attention_spelled_out, tensors), strict=True
    ):
        assert relative(ours, theirs) < 1e-5


def test_numerical_gradients_agree() -> None:
    tensors = [x.detach().double().requires_grad_() for x in inputs(9, windows=2)]
    assert torch.autograd.gradcheck(attention, tensors)


def test_only_the_gradients_that_are_wanted() -> None:
    q, k, v, bias = inputs()
    fixed = bias.detach()
    (got,) = torch.autograd.grad(attention(q, k, v, fixed).sum(), q)
    (wanted,) = torch.autograd.grad(attention_spelled_out(q, k, v, fixed).sum(), q)
    assert relative(got, wanted) < 1e-5


def test_bfloat16_stays_bfloat16_under_autocast_and_is_close() -> None:
    tensors = inputs(dtype=torch.bfloat16)
    exact = [x.detach().float().requires_grad_() for x in tensors]
    with torch.autocast("cpu", torch.bfloat16):
        assert attention(*tensors).dtype == torch.bfloat16
        got = gradients(attention, tensors)
    for ours, theirs in zip(got, gradients(attention_spelled_out, exact), strict=True):
        assert relative(ours, theirs) < 0.02


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(
    "windows", [1, 4, 13, 99], ids="{} windows a group".format
)  # of the 6 of each image
def test_a_layer_has_the_gradients_of_shift_and_mask(
    windows: int, shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_attention, "GROUP", windows * 2 * 16 * 16 * 4)
    torch.manual_seed(0)
    layer = WindowAttention(12, 2, 4, shift)
    torch.nn.init.normal_(layer.relative_position_bias_table)
    x = torch.randn(2, 8, 12, 12, requires_grad=True)
    wanted = [x, *layer.parameters()]
    ways = [torch.autograd.grad(way(x).sin().sum(), wanted) for way in (layer, layer.spelled_out)]
    for ours, theirs in zip(*ways, strict=True):
        assert relative(ours, theirs) < 1e-4


@pytest.mark.parametrize(
    "side", [4, 6, 8, 10]
)  # from no overlap to windows that reach beyond their neighbours
def test_overlapping_windows_too(side: int) -> None:
    torch.manual_seed(0)
    layer = OverlappingAttention(12, 2, 4, side)
    torch.nn.init.normal_(layer.relative_position_bias_table)
    x = torch.randn(2, 8, 12, 12, requires_grad=True)
    wanted = [x, *layer.parameters()]
    ways = [
        torch.autograd.grad(layer.attend(x, way).sin().sum(), wanted)
        for way in (attention, attention_spelled_out)
    ]
    for ours, theirs in zip(*ways, strict=True):
        assert relative(ours, theirs) < 1e-4
