"""Drawings show the sizes of the network that they draw, and nothing in them overlaps."""

import dataclasses
import functools
import itertools
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Line

from hatlib import HatlibError
from hatlib.course import drawings
from hatlib.course.drawings import road
from hatlib.course.drawings import sketch as kit
from hatlib.models import CONFIGURED, dat, drct, hat, rcan, swinir
from hatlib.models.srcnn import SRCNN
from hatlib.training.recipes import Recipe

SMALL_HAT = dataclasses.replace(
    hat.PRESETS["hat"], embed_dim=48, depths=(2, 2), num_heads=4, window_size=4, conv_scale=0.5,
    compress_ratio=2, squeeze_factor=12, upsampler="pixelshuffledirect",
)  # fmt: skip
LIGHT = dat.PRESETS["dat-light"]

# a drawing of one configuration, its texts; of another one, others in their place
CASES = {
    "srcnn": (
        (drawings.srcnn, ["SRCNN 9-5-5, ×4", "9×9 conv, ReLU\n1 → 64", "51,200 weights"]),
        (
            lambda: drawings.srcnn(SRCNN(3, (9, 1, 5), (32, 16))),
            ["SRCNN 9-1-5, ×3", "1×1 conv, ReLU\n32 → 16", "512 weights"],
        ),
    ),
    "residual block": (
        (drawings.residual_block, ["3×3 conv\n64 → 64"]),
        (lambda: drawings.residual_block(32), ["3×3 conv\n32 → 32"]),
    ),
    "pixel shuffle": (
        (
            lambda: drawings.pixel_shuffle(2, 64, "pixelshuffle"),
            ["4×h×w", "1×2h×2w", "3×3 conv\n64 → 256"],
        ),
        (
            lambda: drawings.pixel_shuffle(3, 32, "pixelshuffledirect"),
            ["9×h×w", "1×3h×3w", "3×3 conv\n32 → 27", "3×3h×3w"],
        ),
    ),
    "channel attention": (
        (lambda: drawings.channel_attention(64, 4), ["1×1 conv\n64 → 4", "4×1×1"]),
        (lambda: drawings.channel_attention(48, 6), ["1×1 conv\n48 → 6", "6×1×1"]),
    ),
    "rcab": (
        (drawings.rcab, ["channel attention\n64 → 4 → 64"]),
        (lambda: drawings.rcab(rcan.PRESETS["rcan-nano"]), ["channel attention\n32 → 4 → 32"]),
    ),
    "residual in residual": (
        (
            drawings.residual_in_residual,
            ["group\n10", "RCAB\n20", "RCAN ×4: 10 residual groups and a long skip connection"],
        ),
        (
            lambda: drawings.residual_in_residual(rcan.PRESETS["rcan-nano"], 2),
            ["group\n2", "RCAB\n7", "RCAN ×2: 2 residual groups and a long skip connection"],
        ),
    ),
    "attention steps": (
        (drawings.attention_steps, ["queries q\n5×4", "1. scores\nq·kᵀ / √4", "5×7"]),
        (lambda: drawings.attention_steps(3, 9, 8), ["queries q\n3×8", "keys k\n9×8", "3×9"]),
    ),
    "window attention": (
        (drawings.window_attention, ["query q\n6×64×30", "q·kᵀ / √30", "64×180"]),
        (lambda: drawings.window_attention(SMALL_HAT), ["query q\n4×16×12", "q·kᵀ / √12", "16×48"]),
    ),
    "shifted windows": (
        (drawings.shifted_windows, ["1. windows of 8×8", "2. windows shifted by 4"]),
        (
            lambda: drawings.shifted_windows(hat.PRESETS["hat"]),
            ["1. windows of 16×16", "2. windows shifted by 8"],
        ),
    ),
    "swin layer": (
        (drawings.swin_layer, ["h×w×180", "MLP, GELU\n180 → 360 → 180"]),
        (
            lambda: drawings.swin_layer(swinir.PRESETS["swinir-nano"]),
            ["h×w×48", "MLP, GELU\n48 → 96 → 48"],
        ),
    ),
    "rstb": (
        (drawings.rstb, ["STL\n6", "3×3 conv\n180 → 180"]),
        (lambda: drawings.rstb(swinir.PRESETS["swinir-nano"]), ["STL\n4", "3×3 conv\n48 → 48"]),
    ),
    "swinir": (
        (drawings.swinir, ["RSTB\n6", "3×3 conv\n3 → 180", "64×4h×4w"]),
        (
            lambda: drawings.swinir(swinir.PRESETS["swinir-nano"], 3),
            ["RSTB\n2", "3×3 conv\n3 → 48", "3×3 conv\n48 → 27"],
        ),
    ),
    "cab": (
        (drawings.cab, ["3×3 conv\n180 → 60", "1×1 conv\n180 → 6"]),
        (lambda: drawings.cab(hat.PRESETS["hat-s"]), ["3×3 conv\n144 → 6", "1×1 conv\n144 → 6"]),
    ),
    "hab": (
        (
            drawings.hab,
            [
                "× α = 0.01",
                "attention in 16×16 windows,\n6 heads, shifted by 8\nin every second layer",
            ],
        ),
        (
            lambda: drawings.hab(SMALL_HAT),
            [
                "× α = 0.5",
                "attention in 4×4 windows,\n4 heads, shifted by 2\nin every second layer",
            ],
        ),
    ),
    "ocab": (
        (
            drawings.ocab,
            [
                "window of the queries: 16×16 = 256 tokens",
                "its keys and values: 24×24 = 576 tokens",
                "k and v, cut 24×24\n6×576×30",
            ],
        ),
        (
            lambda: drawings.ocab(hat.PRESETS["hat-nano"]),
            [
                "window of the queries: 8×8 = 64 tokens",
                "its keys and values: 12×12 = 144 tokens",
                "k and v, cut 12×12\n3×144×16",
            ],
        ),
    ),
    "rhag": (
        (drawings.rhag, ["HAB\n6", "OCAB", "3×3 conv\n180 → 180"]),
        (
            lambda: drawings.rhag(dataclasses.replace(SMALL_HAT, cab=False, ocab=False)),
            ["STL\n2", "RHAG: 2 STLs, a convolution and a skip connection"],
        ),
    ),
    "hat": (
        (drawings.hat, ["RHAG\n6", "HAT ×4: 6 RHAGs and a long skip connection"]),
        (
            lambda: drawings.hat(hat.PRESETS["hat-l"], 2),
            ["RHAG\n12", "HAT ×2: 12 RHAGs and a long skip connection"],
        ),
    ),
    "dat": (
        (drawings.dat, ["DATB\n18", "3×3 conv\n60 → 48"]),
        (lambda: drawings.dat(dat.PRESETS["dat"], 2), ["DATB\n6", "RG\n6"]),
    ),
    "dat blocks": (
        (
            drawings.dat_blocks,
            [
                "attention in windows\nof 8×32 and of 32×8",
                "attention among the\n10 channels of a head",
                "the other half: 60",
                "weight of each\nchannel, 1×1×60",
            ],
        ),
        (
            lambda: drawings.dat_blocks(dat.PRESETS["dat-s"]),
            [
                "attention in windows\nof 8×16 and of 16×8",
                "attention among the\n30 channels of a head",
                "the other half: 180",
                "weight of each\nchannel, 1×1×180",
            ],
        ),
    ),
    "drct": (
        (drawings.drct, ["RDG\n6", "STL 5, 1×1 conv\n308 → 180"]),
        (
            lambda: drawings.drct(
                dataclasses.replace(drct.PRESETS["drct"], embed_dim=60, growth=8)
            ),
            ["STL 5, 1×1 conv\n92 → 60"],
        ),
    ),
    "lam's path": (
        (drawings.lam_path, ["γ(0) = I′\nσ = 1.2 px", "γ(k/50)\n− γ((k−1)/50)"]),
        (lambda: drawings.lam_path(20, 2.0), ["γ(0) = I′\nσ = 2 px", "γ(k/20)\n− γ((k−1)/20)"]),
    ),
    "training loop": (
        (
            drawings.training_loop,
            [
                "LR patches\n8×3×32×32",
                "SR\n8×3×128×128",
                "loss\nmean |SR − HR|",
                "gradient,\nlength ≤ 1",
                "Adam\nlr ≤ 0.002, up in 100,\ndown in the last 20%",
                "EMA of the weights\nmean ← 0.999·mean + 0.001·weight",
            ],
        ),
        (
            lambda: drawings.training_loop(
                Recipe(scale=2, patch_size=24, batch_size=4, warmup_steps=0, ema_decay=0)
            ),
            [
                "LR patches\n4×3×24×24",
                "SR\n4×3×48×48",
                "loss\nmean (SR − HR)²",
                "gradient",
                "Adam\nlr ≤ 0.001,\ndown along a cosine",
                "no EMA: the\nweights themselves",
            ],
        ),
    ),
    "road map": (
        (lambda: drawings.road_map("05"), ["you are here ▾", "05", "27.97"]),
        (drawings.road_map, ["From y = (x ⊗ k)↓s + n to HAT", "23.14"]),
    ),
}
NAMES = [f"{name}, {which}" for name in CASES for which in ("as published", "another")]


@functools.cache
def drawn(name):
    """The drawing of a case, and the renderer that knows the size of its texts."""
    case, which = name.split(", ")
    figure = CASES[case][which == "another"][0]()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure, canvas.get_renderer()


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("name", CASES)
def test_the_sizes_are_those_of_the_configuration(name):
    expected = [of_one for _, of_one in CASES[name]]
    shown = [texts(drawn(f"{name}, {which}")[0]) for which in ("as published", "another")]
    for k in (0, 1):
        assert set(expected[k]) <= set(shown[k])
    assert set(expected[0]) - set(shown[1])  # not said of the other


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_and_nothing_is_cut(name):
    figure, renderer = drawn(name)
    axes = figure.axes[0]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in axes.texts]
    arrows = [
        Line(line)
        for patch in axes.patches
        if isinstance(patch, FancyArrowPatch)
        for line in patch.get_path().to_polygons(patch.get_transform(), closed_only=False)
    ]
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
        inner = box.padded(-1.5)
        assert not any(arrow.intersects_bbox(inner, filled=False) for arrow in arrows), text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across < 1 or down < 1, f"{one!r} and {other!r} overlap"


@pytest.mark.parametrize("name", NAMES)
def test_drawings_fit_on_a_page(name):
    assert drawn(name)[0].get_figwidth() <= 11


def test_every_network_has_its_drawing():
    of_class = {
        rcan.RCAN: drawings.residual_in_residual,
        swinir.SwinIR: drawings.swinir,
        hat.HAT: drawings.hat,
        drct.DRCT: drawings.drct,
        dat.DAT: drawings.dat,
    }
    for network, config in CONFIGURED.values():
        assert of_class[network](config).axes  # an unknown one has no entry


def test_the_weights_of_aim_change_places_between_the_two_blocks():
    figure = drawings.dat_blocks(LIGHT)
    heights = {"channel": [], "pixel": []}
    for text in figure.axes[0].texts:
        for kind, found in heights.items():
            if text.get_text().startswith(f"weight of each\n{kind}"):
                found.append(text.get_position()[1])
    (channel, channel_below), (pixel, pixel_below) = heights.values()
    # what is drawn above weighs the attention, what is below the convolution
    assert channel > pixel > pixel_below > channel_below


def test_the_road_marks_one_notebook_and_knows_all_of_them():
    folder = Path(__file__).parents[2] / "notebooks"
    numbers = {path.name[:2] for path in folder.glob("[0-9][0-9]_*.ipynb")}
    assert numbers == {stop.number for stop in road.STOPS}
    figure = drawings.road_map("08")
    here = next(text for text in figure.axes[0].texts if text.get_text().startswith("you are"))
    marked = [text for text in figure.axes[0].texts if text.get_fontweight() == "bold"]
    names = [text.get_text() for text in marked if text.get_position()[0] == here.get_position()[0]]
    assert names == ["08", "HAT's\nblocks", "you are here ▾", "27.97"]
    assert "you are at 08. 00 Start here: a first result; 01 Degradation: " in figure.alt_text
    with pytest.raises(HatlibError, match="did you mean '08'"):
        drawings.road_map("8")


def test_the_waterfall_adds_up_to_what_papers_report():
    figure = drawings.waterfall({"dat-light-x4": 26.64})
    ax = figure.axes[0]
    rises = [bar.get_height() for bar in ax.patches]
    assert rises == pytest.approx([0.36, 0.16, 0.40, 0.23])
    assert ax.patches[-1].get_y() + rises[-1] == pytest.approx(28.60)
    words = figure.alt_text
    for value in ("SwinIR 27.45", "27.81", "27.97", "28.37", "(HAT-L) 28.60", "here: 26.64"):
        assert value in words
    assert figure.get_supxlabel().count("HAT paper") == 2  # the ablation and the table
    assert ax.get_ylim()[0] < 26.64


def test_a_drawing_says_in_words_what_it_shows():
    words = drawings.rcab().alt_text
    assert words.startswith("Drawing. RCAB: a residual block with channel attention: x, ")
    assert "channel attention 64 → 4 → 64" in words and "\n" not in words


def test_a_row_makes_room_for_its_texts():
    sketch = kit.Sketch("")
    near, far = sketch.row(kit.signal("a"), kit.signal("b"))
    wide, wider = sketch.row(kit.signal("a"), "a long text at the arrow", kit.signal("b"))
    assert far.left - near.right == pytest.approx(kit.GAP)
    length = kit.text_size("a long text at the arrow", kit.LABEL_SIZE)[0]
    assert wider.left - wide.right > length
    with pytest.raises(HatlibError, match="at least one panel"):
        kit.figure()
