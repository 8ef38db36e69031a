"""Notebook 00: images as arrays and tensors, downsampled and upsampled by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hatlib.course.exercises.probes import close, expect
from hatlib.course.exercises.registry import exercise
from hatlib.imaging.convert import to_image, to_tensor


def nearest(image: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel becomes a block of scale×scale equal ones: (H, W, 3) → (scale·H, scale·W, 3)."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


@exercise(
    "00.1",
    "Upsample by repeating pixels",
    difficulty=1,
    minutes=3,
    solution=nearest,
    cases=lambda draw: {
        "a 3×2 image at ×3": (draw.image(3, 2), 3),
        "one pixel at ×4": (draw.image(1, 1), 4),
        "×1": (draw.image(2, 3), 1),
    },
    forbids={"loop": "right, but with a loop: np.repeat, or image.repeat, does it along an axis"},
)
def _nearest(attempt: Callable[..., np.ndarray]) -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    got = np.asarray(attempt(image.copy(), 2))
    expect(got.shape != (4, 3, 3), "only the rows were repeated; the columns need it too")
    expect(
        got.shape == (4, 6, 3), f"a (2, 3, 3) image at scale 2 becomes (4, 6, 3), not {got.shape}"
    )
    expect(
        not close(got, np.tile(image, (2, 2, 1))),
        "the whole picture was tiled; repeat each single pixel instead",
    )
    expect(
        close(got, nearest(image, 2)),
        "the sizes are right, but some block does not have the value of its pixel",
    )


def block_mean(image: np.ndarray, scale: int) -> np.ndarray:
    """The mean of each block of scale×scale: uint8 (H, W, 3) → float64 (H/scale, W/scale, 3)."""
    height, width, channels = image.shape
    blocks = image.reshape(height // scale, scale, width // scale, scale, channels)
    return blocks.mean(axis=(1, 3))


@exercise(
    "00.2",
    "Downsample by averaging",
    difficulty=2,
    minutes=8,
    solution=block_mean,
    cases=lambda draw: {
        "a 2×4 image at ×2": (draw.image(2, 4), 2),
        "a 6×9 image at ×3": (draw.image(6, 9), 3),
        "a 4×8 image at ×4": (draw.image(4, 8), 4),
        "×1": (draw.image(3, 2), 1),
    },
)
def _block_mean(attempt: Callable[..., np.ndarray]) -> None:
    image = np.random.default_rng(0).integers(128, 256, (4, 6, 3), dtype=np.uint8)
    got = np.asarray(attempt(image.copy(), 2))
    expect(
        got.shape == (2, 3, 3), f"a (4, 6, 3) image at scale 2 becomes (2, 3, 3), not {got.shape}"
    )
    want = block_mean(image, 2)
    expect(
        not close(got, image[::2, ::2]),
        "you kept one pixel of each block; take the mean of all of them",
    )
    sums = image.reshape(2, 2, 3, 2, 3).sum(axis=(1, 3), dtype=np.uint8) / 4
    expect(not close(got, sums, 1), "the sums overflowed: uint8 ends at 255; add floats")
    expect(
        close(got.astype(np.float64), want) or not close(got, want, 1),
        "the means are right but were rounded",
    )
    expect(close(got, want), "some block's value is not its mean")


def image_to_tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, 3) in 0–255 → float32 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


@exercise(
    "00.3",
    "From array to tensor",
    difficulty=1,
    minutes=5,
    solution=image_to_tensor,
    cases=lambda draw: {"a 5×3 image": (draw.image(5, 3),), "one pixel": (draw.image(1, 1),)},
    forbids={"to_tensor": "right, but that is hatlib's to_tensor: write the four steps yourself"},
)
def _image_to_tensor(attempt: Callable[..., torch.Tensor]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    got = attempt(image.copy())
    expect(isinstance(got, torch.Tensor), f"a torch.Tensor was expected, not {type(got).__name__}")
    expect(got.shape != (3, 4, 5), "the batch dimension is missing: (1, 3, H, W)")
    expect(
        got.shape == (1, 3, 4, 5), f"a (4, 5, 3) image becomes (1, 3, 4, 5), not {tuple(got.shape)}"
    )
    expect(got.dtype == torch.float32, f"float32 was expected, not {got.dtype}")
    expect(float(got.max()) <= 1, "the values still go up to 255; divide by 255")
    mixed = torch.from_numpy(image.reshape(1, 3, 4, 5)).float() / 255
    expect(
        not close(got, mixed),
        "reshape mixes up channels and pixels; permute moves the channel axis",
    )
    expect(close(got, to_tensor(image)), "the values are not the pixels divided by 255")


def tensor_to_image(tensor: torch.Tensor) -> np.ndarray:
    """Float (1, 3, H, W), about [0, 1] → uint8 (H, W, 3).

    Clamped to [0, 1], times 255, rounded half up.
    """
    values = tensor[0].clamp(0, 1) * 255
    return torch.floor(values + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()


@exercise(
    "00.4",
    "From tensor to array",
    difficulty=2,
    minutes=8,
    solution=tensor_to_image,
    cases=lambda draw: {
        "a 5×3 image": (1.4 * draw.tensor(1, 3, 5, 3).sigmoid() - 0.2,),
        "one pixel in float64": (draw.tensor(1, 3, 1, 1).sigmoid().double(),),
        "black and white": ((draw.tensor(1, 3, 4, 2) > 0).float(),),
    },
    forbids={"to_image": "right, but that is hatlib's to_image: write the steps yourself"},
)
def _tensor_to_image(attempt: Callable[..., np.ndarray]) -> None:
    levels = torch.tensor([-0.2, 0.0, 10.3 / 255, 10.7 / 255, 1.0, 1.3])
    tensor = levels.repeat(1, 3, 2, 1)  # (1, 3, 2, 6)
    got = np.asarray(attempt(tensor.clone()))
    expect(got.shape == (2, 6, 3), f"a (1, 3, 2, 6) tensor becomes (2, 6, 3), not {got.shape}")
    expect(got.dtype == np.uint8, f"uint8 was expected, not {got.dtype}")
    row = got[0, :, 0]
    expect(int(row[4]) != 1, "1.0 became 1 instead of 255; multiply by 255")
    expect(
        row[0] == 0 and row[5] == 255,
        "values below 0 or above 1 wrapped around; clamp before the conversion",
    )
    expect(int(row[3]) != 10, "10.7 became 10: the conversion to uint8 truncates; round first")
    expect(close(got, to_image(tensor)), "the values are not the rounded levels")
    halves = (torch.arange(0, 100).double() + 0.5) / 255
    # those that stay halves when multiplied, in float64 and in float32
    halves = halves[(halves * 255 % 1 == 0.5) & (halves.float() * 255 % 1 == 0.5)]
    got = attempt(halves.repeat(1, 3, 1, 1).clone())
    expect(
        bool(np.all(got[0] == np.floor(halves.numpy() * 255 + 0.5)[:, None])),
        "a value halfway between two levels goes up, 2.5 to 3; torch.round and np.round take the "
        "even one: add ½ and use floor",
    )
