"""hatlib.imaging.convert: one conversion between images, planes and tensors, one luma."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hatlib import HatlibError
from hatlib.imaging import convert

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_come_back_as_they_were(shape: tuple[int, ...], dtype: type) -> None:
    image = RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    tensor = convert.to_tensor(image)
    assert tensor.shape == (1, 3 if len(shape) == 3 else 1, 5, 7)
    assert float(tensor.max()) == pytest.approx(image.max() / convert.white(dtype))
    np.testing.assert_array_equal(convert.quantised(tensor[0], dtype), image)


def test_sixteen_bits_are_an_image_only_where_that_is_said() -> None:
    image = np.zeros((4, 4), np.uint16)
    convert.check_image(image, sixteen_bits=True)
    with pytest.raises(HatlibError, match=r"uint8 \(0 to 255\) or float \(0 to 1\), got uint16"):
        convert.check_image(image)


def test_the_luma_of_tensors_is_that_of_images() -> None:
    image = RNG.random((6, 8, 3))
    luma = convert.luma_of_tensor(torch.from_numpy(image).permute(2, 0, 1)[None])
    want = convert.luma(image, full_range=True)
    np.testing.assert_allclose(255 * luma[0, 0].numpy(), want, atol=1e-10)
    assert convert.luma_of_tensor(luma) is luma


@pytest.mark.parametrize("values", [(0, 255.0), (-3, 1), (0, np.nan), (0, np.inf)])
def test_floats_of_another_range(values: tuple[float, float]) -> None:
    image = np.resize(np.array(values, np.float32), (4, 6, 3))
    for take in (convert.check_image, convert.to_tensor, convert.luma):
        with pytest.raises(HatlibError, match="from 0 to 1"):
            take(image)
