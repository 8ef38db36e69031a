"""A device beside the CPU, on any machine: its tensors do not mix with the CPU's, and numpy does
not see them, as with a GPU's. Its numbers are the CPU's. It says nothing of speed.

It is torch's place for others' devices ("PrivateUse1"), filled in Python. What belongs to CUDA
alone is not in it: TF32, autocast, streams, memory, and which attention torch picks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "pretended"
ops = torch.ops.aten
# Indices may come from the CPU with a GPU, too; torch then copies them.
CROSSING = {
    ops.copy_.default,
    ops.index.Tensor,
    ops.index_put_.default,
    ops._index_put_impl_.default,
}


class Module(backend_registration._DummyBackendModule):
    """What torch asks about the device, beside its operations."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]  # is accepted, and changes nothing


class OnDevice(torch.Tensor):
    """A tensor of the device.

    Attributes:
        numbers: the CPU's tensor that holds what it holds.
    """

    numbers: torch.Tensor

    @staticmethod
    def __new__(cls, numbers: torch.Tensor) -> OnDevice:
        with torch.inference_mode(numbers.is_inference()):  # a view is what its tensor is
            made: OnDevice = torch.Tensor._make_wrapper_subclass(
                cls,
                numbers.size(),
                strides=numbers.stride(),
                storage_offset=numbers.storage_offset(),
                dtype=numbers.dtype,
                device=torch.device(NAME, 0),
            )
        made.numbers = numbers
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{self.numbers!r} on {NAME}"

    def __format__(self, spec: str) -> str:
        return format(self.numbers, spec)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.numbers.untyped_storage()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return compute(op, args, kwargs or {})


def is_ours(device: Any) -> bool:
    return isinstance(device, torch.device) and device.type == NAME


def compute(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operation of torch on the CPU's tensors behind the device's."""
    if op is ops._has_compatible_shallow_copy_type.default:
        return False  # a parameter that comes to the device is a new one
    given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    kinds = {x.device.type for x in given if x.dim()}  # single numbers may come from anywhere
    if len(kinds) > 1 and op not in CROSSING:
        raise RuntimeError(f"Expected all tensors to be on the same device: {op} got {kinds}")

    leaves_device = kwargs.get("device") is not None and not is_ours(kwargs["device"])
    args, kwargs = tree_map_only(OnDevice, lambda x: x.numbers, (args, kwargs))
    kwargs = {key: "cpu" if is_ours(value) else value for key, value in kwargs.items()}
    result = op(*args, **kwargs)
    if leaves_device:
        return result
    # what was written into in place comes back as it was given
    known = {id(getattr(x, "numbers", x)): x for x in given}

    def back(x: torch.Tensor) -> torch.Tensor:
        return known[id(x)] if id(x) in known else OnDevice(x)

    return tree_map_only(torch.Tensor, back, result)


def register() -> list[torch.library.Library]:
    """Makes the device known to torch, for this process; it lasts as long as what is returned."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, Module())
    # operations none of whose arguments is on the device yet
    others, copies = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    others.fallback(lambda op, *args, **kwargs: compute(op, args, kwargs), "PrivateUse1")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    # torch.tensor(…, device=…) calls this past __torch_dispatch__
    copies.impl("copy_", lambda *args: compute(ops.copy_.default, args, {}), "PrivateUse1")
    torch.accelerator.synchronize = lambda *_: None
    return [others, copies]


LIBRARIES = register()
