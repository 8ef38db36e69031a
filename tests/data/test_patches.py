"""Random patches: where they are cut from, that a seed repeats them, and images that do not fit
into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from hatlib import HatlibError
from hatlib.data.patches import PatchSampler
from hatlib.imaging.real_world import real_world
from hatlib.imaging.resize import imresize


def images(*sides: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (*side, 3), dtype=np.uint8) for side in sides]


def turns(patch: np.ndarray) -> list[np.ndarray]:
    """The eight flips and quarter turns of (side, side, 3)."""
    return [np.rot90(flipped, k) for flipped in (patch, patch[:, ::-1]) for k in range(4)]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_are_cut_from_the_images(scale: int) -> None:
    """Each LR patch is somewhere in an LR image, in one of eight positions, and HR is the same
    place."""
    pool = images((40, 52), (37, 61), (48, 48))
    small = [
        imresize(image[: h - h % scale, : w - w % scale], 1 / scale)
        for image in pool
        for h, w in [image.shape[:2]]
    ]
    sampler = PatchSampler(pool, scale, patch_size=5, batch_size=30, seed=1)
    lr, hr = next(sampler)
    assert lr.shape == (30, 3, 5, 5) and hr.shape == (30, 3, 5 * scale, 5 * scale)
    assert lr.dtype == hr.dtype == torch.float32 and lr.is_contiguous() and hr.is_contiguous()
    seen_turns, seen_images = set(), set()
    for low, high in zip(lr, hr, strict=True):
        low_pixels, high_pixels = (
            (x * 255).round().byte().permute(1, 2, 0).numpy() for x in (low, high)
        )
        places = [
            (turn, k, y, x)
            for turn, version in enumerate(turns(low_pixels))
            for k, image in enumerate(small)
            for y, x in zip(*np.nonzero(image[:, :, 0] == version[0, 0, 0]), strict=True)
            if np.array_equal(image[y : y + 5, x : x + 5], version)
        ]
        assert len(places) == 1
        turn, k, y, x = places[0]
        cut = pool[k][y * scale : (y + 5) * scale, x * scale : (x + 5) * scale]
        assert np.array_equal(cut, turns(high_pixels)[turn])
        seen_turns.add(turn)
        seen_images.add(k)
    assert seen_images == {0, 1, 2} and len(seen_turns) >= 6


def test_a_seed_gives_the_same_patches() -> None:
    pool = images((40, 52), (37, 61))
    first, second, other = (PatchSampler(pool, 2, 8, 4, seed) for seed in (3, 3, 4))
    for _ in range(3):
        a, b = next(first), next(second)
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert not torch.equal(next(first)[0], next(other)[0])


@pytest.mark.gpu
def test_the_patches_do_not_depend_on_the_device() -> None:
    pool = images((40, 52), (37, 61))
    here, there = (next(PatchSampler(pool, 2, 8, 16, 3, device)) for device in ("cpu", "cuda"))
    assert (
        there[0].is_cuda
        and torch.equal(here[0], there[0].cpu())
        and torch.equal(here[1], there[1].cpu())
    )


def test_every_place_is_equally_likely() -> None:
    """One image with four places for a patch, one with a single place: five places, a fifth of the
    patches each."""
    large, small = np.full((6, 6, 3), 10, np.uint8), np.full((4, 4, 3), 200, np.uint8)
    sampler = PatchSampler([large, small], scale=2, patch_size=2, batch_size=5000, seed=0)
    share = float((next(sampler)[0].mean(dim=(1, 2, 3)) > 0.5).float().mean())
    assert share == pytest.approx(0.2, abs=0.03)
    row = np.arange(48, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 3), np.uint8)
    tops = next(PatchSampler([row], 1, 4, 5000, seed=0))[1].amin(dim=(1, 2, 3)) * 255
    counts = torch.bincount(tops.round().long(), minlength=45)
    assert len(counts) == 45 and counts.min() > 60  # 111 expected at each of the 45 rows


def test_gray_images_are_expanded_for_training() -> None:
    sampler = PatchSampler([images((20, 20))[0][..., 0]], 2, 4, 2, seed=0)
    lr, hr = next(sampler)
    assert lr.shape == (2, 3, 4, 4) and torch.equal(hr[:, 0], hr[:, 2])


@pytest.mark.parametrize(
    ("pool", "says"),
    [
        ([], "no images"),
        (
            images((40, 40), (31, 64)),
            "images of at least 32 pixels a side; 1 of 2 are smaller .the smallest side is 31",
        ),
        ([np.zeros((40, 40, 3), np.float32)], "uint8 images, got float32"),
    ],
)
def test_images_that_give_no_patches(pool: list[np.ndarray], says: str) -> None:
    with pytest.raises(HatlibError, match=says):
        PatchSampler(pool, 4, 8, 4, seed=0)


def test_the_hash_tells_images_apart_by_pixels_order_and_shape() -> None:
    pool = images((40, 52), (36, 64))
    changed = [pool[0], pool[1] ^ 1]
    reshaped = [pool[0], pool[1].reshape(64, 36, 3)]
    variants = [pool, pool[::-1], pool[:1], changed, reshaped]
    hashes = [PatchSampler(variant, 4, 8, 4).sha256 for variant in variants]
    assert len(set(hashes)) == len(variants)
    assert PatchSampler(iter(pool), 4, 8, 2, seed=9, memory=4000).sha256 == hashes[0]


def test_what_exceeds_the_memory_is_read_from_a_file() -> None:
    pool = images((40, 52), (37, 61), (64, 64))
    inside, outside = (
        PatchSampler(pool, 2, 8, 4, seed=3),
        PatchSampler(pool, 2, 8, 4, seed=3, memory=4000),
    )
    assert len(outside.hr) == len(inside.hr) > 4000
    for _ in range(5):
        a, b = next(inside), next(outside)
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_images_are_taken_one_by_one() -> None:
    alive: list[int] = []

    def stream() -> Iterator[np.ndarray]:
        for image in images((40, 52), (37, 61)):
            alive.append(len(alive))
            yield image

    sampler, same = (
        PatchSampler(stream(), 2, 8, 4, seed=3),
        PatchSampler(images((40, 52), (37, 61)), 2, 8, 4, seed=3),
    )
    assert alive == [0, 1] and torch.equal(next(sampler)[1], next(same)[1])


def test_processes_share_a_batch() -> None:
    pool = images((40, 52), (37, 61))
    whole = next(PatchSampler(pool, 2, 8, 6, seed=3))[0]
    parts = [next(PatchSampler(pool, 2, 8, 6, seed=3, share=(i, 3)))[0] for i in range(3)]
    assert all(torch.equal(part, whole[i::3]) for i, part in enumerate(parts))
    with pytest.raises(HatlibError, match="a batch of 4 can't be shared by 3 processes"):
        PatchSampler(pool, 2, 8, 4, share=(0, 3))


# --- LR from random chains ------------------------------------------------------------------------


def test_real_world_lr_comes_from_the_chains_and_repeats() -> None:
    pool = images((40, 52), (37, 61), (64, 48))
    first, second = (PatchSampler(pool, 2, 8, 64, 3, degradation="real-world") for _ in range(2))
    lr, hr = next(first)
    again, _ = next(second)
    assert torch.equal(lr, again), "a resumed run makes the same LR images again"
    # the k-th LR image of image 1, at its place among all bytes
    rng = np.random.default_rng((3, 1))
    chains = [
        [real_world(image[: h - h % 2, : w - w % 2], 2, rng)[0] for _ in range(16)]
        for image in pool
        for h, w in [image.shape[:2]]
    ]
    for low in lr:
        pixels = (low * 255).round().byte().permute(1, 2, 0).numpy()
        assert any(
            (window == turn).all((-3, -2, -1)).any()
            for image in chains
            for chain in image
            for turn in turns(pixels)
            for window in [np.lib.stride_tricks.sliding_window_view(chain, (8, 8, 3))]
        )
    # each patch is of the same place: the two correlate, as noise of another place would not
    small = torch.nn.functional.avg_pool2d(hr, 2)
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (lr, small))
    assert (torch.cosine_similarity(a, b) > 0.2).float().mean() > 0.9


def test_an_unknown_degradation_is_named() -> None:
    with pytest.raises(HatlibError, match="unknown degradation 'real'"):
        PatchSampler(images((40, 52)), 2, 8, 4, degradation="real")
