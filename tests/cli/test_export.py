"""hatlib export: what it writes, refuses and says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from hatlib import models
from hatlib.cli import app
from hatlib.cli.results import RECORD
from hatlib.weights import files, onnx_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the weights of a network in swin.safetensors."""
    files.save(models.create("swinir-nano"), tmp_path / "swin.safetensors", "swinir-nano")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hatlib(command: str) -> int:
    return app.main(command.split())


BAD = {
    "no layout": ("swin.safetensors w.safetensors", "say in which layout w.safetensors is to be"),
    "unknown layout": ("swin.safetensors w.pth --layout orignal", "did you mean 'original'?"),
    "a layout of ONNX": ("bicubic w.onnx --layout original", "ONNX has one layout"),
    "suffix": ("bicubic w.ckpt", "has to end in .onnx, .safetensors, .pth"),
    "no folder": ("bicubic out/w.onnx", "the folder out does not exist"),
    "its own input": (
        "swin.safetensors swin.safetensors --layout original",
        "is an input of this command",
    ),
    "nobody's layout": (
        "hat-nano-x4 w.pth --layout original",
        "this HAT has no original layout: its authors' code has no upsampler",
    ),
    "unknown": ("hat-nano-x5 w.onnx", "did you mean 'hat-nano-x4'?"),
    "scale": ("hat-nano-x4 w.onnx --scale 2", "hat-nano-x4 upscales ×4"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ())  # these errors come without them
    command, message = BAD[case]
    assert hatlib(f"export {command}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert [path.name for path in folder.iterdir()] == ["swin.safetensors"]


def test_original_layout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hatlib("export swinir-nano-x4 w.safetensors --layout original") == 0
    said = capsys.readouterr().out
    assert said.startswith("w.safetensors: ") and "×4, as SwinIR's authors have it" in said
    with safe_open("w.safetensors", framework="pt") as file:
        metadata = file.metadata()
        assert any(key.endswith("relative_position_index") for key in file.keys())  # noqa: SIM118
    assert metadata == {
        "format": "pt",
        "weights": "swinir-nano-x4",
        "sha256": files.fingerprint(files.load("swinir-nano-x4")),
        "licence": files.TRAINED_LICENCE,
    }
    # our own file may be written again, another's not without --overwrite
    assert hatlib("export swin.safetensors w.safetensors --layout original") == 0
    Path("w.safetensors").write_text("somebody else's")
    assert hatlib("export swin.safetensors w.safetensors --layout original") == 2
    assert Path("w.safetensors").read_text() == "somebody else's"
    assert hatlib("export swin.safetensors w.safetensors --layout original --overwrite") == 0
    made = [json.loads(line)["made"] for line in (folder / RECORD).read_text().splitlines()]
    assert [entry["command"] for entry in made] == ["export"] * 3
    assert "licence" not in made[1]


def test_onnx(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason=f"needs {onnx_file.INSTALL}")
    assert hatlib("export srcnn-x4 net.onnx") == 0
    said = capsys.readouterr().out
    assert "×4, LR of any size; on 80×37, 64×64, 19×112 at most" in said
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["licence"] == files.TRAINED_LICENCE
    assert metadata["sha256"] == files.fingerprint(files.load("srcnn-x4"))


def test_onnx_without_its_packages(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ("no_such_package",))
    assert hatlib("export srcnn-x4 net.onnx") == 2
    assert onnx_file.INSTALL in capsys.readouterr().err
