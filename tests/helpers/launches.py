"""What a GPU would do, counted without one, on torch's "meta" device: kernels that it launches,
copies from the host that it waits for, and what its attention is called with.

Tensors on "meta" have shapes and no numbers, so the largest networks take no time. Autocast and the
choice of algorithms are not covered: for these it takes a GPU.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from hatlib.models.fast import device

# They write nothing: memory is set aside, or seen under another shape.
FREE = {"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "detach", "lift_fresh"}


class Launches(TorchDispatchMode):
    """Counts, while it is on, by the name of the operation.

    Attributes:
        kernels: operations that write something. (Some take a GPU more than one launch, whoever
            calls them: what is compared has to be counted alike.)
        host_copies: tensors that come from the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.host_copies: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if isinstance(result, torch.Tensor) and result.is_meta and name in ("_to_copy", "copy_"):
            source = args[-1] if name == "copy_" else args[0]
            if source.device.type == "cpu":
                self.host_copies[name] += 1
        if not func.is_view and name not in FREE:
            self.kernels[name] += 1
        return result


@pytest.fixture
def attention_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, ...]]:
    """The networks compute as on a GPU, with one fused kernel for each attention call; the list
    gets the queries, keys, values and bias of each."""
    monkeypatch.setattr(device, "LARGE_STEPS", True)
    calls: list[tuple[torch.Tensor, ...]] = []

    def fused(
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        attn_mask: torch.Tensor,
        scale: float | None = None,
    ) -> torch.Tensor:
        calls.append((q, k, v, attn_mask))
        bias = attn_mask.expand(len(q), -1, -1, -1)
        kernel = torch.ops.aten._scaled_dot_product_efficient_attention
        return kernel(q, k, v, bias, torch.is_grad_enabled(), scale=scale)[0]

    monkeypatch.setattr(F, "scaled_dot_product_attention", fused)
    return calls
