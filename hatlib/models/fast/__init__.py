"""The same numbers as the readable forward passes of `hatlib.models`, computed faster.

Each function here has the arguments and the result of the code that it stands in for; a module's
attribute `fused` says which of the two runs (`hatlib.models.set_fused`). Nothing else lives here,
and nothing here is needed to understand a network.

A CPU and a GPU want different things. A CPU is fast on what stays in its caches: attention over a
few windows at a time, maps in strips of rows, heads padded to whole vector registers, shifted maps
cut at the border instead of masked. A GPU wants few large kernels: there the map stays whole, and
a layer is one call of torch's `scaled_dot_product_attention`. The functions choose by the tensor's
device; `hatlib.models.fast.gpu` has what is for a GPU alone.
"""

from hatlib.models.fast.attention import fused_attention
from hatlib.models.fast.rows import add_by_rows, upsample_by_rows
from hatlib.models.fast.windows import (
    overlapping_attention,
    rectangular_attention,
    window_attention,
)

__all__ = [
    "add_by_rows",
    "fused_attention",
    "overlapping_attention",
    "rectangular_attention",
    "upsample_by_rows",
    "window_attention",
]
