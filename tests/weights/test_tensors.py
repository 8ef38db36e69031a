"""Tensors in a file: others may read it, and one that shares its memory is whole."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hatlib import HatlibError, models
from hatlib.system import atomic
from hatlib.weights import files, original
from hatlib.weights.tensors import write_tensors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_file_of_weights_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "any.txt", "")
    model = models.create("swinir-light", 4)
    files.save(model, tmp_path / "ours.safetensors", "swinir-light")
    original.write(model, tmp_path / "original.safetensors")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 3 and len(set(modes.values())) == 1, modes


def test_parts_of_one_tensor_are_written_whole(tmp_path: Path) -> None:
    both = torch.arange(6.0).reshape(2, 3)
    write_tensors(tmp_path / "a.safetensors", {"first": both[0], "all": both.T}, {"format": "pt"})
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["first"], both[0]) and torch.equal(found["all"], both.T)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match=r"the folder .* does not exist"):
        write_tensors(tmp_path / "no" / "a.safetensors", {"a": torch.zeros(1)}, {})
