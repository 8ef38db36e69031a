"""Explorers: sliders on top of the package. Each is one call in a notebook and returns a widget.

They use only what ipywidgets 7.7 (Colab) and 8 (JupyterLab) both have. The arithmetic of an explorer is a plain
function of numbers that returns a picture and a caption, which tests call as such; `explorer` adds the controls.
"""

from hatlib.widgets.degradation import degradation_explorer
from hatlib.widgets.frame import choice, explorer, float_slider, int_slider, switch
from hatlib.widgets.hat_cost import hat_cost_explorer
from hatlib.widgets.metrics import metrics_explorer

__all__ = [
    "choice", "degradation_explorer", "explorer", "float_slider", "hat_cost_explorer", "int_slider", "metrics_explorer",
    "switch",
]
