import numpy as np
import pytest
import torch

from hatlib import HatlibError, models
from hatlib.imaging.convert import LUMA
from hatlib.imaging.resize import imresize

# the large ones share their code with these; their numbers, names and sizes are in test_networks.py
QUICK = ["bicubic", "nearest", "srcnn", "rcan-nano", "swinir-nano", "hat-nano"]


@pytest.mark.parametrize(
    "kernels, weights, parameters",
    [((9, 1, 5), 8032, 8129), ((9, 3, 5), 24416, 24513), ((9, 5, 5), 57184, 57281)],
)
def test_srcnn_has_the_published_number_of_weights(kernels, weights, parameters):
    state = models.create("srcnn", kernels=kernels).state_dict()
    assert sum(value.numel() for key, value in state.items() if key.endswith("weight")) == weights
    assert sum(value.numel() for value in state.values()) == parameters


@pytest.mark.parametrize("scale", models.SCALES)
@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 6, 4), (1, 3, 1, 1)])
def test_every_network_enlarges_by_its_scale(name, scale, shape):
    model = models.create(name, scale)
    sr = model(torch.rand(shape))
    assert model.scale == scale
    assert sr.shape == (*shape[:2], shape[2] * scale, shape[3] * scale)


def test_untrained_srcnn_is_nearly_bicubic():
    torch.manual_seed(0)
    lr = torch.rand(1, 3, 12, 12)
    difference = models.create("srcnn", 4)(lr) - models.create("bicubic", 4)(lr)
    assert 0 < difference.abs().max() < 0.1
    assert difference.std() < 0.02


def test_srcnn_changes_the_luma_and_leaves_the_chroma():
    torch.manual_seed(0)
    model = models.create("srcnn", 3)
    with torch.no_grad():
        model.conv3.weight.add_(0.05 * torch.randn_like(model.conv3.weight))
    lr = torch.rand(1, 3, 8, 9)
    change = model(lr) - imresize(lr, 3)
    assert torch.allclose(change, change[:, :1].expand_as(change), atol=1e-6)
    luma = (imresize(lr, 3) * torch.tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    assert torch.allclose(change[:, :1], model.enhance(luma) - luma, atol=1e-6)


def test_srcnn_inside_equals_three_valid_convolutions():
    torch.manual_seed(0)
    model = models.create("srcnn", 2, kernels=(5, 3, 3))
    luma = torch.rand(1, 1, 20, 21)
    by_hand = model.conv3(model.conv2(model.conv1(luma).relu()).relu())
    assert torch.allclose(model.enhance(luma)[..., 4:-4, 4:-4], by_hand, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in QUICK if models.create(name).local])
def test_nothing_beyond_the_halo_matters(name):
    torch.manual_seed(0)
    model = models.create(name, 4)
    lr = torch.rand(1, 3, 31, 31, requires_grad=True)
    model(lr)[
        0, :, 4 * 15 : 4 * 16, 4 * 15 : 4 * 16
    ].sum().backward()  # the 4×4 SR pixels of LR pixel (15, 15)
    rows = np.flatnonzero(lr.grad.abs().sum(dim=(0, 1, 3)).numpy() > 0)
    assert 15 - rows.min() <= model.halo and rows.max() - 15 <= model.halo
    assert max(15 - rows.min(), rows.max() - 15) >= model.halo - 1  # nor is it much too large


def test_bad_names_scales_and_options_are_refused():
    with pytest.raises(HatlibError, match="did you mean 'srcnn'"):
        models.create("srcn")
    with pytest.raises(HatlibError, match="scale is 7; the networks know 2, 3, 4"):
        models.create("srcnn", 7)
    with pytest.raises(
        HatlibError, match="unknown option of srcnn 'kernel'; did you mean 'kernels'"
    ):
        models.create("srcnn", kernel=(9, 1, 5))


@pytest.mark.parametrize(
    "name, left",
    [
        ("hat-nano", {"upsample.0.weight", "upsample.0.bias"}),
        ("rcan-nano", {"tail.0.0.weight", "tail.0.0.bias"}),
        ("hat", {"upsample.2.weight", "upsample.2.bias"}),
    ],
)
def test_all_but_the_tail_is_copied_from_one_scale_to_another(name, left):
    small = {"embed_dim": 24, "depths": (2,), "num_heads": 2, "window_size": 8, "squeeze_factor": 6}
    options = small if name == "hat" else {}
    torch.manual_seed(0)
    source, target = models.create(name, 2, **options), models.create(name, 4, **options)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    assert set(models.copy_weights(source, target)) == left
    for key, value in target.state_dict().items():
        assert torch.equal(value, before[key] if key in left else source.state_dict()[key]), key
    with torch.no_grad():
        next(target.parameters()).add_(1)
    assert not torch.equal(next(target.parameters()), next(source.parameters())), (
        "the two share their memory"
    )


def test_nothing_is_copied_between_networks_of_two_kinds():
    with pytest.raises(HatlibError, match="no weight of SRCNN ×2 fits HAT ×4"):
        models.copy_weights(models.create("srcnn", 2), models.create("hat-nano", 4))
