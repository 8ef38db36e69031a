"""Networks as ONNX files: one file, any height and width, checked before it takes its name."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hatlib.errors import HatlibError
from hatlib.models import Network, set_fused
from hatlib.models.dat import WindowBranch
from hatlib.models.layers import ColourNetwork
from hatlib.models.window_attention import MASKED, attention, partition, reverse
from hatlib.system.atomic import atomic_path

SUFFIX = ".onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INSTALL = 'pip install "hatlib-sr[export]"'
# understood by onnxruntime since 1.14, and by onnxruntime-web
OPSET = 18
# largest difference between the file's result and the network's, in values from 0 to 1
TOLERANCE = 1e-4
# LR images that a file is checked on, height and width in pixels: some sides fill the windows of
# DAT, which pads inside, and some do not
SIZES = ((37, 80), (64, 64), (112, 19))
# the same for networks that want multiples, in steps of at least `STEP` pixels
STEPS = ((3, 5), (4, 4), (7, 1))
STEP = 16
# and the one that is traced. It fills no window: where nothing has to be padded, the exporter
# leaves padding out for good.
TRACED = (45, 77)


@dataclass(frozen=True)
class Written:
    """What was checked of a file."""

    multiple: int  # both sides of an LR image have to be multiples of it
    sizes: list[tuple[int, int]]  # of the LR images, height and width
    difference: float  # the largest between the file's results and the network's


def write(
    model: Network, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> Written:
    """Writes a network as an ONNX file, whole or not at all.

    The file has one input, `lr` (1, 3, h, w) in [0, 1], and one output, `sr` (1, 3, s·h, s·w),
    which may leave [0, 1] by a little. Both sides have to be multiples of the network's
    `padding.multiple`. The metadata say scale, multiple and colour range.

    Args:
        model: a network of `hatlib.models`; it stays as it is.
        path: .onnx.
        metadata: more to say in the file.
    Returns:
        The sizes that it was checked on, and the largest difference.
    Raises:
        HatlibError: packages are missing, the network can't be traced, the file's results differ
            from the network's by more than `TOLERANCE`, a folder that can't be written to.
    """
    if Path(path).suffix != SUFFIX:
        raise HatlibError(f"an ONNX file ends in {SUFFIX}, and {path} does not")
    check_packages()
    multiple = model.padding.multiple
    with atomic_path(path) as temporary:
        program = trace(model)
        described = program.model.metadata_props
        described["scale"] = str(model.scale)
        described["multiple"] = str(multiple)
        described["colours"] = "RGB from 0 to 1"
        described.update(metadata or {})
        with quiet():
            program.save(temporary, external_data=False)
        difference, sizes = check(model, temporary)
        if not difference <= TOLERANCE:
            raise HatlibError(
                f"{path} is not written: its results would differ from the network's by "
                f"{difference:.1e}, more than {TOLERANCE:.0e}"
            )
    return Written(multiple, sizes, difference)


def check_packages() -> None:
    """Raises HatlibError unless all packages are there."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise HatlibError(f"ONNX needs {', '.join(missing)}: {INSTALL}")


# --- tracing --------------------------------------------------------------------------------------


class Traceable(nn.Module):
    """A copy of a network, as the exporter follows it: without the padding, which is the caller's.

    What is traced stays out of the network itself, and of every cache.
    """

    def __init__(self, model: Network):
        super().__init__()
        self.network = copy.deepcopy(model).cpu().float().eval()
        for layer in self.network.modules():
            if isinstance(layer, WindowBranch):
                set_fused(layer, False)
                layer.reference = partial(attend_in_windows, layer)  # type: ignore[method-assign]

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w), both sides multiples of the padding's → (1, 3, s·h, s·w)."""
        if isinstance(self.network, ColourNetwork):
            return self.network.upscale_rgb(lr)
        return self.network(lr)


def attend_in_windows(branch: WindowBranch, qkv: torch.Tensor) -> torch.Tensor:
    """`WindowBranch.reference` for a map whose size is a symbol: with a mask for each window,
    where the original sorts the windows by their mask. (N, H, W, 3, C/2) → (N, H, W, C/2)."""
    _, rows, columns, _, _ = qkv.shape
    down, right = branch.shift
    shifted = torch.roll(qkv, (-down, -right), dims=(1, 2))
    windows = partition(shifted.flatten(3), *branch.window)  # (B, T, 3·C/2)
    # three of (B, h/2, T, d)
    q, k, v = windows.unflatten(-1, (3, branch.heads, -1)).permute(2, 0, 3, 1, 4)
    mask = branch_mask(rows, columns, branch) if down else None
    attended = attention(q, k, v, branch.bias(), mask)
    merged = attended.transpose(1, 2).flatten(2)  # (B, T, C/2)
    x = reverse(merged, *branch.window, rows, columns)
    return torch.roll(x, (down, right), dims=(1, 2))


def branch_mask(rows: int, columns: int, branch: WindowBranch) -> torch.Tensor:
    """What keeps tokens apart that were no neighbours before the shift: (windows, T, T)."""
    height, width = branch.window
    down, right = branch.shift
    below = torch.arange(rows) >= rows - down  # what came from the other end
    beside = torch.arange(columns) >= columns - right
    parts = 2 * below[:, None] + beside[None, :].long()  # (H, W)
    tokens = partition(parts[None, :, :, None], height, width)[..., 0]  # (windows, T)
    return torch.where(tokens[:, :, None] == tokens[:, None, :], 0.0, MASKED)


def trace(model: Network) -> Any:
    """The network as torch's exporter gives it (torch.onnx.ONNXProgram)."""
    multiple = model.padding.multiple
    rows = torch.export.Dim("rows", min=2, max=4096)
    columns = torch.export.Dim("columns", min=2, max=4096)
    size = TRACED if multiple == 1 else [side * multiple for side in STEPS[0]]
    lr = torch.rand(1, 3, *size)
    sides = {2: rows, 3: columns} if multiple == 1 else {2: multiple * rows, 3: multiple * columns}
    with quiet(), torch.inference_mode(False), torch.no_grad():
        try:
            program = torch.onnx.export(
                Traceable(model),
                (lr,),
                dynamo=True,
                dynamic_shapes=(sides,),
                input_names=["lr"],
                output_names=["sr"],
                opset_version=OPSET,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = error.__cause__ or error
            said = " ".join(str(reason).split())[:200]
            raise HatlibError(
                f"torch's exporter cannot follow {type(model).__name__}: {said}"
            ) from error
    assert program is not None  # as dynamo=True has it
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in which file of this machine each step stands
    return program


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's advice to its own developers."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", *PACKAGES)}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


# --- checking -------------------------------------------------------------------------------------


def check(model: Network, path: Path) -> tuple[float, list[tuple[int, int]]]:
    """The largest difference between a file's results and the network's, and the LR sizes tried."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    multiple = model.padding.multiple
    step = -(-STEP // multiple) * multiple
    sizes = [(step * down, step * right) for down, right in STEPS]
    if multiple == 1:
        sizes = list(SIZES)
    differences = []
    for height, width in sizes:
        lr = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            expected = model(lr)
        (result,) = session.run(None, {"lr": lr.numpy()})
        differences.append(float((torch.from_numpy(result) - expected).abs().max()))
    return max(differences), sizes
