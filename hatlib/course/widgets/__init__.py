"""Explorers: sliders on top of the package. Each is one call in a notebook and returns a widget.

They use only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) share. An explorer's arithmetic is a
plain function of numbers that returns a picture and a caption, and tests call it as such;
`explorer` adds the controls.

`base` has the controls, `inputs` the pictures and networks, `hooks` runs a network and records
it, `drawing` and `overlays` draw. All other modules are explorers.
"""

from hatlib.course.widgets.base import choice, explorer, float_slider, int_slider, stops, switch
from hatlib.course.widgets.before_after import wipe
from hatlib.course.widgets.bias import bias_explorer
from hatlib.course.widgets.conv_scale import conv_scale_explorer
from hatlib.course.widgets.degradation import degradation_explorer
from hatlib.course.widgets.gates import gates_explorer
from hatlib.course.widgets.hat_cost import hat_cost_explorer
from hatlib.course.widgets.lam import lam_explorer
from hatlib.course.widgets.metrics import metrics_explorer
from hatlib.course.widgets.overlap import overlap_explorer
from hatlib.course.widgets.query import query_explorer
from hatlib.course.widgets.srcnn import srcnn_explorer
from hatlib.course.widgets.upload import Photo, ask_on_colab, upload_button, uploaded, your_photo
from hatlib.course.widgets.windows import windows_explorer

__all__ = [
    "Photo",
    "ask_on_colab",
    "bias_explorer",
    "choice",
    "conv_scale_explorer",
    "degradation_explorer",
    "explorer",
    "float_slider",
    "gates_explorer",
    "hat_cost_explorer",
    "int_slider",
    "lam_explorer",
    "metrics_explorer",
    "overlap_explorer",
    "query_explorer",
    "srcnn_explorer",
    "stops",
    "switch",
    "upload_button",
    "uploaded",
    "windows_explorer",
    "wipe",
    "your_photo",
]
