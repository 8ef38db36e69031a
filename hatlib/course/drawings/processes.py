"""Drawings of what is done with networks: LAM's path, and the training loop."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hatlib import attribution
from hatlib.course.drawings.sketch import (
    INK,
    Box,
    Sketch,
    attention,
    figure,
    group,
    linear,
    sign,
    signal,
    weight,
)
from hatlib.data import builtin
from hatlib.imaging.convert import to_image, to_tensor
from hatlib.imaging.resize import imresize
from hatlib.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS_NAMES = {"l1": "mean |SR − HR|", "mse": "mean (SR − HR)²"}


# --- LAM ------------------------------------------------------------------------------------------


def lam_path(steps: int = attribution.STEPS["right"], sigma: float = attribution.SIGMA) -> Figure:
    """LAM (arXiv 2011.11036): from a blurred LR to LR, the gradients on the way, and their sum.
    Shown in notebook 07.

    Args:
        steps: m, of the path; by default as many as published.
        sigma: of the blur at its beginning, in LR pixels.
    """
    sketch = Sketch(
        f"LAM: integrated gradients along a path of {steps} steps, from blurred to sharp"
    )
    sharp = imresize(builtin.builtin_image("facade-6"), 1 / 4)[20:60, 60:100]
    marks = (0.0, 0.5, 1.0)
    points = attribution.blur_path(to_tensor(sharp), marks, sigma)
    side = 1.0
    titles = (
        f"γ(0) = I′\nσ = {sigma:g} px",
        f"γ({steps // 2}/{steps})\nσ = {sigma / 2:g} px",
        "γ(1) = I, LR\nσ = 0",
    )
    boxes: list[Box] = []
    for k, (point, title) in enumerate(zip(points, titles, strict=True)):
        left = k * (side + 0.5)
        image = to_image(point[None].float())
        boxes.append(sketch.picture(image, left, -side / 2, side, side))
        sketch.label(left + side / 2, side / 2 + 0.05, title, va="bottom", colour=INK)
    for one, next_one in itertools.pairwise(boxes):
        sketch.line((one.right + 0.05, 0), (next_one.left - 0.05, 0), dash=":", width=1.4)

    network, detail, _, times, total = sketch.row(
        group("network F\nLR → SR"),
        linear("D: detail in a\nwindow of F(γ)\nΣ √(dx² + dy²)"),
        weight("∂D/∂γ\n3×h×w"),
        sign("×"),
        linear("Σ over k"),
        x=boxes[-1].right + 0.6,
        gap=0.4,
    )
    sketch.line((boxes[-1].right + 0.05, 0), (network.left, 0))
    sketch.label((boxes[-1].right + network.left) / 2, 0.03, "each γ", va="bottom")
    move = sketch.box(signal(f"γ(k/{steps})\n− γ((k−1)/{steps})"), times.x, -0.75)
    sketch.down(move, times)

    # the end of the way stands below, so that the drawing is no wider than a page
    y = -1.4
    strength = sketch.box(weight("map: |Σ over RGB| / its maximum\nh×w, 0 to 1"), detail.x, y)
    index = sketch.box(attention("diffusion index\nDI = 100·(1 − Gini)"), boxes[1].x, y)
    sketch.line((total.x, total.bottom), (total.x, y), (strength.right, y))
    sketch.line((strength.left, y), (index.right, y))
    sketch.label((total.x + strength.right) / 2, y + 0.03, "3×h×w", va="bottom")
    return figure(sketch)


# --- training -------------------------------------------------------------------------------------


def training_loop(recipe: Recipe = RECIPES["hat-nano-x4"]) -> Figure:
    """One step of training, with the average of the weights and the checkpoint. Shown in
    notebooks 03 and 09."""
    r = recipe
    large = r.patch_size * r.scale
    n = r.batch_size
    sketch = Sketch(f"Training {r.model} ×{r.scale}: each of {r.steps:,} steps")

    # forward: from images to the loss
    _, cut = sketch.row(signal("images"), linear("cut patches,\nflip, turn"))
    x = cut.right + 0.5
    lr = sketch.row(signal(f"LR patches\n{n}×3×{r.patch_size}×{r.patch_size}"), x=x, y=0.4)[0]
    hr = sketch.row(signal(f"HR patches\n{n}×3×{large}×{large}"), x=x, y=-0.4)[0]
    sketch.branch(cut, lr)
    sketch.branch(cut, hr)
    network, _, loss = sketch.row(
        group(f"network\n{r.model}"),
        signal(f"SR\n{n}×3×{large}×{large}"),
        weight(f"loss\n{LOSS_NAMES[r.loss]}"),
        x=max(lr.right, hr.right) + 0.35,
        y=0.4,
        gap=0.6,
    )
    sketch.arrow(lr, network)
    sketch.line((hr.right, hr.y), (loss.x, hr.y), (loss.x, loss.bottom))

    # backward: from the loss to the weights
    y = 1.3
    clip = f"gradient,\nlength ≤ {r.max_grad_norm:g}" if r.max_grad_norm else "gradient"
    gradient = sketch.box(linear(clip), loss.x, y)
    adam = sketch.box(linear(f"Adam\n{_schedule(r)}"), (network.x + gradient.left) / 2 + 0.25, y)
    sketch.down(loss, gradient, "backward")
    sketch.line((gradient.left, y), (adam.right, y))
    sketch.line((adam.left, y), (network.x, y), (network.x, network.top))
    sketch.label(network.x - 0.06, 0.92, "new weights", "right")

    # beside the loop
    y = -1.2
    average = sketch.box(attention(_average(r)), network.x, y)
    sketch.line((network.x, network.bottom), (network.x, average.top))
    sketch.label(network.x + 0.06, -0.72, "after each step", "left")
    use = sketch.box(group("evaluate, upscale"), loss.x, y)
    sketch.arrow(average, use)
    everything = signal("checkpoint: weights, EMA,\nAdam's state, step,\nrandom states, losses")
    saved = sketch.row(everything, x=0, y=y)[0]
    sketch.line((average.left, y), (saved.right, y))
    sketch.label(saved.x, saved.bottom - 0.05, "an interrupted run resumes here", va="top")
    return figure(sketch)


def _schedule(recipe: Recipe) -> str:
    """The learning rate's way in a few words."""
    highest = f"lr ≤ {recipe.learning_rate:g}"
    start = f", up in {recipe.warmup_steps}" if recipe.warmup_steps else ""
    end = {
        "trapezoid": f"down in the last {recipe.cooldown:.0%}",
        "multistep": f"halved {len(recipe.milestones)} times",
        "cosine": "down along a cosine",
    }[recipe.schedule]
    return f"{highest}{start},\n{end}"


def _average(recipe: Recipe) -> str:
    """The average of the weights in a few words."""
    if not recipe.ema_decay:
        return "no EMA: the\nweights themselves"
    decay = recipe.ema_decay
    return f"EMA of the weights\nmean ← {decay:g}·mean + {1 - decay:.2g}·weight"
