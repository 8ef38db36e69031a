"""Names of weights: state dicts have those of the released files, whatever a module tree is like.

A released checkpoint loads strictly, and ours load into the authors' code. Where a class of ours
has one level more than theirs, that level is left out of the state dict's keys.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn


def hide_level(block: nn.Module, name: str) -> None:
    """Leaves the name of a submodule out of the block's state dict: "attn.qkv.weight" becomes
    "qkv.weight" when it is read, and the other way round when it is loaded.

    Args:
        name: of the submodule; its keys must not be among the block's own.
    """
    keys = list(block.get_submodule(name).state_dict())
    block.register_state_dict_post_hook(partial(_shorten, name, keys))
    block.register_load_state_dict_pre_hook(partial(_lengthen, name, keys))


def _shorten(
    name: str, keys: list[str], _: nn.Module, state: dict[str, Any], prefix: str, *__: object
) -> None:
    for key in keys:
        state[prefix + key] = state.pop(f"{prefix}{name}.{key}")


def _lengthen(
    name: str, keys: list[str], _: nn.Module, state: dict[str, Any], prefix: str, *__: object
) -> None:
    for key in keys:
        # a missing key is reported by load_state_dict itself, under its long name
        if prefix + key in state:
            state[f"{prefix}{name}.{key}"] = state.pop(prefix + key)
