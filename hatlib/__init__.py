"""hatlib: single-image super-resolution, from the degradation model to the Hybrid Attention Transformer.

The package behind the course in `notebooks/`, useful without it: MATLAB-exact bicubic, a trusted evaluation
protocol, compact networks, a trainer. Submodules and the names below are imported when they are first used,
so that `import hatlib` costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Threads that wait for work look out for it for a moment and then sleep. Without the moment, the small operations of
# small networks get nothing from a second core; without the sleep, training beside a second busy process (another
# notebook, a browser) was up to four times slower. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "4000")

# name that users type → module that defines it
_NAMES = {
    "HatlibError": "errors",
    "hello": "runtime",
    "load_image": "images",
    "save_image": "images",
    "upscale": "inference",
    "evaluate": "evaluation",
}
_MODULES = frozenset({
    "errors", "files", "recorded", "runtime", "images", "resize", "facades", "pictures", "degradation", "metrics",
    "downloads", "catalogue", "sampling", "datasets", "models", "weights", "checkpoints", "inference", "evaluation",
    "overview", "recipes", "training", "attribution", "plotting", "reproduction", "widgets", "exercises", "doctor",
    "course", "cli",
})
__all__ = ["HatlibError", "evaluate", "hello", "load_image", "save_image", "upscale"]

if TYPE_CHECKING:
    from hatlib.errors import HatlibError
    from hatlib.evaluation import evaluate
    from hatlib.images import load_image, save_image
    from hatlib.inference import upscale
    from hatlib.runtime import hello


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"hatlib.{_NAMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"hatlib.{name}")
    raise AttributeError(f"module 'hatlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_MODULES})
