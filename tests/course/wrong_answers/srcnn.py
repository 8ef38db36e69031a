"""Wrong answers to the exercises of notebook 03, each with a part of its message."""

import numpy as np
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


WRONG = {
    "03.1": [
        (lambda k, n: count_weights(k, n) + sum(n) + 1, "biases"),
        (lambda k, n: k[0] * n[0] + n[0] * k[1] * n[1] + n[1] * k[2], "f×f"),
        (lambda k, n: k[0] ** 2 * n[0] + k[1] ** 2 * n[1] + k[2] ** 2, "all n1 feature maps"),
        (lambda k, n: count_weights(k, n) + 2 * k[0] ** 2 * n[0], "one channel"),
        (lambda k, n: 57184, "9-5-5 only"),
    ],
    "03.2": [
        (sum, "f − 1"),
        (lambda kernels: sum(k - 1 for k in kernels), "the middle pixel itself"),
        (max, "later layers widen"),
        (lambda kernels: sum(k // 2 for k in kernels), "to one side"),
        (lambda kernels: 17, "three layers"),
    ],
    "03.3": [
        (lambda image, kernel: convolve_valid(np.pad(image, len(kernel) // 2), kernel), "padded"),
        (lambda image, kernel: convolve_valid(image, kernel[::-1, ::-1]), "flipped"),
        (lambda image, kernel: convolve_valid(image, kernel.T), "swapped"),
        (lambda image, kernel: None, "returned nothing"),
        (lambda image, kernel: convolve_valid(image, kernel) / kernel.size, "the sums are not"),
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
    ],
    "03.5": [
        (lambda mse: 20 * np.log10(1 / (mse * (219 / 255) ** 2)), "20·log₁₀"),
        (lambda mse: -10 * np.log10(mse), "full-range luma"),
        (lambda mse: -10 * np.log10(mse * (255 / 219) ** 2), "wrong sign: errors"),
        (lambda mse: -loss_to_psnr(mse), "the sign is wrong"),
        (lambda mse: loss_to_psnr(0.001), "10 dB"),
    ],
}
