"""Wrong answers to the exercises of notebook 04, each with a part of its message."""

import torch
import torch.nn.functional as F

from hatlib.course.exercises.rcan import (
    channel_attention,
    count_rcan,
    early_over_late,
    pixel_shuffle,
    rcab,
    residual_group,
)


def _gates(x, squeeze, expand):
    return F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze).relu(), *expand).sigmoid()


def _attention_without_relu(x, squeeze, expand):
    return x * F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze), *expand).sigmoid()[:, :, None, None]


def _attention_without_sigmoid(x, squeeze, expand):
    return x * F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze).relu(), *expand)[:, :, None, None]


def _attention_with_softmax(x, squeeze, expand):
    scores = F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze).relu(), *expand)
    return x * scores.softmax(dim=1)[:, :, None, None]


def _attention_of_the_batch(x, squeeze, expand):
    means = x.mean(dim=(0, 2, 3))
    return x * F.linear(F.linear(means, *squeeze).relu(), *expand).sigmoid()[:, None, None]


def _body(x, first, second, padding=1):
    return F.conv2d(F.conv2d(x, *first, padding=padding).relu(), *second, padding=padding)


def _rcab_relu_in_the_body(x, first, second, attention):
    return x + attention(_body(x, first, second).relu())


def _rcab_without_relu(x, first, second, attention):
    return x + attention(F.conv2d(F.conv2d(x, *first, padding=1), *second, padding=1))


def _count(
    groups,
    blocks,
    features,
    reduction,
    scale,
    *,
    ends=True,
    attention=True,
    biases=True,
    steps=None,
):
    def convolution(side, channels_in, channels_out):
        return side * side * channels_in * channels_out + biases * channels_out

    same, squeezed = convolution(3, features, features), features // reduction
    gates = convolution(1, features, squeezed) + convolution(1, squeezed, features)
    group = blocks * (2 * same + attention * gates) + ends * same
    steps = steps or {2: [2], 3: [3], 4: [2, 2]}[scale]
    tail = sum(convolution(3, features, features * step**2) for step in steps) + convolution(
        3, features, 3
    )
    return convolution(3, 3, features) + groups * group + same + tail


def _ratio(early, late_last):
    """04.1 with other multiply-adds: early(f, n) of the layers, late_last of the last one."""

    def answer(kernels, features, scale):
        first, second, last = early(kernels, features)
        return scale**2 * (first + second + last) / (first + second + late_last(scale) * last)

    return answer


def _layers(f, n):
    return f[0] ** 2 * n[0], n[0] * f[1] ** 2 * n[1], n[1] * f[2] ** 2


def _of_means(squeezed):
    """04.3 with `squeezed` in place of the mean."""

    def answer(x, squeeze, expand):
        gates = F.linear(F.linear(squeezed(x), *squeeze).relu(), *expand).sigmoid()
        return x * gates[:, :, None, None]

    return answer


def _attention_without_biases(x, squeeze, expand):
    return channel_attention(x, (squeeze[0], None), (expand[0], None))


def _attention_sigmoid_first(x, squeeze, expand):
    return (
        x
        * F.linear(F.linear(x.mean(dim=(2, 3)), *squeeze).sigmoid(), *expand).relu()[
            :, :, None, None
        ]
    )


def _attention_two_relus(x, squeeze, expand):
    means = x.mean(dim=(2, 3))
    return (
        x * F.linear(F.linear(means, *squeeze).relu(), *expand).relu().sigmoid()[:, :, None, None]
    )


def _rcab_relu_last(x, first, second, attention):
    return x + attention(F.conv2d(F.conv2d(x, *first, padding=1), *second, padding=1).relu())


def _rcab_attention_between(x, first, second, attention):
    return x + F.conv2d(attention(F.conv2d(x, *first, padding=1).relu()), *second, padding=1)


def _body_of(x, blocks):
    for block in blocks:
        x = block(x)
    return x


def _summed_blocks(x, blocks, convolution):
    body = x
    for block in blocks:
        body = body + block(body)
    return x + convolution(body)


def _convolution_after_each(x, blocks, convolution):
    body = x
    for block in blocks:
        body = convolution(block(body))
    return x + body


def _group_in_place(x, blocks, convolution):
    x += convolution(_body_of(x, blocks))
    return x


def _shuffled_by_torch(x, scale):
    return torch.nn.PixelShuffle(scale)(x)


def _rcab_in_place(x, first, second, attention):
    x += attention(_body(x, first, second))
    return x


WRONG = {
    "04.1": [
        (lambda k, n, s: s**2, "s² outputs where SRCNN has one"),
        (lambda k, n, s: 1 / early_over_late(k, n, s), "upside down"),
        (lambda k, n, s: early_over_late(k, n, s) / s, "not s times"),
        (lambda k, n, s: early_over_late(k, n, s) / s**2, "that factor is missing"),
        (lambda k, n, s: early_over_late((9, 5, 5), (64, 32), 4), "9-1-5 at ×2"),
        (_ratio(_layers, lambda s: s), "s² outputs, not s"),
        (
            _ratio(lambda f, n: (f[0] ** 2 * n[0], f[1] ** 2 * n[1], f[2] ** 2), lambda s: s**2),
            "that factor is missing",
        ),
        (
            _ratio(
                lambda f, n: [k * m for k, m in zip((3, 1, 3), _layers(f, n), strict=True)],
                lambda s: s**2,
            ),
            "three",
        ),
        (
            _ratio(lambda f, n: (f[0] * n[0], n[0] * f[1] * n[1], n[1] * f[2]), lambda s: s**2),
            "f · f weights",
        ),
    ],
    "04.2": [
        (lambda x, s: x.reshape(len(x), -1, x.shape[2] * s, x.shape[3] * s), "takes a permute"),
        (lambda x, s: pixel_shuffle(x, s).transpose(2, 3), "at ×2 becomes"),
        (lambda x, s: pixel_shuffle(x.transpose(2, 3), s).transpose(2, 3), "i and j are swapped"),
        (
            lambda x, s: x.reshape(2, 3, s, s, 3, 5).permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 6, 10),
            "interleave them",
        ),
        (
            lambda x, s: x.reshape(2, s, s, 3, 3, 5).permute(0, 3, 4, 1, 5, 2).reshape(2, 3, 6, 10),
            "slow part",
        ),
        (lambda x, s: pixel_shuffle(x, 2), "×3 has to work"),
        (lambda x, s: F.pixel_shuffle(x, s), "that is torch's"),
        (_shuffled_by_torch, "that is torch's"),
        (lambda x, s: pixel_shuffle(x, s).double(), "its type is torch.float32"),
    ],
    "04.3": [
        (_gates, "these are the gates"),
        (_attention_without_relu, "ReLU between the two layers"),
        (_attention_without_sigmoid, "sigmoid is missing"),
        (_attention_with_softmax, "compete"),
        (_attention_of_the_batch, "each image has its own gates"),
        (
            lambda x, squeeze, expand: x + _gates(x, squeeze, expand)[:, :, None, None],
            "multiply by them",
        ),
        (
            lambda x, squeeze, expand: x + channel_attention(x, squeeze, expand),
            "belongs to the residual block",
        ),
        (lambda x, squeeze, expand: 0.5, "a tensor was expected"),
        (lambda x, squeeze, expand: None, "returned nothing"),
        (_of_means(lambda x: x.amax(dim=(2, 3))), "not its largest value"),
        (_of_means(lambda x: x.sum(dim=(2, 3))), "not its sum"),
        (_of_means(lambda x: x.mean(dim=1)), "stopped at `gates = F.linear"),
        (_attention_without_biases, "have a bias"),
        (_attention_sigmoid_first, "the sigmoid after the second"),
        (_attention_two_relus, "above ½"),
        (lambda x, squeeze, expand: (channel_attention(x, squeeze, expand),), "is there a comma"),
        (
            lambda x, squeeze, expand: x.mul_(_gates(x, squeeze, expand)[:, :, None, None]),
            "changed its argument x in place",
        ),
    ],
    "04.4": [
        (
            lambda x, first, second, attention: attention(_body(x, first, second)),
            "skip connection is missing",
        ),
        (
            lambda x, first, second, attention: attention(x + _body(x, first, second)),
            "before x is added",
        ),
        (lambda x, first, second, attention: x + _body(x, first, second), "attention is missing"),
        (
            lambda x, first, second, attention: rcab(x, first, second, attention).relu(),
            "no ReLU after the sum",
        ),
        (
            lambda x, first, second, attention: attention(_body(x, first, second, padding=0)),
            "need padding=1",
        ),
        (_rcab_relu_in_the_body, "able to subtract"),
        (_rcab_without_relu, "between the two convolutions"),
        (_rcab_relu_last, "not after both"),
        (_rcab_attention_between, "not between them"),
        (lambda x, first, second, attention: attention(x) + _body(x, first, second), "not x"),
        (
            lambda x, first, second, attention: x * attention(_body(x, first, second)),
            "added, not multiplied",
        ),
        (lambda x, first, second, attention: rcab(x, second, first, attention), "swapped"),
        (
            lambda x, first, second, attention: x + attention(_body(x.relu(), first, second)),
            "before the first",
        ),
        (
            lambda x, first, second, attention: rcab(x, first[:1], second[:1], attention),
            "have biases",
        ),
        (
            lambda x, first, second, attention: x + _body(attention(x), first, second),
            "the attention comes last",
        ),
        (
            lambda x, first, second, attention: x + (y := _body(x, first, second)) * attention(y),
            "do not multiply by the body again",
        ),
        (_rcab_in_place, "changed its argument x in place"),
    ],
    "04.6": [
        (lambda *size: _count(*size, biases=False), "without the biases"),
        (lambda *size: _count(*size, attention=False), "1×1 convolutions"),
        (lambda *size: _count(*size, ends=False), "end of each group is missing"),
        (lambda *size: _count(*size, steps=[size[-1]]), "two steps of ×2"),
        (lambda *size: _count(*size, steps=[2]), "twice"),
        (lambda *size: count_rcan(*size) + 24, "mean shifts"),
        (lambda *size: count_rcan(*size) - 9 * size[2] * 3 - 3, "the last convolution"),
        (lambda *size: count_rcan(*size) - 9 * size[2] * 3 - size[2], "the first convolution"),
        (lambda *size: count_rcan(*size) - 9 * size[2] * 2, "not one"),
        (
            lambda *size: count_rcan(*size) - size[0] * size[1] * (9 * size[2] + 1) * size[2],
            "two 3×3 convolutions",
        ),
        (lambda *size: count_rcan(size[0], size[1], size[2], size[3], 4), "not at ×2"),
        (lambda *size: count_rcan(10, 20, 64, 16, size[-1]), "other sizes"),
    ],
    "04.5": [
        (lambda x, b, c: c(_body_of(x, b)), "skip connection is missing"),
        (lambda x, b, c: x + _body_of(x, b), "convolution at the end is missing"),
        (lambda x, b, c: c(x + _body_of(x, b)), "add x after it"),
        (lambda x, b, c: (y := _body_of(x, b)) + c(y), "not the last block's output"),
        (lambda x, b, c: x + c(b[0](x)), "only the first block"),
        (lambda x, b, c: x + c(b[-1](x)), "only the last block"),
        (lambda x, b, c: x + c(sum(block(x) for block in b)), "all of them took x"),
        (lambda x, b, c: residual_group(x, b[::-1], c), "in their order"),
        (lambda x, b, c: x + _body_of(c(x), b), "not before"),
        (_convolution_after_each, "not after each block"),
        (_summed_blocks, "skip connections of their own"),
        (lambda x, b, c: x + c(x), "not used"),
        (lambda x, b, c: residual_group(x, b, c).relu(), "no ReLU after the sum"),
        (lambda x, b, c: x + c(_body_of(x, b)).relu(), "no ReLU after the convolution"),
        (lambda x, b, c: x * c(_body_of(x, b)), "not multiplied"),
        (lambda x, b, c: c(_body_of(x, b)) - x, "not subtracted"),
        (lambda x, b, c: residual_group(x, b[:3], c), "seven blocks"),
        (lambda x, b, c: residual_group(x, b, c)[:1], "keeps the shape"),
        (_group_in_place, "changed its argument x in place"),
    ],
}
