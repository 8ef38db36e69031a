"""The explorer of SRCNN: its filters, and a picture's feature maps. Used in notebook 03.

Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional Networks", arXiv 1501.00092,
§3.1 and fig. 5.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from hatlib.course.widgets import base, drawing, inputs
from hatlib.course.widgets.drawing import GOLD, SIGNED
from hatlib.errors import HatlibError
from hatlib.imaging.convert import crop_to_multiple, luma, to_tensor
from hatlib.imaging.resize import imresize
from hatlib.models import SRCNN, Network

if TYPE_CHECKING:
    import ipywidgets

PANEL = 320  # side of a picture, pixels
PHOTO = 160  # side of the photo, HR pixels
WIDTH, HEIGHT = 3 * PANEL + drawing.BAR + 5 * drawing.GAP, PANEL + 62
LAYERS = ("patch extraction", "non-linear mapping", "reconstruction")


@torch.inference_mode()
def feature_maps(model: SRCNN, bicubic: torch.Tensor) -> list[np.ndarray]:
    """Each layer's result before its ReLU, from a bicubic luma (1, 1, H, W).

    Returns:
        Arrays (n1, H, W), (n2, H, W), (1, H, W). The last one is the network's result, as
        `model.enhance` gives it.
    """
    height, width = bicubic.shape[2:]
    bicubic = bicubic.to(model.conv1.weight)  # its device and type
    x = F.pad(bicubic, [model.margin] * 4, mode="replicate")
    maps = []
    for layer in (model.conv1, model.conv2, model.conv3):
        x = layer(x if layer is model.conv1 else F.relu(x))
        # Later layers cut this border off; it is left out of the map.
        top = (x.shape[2] - height) // 2
        left = (x.shape[3] - width) // 2
        maps.append(x[0, :, top : top + height, left : left + width].cpu().numpy())
    return maps


def srcnn_view(
    model: SRCNN, bicubic: np.ndarray, maps: list[np.ndarray], layer: int = 1, feature: int = 0
) -> tuple[np.ndarray, str]:
    """The SRCNN explorer's picture: filters, the bicubic luma, and one feature map of it.

    Args:
        bicubic: luma (H, W) in [0, 1].
        maps: of this luma, from `feature_maps`.
        layer: 1, 2 or 3.
        feature: of the layer, from 0; a number that is too large means the last one.
    Returns:
        uint8 picture and an HTML caption.
    """
    convolution = (model.conv1, model.conv2, model.conv3)[layer - 1]
    weights = convolution.weight.detach().float().cpu().numpy()  # (n, c, f, f)
    count, sources, size, _ = weights.shape
    feature = min(feature, count - 1)
    filters, chosen = (weights[:, 0], feature) if layer == 1 else (weights[feature], None)
    shown = maps[layer - 1][feature] - (bicubic if layer == 3 else 0)
    cell = max(1, PANEL // max(bicubic.shape))
    limit = float(np.abs(shown).max())
    titles = {
        1: f"1  the {count} filters of {size}×{size}\n(framed: number {feature})",
        2: f"1  filter {feature}: {size}×{size} weights for\neach of layer 1's {sources} features",
        3: f"1  {size}×{size} weights for each of\nlayer 2's {sources} features",
    }
    title = (
        f"feature {feature} of layer {layer},\nbefore its ReLU"
        if layer < 3
        else "what the network\nadds to it"
    )
    panels = [
        drawing.add_title(_sheet(filters, chosen), titles[layer]),
        drawing.add_title(
            drawing.repeat_pixels(drawing.colour_gray(bicubic), cell),
            "2  the input: luma,\nupsampled by bicubic",
        ),
        drawing.add_title(
            drawing.repeat_pixels(drawing.colour_signed(shown, limit), cell), f"3  {title}"
        ),
        drawing.add_title(
            drawing.scale_bar(bicubic.shape[0] * cell, -limit, limit, SIGNED), "\nvalue"
        ),
    ]
    passed = (
        f"red passes the ReLU, blue becomes 0 ({(shown <= 0).mean():.0%} of the pixels)"
        if layer < 3
        else "red brightens, blue darkens, "
        f"by {255 * np.abs(shown).mean():.1f} of 255 grey levels on average"
    )
    return drawing.place_side_by_side(panels, WIDTH, HEIGHT), (
        f"<b>Layer {layer}, {LAYERS[layer - 1]}</b>: {sources} → {count} feature"
        f"{'s' * (count > 1)}, weights from {filters.min():.2g} to {filters.max():.2g}; "
        "each filter has its own scale, red above 0, blue below."
        f"<br>In 3 {passed}."
    )


def _sheet(filters: np.ndarray, chosen: int | None) -> np.ndarray:
    """Filters (n, f, f) in a grid, each on its own scale, one framed: (PANEL, PANEL, 3)."""
    columns = int(np.ceil(len(filters) ** 0.5))
    pitch = PANEL // columns
    cell = max(1, (pitch - 4) // filters.shape[1])
    tile = cell * filters.shape[1]
    sheet = np.full((-(-len(filters) // columns) * pitch, columns * pitch, 3), 255, np.uint8)
    for k, kernel in enumerate(filters):
        top, left = k // columns * pitch + 2, k % columns * pitch + 2
        if k == chosen:
            sheet[top - 2 : top + tile + 2, left - 2 : left + tile + 2] = GOLD
        sheet[top : top + tile, left : left + tile] = drawing.repeat_pixels(
            drawing.colour_signed(kernel), cell
        )
    return drawing.pad(sheet, PANEL, PANEL)


def srcnn_explorer(
    model: Network | str | None = None, image: np.ndarray | None = None
) -> ipywidgets.VBox:
    """SRCNN's filters, and their feature maps of a picture.

    Args:
        model: an SRCNN, or the name or file of its weights; the course's srcnn-x4 by default.
        image: HR, uint8 (H, W, 3) or (H, W); the middle 160×160 pixels of a larger one are
            downsampled by the network's scale and upsampled again. A built-in photo by default.
    Raises:
        HatlibError: the network is not an SRCNN.
    """
    network = inputs.load_network(model, "srcnn-x4")
    if not isinstance(network, SRCNN):
        raise HatlibError(f"this explorer shows SRCNN's filters; got {type(network).__name__}")
    hr = crop_to_multiple(inputs.photo(image, PHOTO, "cat"), network.scale)
    lr = to_tensor(luma(hr, full_range=True) / 255)
    bicubic = imresize(imresize(lr, 1 / network.scale), network.scale).clamp(0, 1)
    maps = feature_maps(network, bicubic)
    layer = base.choice(
        "layer",
        [
            (f"{k}: {name}, {len(layer_maps)} feature{'s' * (len(layer_maps) > 1)}", k)
            for k, (name, layer_maps) in enumerate(zip(LAYERS, maps, strict=True), 1)
        ],
    )
    feature = base.int_slider("feature (number)", 0, 0, len(maps[0]) - 1)

    def limit(_: object) -> None:
        feature.max = len(maps[layer.value - 1]) - 1

    layer.observe(limit, names="value")
    view = partial(srcnn_view, network, bicubic[0, 0].numpy(), maps)
    return base.explorer(view, {"layer": layer, "feature": feature}, WIDTH)
