"""What explorers show or feed to a network: a picture, cut to size, and the network itself."""

from __future__ import annotations

import numpy as np

from hatlib.errors import HatlibError
from hatlib.imaging.convert import check_image, round_to_uint8
from hatlib.imaging.resize import imresize
from hatlib.models import Network
from hatlib.system.devices import device
from hatlib.weights import files

LR_SIDE = 64  # LR pixels: a nano network takes a fraction of a second for 64×64


def photo(image: np.ndarray | None, side: int = 512, name: str = "astronaut") -> np.ndarray:
    """The middle side×side pixels of an image, or of a built-in photo: uint8 (H, W, 3).

    Args:
        image: uint8 or float in [0, 1], (H, W, 3) or (H, W); smaller ones stay whole.
        side: pixels.
        name: of the built-in photo that stands in for None.
    """
    if image is None:
        from hatlib.data.builtin import builtin_image

        image = builtin_image(name)
    check_image(image)
    image = image if image.dtype == np.uint8 else round_to_uint8(image * 255)
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    image = image[top : top + side, left : left + side]
    return np.ascontiguousarray(image if image.ndim == 3 else image[..., None].repeat(3, axis=2))


def token_map(image: np.ndarray | None, side: int, name: str = "facade-1") -> np.ndarray:
    """An image's middle square, resized to one pixel per token: uint8 (side, side, 3)."""
    square = photo(image, 512, name)
    square = photo(square, min(square.shape[:2]))
    return square if len(square) == side else imresize(square, size=(side, side))


def lr_picture(image: np.ndarray | None, name: str, side: int = LR_SIDE) -> np.ndarray:
    """A network's input, uint8 (h, w, 3): the middle side×side pixels of an image.

    By default the middle of a built-in picture, downsampled by 4 with bicubic interpolation.
    """
    if image is not None:
        return photo(image, side)
    return imresize(photo(None, 4 * side, name), 1 / 4)


def check_size(lr: np.ndarray, least: int, why: str) -> None:
    """Raises HatlibError if a side of the picture has fewer than `least` pixels."""
    if min(lr.shape[:2]) < least:
        got = f"{lr.shape[0]}×{lr.shape[1]}"
        raise HatlibError(f"{why} needs an image of at least {least}×{least} pixels, got {got}")


def load_network(model: Network | str | None, default: str) -> Network:
    """A network as it is given, where it is; or on the device by its name, from its file, or by the
    name `default`."""
    return model if isinstance(model, Network) else files.load(model or default).to(device())
