"""Random patches for training, from images that are decoded once.

There are no worker processes: images and their LR counterparts lie one after another as bytes, in
the memory of the device where they fit, and patches are cut and flipped there. Taught in notebooks
03 and 09.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
import torch

from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import check_image, crop_to_multiple
from hatlib.imaging.real_world import real_world
from hatlib.imaging.resize import imresize
from hatlib.system import devices

# How many LR images are made of each HR image. Real ones are made by random chains: sixteen, which
# at ×4 fill as many bytes as the image itself.
DEGRADATIONS = {"bicubic": 1, "real-world": 16}


class PatchSampler:
    """Random LR/HR patches, one batch at a time: `lr, hr = next(sampler)`.

    Every position in every image is equally likely, and so is each of the eight flips and quarter
    turns (data augmentation). LR is made once, from the whole images: bit-exactly by bicubic
    downsampling, or several times by random chains, of which each patch takes one. The random
    numbers are drawn on the CPU, so a seed gives the same patches on every device.

    Args:
        images: uint8 (H, W, 3), or (H, W), which is repeated three times; each side at least
            patch_size·scale. They are taken one by one, so that a generator never holds them all.
        scale: HR side / LR side.
        patch_size: side of an LR patch, pixels.
        batch_size: patches per batch.
        seed: of the random numbers.
        device: where patches are wanted; images are kept there too if they fill no more than half
            of what is free.
        share: (i, n): of each batch, only what the i-th of n processes trains on; together they see
            the whole batch.
        memory: bytes that images may take; what exceeds them is kept in a temporary file and read
            as it is needed. By default half of what is free.
        degradation: how LR is made: "bicubic", or "real-world" (`hatlib.imaging.real_world`).
    Attributes:
        sides: (images, 2) rows and columns of each LR image.
        sha256: of the HR images in their order; the same images give the same patches.
        rng: numpy's generator; its state is what a checkpoint keeps.
    Raises:
        HatlibError: no images, images smaller than a patch, a batch that cannot be shared evenly,
            or an unknown degradation.
    """

    def __init__(
        self,
        images: Iterable[np.ndarray],
        scale: int,
        patch_size: int,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
        memory: int | None = None,
        degradation: str = "bicubic",
    ) -> None:
        if degradation not in DEGRADATIONS:
            raise unknown("degradation", degradation, DEGRADATIONS)
        if min(scale, patch_size, batch_size) < 1:
            raise HatlibError(
                f"scale, patch_size and batch_size are at least 1, got {scale}, {patch_size} and "
                f"{batch_size}"
            )
        process, processes = share
        if batch_size % processes:
            raise HatlibError(f"a batch of {batch_size} can't be shared by {processes} processes")
        self.scale = scale
        self.patch_size = patch_size
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.share = slice(process, None, processes)
        self.rng = np.random.default_rng(seed)

        self.lr_per_hr = DEGRADATIONS[degradation]

        pairs = _pairs(images, scale, patch_size, degradation, seed)
        lr_share = self.lr_per_hr / (self.lr_per_hr + scale**2)  # of all bytes
        pixels = _stored(pairs, self.device, memory, lr_share)
        self.hr, self.lr, self.sides, self.sha256 = pixels
        # LR pixels that lie before each image, one LR image counted
        self.offsets = np.concatenate([[0], np.cumsum(self.sides.prod(axis=1))])
        # an image is drawn as often as it has positions for a patch
        positions = (self.sides - patch_size + 1).prod(axis=1)
        self.probabilities = positions / positions.sum()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self

    def __next__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 3, p, p) and (N, 3, s·p, s·p), float32 in [0, 1], on the device."""
        # All processes draw the whole batch, so that their generators stay in step, and cut theirs.
        image = self.rng.choice(len(self.sides), size=self.batch_size, p=self.probabilities)
        corner = self.rng.integers(0, self.sides[image] - self.patch_size + 1)  # row, column in LR
        # upside down, left to right, transposed
        flips = self.rng.integers(0, 2, size=(self.batch_size, 3), dtype=bool)
        # no number is drawn where there is no choice: the patches of bicubic LR stay the same
        chain = np.zeros(self.batch_size, dtype=int)
        if self.lr_per_hr > 1:
            chain = self.rng.integers(0, self.lr_per_hr, size=self.batch_size)
        image = image[self.share]
        corner = corner[self.share]
        flips = flips[self.share]
        chain = chain[self.share]

        s = self.scale
        sides = self.sides[image]
        offset = 3 * self.offsets[image]  # in bytes: an image is (3, H, W)
        # the LR images of one HR image lie one after another
        lr_offset = offset * self.lr_per_hr + 3 * chain * sides.prod(axis=1)
        lr = _cut(self.lr, lr_offset, sides, corner, self.patch_size, flips)
        hr = _cut(self.hr, offset * s * s, sides * s, corner * s, self.patch_size * s, flips)
        return lr.to(self.device), hr.to(self.device)


def _cut(
    flat: torch.Tensor,
    offset: np.ndarray,
    sides: np.ndarray,
    corner: np.ndarray,
    size: int,
    flips: np.ndarray,
) -> torch.Tensor:
    """Cuts N square patches out of images that lie one after another as (3, H, W).

    A flip costs nothing: it only changes where a patch starts and which way it steps.

    Args:
        flat: all bytes.
        offset: (N,) where the image of each patch begins.
        sides: (N, 2) rows and columns of that image.
        corner: (N, 2) row and column of the patch in it.
        size: side of the patches.
        flips: (N, 3) upside down, left to right, transposed.
    Returns:
        (N, 3, size, size), float32 in [0, 1].
    """
    width = sides[:, 1]
    # From one pixel of the image to the one below and to the one on the right; a flipped patch
    # starts at its other end and goes backwards.
    below = np.where(flips[:, 0], -width, width)
    right = np.where(flips[:, 1], -1, 1)
    row, column = (corner + (size - 1) * flips[:, :2]).T
    start = offset + row * width + column

    # A transposed patch steps down where others step right.
    transposed = flips[:, 2:]
    steps = np.where(transposed, np.stack([right, below], 1), np.stack([below, right], 1))
    numbers = np.column_stack([start, sides.prod(axis=1), steps])  # (N, 4)
    start, plane, by_row, by_column = (
        torch.from_numpy(numbers).to(flat.device).T[..., None, None, None]
    )  # each (N, 1, 1, 1)

    channel = torch.arange(3, device=flat.device)[:, None, None]  # (3, 1, 1)
    along = torch.arange(size, device=flat.device)
    index = start + channel * plane + by_row * along[:, None] + by_column * along
    return flat[index].float().div_(255)  # (N, 3, size, size)


def _pairs(
    images: Iterable[np.ndarray], scale: int, patch_size: int, degradation: str, seed: int
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """HR images, cropped to multiples of the scale, and the LR images of each."""
    # A generator of its own, so that a resumed run makes the same LR images again.
    rng = np.random.default_rng((seed, 1))
    shortest: list[int] = []
    for image in images:
        check_image(image)
        if image.dtype != np.uint8:
            raise HatlibError(f"patches are cut from uint8 images, got {image.dtype}")
        shortest.append(min(image.shape[:2]))
        if shortest[-1] >= patch_size * scale:
            hr = crop_to_multiple(_three_channels(image), scale)
            if degradation == "bicubic":
                yield hr, [imresize(hr, 1 / scale)]
            else:
                chains = range(DEGRADATIONS[degradation])
                yield hr, [real_world(hr, scale, rng)[0] for _ in chains]
    _check_sizes(shortest, scale, patch_size)


def _stored(
    pairs: Iterable[tuple[np.ndarray, list[np.ndarray]]],
    device: torch.device,
    memory: int | None,
    lr_share: float,
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, str]:
    """All pixels of HR and of LR, uint8, image after image; (rows, columns) of each LR image; and
    a hash of what there is of HR."""
    limit = devices.free_memory(torch.device("cpu")) // 2 if memory is None else memory
    lr_limit = int(limit * lr_share)
    hr_bytes = Bytes(max(1, limit - lr_limit))
    lr_bytes = Bytes(max(1, lr_limit))
    digest = hashlib.sha256()
    sides: list[tuple[int, ...]] = []
    for hr, lr_images in pairs:
        sides.append(lr_images[0].shape[:2])
        planes = hr.transpose(2, 0, 1).tobytes()  # (H, W, 3) → (3, H, W)
        digest.update(f"{hr.shape} ".encode())
        digest.update(planes)
        hr_bytes.add(planes)
        for lr in lr_images:
            lr_bytes.add(lr.transpose(2, 0, 1).tobytes())
    hr_pixels = hr_bytes.tensor()
    lr_pixels = lr_bytes.tensor()
    if device.type != "cpu" and len(hr_pixels) + len(lr_pixels) < devices.free_memory(device) // 2:
        hr_pixels = hr_pixels.to(device)
        lr_pixels = lr_pixels.to(device)
    return hr_pixels, lr_pixels, np.array(sides), digest.hexdigest()


class Bytes:
    """Bytes that are added one after another: in memory up to a limit, then in a temporary file;
    never held twice."""

    def __init__(self, limit: int):
        self.limit = limit
        self.size = 0
        self.memory = bytearray()
        self.file: IO[bytes] | None = None

    def add(self, more: bytes) -> None:
        """Appends some."""
        self.size += len(more)
        if self.size > self.limit and self.file is None:
            # open as long as the tensor is used
            self.file = tempfile.TemporaryFile()  # noqa: SIM115
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


def _check_sizes(shortest: list[int], scale: int, patch_size: int) -> None:
    """Refuses images that are smaller than a patch, given the shortest side of each."""
    if not shortest:
        raise HatlibError("there are no images to cut patches from")
    needed = patch_size * scale
    small = sum(side < needed for side in shortest)
    if small:
        raise HatlibError(
            f"an LR patch of {patch_size} at ×{scale} needs images of at least {needed} pixels a "
            f"side; {small} of {len(shortest)} are smaller (the smallest side is {min(shortest)}, "
            f"good for a patch_size of {min(shortest) // scale})"
        )
