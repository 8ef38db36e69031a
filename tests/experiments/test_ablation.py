"""HAT without its CAB, its OCAB, or both; and the experiment that trains the four."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import torch

from experiments import ablation
from hatlib import models
from hatlib.data import builtin, datasets
from hatlib.data.datasets import Pair
from hatlib.imaging.resize import imresize
from hatlib.models import complexity
from hatlib.models.hat import HAB, OCAB, PRESETS
from hatlib.training import loop
from hatlib.weights import architectures, files


def network(**options: bool) -> models.Network:
    torch.manual_seed(0)
    return models.create("hat-nano", 2, **options).eval()


@pytest.mark.parametrize(
    "options, left",
    [
        ({}, (4, 2)),
        ({"cab": False}, (0, 2)),
        ({"ocab": False}, (4, 0)),
        ({"cab": False, "ocab": False}, (0, 0)),
    ],
)
def test_each_option_leaves_out_its_blocks_and_nothing_else(options, left):
    model, whole = network(**options), network()
    kinds = [type(module) for module in model.modules()]
    assert (kinds.count(HAB), kinds.count(OCAB)) == left
    gone = {
        key
        for key in whole.state_dict()
        if (".conv_block." in key and "cab" in options)
        or (".overlap_attn." in key and "ocab" in options)
    }
    assert set(model.state_dict()) == set(whole.state_dict()) - gone
    assert model(torch.rand(1, 3, 16, 24)).shape == (1, 3, 32, 48)


def test_with_neither_it_is_swinir():
    model = network(cab=False, ocab=False)
    c = PRESETS["hat-nano"]
    same = ("embed_dim", "depths", "num_heads", "window_size", "upsampler", "drop_path_rate")
    swinir = models.create("swinir-nano", 2, **{name: getattr(c, name) for name in same}).eval()
    swinir.load_state_dict(model.state_dict())
    lr = torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        assert torch.equal(swinir(lr), model(lr))


def test_a_cab_without_weight_is_no_cab():
    whole, without = network(), network(cab=False)
    without.load_state_dict(
        {key: value for key, value in whole.state_dict().items() if ".conv_block." not in key}
    )
    for block in whole.modules():
        if isinstance(block, HAB):
            block.conv_scale = 0.0
    lr = torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        assert torch.allclose(whole(lr), without(lr), atol=1e-6)


def test_an_ablated_network_is_kept_in_a_file_with_its_options(tmp_path):
    model = network(cab=False)
    files.save(model, tmp_path / "w.safetensors", "hat-nano", cab=False)
    again = files.load(tmp_path / "w.safetensors")
    lr = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(again(lr), model(lr))


def test_published_weights_are_recognised_as_the_whole_network():
    _, _, config = architectures.recognise(network().state_dict())
    assert config.cab and config.ocab


def test_the_four_variants_differ_in_size_as_their_parts_do():
    sizes = {
        name: complexity.parameters(models.create("hat-nano", 4, **options))
        for name, options in ablation.VARIANTS.items()
    }
    assert (
        sizes["neither"] < min(sizes["ocab"], sizes["cab"])
        and max(sizes["ocab"], sizes["cab"]) < sizes["both"]
    )
    assert sizes["both"] - sizes["cab"] == sizes["ocab"] - sizes["neither"]


def test_each_run_is_recorded_once(tmp_path, monkeypatch, capsys):
    hr = builtin.builtin_image("facade-3")[:128, :128]
    monkeypatch.setattr(datasets, "stream", lambda name: iter([hr]))
    monkeypatch.setattr(
        datasets, "load", lambda name, scale: [Pair(name, imresize(hr, 1 / scale), hr)]
    )
    recipe = ablation.recipe
    monkeypatch.setattr(
        ablation,
        "recipe",
        lambda *asked: dataclasses.replace(recipe(*asked), patch_size=8, batch_size=1),
    )
    out = tmp_path / "recorded" / "ablation.csv"
    asked = [
        "--steps",
        "2",
        "--sets",
        "set5",
        "urban100",
        "--out",
        str(out),
        "--runs",
        str(tmp_path / "runs"),
    ]
    ablation.main([*asked, "--seeds", "0", "--variants", "neither"])
    ablation.main([*asked, "--seeds", "0", "1", "--variants", "neither", "both"])
    assert capsys.readouterr().out.count("neither, seed 0, 2 steps: recorded before") == 1
    table = pd.read_csv(out)
    assert list(zip(table["variant"], table["seed"], strict=True)) == [
        ("neither", 0),
        ("both", 0),
        ("neither", 1),
        ("both", 1),
    ]
    assert set(table["steps"]) == {2} and {
        "psnr_set5",
        "psnr_urban100",
        "ssim_set5",
        "loss",
    } <= set(table)
    assert table["psnr_set5"].between(10, 60).all() and table["parameters"].nunique() == 2

    def broken(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "fit", broken)
    ablation.main([*asked, "--seeds", "0", "1", "--variants", "neither", "both"])
    assert out.read_text(encoding="utf-8").count("\n") == 5


def test_all_variants_of_a_seed_have_one_recipe():
    plans = [ablation.recipe(name, 1, 100) for name in ablation.VARIANTS]
    assert all(dataclasses.replace(plan, options={}) == plans[-1] for plan in plans)
    assert [p.options for p in plans] == list(ablation.VARIANTS.values())
