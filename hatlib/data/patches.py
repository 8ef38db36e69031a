"""Random patches for training, from images that are decoded once.

No worker processes: images and their LR counterparts lie one after another as bytes, in the memory
of the device where they fit, and patches are cut and flipped there. Taught in notebooks 03 and 09.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
import torch

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, crop_to_multiple
from hatlib.imaging.resize import imresize
from hatlib.system import devices


class PatchSampler:
    """Random LR/HR patches, one batch at a time: `lr, hr = next(sampler)`.

    Every position in every image is equally likely, and so is each of the eight flips and quarter
    turns. LR is made once, bit-exactly, from the whole images. The random numbers are drawn on the
    CPU, so a seed gives the same patches on every device.

    Args:
        images: uint8 (H, W, 3), or (H, W), which is repeated three times; each at least patch·scale
            on a side. They are taken one by one, so that a generator never holds them all.
        scale: HR side / LR side.
        patch: side of an LR patch, pixels.
        batch: patches a batch.
        device: where patches are wanted; images are kept there too if they fill no more than half
            of what is free.
        share: (i, n): of each batch, only what the i-th of n processes trains on; together they see
            the whole batch.
        memory: bytes that images may take; what exceeds them is kept in a temporary file and read
            as it is needed. By default half of what is free.
    Raises:
        HatlibError: no images, images smaller than a patch, or a batch that can't be shared evenly.
    """

    def __init__(
        self,
        images: Iterable[np.ndarray],
        scale: int,
        patch: int,
        batch: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
        memory: int | None = None,
    ) -> None:
        if min(scale, patch, batch) < 1:
            raise HatlibError(
                f"scale, patch and batch are at least 1, got {scale}, {patch} and {batch}"
            )
        if batch % share[1]:
            raise HatlibError(f"a batch of {batch} can't be shared by {share[1]} processes")
        self.scale, self.patch, self.batch, self.device = scale, patch, batch, torch.device(device)
        self.mine = slice(share[0], None, share[1])
        self.rng = np.random.default_rng(seed)
        self.hr, self.lr, self.sides = _stored(images, scale, patch, self.device, memory)
        self.first = np.concatenate(
            [[0], np.cumsum(self.sides.prod(axis=1))]
        )  # LR pixels before each image
        places = (self.sides - patch + 1).prod(axis=1)
        self.chance = places / places.sum()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self

    def __next__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, p, p) and (N, 3, s·p, s·p), float32 in [0, 1], on the device."""
        image = self.rng.choice(len(self.sides), size=self.batch, p=self.chance)
        corner = self.rng.integers(0, self.sides[image] - self.patch + 1)  # row, column in LR
        turn = self.rng.integers(
            0, 2, size=(self.batch, 3), dtype=bool
        )  # upside down, left to right, transposed
        image, corner, turn = image[self.mine], corner[self.mine], turn[self.mine]
        first, sides, s = self.first[image], self.sides[image], self.scale
        lr = _cut(self.lr, 3 * first, sides, corner, self.patch, turn)
        hr = _cut(self.hr, 3 * first * s * s, sides * s, corner * s, self.patch * s, turn)
        return lr.to(self.device), hr.to(self.device)


def _cut(
    flat: torch.Tensor,
    first: np.ndarray,
    sides: np.ndarray,
    corner: np.ndarray,
    side: int,
    turn: np.ndarray,
) -> torch.Tensor:
    """Square patches (N, 3, side, side) out of images that lie one after another as (3, H, W): a
    flip only changes where to start and how to step."""
    width = sides[:, 1]
    down, right = np.where(turn[:, 0], -width, width), np.where(turn[:, 1], -1, 1)
    row, column = (corner + (side - 1) * turn[:, :2]).T
    start = first + row * width + column
    steps = np.where(turn[:, 2:], np.stack([right, down], 1), np.stack([down, right], 1))
    numbers = torch.from_numpy(np.column_stack([start, sides.prod(axis=1), steps])).to(flat.device)
    start, plane, by_row, by_column = numbers.T[..., None, None, None]
    along = torch.arange(side, device=flat.device)
    index = (
        start
        + torch.arange(3, device=flat.device)[:, None, None] * plane
        + by_row * along[:, None]
        + by_column * along
    )  # (N, 3, side, side)
    return flat[index].float().div_(255)


def _stored(
    images: Iterable[np.ndarray], scale: int, patch: int, device: torch.device, memory: int | None
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """All pixels of HR and of LR, uint8, image after image, and (rows, columns) of each LR
    image."""
    limit = devices.free_memory(torch.device("cpu")) // 2 if memory is None else memory
    limits = (
        max(1, limit - limit // 16),
        max(1, limit // 16),
    )  # of HR and LR; at ×4 the one is 16 times the other
    hr_bytes, lr_bytes = Bytes(limits[0]), Bytes(limits[1])
    sides: list[tuple[int, int]] = []
    shortest: list[int] = []
    for image in images:
        check_image(image)
        if image.dtype != np.uint8:
            raise HatlibError(f"patches are cut from uint8 images, got {image.dtype}")
        shortest.append(min(image.shape[:2]))
        if shortest[-1] >= patch * scale:
            hr = crop_to_multiple(_three_channels(image), scale)
            lr = imresize(hr, 1 / scale)
            sides.append(lr.shape[:2])
            for store, pixels in ((hr_bytes, hr), (lr_bytes, lr)):
                store.add(pixels.transpose(2, 0, 1).tobytes())
    _check_sizes(shortest, scale, patch)
    hr_pixels, lr_pixels = hr_bytes.tensor(), lr_bytes.tensor()
    if device.type != "cpu" and len(hr_pixels) + len(lr_pixels) < devices.free_memory(device) // 2:
        hr_pixels, lr_pixels = hr_pixels.to(device), lr_pixels.to(device)
    return hr_pixels, lr_pixels, np.array(sides)


class Bytes:
    """Bytes that are added one after another: in memory up to a limit, then in a temporary file;
    never held twice."""

    def __init__(self, limit: int):
        self.limit, self.size, self.memory = limit, 0, bytearray()
        self.file: IO[bytes] | None = None

    def add(self, more: bytes) -> None:
        self.size += len(more)
        if self.size > self.limit and self.file is None:
            self.file = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the tensor is used)
            self.file.write(self.memory)
            self.memory.clear()
        if self.file is None:
            self.memory += more
        else:
            self.file.write(more)

    def tensor(self) -> torch.Tensor:
        """(size,) uint8: the memory itself, or one that the system reads from the file where it is
        used."""
        if self.file is None:
            return torch.frombuffer(self.memory, dtype=torch.uint8)
        self.file.flush()
        return torch.from_numpy(np.memmap(self.file, np.uint8, "r+", shape=(self.size,)))


def _three_channels(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _check_sizes(shortest: list[int], scale: int, patch: int) -> None:
    if not shortest:
        raise HatlibError("there are no images to cut patches from")
    small = sum(side < patch * scale for side in shortest)
    if small:
        raise HatlibError(
            f"an LR patch of {patch} at ×{scale} needs images of at least {patch * scale} pixels a side; {small} of "
            f"{len(shortest)} are smaller (the smallest side is {min(shortest)}, good for a patch of "
            f"{min(shortest) // scale})"
        )
