"""DAT: windows of two orientations, masks of four kinds, the tables of released files."""

from __future__ import annotations

import pytest
import torch

from hatlib import HatlibError, models
from hatlib.models.dat import (
    DATConfig,
    SpatialAttention,
    kinds,
    offset_index,
    shift_mask,
    window_offsets,
)
from hatlib.weights import architectures
from tests.helpers import reference

TINY = {"embed_dim": 32, "depths": (4,), "num_heads": 4, "split_size": (2, 4)}


def tiny(**options) -> models.Network:
    """A small network whose random weights are large enough for a mistake to show."""
    torch.manual_seed(0)
    model = models.create("dat-light", 2, **{**TINY, **options}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (3, 5)])  # multiples of the windows, and not
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fast_way_gives_the_same_numbers_and_gradients(size, dtype):
    model = tiny().to(dtype)
    results = []
    for fused in (True, False):
        models.set_fused(model, fused)
        lr = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)).to(dtype)
        lr.requires_grad_()
        sr = model(lr)
        weights = torch.linspace(-1, 1, sr.numel(), dtype=dtype).view_as(sr)
        tensors = [lr, *model.parameters()]
        gradients = torch.autograd.grad((sr * weights).sum(), tensors, allow_unused=True)
        with torch.no_grad():
            results.append([model(lr), sr, *[g for g in gradients if g is not None]])
    for fast, plain in zip(*results, strict=True):
        assert torch.allclose(fast, plain, atol=2e-5 * float(1 + plain.detach().abs().max()))


def test_windows_reach_across_the_cut_of_a_shift_only_to_neighbours():
    """A shifted window of the last row holds both ends of the map; they must not see each other."""
    attention = SpatialAttention(DATConfig(**TINY), shifted=True).eval()
    x = torch.rand(1, 8, 8, 32, requires_grad=True)
    with torch.no_grad():
        attention.dwconv[0].weight.zero_()  # leaves the attention alone
    attention(x)[0, 7, 3].sum().backward()
    rows = (x.grad[0].abs().sum(dim=(1, 2)) > 1e-20).nonzero().flatten().tolist()
    # tall windows have four rows and are shifted by two: rows 6 and 7 are the end of the map
    assert 0 not in rows and {6, 7} <= set(rows)


def test_a_mask_belongs_to_the_last_row_and_column():
    window, shift = (2, 4), (1, 2)
    assert not shift_mask(window, shift, False, False, "cpu").any()
    corner = shift_mask(window, shift, True, True, "cpu").view(2, 4, 2, 4)
    assert corner[0, 0, 0, 1] == 0 and corner[0, 0, 0, 2] == -100 and corner[0, 0, 1, 0] == -100
    assert kinds(5, 0) == [(slice(0, 5), False)]
    assert kinds(5, 2) == [(slice(0, 4), False), (slice(4, 5), True)]
    assert kinds(1, 2) == [(slice(0, 1), True)]


def test_the_index_leads_to_the_offset():
    offsets = window_offsets((2, 3), "cpu")[offset_index((2, 3), "cpu")]  # (T, T, 2)
    y, x = (
        place.flatten() for place in torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
    )
    assert torch.equal(offsets[..., 0], (y[:, None] - y).float())
    assert torch.equal(offsets[..., 1], (x[:, None] - x).float())


def test_a_released_file_tells_the_whole_configuration():
    expected = reference.load("dat_light_x4_tiny")
    network, scale, config = architectures.recognise(expected.tensors)
    assert (network.__name__, scale) == ("DAT", 4)
    assert config == expected.create().config
    architectures.check_buffers(config, architectures.split_buffers(expected.tensors)[1])


@pytest.mark.parametrize("table", ["rpe_biases", "relative_position_index", "attn_mask_1"])
def test_tables_of_another_network_are_refused(table):
    expected = reference.load("dat_light_x4_tiny")
    config = expected.create().config
    buffers = architectures.split_buffers(expected.tensors)[1]
    key = next(key for key in buffers if key.endswith(table))
    changed = buffers[key].clone()
    changed.view(-1)[-1] += 1
    with pytest.raises(HatlibError, match=rf"its {key} .* computes something else"):
        architectures.check_buffers(config, {**buffers, key: changed})


def test_batch_norms_use_their_stored_statistics():
    model = tiny()
    lr = torch.rand(1, 3, 8, 8)
    before = model(lr)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.mul_(4)
    assert not torch.allclose(model(lr), before, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads is 3; it has to be even"),
        ({"embed_dim": 16}, "embed_dim is 16; DAT needs at least 32"),
        ({"split_size": (3, 8)}, "split_size is 3, 8"),
        ({"resi_connection": "2conv"}, "resi_connection"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(HatlibError, match=message):
        models.create("dat-light", **{**TINY, **options})
