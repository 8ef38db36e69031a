"""hatlib: single-image super-resolution, from the degradation model to the Hybrid Attention
Transformer.

The package behind the course in `notebooks/`, useful without it: MATLAB-exact bicubic, a trusted
evaluation protocol, compact networks, a trainer. Submodules and the names below are imported when
they are first used, so that `import hatlib` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hatlib.version import __version__

# public name → (module, name there); each is imported when it is first used
_PUBLIC = {
    "HatlibError": "errors",
    "Recipe": "training.recipes",
    "adapt": "inference.adapt",
    "builtin_image": "data.builtin",
    "create_model": "models",
    "crop_to_multiple": "imaging.convert",
    "degrade": "imaging.degradation",
    "evaluate": "evaluation.protocol",
    "fit": "training.loop",
    "hello": "system.machine",
    "imresize": "imaging.resize",
    "lam": "attribution",
    "load_dataset": "data.datasets",
    "load_image": "imaging.io",
    "load_model": "weights.files",
    "psnr": "imaging.metrics",
    "save_image": "imaging.io",
    "ssim": "imaging.metrics",
    "to_image": "imaging.convert",
    "to_tensor": "imaging.convert",
    "upscale": "inference.upscale",
}
_NAMES_THERE = {"create_model": "create", "load_dataset": "load", "load_model": "load"}
_SUBMODULES = frozenset(
    (
        "attribution",
        "cli",
        "course",
        "data",
        "errors",
        "evaluation",
        "imaging",
        "inference",
        "models",
        "plotting",
        "system",
        "training",
        "version",
        "weights",
    )
)
__all__ = [
    "HatlibError",
    "Recipe",
    "__version__",
    "adapt",
    "builtin_image",
    "create_model",
    "crop_to_multiple",
    "degrade",
    "evaluate",
    "fit",
    "hello",
    "imresize",
    "lam",
    "load_dataset",
    "load_image",
    "load_model",
    "psnr",
    "save_image",
    "ssim",
    "to_image",
    "to_tensor",
    "upscale",
]

if TYPE_CHECKING:
    from hatlib.attribution import lam
    from hatlib.data.builtin import builtin_image
    from hatlib.data.datasets import load as load_dataset
    from hatlib.errors import HatlibError
    from hatlib.evaluation.protocol import evaluate
    from hatlib.imaging.convert import crop_to_multiple, to_image, to_tensor
    from hatlib.imaging.degradation import degrade
    from hatlib.imaging.io import load_image, save_image
    from hatlib.imaging.metrics import psnr, ssim
    from hatlib.imaging.resize import imresize
    from hatlib.inference.adapt import adapt
    from hatlib.inference.upscale import upscale
    from hatlib.models import create as create_model
    from hatlib.system.machine import hello
    from hatlib.training.loop import fit
    from hatlib.training.recipes import Recipe
    from hatlib.weights.files import load as load_model


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module = importlib.import_module(f"hatlib.{_PUBLIC[name]}")
        return getattr(module, _NAMES_THERE.get(name, name))
    if name in _SUBMODULES:
        return importlib.import_module(f"hatlib.{name}")
    raise AttributeError(f"module 'hatlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, *_SUBMODULES})
