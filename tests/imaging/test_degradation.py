"""The classical model against a loop over its formula, bicubic as one of its cases, and the
real-world chain."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from hatlib import HatlibError
from hatlib.imaging import degradation, real_world
from hatlib.imaging.convert import to_tensor
from hatlib.imaging.degradation import bicubic_kernel, degrade, gaussian_kernel, motion_kernel
from hatlib.imaging.resize import imresize

RNG = np.random.default_rng(0)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
IMAGE = RNG.integers(0, 256, (41, 53, 3), dtype=np.uint8)


GRAY = IMAGE[:40, :52, 0]


@pytest.mark.parametrize("image", [IMAGE[:40, :52], GRAY], ids=["RGB", "gray"])
def test_programs_differ_in_their_bicubic_and_by_how_much(image: np.ndarray) -> None:
    """What comes near MATLAB's, and what does not; the numbers are grey levels, inside, where
    borders don't matter."""
    made = {
        way: degradation.downsample(image, 4, way).astype(float) for way in degradation.DOWNSAMPLERS
    }
    assert {lr.shape for lr in made.values()} == {(10, 13, *image.shape[2:])}
    assert np.array_equal(made["matlab"], imresize(image, 1 / 4))
    off = {way: np.abs(lr - made["matlab"])[3:-3, 3:-3].max() for way, lr in made.items()}
    assert (
        off["float"] <= 1 and off["pil"] <= 8 and off["torch-antialias"] <= 2 and off["torch"] > 20
    )


def test_downsampling_without_antialias_is_keys_cubic_of_the_four_nearest_pixels() -> None:
    taps = np.array([-0.09375, 0.59375, 0.59375, -0.09375])  # a = −0.75, halfway between two pixels
    value = taps @ GRAY[4:8, 4:8].astype(float) @ taps  # LR pixel 1 lies at 5½ of HR
    assert degradation.downsample(GRAY, 4, "torch")[1, 1] == np.clip(np.floor(value + 0.5), 0, 255)


def test_an_unknown_way_to_downsample_is_told_the_nearest() -> None:
    with pytest.raises(HatlibError, match="did you mean 'matlab'"):
        degradation.downsample(IMAGE, 4, "mathlab")


def lopsided(rows: int, columns: int) -> np.ndarray:
    """A kernel with no symmetry and some negative taps, so that a flip or a swap shows."""
    kernel = RNG.random((rows, columns)) - 0.2
    return kernel / kernel.sum()


def by_the_formula(
    image: np.ndarray, kernel: np.ndarray, scale: int, phase: int, border: str
) -> np.ndarray:
    """y[i, j] = Σ k[m, n] · x[p + kh//2 − m, q + kw//2 − n] with p = s·i + phase, spelled out."""
    pad = 80
    padded = np.pad(image, pad, mode="symmetric" if border == "symmetric" else "edge")
    rows, columns = (-(-n // scale) for n in image.shape)
    y = np.zeros((rows, columns))
    for i, j in itertools.product(range(rows), range(columns)):
        for (m, n), weight in np.ndenumerate(kernel):
            row = scale * i + phase + kernel.shape[0] // 2 - m
            column = scale * j + phase + kernel.shape[1] // 2 - n
            y[i, j] += weight * padded[pad + row, pad + column]
    return y


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize("taps", [(1, 1), (3, 5), (4, 4), (6, 3)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_is_the_formula_at_every_phase(scale, taps, border):
    image, kernel = RNG.random((11, 9)), lopsided(*taps)
    for phase in range(scale):
        got = degrade(image, kernel, scale, phase=phase, border=border)
        np.testing.assert_allclose(
            got, by_the_formula(image, kernel, scale, phase, border), atol=1e-13
        )


def test_a_kernel_larger_than_the_image():
    image, kernel = RNG.random((4, 5)), lopsided(15, 15)
    np.testing.assert_allclose(
        degrade(image, kernel, 2), by_the_formula(image, kernel, 2, 0, "symmetric"), atol=1e-13
    )


def test_is_scipys_convolution():
    image, kernel = RNG.random((20, 24)), lopsided(7, 5)
    want = convolve2d(image, kernel, mode="same", boundary="symm")
    np.testing.assert_allclose(degrade(image, kernel, scale=1), want, atol=1e-13)


@pytest.mark.parametrize("border", ["symmetric", "replicate"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
def test_bicubic_is_blur_and_keep(scale, border):
    """imresize(x, 1/s) is k and one pixel of each block, for sides that are multiples of the scale
    and others."""
    for shape in ((12 * scale, 10 * scale, 3), (12 * scale + 1, 11 * scale - 1), (scale, scale)):
        image = RNG.random(shape)
        got = degrade(image, bicubic_kernel(scale), scale, border=border)
        np.testing.assert_allclose(got, imresize(image, 1 / scale, border=border), atol=1e-12)


def test_only_the_right_phase_is_bicubic():
    image = RNG.random((32, 32))
    errors = [
        np.abs(degrade(image, bicubic_kernel(4), phase=p) - imresize(image, 1 / 4)).max()
        for p in range(4)
    ]
    assert errors[1] < 1e-12 and min(errors[0], errors[2], errors[3]) > 0.05


@pytest.mark.parametrize("scale, taps", [(1, 3), (2, 8), (3, 11), (4, 16)])
def test_the_bicubic_kernel(scale, taps):
    kernel = bicubic_kernel(scale)
    assert kernel.shape == (taps, taps)
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    assert kernel.min() < 0 or scale == 1
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1])
    np.testing.assert_allclose(kernel, kernel.T)
    assert (kernel[0] != 0).any() or scale == 1  # no empty border


def test_without_a_kernel_it_is_matlabs_bicubic():
    np.testing.assert_array_equal(degrade(IMAGE, scale=3), imresize(IMAGE, 1 / 3))
    np.testing.assert_array_equal(
        degrade(IMAGE, border="replicate"), imresize(IMAGE, 1 / 4, border="replicate")
    )
    np.testing.assert_array_equal(degrade(IMAGE / 255, scale=2), imresize(IMAGE / 255, 1 / 2))


# kernels


def moments(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (x, y) and covariance of a kernel, x to the right and y upwards, from the middle of the
    array."""
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    points = np.stack([x - (kernel.shape[1] - 1) / 2, (kernel.shape[0] - 1) / 2 - y]).reshape(2, -1)
    weight = kernel.ravel()
    return points @ weight, (points * weight) @ points.T


@pytest.mark.parametrize("sigmas", [(2.0, None), (1.0, 1.0), (3.0, 1.2)])
@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_gaussian_has_its_moments(sigmas, angle):
    kernel = gaussian_kernel(*sigmas, angle=angle)
    mean, covariance = moments(kernel)
    turn = np.array(
        [
            [np.cos(np.radians(angle)), -np.sin(np.radians(angle))],
            [np.sin(np.radians(angle)), np.cos(np.radians(angle))],
        ]
    )
    want = turn @ np.diag([sigmas[0] ** 2, (sigmas[1] or sigmas[0]) ** 2]) @ turn.T
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    np.testing.assert_allclose(covariance, want, atol=0.02 * sigmas[0] ** 2)


def test_a_round_gaussian_is_scipys():
    image = RNG.random((40, 40))
    want = gaussian_filter(image, 1.5, mode="reflect", truncate=4)
    np.testing.assert_allclose(degrade(image, gaussian_kernel(1.5), scale=1), want, atol=1e-12)


def test_gaussian_sizes():
    assert gaussian_kernel(1.5).shape == (13, 13)
    assert gaussian_kernel(1.5, size=8).shape == (8, 8)
    np.testing.assert_allclose(gaussian_kernel(2, size=8), gaussian_kernel(2, size=8)[::-1, ::-1])
    np.testing.assert_array_equal(gaussian_kernel(0), [[1]])
    assert gaussian_kernel(2, 0).max() > 0  # no width across: a line


def test_an_even_gaussian_sits_where_bicubic_does():
    """On a ramp, an even kernel at scale 4 gives the block's centre, an odd one the pixel of the
    phase."""
    ramp = np.tile(np.arange(64.0), (64, 1))
    centre = (np.arange(16) + 0.5) * 4 - 0.5
    inside = slice(4, -4)
    np.testing.assert_allclose(
        degrade(ramp, gaussian_kernel(1.5, size=14))[8, inside], centre[inside], atol=1e-9
    )
    np.testing.assert_allclose(
        degrade(ramp, gaussian_kernel(1.5))[8, inside], centre[inside] - 0.5, atol=1e-9
    )


@pytest.mark.parametrize("length", [0, 1, 5, 12.5])
@pytest.mark.parametrize("angle", [0, 45, 90, 160])
def test_motion_is_a_line_of_its_length(length, angle):
    kernel = motion_kernel(length, angle)
    mean, covariance = moments(kernel)
    direction = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    along, across = direction @ covariance @ direction, np.linalg.det(covariance)
    assert kernel.sum() == pytest.approx(1, abs=1e-14) and kernel.min() >= 0
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    assert along == pytest.approx(
        length**2 / 12, rel=0.2, abs=0.26
    )  # sharing between taps adds up to 1/4
    assert across <= 0.26 * (along + 0.26)
    if length == 0:
        np.testing.assert_array_equal(kernel, [[1]])


def test_horizontal_motion_is_a_row():
    kernel = motion_kernel(6)
    assert kernel.shape == (7, 7)
    np.testing.assert_allclose(kernel[3, 1:-1], 1 / 6, atol=0.01)
    assert np.delete(kernel, 3, axis=0).max() < 1e-12


# forms: numpy and torch, dtypes, devices


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "kernel",
    [None, gaussian_kernel(1.6, 0.8, 30), motion_kernel(7, 20), bicubic_kernel(3)],
    ids=["imresize", "gaussian", "motion", "bicubic"],
)
def test_torch_and_devices_give_numpys_result(kernel, device):
    want = degrade(IMAGE, kernel, 3, noise_sigma=7, rng=5)
    tensor = torch.from_numpy(IMAGE.transpose(2, 0, 1).copy())[None].to(device)
    got = degrade(tensor, kernel, 3, noise_sigma=7, rng=5)
    assert got.device == tensor.device and got.dtype == torch.uint8
    np.testing.assert_array_equal(got[0].permute(1, 2, 0).cpu().numpy(), want)
    want = degrade(IMAGE / 255, kernel, 3, noise_sigma=7, rng=5)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        got = degrade(to_tensor(IMAGE).to(device, dtype), kernel, 3, noise_sigma=7, rng=5)
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got[0].permute(1, 2, 0).cpu().numpy(), want, atol=max(tolerance, 1e-7 * 2)
        )


def test_a_batch_is_its_images():
    batch = torch.rand(3, 3, 24, 20, dtype=torch.float64)
    kernel = gaussian_kernel(1.2)
    got = degrade(batch, kernel, 4)
    assert got.shape == (3, 3, 6, 5)
    for one, many in zip(batch, got, strict=True):
        torch.testing.assert_close(degrade(one, kernel, 4), many, atol=1e-14, rtol=0)


def test_dtype_and_layout_are_kept():
    kernel = gaussian_kernel(1)
    for dtype in (np.uint8, np.float32, np.float64):
        for image in (
            np.ones((8, 12, 3), dtype),
            np.ones((8, 12), dtype),
            np.ones((12, 8), dtype).T[::-1],
        ):
            out = degrade(image, kernel, 4)
            assert out.dtype == dtype and out.shape == (2, 3, 3)[: image.ndim]
            assert out.flags.c_contiguous
    gray = degrade(IMAGE[..., 0], kernel)
    np.testing.assert_array_equal(gray, degrade(IMAGE, kernel)[..., 0])


def test_exact_halves_round_up_whatever_the_device():
    """Averages of two whole numbers end in .5: the FFT is off by 1e-14 there, and the result must
    not depend on it."""
    pair = np.array([[0.5, 0.5]])
    image = RNG.integers(0, 256, (64, 64), dtype=np.uint8)
    want = (image.astype(int) + np.concatenate([image[:, 1:], image[:, -1:]], axis=1) + 1) // 2
    np.testing.assert_array_equal(degrade(image, pair, scale=1), want)
    for device in DEVICES:
        np.testing.assert_array_equal(
            degrade(torch.from_numpy(image).to(device), pair, scale=1).cpu(), want
        )


def test_gradients():
    image = torch.rand(1, 2, 7, 8, dtype=torch.float64, requires_grad=True)
    kernel = lopsided(5, 4)
    assert torch.autograd.gradcheck(lambda x: degrade(x, kernel, 3, phase=2), image)
    assert torch.autograd.gradcheck(lambda x: degrade(x, None, 2, noise_sigma=3, rng=0), image)


# noise


def test_noise_is_in_grey_levels_and_does_not_depend_on_the_dtype():
    flat = np.full((512, 512), 100, np.uint8)
    noisy = degrade(flat, scale=1, noise_sigma=10, rng=0)
    assert noisy.std() == pytest.approx(10, rel=0.02)
    assert noisy.mean() == pytest.approx(100, abs=0.1)
    as_float = degrade(flat / 255, scale=1, noise_sigma=10, rng=0)
    np.testing.assert_array_equal(np.floor(as_float * 255 + 0.5), noisy)


def test_noise_follows_the_seed():
    one, same, other = (
        degrade(IMAGE, noise_sigma=5, rng=seed) for seed in (1, np.random.default_rng(1), 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.5
    assert (degrade(IMAGE, noise_sigma=5) != degrade(IMAGE, noise_sigma=5)).any()
    generator = np.random.default_rng(3)
    assert (
        degrade(IMAGE, noise_sigma=5, rng=generator) != degrade(IMAGE, noise_sigma=5, rng=generator)
    ).any()


def test_noise_is_clipped_in_uint8_only():
    black = np.zeros((64, 64))
    assert degrade(black, scale=1, noise_sigma=20, rng=0).min() < 0
    assert degrade(black.astype(np.uint8), scale=1, noise_sigma=20, rng=0).max() < 255


def test_sensor_noise_grows_with_the_signal():
    """variance = gain · signal + read², at several levels."""
    for level in (20, 60, 120, 200):
        noisy = (
            degradation.sensor_noise(np.full((400, 400), level / 255), gain=0.8, read=3, rng=level)
            * 255
        )
        assert noisy.mean() == pytest.approx(level, abs=0.2)
        assert noisy.var() == pytest.approx(0.8 * level + 9, rel=0.03)
    only_read = degradation.sensor_noise(np.full((400, 400), 0.5), gain=0, read=4, rng=0) * 255
    assert only_read.std() == pytest.approx(4, rel=0.02)
    np.testing.assert_array_equal(degradation.sensor_noise(IMAGE, gain=0, read=0), IMAGE)


# bad input


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"kernel": np.full((3, 3), 0.1)}, "sums to 0.9; it has to sum to 1"),
        ({"kernel": np.array([[np.nan, 1.0]])}, "not finite"),
        ({"kernel": np.array([0.5, 0.5])}, r"shape \(kh, kw\), got \(2,\)"),
        ({"kernel": gaussian_kernel(1), "phase": 4}, "phase 4 is outside 0 … 3"),
        ({"kernel": gaussian_kernel(1), "phase": -1}, "phase -1 is outside"),
        ({"kernel": gaussian_kernel(1), "phase": 0.5}, "phase 0.5 is outside"),
        ({"phase": 0}, "bicubic has phase 1 built in"),
        ({"scale": 64}, "scale 64 needs an image of at least 64×64, got 41×53"),
        ({"scale": 0}, "whole number from 1 up, got 0"),
        ({"scale": 2.5}, "whole number from 1 up, got 2.5"),
        ({"noise_sigma": -1}, "noise_sigma is a number from 0 up, got -1"),
        ({"noise_sigma": float("nan")}, "noise_sigma is a number from 0 up, got nan"),
        ({"border": "wrap"}, "border is 'wrap'"),
        ({"border": "wrap", "kernel": gaussian_kernel(1)}, "border is 'wrap'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(HatlibError, match=message):
        degrade(IMAGE, **arguments)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.full((8, 8), np.nan), "not finite"),
        (np.ones((8, 8), int), "int64"),
        (np.ones((2, 3, 8, 8)), "ndarray of shape"),
        (torch.ones(8), "Tensor of shape"),
        ("photo.png", "got a str"),
        (np.ones((8, 0)), "got 8×0"),
    ],
)
def test_bad_images(image, message):
    for kernel in (None, gaussian_kernel(1)):
        with pytest.raises(HatlibError, match=message):
            degrade(image, kernel, scale=1)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: gaussian_kernel(-1), "from 0 up, got -1"),
        (lambda: gaussian_kernel(1, float("inf")), "inf"),
        (lambda: gaussian_kernel(1, size=0), "got size 0"),
        (lambda: gaussian_kernel(0, size=4), "too narrow for an even size"),
        (lambda: motion_kernel(-2), "from 0 up, got -2"),
        (lambda: bicubic_kernel(0), "from 1 up, got 0"),
        (lambda: degradation.sensor_noise(IMAGE, gain=-1), "gain is a number from 0 up"),
        (lambda: degradation.sensor_noise(IMAGE, read=-1), "read is a number from 0 up"),
        (lambda: degradation.jpeg(IMAGE, 0), "1 to 100, got 0"),
        (lambda: degradation.jpeg(IMAGE, 101), "1 to 100, got 101"),
        (lambda: degradation.jpeg(torch.ones(1, 3, 8, 8), 50), "numpy array"),  # type: ignore[arg-type]
        (lambda: degradation.resize(IMAGE, (4, 4), "bicubik"), "did you mean 'bicubic'"),
        (lambda: degradation.resize(IMAGE, (0, 4)), "at least 1×1"),
        (lambda: degradation.sharpen(IMAGE, -1), "amount is a number from 0 up"),
        (lambda: real_world.apply_step(IMAGE, ("blurr", {})), "did you mean 'blur'"),
        (lambda: real_world.real_world(IMAGE, scale=64), "at least 64×64"),
        (lambda: real_world.real_world(IMAGE, rounds=0), "at least 1 round"),
    ],
)
def test_bad_steps(make, message):
    with pytest.raises(HatlibError, match=message):
        make()


# the chain


def test_jpeg():
    photo = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    assert np.abs(degradation.jpeg(photo, 100).astype(int) - photo).max() <= 3
    gray = IMAGE[..., 0]
    errors = [
        np.abs(degradation.jpeg(gray, quality).astype(int) - gray).mean()
        for quality in (95, 60, 20)
    ]
    assert errors == sorted(errors) and errors[0] < errors[2] / 4
    assert degradation.jpeg(gray, 50).shape == gray.shape
    as_float = degradation.jpeg((IMAGE / 255).astype(np.float32), 50)
    assert as_float.dtype == np.float32
    np.testing.assert_array_equal(np.round(as_float * 255), degradation.jpeg(IMAGE, 50))


def test_sharpening_overshoots_at_an_edge():
    edge = np.repeat([[0.3, 0.7]], 20, axis=1).repeat(40, axis=0)
    sharp = degradation.sharpen(edge, amount=1.0)
    assert sharp.min() < 0.25 and sharp.max() > 0.75
    np.testing.assert_allclose(sharp[:, 0], 0.3, atol=1e-6)  # far from the edge nothing changes
    np.testing.assert_allclose(degradation.sharpen(edge, amount=0), edge)
    image = RNG.random((16, 16))
    np.testing.assert_allclose(
        degradation.sharpen(image, 0.5, 2.0),
        1.5 * image - 0.5 * degradation.blur(image, 2.0),
        atol=1e-12,
    )


@pytest.mark.parametrize("method", degradation.RESIZE_METHODS)
def test_resize(method):
    assert degradation.resize(IMAGE, (10, 70), method).shape == (10, 70, 3)
    assert degradation.resize(torch.rand(2, 3, 8, 8), (4, 5), method).shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(
        degradation.resize(np.full((9, 9), 77, np.uint8), (4, 5), method), 77
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_real_world_has_the_right_size_and_follows_the_seed(scale, rounds):
    lr, steps = real_world.real_world(IMAGE, scale, rng=7, rounds=rounds)
    assert lr.dtype == np.uint8 and lr.shape == (-(-41 // scale), -(-53 // scale), 3)
    again, same_steps = real_world.real_world(
        IMAGE, scale, rng=np.random.default_rng(7), rounds=rounds
    )
    np.testing.assert_array_equal(lr, again)
    assert steps == same_steps
    other, other_steps = real_world.real_world(IMAGE, scale, rng=8, rounds=rounds)
    assert steps != other_steps and (lr != other).any()
    names = [name for name, _ in steps]
    assert all(names.count(name) == rounds for name in ("blur", "resize", "noise", "jpeg"))


def test_the_steps_replay_the_chain():
    lr, steps = real_world.real_world(IMAGE, 4, rng=1)
    image = IMAGE
    for step in steps:
        image = real_world.apply_step(image, step)
    np.testing.assert_array_equal(image, lr)


def test_the_order_is_random_and_matters():
    orders = {
        tuple(name for name, _ in real_world.plan((64, 64), 4, seed, rounds=1))
        for seed in range(40)
    }
    assert len(orders) > 20
    steps = [("noise", {"gain": 0.2, "read": 3, "rng": 0}), ("jpeg", {"quality": 30})]
    there, back = IMAGE, IMAGE
    for step in steps:
        there = real_world.apply_step(there, step)
    for step in reversed(steps):
        back = real_world.apply_step(back, step)
    assert (there != back).mean() > 0.5


def test_real_world_in_float_and_gray():
    lr, _ = real_world.real_world(IMAGE[..., 0] / 255, 4, rng=3)
    assert lr.dtype == np.float64 and lr.shape == (11, 14)
    for seed in range(12):  # a picture so small that every step meets its limits
        assert real_world.real_world(IMAGE[:4, :5], 4, rng=seed)[0].shape == (1, 2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gaussian_kernel(1000),
        lambda: gaussian_kernel(1.0, size=10**6),
        lambda: gaussian_kernel(1.0, sigma_y=1e9),
        lambda: motion_kernel(1e6),
        lambda: bicubic_kernel(10**5),
        lambda: degradation.blur(np.zeros((8, 8), np.uint8), 1e4),
        lambda: degradation.resize(np.zeros((8, 8), np.uint8), (10**6, 10**6)),
        lambda: imresize(np.zeros((8, 8), np.uint8), 1e6),
        lambda: imresize(np.zeros((8, 8), np.uint8), size=(10**6, 10**6)),
    ],
)
def test_what_would_not_fit_into_memory_is_not_begun(make):
    with pytest.raises(HatlibError, match=r"taps|memory|at most|from"):
        make()


def test_the_largest_kernel():
    assert gaussian_kernel(128).shape == (1025, 1025)
