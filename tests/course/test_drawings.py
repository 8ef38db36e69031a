"""Drawings show the sizes of the network that they draw."""

from hatlib.course import drawings
from hatlib.models.dat import PRESETS


def texts(figure, panel):
    return [text.get_text() for text in figure.axes[panel].texts]


def test_dat_is_drawn_with_the_sizes_of_its_configuration():
    light = drawings.dat_blocks(PRESETS["dat-light"])
    assert "attention in windows\nof 8×32 and of 32×8" in texts(light, 0)
    assert "attention among the\n10 channels of a head" in texts(light, 1)
    assert "the other half: 60" in texts(light, 2)
    small = drawings.dat_blocks(PRESETS["dat-s"])
    assert "attention in windows\nof 8×16 and of 16×8" in texts(small, 0)
    assert "attention among the\n30 channels of a head" in texts(small, 1)


def test_the_weights_of_aim_change_places_between_the_two_blocks():
    figure = drawings.dat_blocks(PRESETS["dat-light"])
    height = [
        {text.get_text(): text.get_position()[1] for text in ax.texts} for ax in figure.axes[:2]
    ]
    # what is drawn above weighs the attention, what is below the convolution
    assert height[0][drawings.PER_CHANNEL] > 0 > height[0][drawings.PER_PIXEL]
    assert height[1][drawings.PER_PIXEL] > 0 > height[1][drawings.PER_CHANNEL]
