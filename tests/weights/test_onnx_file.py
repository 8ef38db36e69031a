"""ONNX files: any size, the network's numbers, and nothing left behind in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import hatlib
from hatlib import HatlibError, models
from hatlib.models import layers
from hatlib.weights import onnx_file

onnxruntime = pytest.importorskip("onnxruntime", reason=f"needs {onnx_file.INSTALL}")

# A busy machine takes minutes for what takes seconds.
pytestmark = pytest.mark.timeout(900)

SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "bicubic": ("bicubic", {}),
    "SRCNN": ("srcnn", {"kernels": (9, 1, 5)}),
    "RCAN": ("rcan-nano", {"groups": 1, "blocks": 1}),
    "SwinIR": ("swinir-nano", {"depths": (2,)}),
    "HAT": ("hat-nano", {"depths": (2,)}),
    "DRCT": ("drct", {"depths": (6,), "embed_dim": 24, "num_heads": 2, "window_size": 8}),
    "DAT": ("dat-light", {"depths": (1, 1), "split_size": (4, 8)}),
}
# of SRCNN the resizing, of HAT the attention has tables that are remembered
GO_ON = ("SRCNN", "HAT")


def small(case: str) -> models.Network:
    name, options = SMALL[case]
    torch.manual_seed(0)
    model = models.create(name, 2, **options).eval()
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def run(path: Path, lr: torch.Tensor) -> torch.Tensor:
    """What onnxruntime makes of an image."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"lr": lr.numpy()})[0])


def bits(model: models.Network) -> list[torch.Tensor]:
    """An upscaled image, an attribution map, and the gradients of a training step."""
    image = hatlib.builtin_image("cat")[:24, :32]
    sr = torch.from_numpy(hatlib.upscale(model, image))
    attributed = torch.from_numpy(hatlib.lam(model, image, (8, 8, 8), 2).map)
    model.zero_grad()
    model(hatlib.to_tensor(image)).square().mean().backward()
    return [sr, attributed, *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("case", SMALL)
def test_a_file_gives_the_numbers_of_its_network_at_other_sizes(case: str, tmp_path: Path) -> None:
    """And training, attribution and upscaling go on as before in this process, to the last bit."""
    model = small(case)
    before = bits(model) if case in GO_ON else []
    path = tmp_path / "net.onnx"
    written = onnx_file.write(model, path, {"weights": "ours"})
    assert all(getattr(module, "fused", True) for module in model.modules())
    after = bits(model) if case in GO_ON else []
    assert all(torch.equal(first, second) for first, second in zip(before, after, strict=True))

    assert len(written.sizes) == 3 and written.difference < 1e-5
    for down, right in ((1, 2), (5, 3)):
        unit = max(model.padding.multiple, 4)
        lr = torch.rand(1, 3, down * unit, right * unit)
        with torch.inference_mode():
            torch.testing.assert_close(run(path, lr), model(lr), rtol=0, atol=1e-5)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["scale"] == "2"
    assert metadata["multiple"] == str(model.padding.multiple)
    assert metadata["colours"] == "RGB from 0 to 1"
    assert metadata["weights"] == "ours"
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.onnx"]
    assert str(Path(hatlib.__file__).parent).encode() not in path.read_bytes()


class Untraceable(layers.ColourNetwork):
    """Its result hangs on the numbers in the image, or on when it runs."""

    def __init__(self, looks: bool):
        super().__init__()
        self.scale = 1
        self.halo = 0
        self.looks = looks

    def upscale_rgb(self, rgb: torch.Tensor) -> torch.Tensor:
        if self.looks:
            return rgb * len(torch.unique(rgb).tolist())
        return rgb + 1.0 if torch.compiler.is_compiling() else rgb


@pytest.mark.parametrize(
    ("looks", "message"), [(True, "cannot follow Untraceable"), (False, "would differ .* by 1.0e")]
)
def test_what_would_be_wrong_is_not_written(looks: bool, message: str, tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match=message):
        onnx_file.write(Untraceable(looks).eval(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ("torch", "no_such_package"))
    with pytest.raises(HatlibError, match=r'needs no_such_package: pip install "hatlib-sr\[export'):
        onnx_file.write(small("RCAN"), tmp_path / "net.onnx")
