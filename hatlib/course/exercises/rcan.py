"""Notebook 04: the parts of RCAN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from hatlib.course.exercises.parts import Part
from hatlib.course.exercises.probes import Draw, close, expect, recognise
from hatlib.course.exercises.registry import exercise
from hatlib.models.layers import ChannelAttention, Residual


def early_over_late(kernels: Sequence[int], features: Sequence[int], scale: int) -> float:
    """Multiply-adds of SRCNN, divided by those of the same layers at LR size.

    Args:
        kernels: f1, f2, f3; all layers keep the size of the image.
        features: n1, n2. The network sees one channel, the luma.
        scale: s. The last layer of the late version gives s² values for each LR pixel, which a
            pixel shuffle then rearranges.
    """
    f1, f2, f3 = kernels
    n1, n2 = features
    first_two = f1 * f1 * n1 + n1 * f2 * f2 * n2  # multiply-adds per pixel
    last = n2 * f3 * f3
    return scale**2 * (first_two + last) / (first_two + scale**2 * last)


@exercise(
    "04.1",
    "What early upsampling costs",
    difficulty=2,
    minutes=10,
    solution=early_over_late,
    cases=lambda draw: {
        "9-1-5 at ×2": ((9, 1, 5), (64, 32), 2),
        "5-3-3 with 12 and 7 features at ×3": ((5, 3, 3), (12, 7), 3),
        "×1": ((9, 5, 5), (64, 32), 1),
    },
)
def _early_over_late(attempt: Callable[..., float]) -> None:
    got, want = attempt((9, 5, 5), (64, 32), 4), early_over_late((9, 5, 5), (64, 32), 4)

    def ratio(first: int, second: int, last: int, outputs: int = 16) -> float:
        return 16 * (first + second + last) / (first + second + outputs * last)

    layers = 81 * 64, 25 * 64 * 32, 25 * 32
    recognise(
        got,
        {
            "the late version's last layer has s² outputs where SRCNN has one": 16.0,
            "upside down: divide the early version's cost by the late one's": 1 / want,
            "an upsampled image has s² times as many pixels, not s times": want / 4,
            "early upsampling works on s² times as many pixels; that factor is missing": want / 16,
            "the late version's last layer has s² outputs, not s": ratio(*layers, outputs=4),
            "each filter runs over all input channels: that factor is missing": ratio(
                81 * 64, 25 * 32, 25
            ),
            "the network takes one channel, the luma, and returns one, not three": ratio(
                3 * 81 * 64, layers[1], 3 * 25 * 32
            ),
            "a filter of side f has f · f weights, not f": ratio(9 * 64, 5 * 64 * 32, 5 * 32),
        },
        1e-6,
    )
    expect(close(got, want, 1e-6), f"for 9-5-5 at ×4 it is {want:.2f}, not {got:.4g}")
    other = early_over_late((9, 1, 5), (64, 32), 2)
    expect(
        close(attempt((9, 1, 5), (64, 32), 2), other, 1e-6),
        f"right for 9-5-5 at ×4; 9-1-5 at ×2 has {other:.2f}",
    )


def pixel_shuffle(x: torch.Tensor, scale: int) -> torch.Tensor:
    """(N, C·s², H, W) → (N, C, s·H, s·W).

    Channel c·s² + i·s + j becomes row i, column j of the s×s pixels.
    """
    n, channels, height, width = x.shape
    x = x.reshape(n, channels // scale**2, scale, scale, height, width)  # (N, C, i, j, H, W)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, -1, height * scale, width * scale)


@exercise(
    "04.2",
    "Pixel shuffle",
    difficulty=2,
    minutes=10,
    solution=pixel_shuffle,
    cases=lambda draw: {
        "×3": (draw.tensor(1, 18, 3, 2), 3),
        "×4": (draw.tensor(2, 32, 2, 5), 4),
        "×1": (draw.tensor(1, 3, 2, 4), 1),
    },
    forbids={"pixel_shuffle": "right, but that is torch's: with reshape and permute, please"},
)
def _pixel_shuffle(attempt: Callable[..., torch.Tensor]) -> None:
    x = torch.arange(2 * 12 * 3 * 5, dtype=torch.float32).reshape(2, 12, 3, 5)
    got, want = attempt(x.clone(), 2), pixel_shuffle(x, 2)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape == want.shape,
        f"{tuple(x.shape)} at ×2 becomes {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    expect(
        not close(got, x.reshape(want.shape)),
        "reshape alone keeps the order in memory: neighbours come from one "
        "channel, but they have to come from s² channels. It takes a permute",
    )
    blocks = x.reshape(2, 3, 2, 2, 3, 5).permute(0, 1, 2, 4, 3, 5).reshape(want.shape)
    expect(not close(got, blocks), "the s² small images stand side by side; interleave them")
    swapped = x.reshape(2, 3, 2, 2, 3, 5).permute(0, 1, 4, 3, 5, 2).reshape(want.shape)
    expect(
        not close(got, swapped),
        "i and j are swapped: channel c·s² + 1 is the pixel to the right, not below",
    )
    outside = x.reshape(2, 2, 2, 3, 3, 5).permute(0, 3, 4, 1, 5, 2).reshape(want.shape)
    expect(
        not close(got, outside),
        "the channel c is the slow part of c·s² + i·s + j, not the fast one",
    )
    expect(close(got, want), "the shape is right, but the pixels are not in their places")
    x = torch.arange(36 * 4, dtype=torch.float32).reshape(1, 36, 2, 2)
    expect(close(attempt(x, 3), pixel_shuffle(x, 3)), "right at ×2 only; ×3 has to work as well")


def _attention_forward(
    function: Callable[..., torch.Tensor], layer: ChannelAttention, x: torch.Tensor
) -> torch.Tensor:
    """The learner's channel attention with a layer's weights."""
    pairs = [(c.weight[:, :, 0, 0], c.bias) for c in layer if isinstance(c, nn.Conv2d)]
    return function(x, *pairs)


def is_block(layer: nn.Module) -> bool:
    """Whether a layer is an RCAB."""
    return isinstance(layer, Residual) and isinstance(layer.body[1], nn.ReLU)


def _block_forward(
    function: Callable[..., torch.Tensor], layer: Residual, x: torch.Tensor
) -> torch.Tensor:
    first, _, second, attention = layer.body
    return function(x, (first.weight, first.bias), (second.weight, second.bias), attention)


def is_group(layer: nn.Module) -> bool:
    """Whether a layer is a residual group."""
    return isinstance(layer, Residual) and isinstance(layer.body[0], Residual)


def _group_forward(
    function: Callable[..., torch.Tensor], layer: Residual, x: torch.Tensor
) -> torch.Tensor:
    *blocks, convolution = layer.body
    return function(x, blocks, convolution)


def channel_attention(
    x: torch.Tensor,
    squeeze: tuple[torch.Tensor, torch.Tensor],
    expand: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    """RCAN's channel attention (§3.3): feature maps (N, C, H, W) → each map times its gate.

    Args:
        squeeze: weight (C/r, C) and bias (C/r,) of the layer before the ReLU.
        expand: weight (C, C/r) and bias (C,) of the layer before the sigmoid.
    """
    means = x.mean(dim=(2, 3))  # (N, C)
    gates = F.linear(F.linear(means, *squeeze).relu(), *expand).sigmoid()  # (N, C)
    return x * gates[:, :, None, None]


@exercise(
    "04.3",
    "Channel attention",
    difficulty=2,
    minutes=10,
    solution=channel_attention,
    cases=lambda draw: {
        "8 channels": (draw.tensor(2, 8, 4, 6), draw.layer(2, 8), draw.layer(8, 2)),
        "one image of 3×5": (draw.tensor(1, 6, 3, 5), draw.layer(3, 6), draw.layer(6, 3)),
    },
    tolerance=1e-5,
    part=Part(lambda layer: isinstance(layer, ChannelAttention), {"forward": _attention_forward}),
)
def _channel_attention(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    x = draw(2, 6, 5, 4) + 0.5
    squeeze = (3 * draw(3, 6), draw(3))
    expand = (draw(6, 3), draw(6))
    got, want = attempt(x.clone(), squeeze, expand), channel_attention(x, squeeze, expand)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    linear = F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze), *expand)
    gates = (want / x).mean(dim=(2, 3))
    expect(
        not (got.numel() == gates.numel() and close(got.reshape(gates.shape), gates, 1e-4)),
        "these are the gates; multiply the feature maps by them",
    )
    expect(
        got.shape == x.shape,
        f"the result has the shape of x, {tuple(x.shape)}, not {tuple(got.shape)}",
    )
    mixed = F.linear(F.linear(x.mean(dim=(0, 2, 3))[None], *squeeze).relu(), *expand).sigmoid()
    expect(
        not close(got, x * mixed[:, :, None, None], 1e-5),
        "the mean runs over the images of the batch too; each image has its own gates",
    )
    expect(
        not close(got, x + gates[:, :, None, None], 1e-4), "you added the gates; multiply by them"
    )
    expect(
        not close(got, x + want, 1e-5),
        "the skip connection belongs to the residual block, not to the attention",
    )
    expect(
        not close(got, x * linear.sigmoid()[:, :, None, None], 1e-5),
        "the ReLU between the two layers is missing: without it they are one layer",
    )
    relu = F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze).relu(), *expand)
    expect(
        not close(got, x * relu[:, :, None, None], 1e-4),
        "the sigmoid is missing: gates lie between 0 and 1",
    )
    expect(
        not close(got, x * relu.softmax(dim=1)[:, :, None, None], 1e-5),
        "a softmax makes channels compete; the paper's sigmoid lets several be open at once",
    )

    def gated(z: torch.Tensor) -> torch.Tensor:
        return x * F.linear(F.linear(z, *squeeze).relu(), *expand).sigmoid()[:, :, None, None]

    first, second = (layer[0] for layer in (squeeze, expand))
    without_biases = F.linear(F.linear(x.mean(dim=(2, 3)), first).relu(), second).sigmoid()
    swapped = F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze).sigmoid(), *expand).relu()
    recognise(
        got,
        {
            "squeeze means the mean of each channel, not its largest value": gated(
                x.amax(dim=(2, 3))
            ),
            "squeeze means the mean of each channel, not its sum": gated(x.sum(dim=(2, 3))),
            "both layers have a bias": x * without_biases[:, :, None, None],
            "the ReLU comes after the first layer and the sigmoid after the second": x
            * swapped[:, :, None, None],
            (
                "a ReLU before the sigmoid keeps every gate above ½: the "
                "second layer has the sigmoid alone"
            ): x * relu.relu().sigmoid()[:, :, None, None],
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


Convolution = tuple[torch.Tensor, torch.Tensor]  # weight (C, C, 3, 3), bias (C,)


def rcab(
    x: torch.Tensor,
    first: Convolution,
    second: Convolution,
    attention: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """RCAN's residual channel attention block (§3.4): (N, C, H, W) → the same shape.

    Args:
        first, second: weight and bias of the two 3×3 convolutions, with zeros around the border.
        attention: weighs the channels of a feature map.
    """
    body = F.conv2d(x, *first, padding=1).relu()
    body = F.conv2d(body, *second, padding=1)
    return x + attention(body)


@exercise(
    "04.4",
    "The residual block of RCAN",
    difficulty=2,
    minutes=10,
    solution=rcab,
    cases=lambda draw: {
        "6 channels": (
            draw.tensor(2, 6, 5, 4),
            draw.layer(6, 6, 3, 3),
            draw.layer(6, 6, 3, 3),
            torch.tanh,
        ),
        "one image of 3×7": (
            draw.tensor(1, 2, 3, 7),
            draw.layer(2, 2, 3, 3),
            draw.layer(2, 2, 3, 3),
            lambda maps: 0.5 * maps,
        ),
    },
    tolerance=1e-5,
    part=Part(is_block, {"forward": _block_forward}),
)
def _rcab(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 6, 5, generator=generator)
    first, second = (
        (torch.randn(4, 4, 3, 3, generator=generator) / 4, torch.randn(4, generator=generator) / 4)
        for _ in range(2)
    )

    def attention(maps: torch.Tensor) -> torch.Tensor:
        return maps * (3 * maps.mean(dim=(2, 3), keepdim=True)).sigmoid()

    got, want = attempt(x.clone(), first, second, attention), rcab(x, first, second, attention)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape == x.shape,
        f"the block keeps the shape {tuple(x.shape)}, so its convolutions need padding=1; "
        f"got {tuple(got.shape)}",
    )
    body = F.conv2d(F.conv2d(x, *first, padding=1).relu(), *second, padding=1)
    expect(
        not close(got, attention(body), 1e-5),
        "the skip connection is missing: x has to be added at the end",
    )
    expect(
        not close(got, attention(x + body), 1e-5),
        "the attention weighs the body only, before x is added: nothing may weigh x itself",
    )
    expect(not close(got, x + body, 1e-5), "the channel attention is missing")
    expect(
        not close(got, want.relu(), 1e-5),
        "there is no ReLU after the sum (ResNet had one): it would clip what the skip "
        "connection passes through",
    )
    expect(
        not close(got, x + attention(body.relu()), 1e-5),
        "the second convolution has no ReLU: the body has to be able to subtract",
    )
    linear = F.conv2d(F.conv2d(x, *first, padding=1), *second, padding=1)
    expect(
        not close(got, x + attention(linear), 1e-5),
        "the ReLU between the two convolutions is missing",
    )

    def through(a: Convolution, b: Convolution, given: torch.Tensor = x) -> torch.Tensor:
        return F.conv2d(F.conv2d(given, *a, padding=1).relu(), *b, padding=1)

    between = F.conv2d(attention(F.conv2d(x, *first, padding=1).relu()), *second, padding=1)
    bare = F.conv2d(F.conv2d(x, first[0], padding=1).relu(), second[0], padding=1)
    recognise(
        got,
        {
            "the ReLU stands between the two convolutions, not after both": x
            + attention(linear.relu()),
            "the attention weighs what the convolutions give, not x": attention(x) + body,
            "the attention comes after both convolutions, not between them": x + between,
            "x is added, not multiplied": x * attention(body),
            "the attention returns weighed maps already: do not multiply by the body again": x
            + body * attention(body),
            "the attention comes last: it weighs what the convolutions give": x
            + through(first, second, attention(x)),
            "the two convolutions are swapped": x + attention(through(second, first)),
            "no ReLU before the first convolution": x + attention(through(first, second, x.relu())),
            "the convolutions have biases": x + attention(bare),
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


Maps = Callable[[torch.Tensor], torch.Tensor]  # (N, C, H, W) → the same shape


def residual_group(x: torch.Tensor, blocks: Sequence[Maps], convolution: Maps) -> torch.Tensor:
    """RCAN's residual group (§3.2): blocks, a convolution, a short skip connection over all of it.

    Args:
        x: (N, C, H, W).
        blocks: RCABs, one after another.
        convolution: 3×3, after the last block.
    Returns:
        (N, C, H, W).
    """
    body = x
    for block in blocks:
        body = block(body)
    return x + convolution(body)


def _blocks(draw: Draw, count: int, channels: int) -> tuple[list[Maps], Maps]:
    """Blocks with skip connections of their own, and a convolution."""
    layers = [draw.layer(channels, channels, 3, 3) for _ in range(count + 1)]

    def block(layer: Convolution) -> Maps:
        return lambda x: x + F.conv2d(x, *layer, padding=1).tanh()

    return [block(layer) for layer in layers[:-1]], lambda x: F.conv2d(x, *layers[-1], padding=1)


@exercise(
    "04.5",
    "A residual group",
    difficulty=2,
    minutes=8,
    solution=residual_group,
    cases=lambda draw: {
        "three blocks": (draw.tensor(2, 4, 5, 6), *_blocks(draw, 3, 4)),
        "a single block": (draw.tensor(1, 3, 4, 4), *_blocks(draw, 1, 3)),
        "seven blocks": (draw.tensor(1, 2, 3, 7), *_blocks(draw, 7, 2)),
    },
    tolerance=1e-5,
    part=Part(is_group, {"forward": _group_forward}),
)
def _residual_group(attempt: Callable[..., torch.Tensor]) -> None:
    draw = Draw()
    x = draw.tensor(2, 4, 5, 6)
    blocks, convolution = _blocks(draw, 3, 4)
    got, want = (
        attempt(x.clone(), list(blocks), convolution),
        residual_group(x, blocks, convolution),
    )
    expect(
        got.shape == x.shape, f"the group keeps the shape {tuple(x.shape)}, not {tuple(got.shape)}"
    )
    first, second, third = blocks
    body = third(second(first(x)))
    summed = x + first(x)
    summed = summed + second(summed)
    summed = summed + third(summed)
    recognise(
        got,
        {
            "the skip connection is missing: add the group's input": want - x,
            "the convolution at the end is missing": x + body,
            "the skip connection goes around the convolution, too: add x after it": convolution(
                x + body
            ),
            "add the group's input, not the last block's output": body + convolution(body),
            "only the first block is used": x + convolution(first(x)),
            "only the last block is used": x + convolution(third(x)),
            "each block takes the output of the one before; here all of them took x": x
            + convolution(first(x) + second(x) + third(x)),
            "apply the blocks in their order": x + convolution(first(second(third(x)))),
            "the convolution comes after the blocks, not before": x
            + third(second(first(convolution(x)))),
            "the convolution stands once at the end, not after each block": x
            + convolution(third(convolution(second(convolution(first(x)))))),
            "the blocks have skip connections of their own: add x once, at the end": x
            + convolution(summed),
            "the blocks are not used": x + convolution(x),
            "no ReLU after the sum: it would clip the skip connection": want.relu(),
            "no ReLU after the convolution": x + convolution(body).relu(),
            "x is added, not multiplied": x * convolution(body),
            "x is added, not subtracted": convolution(body) - x,
        },
        1e-5,
    )
    expect(close(got, want, 1e-5), "the shape is right, but the values are not")


def count_rcan(groups: int, blocks: int, features: int, reduction: int, scale: int) -> int:
    """Weights and biases of RCAN at scale 2, 3 or 4, those of the fixed mean shifts not counted.

    Head: 3×3, RGB → features. Block: two 3×3 convolutions, then two 1×1, features →
    features / reduction → features. Group: blocks and one 3×3. Body: groups and one 3×3.
    Tail: 3×3, features → features·4, and a pixel shuffle, once at ×2 and twice at ×4 (at ×3 once,
    features → features·9); then 3×3, features → RGB.
    """

    def convolution(side: int, channels_in: int, channels_out: int) -> int:
        return side * side * channels_in * channels_out + channels_out

    same, squeezed = convolution(3, features, features), features // reduction
    attention = convolution(1, features, squeezed) + convolution(1, squeezed, features)
    group = blocks * (2 * same + attention) + same
    steps = {2: [2], 3: [3], 4: [2, 2]}[scale]
    tail = sum(convolution(3, features, features * step**2) for step in steps)
    ends = convolution(3, 3, features) + convolution(3, features, 3)
    return ends + groups * group + same + tail


@exercise(
    "04.6",
    "Count the parameters of RCAN",
    difficulty=3,
    minutes=20,
    solution=count_rcan,
    cases=lambda draw: {
        "RCAN at ×2": (10, 20, 64, 16, 2),
        "RCAN at ×3": (10, 20, 64, 16, 3),
        "2 groups of 7 blocks with 32 features": (2, 7, 32, 8, 4),
        "1 group of 3 blocks with 12 features": (1, 3, 12, 5, 3),
    },
)
def _count_rcan(attempt: Callable[..., int]) -> None:
    size = (10, 20, 64, 16)
    got, want = attempt(*size, 4), count_rcan(*size, 4)
    features = 64
    biases = (features * (2 + 10 + 10 * 20 * 3 + 2 * 4) + 10 * 20 * (features // 16)) + 3
    expect(got != want - biases, "that is without the biases; here they are counted")
    same = 9 * features * features + features
    attention = 10 * 20 * (2 * features * features // 16 + features // 16 + features)
    expect(
        got != want - attention, "the two 1×1 convolutions of each channel attention are missing"
    )
    expect(got != want - 10 * same, "the convolution at the end of each group is missing")
    expect(got != want - same, "the convolution at the end of the body is missing")
    expect(
        got != want - 11 * same,
        "the convolutions at the end of each group and of the body are missing",
    )
    one_step = 9 * features * features * 16 + features * 16
    two_steps = 2 * (9 * features * features * 4 + features * 4)
    expect(got != want - two_steps + one_step, "×4 takes two steps of ×2, not one of ×4")
    expect(got != want - two_steps // 2, "×4 takes the step of ×2 twice")
    expect(got != want + 24, "you counted the two mean shifts; training does not change them")
    expect(got != want - (9 * features * 3 + 3), "the last convolution, features → RGB, is missing")
    expect(
        got != want - (9 * 3 * features + features),
        "the first convolution, RGB → features, is missing",
    )
    expect(got != want - 9 * 2 * features, "the head takes RGB: three channels, not one")
    expect(got != want - 10 * 20 * same, "each block has two 3×3 convolutions, not one")
    expect(got == want, f"RCAN at ×4 has {want:,} parameters, not {got:,}")
    for scale in (2, 3):
        expect(attempt(*size, scale) == count_rcan(*size, scale), f"right at ×4, not at ×{scale}")
    expect(
        attempt(2, 3, 16, 4, 4) == count_rcan(2, 3, 16, 4, 4),
        "right for the paper's RCAN, but not for other sizes",
    )
