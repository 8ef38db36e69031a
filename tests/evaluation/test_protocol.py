import numpy as np
import pytest
import torch

from hatlib import HatlibError, models
from hatlib.data import builtin, datasets
from hatlib.data.datasets import Pair
from hatlib.evaluation import protocol, reported
from hatlib.imaging import metrics
from hatlib.imaging.resize import imresize


@pytest.mark.parametrize(
    "name, scale", [("set5", 2), ("set5", 3), ("set5", 4), ("set14", 4), ("urban100", 4)]
)
def test_bicubic_has_the_reported_values(needs_data, name, scale):
    needs_data(name)
    table = protocol.evaluate(models.create("bicubic", scale), datasets.load(name, scale=scale))
    mean = table.mean(numeric_only=True)
    psnr, ssim, _ = reported.reported("bicubic", name, scale)
    assert abs(mean.psnr - psnr) <= 0.02
    assert abs(mean.ssim - ssim) <= 0.001


def test_set14_with_its_gray_file_as_rgb_is_higher(needs_data):
    needs_data("set14")
    kept, expanded = (
        protocol.evaluate(models.create("bicubic"), datasets.load("set14", gray=gray)).psnr.mean()
        for gray in ("keep", "rgb")
    )
    assert expanded - kept == pytest.approx(1.3219 / 14, abs=0.002)


def test_gray_images_are_rgb_for_networks_and_kept_for_interpolation(pairs):
    gray = [Pair(name, lr[..., 0], hr[..., 0]) for name, lr, hr in pairs[:1]]
    bicubic, network = models.create("bicubic"), models.create("rcan-nano").eval()

    def score(model, way):
        seen = []
        table = protocol.evaluate(model, gray, on_image=lambda _, sr: seen.append(sr), gray=way)
        return table.psnr[0], seen[0].ndim

    assert score(bicubic, "auto") == score(bicubic, "keep")
    assert score(network, "auto") == score(network, "rgb") and score(network, "auto")[1] == 3
    # the same errors weigh less in luma, whose range is 219 of 255 levels
    difference = score(bicubic, "rgb")[0] - score(bicubic, "keep")[0]
    assert difference == pytest.approx(20 * np.log10(255 / 219), abs=1e-6)
    with pytest.raises(HatlibError, match="gray"):
        score(bicubic, "grey")


@pytest.fixture
def pairs():
    images = {name: builtin.builtin_image(name)[:96, :120] for name in ("cat", "coffee")}
    return [Pair(name, imresize(hr, 1 / 4), hr) for name, hr in images.items()]


def test_the_table_has_a_row_an_image(pairs):
    seen = {}
    table = protocol.evaluate(
        models.create("bicubic"), pairs, on_image=lambda name, sr: seen.update({name: sr})
    )
    assert list(table.columns) == ["name", "psnr", "ssim", "seconds"]
    assert list(table.name) == ["cat", "coffee"] == list(seen)
    for (_, row), pair in zip(table.iterrows(), pairs, strict=True):
        assert row.psnr == metrics.psnr(seen[pair.name], pair.hr, shave=4)
        assert row.ssim == metrics.ssim(seen[pair.name], pair.hr, shave=4)
        assert row.seconds > 0


def test_luma_is_computed_once_for_both_values(pairs, monkeypatch):
    sr = pairs[0].lr.repeat(4, 0).repeat(4, 1)
    want = [metrics.psnr(sr, pairs[0].hr, 4), metrics.ssim(sr, pairs[0].hr, 4)]
    luma, seen = metrics.luma, []
    monkeypatch.setattr(metrics, "luma", lambda image: seen.append(image.shape) or luma(image))
    row = protocol.evaluate(models.create("nearest"), pairs[:1]).iloc[0]
    assert seen == [pairs[0].hr.shape] * 2  # of the result and of the ground truth
    assert [row.psnr, row.ssim] == want


def test_shave_and_channel_are_passed_on(pairs):
    pair = pairs[0]
    row = protocol.evaluate(models.create("nearest"), [pair], shave=0, channel="rgb").iloc[0]
    assert row.psnr == metrics.psnr(pair.lr.repeat(4, 0).repeat(4, 1), pair.hr, channel="rgb")


def test_pairs_of_another_scale_are_refused(pairs):
    with pytest.raises(HatlibError, match=r"cat: HR .* is not 2 times LR"):
        protocol.evaluate(models.create("bicubic", 2), pairs)


def test_the_protocol_says_what_was_measured():
    assert "×3; LR the set's original files" in protocol.protocol(3, lr="original")
    assert "RGB" in protocol.protocol(2, channel="rgb")


def test_reported_values_carry_their_source():
    assert reported.reported("srcnn", "set5", 4)[:2] == (30.48, 0.8628)
    assert "RCAN" in reported.reported("bicubic", "urban100", 4)[2]
    assert reported.reported("bicubic", "builtin", 4) is None


def test_evaluation_leaves_no_gradients(pairs):
    model = models.create("srcnn")
    protocol.evaluate(model.eval(), pairs[:1])
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled() and np.isfinite(protocol.evaluate(model, pairs[:1]).psnr).all()
