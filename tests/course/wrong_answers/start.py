"""Wrong answers to the exercises of notebook 00, each with a part of its message."""

import numpy as np
import torch

import hatlib
from hatlib.course.exercises.start import block_mean, image_to_tensor, nearest


def _with_a_loop(image, scale):
    rows = [row for row in image for _ in range(scale)]
    return np.stack(rows).repeat(scale, axis=1)


def _clamp_in_place(t):
    return torch.floor(t.clamp_(0, 1)[0] * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()


def _half_to_even(t):
    return (t[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _repeat_in_place(image, scale):
    result = nearest(image, scale)
    image[:] = 0
    return result


WRONG = {
    "00.1": [
        (lambda image, scale: image.repeat(scale, axis=0), "only the rows"),
        (lambda image, scale: np.tile(image, (scale, scale, 1)), "tiled"),
        (lambda image, scale: image, "becomes (4, 6, 3)"),
        (lambda image, scale: nearest(image, scale)[::-1], "some block"),
        (_with_a_loop, "with a loop"),
        (lambda image, scale: nearest(image, 2), "not right for a 3×2 image at ×3"),
        (_repeat_in_place, "changed its argument image in place"),
        (lambda image, scale: nearest(image, scale).tolist(), "an array of numpy was expected"),
        (lambda image, scale: nearest(image, scale).astype(float), "its type is uint8"),
    ],
    "00.2": [
        (lambda image, scale: image[::scale, ::scale], "one pixel of each block"),
        (lambda image, scale: np.floor(block_mean(image, scale) + 0.5), "rounded"),
        (lambda image, scale: nearest(image, scale), "becomes (2, 3, 3)"),
        (
            lambda image, scale: sum(image[i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4,
            "overflowed",
        ),
        (lambda image, scale: block_mean(image[::-1], scale), "is not its mean"),
        (lambda image, scale: block_mean(image, 2), "a 6×9 image at ×3"),
        (lambda image, scale: block_mean(image, scale).mean(axis=2), "becomes (2, 3, 3)"),
        (lambda image, scale: (block_mean(image, scale),), "is there a comma"),
    ],
    "00.3": [
        (lambda image: torch.from_numpy(image).permute(2, 0, 1).float() / 255, "batch dimension"),
        (lambda image: torch.from_numpy(image).permute(2, 0, 1)[None].float(), "divide by 255"),
        (
            lambda image: torch.from_numpy(image).reshape(1, 3, *image.shape[:2]).float() / 255,
            "reshape mixes",
        ),
        (lambda image: image.transpose(2, 0, 1)[None] / 255, "a tensor was expected"),
        (lambda image: image_to_tensor(image).double(), "float32"),
        (lambda image: image_to_tensor(image).flip(1), "not the pixels"),
        (lambda image: hatlib.to_tensor(image), "that is hatlib's to_tensor"),
        (lambda image: image_to_tensor(image) * 255 / 256, "not the pixels"),
    ],
    "00.4": [
        (
            lambda t: (t[0].clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).numpy(),
            "round first",
        ),
        (
            lambda t: (t[0] * 255).round().to(torch.int64).to(torch.uint8).permute(1, 2, 0).numpy(),
            "wrapped",
        ),
        (lambda t: t[0].clamp(0, 1).to(torch.uint8).permute(1, 2, 0).numpy(), "multiply by 255"),
        (lambda t: (t[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy(), "uint8 was expected"),
        (lambda t: (t[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy(), "becomes (2, 6, 3)"),
        (_half_to_even, "halfway between two levels goes up"),
        (_clamp_in_place, "changed its argument tensor in place"),
        (lambda t: hatlib.to_image(t.clone()), "that is hatlib's to_image"),
    ],
}
