"""Tensors in a safetensors file."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from safetensors.torch import save

from hatlib.system.atomic import atomic_path


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]
) -> None:
    """Writes tensors, whole or not at all; a tensor that shares its memory is copied.

    safetensors' own `save_file` raises another error than OSError when the disk is full, and writes
    files that nobody else may read, whatever the umask says.

    Raises:
        HatlibError: the file cannot be written; the one before is left.
    """
    own = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
    contents = save(own, metadata=metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)
