import io
import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from hatlib import HatlibError, attribution, models, plotting
from hatlib.data import builtin
from hatlib.imaging import resize
from hatlib.weights import catalogue

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


def test_a_logarithmic_scatter_has_plain_numbers_at_its_ticks():
    groups = {"a": (np.array([0.9, 32.0]), np.zeros(2))}
    ax = plotting.scatter(groups, "DI", "dB", log_x=True).axes[0]
    ax.figure.canvas.draw()
    assert ax.get_xscale() == "log"
    low, high = ax.get_xlim()
    shown = [
        text.get_text() for text in ax.get_xticklabels() if low <= text.get_position()[0] <= high
    ]
    assert shown == ["1", "2", "5", "10", "20"]


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


# --- one look for each method ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "method"),
    [
        ("HAT", "HAT"),
        ("hat-nano-x4", "HAT"),
        ("HAT (nano)", "HAT"),
        ("hat-x4-imagenet", "HAT"),
        ("SRCNN 9-5-5, here", "SRCNN"),
        ("RCAN nano", "RCAN"),
        ("dat-light-x4", "DAT"),
        ("bicubic, measured here", "bicubic"),
        ("what LR can represent", None),  # "hat" inside a word
        ("data", None),
        ("HAT − SwinIR", None),  # two of them
        ("Gaussian, σ 1.6", None),
    ],
)
def test_a_label_names_its_method(label, method):
    assert plotting.method_of(label) == method


def test_every_network_and_every_weight_has_its_look():
    for name in [*models.names(), *catalogue.CATALOGUE]:
        assert plotting.method_of(name), f"plotting.METHODS has no look for {name}"


def test_a_method_looks_the_same_in_every_figure():
    first = plotting.looks(["bicubic", "Gaussian", "hat-nano-x4"])
    second = plotting.looks(["HAT (nano)", "bicubic", "SwinIR"])
    assert first[0] == second[1] == plotting.METHODS["bicubic"]
    assert first[2] == second[0] == plotting.METHODS["HAT"]
    assert first[1].colour not in {look.colour for look in plotting.METHODS.values()}
    # in a plot, and in points and intervals
    steps = ([0, 1], [1, 2])
    line = plotting.curves({"a": steps, "SwinIR": steps}, "steps", "dB").axes[0].lines[1]
    points = plotting.scatter({"swinir-nano-x4": steps}, "DI", "dB").axes[0].collections[0]
    bars = plotting.intervals({"SwinIR": {"x": (1, 0, 2)}}, "dB").axes[0].collections[0]
    colour = plotting.METHODS["SwinIR"].colour
    assert line.get_color() == colour and line.get_marker() == plotting.METHODS["SwinIR"].marker
    assert to_hex(points.get_facecolor()[0]) == to_hex(bars.get_color()[0]) == colour


def test_two_lines_of_one_method_differ_in_line_and_marker():
    one, other = plotting.looks(["HAT from scratch", "HAT, pre-trained"])
    assert one.colour == other.colour
    assert one.dash != other.dash and one.marker != other.marker


# What the eye without green cones receives (Machado et al. 2009, severity 1), for linear RGB.
DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])


def lightness_and_hue(colour, seen=None):
    """CIE L*a*b* of a colour, as a reader sees it."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                        for c in to_rgb(colour))  # fmt: skip
    linear = np.clip((np.eye(3) if seen is None else seen) @ (red, green, blue), 0, 1)
    to_xyz = np.array(
        [[0.4339, 0.3762, 0.1899], [0.2126, 0.7152, 0.0722], [0.0177, 0.1095, 0.8729]]
    )
    xyz = to_xyz @ linear
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", [None, DEUTERANOPIA], ids=["all cones", "no green cones"])
@pytest.mark.parametrize(
    "table", [plotting.METHODS.values(), plotting.OTHERS], ids=["methods", "others"]
)
def test_looks_are_told_apart_by_all_readers(table, seen):
    for one, other in itertools.combinations(table, 2):
        assert one.dash != other.dash and one.marker != other.marker
        distance = lightness_and_hue(one.colour, seen) - lightness_and_hue(other.colour, seen)
        assert np.linalg.norm(distance) > 12, (one, other)  # 2.3 is just noticeable


def test_points_are_drawn_on_the_line_of_their_formula():
    line = {"gain 0.1": ([0, 1, 2], [0, 1, 2])}
    figure = plotting.curves(line, "signal", "variance", points={"gain 0.1": ([0, 2], [0.1, 1.9])})
    formula, measured = figure.axes[0].lines
    assert formula.get_marker() == "None" and measured.get_linestyle() == "None"
    assert formula.get_color() == measured.get_color()
    assert measured.get_label() == "gain 0.1, measured"
    with pytest.raises(HatlibError, match="no line 'other'"):
        plotting.curves(line, "signal", "variance", points={"other": ([0], [0])})


# --- scales, axes, words --------------------------------------------------------------------------


def test_maps_have_a_scale_and_axes_where_asked_for():
    maps = {"one": np.zeros((4, 4)), "two": np.ones((4, 4))}
    figure = plotting.show_images(maps, x="key", y="query", bar="weight", vmin=0, vmax=1)
    assert [ax.get_xlabel() for ax in figure.axes[:2]] == ["key", "key"]
    assert figure.axes[0].axison
    assert figure.axes[2].get_ylabel() == "weight" and figure.axes[2].get_ylim() == (0, 1)
    assert not plotting.show_images(maps).axes[0].axison
    with pytest.raises(HatlibError, match="vmin and vmax"):
        plotting.show_images(maps, bar="weight")
    with pytest.raises(HatlibError, match="all in colour"):
        plotting.show_images({"photo": CAT}, bar="weight", vmin=0, vmax=1)


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (lambda: plotting.show_images({"HR": CAT, "LR,\n×4": CAT}), "Pictures: HR; LR, ×4."),
        (lambda: plotting.show_images({"": CAT}), "A picture."),
        (
            lambda: plotting.show_images({"map": np.eye(3)}, bar="weight", vmin=0, vmax=1),
            "Pictures: map. The colours show weight.",
        ),
        (
            lambda: plotting.curves(
                {"HAT": ([0, 1], [1, 2])}, "steps", "PSNR in dB", {"bicubic": 1}
            ),
            "Plot of PSNR in dB against steps: HAT; bicubic.",
        ),
        (
            lambda: plotting.intervals({"HAT": {"faces": (1, 0, 2)}}, "gain, dB"),
            "Values along gain, dB, for faces: HAT.",
        ),
    ],
)
def test_a_figure_says_what_it_shows(figure, words):
    assert plotting.describe(figure()) == words


def test_notebooks_get_the_words_beside_the_picture():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import select_figure_formats

    shell = InteractiveShell()
    select_figure_formats(shell, {"png"})
    data, metadata = shell.display_formatter.format(plotting.show_images({"cat": CAT}))
    assert data["image/png"] and data["text/plain"].startswith("<Figure")
    assert metadata == {"image/png": {"alt": "Pictures: cat."}}
    figure = plotting.show_images({"cat": CAT})
    plotting.set_alt_text(figure, "A cat on a sofa.")
    assert shell.display_formatter.format(figure)[1]["image/png"]["alt"] == "A cat on a sofa."


def test_names_may_have_a_dollar_in_them():
    name = "a$b_{$"
    figures = [
        plotting.show_images({name: np.zeros((8, 8, 3), np.uint8)}),
        plotting.intervals({name: {name: (1.0, 0.0, 2.0)}}, x=name),
    ]
    for figure in figures:
        figure.savefig(io.BytesIO())  # as a formula it would be wrong, and an error
