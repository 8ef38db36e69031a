"""Façades drawn by the project: repeated fine structure in perspective, which is what Urban100
tests.

A wall is a grid of bays. A bay is drawn once, in a few states (blinds up or down, curtains, a lit
room); the states are dealt out over the grid, weather, shadow and reflections are laid over it, and
the wall is seen through a pinhole camera at several times the wanted resolution and then
downsampled with `imresize`, which leaves no aliasing. All random numbers come from a `RandomState`,
whose stream numpy guarantees, so that a seed gives the same picture everywhere, to within one grey
level (the last bits of the warp may differ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hatlib.data.facade_parts import (
    BAY,
    CORNICE,
    FLOOR,
    PALETTES,
    STYLES,
    Canvas,
    Colour,
    Palette,
    cornice,
)
from hatlib.errors import HatlibError
from hatlib.imaging.resize import imresize

STATES = 6  # different drawings of one bay


def noise(
    rng: np.random.RandomState, size: tuple[int, int], cells: int, octaves: int = 4
) -> np.ndarray:
    """Smooth noise in about [−1, 1], float32 (H, W): octaves of random values, upsampled and
    added."""
    side = cells * 2**octaves
    total = np.zeros((side, side), np.float32)
    for k in range(octaves):
        grid = rng.uniform(-1, 1, (cells * 2**k, cells * 2**k)).astype(np.float32)
        octave = Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)
        total += np.asarray(octave) * 0.55**k
    return np.asarray(Image.fromarray(total / 1.6).resize(size[::-1], Image.Resampling.BILINEAR))


def skyline(rng: np.random.RandomState, size: tuple[int, int]) -> np.ndarray:
    """What glass mirrors, float32 (H, W) in about [0, 1.3]: a sky that fades downwards, and the
    houses opposite."""
    high, wide = size
    light = np.linspace(1.2, 0.5, high, dtype=np.float32)[:, None] + 0.35 * noise(rng, size, 3)
    edge = 0
    while edge < wide:
        house = max(2, int(wide * rng.uniform(0.06, 0.2)))
        roof = int(high * rng.uniform(0.3, 0.9))
        light[roof:, edge : edge + house] *= rng.uniform(0.3, 0.6)
        edge += house
    return light.clip(0, 1.3)


def cast_shadow(rng: np.random.RandomState, size: tuple[int, int]) -> np.ndarray:
    """The shadow of a neighbour with a slanting edge, float32 (H, W): 1 in the light, 0.55 in the
    shadow."""
    high, wide = size
    offset = rng.uniform(0.5, 1.4)
    slope = rng.uniform(0.3, 1.2)
    across = np.arange(wide, dtype=np.float32) / wide * slope
    down = np.arange(high, dtype=np.float32)[:, None] / high
    return 1 - 0.45 * np.clip((down + across - offset) * 60, 0, 1)


def wall(
    rng: np.random.RandomState,
    style: str,
    palette: Palette,
    floors: int,
    bays: int,
    texels: int,
    light: Colour,
    shaded: bool,
) -> Image.Image:
    """A whole wall seen straight on, RGB, `texels` to a pixel: a cornice, then `floors` by `bays`
    bays."""
    pattern = rng.randint(6)
    states = []
    for _ in range(STATES):
        canvas = Canvas(rng, palette.wall)
        STYLES[style](canvas, palette, pattern)
        states.append(canvas.planes(texels))
    deal = rng.randint(STATES, size=(floors, bays))
    grid = np.stack(states)[deal].transpose(2, 0, 3, 1, 4)  # (4, floors, rows, bays, columns)
    texture = grid.reshape(4, floors * FLOOR // texels, bays * BAY // texels)
    top = cornice(rng, style, palette).planes(texels)[:, : CORNICE // texels]
    texture = np.concatenate([np.tile(top, bays), texture], axis=1)
    size = texture.shape[1:]
    weather = 1 + 0.05 * noise(rng, size, 6)
    weather *= np.linspace(1.05, 0.85, size[0], dtype=np.float32)[:, None]
    if shaded:
        weather *= cast_shadow(rng, size)
    mirror = texture[3] * skyline(rng, size)
    planes = [
        np.clip(plane * (weather * np.float32(tint)) + mirror * np.float32(blue) + 0.5, 0, 255)
        for plane, tint, blue in zip(texture, light, (78, 98, 122), strict=False)
    ]
    return Image.merge("RGB", [Image.fromarray(plane.astype(np.uint8)) for plane in planes])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at the origin that looks along +z, tilted up by `pitch`; x is right, y is
    up."""

    height: int
    width: int
    focal: float
    pitch: float

    def rotate(self, point: np.ndarray) -> np.ndarray:
        """World → camera coordinates."""
        c = math.cos(self.pitch)
        s = math.sin(self.pitch)
        return np.array((point[0], c * point[1] - s * point[2], s * point[1] + c * point[2]))

    def level(self, row: float, depth: float) -> float:
        """The height y at which an upright line at world depth z = `depth` crosses the screen row
        `row`."""
        t = (self.height / 2 - row) / self.focal
        c = math.cos(self.pitch)
        s = math.sin(self.pitch)
        return depth * (t * c + s) / (c - t * s)

    def warp(
        self, flat: Image.Image, corner: np.ndarray, along: np.ndarray, texel: float
    ) -> Image.Image:
        """A flat picture put into the world, its upper left corner at `corner`, its rows in
        direction `along`."""
        columns = [
            self.rotate(along * texel),
            self.rotate(np.array((0.0, -texel, 0.0))),
            self.rotate(corner),
        ]
        m = np.stack(columns, axis=1)  # camera = m · (column, row, 1)
        rows = ((self.focal, 0, self.width / 2), (0, -self.focal, self.height / 2), (0, 0, 1.0))
        back = np.linalg.inv(np.array(rows) @ m)  # from the screen to the flat picture
        return flat.transform(
            (self.width, self.height),
            Image.Transform.PERSPECTIVE,
            tuple((back / back[2, 2]).ravel()[:8]),
            Image.Resampling.BILINEAR,
        )


SUNS = {  # colour of the light on the wall that faces the sun, and on the other one
    "noon": ((1.08, 1.04, 0.98), (0.60, 0.65, 0.74)),
    "evening": ((1.24, 1.02, 0.76), (0.54, 0.58, 0.70)),
    "overcast": ((0.96, 0.96, 0.97), (0.78, 0.80, 0.84)),
}
SKIES = {  # at the zenith and at the horizon
    "noon": ((62, 116, 184), (204, 220, 232)),
    "evening": ((96, 116, 158), (244, 206, 168)),
    "overcast": ((150, 160, 172), (222, 226, 230)),
}


def sky(rng: np.random.RandomState, sun: str, height: int, width: int) -> Image.Image:
    """A sky that pales towards the horizon, with clouds, RGBA."""
    size = height // 4, width // 4
    zenith, horizon = (np.array(colour, np.float32) for colour in SKIES[sun])
    t = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
    thickness = noise(rng, size, 3, octaves=6) * 1.6 + rng.uniform(-0.5, 0.3)
    cloud = 0.75 * np.clip(thickness, 0, 1)[..., None]
    picture = (zenith * (1 - t) + horizon * t) * (1 - cloud) + 240 * cloud
    small = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BILINEAR).convert("RGBA")


@dataclass(frozen=True)
class Block:
    """A building as the camera sees it: two walls that recede from an upright edge."""

    at: float  # where the edge stands, as a fraction of the width, at half height
    near: float  # width of a bay at that place, screen pixels
    # by how much the right wall turns away from the screen plane, radians; the left one is square
    # to it
    angle: float
    top: float  # screen row of the roof there, as a fraction of the height
    bays: tuple[int, int]  # of the left and of the right wall


def draw(
    picture: Image.Image,
    rng: np.random.RandomState,
    camera: Camera,
    style: str,
    sun: str,
    block: Block,
) -> None:
    """Draws a building into the picture."""
    palette = PALETTES[style][rng.randint(len(PALETTES[style]))]
    depth = camera.focal * BAY / block.near / math.cos(camera.pitch)
    x = (block.at - 0.5) * camera.width / camera.focal * depth * math.cos(camera.pitch)
    roof = camera.level(block.top * camera.height, depth)
    texels = max(k for k in (1, 2, 4, 8) if k == 1 or k * block.near <= 1.3 * BAY)
    sunny = rng.randint(2)  # which of the walls faces the sun
    right = np.array((math.cos(block.angle), 0.0, math.sin(block.angle)))
    left = np.array((-right[2], 0.0, right[0]))
    for side, (direction, bays) in enumerate(zip((left, right), block.bays, strict=True)):
        if not bays:
            continue
        ends = (depth, depth + direction[2] * bays * BAY)
        ground = min(camera.level(camera.height, z) for z in ends)
        floors = math.ceil((roof - CORNICE - ground) / FLOOR)
        flat = wall(
            rng,
            style,
            palette,
            floors,
            bays,
            texels,
            SUNS[sun][side != sunny],
            shaded=side == sunny,
        )
        if side == 0:
            flat = flat.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        flat.putalpha(255)
        picture.alpha_composite(camera.warp(flat, np.array((x, roof, depth)), direction, texels))


def passing(rng: np.random.RandomState, unit: float) -> tuple[float, list[Block]]:
    """A wall that runs past us; pitch of the camera, and what stands there from far to near."""
    angle = rng.uniform(0.45, 0.85)
    return rng.uniform(0.05, 0.22), [
        Block(-0.12, unit * rng.uniform(85, 120), angle, rng.uniform(-0.5, -0.1), (0, 15))
    ]


def corner(rng: np.random.RandomState, unit: float) -> tuple[float, list[Block]]:
    """The corner of a block of houses, and another house behind it."""
    at = rng.uniform(0.35, 0.65)
    angle = rng.uniform(0.55, 1.0)
    behind = Block(
        rng.uniform(0.85, 1.0), unit * rng.uniform(20, 26), angle, rng.uniform(0.2, 0.4), (10, 4)
    )
    block = Block(at, unit * rng.uniform(55, 75), angle, rng.uniform(0.02, 0.15), (9, 11))
    return rng.uniform(0.12, 0.32), [behind, block]


def towers(rng: np.random.RandomState, unit: float) -> tuple[float, list[Block]]:
    """Up between towers."""
    angle = rng.uniform(0.55, 1.0)
    behind = [
        Block(
            at,
            unit * rng.uniform(24, 34),
            angle + rng.uniform(-0.2, 0.2),
            rng.uniform(0.1, 0.45),
            (7, 7),
        )
        for at in (rng.uniform(-0.05, 0.1), rng.uniform(0.85, 1.0))
    ]
    block = Block(
        rng.uniform(0.4, 0.6), unit * rng.uniform(46, 60), angle, rng.uniform(0.0, 0.12), (7, 8)
    )
    return rng.uniform(0.45, 0.65), [*behind, block]


VIEWS = (passing, corner, towers)


def facade(seed: int, size: tuple[int, int] = (384, 512)) -> np.ndarray:
    """A façade: rows of windows with frames, blinds, bricks or fins in perspective, under a sky.

    The seed chooses style, colours, view and light (neighbouring seeds differ in style and view);
    the composition does not depend on the size.

    Args:
        seed: 0 or above.
        size: (height, width) of the picture, pixels, each at least 16.
    Returns:
        uint8 (H, W, 3) RGB, the same for the same seed and size.
    """
    height, width = size
    if min(size) < 16:
        raise HatlibError(f"a façade has at least 16×16 pixels, got {height}×{width}")
    rng = np.random.RandomState(seed)
    finer = max(2, math.ceil(1536 / max(size)))
    h = height * finer
    w = width * finer
    styles = list(STYLES)
    style = seed % len(styles)
    view = VIEWS[seed % len(VIEWS)]
    sun = list(SUNS)[rng.randint(len(SUNS))]
    # views are described for a picture of 512 pixels
    pitch, blocks = view(rng, unit=max(h, w) / 512)
    camera = Camera(h, w, 1.1 * max(h, w), pitch)
    picture = sky(rng, sun, h, w)
    for k, block in enumerate(blocks):
        draw(picture, rng, camera, styles[(style + len(blocks) - 1 - k) % len(styles)], sun, block)
    pixels = np.asarray(picture.convert("RGB"))
    if rng.rand() < 0.5:
        pixels = pixels[:, ::-1]
    return imresize(pixels, size=size)
