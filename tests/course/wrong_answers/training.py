"""Wrong answers to the exercises of notebook 09, each with a part of its message."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.course.exercises.training import (
    clipped,
    fitting,
    follow,
    learning_rate,
    paired_difference,
)


def _from_zero(step, steps, peak, warm_up, cooldown):
    return peak * min(step / warm_up, (steps - step) / (cooldown * steps), 1)


def _no_rise(step, steps, peak, warm_up, cooldown):
    return peak * min(1, (steps - step) / (cooldown * steps))


def _no_fall(step, steps, peak, warm_up, cooldown):
    return peak * min(1, (step + 1) / warm_up)


def _to_zero_too_early(step, steps, peak, warm_up, cooldown):
    return min(
        learning_rate(step, steps, peak, warm_up, 0.001),
        peak * (steps - 1 - step) / (cooldown * steps),
    )


def _cosine(step, steps, peak, warm_up, cooldown):
    left = max(0.0, step - (1 - cooldown) * steps) / (cooldown * steps)
    return min(peak * (step + 1) / warm_up, peak * (0.5 + 0.5 * math.cos(math.pi * left)))


def _in_place(average, weights, step, decay):
    return average.lerp_(weights, 1 - min(decay, (1 + step) / (10 + step)))


def _length(gradients):
    return math.sqrt(sum(float((g**2).sum()) for g in gradients))


def _never_none(gradients, limit):
    return [g * min(1.0, limit / max(1e-9, _length(gradients))) for g in gradients]


def _always_as_long(gradients, limit):
    return (
        None
        if not math.isfinite(_length(gradients))
        else [g * limit / _length(gradients) for g in gradients]
    )


def _in_parts(
    zero_first=True, zero_each=False, weigh=lambda some, all_, parts: some / all_, drop_last=False
):
    def attempt(network, lr, hr, size):
        if zero_first:
            network.zero_grad()
        pairs = list(zip(lr.split(size), hr.split(size), strict=True))
        for some_lr, some_hr in pairs[: len(lr) // size] if drop_last else pairs:
            if zero_each:
                network.zero_grad()
            (
                F.l1_loss(network(some_lr), some_hr) * weigh(len(some_lr), len(lr), len(pairs))
            ).backward()
        return [p.grad for p in network.parameters()]

    return attempt


def _at_once(network, lr, hr, size):
    return list(torch.autograd.grad(F.l1_loss(network(lr), hr), list(network.parameters())))


def _unpaired(first, second):
    error = math.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / len(first))
    return float(np.mean(second) - np.mean(first)), error


def _without_guard(step, steps, peak, warm_up, cooldown):
    rise = (step + 1) / warm_up
    return peak * min(1.0, rise, (steps - step) / max(1, cooldown * steps))


def _without_guard_at_the_end(step, steps, peak, warm_up, cooldown):
    rise = (step + 1) / warm_up if step < warm_up else 1.0
    return peak * min(rise, 1.0, (steps - step) / (cooldown * steps))


def _one_backward(network, lr, hr, size):
    network.zero_grad()
    total = 0
    for some_lr, some_hr in zip(lr.split(size), hr.split(size), strict=True):
        total = total + F.l1_loss(network(some_lr), some_hr) * len(some_lr) / len(lr)
    total.backward()
    return [p.grad for p in network.parameters()]


def _clipped_in_place(gradients, limit):
    result = clipped(gradients, limit)
    for gradient in gradients:
        gradient.mul_(0.5)
    return result


def _longest(gradients, limit):
    length = max(float(g.abs().max()) for g in gradients)
    return [g * min(1.0, limit / length) for g in gradients]


def _absolute(gradients, limit):
    length = sum(float(g.abs().sum()) for g in gradients)
    return [g * min(1.0, limit / length) for g in gradients]


WRONG = {
    "09.1": [
        (_from_zero, "learns nothing"),
        (lambda *a: learning_rate(*a) / a[2], "the peak is missing"),
        (_no_rise, "no rise"),
        (_no_fall, "does not fall"),
        (_to_zero_too_early, "one after the last"),
        (_cosine, "straight line"),
        (lambda step, steps, *rest: learning_rate(step, 100, *rest), "100 steps only"),
        (_without_guard, "warm_up = 0"),
        (_without_guard_at_the_end, "cooldown = 0"),
        (lambda *a: learning_rate(a[0] - 1, *a[1:]), "learns nothing"),
        (lambda *a: (learning_rate(*a),), "is there a comma"),
        (lambda *a: learning_rate(*a) / 2, "in the middle the rate is the peak"),
    ],
    "09.2": [
        (lambda a, w, step, d: (1 - d) * a + d * w, "stays of the average"),
        (lambda a, w, step, d: d * a + (1 - d) * w, "no warm-up"),
        (lambda a, w, step, d: follow(a, w, step + 1, d), "a tenth of the average"),
        (lambda a, w, step, d: follow(a, w, step, (1 + step) / (10 + step)), "whatever the step"),
        (_in_place, "in place"),
        (
            lambda a, w, step, d: follow(a, w, step, 0.9 if step < 100 else d),
            "the smaller of the two",
        ),
        (lambda a, w, step, d: w, "without any average"),
        (lambda a, w, step, d: a, "the old average"),
        (lambda a, w, step, d: d * a, "d · average alone"),
        (lambda a, w, step, d: d * a + w, "sum to 1"),
        (lambda a, w, step, d: (a + w) / 2, "plain mean"),
        (lambda a, w, step, d: a - (1 - d) * (w - a), "towards the weights"),
        (lambda a, w, step, d: follow(a, w, step, 0.9), "d = 0.9 only"),
        (lambda a, w, step, d: follow(a, w, step, d).double(), "its type is torch.float32"),
    ],
    "09.3": [
        (lambda gs, limit: [g.clamp(-limit, limit) for g in gs], "changes the direction"),
        (
            lambda gs, limit: [g * min(1, limit / float(g.norm())) for g in gs],
            "use the norm of all together",
        ),
        (
            lambda gs, limit: [g * limit / sum(float(g.norm()) for g in gs) for g in gs],
            "do not add up",
        ),
        (lambda gs, limit: [g * limit / _length(gs) ** 2 for g in gs], "the root is missing"),
        (_always_as_long, "stay as they are"),
        (_never_none, "return None"),
        (lambda gs, limit: clipped(gs, limit) if _length(gs) else None, "zeros is valid"),
        (lambda gs, limit: list(gs), "nothing is shortened"),
        (_longest, "the largest number"),
        (_absolute, "those are absolute values"),
        (lambda gs, limit: clipped(gs, 1.0), "a limit of 1 only"),
        (_clipped_in_place, "changed its argument gradients in place"),
        (lambda gs, limit: torch.cat([g.flatten() for g in gs]), "a list was expected"),
        (lambda gs, limit: (clipped(gs, limit) or [])[:1], "a tensor for each"),
    ],
    "09.4": [
        (_at_once, "at once"),
        (_in_parts(zero_each=True, weigh=lambda some, all_, parts: 1), "only the last part"),
        (_in_parts(zero_first=False), "previous step's gradients"),
        (_in_parts(weigh=lambda some, all_, parts: 1), "you summed the parts' gradients"),
        (_in_parts(weigh=lambda some, all_, parts: 1 / parts), "weight it by its share"),
        (_in_parts(drop_last=True), "not all images"),
        (_one_backward, "one backward for 3 parts"),
        (lambda *a: torch.cat([g.flatten() for g in _in_parts()(*a)]), "a list was expected"),
    ],
    "09.5": [
        (lambda s, t: {k: v for k, v in s.items() if k in t}, "does not fit (48, 4)"),
        (
            lambda s, t: {k: v for k, v in s.items() if k not in t or t[k].shape == v.shape},
            "no weight of that name",
        ),
        (lambda s, t: {k: v for k, v in s.items() if k.startswith("body")}, "left out"),
        (lambda s, t: {k: t[k] for k in fitting(s, t)}, "the source's"),
        (lambda s, t: {**t, **fitting(s, t)}, "does not fit (48, 4)"),
        (
            lambda s, t: {k: v for k, v in s.items() if k in t and t[k].numel() == v.numel()},
            "as many as 6·2",
        ),
        (lambda s, t: list(fitting(s, t)), "a dict was expected"),
    ],
    "09.6": [
        (lambda a, b: (-paired_difference(a, b)[0], paired_difference(a, b)[1]), "sign"),
        (_unpaired, "seed by seed"),
        (lambda a, b: (paired_difference(a, b)[0], float(np.subtract(b, a).std(ddof=1))), "√n"),
        (
            lambda a, b: (
                paired_difference(a, b)[0],
                float(np.subtract(b, a).std() / len(a) ** 0.5),
            ),
            "n − 1",
        ),
        (lambda a, b: paired_difference(a, b)[0], "two numbers"),
        (lambda a, b: [*paired_difference(a, b), 0.0], "two numbers"),
    ],
}
