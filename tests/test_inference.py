import numpy as np
import pytest
import torch

from hatlib import HatlibError, inference, models, pictures, upscale
from hatlib.images import to_image, to_tensor
from hatlib.models.base import Network


@pytest.fixture
def srcnn():
    torch.manual_seed(0)
    model = models.create("srcnn", 4)
    with torch.no_grad():  # far enough from bicubic for a seam to show
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (37, 5, 3), (7, 9)])
@pytest.mark.parametrize("name", ["bicubic", "nearest", "srcnn", "rcan-nano", "swinir-nano", "hat-nano"])
def test_any_size_becomes_scale_times_as_large(name, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = upscale(models.create(name, 3).eval(), image)
    assert result.dtype == np.uint8
    assert result.shape == (3 * shape[0], 3 * shape[1], *shape[2:])


def test_whole_is_the_network_clamped_and_rounded(srcnn):
    image = pictures.builtin("cat")[100:140, 100:150]
    with torch.inference_mode():
        assert np.array_equal(upscale(srcnn, image), to_image(srcnn(to_tensor(image))))


@pytest.mark.parametrize("tile", [1, 16, 33, 1000])
def test_tiles_give_the_whole(srcnn, tile):
    image = pictures.builtin("cat")[100:151, 100:170]
    whole = upscale(srcnn, image, tile=0).astype(int)
    assert np.abs(upscale(srcnn, image, tile=tile) - whole).max() <= 1  # float32 sums in another order, then rounding
    assert (upscale(srcnn, image, tile=tile) == whole).mean() > 0.999


def test_a_halo_too_small_would_show(srcnn):
    """The test above can fail: with no halo the tiles do differ."""
    image = pictures.builtin("cat")[100:151, 100:170]
    whole = upscale(srcnn, image, tile=0).astype(int)
    srcnn.halo = 0
    assert np.abs(upscale(srcnn, image, tile=16) - whole).max() > 3


def test_large_images_are_tiled_by_themselves(monkeypatch):
    sizes = []

    class Spy(Network):
        scale, halo = 2, 3

        def forward(self, lr):
            sizes.append(tuple(lr.shape[2:]))
            return lr.repeat_interleave(2, 2).repeat_interleave(2, 3)

    monkeypatch.setattr(inference, "LARGE", 50 * 50)
    monkeypatch.setattr(inference, "TILE", 20)
    image = np.random.default_rng(0).integers(0, 256, (51, 60, 3), dtype=np.uint8)
    assert np.array_equal(upscale(Spy(), image), image.repeat(2, 0).repeat(2, 1))
    assert len(sizes) == 9 and max(max(size) for size in sizes) == 26


def test_bfloat16_is_close_to_float32(srcnn):
    image = pictures.builtin("cat")[100:140, 100:150]
    difference = upscale(srcnn, image, precision="bf16").astype(int) - upscale(srcnn, image, precision="fp32")
    assert 0 < np.abs(difference).mean() < 1.5


def test_bad_requests_are_refused(srcnn):
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(HatlibError, match="precision is 'fp17'"):
        upscale(srcnn, image, precision="fp17")
    with pytest.raises(HatlibError, match="tile is -1"):
        upscale(srcnn, image, tile=-1)
    with pytest.raises(HatlibError, match="not finite"), torch.no_grad():
        srcnn.conv3.bias.fill_(float("nan"))
        upscale(srcnn, image)
