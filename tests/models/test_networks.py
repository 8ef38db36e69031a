"""RCAN, SwinIR, HAT and DRCT against the published ones: numbers, names, sizes, and the traps
between them."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

from hatlib import HatlibError, models
from hatlib.imaging.convert import LUMA
from hatlib.models import complexity, hat
from hatlib.models.fast import rows
from hatlib.models.hat import HAB
from hatlib.models.layers import ChannelAttention, DropPath, Padding
from hatlib.models.swinir import drop_path_rates
from hatlib.models.window_attention import (
    attention_mask,
    overlapping_position_index,
    relative_position_index,
)
from hatlib.weights import architectures
from tests.helpers import reference

MANIFESTS = reference.manifests()
NANO = ["rcan-nano", "swinir-nano", "hat-nano"]


def empty(name: str, scale: int = 4, **options) -> models.Network:
    """A network of which only the shapes exist: made in no time."""
    with torch.device("meta"):
        return models.create(name, scale, **options)


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reference.PAIRS)
def test_outputs_are_those_of_the_published_code(name):
    expected = reference.load(name)
    model = expected.create()
    for lr, sr in expected.pairs:
        with torch.inference_mode():
            assert (model(lr) - sr).abs().max() < 1e-5


@pytest.mark.parametrize("option, value", [("conv_scale", 0.1), ("shifted", False)])
def test_a_small_mistake_in_hat_would_show(option, value):
    expected = reference.load("hat_x2_tiny")
    lr, sr = expected.pairs[0]
    with torch.inference_mode():
        assert (expected.create(**{option: value})(lr) - sr).abs().max() > 1e-4


def test_there_are_pairs_of_each_architecture_and_scale():
    assert {
        "dat_light_x4_tiny",
        "drct_x4_tiny",
        "hat_x2_tiny",
        "hat_x4_w16_tiny",
        "rcan_x2_tiny",
        "rcan_x3_tiny",
        "rcan_x4_tiny",
        "swinir_light_x4_tiny",
        "swinir_x2_tiny",
    } <= set(reference.PAIRS)
    assert len(reference.load("hat_x4_w16_tiny").pairs) == 2


# --- names and sizes ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIFESTS)
def test_names_and_shapes_are_the_published_ones(name):
    architecture, parameters, config, shapes = MANIFESTS[name]
    with torch.device("meta"):
        model = reference.create(architecture, config)
    buffers = {
        key: shape
        for key, shape in shapes.items()
        if key.rpartition(".")[2] in architectures.BUFFERS
    }
    weights = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert weights == {key: shape for key, shape in shapes.items() if key not in buffers}
    assert sum(value.numel() for value in model.parameters()) == parameters
    if buffers and architecture != "DAT":  # which has windows of two sides: see test_dat.py
        window = config["window_size"]
        tables = {
            "relative_position_index": relative_position_index(window),
            "relative_position_index_SA": relative_position_index(window),
            "relative_position_index_OCA": overlapping_position_index(window, window * 3 // 2),
            "attn_mask": attention_mask(64, 64, window, window // 2),
        }
        assert all(shape == tables[key.rpartition(".")[2]].shape for key, shape in buffers.items())


def test_a_level_that_released_files_lack_is_left_out_of_the_state_dict():
    torch.manual_seed(0)
    block, other = hat.OCAB(hat.PRESETS["hat-nano"]), hat.OCAB(hat.PRESETS["hat-nano"])
    state = block.state_dict()
    assert "qkv.weight" in state and not any(key.startswith("attn.") for key in state)
    for copied in (other, copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        copied.load_state_dict({key: value + 1 for key, value in state.items()})
        assert torch.equal(copied.attn.qkv.weight, block.attn.qkv.weight + 1)
    assert torch.equal(block.state_dict()["qkv.weight"], state["qkv.weight"])
    del state["qkv.weight"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "attn.qkv.weight"'):
        block.load_state_dict(state)


@pytest.mark.parametrize(
    "name, manifest",
    [
        ("rcan", "rcan"),
        ("swinir", "swinir-m"),
        ("swinir-light", "swinir-s"),
        ("hat", "hat"),
        ("hat-s", "hat-s"),
        ("hat-l", "hat-l"),
        ("drct", "drct"),
        ("drct-l", "drct-l"),
        ("dat-light", "dat-light"),
    ],
)
def test_presets_are_the_published_configurations(name, manifest):
    for scale in (2, 3, 4):
        if f"{manifest}_x{scale}" in MANIFESTS:
            architecture, _, config, _ = MANIFESTS[f"{manifest}_x{scale}"]
            with torch.device("meta"):
                assert reference.create(architecture, config).config == empty(name, scale).config


@pytest.mark.parametrize(
    "name, counts",
    [
        ("hat", (20_624_795, 20_809_435, 20_772_507)),
        ("hat-s", (9_473_471, 9_658_111, 9_621_183)),
        ("hat-l", (40_698_863, None, 40_846_575)),
        ("swinir", (11_752_487, 11_937_127, 11_900_199)),
        ("swinir-light", (910_152, 918_267, 929_628)),
        ("rcan", (15_444_643, 15_629_283, 15_592_355)),
    ],
)
def test_parameters_are_as_many_as_in_the_official_code(name, counts):
    for scale, count in zip((2, 3, 4), counts, strict=True):
        assert count is None or complexity.parameters(empty(name, scale)) == count


def test_multiply_adds_are_those_of_the_papers():
    """102.4 G and 53.6 G at 64×64 (HAT, arXiv 2205.04437). Ours are less by the smaller border
    windows."""
    for name, giga in (("hat", 102.4), ("swinir", 53.6)):
        assert complexity.multiply_adds(empty(name)) / 1e9 == pytest.approx(giga, rel=0.02)


@pytest.mark.parametrize("scale", models.SCALES)
def test_the_nano_networks_are_alike(scale):
    made = [empty(name, scale) for name in NANO]
    work = [complexity.multiply_adds(model) for model in made]
    assert all(150_000 < complexity.parameters(model) < 400_000 for model in made)
    assert all(count == pytest.approx(np.mean(work), rel=0.1) for count in work)
    for model in made[1:]:
        assert model.config.embed_dim == 16 * model.config.num_heads


def test_making_a_network_for_a_file_draws_no_random_numbers():
    state = torch.get_rng_state()
    empty("hat-nano")
    assert torch.equal(torch.get_rng_state(), state)


# --- order of operations --------------------------------------------------------------------------


def hybrid_block(drop_path: float = 0.0) -> HAB:
    torch.manual_seed(0)
    return HAB(dataclasses.replace(hat.PRESETS["hat-nano"], conv_scale=0.2), 4, drop_path)


def test_a_hybrid_block_adds_attention_and_convolution_of_the_same_normed_map():
    block = hybrid_block().eval()
    x = torch.randn(2, 16, 16, 48)
    with torch.inference_mode():
        normed = block.norm1(x)
        mixed = x + block.attn.reference(normed) + 0.2 * block.conv_block(normed)
        expected = mixed + block.mlp.fc2(
            torch.nn.functional.gelu(block.mlp.fc1(block.norm2(mixed)))
        )
        assert torch.allclose(block(x), expected, atol=1e-5)


def test_stochastic_depth_never_leaves_out_the_convolutions():
    block = hybrid_block(drop_path=1 - 1e-9).train()
    x = torch.randn(2, 16, 16, 48)
    with torch.no_grad():
        assert torch.allclose(block(x), x + 0.2 * block.conv_block(block.norm1(x)), atol=1e-6)
        assert not torch.allclose(
            block.eval()(x), x + 0.2 * block.conv_block(block.norm1(x)), atol=1e-2
        )


def test_stochastic_depth_keeps_the_mean_and_is_off_in_eval_mode():
    torch.manual_seed(0)
    drop, branch = DropPath(0.25), torch.ones(4000, 2, 1)
    kept = drop(branch)
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert torch.equal(kept[:, 0], kept[:, 1]) and kept.mean() == pytest.approx(1, abs=0.03)
    assert drop.eval()(branch) is branch


def test_stochastic_depth_grows_from_block_to_block():
    rates = drop_path_rates((6,) * 6, 0.1)
    assert [len(group) for group in rates] == [6] * 6
    assert (
        rates[0][0] == 0
        and rates[-1][-1] == pytest.approx(0.1)
        and rates[1][0] == pytest.approx(0.1 * 6 / 35)
    )


def test_a_new_rcan_shifts_by_the_published_mean():
    expected, new = reference.load("rcan_x2_tiny").tensors, models.create("rcan-nano").state_dict()
    for key in ("sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"):
        assert torch.allclose(new[key], expected[key])


def test_channel_attention_takes_the_mean_over_all_that_it_is_given():
    torch.manual_seed(0)
    attention, x = ChannelAttention(8, 2), torch.rand(1, 8, 6, 6)
    hidden = torch.relu(attention[0].weight[..., 0, 0] @ x.mean(dim=(2, 3))[0] + attention[0].bias)
    weights = torch.sigmoid(attention[2].weight[..., 0, 0] @ hidden + attention[2].bias)
    assert torch.allclose(attention(x), x * weights[None, :, None, None], atol=1e-6)


# --- any image ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side, grown", [(1, 8), (2, 16), (5, 8), (7, 32), (8, 8)])
@pytest.mark.parametrize("border", ["reflect", "symmetric"])
def test_padding_mirrors_as_often_as_it_takes(side, grown, border):
    expected = np.pad(np.arange(side), (0, grown - side), mode=border)
    padded = Padding(grown, border)(torch.arange(side)[None, None, None])  # (1, 1, grown, grown)
    assert padded[0, 0, 0].tolist() == expected.tolist()


def test_padding_goes_to_the_multiple_and_if_asked_always_beyond():
    image = torch.rand(1, 3, 16, 19)
    assert Padding(8)(image).shape == (1, 3, 16, 24)
    assert Padding(8, always=True)(image).shape == (1, 3, 24, 24)
    assert Padding()(image) is image
    assert torch.equal(
        Padding(8)(image), torch.nn.functional.pad(image, (0, 5, 0, 0), mode="reflect")
    )
    with pytest.raises(HatlibError, match="border is 'wrap'"):
        Padding(8, "wrap")(image)


def test_the_published_padding_of_each_network():
    assert empty("hat").padding == Padding(16) and empty("drct").padding == Padding(16)
    assert empty("swinir").padding == Padding(8, "symmetric", always=True)
    assert empty("rcan").padding == Padding()
    for name in models.names():
        network = empty(name)
        assert network.halo % network.padding.multiple == 0


def test_padding_is_cut_off_again_and_by_hand_makes_no_difference():
    torch.manual_seed(0)
    model, lr = models.create("swinir-nano", 3).eval(), torch.rand(1, 3, 11, 16)
    with torch.inference_mode():
        by_hand = model(torch.nn.functional.pad(lr, (0, 0, 0, 5), mode="reflect"))[..., :33, :48]
        assert torch.equal(model(lr), by_hand)


@pytest.mark.parametrize("name", NANO)
def test_gray_goes_through_as_rgb_and_comes_back_as_luma(name):
    torch.manual_seed(0)
    model, gray = models.create(name, 2).eval(), torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        colour = model(gray.repeat(1, 3, 1, 1))
        assert torch.allclose(
            model(gray),
            (colour * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True),
            atol=1e-6,
        )


@pytest.mark.parametrize("name", NANO)
def test_every_weight_gets_a_gradient(name):
    torch.manual_seed(0)
    model = models.create(name, 2).train()
    model(torch.rand(1, 3, 16, 16)).square().mean().backward()
    trained = {key: value.grad for key, value in model.named_parameters() if value.requires_grad}
    assert all(gradient is not None for gradient in trained.values())
    # four ReLUs in a channel attention may all be off at first
    still = [
        key
        for key, gradient in trained.items()
        if "conv_du" not in key and not gradient.abs().sum() > 0
    ]
    assert not [key for key in still if "attention" not in key]


def test_feature_maps_keep_one_layout():
    """Channels last from the first convolution on: no copy from one layout to the other inside a
    block."""
    model, seen = models.create("hat-nano", 2).eval(), []
    for layer in model.modules():
        if (
            isinstance(layer, torch.nn.Conv2d)
            and layer.kernel_size == (3, 3)
            and layer.in_channels > 3
        ):
            layer.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))
    with torch.inference_mode():
        model(torch.rand(1, 3, 16, 24))
    assert len(seen) == 12
    assert all(
        x.is_contiguous(memory_format=torch.channels_last) for pair in seen[:-1] for x in pair
    )


@pytest.mark.parametrize(
    "name, scale, options",
    [
        ("rcan", 4, {"groups": 1, "blocks": 1, "features": 16, "reduction": 4}),
        ("swinir", 3, {"embed_dim": 12, "depths": (2,)}),
        ("hat", 2, {"embed_dim": 12, "depths": (2,), "squeeze_factor": 3}),
        ("hat-nano", 4, {"depths": (2,)}),
    ],
)
def test_working_strip_by_strip_changes_nothing(name, scale, options, monkeypatch):
    """Without gradients a CPU goes through a map a few rows at a time, and adds in place; with them
    it does not."""
    torch.manual_seed(0)
    model, lr = models.create(name, scale, **options).eval(), torch.rand(2, 3, 48, 32)
    given, whole = lr.clone(), model(lr).detach()
    monkeypatch.setattr(rows, "STRIP_PIXELS", 64)
    with torch.inference_mode():
        assert torch.allclose(model(lr), whole, atol=1e-6)
    assert torch.equal(lr, given)


# --- configurations -------------------------------------------------------------------------------


def test_bad_configurations_are_refused():
    with pytest.raises(HatlibError, match="num_heads is 3; it has to divide embed_dim, 50"):
        models.create("hat-nano", embed_dim=50)
    with pytest.raises(
        HatlibError, match="unknown upsampler 'pixelshufle'; did you mean 'pixelshuffle'"
    ):
        models.create("swinir-nano", upsampler="pixelshufle")
    with pytest.raises(HatlibError, match="window_size is 1"):
        models.create("swinir-nano", window_size=1)
    with pytest.raises(HatlibError, match="gives windows of 11, which have no common centre"):
        models.create("hat-nano", overlap_ratio=0.4)
    with pytest.raises(HatlibError, match="reduction 64 leaves none of 32 features"):
        models.create("rcan-nano", reduction=64)
    with pytest.raises(
        HatlibError, match="unknown option of hat 'embed_dims'; did you mean 'embed_dim'"
    ):
        models.create("hat", embed_dims=96)


def test_depths_may_come_as_a_list():
    assert models.create("swinir-nano", depths=[1, 2]).config.depths == (1, 2)
