"""LAM, local attribution maps: which pixels of LR a network uses to draw a window of SR.

Gu, Dong, "Interpreting Super-Resolution Networks with Local Attribution Maps", arXiv 2011.11036,
CVPR 2021. Integrated gradients (Sundararajan et al., arXiv 1703.01365) with three choices of its
own: what is explained is the amount of detail in a window of SR, the baseline is a blurred LR (it
has no detail but the same colours), and the path from there to LR sharpens it little by little. The
numbers follow the authors' program where the paper's approximation (the sign, an index out of
range) cannot be computed as it is printed. Taught in notebook 07.

Any network will do that turns RGB (N, 3, h, w) into (N, 3, s·h, s·w) and lets gradients through.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hatlib.errors import HatlibError, unknown
from hatlib.imaging.convert import to_image, to_tensor
from hatlib.imaging.resize import border_indices
from hatlib.inference.memory import out_of_memory
from hatlib.system import devices, torch_settings
from hatlib.validation import AnyNumber, Count, SrWindow, checked

Window = tuple[int, int, int]  # top, left, side: in SR pixels

# Where the gradient of a step of the path is taken, halfway or at its end, and into how many steps
# the path is cut. "right" with 50 is what the authors' program does.
STEPS = {"midpoint": 20, "right": 50}

# those of the authors' program
SIGMA = 1.2
TAPS = 9

# under the root of the gradient's magnitude, whose slope at 0 is infinite: 0.03 grey levels,
# squared
TINY = 1e-8

# added by the authors' program before Gini's index, so that a map of zeros is an even one
LIFT = 1e-7

# steps at once: on a CPU more of them take longer, elsewhere 16 are enough
MOST_STEPS = {"cpu": 4}

# side of the corner of a large image that tells how much memory all of it takes
CORNER = 64

# bytes that are saved for their gradients: on a CPU, too, more of them take longer
MOST_BYTES = {"cpu": 1 << 30}


@dataclass(frozen=True)
class Attribution:
    """What `lam` found.

    Attributes:
        map: (h, w), 0 to 1: how much each LR pixel counts, |Σ over the channels of `signed`| over
            its maximum; all 0 where nothing counts, as in a flat image.
        signed: (3, h, w): the path integral, whose sum is what the blurred image lacks of the
            window's detail.
        sr: uint8 (s·h, s·w, 3).
        window: (top, left, side) in SR pixels.
        completeness: the sum of `signed`, and what it has to be: D(I) − D(I′). They differ by the
            path's finite steps.
    """

    map: np.ndarray
    signed: np.ndarray
    sr: np.ndarray
    window: Window
    completeness: tuple[float, float]

    @property
    def gini(self) -> float:
        """Gini's index of the map, 0 (all pixels alike) to 1 (one pixel alone)."""
        return gini(self.map)

    @property
    def diffusion_index(self) -> float:
        """DI = 100 · (1 − Gini's index)."""
        return diffusion_index(self.map)


def lam(
    model: nn.Module,
    lr: np.ndarray | torch.Tensor,
    window: Window,
    steps: int | None = None,
    sigma: float = SIGMA,
    rule: str = "midpoint",
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Attribution:
    """The local attribution map of a window (arXiv 2011.11036).

    The network is used as it is in evaluation (no dropout, no stochastic depth), in float32 or
    whatever its weights are, never in TF32, on the device where it is; it is left as it was,
    without gradients.

    Args:
        model: RGB (N, 3, h, w) in [0, 1] → (N, 3, s·h, s·w).
        lr: uint8 or float (h, w, 3), or a float tensor (1, 3, h, w) in [0, 1].
        window: (top, left, side) on the grid of SR.
        steps: m, into which the path is cut; by default 20, or 50 with the rule "right".
        sigma: of the Gaussian that blurs the baseline, in LR pixels.
        rule: "midpoint" takes the gradient halfway through each step: the error falls as 1/m², down
            to a small rest that ReLUs leave by their corners. "right" takes it at the end of the
            step, as the authors do: the error falls as 1/m.
        batch: steps that are computed at once; by default as many as fit into half of the free
            memory, up to 16, or on a CPU 4 and 1 GiB.
        progress: called as progress(done, total) after each batch.
    Raises:
        HatlibError: a window that does not lie inside SR, something other than one RGB image, an
            unknown rule, numbers out of range, a network whose result is not an image of RGB or not
            finite.
    """
    if not isinstance(model, nn.Module):
        raise HatlibError(f"model is {type(model).__name__}; it is an nn.Module on RGB in [0, 1]")
    window = checked("window", window, SrWindow)
    _check(steps, sigma, rule, batch)
    steps = steps or STEPS[rule]
    devices.prepare_cpu()
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch_settings.tf32(False),
        _as_in_evaluation(model),
    ):
        path = _Path(_as_tensor(lr), sigma, next(model.parameters(), torch.zeros(())))
        _require_memory(model, path)
        with torch.no_grad():
            sr, blurred = (_run(model, path.at([t]), window) for t in (1, 0))
            change = float(gradient_magnitude(sr, window) - gradient_magnitude(blurred, window))
        signed = _integral(
            model, path, window, steps, rule, batch, progress or (lambda done, total: None)
        )
    return Attribution(_map(signed), signed, to_image(sr), window, (float(signed.sum()), change))


@dataclass(frozen=True)
class _Path:
    """From the blurred image to the image, as the network takes it."""

    image: torch.Tensor
    sigma: float
    like: torch.Tensor  # of the type, and on the device, of the network's weights

    def at(self, marks: Sequence[float] | np.ndarray) -> torch.Tensor:
        # first the type, then the device: Apple's has no float64
        return blur_path(self.image, marks, self.sigma).to(self.like.dtype).to(self.like.device)

    def moves(self, marks: np.ndarray) -> torch.Tensor:
        """γ of each mark minus γ of the one before, float64 on the CPU."""
        return blur_path(self.image, marks, self.sigma).diff(dim=0)


def _integral(
    model: nn.Module,
    path: _Path,
    window: Window,
    steps: int,
    rule: str,
    batch: int | None,
    progress: Callable[[int, int], None],
) -> np.ndarray:
    """Σ ∂D/∂γ(t) · (γ(k/m) − γ((k−1)/m)) over k = 1 … m, t = k/m or halfway: (3, h, w), float64."""
    total = torch.zeros_like(path.image[0])
    done = 0
    size = batch or 1  # the first step tells how many fit
    while done < steps:
        marks = np.arange(done, min(done + size, steps) + 1) / steps
        try:
            points = path.at(marks[1:] if rule == "right" else (marks[1:] + marks[:-1]) / 2)
            gradients, saved = _gradients(model, points, window)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            size = _half(size, path.image)
            continue
        total += (gradients * path.moves(marks)).sum(dim=0)
        if done == 0 and batch is None:
            size = _steps_at_once(points.device, saved)
        done += len(marks) - 1
        progress(done, steps)
    return total.numpy()


def _steps_at_once(device: torch.device, bytes_each: int) -> int:
    """How many steps of the path are computed together, each of which keeps so many bytes."""
    free = devices.free_memory(device) // 2
    fitting = min(free, MOST_BYTES.get(device.type, free)) // max(1, bytes_each)
    return max(1, min(MOST_STEPS.get(device.type, 16), fitting))


# --- what is explained ----------------------------------------------------------------------------


def gradient_magnitude(sr: torch.Tensor, window: Window) -> torch.Tensor:
    """D, the amount of detail in a window: Σ √(dx² + dy²) over its pixels and channels (arXiv
    2011.11036).

    dx and dy are differences to the next pixel; the last row and column of an image have none, and
    count for nothing. Only what the window needs is put under the root: its slope is infinite where
    the image is flat, and not a number times zero would still not be a number, which channel
    attention would carry to every pixel.

    Args:
        sr: (N, C, H, W).
    Returns:
        (N,).
    """
    top, left, side = window
    part = sr[..., top : top + side + 1, left : left + side + 1]
    down = part[..., 1:, :-1] - part[..., :-1, :-1]
    right = part[..., :-1, 1:] - part[..., :-1, :-1]
    return (down**2 + right**2 + TINY).sqrt().sum(dim=(1, 2, 3))


def _run(model: nn.Module, lr: torch.Tensor, window: Window) -> torch.Tensor:
    """SR, if it is one and the window lies inside."""
    sr: torch.Tensor = model(lr)
    if sr.ndim != 4 or sr.shape[:2] != lr.shape[:2]:
        raise HatlibError(
            f"the network made {tuple(sr.shape)} out of {tuple(lr.shape)}; RGB images were expected"
        )
    if not torch.isfinite(sr.detach()).all():
        raise HatlibError(
            "the network's result is not finite (NaN or infinity): its weights may be damaged"
        )
    top, left, side = window
    height, width = sr.shape[2:]
    inside = top >= 0 and left >= 0 and side >= 1 and top + side <= height and left + side <= width
    if not inside or top > height - 2 or left > width - 2:
        raise HatlibError(
            f"the window of {side}×{side} at row {top}, column {left} does not lie inside SR, "
            f"which has {height}×{width} pixels"
            + (", the last of which have no neighbour" if inside else "")
        )
    return sr


# --- the path -------------------------------------------------------------------------------------


def blur_path(
    image: torch.Tensor, at: Sequence[float] | np.ndarray, sigma: float = SIGMA, taps: int = TAPS
) -> torch.Tensor:
    """γ(t) = k_{σ(1−t)} ⊗ I: the image blurred with a Gaussian that narrows (arXiv 2011.11036).

    Args:
        image: I, (1, C, h, w).
        at: n values of t, 0 (the baseline) to 1 (the image itself).
        sigma: of the baseline's blur, in pixels.
        taps: side of the kernel, odd. What lies outside the image is mirrored without its edge.
    Returns:
        (n, C, h, w), float64, on the CPU.
    """
    image = image.detach().cpu().double()
    # subtracted and added again: where the image is flat, rounding must not make detail
    level = image[..., :1, :1]
    kernels = _narrowing(sigma, at, taps)
    # a Gaussian in two dimensions is one in each: down the columns, then along the rows
    blurred = image - level
    for axis in (2, 3):
        blurred = _blurred(blurred, axis, kernels)
    return blurred + level


def _narrowing(sigma: float, at: Sequence[float] | np.ndarray, taps: int) -> torch.Tensor:
    """Gaussian kernels in one dimension, (n, taps)."""
    # the narrowest is narrower than any grid can tell
    widths = np.maximum(sigma * (1 - np.asarray(at, dtype=np.float64)), 1e-3)[:, None]
    radius = taps // 2
    kernels = np.exp(-0.5 * (np.arange(-radius, radius + 1) / widths) ** 2)
    return torch.from_numpy(kernels / kernels.sum(axis=1, keepdims=True))


def _blurred(values: torch.Tensor, axis: int, kernels: torch.Tensor) -> torch.Tensor:
    """(n or 1, C, h, w) along an axis by n kernels: (n, C, h, w)."""
    side = values.shape[axis]
    radius = kernels.shape[1] // 2
    total = torch.zeros(len(kernels), *values.shape[1:], dtype=values.dtype)
    for offset, weights in zip(range(-radius, radius + 1), kernels.T, strict=True):
        place = border_indices(np.arange(side) + offset, side, "reflect")
        total += weights[:, None, None, None] * values.index_select(axis, torch.from_numpy(place))
    return total


# --- gradients along it ---------------------------------------------------------------------------


@contextlib.contextmanager
def _as_in_evaluation(model: nn.Module) -> Iterator[None]:
    """Inside, nothing is random, and no gradients of weights are computed; then all is as it
    was."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [weight for weight in model.parameters() if weight.requires_grad]
    model.eval()
    for weight in wanted:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for weight in wanted:
            weight.requires_grad_(True)


def _gradients(model: nn.Module, path: torch.Tensor, window: Window) -> tuple[torch.Tensor, int]:
    """∂D/∂γ at n points of the path: (n, 3, h, w) as float64 on the CPU; and the bytes that torch
    saved for it."""
    path = path.requires_grad_()
    saved: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        detail = gradient_magnitude(_run(model, path, window), window).sum()
    (gradient,) = torch.autograd.grad(detail, path)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    # the network's own weights are there anyway
    beside = sum(size for place, size in saved.items() if place not in weights)
    return gradient.cpu().double(), beside


def _require_memory(model: nn.Module, path: _Path) -> None:
    """Raises HatlibError if a step of the path does not fit into the computer's memory, going by
    what a corner of the image takes. A GPU says so itself, and is asked for less."""
    height, width = path.image.shape[2:]
    if path.like.device.type != "cpu" or height * width <= 4 * CORNER**2:
        return
    corner = _Path(path.image[..., :CORNER, :CORNER], path.sigma, path.like).at([1])
    _, saved = _gradients(model, corner, (0, 0, 1))
    needed = saved / corner[0, 0].numel() * height * width
    devices.require_memory(needed, f"a step of the path on an LR image of {width}×{height} pixels")


def _half(size: int, image: torch.Tensor) -> int:
    """Half a batch; HatlibError where it was a single step."""
    if size == 1:
        raise HatlibError(
            "out of memory for a single step of the path on an LR image of "
            f"{image.shape[2]}×{image.shape[3]}; cut out the surroundings of the window"
        )
    return size // 2


def _map(signed: np.ndarray) -> np.ndarray:
    """|Σ over the channels| over its maximum; zeros stay zeros."""
    strength = np.abs(signed.sum(axis=0))
    return strength / (strength.max() or 1.0)


# --- one number for a map -------------------------------------------------------------------------


def gini(values: np.ndarray) -> float:
    """Gini's index of numbers from 0 up: Σ (2i − n − 1)·xᵢ / (n·Σ xᵢ), x sorted, i = 1 … n (arXiv
    2011.11036).

    0 where all are alike, also where all are 0; near 1 where one has everything.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not x.size or not np.isfinite(x).all() or x[0] < 0:
        raise HatlibError(
            "Gini's index is for one number or more, all of them finite and from 0 up"
        )
    x = x + LIFT
    rank = 2 * np.arange(1, len(x) + 1) - len(x) - 1
    return float((rank * x).sum() / (len(x) * x.sum()))


def diffusion_index(values: np.ndarray) -> float:
    """DI = 100 · (1 − Gini's index): the more evenly spread a map, the higher (arXiv 2011.11036).

    It depends on the image's size as well: with three times as many pixels around it that count for
    nothing, a map has a quarter of its DI. Compare DIs of the same LR size, window and path only.
    """
    return 100 * (1 - gini(values))


# --- checks ---------------------------------------------------------------------------------------


def _as_tensor(lr: np.ndarray | torch.Tensor) -> torch.Tensor:
    """float64 (1, 3, h, w) on the CPU."""
    image = to_tensor(lr) if isinstance(lr, np.ndarray) else lr
    is_tensor = isinstance(image, torch.Tensor)
    if not is_tensor or image.ndim != 4 or image.shape[:2] != (1, 3) or not image.numel():
        shape = tuple(lr.shape) if hasattr(lr, "shape") else type(lr).__name__
        raise HatlibError(
            f"LR is one image of RGB, an array (h, w, 3) or a tensor (1, 3, h, w); got {shape}"
        )
    if not image.is_floating_point() or not torch.isfinite(image).all():
        raise HatlibError(
            f"a tensor of LR holds finite numbers from 0 to 1, got {image.dtype}"
            + (" with NaN or infinity" if image.is_floating_point() else "")
        )
    # a copy, since a tensor of inference mode takes no part in gradients
    return image.detach().cpu().double().clone()


def _check(steps: int | None, sigma: float, rule: str, batch: int | None) -> None:
    if rule not in STEPS:
        raise unknown("rule", rule, STEPS)
    checked("steps", steps, Count | None)
    checked("batch", batch, Count | None)
    checked("sigma", sigma, AnyNumber)
    if not (math.isfinite(sigma) and sigma > 0):
        raise HatlibError(f"sigma is the width of a blur in LR pixels, more than 0, got {sigma}")
