"""LAM: orders of convergence, anchors of the diffusion index, borders, flat images, and what must
be left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hatlib import HatlibError, attribution, models
from hatlib.attribution import blur_path, diffusion_index, gini, gradient_magnitude, lam
from hatlib.data import builtin
from hatlib.imaging.degradation import gaussian_kernel
from hatlib.imaging.resize import imresize

TRANSFORMER: dict[str, Any] = {"embed_dim": 16, "num_heads": 2, "depths": (2,), "window_size": 4}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "srcnn": ("srcnn", {"features": (12, 6)}),
    "rcan": (
        "rcan",
        {
            "groups": 1,
            "blocks": 2,
            "features": 12,
            "reduction": 3,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "swinir": ("swinir-nano", TRANSFORMER),
    "hat": ("hat-nano", {**TRANSFORMER, "squeeze_factor": 4, "conv_scale": 1.0}),
}
PHOTO = imresize(builtin.builtin_image("astronaut")[40:136, 140:236], 1 / 8)  # 12×12: hair, an eye
WINDOWS = [(1, 2, 7), (9, 10, 8), (15, 3, 8)]
ENLARGE = nn.Upsample(scale_factor=2, mode="bilinear")


def network(kind: str, scale: int = 2) -> models.Network:
    """A small network with random weights, in float64, so that rounding does not hide how an error
    falls."""
    name, options = SMALL[kind]
    torch.manual_seed(0)
    model = models.create(name, scale, **options).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return model


def errors(model: nn.Module, rule: str, steps: list[int]) -> np.ndarray:
    """The completeness error, root mean square over the windows, for each number of steps."""
    found = [
        [np.subtract(*lam(model, PHOTO, window, m, rule=rule).completeness) for window in WINDOWS]
        for m in steps
    ]
    return np.sqrt(np.mean(np.square(found), axis=1))


def order(steps: list[int], error: np.ndarray) -> float:
    return float(np.polyfit(np.log(steps), np.log(error), 1)[0])


# --- completeness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_the_sum_tends_to_the_difference_at_the_ends(kind):
    """As 1/m for the right-hand sum; the midpoint rule is ahead of it, though ReLUs have
    corners."""
    model, steps = network(kind), [8, 16, 32]
    right, midpoint = errors(model, "right", steps), errors(model, "midpoint", steps)
    assert order(steps, right) == pytest.approx(-1, abs=0.2)
    assert midpoint[-1] < right[-1] / 5


@pytest.mark.parametrize("kind", SMALL)
def test_the_midpoint_rule_is_of_second_order_where_the_network_is_smooth(kind, monkeypatch):
    monkeypatch.setattr(
        F, "relu", lambda x, inplace=False: F.gelu(x)
    )  # SRCNN calls it, RCAN's and HAT's modules too
    monkeypatch.setattr(attribution, "TINY", 1e-2)  # rounds off the corner of the root
    steps = [32, 64]  # with fewer it falls even faster
    assert order(steps, errors(network(kind), "midpoint", steps)) == pytest.approx(-2, abs=0.4)


def test_the_sign_is_that_of_the_path_from_the_blurred_image():
    """Sharpening adds detail: what `lam` attributes sums to something positive for an enlargement
    without a network."""
    result = lam(ENLARGE, PHOTO, (4, 4, 16))
    attributed, change = result.completeness
    assert change > 0 and attributed == pytest.approx(change, rel=0.05)
    assert result.signed.sum() == pytest.approx(attributed)


# --- the map --------------------------------------------------------------------------------------


def test_only_pixels_that_the_window_depends_on_count():
    result = lam(
        ENLARGE, PHOTO, (8, 12, 4)
    )  # bilinear: LR rows 3 … 6, columns 5 … 8, and one more for differences
    rows, columns = np.nonzero(result.map)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 6, 5, 8)
    assert result.map.max() == 1 and result.map.min() == 0
    assert np.array_equal(
        result.map, np.abs(result.signed.sum(axis=0)) / np.abs(result.signed.sum(axis=0)).max()
    )


def test_the_published_sum_written_out():
    """Σ ∂D/∂γ(k/m) · (γ(k/m) − γ((k−1)/m)), k = 1 … m, a step at a time with Gaussian kernels in
    two dimensions."""
    lr = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(0)).double()
    model, window, m = network("swinir"), (5, 6, 8), 6

    def blurred(sigma):
        kernel = torch.from_numpy(gaussian_kernel(sigma, size=9)).expand(3, 1, 9, 9)
        return F.conv2d(F.pad(lr, [4] * 4, mode="reflect"), kernel, groups=3)

    total = torch.zeros_like(lr)
    for k in range(1, m + 1):
        point = blurred(1.2 * (1 - k / m)).requires_grad_()
        detail = gradient_magnitude(model(point), window).sum()
        total += torch.autograd.grad(detail, point)[0] * (
            blurred(1.2 * (1 - k / m)) - blurred(1.2 * (1 - (k - 1) / m))
        )
    published = lam(model, lr, window, m, rule="right")
    assert np.abs(published.signed - total[0].numpy()).max() < 1e-9


@pytest.mark.parametrize("rule", attribution.STEPS)
def test_batches_change_nothing(rule):
    seen: list[tuple[int, int]] = []
    model = network("hat")
    one = lam(model, PHOTO, (4, 4, 9), 7, rule=rule, batch=1)
    three = lam(
        model, PHOTO, (4, 4, 9), 7, rule=rule, batch=3, progress=lambda *done: seen.append(done)
    )
    by_memory = lam(model, PHOTO, (4, 4, 9), 7, rule=rule)
    assert np.abs(three.signed - one.signed).max() < 1e-12
    assert np.abs(by_memory.signed - one.signed).max() < 1e-12
    assert seen == [(3, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize(
    ("options", "steps"), [({}, 20), ({"rule": "right"}, 50), ({"rule": "right", "steps": 3}, 3)]
)
def test_a_rule_brings_its_number_of_steps(options, steps):
    seen: list[int] = []
    lam(ENLARGE, PHOTO, (4, 4, 9), progress=lambda done, total: seen.append(total), **options)
    assert set(seen) == {steps}


@pytest.mark.parametrize("kind", SMALL)
def test_the_default_comes_closer_than_the_published_sum(kind):
    """In less than half the evaluations of the network."""
    found = {
        rule: [np.subtract(*lam(network(kind), PHOTO, w, rule=rule).completeness) for w in WINDOWS]
        for rule in attribution.STEPS
    }
    assert np.linalg.norm(found["midpoint"]) < np.linalg.norm(found["right"]) / 1.5


def test_arrays_and_tensors_give_the_same():
    model, tensor = network("swinir"), torch.from_numpy(PHOTO.transpose(2, 0, 1)[None] / 255.0)
    assert np.allclose(
        lam(model, PHOTO, (3, 3, 6), 3).map, lam(model, tensor, (3, 3, 6), 3).map, atol=1e-5
    )
    assert lam(model, PHOTO, (3, 3, 6), 3).sr.shape == (24, 24, 3)


# --- flat images, borders, sizes ------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMALL)
def test_a_flat_image_gives_an_even_map_of_zeros(kind):
    flat = np.full((12, 13, 3), (10, 128, 200), np.uint8)
    result = lam(network(kind), flat, (5, 6, 8), 4)
    assert not result.map.any() and not result.signed.any()
    assert result.diffusion_index == 100 and result.completeness == (0, 0)


@pytest.mark.parametrize("kind", SMALL)
def test_large_flat_areas_and_corners(kind):
    image = np.full((13, 14, 3), 255, np.uint8)
    image[4:8, 5:9] = 0
    model = network(kind).float()
    for top in (0, 26 - 8):
        for left in (0, 28 - 8):
            result = lam(model, image, (top, left, 8), 4)
            assert np.isfinite(result.map).all() and np.isfinite(result.signed).all()
            assert 0 <= result.diffusion_index <= 100


@pytest.mark.parametrize("shape", [(1, 7), (3, 3), (6, 1)])
@pytest.mark.parametrize("kind", SMALL)
def test_images_smaller_than_the_blur(kind, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.isfinite(lam(network(kind), image, (0, 0, 2), 3).map).all()


def test_windows_that_do_not_lie_inside():
    for window in ((-1, 0, 4), (0, 21, 4), (0, 0, 25), (0, 0, 0)):
        with pytest.raises(HatlibError, match="does not lie inside SR, which has 24×24"):
            lam(ENLARGE, PHOTO, window)
    with pytest.raises(HatlibError, match="have no neighbour"):
        lam(ENLARGE, PHOTO, (23, 3, 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "left"}, "unknown rule 'left'"),
        ({"steps": 0}, "steps is 0; it is a whole number from 1"),
        ({"batch": 0}, "batch is 0; it is a whole number from 1"),
        ({"sigma": 0.0}, "more than 0"),
        ({"sigma": float("nan")}, "more than 0"),
        ({"lr": PHOTO[..., 0]}, r"got \(12, 12\)"),
        ({"lr": torch.zeros(2, 3, 4, 4)}, r"got \(2, 3, 4, 4\)"),
        ({"lr": torch.zeros(1, 3, 4, 4, dtype=torch.uint8)}, "torch.uint8"),
        ({"lr": torch.full((1, 3, 4, 4), torch.nan)}, "NaN or infinity"),
        ({"lr": "photo.png"}, "got str"),
        ({"model": nn.Flatten()}, "RGB images were expected"),
        ({"model": nn.Conv2d(3, 1, 1)}, "RGB images were expected"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(HatlibError, match=words):
        lam(**{"model": ENLARGE, "lr": PHOTO, "window": (0, 0, 4), **options})


def test_damaged_weights():
    model = network("rcan")
    with torch.no_grad():
        next(model.parameters())[0] = torch.nan
    with pytest.raises(HatlibError, match="not finite"):
        lam(model, PHOTO, (0, 0, 8))


# --- what is left alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("grad_mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_network_is_left_as_it_was(grad_mode):
    model = models.create("swinir-nano", 2, **{**TRANSFORMER, "drop_path_rate": 0.9}).train()
    model.norm.eval()
    frozen = model.conv_first.weight.requires_grad_(False)
    with grad_mode():
        first, second = (lam(model, PHOTO, (4, 4, 8), 2) for _ in range(2))
    assert np.array_equal(first.map, second.map), "stochastic depth was on"
    assert model.training and not model.norm.training
    assert (
        not frozen.requires_grad
        and sum(not weight.requires_grad for weight in model.parameters()) == 1
    )
    assert all(weight.grad is None for weight in model.parameters())


def test_the_network_is_left_as_it_was_after_an_error():
    model = models.create("srcnn", 2).train()
    with pytest.raises(HatlibError):
        lam(model, PHOTO, (99, 0, 4))
    assert model.training and all(weight.requires_grad for weight in model.parameters())


class Narrow(nn.Module):
    """Has memory for two images at once, and with gradients for `most`."""

    def __init__(self, most):
        super().__init__()
        self.most, self.sizes = most, []

    def forward(self, lr):
        self.sizes.append(len(lr))
        if len(lr) > (self.most if lr.requires_grad else 2):
            raise RuntimeError("CUDA out of memory")
        return ENLARGE(lr)


def test_too_little_memory_for_one_step():
    with pytest.raises(HatlibError, match="LR image of 12×12; cut out"):
        lam(Narrow(0), PHOTO, (4, 4, 8))


def test_half_the_batch_is_tried_where_memory_runs_out():
    model = Narrow(2)
    halved = lam(model, PHOTO, (4, 4, 8), 4, batch=8)
    assert np.array_equal(halved.map, lam(ENLARGE, PHOTO, (4, 4, 8), 4, batch=2).map)
    assert model.sizes == [
        1,
        1,
        4,
        4,
        2,
        2,
    ]  # the two ends; batches of 8 (there are 4 steps), of 4, of 2


# --- path, objective, index -----------------------------------------------------------------------


def test_the_path_starts_blurred_and_ends_at_the_image():
    image = torch.rand(1, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    start, middle, end = blur_path(image, (0, 0.5, 1))
    assert torch.equal(end.float(), image[0])
    for point, sigma in ((start, 1.2), (middle, 0.6)):
        kernel = torch.from_numpy(gaussian_kernel(sigma, size=9)).expand(3, 1, 9, 9)
        assert (
            F.conv2d(F.pad(image.double(), [4] * 4, mode="circular"), kernel, groups=3) - point
        ).abs().max() > 1e-3
    image = torch.rand(1, 3, 8, 6, generator=torch.Generator().manual_seed(1)).double()
    reflected = F.pad(image, [4] * 4, mode="reflect")
    kernel = torch.from_numpy(gaussian_kernel(1.2, size=9)).expand(3, 1, 9, 9)
    assert (F.conv2d(reflected, kernel, groups=3)[0] - blur_path(image, [0])[0]).abs().max() < 1e-12


def test_detail_is_the_sum_of_gradient_magnitudes_in_the_window():
    ramp = torch.zeros(1, 3, 10, 10)
    ramp[0, 1] = 3 * torch.arange(10.0)[:, None] + 4 * torch.arange(
        10.0
    )  # every difference is (3, 4): magnitude 5
    assert gradient_magnitude(ramp, (2, 3, 4)).item() == pytest.approx(16 * 5, rel=1e-3)
    assert gradient_magnitude(ramp, (6, 6, 4)).item() == pytest.approx(
        9 * 5, rel=1e-3
    )  # the last ones have no next


def test_a_flat_window_has_a_slope():
    flat = torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    gradient_magnitude(flat, (2, 2, 4)).sum().backward()
    assert flat.grad is not None and torch.equal(flat.grad, torch.zeros_like(flat))


def test_anchors_of_the_diffusion_index():
    rng = np.random.default_rng(0)
    hot = np.zeros((64, 64))
    hot[10, 20] = 1
    assert diffusion_index(np.full((64, 64), 0.3)) == pytest.approx(100)
    assert diffusion_index(np.zeros((64, 64))) == pytest.approx(100)
    assert 0 < diffusion_index(hot) < 0.1
    assert diffusion_index(rng.random((64, 64))) == pytest.approx(100 * 2 / 3, abs=0.5)
    assert diffusion_index(np.abs(rng.standard_normal((64, 64)))) == pytest.approx(
        100 * (2 - np.sqrt(2)), abs=0.7
    )


def test_gini_by_pairs():
    """Gini's index is half the mean difference of two of the numbers over their mean."""
    x = np.random.default_rng(0).random(30)
    assert gini(x) == pytest.approx(np.abs(x[:, None] - x).mean() / 2 / x.mean(), rel=1e-5)


def test_zeros_around_a_map_divide_its_index():
    noise = np.random.default_rng(0).random((32, 32))
    assert diffusion_index(np.pad(noise, 16)) == pytest.approx(diffusion_index(noise) / 4, rel=1e-3)


@pytest.mark.parametrize("values", [[], [1.0, -0.1], [np.nan, 1.0], [np.inf]])
def test_gini_of_what_has_none(values):
    with pytest.raises(HatlibError, match="finite and from 0 up"):
        gini(np.array(values))
