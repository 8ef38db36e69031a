"""Drawings of the course's architectures, from the sizes of their configurations.

Every function returns a figure; in a notebook make the call the last line of a cell. Shapes stand
at the arrows: C×h×w where convolutions see the map, h×w×C where attention does.
"""

from hatlib.course.drawings.convolutional import (
    channel_attention,
    pixel_shuffle,
    rcab,
    residual_block,
    residual_in_residual,
    srcnn,
)
from hatlib.course.drawings.processes import lam_path, training_loop
from hatlib.course.drawings.road import road_map, waterfall
from hatlib.course.drawings.transformers import (
    cab,
    dat,
    dat_blocks,
    drct,
    hab,
    hat,
    rhag,
    rstb,
    swin_layer,
    swinir,
)
from hatlib.course.drawings.windows import attention_steps, ocab, shifted_windows, window_attention

__all__ = [
    "attention_steps",
    "cab",
    "channel_attention",
    "dat",
    "dat_blocks",
    "drct",
    "hab",
    "hat",
    "lam_path",
    "ocab",
    "pixel_shuffle",
    "rcab",
    "residual_block",
    "residual_in_residual",
    "rhag",
    "road_map",
    "rstb",
    "shifted_windows",
    "srcnn",
    "swin_layer",
    "swinir",
    "training_loop",
    "waterfall",
    "window_attention",
]
