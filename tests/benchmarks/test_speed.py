"""What benchmarks/speed.py compares gives the same numbers, on maps of every shape."""

from __future__ import annotations

import pytest
import torch

from benchmarks import speed
from hatlib import models

# one window; two; an odd number, with border windows of both kinds; a tall map; two images; a wide
# map
SIZES = [(1, 8, 8), (1, 8, 16), (1, 24, 40), (1, 136, 64), (2, 64, 72), (1, 16, 520)]


def network(name: str) -> models.Network:
    """Random weights, those of the positions and of the convolutions' branch large enough to
    matter."""
    torch.manual_seed(0)
    model = models.create(name, 2, **({"conv_scale": 0.2} if name == "hat-nano" else {})).eval()
    for key, parameter in model.named_parameters():
        if "bias_table" in key:
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("images, height, width", SIZES)
@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_with_and_without_gradients_and_as_the_papers_have_it(
    name: str, images: int, height: int, width: int
) -> None:
    model, lr = network(name), torch.rand(images, 3, height, width)
    with torch.inference_mode():
        fast = model(lr)
    with torch.no_grad():
        assert torch.equal(model(lr), fast)
    assert (model(lr) - fast).abs().max() < 1e-5
    models.set_fused(model, False)
    with torch.inference_mode():
        assert (model(lr) - fast).abs().max() < 1e-5


def test_the_plain_case_is_the_readable_network_and_ours_the_fused_one() -> None:
    results = {case: speed.prepare("hat-nano", (16, 24), case)() for case in speed.CASES["cpu"]}
    plain, ours, half = (results[case] for case in ("plain fp32", "ours fp32", "ours bf16"))
    assert 0 < (plain - ours).abs().max() < 1e-5 < (ours - half).abs().max() < 0.1


def test_bfloat16_is_measured_only_where_the_device_has_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Emulated, a large product takes minutes."""
    monkeypatch.setattr(speed, "matrix_product", lambda dtype: 100.0)
    asked: list[list[str]] = []

    def compare(name: str, size: tuple[int, int], cases: list[str], *_: object) -> list[speed.Row]:
        asked.append(cases)
        return []

    monkeypatch.setattr(speed, "compare", compare)
    for has in (True, False):
        monkeypatch.setattr(speed.devices, "fast_bfloat16", lambda on, has=has: has)
        assert set(speed.peak_speeds()) == ({"fp32", "bf16"} if has else {"fp32"})
        speed.table(["hat-nano"], [(16, 24)], 1, peers=False)
    assert asked == [["plain fp32", "ours fp32", "ours bf16"], ["plain fp32", "ours fp32"]]
    assert "none of bfloat16 here" in capsys.readouterr().out


@pytest.mark.parametrize("case", [case for case in speed.PEERS if "compiled" not in case])
def test_other_programs_run_the_same_network(case: str) -> None:
    for package in speed.PEERS[case]:
        pytest.importorskip(package)
    plain, peer = (speed.prepare("swinir-nano", (16, 24), of)() for of in ("plain fp32", case))
    assert 0 < (plain - peer).abs().max() < (1e-4 if "fp32" in case else 0.1)


@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_the_input_and_the_weights_are_left_alone(name: str) -> None:
    model, lr = network(name), torch.rand(1, 3, 16, 24)
    before, weights = lr.clone(), {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        first = model(lr)
        assert torch.equal(model(lr), first)
    assert torch.equal(lr, before)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["swinir-nano", "hat-nano"])
def test_bfloat16_is_close_in_a_whole_network(name: str) -> None:
    model, lr = network(name), torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        full = model(lr)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(lr).float()
    assert 0 < (full - half).abs().max() < 0.05 * full.std()
