"""The layout of the original repositories: strictly what their files hold, and what the public
package spandrel makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from hatlib import HatlibError, models
from hatlib.weights import files, original
from tests.helpers import reference

# of each architecture what its original code can build, as small as it gets
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "RCAN": ("rcan", {"groups": 1, "blocks": 1, "features": 16, "reduction": 4}),
    "SwinIR": ("swinir", {"depths": (2,), "embed_dim": 24, "num_heads": 2}),
    "SwinIR, light": ("swinir-light", {"depths": (2,), "embed_dim": 24, "num_heads": 2}),
    "SwinIR, nano": ("swinir-nano", {"depths": (2,)}),
    "HAT": ("hat", {"depths": (2,), "embed_dim": 36, "num_heads": 2, "window_size": 8}),
    "DRCT": ("drct", {"depths": (6,), "embed_dim": 24, "num_heads": 2, "window_size": 8}),
    "DRCT, not shifted": ("drct", {"depths": (6,), "embed_dim": 24, "shifted": False}),
    "DAT": ("dat", {"depths": (3, 1), "embed_dim": 36, "num_heads": 2}),
    "DAT, light": ("dat-light", {"depths": (3,), "split_size": (4, 8)}),
}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "SRCNN": ("srcnn", {}, "other programs read that of RCAN, SwinIR, HAT, DRCT and DAT"),
    "HAT, nano": ("hat-nano", {}, "no upsampler 'pixelshuffledirect'; export it as .onnx"),
    "RCAN, nano": ("rcan-nano", {}, "no upsampler 'pixelshuffledirect'"),
    "HAT, another α": ("hat", {"conv_scale": 0.1}, "conv_scale, which is 0.1 and not 0.01"),
    "HAT, no CAB": ("hat", {"cab": False}, "a CAB in every block"),
    "HAT, not shifted": ("hat", {"shifted": False}, "no file tells that its windows"),
    "SwinIR, w7": ("swinir", {"window_size": 7}, "windows of 7 for a network on colours of 0 to"),
}


def small(case: str, scale: int = 2) -> models.Network:
    name, options = SMALL[case]
    torch.manual_seed(0)
    model = models.create(name, scale, **options).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("name", [name for name in reference.PAIRS if "tiny" in name])
def test_the_file_holds_what_the_original_file_holds(name: str) -> None:
    """Names, shapes and values, tables included; indices count as equal if they lead to the same
    row of a table."""
    released = reference.load(name)
    side = released.config.get("img_size", original.TRAINING_SIDE)
    ours = original.state(released.create(), side)
    assert ours.keys() == released.tensors.keys()
    for key, theirs in released.tensors.items():
        assert ours[key].shape == theirs.shape, key
        difference = ours[key].long() - theirs.long() if "index" in key else ours[key] - theirs
        if key.endswith("OCA"):  # theirs counts from the end
            window = released.config["window_size"]
            difference %= (window + int(1.5 * window) - 1) ** 2
        assert not difference.any(), key


@pytest.mark.parametrize("case", SMALL)
@pytest.mark.parametrize("suffix", original.SUFFIXES)
def test_our_own_loader_takes_the_file(case: str, suffix: str, tmp_path: Path) -> None:
    model = small(case)
    path = tmp_path / f"w{suffix}"
    original.write(model, path, {"weights": "ours"})
    again = files.load(path)
    lr = torch.rand(1, 3, 24, 16)
    with torch.inference_mode():
        assert torch.equal(again(lr), model(lr))
    if suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            assert file.metadata() == {"format": "pt", "weights": "ours"}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("case", SMALL)
def test_spandrel_recognises_the_file(case: str, scale: int, tmp_path: Path) -> None:
    spandrel = pytest.importorskip("spandrel", reason="the package spandrel is not installed")
    model = small(case, scale)
    path = tmp_path / "w.safetensors"
    original.write(model, path)
    theirs = spandrel.ModelLoader().load_from_file(path).eval()
    assert theirs.architecture.id == type(model).__name__
    assert theirs.scale == scale
    lr = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        expected = model(lr)  # first: spandrel's RCAN writes into its input
        torch.testing.assert_close(theirs.model(lr), expected, rtol=0, atol=5e-6)


def test_the_masks_are_for_training_images_of_64_pixels(tmp_path: Path) -> None:
    original.write(small("SwinIR"), tmp_path / "w.safetensors")
    tensors = load_file(tmp_path / "w.safetensors")
    masks = [key for key in tensors if key.endswith("attn_mask")]
    assert masks == ["layers.0.residual_group.blocks.1.attn_mask"]
    assert tensors[masks[0]].shape == (64, 64, 64)


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_file_could_not_tell_is_refused(case: str, tmp_path: Path) -> None:
    name, options, message = REFUSED[case]
    if "depths" in models.options(name):
        options = {"depths": (1,), **options}
    with pytest.raises(HatlibError, match=message):
        original.write(models.create(name, **options), tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())
