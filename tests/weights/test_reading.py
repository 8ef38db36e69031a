"""Weights of others: wrappings and prefixes are taken off, everything else that a file may hold is
named in one line, and reading takes memory in proportion to the file."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hatlib import HatlibError, models
from hatlib.weights import files
from tests.helpers import reference

Write = Callable[[Path], Path]

RCAN = reference.load("rcan_x2_tiny").tensors
SWINIR = reference.load("swinir_x2_tiny").tensors
HAT = reference.load("hat_x2_tiny").tensors
DRCT = reference.load("drct_x4_tiny").tensors
DAT = reference.load("dat_light_x4_tiny").tensors
SRCNN = models.create("srcnn", 3).state_dict()
ZEROS = {key: 0 * value for key, value in SWINIR.items()}
BLOCK = "layers.0.residual_group.blocks.0"
MASK = "layers.0.residual_group.blocks.1.attn.attn_mask"
INDEX = f"{BLOCK}.attn.relative_position_index"
OFFSETS = "layers.0.blocks.0.attn.attns.0.rpe_biases"
MANY = 10**7
Tensors = dict[str, torch.Tensor]


def under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + key: value for key, value in tensors.items()}


def cast(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}


def pth(content: Any) -> Write:
    def write(folder: Path) -> Path:
        torch.save(content, folder / "w.pth")
        return folder / "w.pth"

    return write


def safetensors(tensors: Tensors, name: str = "w.safetensors", card: Any = None) -> Write:
    def write(folder: Path) -> Path:
        text = card if card is None or isinstance(card, str) else json.dumps(card)
        save_file(tensors, folder / name, metadata=None if text is None else {"hatlib": text})
        return folder / name

    return write


def raw(content: bytes, name: str = "w.pth") -> Write:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def in_basicsr(tensors: Tensors) -> Tensors:
    """The authors' RCAN in the names of BasicSR's, which has no layers for the mean colour."""
    config = reference.load("rcan_x2_tiny").config
    groups = config["n_resgroups"]
    blocks = config["n_resblocks"]
    names = (
        (r"^head\.0\.", "conv_first."),
        (rf"^body\.{groups}\.", "conv_after_body."),
        (rf"^body\.(\d+)\.body\.{blocks}\.", r"body.\1.conv."),
        (r"body\.3\.conv_du\.0", "body.3.attention.1"),
        (r"body\.3\.conv_du\.2", "body.3.attention.3"),
        (r"^body\.(\d+)\.body\.(\d+)\.body\.", r"body.\1.residual_group.\2.rcab."),
        (r"^tail\.0\.", "upsample."),
        (r"^tail\.1\.", "conv_last."),
    )
    renamed = {}
    for key, value in tensors.items():
        if "_mean" not in key:
            for pattern, theirs in names:
                key = re.sub(pattern, theirs, key)
            renamed[key] = value
    return renamed


# --- wrappings ------------------------------------------------------------------------------------

WRAPPED: dict[str, tuple[Write, Tensors]] = {
    "params, safetensors": (safetensors(under("params_ema.", RCAN)), RCAN),
    "DataParallel": (pth(under("module.", HAT)), HAT),
    "DataParallel, safetensors": (safetensors(under("module.", SWINIR)), SWINIR),
    "torch.compile": (pth(under("_orig_mod.", SWINIR)), SWINIR),
    "both": (pth(under("module._orig_mod.", SWINIR)), SWINIR),
    "params of DataParallel": (pth({"params": under("module.", SWINIR)}), SWINIR),
    "Lightning": (
        pth({"state_dict": {**under("net_g.", SWINIR), "net_d.conv0.weight": torch.ones(3)}}),
        SWINIR,
    ),
    "with an optimiser": (
        pth({"model": SWINIR, "optimizer": {"state": {}, "param_groups": []}, "epoch": 4}),
        SWINIR,
    ),
    "an OrderedDict": (pth({"net_g": OrderedDict(SWINIR)}), SWINIR),
    "two levels": (pth({"state_dict": under("model.", RCAN)}), RCAN),
    "the average of two": (pth({"model": ZEROS, "model_ema": SWINIR}), SWINIR),
    "AveragedModel": (pth({"n_averaged": torch.tensor(7), **under("module.", SWINIR)}), SWINIR),
    "half precision": (pth(cast(SWINIR, torch.bfloat16)), cast(SWINIR, torch.bfloat16)),
    "double precision": (pth(cast(SWINIR, torch.float64)), SWINIR),
    "BasicSR's RCAN": (pth({"params": in_basicsr(RCAN)}), RCAN),
    "safetensors named .pth": (safetensors(RCAN, "w.pth"), RCAN),
    "another suffix": (safetensors(RCAN, "w.ckpt"), RCAN),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappings_are_taken_off(name: str, tmp_path: Path) -> None:
    write, tensors = WRAPPED[name]
    for key, value in files.load(write(tmp_path)).state_dict().items():
        assert torch.equal(value, tensors[key].float()), key


def test_a_pth_named_safetensors_loads(tmp_path: Path) -> None:
    pth(RCAN)(tmp_path).rename(tmp_path / "w.safetensors")
    assert files.load(tmp_path / "w.safetensors").scale == 2


def test_what_no_tensor_of_a_hat_tells_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pth({"params_ema": HAT})(tmp_path)
    files.load(path)
    said = capsys.readouterr().err
    assert "no tensor of HAT tells shifted=True" in said and "conv_scale=0.01" in said
    files.load(path, shifted=False, conv_scale=0.01)
    files.load(pth(SWINIR)(tmp_path))  # SwinIR's masks tell
    files.load("hat-nano-x4")  # our files say it all
    assert capsys.readouterr().err == ""


# --- what can't be used ---------------------------------------------------------------------------


def changed(key: str, value: Any, tensors: Tensors = SWINIR) -> Write:
    return pth({**tensors, key: value})


def full(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full((24,), value, dtype=dtype)


def same_size(tensors: Tensors) -> Write:
    return pth({k: v for k, v in tensors.items() if not k.startswith(("upsample", "conv_before"))})


def card(content: Any, tensors: Tensors | None = None) -> Write:
    return safetensors(tensors or {"a": torch.ones(1)}, card=content)


def options(model: str, **options: Any) -> Write:
    return card({"model": model, "scale": 3, "options": options})


def compressed(folder: Path) -> Path:
    """A megabyte that unpacks to a gigabyte, in a file as torch writes it."""
    with (
        zipfile.ZipFile(folder / "w.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("archive/data.pkl", "w", force_zip64=True) as file,
    ):
        file.write(b"\x80\x02X" + struct.pack("<I", 1 << 28))
        for _ in range(256):
            file.write(bytes(1 << 20))
    return folder / "w.pth"


class Allocates:
    """An object whose pickle asks for as many bytes as it likes."""

    def __reduce__(self) -> tuple[type[bytearray], tuple[int]]:
        return bytearray, (1 << 33,)


def fifo(folder: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes with a name")
    os.mkfifo(folder / "w.pth")
    return folder / "w.pth"


def directory(folder: Path) -> Path:
    (folder / "w.pth").mkdir()
    return folder / "w.pth"


def quantized() -> Write:
    weight = torch.quantize_per_tensor(RCAN["head.0.weight"], 0.1, 0, torch.qint8)
    return changed("head.0.weight", weight, RCAN)


EXPANDED = torch.ones(1).expand(10**10)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n"
REFUSED: dict[str, tuple[Write, str]] = {
    "two networks": (pth({"teacher": SWINIR, "student": SWINIR}), "2 networks .'teacher', 'studen"),
    "an optimiser's file": (
        pth({"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4}]}),
        "state of an optimiser",
    ),
    "BasicSR's training state": (
        pth({"epoch": 1, "iter": 5, "optimizers": [{"state": {}}], "schedulers": []}),
        "state of an optimiser",
    ),
    "denoising": (same_size(SWINIR), "at their own size .denoising, JPEG"),
    "gray": (changed("conv_first.weight", torch.ones(24, 1, 3, 3)), "images of 1 channels"),
    "ESRGAN": (
        pth({"conv_first.weight": torch.ones(64, 3, 3, 3), "body.0.rdb1.weight": torch.ones(1)}),
        "are not those of RCAN",
    ),
    # kinds of tensors
    "int": (changed("conv_first.bias", full(1, torch.int64)), "bias is int64 and should be float"),
    "bool": (changed("conv_first.bias", full(1, torch.bool)), "bias is bool and should be float"),
    "complex": (changed("conv_first.bias", full(1, torch.complex64)), "bias is complex64"),
    "int in our own": (
        card(
            {"model": "srcnn", "scale": 3, "options": {}},
            {key: value.to(torch.int8) for key, value in SRCNN.items()},
        ),
        "is int8 and should be floating-point",
    ),
    "sparse": (changed("conv_first.bias", full(1).to_sparse()), r"is sparse \(torch.sparse_coo"),
    "meta": (changed("conv_first.bias", torch.ones(24, device="meta")), "is without values"),
    "quantized": (quantized(), r"is quantized \(torch.qint8"),
    "scalar": (
        changed("conv_first.weight", torch.tensor(3.0)),
        r"weight \(\) is not a convolution",
    ),
    "scalar table": (
        changed(f"{BLOCK}.attn.relative_position_bias_table", full(1)[0]),
        "window_size is 1;",
    ),
    "empty": (changed("conv_first.weight", torch.ones(0, 3, 3, 3)), r"is empty, of shape \(0, 3"),
    "seven axes": (changed("conv_first.weight", torch.ones(1, 1, 1, 1, 1, 1, 7)), "convolution's"),
    "mask of seven axes": (changed(MASK, torch.ones(1, 1, 1, 1, 1, 1, 7)), "not that of windows"),
    "scalar mask": (changed(MASK, torch.tensor(1.0)), "not that of windows"),
    "complex index": (
        changed(INDEX, torch.ones(64, 64, dtype=torch.cfloat)),
        "not that of windows",
    ),
    "NaN": (
        changed("conv_first.bias", full(float("nan"))),
        "bias holds numbers that are not finite",
    ),
    "infinite": (changed("conv_first.bias", full(float("inf"))), "not finite"),
    "beyond float32": (changed("conv_first.bias", full(1e300, torch.float64)), "not finite"),
    "offsets NaN": (
        changed(OFFSETS, torch.full((9, 2), torch.nan), DAT),
        "not a table of the offs",
    ),
    "scalar offsets": (changed(OFFSETS, torch.tensor(1.0), DAT), "not a table of the offsets"),
    "huge offsets": (changed(OFFSETS, torch.full((9, 2), -1e9), DAT), "not a table of the offsets"),
    # names
    "escape sequence": (changed("evil\x1b[2J\nkey", torch.ones(1)), r"'evil\\x1b\[2J key'"),
    "a million letters": (changed("k" * 10**6, torch.ones(1)), "has 1,000,000 letters"),
    "numbers": (pth({0: torch.ones(2), 1: torch.ones(3)}), "are not those of RCAN"),
    "tuples": (pth({("a", "b"): torch.ones(2)}), "a name is tuple"),
    # sizes that names ask for
    "groups": (
        changed(f"layers.{MANY}.residual_group.blocks.0.n", torch.ones(1)),
        "lacks layers.2",
    ),
    "blocks": (
        changed(f"layers.0.residual_group.blocks.{MANY}.n", torch.ones(1)),
        "lacks layers.0",
    ),
    "groups of RCAN": (changed(f"body.{MANY}.body.0.n", torch.ones(1), RCAN), "lacks body.2"),
    "groups of DRCT": (changed(f"layers.{MANY}.swin1.n", torch.ones(1), DRCT), "lacks layers.1"),
    "digits": (changed(f"layers.{'9' * 6000}.residual_group.blocks.0.n", torch.ones(1)), "letters"),
    "expanded": (changed("conv_first.bias", EXPANDED), r"would take 40,00\d,"),
    # sizes that cards ask for
    "card, groups": (options("swinir", depths=[6] * 10**6), "asks for 6,000,000 blocks"),
    "card, RCAN": (options("rcan", groups=MANY), "asks for 10,000,000 blocks"),
    "card, depth": (options("hat", depths=[10**9]), "asks for 1,000,000,000 blocks"),
    "card, channels": (options("swinir", embed_dim=MANY), "asks for embed_dim=10,000,000"),
    "card, window": (options("swinir", window_size=10**5), "asks for window_size=100,000"),
    "card, kernels": (options("srcnn", kernels=[10**6 + 1, 1, 5]), "asks for kernels=1,000,001"),
    # cards that are none
    **{
        f"card {content[:9]}": (card(content), "does not say rightly")
        for content in (
            *(
                "[]",
                "5",
                '"x"',
                "null",
                "[" * 10**5,
                '{"model":"srcnn","scale":' + "9" * 6000 + "}",
            ),
            '{"model":["srcnn"],"scale":3,"options":{}}',
            '{"model":"srcnn","scale":"3","options":{}}',
            '{"model":"srcnn","scale":true,"options":{}}',
            '{"model":"srcnn","scale":3,"options":[1]}',
            '{"model":"srcnn","scale":3,"options":{"x\\u001b[2J":1}}',
        )
    },
    # memory
    "compressed": (compressed, "is compressed and unpacks to 268,435,"),
    "allocates": (raw(pickle.dumps({"a": Allocates()}, protocol=2)), "holds code .*bytearray"),
    "allocates, old form": (raw(pickle.dumps({"a": Allocates()}, protocol=4)), "holds code"),
    # other files
    "web page": (raw(b"\n<!DOCTYPE html><html>"), "but a web page"),
    "web page, safetensors": (raw(b"<HTML><body>", "w.safetensors"), "but a web page"),
    "LFS": (raw(LFS), "but a pointer of Git LFS"),
    "LFS, safetensors": (raw(LFS, "w.safetensors"), "but a pointer of Git LFS"),
    "JSON": (raw(b'{"error": "not found"}'), "but a JSON text"),
    "HDF5": (raw(b"\x89HDF\r\n\x1a\n"), "but an HDF5 file"),
    "gzip": (raw(b"\x1f\x8b\x08"), "but a gzip archive"),
    "empty file": (raw(b""), "but empty"),
    "pipe": (fifo, "not a regular file"),
    "folder": (directory, "is a folder; one file of weights was expected"),
    "a huge header": (raw(struct.pack("<Q", 10**18) + b"{}", "w.safetensors"), "or a damaged one"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.timeout(60)  # some hung
def test_what_cannot_be_used_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    write, said = REFUSED[name]
    path = write(tmp_path)
    with pytest.raises(HatlibError, match=said) as caught:
        files.load(path)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 600 and str(path) in message


def test_nested_mappings_that_share_their_parts_do_not_multiply(tmp_path: Path) -> None:
    content: Any = {"weight": torch.ones(1)}
    for _ in range(40):  # 2⁴⁰ ways to the tensor
        content = {"a": content, "b": content}
    with pytest.raises(HatlibError, match="holds something else than tensors"):
        files.load(pth(content)(tmp_path))
