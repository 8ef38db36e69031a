"""Notebook 04: the parts of RCAN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from hatlib.course.exercises.probes import close, expect, recognise
from hatlib.course.exercises.registry import exercise


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


@exercise("04.1", "What early upsampling costs", difficulty=2, minutes=10, solution=early_over_late)
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


@exercise("04.2", "Pixel shuffle", difficulty=2, minutes=10, solution=pixel_shuffle)
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


@exercise("04.3", "Channel attention", difficulty=2, minutes=10, solution=channel_attention)
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


@exercise("04.4", "The residual block of RCAN", difficulty=2, minutes=10, solution=rcab)
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
            "the two convolutions are swapped": x + attention(through(second, first)),
            "no ReLU before the first convolution": x + attention(through(first, second, x.relu())),
            "the convolutions have biases": x + attention(bare),
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


@exercise("04.5", "Count the parameters of RCAN", difficulty=3, minutes=20, solution=count_rcan)
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


def transposed_weights(weight: torch.Tensor, scale: int) -> torch.Tensor:
    """With these weights a transposed convolution does what a 3×3 one and a pixel shuffle do.

    Args:
        weight: of the convolution, (C·s², channels in, 3, 3); zeros around the border (padding 1),
            no bias.
        scale: s.
    Returns:
        (channels in, C, 3·s, 3·s), for F.conv_transpose2d with stride s and padding s.
    """
    outputs, inputs = weight.shape[0] // scale**2, weight.shape[1]
    phases = weight.reshape(outputs, scale, scale, inputs, 3, 3).flip(4, 5)  # (C, i, j, in, y, x)
    return phases.permute(3, 0, 4, 1, 5, 2).reshape(inputs, outputs, 3 * scale, 3 * scale)


@exercise("04.6", "One operation, two names", difficulty=4, minutes=30, solution=transposed_weights)
def _transposed_weights(attempt: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 3, 3, 3, generator=generator)
    x = torch.randn(1, 3, 4, 5, generator=generator)
    got, want = attempt(weight.clone(), 2), transposed_weights(weight, 2)
    expect(isinstance(got, torch.Tensor), f"a tensor was expected, not {type(got).__name__}")
    expect(
        got.shape != (want.shape[1], want.shape[0], *want.shape[2:]),
        "conv_transpose2d wants the input channels first: (channels in, C, 3·s, 3·s)",
    )
    expect(
        got.shape == want.shape,
        f"the weights have the shape {tuple(want.shape)}, not {tuple(got.shape)}",
    )
    phases = weight.reshape(2, 2, 2, 3, 3, 3)  # (C, i, j, in, y, x)
    unturned = phases.permute(3, 0, 4, 1, 5, 2).reshape(want.shape)
    expect(
        not close(got, unturned),
        "rotate each 3×3 kernel by 180°: a transposed convolution spreads what a convolution "
        "gathers",
    )
    expect(
        not close(got, want.flip(2, 3)),
        "rotate each 3×3 kernel by 180°, not the whole 3·s × 3·s kernel: the phases i, j keep "
        "their order",
    )
    swapped = phases.flip(4, 5).permute(3, 0, 4, 2, 5, 1).reshape(want.shape)
    expect(
        not close(got, swapped),
        "i and j are swapped: channel c·s² + 1 is the pixel to the right, not below",
    )
    planar = phases.flip(4, 5).permute(3, 0, 1, 4, 2, 5).reshape(want.shape)
    expect(
        not close(got, planar),
        "the phases i, j have to vary fastest: each 3×3 tap becomes an s×s square",
    )
    expect(not close(got, want.transpose(2, 3)), "rows and columns of the kernel are swapped")
    same = F.conv_transpose2d(x, got, stride=2, padding=2)
    shuffled = F.pixel_shuffle(F.conv2d(x, weight, padding=1), 2)
    expect(
        close(same, shuffled, 1e-4),
        "the shape is right, but the two operations still give different images",
    )
    other = torch.randn(36, 2, 3, 3, generator=generator)
    expect(
        close(attempt(other, 3), transposed_weights(other, 3)),
        "right at ×2 only; ×3 has to work as well",
    )
