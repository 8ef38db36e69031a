import io

import numpy as np
import pytest

from hatlib import HatlibError, attribution, models, plotting
from hatlib.data import builtin
from hatlib.imaging import resize

CAT = builtin.builtin_image("cat")


def drawn(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    from PIL import Image

    return np.asarray(Image.open(buffer).convert("RGB"))


def test_figures_are_opaque_white_and_not_left_to_pyplot():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    picture = drawn(plotting.show_images({"one": CAT, "two": CAT[::2, ::2]}))
    assert plt.get_fignums() == before
    assert (picture[0, 0] == 255).all()


def test_pixels_are_not_smoothed():
    board = np.indices((8, 8)).sum(axis=0) % 2 * np.uint8(255)
    colours = np.unique(drawn(plotting.show_images({"": board.astype(np.uint8)}))[60:-20, 60:-60])
    assert set(colours) <= {0, 255}


def test_the_strip_shows_each_result_with_its_caption():
    hr = CAT[:, :448]
    figure = plotting.strip(hr, {"LR": hr[::4, ::4], "HR": hr}, (10, 20, 64, 64), {"LR": "1 dB"})
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["HR", "LR\n1 dB", "HR\n"]
    shown = figure.axes[2].images[0].get_array()
    assert np.array_equal(shown, CAT[10:74, 20:84])


def test_a_crop_outside_the_image_is_refused():
    with pytest.raises(HatlibError, match="does not lie inside an image of 300×451"):
        plotting.crop(CAT, (280, 0, 64, 64))


def test_curves_have_labels_and_levels():
    figure = plotting.curves(
        {"a": ([0, 1], [1, 2])}, "steps", "PSNR in dB", levels={"bicubic": 1.5}
    )
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps", "PSNR in dB")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "bicubic"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")
    logarithmic = plotting.curves({"a": ([1, 10], [1, 100])}, "r", "share", log_y=True).axes[0]
    assert (logarithmic.get_xscale(), logarithmic.get_yscale()) == ("linear", "log")


def test_a_mosaic_gives_each_map_its_own_scale():
    maps = np.stack([np.eye(3), -0.01 * np.eye(3)])
    sheet = np.asarray(plotting.mosaic(maps, columns=2).axes[0].images[0].get_array())
    assert sheet.shape == (3, 7)
    assert sheet[0, 0] == 1 and sheet[0, 4] == -1


def test_an_overlay_is_dark_gray_and_bright_where_the_map_is_high():
    strength = np.zeros(CAT.shape[:2])
    strength[10, 20], strength[30, 40], strength[50, 60] = 1, 0.05, plotting.FAINTEST / 2
    image = plotting.overlay(CAT, strength).astype(int)
    assert image[10, 20].min() > 180  # the bright end
    assert image[0, 0, 0] == image[0, 0, 1] == image[0, 0, 2] <= 102
    assert image[30, 40, 0] > image[30, 40, 1] + 40  # in between, coloured
    gray = image[50, 60]
    assert gray[0] == gray[1] == gray[2]  # too faint to show


def test_rows_of_attributions_show_di_and_captions_below_each_map():
    lr = CAT[:24, :30]
    result = attribution.lam(models.create("bicubic", 4), lr, (40, 60, 16), steps=2)
    rows = {"cat": (lr, {"bicubic": result}), "again": (lr, {"bicubic": result, "other": result})}
    figure = plotting.attribution_rows(rows, {"again": {"other": "29.10 dB"}})
    axes = figure.axes[:6]
    assert [ax.get_title() for ax in axes] == ["", "bicubic", "other", "", "", ""]
    index = f"DI {result.diffusion_index:.2f}"
    below = [[text.get_text() for text in ax.texts] for ax in axes]
    assert below == [["LR, cat"], [index], [], ["LR, again"], [index], [f"{index}\n29.10 dB"]]
    box = axes[3].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (14.5, 9.5, 4, 4)
    assert figure.axes[6].get_ylim() == pytest.approx((plotting.FAINTEST, 1))  # the scale
    drawn(figure)
    with pytest.raises(HatlibError, match="at least one row"):
        plotting.attribution_rows({})


def test_attributions_show_the_window_of_each_network():
    lr = CAT[:24, :30]
    result = attribution.lam(models.create("bicubic", 4), lr, (40, 60, 16), steps=2)
    figure = plotting.attributions(lr, {"bicubic": result, "again": result})
    index = f"DI {result.diffusion_index:.2f}"
    assert [ax.get_title() for ax in figure.axes[:3]] == [
        "LR 24×30",
        f"bicubic\n{index}",
        f"again\n{index}",
    ]
    assert np.array_equal(figure.axes[4].images[0].get_array(), result.sr[40:56, 60:76])
    box = figure.axes[1].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (14.5, 9.5, 4, 4)
    near = plotting.attributions(lr, {"bicubic": result}, extent=12).axes[0]
    assert np.array_equal(near.images[0].get_array(), lr[6:18, 11:23])
    assert (near.patches[0].get_x(), near.patches[0].get_y()) == (3.5, 3.5)
    with pytest.raises(HatlibError, match="at least one result"):
        plotting.attributions(lr, {})


def test_comparison_shows_the_pictures_and_their_middles():
    hr = builtin.builtin_image("cat")[:240, :360]
    lr = resize.imresize(hr, 1 / 4)
    results = {"bicubic": resize.imresize(lr, 4), "half as bright": hr // 2}
    figure = plotting.comparison(lr, results, hr, {"bicubic": "27.10 dB"})
    axes = figure.axes
    assert [ax.get_title() for ax in axes[:4]] == [
        "LR\n",
        "bicubic\n27.10 dB",
        "half as bright\n",
        "HR\n",
    ]
    middles = [ax.images[0].get_array() for ax in axes[4:]]
    np.testing.assert_array_equal(middles[3], hr[90:150, 150:210])  # a quarter of the shorter side
    np.testing.assert_array_equal(middles[2], hr[90:150, 150:210] // 2)
    np.testing.assert_array_equal(axes[0].images[0].get_array()[::4, ::4], lr)
    assert middles[0].shape == (60, 60, 3)


def test_a_scatter_marks_each_group_and_its_mean():
    figure = plotting.scatter(
        {"a": (np.array([1, 3]), np.array([2, 6])), "b": (np.ones(4), np.zeros(4))}, "DI", "dB"
    )
    ax = figure.axes[0]
    assert [len(points.get_offsets()) for points in ax.collections] == [2, 1, 4, 1]
    assert ax.collections[1].get_offsets().tolist() == [[2, 4]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_intervals_have_a_line_a_label_and_a_colour_a_series():
    series = {
        "HAT": {"buildings": (2.0, 1.5, 2.6), "faces": (2.3, 2.0, 2.5)},
        "RCAN": {"faces": (2.1, 1.9, 2.4)},
    }
    ax = plotting.intervals(series, "gain, dB", points={"RCAN": {"faces": [2.0, 2.2]}}).axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["buildings", "faces"]
    bars, dots, _, other, single = ax.collections
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[1.5, 2.6], [2.0, 2.5]]
    assert dots.get_offsets()[:, 0].tolist() == [2.0, 2.3]
    heights = dots.get_offsets()[:, 1]
    assert heights[0] < 0.5 < heights[1] < other.get_offsets()[0, 1] == single.get_offsets()[0, 1]
    assert single.get_offsets()[:, 0].tolist() == [2.0, 2.2]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first label is on top
    with pytest.raises(HatlibError, match="at least one value"):
        plotting.intervals({"HAT": {}}, "gain, dB")


def test_a_diagram_draws_each_part_and_its_arrows():
    parts = {
        "in": (0, 0, "x", "map"),
        "conv": (3, 1, "3×3", "convolution"),
        "+": (6, 0, "+", "map"),
    }
    arrows = [("in", "conv", "C"), ("conv", "+"), ("in", "+", "", -0.3)]
    figure = plotting.diagram({"a block": (parts, arrows), "again": (parts, [])})
    first, second = figure.axes
    assert first.get_title(loc="left") == "a block"
    texts = [text.get_text() for text in first.texts]
    assert texts == ["x", "3×3", "+", "", "C", "", ""]  # the parts, then the arrows
    assert len(second.texts) == 3
    assert (drawn(figure)[20:-20, 20:-20] < 128).any()
    with pytest.raises(HatlibError, match="an arrow leads to 'out', which is no part of a block"):
        plotting.diagram({"a block": (parts, [("in", "out")])})
    with pytest.raises(HatlibError, match="at least one panel"):
        plotting.diagram({})
