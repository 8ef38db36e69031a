"""Notebook 09: everything around a network while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hatlib.course.exercises.probes import Draw, Wrong, close, expect, recognise
from hatlib.course.exercises.registry import exercise


def learning_rate(step: int, steps: int, peak: float, warm_up: int, cooldown: float) -> float:
    """The learning rate of a step (the first is 0) of a trapezoid.

    Args:
        steps: of the whole run; the last one is steps − 1.
        peak: the rate between rise and fall.
        warm_up: steps of the rise, a straight line; the last of them has the peak, the first
            already learns. 0: no rise.
        cooldown: share of all steps in which the rate falls, in a straight line that would be 0
            at step `steps`. 0: no fall.
    """
    rise = (step + 1) / warm_up if step < warm_up else 1.0
    fall = cooldown * steps  # so many steps; the whole run ends in them
    left = (steps - step) / fall if steps - step < fall else 1.0
    return peak * min(rise, left)


@exercise(
    "09.1",
    "A trapezoid",
    difficulty=2,
    minutes=10,
    solution=learning_rate,
    cases=lambda draw: {
        "step 3 of 40": (3, 40, 5e-4, 8, 0.25),
        "the last step": (39, 40, 5e-4, 8, 0.25),
        "the first step of the fall": (31, 40, 5e-4, 8, 0.25),
        "no rise": (0, 30, 1e-3, 0, 0.5),
        "no fall": (29, 30, 1e-3, 4, 0.0),
    },
    tolerance=1e-9,
)
def _learning_rate(attempt: Callable[..., float]) -> None:
    def values(function: Callable[..., float]) -> list[float]:
        return [float(function(step, 100, 2e-3, 10, 0.2)) for step in range(100)]

    got, want = values(attempt), values(learning_rate)
    expect(got[0] != 0, "the first step has a rate of 0: it costs time and learns nothing")
    expect(
        not close(got[50], 1.0),
        "the peak is missing: between rise and fall the rate is `peak`, not 1",
    )
    expect(
        close(got[50], 2e-3, 1e-9), f"in the middle the rate is the peak, 0.002, not {got[50]:.3g}"
    )
    expect(not close(got[:10], [2e-3] * 10, 1e-9), "there is no rise in the first `warm_up` steps")
    expect(not close(got[80:], [2e-3] * 20, 1e-9), "the rate does not fall at the end")
    expect(
        close(got[:10], want[:10], 1e-9),
        "the rise is a straight line that reaches the peak at step warm_up − 1",
    )
    expect(
        got[99] > 0,
        "the last step has a rate of 0: the line reaches 0 at step `steps`, one after the last",
    )
    expect(
        close(got, want, 1e-9),
        "the fall is a straight line over the last cooldown · steps of the run",
    )
    for warm_up, cooldown, missing in ((0, 0.2, "rise"), (10, 0.0, "fall")):
        try:
            rate = attempt(50, 100, 2e-3, warm_up, cooldown)
        except Wrong as mistake:
            raise Wrong(
                f"with {'warm_up' if missing == 'rise' else 'cooldown'} = 0 there is no {missing}, "
                f"and nothing to divide by; {mistake}"
            ) from mistake
        expect(close(rate, 2e-3, 1e-9), f"without a {missing} step 50 has the peak, not {rate:.3g}")
    other = [attempt(step, 50, 1.0, 5, 0.5) for step in (0, 10, 30, 49)]
    expect(close(other, [0.2, 1.0, 0.8, 0.04], 1e-9), "right for 100 steps only; use the arguments")


def follow(average: torch.Tensor, weights: torch.Tensor, step: int, decay: float) -> torch.Tensor:
    """The averaged weights after a step (the first is 0).

    Args:
        average: of the weights until now; weights: after the step. Of one shape.
        decay: d, what stays of the old average; in early steps no more than
            (1 + step) / (10 + step).
    """
    share = min(decay, (1 + step) / (10 + step))
    return share * average + (1 - share) * weights


@exercise(
    "09.2",
    "An average that does not lag",
    difficulty=2,
    minutes=10,
    solution=follow,
    cases=lambda draw: {
        "a matrix early in a run": (draw.tensor(3, 4), draw.tensor(3, 4), 2, 0.999),
        "a matrix late in a run": (draw.tensor(2, 5), draw.tensor(2, 5), 5000, 0.99),
        "d = 0.3 at step 1": (draw.tensor(4), draw.tensor(4), 1, 0.3),
    },
)
def _follow(attempt: Callable[..., torch.Tensor]) -> None:
    average, weights = torch.tensor([1.0, 2.0, -4.0]), torch.tensor([3.0, -2.0, 0.0])
    before = average.clone()
    got = attempt(average, weights, 100_000, 0.9)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        torch.equal(average, before), "you changed the average that was given: return a new tensor"
    )
    recognise(
        got,
        {
            "those are the weights, without any average": weights,
            "that is the old average: the new weights have to move it": average,
            "that is d · average alone; 1 − d comes from the weights": 0.9 * average,
            "the two shares have to sum to 1: d and 1 − d": 0.9 * average + weights,
            "that is the plain mean of both, whatever d is": (average + weights) / 2,
            "the sign: the average moves towards the weights, not away from them": 1.1 * average
            - 0.1 * weights,
        },
        1e-5,
    )
    expect(
        not close(got, 0.1 * average + 0.9 * weights, 1e-5),
        "d stays of the average, 1 − d comes from the weights",
    )
    expect(
        close(got, 0.9 * average + 0.1 * weights, 1e-5),
        "late in a run it is d · average + (1 − d) · weights, whatever the step",
    )
    half = attempt(average, weights, 100_000, 0.5)
    expect(
        close(half, 0.5 * average + 0.5 * weights, 1e-5),
        "right for d = 0.9 only: the share is an argument",
    )
    early, want = attempt(average, weights, 0, 0.999), follow(average, weights, 0, 0.999)
    expect(
        not close(early, 0.999 * average + 0.001 * weights, 1e-5),
        "no warm-up: after step 0 the average is still the initialisation, and stays near it "
        "for a thousand steps",
    )
    expect(
        close(early, want, 1e-5),
        "after step 0 a tenth of the average stays: (1 + step) / (10 + step) is 0.1",
    )
    expect(
        close(attempt(average, weights, 90, 0.5), follow(average, weights, 90, 0.5), 1e-5),
        "the smaller of the two decays counts; with d = 0.5 at step 90 that is d",
    )


def clipped(gradients: Sequence[torch.Tensor], limit: float) -> list[torch.Tensor] | None:
    """Gradients that are not too long together.

    Args:
        gradients: of all weights of a network, one tensor each.
        limit: largest length (root of the sum of all squares, over all tensors).
    Returns:
        The gradients, all shortened by the same factor where they are longer; None where one is
        infinite or NaN.
    """
    length = sum(float((gradient**2).sum()) for gradient in gradients) ** 0.5
    if not np.isfinite(length):
        return None
    return [gradient * min(1.0, limit / length) if length else gradient for gradient in gradients]


@exercise(
    "09.3",
    "Not too long, not infinite",
    difficulty=3,
    minutes=15,
    solution=clipped,
    none_is_an_answer=True,
    cases=lambda draw: {
        "three gradients": ([5 * draw.tensor(*size) for size in ((4, 3), (7,), (2, 2, 2))], 2.5),
        "a single short one": ([draw.tensor(6) / 10], 3.0),
        "zeros": ([torch.zeros(3), torch.zeros(1, 2)], 1.0),
        "a NaN": ([draw.tensor(2), torch.tensor([math.nan])], 1.0),
    },
    tolerance=1e-4,
)
def _clipped(attempt: Callable[..., Any]) -> None:
    # Their common norm is 13.
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([[0.0, 4.0], [0.0, 12.0]])]

    def of(limit: float, given: Sequence[torch.Tensor] = gradients) -> Any:
        return attempt([gradient.clone() for gradient in given], limit)

    got = of(1.0)
    expect(
        isinstance(got, Sequence) and len(got) == 2,
        "a list with a tensor for each that was given is expected",
    )

    def as_list(factor: Callable[[torch.Tensor], Any]) -> bool:
        return all(close(a, factor(g), 1e-3) for a, g in zip(got, gradients, strict=True))

    expect(
        not as_list(lambda g: g.clamp(-1, 1)),
        "you clipped each number by itself: that changes the direction",
    )
    expect(
        not as_list(lambda g: g / g.norm()),
        "you scaled each tensor by itself; use the norm of all together",
    )
    expect(
        not as_list(lambda g: g / (3 + math.sqrt(160))),
        "norms do not add up: sum the squares, then take the root",
    )
    expect(
        not as_list(lambda g: g / 169),
        "the root is missing: a norm is the root of the sum of squares",
    )
    expect(
        not as_list(lambda g: g),
        "nothing is shortened: the norm of all gradients is 13, and the limit is 1",
    )
    expect(
        not as_list(lambda g: g / 12) and not as_list(lambda g: g / 4),
        "that divides by the largest number or by how many there are; the norm is the root of the "
        "sum of squares",
    )
    expect(
        not as_list(lambda g: g / 19),
        "those are absolute values: a norm sums squares, then takes the root",
    )
    expect(
        as_list(lambda g: g / 13),
        "the norm of all gradients is 13; with limit 1 each is divided by 13",
    )
    two = of(2.0)
    expect(
        all(close(a, 2 * g / 13, 1e-3) for a, g in zip(two, gradients, strict=True)),
        "right for a limit of 1 only: the norm of what is returned is the limit",
    )
    short = of(20.0)
    expect(
        all(close(a, g, 1e-3) for a, g in zip(short, gradients, strict=True)),
        "gradients below the limit stay as they are",
    )
    for value, name in ((math.nan, "NaN"), (math.inf, "infinite")):
        spoiled = of(1.0, [gradients[0], torch.tensor([1.0, value])])
        expect(
            spoiled is None,
            f"a gradient that is {name} cannot be fixed: return None, and the step is skipped",
        )
    zero = of(1.0, [torch.zeros(2)])
    expect(
        zero is not None and close(zero[0], torch.zeros(2)),
        "a gradient of zeros is valid; do not divide by 0",
    )


def gradient_in_parts(
    network: nn.Module, lr: torch.Tensor, hr: torch.Tensor, size: int
) -> list[torch.Tensor]:
    """Gradients of F.l1_loss(network(lr), hr), by parameter, never more than `size` images at once.

    Args:
        lr, hr: a batch, (N, 3, h, w) and (N, 3, s·h, s·w); N need not be a multiple of `size`.
    """
    network.zero_grad()
    for some_lr, some_hr in zip(lr.split(size), hr.split(size), strict=True):
        loss = F.l1_loss(network(some_lr), some_hr)
        (loss * len(some_lr) / len(lr)).backward()
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


class _Watched(nn.Module):
    """A small network that remembers how many images it was given at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.seen = [0]
        self.waiting = 0  # parts that went forward and not backward yet
        self.most = 0

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(lr))
        sr = self.shuffle(self.layer(lr).tanh())
        if sr.requires_grad:
            self.waiting += 1  # until its gradient arrives, all that it was made of is kept
            self.most = max(self.most, self.waiting)
            sr.register_hook(self._done)
        return sr

    def _done(self, gradient: torch.Tensor) -> None:
        self.waiting -= 1


def _batch(draw: Draw, images: int, size: int) -> tuple[Any, ...]:
    network = _Watched()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * draw.tensor(*parameter.shape))
    return network, draw.tensor(images, 3, 4, 5), draw.tensor(images, 3, 8, 10), size


@exercise(
    "09.4",
    "A batch that does not fit",
    difficulty=3,
    minutes=15,
    solution=gradient_in_parts,
    cases=lambda draw: {
        "4 images, 3 at once": _batch(draw, 4, 3),
        "3 images, one at a time": _batch(draw, 3, 1),
        "2 images, all at once": _batch(draw, 2, 8),
    },
    tolerance=1e-5,
)
def _gradient_in_parts(attempt: Callable[..., Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    lr, hr = (torch.rand(5, 3, side, side, generator=generator) for side in (6, 12))
    network = _Watched()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def gradients(*images: int) -> list[torch.Tensor]:
        loss = F.l1_loss(network(lr[list(images)]), hr[list(images)])
        return list(torch.autograd.grad(loss, list(network.parameters())))

    whole = gradients(0, 1, 2, 3, 4)
    parts = [gradients(0, 1), gradients(2, 3), gradients(4)]
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)  # what the step before has left
    network.seen.clear()
    network.waiting = network.most = 0
    got = attempt(network, lr, hr, 2)
    expect(
        isinstance(got, Sequence) and len(got) == 2,
        "a list with a gradient for each parameter is expected",
    )

    def equal(wanted: Sequence[torch.Tensor]) -> bool:
        return all(close(a, b, 1e-5) for a, b in zip(got, wanted, strict=True))

    expect(
        sum(network.seen) >= 5,
        "not all images are used: the last part may be smaller than the others",
    )
    expect(
        max(network.seen) <= 2, f"{max(network.seen)} images at once, but only 2 fit into memory"
    )
    expect(
        network.most <= 1,
        f"one backward for {network.most} parts: until then all of them are kept in memory, which "
        "is what does not fit; call backward for each part",
    )
    expect(
        not equal(parts[-1]),
        "only the last part counts: zero the gradients once, before the first part",
    )
    expect(
        not equal([w + 1 for w in whole]),
        "the previous step's gradients are still there: zero them first",
    )
    sums = [torch.stack([part[k] for part in parts]).sum(dim=0) for k in range(2)]
    expect(
        not equal(sums), "you summed the parts' gradients; the loss is a mean over the whole batch"
    )
    expect(
        not equal([total / 3 for total in sums]),
        "each part counts the same, but the last one has fewer images: weight it by its share",
    )
    expect(equal(whole), "the gradients are not those of the whole batch")


def fitting(
    source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The weights of one network that another can take: by the same name, of the same shape.

    Args:
        source, target: their state dicts, name → tensor.
    Returns:
        name → the source's tensor.
    """
    return {
        name: tensor
        for name, tensor in source.items()
        if name in target and target[name].shape == tensor.shape
    }


def _states(draw: Draw, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: draw.tensor(*shape) for name, shape in shapes.items()}


@exercise(
    "09.5",
    "Everything but the tail",
    difficulty=1,
    minutes=5,
    solution=fitting,
    cases=lambda draw: {
        "other networks": (
            _states(draw, {"a": (3, 2), "b": (4,), "c": (2, 2), "d": (5,)}),
            _states(draw, {"d": (5,), "a": (3, 2), "b": (4, 1), "e": (2, 2)}),
        ),
        "networks with nothing in common": (_states(draw, {"a": (2,)}), _states(draw, {"b": (2,)})),
    },
)
def _fitting(attempt: Callable[..., Any]) -> None:
    source = {
        "body.weight": torch.ones(4, 4),
        "body.bias": torch.ones(4),
        "tail.weight": torch.ones(12, 4),
        "last.weight": torch.ones(3, 4),
        "old.bias": torch.ones(4),
        "turned.weight": torch.ones(2, 6),
    }
    target = {
        "body.weight": torch.zeros(4, 4),
        "body.bias": torch.zeros(4),
        "tail.weight": torch.zeros(48, 4),
        "last.weight": torch.zeros(3, 4),
        "new.bias": torch.zeros(4),
        "turned.weight": torch.zeros(6, 2),
    }
    got = attempt(dict(source), dict(target))
    expect(isinstance(got, Mapping), f"a dict was expected, not {type(got).__name__}")
    expect("old.bias" not in got, "you kept old.bias, but the target has no weight of that name")
    expect("tail.weight" not in got, "you kept tail.weight, but (12, 4) does not fit (48, 4)")
    expect(
        "turned.weight" not in got,
        "you kept turned.weight: 2·6 numbers are as many as 6·2, but the shapes have to be equal",
    )
    expect(
        "new.bias" not in got,
        "new.bias is the target's own; no weight of that name comes from the source",
    )
    expect(
        "last.weight" in got,
        "you left out last.weight, but it fits: compare names and shapes, not positions",
    )
    expect(
        set(got) == {"body.weight", "body.bias", "last.weight"},
        f"three weights fit, not {sorted(got)}",
    )
    expect(
        all(close(value, source[name]) for name, value in got.items()),
        "the values have to be the source's",
    )


def paired_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """How much better the second way is, and the standard error of that.

    Args:
        first, second: PSNR of two ways to train, by seed, in one order; at least two seeds.
    Returns:
        The mean difference and its standard error, both in dB.
    """
    differences = np.subtract(second, first)
    return float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)


@exercise(
    "09.6",
    "Is it a difference?",
    difficulty=2,
    minutes=10,
    solution=paired_difference,
    cases=lambda draw: {
        "six seeds": (
            draw.array(6, low=30, high=31).tolist(),
            draw.array(6, low=30, high=31).tolist(),
        ),
        "two seeds": ([30.0, 30.4], [30.1, 30.3]),
    },
    returns="two numbers, (mean difference, standard error),",
)
def _paired_difference(attempt: Callable[..., Any]) -> None:
    # The seeds differ by more than the methods.
    first = [30.0, 30.5, 29.5, 30.2]
    second = [30.1, 30.58, 29.64, 30.28]
    got, want = attempt(first, second), paired_difference(first, second)
    expect(
        isinstance(got, Sequence) and len(got) == 2,
        "two numbers are expected: (mean difference, standard error)",
    )
    mean, error = got
    differences = np.subtract(second, first)
    expect(
        not close(mean, -want[0], 1e-9),
        "the sign is wrong: positive where the second method is better",
    )
    expect(close(mean, want[0], 1e-9), f"the mean difference is {want[0]:.3f} dB, not {mean:.3f}")
    alone = math.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 4)
    expect(
        not close(error, alone, 1e-9),
        "you mixed up seeds and methods: take the differences seed by seed first",
    )
    expect(
        not close(error, differences.std(ddof=1), 1e-9),
        "that is the spread of one difference; the standard error of a mean of n is smaller by √n",
    )
    expect(
        not close(error, differences.std() / 2, 1e-9) and not close(error, differences.std(), 1e-9),
        "divide the squares by n − 1: the mean was computed from the same numbers",
    )
    expect(close(error, want[1], 1e-9), f"the standard error is {want[1]:.4f} dB, not {error:.4f}")
    expect(
        close(attempt([30.0, 30.0], [30.1, 30.3]), (0.2, 0.1), 1e-6), "right for four seeds only"
    )
