"""A file in the authors' layout stands in for released weights: the whole path of `hatlib
reproduce`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import stand_in
from hatlib import HatlibError
from hatlib.cli import app
from hatlib.data import builtin, datasets
from hatlib.imaging import io
from hatlib.system import downloads
from hatlib.weights import catalogue, files

NAME = "hat-x4-imagenet"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three small pictures, and a data folder without weights."""
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "data"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("cat", "coffee", "rocket"):
        io.save_image(folder / f"{name}.png", builtin.builtin_image(name)[100:148, 100:164])
    return folder


def test_the_whole_path_with_a_file_of_full_size(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs, released = datasets.load(photos), catalogue.info(NAME)
    monkeypatch.setattr(
        datasets, "load", lambda name, scale, limit=None, **_: pairs[:limit]
    )  # for all of Urban100
    monkeypatch.setitem(
        datasets.CATALOGUE,
        "urban100",
        datasets.CATALOGUE["urban100"].__class__(
            **{**vars(datasets.CATALOGUE["urban100"]), "files": 3}
        ),
    )
    out, table = tmp_path / "out", tmp_path / "table.json"
    with stand_in.in_place(NAME) as entry:
        assert entry.path == released.path, "the file lies where the released one belongs"
        assert abs(entry.bytes - released.bytes) < 0.01 * released.bytes
        content = torch.load(entry.path, weights_only=True)
        assert list(content) == ["params_ema"] and len(content["params_ema"]) == 864
        overlapping = content["params_ema"]["relative_position_index_OCA"]
        assert (int(overlapping.min()), int(overlapping.max())) == (-880, 640)
        assert (
            app.main(
                [
                    "reproduce",
                    "--models",
                    NAME,
                    "--data",
                    "urban100",
                    "--out",
                    str(out),
                    "--json",
                    str(table),
                ]
            )
            == 0
        )
        network = files.load(NAME)
    assert sum(p.numel() for p in network.parameters()) == 20_772_507
    assert catalogue.CATALOGUE[NAME] == released and not released.path.exists(), (
        "nothing is left of it"
    )
    (bicubic, row), said = json.loads(table.read_text(encoding="utf-8")), capfd.readouterr().out
    assert (row["model"], row["images"], row["reported"]["psnr"], row["survey"]["psnr"]) == (
        NAME,
        3,
        28.37,
        28.3642,
    )
    assert (
        row["gain"] == pytest.approx(row["psnr"] - bicubic["psnr"])
        and bicubic["reported"]["psnr"] == 23.14
    )
    for source, values, decibels in (
        ("papers", "28.37 / 0.8447", 28.37),
        ("survey", "28.36 / 0.8445", 28.3642),
    ):
        assert f"{NAME}: {source} {values}, here {row['psnr'] - decibels:+.2f} / " in said
    record = json.loads((out / "reproduce.json").read_text(encoding="utf-8"))["weights"][NAME]
    assert record == {"tensors_sha256": files.fingerprint(network), "file_sha256": entry.sha256}
    strips = sorted(path.name for path in out.glob("*.png"))
    assert strips == ["urban100-cat.png", "urban100-coffee.png", "urban100-rocket.png"]


def test_the_command_measures_times_and_removes(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.main(["--data", str(photos), "--every", "2", "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert NAME in lines[0] and "85." in lines[0], "the size of the file in MB"
    assert "2 images in" in lines[1] and not catalogue.info(NAME).path.exists()
    rows = (tmp_path / "out").glob("*-hat-x4-imagenet.csv")
    assert [path.read_text(encoding="utf-8").count("\n") for path in rows] == [3]


def test_a_file_that_is_there_is_left_alone(photos: Path) -> None:
    entry = catalogue.info(NAME)
    entry.path.parent.mkdir(parents=True)
    entry.path.write_bytes(b"mine")
    with (
        pytest.raises(
            HatlibError, match=r"is here: `hatlib reproduce --models hat-x4-imagenet` measures it"
        ),
        stand_in.in_place(NAME),
    ):
        pass
    assert entry.path.read_bytes() == b"mine"


def test_it_is_the_same_file_each_time(photos: Path, tmp_path: Path) -> None:
    found: list[str] = []
    for name in ("a.pth", "b.pth"):
        torch.manual_seed(len(found))
        np.random.seed(len(found))
        stand_in.write(catalogue.info(NAME), tmp_path / name)
        found.append(files.fingerprint(files.load(tmp_path / name)))
    assert (
        found[0] == found[1] and downloads.sha256(tmp_path / "a.pth") != catalogue.info(NAME).sha256
    )
