"""hatlib.evaluation.reproduction: tables that can be trusted, and that an interrupted run finishes
as if it had not been."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hatlib import HatlibError, models, plotting
from hatlib.data import builtin, datasets
from hatlib.evaluation import protocol, reproduction
from hatlib.imaging import io
from hatlib.system import devices, machine
from hatlib.weights import files
from tests.helpers import ROOT


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("cat", "coffee", "rocket"):
        io.save_image(folder / f"{name}.png", builtin.builtin_image(name)[100:148, 100:164])
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network that differs from bicubic."""
    torch.manual_seed(0)
    files.save(models.create("srcnn", 4), tmp_path / "mine.safetensors", "srcnn")
    return tmp_path / "mine.safetensors"


def by_image(folder: Path, model: str) -> list[dict[str, str]]:
    (file,) = folder.glob(f"*{model}*.csv")
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_the_means_are_those_of_evaluate(photos: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    baseline, mine = reproduction.run([str(weights)], [str(photos)], out)
    assert (baseline.model, mine.model, mine.images) == ("bicubic", str(weights), 3)
    pairs = datasets.load(photos)
    for row, network in ((baseline, models.create("bicubic")), (mine, files.load(weights))):
        mean = protocol.evaluate(network, pairs).mean(numeric_only=True)
        assert row.psnr == pytest.approx(mean.psnr, abs=1e-9) and row.ssim == pytest.approx(
            mean.ssim, abs=1e-9
        )
    assert (
        baseline.gain == 0
        and mine.gain == pytest.approx(mine.psnr - baseline.psnr)
        and mine.gain != 0
    )
    assert [row["name"] for row in by_image(out, "mine")] == ["cat", "coffee", "rocket"]
    everything = list(
        csv.DictReader((out / "reproduce.csv").read_text(encoding="utf-8").splitlines())
    )
    assert [(row["image"], row["lr"]) for row in everything] == 2 * [
        (name, "matlab") for name in pairs.names
    ]
    assert np.mean([float(row["gain"]) for row in everything[3:]]) == pytest.approx(mine.gain)
    assert {row["weights"] for row in everything[:3]} == {""} and everything[3][
        "weights"
    ].startswith("sha256:")
    record = json.loads((out / "reproduce.json").read_text(encoding="utf-8"))
    assert (
        record["rows"][1]["psnr"] == mine.psnr and record["machine"]["torch"] == torch.__version__
    )
    assert record["weights"]["bicubic"]["tensors_sha256"] == ""
    assert record["weights"][str(weights)]["tensors_sha256"] == files.fingerprint(
        files.load(weights)
    )
    text = (out / "reproduce.md").read_text(encoding="utf-8")
    assert (
        "3 images" in text
        and protocol.protocol(4) in text
        and f"| {mine.psnr:.2f} | {mine.ssim:.4f} |" in text
    )


def test_an_interrupted_run_goes_on_and_ends_with_the_same_table(
    photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reproduction.run([str(weights)], [str(photos)], tmp_path / "whole")
    out, measured = tmp_path / "out", []
    evaluate = protocol.evaluate

    def stops(network, pairs, **options):  # at the second image, after bicubic
        measured.append(pairs[0].name)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return evaluate(network, pairs, **options)

    monkeypatch.setattr(protocol, "evaluate", stops)
    with pytest.raises(KeyboardInterrupt):
        reproduction.run([str(weights)], [str(photos)], out)
    assert not (out / "reproduce.json").exists()
    first = by_image(out, "mine")
    assert [len(first), len(by_image(out, "bicubic"))] == [1, 2]
    with next(out.glob("*mine*.csv")).open("a") as file:
        file.write("coffee,31.2")  # as much of a line as was written when the power failed
    again = reproduction.run([str(weights)], [str(photos)], out)
    assert "cat" not in measured[4:], "what was measured is not measured again"
    assert by_image(out, "mine")[0] == first[0]
    for row, expected in zip(again, whole, strict=True):
        assert (row.psnr, row.ssim, row.gain, row.images) == (
            expected.psnr,
            expected.ssim,
            expected.gain,
            3,
        )
    count = len(measured)
    assert reproduction.run([str(weights)], [str(photos)], out) == again
    assert len(measured) == count


def test_other_weights_photos_and_precision_are_measured_anew(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _, before = reproduction.run([str(weights)], [str(photos)], out, limit=1)
    torch.manual_seed(1)
    files.save(models.create("srcnn", 4), weights, "srcnn")
    _, after = reproduction.run([str(weights)], [str(photos)], out, limit=1)
    assert after.psnr != before.psnr and len(by_image(out, "mine")) == 1
    io.save_image(photos / "cat.png", builtin.builtin_image("cat")[50:98, 100:164])
    _, other = reproduction.run([str(weights)], [str(photos)], out, limit=1)
    assert other.psnr != after.psnr
    conditions = by_image(out, "mine")[0]["conditions"]
    reproduction.run([str(weights)], [str(photos)], out, limit=1, precision="bf16")
    assert by_image(out, "mine")[0]["conditions"] != conditions


def test_ucla_is_the_folder_or_a_stand_in_that_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path))
    with pytest.raises(HatlibError, match=r"put them, or photos of another campus, into .*ucla"):
        datasets.load("ucla")
    (row,) = reproduction.run(["bicubic"], ["ucla"], tmp_path / "out", limit=1)
    assert row.data == "stand-in for UCLA (built-in pictures), the beginning" and row.survey is None
    photos.rename(tmp_path / "ucla")
    assert datasets.load("ucla").names == ["cat", "coffee", "rocket"]
    (row,) = reproduction.run(["bicubic"], ["ucla"], tmp_path / "out")
    assert (row.data, row.images) == ("UCLA", 3)


def test_values_of_others_stand_beside_whole_sets_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, photos: Path
) -> None:
    pairs = datasets.load(photos)
    monkeypatch.setattr(datasets, "load", lambda name, scale, limit=None, **_: pairs[:limit])
    monkeypatch.setitem(
        datasets.CATALOGUE,
        "urban100",
        datasets.CATALOGUE["urban100"].__class__(
            **{**vars(datasets.CATALOGUE["urban100"]), "files": 3}
        ),
    )
    (row,) = reproduction.run(["bicubic"], ["urban100"], tmp_path / "out")
    assert row.reported is not None and (row.reported.psnr, row.reported.ssim) == (23.14, 0.6577)
    assert reproduction.cells(row)[5:7] == [
        "23.14 / 0.6577",
        f"{row.psnr - 23.14:+.2f} / {row.ssim - 0.6577:+.4f}",
    ]
    assert "psnr_bi" in (tmp_path / "out" / "reproduce.md").read_text(encoding="utf-8")
    (row,) = reproduction.run(["bicubic"], ["urban100"], tmp_path / "out", limit=2)
    assert row.reported is None and row.images == 2 and row.data == "Urban100, the beginning"
    text = (tmp_path / "out" / "reproduce.md").read_text(encoding="utf-8")
    assert (
        "## Urban100, the beginning: 2 images" in text and "papers" not in text
    )  # a column without values
    assert reproduction.SURVEY["hat-x4-imagenet", "urban100"].psnr == 28.3642


def test_a_part_of_a_set_has_rows_that_the_whole_goes_on_with(photos: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", []

    def count(items, title):
        said.append((len(items), title))
        return items

    (part,) = reproduction.run(["bicubic"], [str(photos)], out, every=2, progress=count)
    assert (part.data, part.images) == (f"{photos}, one image in 2", 2)
    (whole,) = reproduction.run(["bicubic"], [str(photos)], out, progress=count)
    assert said == [
        (2, f"{photos}: 2 of 2 images to measure"),
        (1, f"{photos}: 1 of 3 images to measure"),
    ]
    assert whole.images == 3 and [row["name"] for row in by_image(out, "bicubic")] == [
        "cat",
        "rocket",
        "coffee",
    ]
    with pytest.raises(HatlibError, match="every is 1 for all images, 10 for each tenth, got 0"):
        reproduction.run(["bicubic"], [str(photos)], out, every=0)


def test_another_way_to_make_lr_has_files_and_a_protocol_of_its_own(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (usual,) = reproduction.run(["bicubic"], [str(photos)], out)
    (row,) = reproduction.run(["bicubic"], [str(photos)], out, lr="torch")
    assert "LR torch bicubic as it is" in row.protocol and "LR MATLAB bicubic" in usual.protocol
    assert row.psnr < usual.psnr, "LR without antialias is full of aliasing"
    assert (
        len(list(out.glob("*-lr-torch-bicubic.csv"))) == 1
        and len(list(out.glob("*-bicubic.csv"))) == 2
    )


def measured_anew(folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many images a run measures in a folder that an earlier run has filled."""
    evaluate = protocol.evaluate
    count = 0

    def counts(*args: Any, **options: Any) -> pd.DataFrame:
        nonlocal count
        count += 1
        return evaluate(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(protocol, "evaluate", counts)
        reproduction.run(["bicubic"], [str(photos)], folder, limit=1)
    return count


def test_rows_of_another_numeric_code_or_torch_are_measured_anew(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    reproduction.run(["bicubic"], [str(photos)], out, limit=1)
    assert measured_anew(out, photos, monkeypatch) == 0
    monkeypatch.setattr(protocol, "NUMERICS", protocol.NUMERICS + 1)
    assert measured_anew(out, photos, monkeypatch) == 1
    assert measured_anew(out, photos, monkeypatch) == 0
    monkeypatch.setattr(torch, "__version__", "99.1.0")
    assert measured_anew(out, photos, monkeypatch) == 1
    monkeypatch.setattr(torch, "__version__", "99.1.2+cpu")  # a fix, and how it was built
    assert measured_anew(out, photos, monkeypatch) == 0


# of the package, what a run needs no copy of
LEFT_OUT = shutil.ignore_patterns("__pycache__", "widgets", "*.png")

COPY = """
import shutil, sys
from pathlib import Path
import hatlib
from hatlib.evaluation import reproduction
assert Path(hatlib.__file__).parent == Path(sys.argv[1]) / "hatlib"
(row,) = reproduction.run(["bicubic"], [sys.argv[2]], sys.argv[3], limit=1)
"""


def test_an_edited_comment_throws_no_row_away(photos: Path, tmp_path: Path) -> None:
    """A copy of the package in which every module begins with another comment takes the rows that
    this one has measured."""
    out = tmp_path / "out"
    reproduction.run(["bicubic"], [str(photos)], out, limit=1)
    (file,) = out.glob("*bicubic*.csv")
    before = file.read_bytes()
    copied = shutil.copytree(ROOT / "hatlib", tmp_path / "hatlib", ignore=LEFT_OUT)
    for module in copied.rglob("*.py"):
        module.write_text(
            "# another comment\n" + module.read_text(encoding="utf-8"), encoding="utf-8"
        )
    command = [sys.executable, "-c", COPY, str(tmp_path), str(photos), str(out)]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path
    )
    assert file.read_bytes() == before  # the seconds, too, are those of the first run


def test_the_device_is_named_where_it_is_not_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.create("hat-nano")
    monkeypatch.setattr(devices, "device", lambda: torch.device("cpu"))
    assert reproduction.how_computed(model, "fp32") == "fp32"
    monkeypatch.setattr(devices, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(machine, "hardware", lambda: "NVIDIA L4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 9))
    assert reproduction.how_computed(model, "fp32") == "fp32 on NVIDIA L4"
    assert reproduction.how_computed(model, "auto") == "tf32 on NVIDIA L4"


def test_what_determines_the_numbers(photos: Path) -> None:
    test = reproduction.open_set(str(photos))
    usual = reproduction.conditions(test, "abc", "fp32")
    assert usual == reproduction.conditions(reproduction.open_set(str(photos)), "abc", "fp32")
    others = {
        "weights": reproduction.conditions(test, "xyz", "fp32"),
        "precision": reproduction.conditions(test, "abc", "bf16"),
        "device": reproduction.conditions(test, "abc", "fp32 on Tesla T4"),
        "protocol": reproduction.conditions(
            reproduction.open_set(str(photos), lr="pil"), "abc", "fp32"
        ),
        "files": reproduction.conditions(test._replace(state="another"), "abc", "fp32"),
    }
    assert len({usual, *others.values()}) == 6, others


def test_the_gain_on_a_gray_image_is_over_bicubic_in_rgb(tmp_path: Path) -> None:
    """Bicubic's own row keeps the gray file, as its reported value has it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    gray = builtin.builtin_image("camera")[100:148, 100:164, 0]
    io.save_image(photos / "gray.png", gray)
    baseline, nano = reproduction.run(["rcan-nano-x4"], [str(photos)], tmp_path / "out")
    difference = 20 * np.log10(255 / 219)
    assert nano.gain == pytest.approx(nano.psnr - baseline.psnr - difference, abs=1e-6)
    again = reproduction.run(["rcan-nano-x4"], [str(photos)], tmp_path / "out")
    assert again[1].gain == nano.gain


def test_strips_are_drawn_once_and_again_when_they_are_gone(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    reproduction.run(["bicubic"], [str(photos)], out, draw=plotting.comparison)
    strips = sorted(out.glob("*.png"))
    assert len(strips) == 3
    before = io.load_image(strips[1])
    strips[1].unlink()
    times = [path.stat().st_mtime_ns for path in (strips[0], strips[2])]
    reproduction.run(["bicubic"], [str(photos)], out, draw=plotting.comparison)
    np.testing.assert_array_equal(io.load_image(strips[1]), before)
    assert [path.stat().st_mtime_ns for path in (strips[0], strips[2])] == times


def test_another_scale_is_refused(tmp_path: Path) -> None:
    files.save(models.create("srcnn", 2), tmp_path / "two.safetensors", "srcnn")
    with pytest.raises(HatlibError, match=r"two.safetensors upscales ×2, and ×4 is measured"):
        reproduction.run([str(tmp_path / "two.safetensors")], ["builtin"], tmp_path / "out")


HEAD = "name,psnr,ssim,seconds,bicubic,conditions\n"
GOOD = "b,30.5,0.9,1.0,28.0,now\n"
DAMAGED_ROWS: list[str | bytes] = [
    "a,,,,,now\n",
    "a,x,y,z,w,now\n",
    "a,30\n",
    "a,30,0.5,1,1,5,now\n",
    "a,nan,1,1,1,now\n",
    "a,30,5,1,1,now\n",
    "a,30,0.5,-1,1,now\n",
    "a," + "9" * 200_000 + ",1,1,1,now\n",
    "a" * 200_000 + ",1,1,1,1,now\n",
    "a\0,1,1,1,1,now\n",
    '"a\n',
    b"\xff\xfe\n",
    b"\0" * 1000 + b"\n",
]


@pytest.mark.parametrize("number", range(len(DAMAGED_ROWS)))
def test_a_damaged_row_is_measured_again_and_the_file_is_kept(tmp_path: Path, number: int) -> None:
    row = DAMAGED_ROWS[number]
    text = HEAD.encode() + (row if isinstance(row, bytes) else row.encode()) + GOOD.encode()
    file = tmp_path / "set-bicubic.csv"
    file.write_bytes(text)
    log = reproduction.Log(file, "now")
    assert log.rows == {"b": (30.5, 0.9, 1.0, 28.0)}
    assert file.read_text() == HEAD + GOOD
    assert (tmp_path / "set-bicubic.csv.damaged").read_bytes() == text


def test_half_a_line_is_no_damage(tmp_path: Path) -> None:
    file = tmp_path / "set-bicubic.csv"
    file.write_text(HEAD + GOOD + "c,30.5,0.")
    assert list(reproduction.Log(file, "now").rows) == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_an_unknown_precision_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(HatlibError, match="unknown precision"):
        reproduction.run(["bicubic"], ["builtin"], tmp_path / "out", limit=1, precision="5")
    assert not (tmp_path / "out").exists()
