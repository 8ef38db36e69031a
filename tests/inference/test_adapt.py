"""Networks from elsewhere: right results, or one line that says what does not fit."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hatlib
from hatlib import HatlibError, models
from hatlib.data.datasets import Pair
from hatlib.evaluation import reproduction
from hatlib.inference.adapt import adapt
from tests.helpers import ROOT, reference


class Shuffle(nn.Module):
    """A stranger's network: bicubic upsampling and what two convolutions add to it."""

    def __init__(self, scale: int = 4, channels: int = 3):
        super().__init__()
        torch.manual_seed(0)
        self.scale = scale
        self.first = nn.Conv2d(3, 8, 5, padding=2)
        self.last = nn.Conv2d(8, channels * scale**2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added = F.pixel_shuffle(self.last(torch.tanh(self.first(x))), self.scale)
        if added.shape[1] != 3:
            return added
        return added + F.interpolate(x, scale_factor=self.scale, mode="nearest")


class InWindows(Shuffle):
    """One that takes sides that are multiples of 8 only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] % 8 or x.shape[-2] % 8:
            raise RuntimeError("shape '[1, 3, -1, 8]' is invalid")
        return super().forward(x)


class Everywhere(Shuffle):
    """One in which every pixel depends on the mean of the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(dim=(2, 3), keepdim=True))


def descriptor(**changes: Any) -> SimpleNamespace:
    """What spandrel's loader gives, as far as it is looked at."""
    requirements = SimpleNamespace(multiple_of=8, minimum=0, square=False)
    values = {"model": InWindows(), "scale": 4, "size_requirements": requirements}
    return SimpleNamespace(**{"input_channels": 3, "output_channels": 3, **values, **changes})


IMAGE = np.random.default_rng(0).integers(0, 256, (21, 30, 3), dtype=np.uint8)


def test_a_module_of_torch_alone() -> None:
    module = Shuffle().train()
    model = adapt(module)
    assert (model.scale, model.halo, model.padding.multiple) == (4, 3, 1)
    assert not module.training
    expected = module(hatlib.to_tensor(IMAGE)).clamp(0, 1)
    sr = hatlib.upscale(model, IMAGE)
    assert np.array_equal(sr, hatlib.to_image(expected))
    # tiles of 16 pixels with the halo that was measured give the same image
    assert np.abs(hatlib.upscale(model, IMAGE, tile=16).astype(int) - sr).max() <= 1
    assert hatlib.upscale(model, IMAGE[..., 0]).shape == (84, 120)


def test_the_example_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## Bring your own network\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    shown: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(code, shown)
    model, table = shown["model"], shown["table"]
    assert (model.scale, model.halo, model.padding.multiple) == (4, 3, 1)
    with torch.inference_mode():
        expected = hatlib.to_image(shown["net"](hatlib.to_tensor(shown["lr"])).clamp(0, 1))
    assert np.abs(shown["sr"].astype(int) - expected).max() <= 1
    assert len(table.psnr) == len(hatlib.load_dataset("builtin", scale=4, every=4))
    assert capsys.readouterr().out == f"×4, halo 3: {table.psnr.mean():.2f} dB\n"


def test_it_is_measured_and_attributed_like_our_own() -> None:
    model = adapt(Shuffle(), scale=4)
    hr = np.random.default_rng(1).integers(0, 256, (84, 120, 3), dtype=np.uint8)
    table = hatlib.evaluate(model, [Pair("a", IMAGE, hr)])
    sr = hatlib.upscale(model, IMAGE, precision="fp32")
    assert table.psnr[0] == pytest.approx(hatlib.psnr(sr, hr, shave=4))
    result = hatlib.lam(model, IMAGE, (40, 40, 8), steps=4)
    assert result.map.shape == IMAGE.shape[:2] and result.map.max() > 0


def test_it_stands_in_the_table_of_a_reproduction(tmp_path: Path) -> None:
    hatlib.save_image(tmp_path / "a.png", np.kron(IMAGE, np.ones((2, 2, 1), np.uint8)))
    models = {"a stranger": adapt(Shuffle())}
    _, row = reproduction.run(models, [str(tmp_path)], tmp_path / "out")
    pairs = hatlib.load_dataset(tmp_path, scale=4)
    table = hatlib.evaluate(models["a stranger"], pairs)
    assert (row.model, row.psnr) == ("a stranger", pytest.approx(table.psnr[0]))


def test_windows_are_found_and_the_image_is_padded_for_them() -> None:
    model = adapt(InWindows())
    assert model.padding.multiple == 8
    assert hatlib.upscale(model, IMAGE).shape == (84, 120, 3)
    padded = np.pad(IMAGE, ((0, 3), (0, 2), (0, 0)), mode="reflect")
    expected = hatlib.to_image(InWindows()(hatlib.to_tensor(padded)).detach().clamp(0, 1))
    assert np.array_equal(hatlib.upscale(model, IMAGE), expected[:84, :120])


def test_a_mean_over_the_image_gets_a_wide_halo() -> None:
    assert adapt(Everywhere()).halo == 32
    assert adapt(Everywhere(), halo=5).halo == 5


def test_a_descriptor_says_what_it_needs() -> None:
    model = adapt(descriptor())
    assert (model.scale, model.padding.multiple) == (4, 8)
    assert np.array_equal(hatlib.upscale(model, IMAGE), hatlib.upscale(adapt(InWindows()), IMAGE))


def test_one_of_our_own_networks_passes_unchanged() -> None:
    own = models.create("rcan-nano", 2).eval()
    assert np.array_equal(
        hatlib.upscale(adapt(own), IMAGE, precision="fp32"),
        hatlib.upscale(own, IMAGE, precision="fp32"),
    )


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (Shuffle(2), {"scale": 4}, "scale is 4, and the network upscales ×2"),
        (descriptor(scale=2), {}, "scale is 2, and the network upscales ×4"),
        (InWindows(), {"multiple": 4}, "fails on RGB images with sides that are multiples of 4"),
        (Shuffle(4, channels=1), {}, r"gives \(1, 1, .*; expected is RGB"),
        (nn.Conv2d(1, 3, 3), {}, "fails on RGB images .*channels"),
        (nn.Flatten(), {}, "gives a tensor of shape"),
        (descriptor(input_channels=1), {}, "takes 1 and gives 3 channels"),
        (lambda x: x, {}, "adapt takes an nn.Module, got function"),
        (Shuffle(), {"halo": -1}, "halo is -1"),
    ],
)
def test_what_does_not_fit_is_one_line(module: Any, options: dict, message: str) -> None:
    with pytest.raises(HatlibError, match=message) as caught:
        adapt(module, **options)
    assert "\n" not in str(caught.value)


def test_a_network_for_0_to_255_is_noticed() -> None:
    class Bytes(Shuffle):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 255 * super().forward(x)

    with pytest.raises(HatlibError, match=r"values around \d+ for an image in \[0, 1\]"):
        adapt(Bytes())


def test_spandrel_itself() -> None:
    reason = "spandrel is not installed, or its torchvision is not"
    spandrel = pytest.importorskip("spandrel", reason=reason, exc_type=ImportError)
    expected = reference.load("dat_light_x4_tiny")
    model = adapt(spandrel.ModelLoader().load_from_state_dict(expected.tensors), scale=4)
    lr, sr = expected.pairs[0]
    with torch.inference_mode():
        assert torch.allclose(model(lr), sr, atol=1e-6)
