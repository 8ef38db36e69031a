"""What holds on a device beside the CPU. `test_pretended.py` starts it, in a process of its own:

PYTHONPATH=tests/pretended HATLIB_DEVICE=pretended python -m pytest tests/pretended/checks.py
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import hatlib
from hatlib.course import explore, widgets
from hatlib.course.widgets import lam
from hatlib.data import builtin
from hatlib.data.datasets import Pair
from hatlib.system import devices
from tests.helpers.shown import other_values
from tests.helpers.training import same, train
from tests.models.test_gpu import TINY, check_gradients, short

DEVICE = devices.device()
LR = hatlib.imresize(builtin.builtin_image("facade-6")[:128, :160], 1 / 4)


# --- the device is one ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.rand(3, 3),
        lambda x: torch.cat([x, torch.rand(3, 3)]),
        lambda x: F.conv2d(x[None, None], torch.rand(1, 1, 2, 2)),
        lambda x: F.linear(torch.rand(3, 3), x),
        lambda x: x.numpy(),
        np.asarray,
        torch.nn.Linear(3, 3),
    ],
)
def test_devices_do_not_mix(mistake: Any) -> None:
    with pytest.raises(RuntimeError, match=r"same device|numpy\(\)"):
        mistake(torch.rand(3, 3, device=DEVICE))


def test_what_a_gpu_takes_is_taken() -> None:
    x = torch.arange(6.0, device=DEVICE).view(2, 3)
    x[:, torch.tensor([1])] += torch.tensor(0.5)
    x[0] = torch.tensor([7.0, 8.0, 9.0])
    assert x.cpu().numpy().tolist() == x.tolist() == [[7, 8, 9], [3, 4.5, 5]]
    assert f"{x.sum():.1f}" == "36.5" and copy.deepcopy(x).device == x.device
    assert x.to("meta").is_meta and x.double().to("cpu").dtype == torch.float64
    torch.accelerator.synchronize()
    with torch.inference_mode():
        assert torch.nn.Linear(3, 1).to(DEVICE)(x).device == x.device


# --- hatlib on it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_numbers_and_gradients_are_the_cpus(name: str) -> None:
    model = short(name, **TINY[name]).eval()
    lr = torch.rand(1, 3, 16, 24)
    results = []
    for device in ("cpu", DEVICE):
        there, given = copy.deepcopy(model).to(device), lr.clone().to(device)
        with torch.no_grad():
            sr = there(given)
        given.requires_grad_()
        assert sr.device.type == torch.device(device).type
        loss = (there(given) * torch.linspace(-1, 1, sr.shape[-1], device=device)).sin().sum()
        loss.backward()
        found = [x.grad.cpu() for x in (given, *there.parameters()) if x.grad is not None]
        results.append((sr.cpu(), found))
    assert float((results[0][0] - results[1][0]).abs().max()) < 1e-6
    check_gradients(results[1][1], results[0][1])


def test_upscaling_evaluation_and_lam(tmp_path: Path) -> None:
    name, hr = "hat-nano-x4", builtin.builtin_image("facade-6")[:128, :160]
    here, there = hatlib.load_model(name), hatlib.load_model(name).to(DEVICE)
    expected = hatlib.upscale(here, LR, precision="fp32")
    for tile in (None, 16):
        sr = hatlib.upscale(there, LR, precision="fp32", tile=tile)
        assert int(np.abs(sr.astype(int) - expected).max()) <= 1 or tile
    assert hatlib.evaluate(there, [Pair("facade", LR, hr)]).psnr.notna().all()
    indices = [hatlib.lam(m, LR, (48, 48, 16), steps=2).diffusion_index for m in (here, there)]
    assert indices[1] == pytest.approx(indices[0], rel=1e-3)


def test_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    run = train(tmp_path, steps=3)
    assert next(run.ema_model.parameters()).device.type == DEVICE.type
    assert same(train(tmp_path, steps=6), train(steps=6))


def test_an_image_is_degraded_and_resized_there() -> None:
    image = torch.rand(3, 24, 32, device=DEVICE)
    np.testing.assert_allclose(
        hatlib.imresize(image, 1 / 4).cpu(), hatlib.imresize(image.cpu(), 1 / 4), atol=1e-6
    )


# --- explorers ------------------------------------------------------------------------------------

# Those that take networks, and one to give them; without one they load their own.
TAKE_NETWORKS = {
    "bias": "hat-nano-x4",
    "conv-scale": "hat-nano-x4",
    "gates": "rcan-nano-x4",
    "lam": "srcnn-x4",
    "query": "hat-nano-x4",
    "srcnn": "srcnn-x4",
}


@pytest.mark.parametrize("given", [False, True], ids=["its own", "given"])
@pytest.mark.parametrize("name", TAKE_NETWORKS)
def test_each_control_of_an_explorer_moves(
    name: str, given: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = [hatlib.load_model(TAKE_NETWORKS[name]).to(DEVICE)] if given else []
    monkeypatch.setattr(lam, "STEPS", (2, 3))  # the same arithmetic, less often
    monkeypatch.setattr(lam, "DEFAULT_STEPS", 2)
    box = getattr(widgets, explore.explorers()[name])(*networks)
    panel, picture, caption = box.children
    for control in panel.children[:-1]:
        for value in other_values(control)[:1]:
            before = picture.value
            control.value = value
            assert "not drawn" not in caption.value, f"{control.description}: {caption.value}"
            assert picture.value != before


def test_a_precision_by_name_is_accepted() -> None:
    assert np.isfinite(train(steps=2, precision="bf16").losses).all()


def test_no_explorer_that_takes_networks_is_left_out() -> None:
    take = {
        name
        for name, function in explore.explorers().items()
        if "Network" in str(getattr(widgets, function).__annotations__)
    }
    assert take == set(TAKE_NETWORKS)
