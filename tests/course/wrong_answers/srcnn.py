"""Wrong answers to the exercises of notebook 03, each with a part of its message."""

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.course.exercises.srcnn import convolve_valid, count_weights, loss_to_psnr, srcnn_forward


def _with_padding(luma, layers):
    for weight, bias in layers:
        luma = F.conv2d(luma, weight, bias, padding=weight.shape[-1] // 2).relu()
    return luma


def _linear(luma, layers):
    for weight, bias in layers:
        luma = F.conv2d(luma, weight, bias)
    return luma


def _with(activation, first=False):
    """03.4 with another activation between the layers, or with one before them."""

    def answer(luma, layers):
        (w1, b1), (w2, b2), (w3, b3) = layers
        x = activation(luma) if first else luma
        x = activation(F.conv2d(x, w1, b1))
        return F.conv2d(activation(F.conv2d(x, w2, b2)), w3, b3)

    return answer


def _relu_once(which):
    def answer(luma, layers):
        for k, (weight, bias) in enumerate(layers):
            luma = F.conv2d(luma, weight, bias)
            luma = luma.relu() if k == which else luma
        return luma

    return answer


def _by_torch(image, kernel):
    given = (torch.from_numpy(x)[None, None] for x in (image, kernel))
    return F.conv2d(*given)[0, 0].numpy()


def _three_taps(image, kernel):
    rows = range(image.shape[0] - 2)
    columns = range(image.shape[1] - 2)
    return np.array(
        [[(image[i : i + 3, j : j + 3] * kernel[:3, :3]).sum() for j in columns] for i in rows]
    )


def _bias_in_place(luma, layers):
    result = srcnn_forward(luma, layers)
    layers[0][1].zero_()
    return result


WRONG = {
    "03.1": [
        (lambda k, n: count_weights(k, n) + sum(n) + 1, "biases"),
        (lambda k, n: k[0] * n[0] + n[0] * k[1] * n[1] + n[1] * k[2], "f×f"),
        (lambda k, n: k[0] ** 2 * n[0] + k[1] ** 2 * n[1] + k[2] ** 2, "all n1 feature maps"),
        (lambda k, n: count_weights(k, n) + 2 * k[0] ** 2 * n[0], "one channel"),
        (lambda k, n: 57184, "9-5-5 only"),
        (
            lambda k, n: k[0] ** 2 * 64 + 64 * k[1] ** 2 * 32 + 32 * k[2] ** 2,
            "64 and 32 features only",
        ),
        (lambda k, n: (count_weights(k, n),), "is there a comma"),
        (
            lambda k, n: count_weights(k, n[::-1]) if n[1] > n[0] else count_weights(k, n),
            "6 and 20",
        ),
    ],
    "03.2": [
        (sum, "f − 1"),
        (lambda kernels: sum(k - 1 for k in kernels), "the middle pixel itself"),
        (max, "later layers widen"),
        (lambda kernels: sum(k // 2 for k in kernels), "k // 2"),
        (lambda kernels: 17, "three layers"),
        (lambda kernels: 1 + 2 * sum(k // 2 for k in kernels), "a kernel of even size"),
        (lambda kernels: 1 + sum(k // 2 for k in kernels), "k // 2"),
        (lambda kernels: [17], "one number was expected"),
    ],
    "03.3": [
        (lambda image, kernel: convolve_valid(np.pad(image, len(kernel) // 2), kernel), "padded"),
        (lambda image, kernel: convolve_valid(image, kernel[::-1, ::-1]), "flipped"),
        (lambda image, kernel: convolve_valid(image, kernel.T), "swapped"),
        (lambda image, kernel: None, "returned nothing"),
        (lambda image, kernel: convolve_valid(image, kernel) / kernel.size, "the sums are not"),
        (_three_taps, "kernels of 3×3 only"),
        (_by_torch, "a finished convolution"),
        (lambda image, kernel: convolve_valid(image, abs(kernel)), "negative taps"),
    ],
    "03.4": [
        (_with_padding, "padded"),
        (lambda luma, layers: srcnn_forward(luma, layers).relu(), "after the last layer"),
        (_linear, "ReLUs are missing"),
        (
            lambda luma, layers: srcnn_forward(luma, [(w, b * 0) for w, b in layers]),
            "biases are missing",
        ),
        (lambda luma, layers: srcnn_forward(luma, layers)[0], "the result's shape"),
        (_with(F.relu, first=True), "no ReLU before the first"),
        (_with(F.gelu), "GELU"),
        (_with(torch.sigmoid), "not sigmoids"),
        (_with(lambda x: -F.relu(-x)), "keeps what is above 0"),
        (_relu_once(0), "the second ReLU is missing"),
        (_relu_once(1), "the first ReLU is missing"),
        (_bias_in_place, "changed its argument layers in place"),
        (lambda luma, layers: srcnn_forward(luma[:1], layers), "the result's shape"),
        (lambda luma, layers: srcnn_forward(luma, layers).numpy(), "a tensor was expected"),
        (lambda luma, layers: srcnn_forward(luma, layers).double(), "its type is torch.float32"),
    ],
    "03.5": [
        (lambda mse: 20 * np.log10(1 / (mse * (219 / 255) ** 2)), "20·log₁₀"),
        (lambda mse: -10 * np.log10(mse), "full-range luma"),
        (lambda mse: -10 * np.log10(mse * (255 / 219) ** 2), "wrong sign: errors"),
        (lambda mse: -loss_to_psnr(mse), "the sign is wrong"),
        (lambda mse: loss_to_psnr(0.001), "10 dB"),
        (lambda mse: (loss_to_psnr(mse),), "is there a comma"),
    ],
}
